/* node_fixture.c: lines are kept in one list in the order in which they came, so that a failing
 * test can show them all. */
#include "tests/support/test.h"

#include <inttypes.h>

#include "tests/support/node_fixture.h"

struct fixture_line {
    struct fixture_line *next;
    struct mob_process to;
    char text[400];
};

static void line_append(struct fixture_line **list, struct mob_process to, const char *text)
{
    while (*list != NULL)
        list = &(*list)->next;
    struct fixture_line *line = calloc(1, sizeof *line);
    assert_non_null(line);
    line->to = to;
    snprintf(line->text, sizeof line->text, "%s", text);
    *list = line;
}

static void lines_free(struct fixture_line **list)
{
    while (*list != NULL) {
        struct fixture_line *line = *list;
        *list = line->next;
        free(line);
    }
}

static void take_message(struct fixture *f, struct mob_process to, struct cursor *c,
                         const struct message_head *head)
{
    if (f->on_message != NULL) {
        struct cursor copy = *c;
        f->on_message(f->ctx, to, &copy, head);
    }
    if (!f->quiet) {
        char text[400];
        message_print(c, head, text, sizeof text);
        line_append(&f->lines, to, text);
    }
    assert_true(message_allowed(head->number, to.v == 0 ? CHANNEL_NODE_HEAD : CHANNEL_NODE_CLIENT));
    message_skip(c, head);
}

static void take_frames(struct fixture *f, struct peer *p)
{
    struct view frame;
    while (peer_first_frame(p, &frame)) {
        struct cursor c = cursor_of(frame.data, frame.size);
        struct message_head head;
        while (message_next(&c, &head))
            take_message(f, p->process, &c, &head);
        assert_false(c.failed);
        peer_gone(p, FRAME_HEAD_SIZE + frame.size);
    }
}

static const char *const effect_names[] = {
    [NODE_START_ZYGOTE] = "start_zygote",
    [NODE_FORK_WORKER] = "fork_worker",
    [NODE_CONNECT] = "connect",
    [NODE_DISCONNECT] = "disconnect",
    [NODE_WELCOME] = "welcome",
    [NODE_REFUSE] = "refuse",
    [NODE_KILL] = "kill",
    [NODE_JOB_GONE] = "job_gone",
};

void fixture_settle(struct fixture *f)
{
    struct mob_err err = {0};
    if (!node_core_check(f->core, &err))
        fail_msg("%s", err.text);
    struct node_effect e;
    while (node_core_next_effect(f->core, &e)) {
        if (f->on_effect != NULL)
            f->on_effect(f->ctx, &e);
        if (f->quiet)
            continue;
        char text[400];
        snprintf(text, sizeof text, "%s job=%" PRIu64 " process=%" PRIu64 " other=%" PRIu64 " %s",
                 effect_names[e.kind], e.job.v, e.process.v, e.other.v, e.text);
        line_append(&f->effects, e.process, text);
    }
    for (struct peer *p; (p = outbox_take(node_core_outbox(f->core))) != NULL;)
        take_frames(f, p);
}

struct node_config fixture_config(void)
{
    return (struct node_config){.cpus = 2 * CPU,
                                .store_bytes = 1 << 20,
                                .page_bytes = 4096,
                                .extent_bytes = 64 << 10,
                                .workers_max = 4,
                                .clients_max = 20,
                                .inline_max = 100 << 10,
                                .retries = 3,
                                .idle_worker_ms = 5000,
                                .load_ms = 1000,
                                .start_worker_ms = 10000};
}

struct fixture *fixture_create(const struct node_config *config)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->config = *config;
    f->now_ms = 1000;
    struct mob_err err = {0};
    if (node_core_create(&f->core, config, &err) != MOB_OK)
        fail_msg("%s", err.text);
    const struct msg_node_welcome welcome = {
        .epoch = 1, .node = 5, .process_first = 1, .process_count = 1000};
    node_core_welcomed(f->core, &welcome, f->now_ms);
    fixture_settle(f);
    forget_lines(f);
    return f;
}

void fixture_destroy(struct fixture *f)
{
    node_core_destroy(f->core);
    lines_free(&f->lines);
    lines_free(&f->effects);
    free(f);
}

void fixture_wait(struct fixture *f, uint64_t ms)
{
    uint64_t until = f->now_ms + ms;
    while (node_core_deadline(f->core) <= until) {
        uint64_t at = node_core_deadline(f->core);
        f->now_ms = at > f->now_ms ? at : f->now_ms;
        node_core_tick(f->core, f->now_ms);
        fixture_settle(f);
        assert_true(node_core_deadline(f->core) > f->now_ms);
    }
    f->now_ms = until;
    node_core_tick(f->core, f->now_ms);
    fixture_settle(f);
}

