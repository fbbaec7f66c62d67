/* core.c: the client core's ends: what comes in is told apart here and handed to the file that owns
 * it; what goes out leaves through the peers' buffers and the list of effects. */
#include "libclient/core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libclient/core_parts.h"
#include "protocol/memory.h"

/* ---- life ---- */

int client_create(struct client **out, const struct client_config *config, struct mob_err *err)
{
    struct client *c = memory_zalloc(sizeof *c);
    if (c == NULL)
        return mob_err_set(err, MOB_ENOMEM, "no memory for the client");
    c->config = *config;
    c->retry_at_ns = UINT64_MAX;
    peer_init(&c->node, &c->outbox, (struct mob_process){0});
    struct msg_error_frame frame = {.code = MOB_ENOMEM,
                                    .text = view_of("no memory to keep the value"),
                                    .process = config->self.v};
    c->no_memory = failure_chain(&frame, NULL);
    if (c->no_memory == NULL || objects_create(&c->objects, config->self.v) != MOB_OK) {
        client_destroy(c);
        return mob_err_set(err, MOB_ENOMEM, "no memory for the client");
    }
    *out = c;
    return MOB_OK;
}

/* First every result but the first forgets its task, then the first frees it. */
static void task_forget(void *ctx, struct object *o)
{
    (void)ctx;
    if (o->task != NULL && o->id.seq != o->task->seq)
        o->task = NULL;
}

static void task_free(void *ctx, struct object *o)
{
    (void)ctx;
    memory_free(o->task);
    o->task = NULL;
}

static void peer_destroy(struct client *c, struct client_peer *p)
{
    struct client_peer **at = &c->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    peer_fini(&p->peer);
    memory_free(p);
}

void client_destroy(struct client *c)
{
    if (c == NULL)
        return;
    if (c->objects != NULL) {
        completions_free(c);
        objects_each(c->objects, task_forget, NULL);
        objects_each(c->objects, task_free, NULL);
        objects_destroy(c->objects);
    }
    while (c->leases != NULL) {
        c->leases->sent = (struct task_queue){0};
        lease_destroy(c, c->leases);
    }
    runs_free(c);
    while (c->peers != NULL)
        peer_destroy(c, c->peers);
    peer_fini(&c->node);
    buffer_fini(&c->scratch);
    failure_drop(c->no_memory);
    memory_free(c->effects);
    memory_free(c);
}

/* ---- what goes out ---- */

struct outbox *client_outbox(struct client *c)
{
    return &c->outbox;
}

struct peer *client_node(struct client *c)
{
    return &c->node;
}

struct client_peer *peer_find(struct client *c, uint64_t process)
{
    for (struct client_peer *p = c->peers; p != NULL; p = p->next)
        if (p->peer.process.v == process)
            return p;
    return NULL;
}

struct peer *client_peer(struct client *c, struct mob_process process)
{
    struct client_peer *p = peer_find(c, process.v);
    return p != NULL ? &p->peer : NULL;
}

/* An effect that finds no memory ends the client, by an effect that needs none: nothing hangs. */
void effect_add(struct client *c, struct client_effect effect)
{
    if (c->effect_count == c->effect_capacity) {
        size_t capacity = c->effect_capacity + EFFECTS_MAX;
        struct client_effect *grown = memory_realloc(c->effects, capacity * sizeof *grown);
        if (grown == NULL &&
            (grown = memory_realloc(c->effects, capacity * sizeof *grown)) == NULL) {
            c->effect_lost = true;
            return;
        }
        c->effects = grown;
        c->effect_capacity = capacity;
    }
    c->effects[c->effect_count++] = effect;
}

bool client_next_effect(struct client *c, struct client_effect *out)
{
    if (c->effect_first == c->effect_count) {
        bool lost = c->effect_lost;
        c->effect_first = c->effect_count = 0;
        c->effect_lost = false;
        if (lost)
            *out = (struct client_effect){.kind = CLIENT_FAILED, .code = MOB_ENOMEM};
        return lost;
    }
    *out = c->effects[c->effect_first++];
    return true;
}

uint64_t client_deadline(const struct client *c)
{
    uint64_t leases = c->failed == MOB_OK ? leases_deadline(c) : UINT64_MAX;
    return leases < c->retry_at_ns ? leases : c->retry_at_ns;
}

/* Send to a process of the job: through the ring that connects us, else wrapped into a forward
 * through the node. */
