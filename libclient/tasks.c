/* tasks.c: the submitter's side of a task. The record lives until the task has ended, pins the
 * objects among its arguments, and can therefore be sent again. Ids of results are made here,
 * before the task has run.
 *
 *   waiting --last awaited argument settled--> ready --leases_dispatch--> sent --on_task_done-->
 * (ended) |                                        ^  ^------ task_back, worker lost ------'
 *      '-- an argument failed --> (ended)       '-- the worker died while running it: counts as a
 * retry */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libclient/core_parts.h"
#include "protocol/memory.h"

void queue_push_first(struct task_queue *q, struct task *t)
{
    t->prev = NULL;
    t->next = q->first;
    if (q->first != NULL)
        q->first->prev = t;
    else
        q->last = t;
    q->first = t;
    q->count++;
}

void queue_push_last(struct task_queue *q, struct task *t)
{
    t->next = NULL;
    t->prev = q->last;
    if (q->last != NULL)
        q->last->next = t;
    else
        q->first = t;
    q->last = t;
    q->count++;
}

void queue_remove(struct task_queue *q, struct task *t)
{
    *(t->prev != NULL ? &t->prev->next : &q->first) = t->next;
    *(t->next != NULL ? &t->next->prev : &q->last) = t->prev;
    t->next = t->prev = NULL;
    q->count--;
}

/* ---- arguments ---- */

static struct msg_list packed_args(const struct task *t)
{
    return (struct msg_list){t->arg_count, t->args, t->args_size};
}

static struct view pieces_joined(struct buffer *b, const struct submit_arg *a, int *rc)
{
    if (a->piece_count == 1)
        return a->pieces[0];
    for (uint32_t i = 0; i < a->piece_count && *rc == MOB_OK; i++)
        *rc = buffer_append(b, a->pieces[i].data, a->pieces[i].size);
    return (struct view){buffer_head(b), buffer_size(b)};
}

/* Pack the arguments of `s` into c->scratch. */
static int args_pack(struct client *c, const struct submit *s)
{
    struct buffer joined = {0};
    int rc = MOB_OK;
    buffer_clear(&c->scratch);
    for (uint32_t i = 0; i < s->arg_count && rc == MOB_OK; i++) {
        const struct submit_arg *a = &s->args[i];
        struct msg_arg m = {.object = a->object};
        if (a->kind == SUBMIT_VALUE) {
            buffer_clear(&joined);
            m = (struct msg_arg){.kind = VALUE_INLINE, .value = pieces_joined(&joined, a, &rc)};
        } else {
            m.kind = a->kind == SUBMIT_REF ? VALUE_REF : VALUE_AWAITED;
        }
        if (rc == MOB_OK)
            rc = msg_arg_pack_item(&c->scratch, &m);
    }
    buffer_fini(&joined);
    return rc;
}

int task_pack_args(struct client *c, struct task *t, struct buffer *scratch, struct msg_list *out)
{
    *out = packed_args(t);
    if (!t->has_objects)
        return MOB_OK;
    buffer_clear(scratch);
    struct cursor at = cursor_of(out->data, out->size);
    struct msg_arg m;
    int rc = MOB_OK;
    for (uint32_t i = 0; i < t->arg_count && rc == MOB_OK; i++) {
        if (buffer_size(scratch) > BODY_SIZE_MAX)
            return MOB_ETOOBIG;
        bool whole = msg_arg_unpack_item(&at, &m);
        assert(whole);
        if (m.kind == VALUE_AWAITED) {
            struct object *o = objects_find(c->objects, m.object);
            assert(o != NULL && (o->kind == VALUE_INLINE || o->kind == VALUE_STORED));
            m.kind = o->kind;
            if (o->kind == VALUE_INLINE)
                m.value = object_bytes(o);
            else
                m.offset = o->offset, m.size = o->size;
        }
        rc = msg_arg_pack_item(scratch, &m);
    }
    *out = (struct msg_list){t->arg_count, buffer_head(scratch), buffer_size(scratch)};
    return rc == MOB_OK && out->size > BODY_SIZE_MAX ? MOB_ETOOBIG : rc;
}

/* Call for each object among the arguments. */
static void args_each_object(struct client *c, struct task *t,
                             void (*each)(struct client *, struct object *))
{
    struct cursor at = cursor_of(t->args, t->args_size);
    struct msg_arg m;
    for (uint32_t i = 0; t->has_objects && i < t->arg_count; i++) {
        bool whole = msg_arg_unpack_item(&at, &m);
        assert(whole);
        if (m.kind == VALUE_AWAITED || m.kind == VALUE_REF) {
            struct object *o = objects_find(c->objects, m.object);
            assert(o != NULL);
            each(c, o);
        }
    }
}

