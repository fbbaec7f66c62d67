/* core_kit.c: lines are kept in one list in the order in which they came, so that a failing test
 * can show them all. */
#include "tests/support/test.h"

#include <inttypes.h>

#include "protocol/memory.h"
#include "tests/support/core_kit.h"

/* ---- lines ---- */

static void line_append(struct kit_line **list, uint64_t to, const char *text)
{
    while (*list != NULL)
        list = &(*list)->next;
    struct kit_line *line = calloc(1, sizeof *line);
    assert_non_null(line);
    line->to = to;
    snprintf(line->text, sizeof line->text, "%s", text);
    *list = line;
}

static void line_remove(struct kit_line **at)
{
    struct kit_line *line = *at;
    *at = line->next;
    free(line);
}

void kit_forget(struct kit *k)
{
    while (k->lines != NULL)
        line_remove(&k->lines);
    while (k->effects != NULL)
        line_remove(&k->effects);
}

static bool matches(const char *text, const char *pattern)
{
    for (; *pattern != '\0' && *pattern != '*'; pattern++, text++)
        if (*text != *pattern)
            return false;
    if (*pattern == '\0')
        return true;
    do
        if (matches(text, pattern + 1))
            return true;
    while (*text++ != '\0');
    return false;
}

static void fail_with_lines(const struct kit *k, const char *wanted)
{
    for (const struct kit_line *line = k->lines; line != NULL; line = line->next)
        print_error("    to %" PRIu64 ": %s\n", line->to, line->text);
    for (const struct kit_line *line = k->effects; line != NULL; line = line->next)
        print_error("    effect: %s\n", line->text);
    fail_msg("not as expected: %s", wanted);
}

static struct kit_line **first_for(struct kit *k, uint64_t to)
{
    struct kit_line **at = &k->lines;
    while (*at != NULL && (*at)->to != to)
        at = &(*at)->next;
    return at;
}

void kit_expect(struct kit *k, uint64_t to, const char *pattern)
{
    struct kit_line **at = first_for(k, to);
    if (*at == NULL || !matches((*at)->text, pattern))
        fail_with_lines(k, pattern);
    else
        line_remove(at);
}

void kit_expect_effect(struct kit *k, const char *pattern)
{
    if (k->effects == NULL || !matches(k->effects->text, pattern))
        fail_with_lines(k, pattern);
    else
        line_remove(&k->effects);
}

void kit_expect_nothing(struct kit *k, uint64_t to)
{
    if (*first_for(k, to) != NULL)
        fail_with_lines(k, "no more lines");
}

void kit_expect_no_effect(struct kit *k)
{
    if (k->effects != NULL)
        fail_with_lines(k, "no effects");
}

unsigned kit_taken(struct kit *k, uint64_t to, const char *pattern)
{
    unsigned count = 0;
    for (struct kit_line **at; *(at = first_for(k, to)) != NULL; line_remove(at))
        count += matches((*at)->text, pattern);
    return count;
}

/* ---- what comes out ---- */

static void take_frames(struct kit *k, struct peer *p)
{
    struct view frame;
    while (peer_first_frame(p, &frame)) {
        struct cursor c = cursor_of(frame.data, frame.size);
        struct message_head head;
        while (message_next(&c, &head)) {
            struct cursor copy = c;
            if (k->on_message != NULL)
                k->on_message(k->ctx, p->process.v, &copy, &head);
            if (!k->quiet) {
                char text[500];
                message_print(&c, &head, text, sizeof text);
                line_append(&k->lines, p->process.v, text);
            }
            assert_true(message_allowed(head.number, p->process.v == KIT_NODE
                                                         ? CHANNEL_CLIENT_NODE
                                                         : CHANNEL_CLIENT_CLIENT));
            message_skip(&c, &head);
        }
        assert_false(c.failed);
        peer_gone(p, FRAME_HEAD_SIZE + frame.size);
    }
}

static void check(struct kit *k)
{
    struct mob_err err = {0};
    if (!client_check(k->core, &err))
        fail_msg("%s", err.text);
}

static const char *const effect_names[] = {
    [CLIENT_OPEN_PEER] = "open", [CLIENT_CLOSE_PEER] = "close", [CLIENT_DRAIN_PEER] = "drain",
    [CLIENT_STOP] = "stop",      [CLIENT_FAILED] = "failed",
};

void kit_settle(struct kit *k)
{
    check(k);
    struct client_effect e;
    while (client_next_effect(k->core, &e)) {
        if (!k->quiet) {
            char text[100];
            snprintf(text, sizeof text, "%s %" PRIu64 " side=%" PRIu32 " code=%d",
                     effect_names[e.kind], e.process.v, e.side, e.code);
            line_append(&k->effects, e.process.v, text);
        }
        if (e.kind == CLIENT_DRAIN_PEER && !k->holds_drains)
            KIT_CALL(k, client_lost(k->core, e.process, k->now_ns));
        k->failed |= e.kind == CLIENT_FAILED;
        if (e.kind == CLIENT_FAILED)
            KIT_CALL(k, client_fail_all(k->core, e.code, "the client has failed", k->now_ns));
        check(k);
    }
    for (struct peer *p; (p = outbox_take(client_outbox(k->core))) != NULL;)
        take_frames(k, p);
}