#define SEND_TO(name)                                                                              \
    int send_##name(struct client *c, uint64_t process, const struct msg_##name *m)                \
    {                                                                                              \
        struct client_peer *p = peer_find(c, process);                                             \
        if (p != NULL && !p->draining)                                                             \
            return peer_send(&p->peer, name, m);                                                   \
        struct buffer body = {0};                                                                  \
        int rc = msg_##name##_pack(&body, m);                                                      \
        if (rc == MOB_OK) {                                                                        \
            struct msg_forward f = {.to = process, .body = {body.data, buffer_size(&body)}};       \
            rc = peer_send(&c->node, forward, &f);                                                 \
        }                                                                                          \
        buffer_fini(&body);                                                                        \
        return rc;                                                                                 \
    }
SEND_TO(object_get)
SEND_TO(object_value)

/* What finds no memory stays as it is and is tried again at the next step, which the deadline
 * brings about. */
void step_end(struct client *c, uint64_t now_ns)
{
    bool all = watches_fire(c, now_ns);
    if (c->failed == MOB_OK) {
        all &= runs_flush_state(c);
        all &= leases_dispatch(c, now_ns);
        all &= watches_fire(c, now_ns);
    }
    c->retry_at_ns = all ? UINT64_MAX : now_ns + RETRY_NS;
    if (c->stop_asked && c->current == NULL && c->runs_first == NULL && c->task_count == 0 &&
        objects_count(c->objects) == 0) {
        c->stop_asked = false;
        effect_add(c, (struct client_effect){.kind = CLIENT_STOP});
    }
}

/* ---- messages of other clients ---- */

static void on_object_get(struct client *c, uint64_t process, const struct msg_object_get *m,
                          uint64_t now_ns)
{
    struct object *o =
        m->object.owner == c->config.self.v ? objects_find(c->objects, m->object) : NULL;
    int rc = o != NULL ? remote_watch_add(c, o, process, now_ns) : MOB_ENOOBJECT;
    if (rc == MOB_OK)
        return;
    struct msg_error_frame frame = {
        .code = rc,
        .text = view_of(rc == MOB_ENOOBJECT ? "the owner does not know the object"
                                            : "the owner has no memory"),
        .process = c->config.self.v,
    };
    struct buffer b = {0};
    rc = msg_error_frame_pack_item(&b, &frame);
    if (rc == MOB_OK) {
        struct msg_object_value answer = {
            .object = m->object, .kind = VALUE_ERROR, .errors = {1, b.data, buffer_size(&b)}};
        rc = send_object_value(c, process, &answer);
    }
    c->effect_lost |= rc != MOB_OK;
    buffer_fini(&b);
}

static void on_object_value(struct client *c, uint64_t process, const struct msg_object_value *m)
{
    struct object *o = objects_find(c->objects, m->object);
    bool asked =
        o != NULL && o->borrowed && o->requested && o->kind == 0 && m->object.owner == process;
    if (!asked) {
        c->counts.refused += m->object.owner != process;
        return; /* dropped meanwhile, or not the owner's to say */
    }
    bool inside = m->size <= c->config.arena_bytes && m->offset <= c->config.arena_bytes - m->size;
    if (m->kind == VALUE_STORED && inside) {
        object_settle_stored(c, o, m->offset, m->size);
    } else if (m->kind == VALUE_INLINE) {
        if (object_settle_inline(c, o, m->value) != MOB_OK)
            object_settle_failed(c, o, c->no_memory);
    } else if (m->kind == VALUE_ERROR && m->errors.count > 0) {
        struct failure *f = failure_create(&m->errors);
        object_settle_failed(c, o, f != NULL ? f : c->no_memory);
        failure_drop(f);
    } else {
        c->counts.refused++;
        object_settle_text(c, o, MOB_EPROTO, "the owner's answer is no value");
    }
}

#define CASE(name, call)                                                                           \
    case MSG_##name: {                                                                             \
        struct msg_##name m;                                                                       \
        if (!msg_##name##_unpack(&at, &head, &m))                                                  \
            break;                                                                                 \
        call;                                                                                      \
        continue;                                                                                  \
    }

/* One frame of another client: `p` when it came through its own ring, NULL when the node forwarded
 * it. Tasks and their answers come through rings only. */
static void client_frame(struct client *c, uint64_t process, struct client_peer *p,
                         struct view frame, uint64_t now_ns)
{
    struct cursor at = cursor_of(frame.data, frame.size);
    struct message_head head;
    while (message_next(&at, &head)) {
        switch (p == NULL && head.number != MSG_object_get && head.number != MSG_object_value
                    ? 0
                    : head.number) {
            CASE(task_run, on_task_run(c, p, &m))
            CASE(task_done, on_task_done(c, p, &m, now_ns))
            CASE(task_back, on_task_back(c, p, &m))
            CASE(object_get, on_object_get(c, process, &m, now_ns))
            CASE(object_value, on_object_value(c, process, &m))
        default:
            break;
        }
        c->counts.refused++; /* malformed, or not for this channel */
        return;
    }
    c->counts.refused += at.failed;
}