static void object_unpin(struct client *c, struct object *o)
{
    o->pins--;
    objects_release(c->objects, o);
}

/* ---- the end of a task ---- */

static struct object *result_object(struct client *c, const struct task *t, uint32_t i)
{
    struct object *o = objects_find(c->objects, (struct mob_object){c->config.self.v, t->seq + i});
    assert(o != NULL && o->task == t);
    return o;
}

static uint32_t result_ids(const struct task *t)
{
    return t->result_count == 0 ? 1 : t->result_count;
}

/* Take the task out of wherever it stands. */
static void task_unlink(struct client *c, struct task *t)
{
    if (t->state == TASK_READY)
        queue_remove(&c->ready, t);
    else if (t->state == TASK_SENT)
        queue_remove(&t->lease->sent, t);
    t->lease = NULL;
    t->state = TASK_WAITING;
}

static void task_destroy(struct client *c, struct task *t)
{
    task_unlink(c, t);
    struct cursor at = cursor_of(t->args, t->args_size);
    struct msg_arg m;
    for (uint32_t i = 0, w = 0; t->has_objects && i < t->arg_count && msg_arg_unpack_item(&at, &m);
         i++)
        if (m.kind == VALUE_AWAITED)
            client_unwatch(c, &t->watches[w++]);
    args_each_object(c, t, object_unpin);
    c->task_count--;
    memory_free(t);
}

void task_fail(struct client *c, struct task *t, struct failure *f)
{
    for (uint32_t i = 0; i < result_ids(t); i++) {
        struct object *o = result_object(c, t, i);
        o->task = NULL;
        object_settle_failed(c, o, f);
    }
    c->counts.failed++;
    task_destroy(c, t);
}

static struct failure *failure_of(struct client *c, const struct task *t, int code,
                                  const char *text, const struct failure *cause)
{
    char place[256];
    snprintf(place, sizeof place, "%s:%d", t->file != NULL ? t->file : "?", t->line);
    struct msg_error_frame frame = {
        .code = code,
        .text = view_of(text),
        .function = view_of(t->name != NULL ? t->name : ""),
        .place = view_of(place),
        .process = c->config.self.v,
    };
    struct failure *f = failure_chain(&frame, cause);
    if (f == NULL) {
        f = c->no_memory;
        f->holds++;
    }
    return f;
}

void task_fail_text(struct client *c, struct task *t, int code, const char *text)
{
    struct failure *f = failure_of(c, t, code, text, NULL);
    task_fail(c, t, f);
    failure_drop(f);
}

/* ---- awaited arguments ---- */

static void task_ready(struct client *c, struct task *t)
{
    t->state = TASK_READY;
    /* A task made inside a task goes first, so that recursion grows with depth and not with
     * breadth. */
    if (t->depth > 0)
        queue_push_first(&c->ready, t);
    else
        queue_push_last(&c->ready, t);
}

static uint32_t arg_index(struct task *t, struct mob_object id)
{
    struct cursor at = cursor_of(t->args, t->args_size);
    struct msg_arg m;
    for (uint32_t i = 0; i < t->arg_count && msg_arg_unpack_item(&at, &m); i++)
        if (m.kind == VALUE_AWAITED && mob_object_equal(m.object, id))
            return i;
    return 0;
}

void task_awaited(struct client *c, struct task *t, struct object *o, uint64_t now_ns)
{
    (void)now_ns;
    assert(t->waiting > 0 && t->state == TASK_WAITING);
    t->waiting--;
    if (o->kind == VALUE_ERROR) {
        char text[64];
        snprintf(text, sizeof text, "argument %" PRIu32 " has no value", arg_index(t, o->id) + 1);
        struct failure *f = failure_of(c, t, MOB_EDEPENDENCY, text, o->failure);
        task_fail(c, t, f);
        failure_drop(f);
    } else if (t->waiting == 0) {
        task_ready(c, t);
    }
}

/* ---- submitting ---- */

/* Every object named must be known, and asked for if it is another's. Counts what is awaited. */
static int args_check(struct client *c, const struct submit *s, uint32_t *awaited,
                      struct mob_err *err)
{
    *awaited = 0;
    for (uint32_t i = 0; i < s->arg_count; i++) {
        const struct submit_arg *a = &s->args[i];
        if (a->kind == SUBMIT_VALUE)
            continue;
        struct object *o = object_held(c, a->object);
        if (o == NULL)
            return mob_err_set(err, MOB_ENOOBJECT,
                               "argument %" PRIu32
                               " of %s is a reference that was dropped or never valid",
                               i + 1, s->name);
        if (a->kind == SUBMIT_AWAIT) {
            ++*awaited;
            int rc = object_request(c, o);
            if (rc != MOB_OK)
                return mob_err_set(err, rc, "no memory to ask for argument %" PRIu32 " of %s",
                                   i + 1, s->name);
        }
    }
    return MOB_OK;
}