/* ---- life ---- */

struct client_config kit_config(enum kit_role role)
{
    return (struct client_config){.worker = role == KIT_WORKER,
                                  .self = {KIT_SELF},
                                  .inline_max = KIT_INLINE_MAX,
                                  .arena_bytes = KIT_ARENA,
                                  .cpus = 20000,
                                  .retries = 2,
                                  .lease_idle_ns = 1000000,
                                  .window_ns = 1000000};
}

struct kit *kit_create_with(const struct client_config *config)
{
    struct kit *k = calloc(1, sizeof *k);
    assert_non_null(k);
    k->config = *config;
    k->now_ns = 1000000000;
    struct mob_err err = {0};
    if (client_create(&k->core, config, &err) != MOB_OK)
        fail_msg("%s", err.text);
    return k;
}

struct kit *kit_create(enum kit_role role)
{
    struct client_config config = kit_config(role);
    return kit_create_with(&config);
}

void kit_destroy(struct kit *k)
{
    client_destroy(k->core);
    kit_forget(k);
    for (unsigned i = 0; i < 8; i++)
        buffer_fini(&k->packed[i]);
    free(k);
}

void kit_wait(struct kit *k, uint64_t ns)
{
    k->now_ns += ns;
    KIT_CALL(k, client_tick(k->core, k->now_ns));
    kit_settle(k);
}

/* ---- faults ---- */

void kit_enter(struct kit *k)
{
    memory_fail_at(k->fail_in);
}

void kit_leave(struct kit *k)
{
    uint64_t used = k->fail_in != 0 ? memory_count() : 0;
    memory_fail_at(0);
    if (k->fail_in == 0)
        return;
    k->fault_fired = used >= k->fail_in;
    k->fail_in = k->fault_fired ? 0 : k->fail_in - used;
}

/* ---- what is said ---- */

void kit_frame(struct kit *k, uint64_t from, const struct buffer *b)
{
    struct view frame = {buffer_head(b), buffer_size(b)};
    if (from == KIT_NODE) {
        KIT_CALL(k, client_on_node(k->core, frame, k->now_ns));
    } else {
        struct peer *p = client_peer(k->core, (struct mob_process){from});
        assert_non_null(p);
        KIT_CALL(k, client_on_peer(k->core, p, frame, k->now_ns));
    }
    kit_settle(k);
}

void kit_forwarded(struct kit *k, uint64_t from, const struct buffer *b)
{
    KIT_SAYS(k, KIT_NODE, forwarded, .from = from, .body = {buffer_head(b), buffer_size(b)});
}

void kit_peer(struct kit *k, uint64_t process)
{
    KIT_SAYS(k, KIT_NODE, peer_open, .process = process, .side = 1);
    char text[40];
    snprintf(text, sizeof text, "open %" PRIu64 " side=1", process);
    kit_expect_effect(k, text);
}

void kit_worker(struct kit *k, uint64_t process, uint64_t lease)
{
    kit_peer(k, process);
    KIT_SAYS(k, KIT_NODE, lease_grant, .lease = lease, .worker = process);
}

void kit_worker_dies(struct kit *k, uint64_t process, uint64_t lease, uint64_t running)
{
    KIT_SAYS(k, KIT_NODE, lease_lost, .lease = lease, .worker = process, .code = MOB_EWORKERDIED,
             .signal = 11, .running = running, .function = view_of("crash_site"),
             .tail = view_of("last words"));
    KIT_SAYS(k, KIT_NODE, process_lost, .process = process);
    while (k->effects != NULL && !k->holds_drains)
        line_remove(&k->effects);
}

/* ---- calls ---- */

int kit_submit_rc(struct kit *k, const struct kit_call *call, struct mob_object *first)
{
    struct submit_arg args[6];
    struct view pieces[6];
    for (uint32_t i = 0; i < call->arg_count; i++) {
        const struct kit_arg *a = &call->args[i];
        args[i] = (struct submit_arg){.kind = a->kind, .moved = a->moved, .object = a->object};
        if (a->kind == SUBMIT_VALUE) {
            pieces[i] = view_of(a->text);
            args[i].pieces = &pieces[i];
            args[i].piece_count = 1;
        }
    }
    struct submit s = {.function = call->function != 0 ? call->function : 5,
                       .name = "work",
                       .file = "user.c",
                       .line = 12,
                       .retries = call->retries == 0  ? -1
                                  : call->retries < 0 ? 0
                                                      : call->retries,
                       .result_count = call->results,
                       .arg_count = call->arg_count,
                       .args = args};
    int rc;
    KIT_CALL(k, rc = client_submit(k->core, &s, first, k->now_ns, NULL));
    kit_settle(k);
    return rc;
}