void client_on_peer(struct client *c, struct peer *from, struct view frame, uint64_t now_ns)
{
    struct client_peer *p = c->peers;
    while (p != NULL && &p->peer != from)
        p = p->next;
    if (p == NULL) {
        c->counts.refused++;
        return;
    }
    client_frame(c, p->peer.process.v, p, frame, now_ns);
    step_end(c, now_ns);
}

/* ---- messages of the node ---- */

static void on_peer_open(struct client *c, const struct msg_peer_open *m)
{
    struct mob_process process = {m->process};
    struct client_peer *p = peer_find(c, m->process);
    if (p == NULL ||
        p->draining) { /* a pair that was taken back may be made anew before it is drained */
        p = memory_zalloc(sizeof *p);
        if (p == NULL) {
            client_fail_all(c, MOB_ENOMEM, "no memory for a peer", 0);
            effect_add(c, (struct client_effect){.kind = CLIENT_FAILED, .code = MOB_ENOMEM});
            return;
        }
        peer_init(&p->peer, &c->outbox, process);
        p->next = c->peers;
        c->peers = p;
    }
    effect_add(
        c, (struct client_effect){.kind = CLIENT_OPEN_PEER, .process = process, .side = m->side});
}

static void on_peer_close(struct client *c, const struct msg_peer_close *m)
{
    struct client_peer *p = peer_find(c, m->process);
    if (p == NULL || p->draining)
        return;
    p->draining = true;
    effect_add(c, (struct client_effect){.kind = CLIENT_DRAIN_PEER, .process = p->peer.process});
}

static void on_process_lost(struct client *c, const struct msg_process_lost *m)
{
    struct client_peer *p = peer_find(c, m->process);
    if (MUTANT(client_lost_ignored))
        return;
    if (p != NULL) {
        bool under_way = p->draining;
        p->lost = p->draining = true;
        if (under_way)
            return;
    }
    effect_add(c, (struct client_effect){.kind = CLIENT_DRAIN_PEER, .process = {m->process}});
}

static void on_worker_stop(struct client *c)
{
    c->stop_asked = c->config.worker;
}

void client_on_node(struct client *c, struct view frame, uint64_t now_ns)
{
    struct cursor at = cursor_of(frame.data, frame.size);
    struct message_head head;
    while (message_next(&at, &head)) {
        switch (head.number) {
            CASE(lease_grant, on_lease_grant(c, &m, now_ns))
            CASE(lease_recall, on_lease_recall(c, &m))
            CASE(lease_lost, on_lease_lost(c, &m))
            CASE(lease_denied, on_lease_denied(c, &m))
            CASE(peer_open, on_peer_open(c, &m))
            CASE(peer_close, on_peer_close(c, &m))
            CASE(process_lost, on_process_lost(c, &m))
            CASE(extent_grant, on_extent_grant(c, &m))
            CASE(forwarded, client_frame(c, m.from, NULL, m.body, now_ns))
            CASE(task_output,
                 if (c->config.output != NULL) c->config.output(c->config.output_ctx, &m))
            CASE(worker_stop, on_worker_stop(c))
            CASE(marked, on_marked(c, &m))
        default:
            break;
        }
        c->counts.refused++;
        break;
    }
    c->counts.refused += at.failed;
    step_end(c, now_ns);
}

/* ---- ends ---- */

struct lost_owner {
    struct client *c;
    uint64_t process;
};

static void owner_lost(void *ctx, struct object *o)
{
    struct lost_owner *lost = ctx;
    if (!o->borrowed || o->kind != 0 || o->id.owner != lost->process)
        return;
    char text[96];
    snprintf(text, sizeof text, "process %" PRIu64 ", which owned the object, has ended",
             lost->process);
    o->pins++; /* not released while the table is walked */
    object_settle_text(lost->c, o, MOB_EOWNERDIED, text);
    o->pins--;
}

/* The pair was taken back, but its other end lives: what was asked through the ring may not have
 * arrived. */
static void owner_ask_again(void *ctx, struct object *o)
{
    struct lost_owner *lost = ctx;
    if (!o->borrowed || o->kind != 0 || o->id.owner != lost->process || !o->requested)
        return;
    o->requested = false;
    if (object_request(lost->c, o) != MOB_OK) {
        o->pins++;
        object_settle_failed(lost->c, o, lost->c->no_memory);
        o->pins--;
    }
}

/* The effect goes before those that wait: the same process may have been connected anew meanwhile.
 */
static void effect_close(struct client *c, struct mob_process process)
{
    struct client_effect effect = {.kind = CLIENT_CLOSE_PEER, .process = process};
    if (c->effect_first > 0)
        c->effects[--c->effect_first] = effect;
    else
        effect_add(c, effect);
}