static_assert(offsetof(struct task, args) % _Alignof(struct watch) == 0,
              "the watches stand behind the arguments");

static struct task *task_create(struct client *c, const struct submit *s, uint32_t awaited)
{
    size_t args_size = buffer_size(&c->scratch);
    size_t watches_at = (args_size + 7) / 8 * 8;
    struct task *t = memory_alloc(sizeof *t + watches_at + awaited * sizeof(struct watch));
    if (t == NULL)
        return NULL;
    *t = (struct task){
        .function = s->function,
        .name = s->name,
        .file = s->file,
        .line = s->line,
        .result_count = s->result_count,
        .arg_count = s->arg_count,
        .args_size = (uint32_t)args_size,
        .retries = s->retries < 0 ? c->config.retries : (uint32_t)s->retries,
        .depth = (uint16_t)(c->current != NULL ? c->current->depth + 1 : 0),
    };
    if (args_size != 0)
        memcpy(t->args, buffer_head(&c->scratch), args_size);
    t->watches = (struct watch *)(void *)(t->args + watches_at);
    memset(t->watches, 0, awaited * sizeof(struct watch));
    return t;
}

/* Pin and await; from here on nothing fails. */
static void task_take_args(struct client *c, struct task *t, const struct submit *s)
{
    uint32_t awaited = 0;
    for (uint32_t i = 0; i < s->arg_count; i++) {
        const struct submit_arg *a = &s->args[i];
        if (a->kind == SUBMIT_VALUE)
            continue;
        struct object *o = objects_find(c->objects, a->object);
        o->pins++;
        t->has_objects = true;
        if (a->kind == SUBMIT_REF) {
            o->published = true;
        } else {
            struct watch *w = &t->watches[awaited++];
            *w = (struct watch){.next = o->watches, .object = o, .kind = WATCH_TASK, .task = t};
            o->watches = w;
            t->waiting++;
            if (o->kind != 0)
                object_settled(c, o);
        }
    }
    for (uint32_t i = 0; i < s->arg_count; i++)
        if (s->args[i].kind != SUBMIT_VALUE && s->args[i].moved)
            client_drop(c, s->args[i].object);
}

int client_submit(struct client *c, const struct submit *s, struct mob_object *first,
                  uint64_t now_ns, struct mob_err *err)
{
    uint32_t ids = s->result_count == 0 ? 1 : s->result_count, awaited;
    if (c->failed != MOB_OK)
        return mob_err_set(err, c->failed, "cannot submit %s: %s", s->name, c->failed_text);
    int rc = args_check(c, s, &awaited, err);
    if (rc != MOB_OK)
        return rc;
    rc = args_pack(c, s);
    struct task *t = NULL;
    if (rc == MOB_OK && buffer_size(&c->scratch) > BODY_SIZE_MAX)
        return mob_err_set(err, MOB_ETOOBIG,
                           "the arguments of %s take %zu bytes together; put the large ones first",
                           s->name, buffer_size(&c->scratch));
    if (rc == MOB_OK)
        rc = handle_reserve(c, ids);
    if (rc == MOB_OK && (t = task_create(c, s, awaited)) == NULL)
        rc = MOB_ENOMEM;
    if (rc == MOB_OK)
        rc = objects_make(c->objects, ids, &t->seq);
    if (rc != MOB_OK) {
        memory_free(t);
        return mob_err_set(err, rc, "no memory to submit %s", s->name);
    }
    for (uint32_t i = 0; i < ids; i++) {
        struct object *o =
            objects_find(c->objects, (struct mob_object){c->config.self.v, t->seq + i});
        o->task = t;
        o->handles = 1;
        handle_obtained(c, o);
    }
    *first = (struct mob_object){c->config.self.v, t->seq};
    c->task_count++;
    task_take_args(c, t, s);
    if (t->waiting == 0)
        task_ready(c, t);
    step_end(c, now_ns);
    return MOB_OK;
}

/* ---- answers ---- */

/* The task that `from` was sent and answers now; NULL, and counted, when it has no business to. */
static struct task *task_answered(struct client *c, struct client_peer *from, uint64_t seq,
                                  uint32_t attempt)
{
    struct object *o = objects_find(c->objects, (struct mob_object){c->config.self.v, seq});
    struct task *t = o != NULL ? o->task : NULL;
    bool ours = t != NULL && t->seq == seq && t->state == TASK_SENT && t->attempt == attempt;
    if (ours && (t->lease->peer == from || MUTANT(client_accept_any_worker)))
        return t;
    c->counts.refused++;
    return NULL;
}