struct mob_object kit_submit(struct kit *k, const struct kit_call *call)
{
    struct mob_object first = {0};
    assert_int_equal(kit_submit_rc(k, call, &first), MOB_OK);
    return first;
}

struct mob_object kit_put(struct kit *k, const char *text)
{
    struct view piece = view_of(text);
    struct mob_object id = {0};
    assert_int_equal(client_put_inline(k->core, &piece, 1, &id), MOB_OK);
    kit_settle(k);
    return id;
}

struct mob_object kit_id(uint64_t owner, uint64_t seq)
{
    return (struct mob_object){owner, seq};
}

/* ---- lists ---- */

static struct buffer *list_begin(struct kit *k)
{
    struct buffer *b = &k->packed[k->packed_next++ % 8];
    buffer_clear(b);
    return b;
}

static struct msg_list list_of(const struct buffer *b, uint32_t count)
{
    return (struct msg_list){count, buffer_head(b), buffer_size(b)};
}

static struct msg_list result_list(struct kit *k, const struct msg_result *results, uint32_t count)
{
    struct buffer *b = list_begin(k);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(msg_result_pack_item(b, &results[i]), MOB_OK);
    return list_of(b, count);
}

struct msg_list kit_results(struct kit *k, const char *text)
{
    return result_list(k, &(struct msg_result){.kind = VALUE_INLINE, .value = view_of(text)}, 1);
}

struct msg_list kit_two_results(struct kit *k, const char *a, const char *b)
{
    const struct msg_result two[] = {{.kind = VALUE_INLINE, .value = view_of(a)},
                                     {.kind = VALUE_INLINE, .value = view_of(b)}};
    return result_list(k, two, 2);
}

struct msg_list kit_stored_result(struct kit *k, uint64_t offset, uint64_t size)
{
    return result_list(
        k, &(struct msg_result){.kind = VALUE_STORED, .offset = offset, .size = size}, 1);
}

struct msg_list kit_error(struct kit *k, int code, const char *text)
{
    struct buffer *b = list_begin(k);
    struct msg_error_frame frame = {.code = code, .text = view_of(text)};
    assert_int_equal(msg_error_frame_pack_item(b, &frame), MOB_OK);
    return list_of(b, 1);
}

struct msg_list kit_ref_args(struct kit *k, const struct mob_object *refs, uint32_t count)
{
    struct buffer *b = list_begin(k);
    for (uint32_t i = 0; i < count; i++) {
        struct msg_arg arg = {.kind = VALUE_REF, .object = refs[i]};
        assert_int_equal(msg_arg_pack_item(b, &arg), MOB_OK);
    }
    return list_of(b, count);
}

/* ---- objects ---- */

void kit_expect_value(struct kit *k, struct mob_object id, const char *text)
{
    struct value v;
    assert_int_equal(client_look(k->core, id, &v), OBJECT_SETTLED);
    assert_int_equal(v.kind, VALUE_INLINE);
    assert_int_equal(v.bytes.size, strlen(text));
    assert_memory_equal(v.bytes.data, text, v.bytes.size);
}

void kit_expect_stored(struct kit *k, struct mob_object id, uint64_t offset, uint64_t size)
{
    struct value v;
    assert_int_equal(client_look(k->core, id, &v), OBJECT_SETTLED);
    assert_int_equal(v.kind, VALUE_STORED);
    assert_int_equal(v.offset, offset);
    assert_int_equal(v.size, size);
}

void kit_expect_failed(struct kit *k, struct mob_object id, ...)
{
    struct value v;
    assert_int_equal(client_look(k->core, id, &v), OBJECT_SETTLED);
    assert_int_equal(v.kind, VALUE_ERROR);
    struct cursor c = cursor_of(v.errors.data, v.errors.size);
    va_list patterns;
    va_start(patterns, id);
    for (uint32_t i = 0; i < v.errors.count; i++) {
        struct msg_error_frame frame;
        assert_true(msg_error_frame_unpack_item(&c, &frame));
        char line[600];
        snprintf(line, sizeof line, "%s %.*s", mob_error_name((int)frame.code),
                 (int)frame.text.size, (const char *)frame.text.data);
        const char *pattern = va_arg(patterns, const char *);
        if (pattern == NULL || !matches(line, pattern))
            fail_with_lines(k, line);
    }
    assert_null(va_arg(patterns, const char *));
    va_end(patterns);
}

void kit_expect_pending(struct kit *k, struct mob_object id)
{
    struct value v;
    assert_int_equal(client_look(k->core, id, &v), OBJECT_PENDING);
}

void kit_expect_absent(struct kit *k, struct mob_object id)
{
    struct value v;
    assert_int_equal(client_look(k->core, id, &v), OBJECT_ABSENT);
}

struct client_counts kit_counts(const struct kit *k)
{
    struct client_counts counts;
    client_counts(k->core, &counts);
    return counts;
}