void client_lost(struct client *c, struct mob_process process, uint64_t now_ns)
{
    struct client_peer *p = c->peers;
    while (p != NULL && (p->peer.process.v != process.v || !p->draining))
        p = p->next;
    bool lost = p == NULL || p->lost;
    if (p != NULL) {
        leases_lost(c, p);
        if (lost)
            runs_drop_from(c, process.v);
        effect_close(c, process);
        peer_destroy(c, p);
    }
    objects_each(c->objects, lost ? owner_lost : owner_ask_again,
                 &(struct lost_owner){c, process.v});
    step_end(c, now_ns);
}

static void pending_fail(void *ctx, struct object *o)
{
    struct client *c = ctx;
    if (o->kind != 0 || o->task != NULL)
        return;
    o->pins++;
    object_settle_text(c, o, c->failed, c->failed_text);
    o->pins--;
}

void client_fail_all(struct client *c, int code, const char *why, uint64_t now_ns)
{
    if (c->failed != MOB_OK)
        return;
    c->failed = code;
    snprintf(c->failed_text, sizeof c->failed_text, "%s", why);
    mob_err_set(&c->extent_err, code, "%s", why);
    /* A waiting task awaits another task or a borrowed object; when all of those have failed, so
     * has it. */
    objects_each(c->objects, pending_fail, c);
    for (;;) {
        (void)watches_fire(c, now_ns);
        struct task *t = c->ready.first;
        for (struct lease *l = c->leases; t == NULL && l != NULL; l = l->next)
            t = l->sent.first;
        if (t == NULL)
            break;
        task_fail_text(c, t, code, why);
    }
    assert(c->task_count == 0);
    extent_waiters_wake(c);
    mark_waiter_wake(c);
    step_end(c, now_ns);
}

void client_tick(struct client *c, uint64_t now_ns)
{
    step_end(c, now_ns);
}

/* ---- looking in ---- */

int client_make_failed(struct client *c, uint32_t count, const struct msg_error_frame *frame,
                       struct mob_object *first)
{
    uint64_t seq;
    struct failure *f = failure_chain(frame, NULL);
    int rc = f != NULL ? handle_reserve(c, count) : MOB_ENOMEM;
    if (rc == MOB_OK)
        rc = objects_make(c->objects, count, &seq);
    for (uint32_t i = 0; rc == MOB_OK && i < count; i++) {
        struct object *o = objects_find(c->objects, (struct mob_object){c->config.self.v, seq + i});
        o->handles = 1;
        handle_obtained(c, o);
        object_settle_failed(c, o, f);
    }
    if (rc == MOB_OK)
        *first = (struct mob_object){c->config.self.v, seq};
    failure_drop(f);
    return rc;
}

void client_counts(const struct client *c, struct client_counts *out)
{
    *out = c->counts;
    out->objects = objects_count(c->objects);
    out->tasks = c->task_count;
    out->ready = c->ready.count;
    out->leases = c->lease_count;
    out->sent = 0;
    for (const struct lease *l = c->leases; l != NULL; l = l->next)
        out->sent += l->sent.count;
}

struct check {
    const struct client *c;
    struct mob_err *err;
    uint64_t tasks;
    bool holds;
};

static void check_object(void *ctx, struct object *o)
{
    struct check *k = ctx;
    uint64_t seq = o->id.seq;
    const struct task *t = o->task;
    const char *wrong = NULL;
    if (t != NULL && (o->borrowed || o->kind != 0))
        wrong = "is settled or borrowed and has a task";
    else if (t == NULL && !o->borrowed && o->kind == 0)
        wrong = "is pending and has no task";
    else if (t != NULL && t->attempt > t->retries)
        wrong = "has a task with more attempts than it may have";
    else if (t != NULL && (t->state == TASK_SENT) != (t->lease != NULL))
        wrong = "has a task that is sent without a lease";
    else if (t != NULL && (t->state == TASK_WAITING) != (t->waiting > 0))
        wrong = "has a task that waits for nothing";
    else if (o->handles == 0 && o->pins == 0 && o->watches == NULL && t == NULL && !o->published)
        wrong = "is needed by nobody and still there";
    if (t != NULL && seq == t->seq)
        k->tasks++;
    if (wrong != NULL && k->holds) {
        k->holds = false;
        mob_err_set(k->err, MOB_EBUG, "object %" PRIu64 ".%" PRIu64 " %s", o->id.owner, seq, wrong);
    }
}

bool client_check(const struct client *c, struct mob_err *err)
{
    struct check k = {c, err, 0, true};
    objects_each(c->objects, check_object, &k);
    if (k.holds && k.tasks != c->task_count) {
        mob_err_set(err, MOB_EBUG, "%" PRIu64 " tasks are found, %" PRIu64 " are counted", k.tasks,
                    c->task_count);
        return false;
    }
    return k.holds;
}