static void results_settle(struct client *c, struct task *t, const struct msg_task_done *m)
{
    struct cursor at = cursor_of(m->results.data, m->results.size);
    for (uint32_t i = 0; i < result_ids(t); i++) {
        struct msg_result r = {.kind = VALUE_INLINE};
        bool whole = t->result_count == 0 || msg_result_unpack_item(&at, &r);
        struct object *o = result_object(c, t, i);
        o->task = NULL;
        if (whole && r.kind == VALUE_STORED)
            object_settle_stored(c, o, r.offset, r.size);
        else if (object_settle_inline(c, o, r.value) != MOB_OK)
            object_settle_failed(c, o, c->no_memory);
    }
    c->counts.done++;
    task_destroy(c, t);
}

static bool results_valid(const struct client *c, const struct task *t,
                          const struct msg_task_done *m)
{
    if (m->results.count != t->result_count)
        return false;
    struct cursor at = cursor_of(m->results.data, m->results.size);
    struct msg_result r;
    for (uint32_t i = 0; i < t->result_count; i++) {
        if (!msg_result_unpack_item(&at, &r) || (r.kind != VALUE_INLINE && r.kind != VALUE_STORED))
            return false;
        if (r.kind == VALUE_STORED &&
            (r.size > c->config.arena_bytes || r.offset > c->config.arena_bytes - r.size))
            return false;
    }
    return true;
}

/* What the worker says; a worker that does not know the function does not know its name either. */
static struct failure *failure_received(const struct task *t, const struct msg_list *errors)
{
    struct cursor at = cursor_of(errors->data, errors->size);
    struct msg_error_frame frame;
    if (errors->count != 1 || !msg_error_frame_unpack_item(&at, &frame) || frame.function.size > 0)
        return failure_create(errors);
    frame.function = view_of(t->name != NULL ? t->name : "");
    return failure_chain(&frame, NULL);
}

void on_task_done(struct client *c, struct client_peer *from, const struct msg_task_done *m,
                  uint64_t now_ns)
{
    struct task *t = task_answered(c, from, m->task, m->attempt);
    if (t == NULL)
        return;
    struct lease *l = t->lease;
    pace_note(c, t->function, m->run_ns);
    l->stalled = false;
    l->idle_since_ns = now_ns;
    if (m->errors.count > 0) {
        struct failure *f = failure_received(t, &m->errors);
        task_fail(c, t, f != NULL ? f : c->no_memory);
        failure_drop(f);
    } else if (results_valid(c, t, m)) {
        results_settle(c, t, m);
    } else {
        c->counts.refused++;
        task_fail_text(c, t, MOB_EPROTO, "the worker's answer does not fit the task");
    }
}

void on_task_back(struct client *c, struct client_peer *from, const struct msg_task_back *m)
{
    struct task *t = task_answered(c, from, m->task, m->attempt);
    if (t == NULL)
        return;
    t->lease->stalled = true;
    if (MUTANT(client_task_back_lost))
        return;
    task_unlink(c, t);
    t->state = TASK_READY;
    queue_push_first(&c->ready, t);
}

void task_lost(struct client *c, struct task *t, const struct loss *loss, uint64_t worker)
{
    bool ran = loss->running == t->seq && !MUTANT(client_retry_not_counted);
    bool again = !ran || t->attempt < t->retries;
    if (again && !(ran && MUTANT(client_retry_forgotten))) {
        task_unlink(c, t);
        t->attempt += ran;
        c->counts.retried += ran;
        t->state = TASK_READY;
        queue_push_first(&c->ready, t);
        return;
    }
    char text[MOB_ERR_TEXT_MAX * 4], how[96];
    if (loss->signal != 0)
        snprintf(how, sizeof how, "signal %" PRIu32 " (SIG%s)", loss->signal,
                 sigabbrev_np((int)loss->signal) != NULL ? sigabbrev_np((int)loss->signal) : "?");
    else
        snprintf(how, sizeof how, "exit status %" PRIu32, loss->status);
    snprintf(text, sizeof text,
             "worker %" PRIu64 " died in attempt %" PRIu32 " of %" PRIu32 " by %s%s%s%s%s", worker,
             t->attempt + 1, t->retries + 1, how, loss->function[0] != '\0' ? " in " : "",
             loss->function, loss->tail[0] != '\0' ? "; its last output:\n" : "", loss->tail);
    task_fail_text(c, t, loss->code != MOB_OK ? loss->code : MOB_EWORKERDIED, text);
}