void fixture_frame(struct fixture *f, struct mob_process from, const struct buffer *b, int rc)
{
    struct view frame = {b->data + b->start, buffer_size(b)};
    if (from.v == 0) {
        assert_int_equal(node_core_on_head(f->core, frame, f->now_ms), rc);
    } else {
        struct peer *p = node_core_client(f->core, from);
        assert_non_null(p);
        assert_int_equal(node_core_on_client(f->core, p, frame, f->now_ms), rc);
    }
    fixture_settle(f);
}

void fixture_job_started(struct fixture *f, uint64_t request, uint64_t job, uint64_t cpus)
{
    SAY(f, HEAD, job_started, .request = request, .job = job, .cpus = cpus);
}

struct mob_process fixture_driver(struct fixture *f)
{
    const struct msg_client_hello hello = {
        .version = PROTOCOL_VERSION, .pid = 77, .program = view_of("/bin/program")};
    struct mob_err err = {0};
    struct mob_process driver = node_core_driver_hello(f->core, &hello, 1000, f->now_ms, &err);
    if (driver.v == 0)
        fail_msg("%s", err.text);
    fixture_settle(f);
    unsigned long long request = 0;
    for (const struct fixture_line *line = f->lines; line != NULL; line = line->next)
        sscanf(line->text, "job_start request=%llu", &request);
    fixture_job_started(f, request, ++f->jobs, f->config.cpus);
    return driver;
}

void fixture_ready(struct fixture *f, struct mob_process worker)
{
    SAY(f, worker, worker_ready, .functions = 1);
}

unsigned fixture_workers(struct fixture *f, uint64_t job)
{
    unsigned count = 0;
    node_core_zygote_ready(f->core, (struct mob_job){job}, f->now_ms);
    fixture_settle(f);
    while (f->effects != NULL) {
        struct fixture_line *line = f->effects;
        f->effects = line->next;
        if (strncmp(line->text, "fork_worker", 11) == 0) {
            node_core_worker_forked(f->core, line->to, 1000 + line->to.v, f->now_ms);
            fixture_settle(f);
            fixture_ready(f, line->to);
            count++;
        }
        free(line);
    }
    return count;
}

void fixture_exit(struct fixture *f, struct mob_process worker, const struct worker_exit *exit)
{
    node_core_worker_exited(f->core, worker, exit, f->now_ms);
    fixture_settle(f);
}

/* ---- reading ---- */

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void fail_with_lines(const struct fixture *f, const char *wanted)
{
    for (const struct fixture_line *line = f->lines; line != NULL; line = line->next)
        print_error("    to %" PRIu64 ": %s\n", line->to.v, line->text);
    for (const struct fixture_line *line = f->effects; line != NULL; line = line->next)
        print_error("    effect: %s\n", line->text);
    fail_msg("not as expected: %s", wanted);
}

static struct fixture_line **first_for(struct fixture_line **list, struct mob_process to)
{
    while (*list != NULL && (*list)->to.v != to.v)
        list = &(*list)->next;
    return list;
}

static void line_remove(struct fixture_line **at)
{
    struct fixture_line *line = *at;
    *at = line->next;
    free(line);
}

void expect(struct fixture *f, struct mob_process to, const char *start)
{
    struct fixture_line **at = first_for(&f->lines, to);
    if (*at == NULL || !begins((*at)->text, start))
        fail_with_lines(f, start);
    else
        line_remove(at);
}

void expect_effect(struct fixture *f, const char *start)
{
    if (f->effects == NULL || !begins(f->effects->text, start))
        fail_with_lines(f, start);
    else
        line_remove(&f->effects);
}

void expect_nothing(struct fixture *f, struct mob_process to)
{
    if (*first_for(&f->lines, to) != NULL)
        fail_with_lines(f, "no more lines");
}

void expect_no(struct fixture *f, struct mob_process to, const char *start)
{
    for (const struct fixture_line *line = f->lines; line != NULL; line = line->next)
        if (line->to.v == to.v && begins(line->text, start))
            fail_with_lines(f, "no such line");
}

void expect_no_effect(struct fixture *f)
{
    if (f->effects != NULL)
        fail_with_lines(f, "no effects");
}

unsigned taken(struct fixture *f, struct mob_process to, const char *start)
{
    unsigned count = 0;
    for (struct fixture_line **at; *(at = first_for(&f->lines, to)) != NULL;) {
        count += begins((*at)->text, start);
        line_remove(at);
    }
    return count;
}

unsigned taken_effects(struct fixture *f, const char *start)
{
    unsigned count = 0;
    for (; f->effects != NULL; line_remove(&f->effects))
        count += begins(f->effects->text, start);
    return count;
}

void forget_lines(struct fixture *f)
{
    lines_free(&f->lines);
    lines_free(&f->effects);
}

struct node_counts fixture_counts(const struct fixture *f)
{
    struct node_counts counts;
    node_core_counts(f->core, &counts);
    return counts;
}
