/* core.c: events in. Each handler checks what its sender may do, changes state, and leaves the rest
 * to node_leases_settle, which end_event runs.
 *
 * A handler answers false for what its sender may not do: that is counted, has no effect, and the
 * next message is read. A message that is not for this channel or malformed ends the client, since
 * nothing after it can be trusted.
 *
 * Forwards are never dropped: a sender is not slowed down, and a receiver that leaves
 * FORWARD_BACKLOG_MAX unread is ended. Output for a driver that does not read is dropped above
 * OUTPUT_BACKLOG_MAX, and the driver is told how much. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "node/state.h"

static void begin_event(struct node_core *core, uint64_t now_ms)
{
    if (now_ms > core->now_ms)
        core->now_ms = now_ms;
}

static void end_event(struct node_core *core)
{
    if (core->unsettled)
        node_leases_settle(core);
    node_report_load(core, false);
}

/* ---- life ---- */

int node_core_create(struct node_core **out, const struct node_config *config, struct mob_err *err)
{
    uint64_t page = config->page_bytes;
    if (config->cpus < CPU || config->cpus / CPU > 1 << 20)
        return mob_err_set(err, MOB_EINVAL,
                           "cpus=%" PRIu64 ": a node has from %d (one cpu) to 2^20 cpus",
                           config->cpus, CPU);
    if (page < 64 || (page & (page - 1)) != 0 || config->store_bytes % page != 0)
        return mob_err_set(err, MOB_EINVAL,
                           "page_bytes=%" PRIu64 " store_bytes=%" PRIu64
                           ": the page is a power of two from 64, the store a multiple of it",
                           page, config->store_bytes);
    if (config->workers_max == 0 || config->clients_max < 2 || config->load_ms == 0)
        return mob_err_set(err, MOB_EINVAL,
                           "workers_max, load_ms must be at least 1 and clients_max at least 2");
    struct node_core *core = memory_zalloc(sizeof *core);
    if (core == NULL)
        return mob_err_set(err, MOB_ENOMEM, "no memory for the node's core");
    core->config = *config;
    core->rows_ms = core->deadline_ms = UINT64_MAX;
    core->balance = 1;
    peer_init(&core->head, &core->outbox, (struct mob_process){0});
    *out = core;
    return MOB_OK;
}

void node_core_destroy(struct node_core *core)
{
    if (core == NULL)
        return;
    while (core->jobs != NULL) {
        while (core->jobs->clients != NULL)
            node_client_forget(core, core->jobs->clients);
        node_job_free(core, core->jobs);
    }
    node_graveyard_clear(core);
    peer_fini(&core->head);
    buffer_fini(&core->rows_workers);
    buffer_fini(&core->rows_ended);
    buffer_fini(&core->rows_objects);
    memory_free(core->effects);
    memory_free(core);
}

struct outbox *node_core_outbox(struct node_core *core)
{
    return &core->outbox;
}

struct peer *node_core_head(struct node_core *core)
{
    return &core->head;
}

struct peer *node_core_client(struct node_core *core, struct mob_process process)
{
    struct client *c = node_client_find(core, process);
    return c != NULL ? &c->peer : NULL;
}

uint64_t node_core_deadline(const struct node_core *core)
{
    return core->deadline_ms;
}

/* ---- effects ---- */

struct node_effect *node_effect_add(struct node_core *core, enum node_effect_kind kind,
                                    struct job *job, struct mob_process process)
{
    if (core->effects_end == core->effects_room) {
        uint32_t room = core->effects_room == 0 ? 16 : 2 * core->effects_room;
        core->effects = memory_realloc(core->effects, room * sizeof *core->effects);
        if (core->effects == NULL)
            abort();
        core->effects_room = room;
    }
    struct node_effect *e = &core->effects[core->effects_end++];
    *e = (struct node_effect){.kind = kind, .job = job->id, .process = process};
    return e;
}

bool node_core_next_effect(struct node_core *core, struct node_effect *out)
{
    if (core->effects_first == core->effects_end) {
        core->effects_first = core->effects_end = 0;
        node_graveyard_clear(core);
        return false;
    }
    *out = core->effects[core->effects_first++];
    return true;
}

/* ---- the head ---- */

static void on_process_block(struct node_core *core, const struct msg_process_block *m)
{
    if (m->request == 0 || m->request != core->ids_request) {
        core->refused += m->request > core->last_request; /* else it was answered before */
        return;
    }
    core->ids_request = 0;
    if (m->count == 0) /* the head has none to give now: the next tick asks again */
        return;
    if (m->first == 0 || m->count > UINT64_MAX - m->first) {
        core->refused++;
        return;
    }
    core->ids[core->ids[0].count == 0 ? 0 : 1] = (struct id_range){m->first, m->count};
    core->ids_block = m->count;
    for (struct job *job = core->jobs; job != NULL; job = job->next)
        node_job_start_queued(core, job);
    node_ids_ask(core);
}

static void on_job_started(struct node_core *core, const struct msg_job_started *m)
{
    struct job *job = node_job_asked(core, m->request);
    if (job != NULL && node_job_find(core, m->job) == NULL)
        node_job_started(core, job, m);
    else
        core->refused +=
            job != NULL || m->request > core->last_request; /* else it was answered before */
}

/* The job may have ended while this was under way. */
static void on_job_share(struct node_core *core, const struct msg_job_share *m)
{
    struct job *job = node_job_find(core, m->job);
    if (job == NULL)
        return;
    job->share = m->cpus < core->config.cpus ? m->cpus : core->config.cpus;
    core->unsettled = true;
}

/* What was asked of the head and not answered is asked again: request numbers make that harmless.
 */
void node_core_welcomed(struct node_core *core, const struct msg_node_welcome *m, uint64_t now_ms)
{
    begin_event(core, now_ms);
    core->welcomed = true;
    core->epoch = m->epoch;
    if (m->node != core->node.v ||
        MUTANT(n_ids_again)) { /* one that comes back has used up part of this block already */
        core->ids[0] = core->ids[1] = (struct id_range){0, 0};
        if (m->process_first != 0 && m->process_count <= UINT64_MAX - m->process_first)
            core->ids[0] = (struct id_range){m->process_first, m->process_count};
        core->ids_block = core->ids[0].count;
    }
    core->node = (struct mob_node){m->node};
    for (struct job *job = core->jobs; job != NULL; job = job->next) {
        if (job->state != JOB_RUNNING &&
            !(job->state == JOB_LEFT &&
              MUTANT(n_left_forgotten))) /* one that was left, too: its answer may be lost, and the
                                            head would keep it */
            node_job_ask(core, job);
        node_job_start_queued(core, job);
    }
    if (core->ids_block == 0)
        core->ids_block = 1;
    if (core->ids_request != 0)
        SEND_HEAD(core, process_block_want, .request = core->ids_request);
    node_ids_ask(core);
    node_report_load(core, true);
    node_arm(core, core->load_ms);
    end_event(core);
}

#define ON_HEAD(name)                                                                              \
    case MSG_##name: {                                                                             \
        struct msg_##name m;                                                                       \
        if (msg_##name##_unpack(&c, &head, &m))                                                    \
            on_##name(core, &m);                                                                   \
        break;                                                                                     \
    }

int node_core_on_head(struct node_core *core, struct view frame, uint64_t now_ms)
{
    begin_event(core, now_ms);
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head head;
    int rc = MOB_OK;
    while (rc == MOB_OK && message_next(&c, &head)) {
        switch (head.number) {
            ON_HEAD(process_block)
            ON_HEAD(job_started)
            ON_HEAD(job_share)
        default:
            rc = MOB_EPROTO;
        }
    }
    if (c.failed)
        rc = MOB_EPROTO;
    if (rc != MOB_OK)
        core->refused++;
    end_event(core);
    return rc;
}

/* ---- a driver comes ---- */

static struct view copy_view(uint8_t **at, struct view v)
{
    struct view copy = {*at, v.size};
    if (v.size != 0)
        memcpy(*at, v.data, v.size);
    *at += v.size;
    return copy;
}

static struct msg_list copy_list(uint8_t **at, const struct msg_list *list)
{
    struct view copy = copy_view(at, (struct view){list->data, list->size});
    return (struct msg_list){list->count, copy.data, copy.size};
}

/* Keep all of the hello but its token. */
static void copy_hello(struct job *job, const struct msg_client_hello *m)
{
    size_t size = m->program.size + m->directory.size + m->arguments.size + m->environment.size;
    uint8_t *at = job->package = memory_alloc(size + 1);
    if (at == NULL)
        abort();
    job->hello = *m;
    job->hello.token = (struct view){NULL, 0};
    job->hello.program = copy_view(&at, m->program);
    job->hello.directory = copy_view(&at, m->directory);
    job->hello.arguments = copy_list(&at, &m->arguments);
    job->hello.environment = copy_list(&at, &m->environment);
}

static bool has_nul(struct view v)
{
    return v.size != 0 && memchr(v.data, 0, v.size) != NULL;
}

static bool list_has_nul(const struct msg_list *list)
{
    struct cursor c = cursor_of(list->data, list->size);
    struct msg_string s;
    for (uint32_t i = 0; i < list->count; i++)
        if (!msg_string_unpack_item(&c, &s) || has_nul(s.text))
            return true;
    return false;
}

struct mob_process node_core_driver_hello(struct node_core *core, const struct msg_client_hello *m,
                                          uint64_t uid, uint64_t now_ms, struct mob_err *err)
{
    const struct mob_process none = {0};
    begin_event(core, now_ms);
    if (m->version != PROTOCOL_VERSION) {
        mob_err_set(err, MOB_EVERSION,
                    "the driver speaks version %" PRIu32
                    " and the node version %d: use the same on both",
                    m->version, PROTOCOL_VERSION);
        return none;
    }
    if (m->program.size == 0 || has_nul(m->program) || has_nul(m->directory) ||
        list_has_nul(&m->arguments) || list_has_nul(&m->environment)) {
        mob_err_set(err, MOB_EINVAL, "the driver's hello names no program, or has a NUL in a text");
        return none;
    }
    /* Each job needs room for its driver and one worker, or it would wait for ever. */
    if (HASH_COUNT(core->clients) + core->queued >= core->config.clients_max ||
        2 * (core->jobs_count + 1) > core->config.clients_max) {
        mob_err_set(err, MOB_ELIMIT,
                    "the node has as many clients as clients_max=%" PRIu32
                    " allows: raise clients_max or wait until some have ended",
                    core->config.clients_max);
        return none;
    }
    struct mob_process id = node_id_take(core);
    if (id.v == 0) {
        mob_err_set(err, MOB_EAGAIN, "no process id is left until the head sends more");
        return none;
    }
    struct job *job = memory_zalloc(sizeof *job);
    if (job == NULL)
        abort();
    job->state = JOB_ASKED;
    job->uid = uid;
    job->request = ++core->last_request;
    job->stuck_since_ms = UINT64_MAX;
    copy_hello(job, m);
    DL_APPEND(core->jobs, job);
    core->jobs_count++;
    job->driver = node_client_add(core, job, id, true);
    job->driver_id = id;
    node_job_ask(core, job);
    end_event(core);
    return id;
}

uint64_t node_core_ids_left(const struct node_core *core)
{
    return core->ids[0].count + core->ids[1].count;
}

void node_core_driver_gone(struct node_core *core, struct mob_process process, uint64_t now_ms)
{
    begin_event(core, now_ms);
    struct client *c = node_client_find(core, process);
    if (c != NULL && c->driver)
        node_job_drop(core, c->job, MOB_EPEERDIED);
    end_event(core);
}

/* ---- workers come and go ---- */

void node_core_zygote_ready(struct node_core *core, struct mob_job id, uint64_t now_ms)
{
    begin_event(core, now_ms);
    struct job *job = node_job_find(core, id.v);
    if (job != NULL && job->zygote == ZYGOTE_STARTING) {
        job->zygote = ZYGOTE_READY;
        node_job_start_queued(core, job);
        core->unsettled = true;
    }
    end_event(core);
}

void node_core_zygote_gone(struct node_core *core, struct mob_job id, const char *text,
                           uint64_t now_ms)
{
    begin_event(core, now_ms);
    struct job *job = node_job_find(core, id.v);
    if (job != NULL && job->zygote != ZYGOTE_NONE) {
        bool failed = job->zygote == ZYGOTE_STARTING || job->queued != 0;
        for (struct client *c = job->clients; c != NULL; c = c->next)
            if (!c->driver && c->state == CLIENT_STARTING)
                failed = c->orphan = true;
        job->zygote = ZYGOTE_NONE;
        core->queued -= job->queued;
        job->queued = 0;
        core->unsettled = true;
        if (failed)
            node_job_start_failed(core, job, text);
    }
    end_event(core);
}

void node_core_worker_forked(struct node_core *core, struct mob_process process, uint64_t pid,
                             uint64_t now_ms)
{
    begin_event(core, now_ms);
    struct client *c = node_client_find(core, process);
    if (c != NULL && !c->driver && !c->announced) {
        c->announced = true;
        node_report_worker(core, c, pid);
    }
    end_event(core);
}

static struct view cut_view(struct view v, size_t size)
{
    return (struct view){v.data, v.size < size ? v.size : size};
}

/* The last `size` bytes: the end of a stderr says most. */
static struct view end_of(struct view v, size_t size)
{
    return v.size <= size ? v : (struct view){(const char *)v.data + (v.size - size), size};
}

static void start_failed(struct node_core *core, struct job *job, struct mob_process process,
                         const struct worker_exit *exit)
{
    char why[FAILURE_TEXT_MAX];
    struct view tail = end_of(exit->tail, FAILURE_TEXT_MAX - 120);
    snprintf(why, sizeof why, "worker %" PRIu64 " ended before it was ready (%s %" PRIu32 ")%s%.*s",
             process.v, exit->signal != 0 ? "signal" : "status",
             exit->signal != 0 ? exit->signal : exit->status, tail.size != 0 ? ": " : "",
             (int)tail.size, tail.size != 0 ? (const char *)tail.data : "");
    node_job_start_failed(core, job, why);
}

void node_core_worker_exited(struct node_core *core, struct mob_process process,
                             const struct worker_exit *exit, uint64_t now_ms)
{
    begin_event(core, now_ms);
    struct client *c = node_client_find(core, process);
    if (c != NULL && !c->driver) {
        struct job *job = c->job;
        bool failed = c->state == CLIENT_STARTING && !c->orphan;
        struct worker_exit cut = *exit;
        cut.function = cut_view(exit->function, 1 << 10);
        cut.tail = end_of(exit->tail, 64 << 10);
        node_client_ended(core, c, &cut);
        if (failed)
            start_failed(core, job, process, &cut);
    }
    end_event(core);
}

/* ---- messages of clients ---- */

static bool on_worker_ready(struct node_core *core, struct client *c,
                            const struct msg_worker_ready *m)
{
    (void)m;
    if (c->driver || (c->state != CLIENT_STARTING && c->state != CLIENT_STOPPING))
        return false;
    c->was_ready = true;
    c->job->failures = 0;
    node_client_move(core, c, CLIENT_IDLE);
    return true;
}

/* One more than it can ever have, so that a client which holds all workers and wants another still
 * waits. */
static bool on_lease_want(struct node_core *core, struct client *c, const struct msg_lease_want *m)
{
    uint32_t max = core->config.workers_max + 1;
    c->want = m->count < max ? (uint32_t)m->count : max;
    c->depth = m->depth;
    node_client_wish(core, c);
    return true;
}

/* A lease that is gone was lost with its worker while this was under way. */
static bool on_lease_return(struct node_core *core, struct client *c,
                            const struct msg_lease_return *m)
{
    struct lease *l = node_lease_find(core, m->lease);
    if (l == NULL)
        return m->lease != 0 && m->lease <= core->last_lease;
    if (l->submitter != c)
        return false;
    struct client *worker = l->worker;
    node_lease_end(core, l);
    if (worker->state == CLIENT_LEASED && worker->lease == NULL)
        node_client_move(core, worker, CLIENT_IDLE);
    return true;
}

static bool on_blocked(struct node_core *core, struct client *c, const struct msg_blocked *m)
{
    if (c->driver)
        return false;
    if (m->count <= c->blocked_count)
        return true;
    c->blocked_count = m->count;
    if (!c->blocked)
        node_worker_blocked(core, c);
    return true;
}

static bool on_unblocked(struct node_core *core, struct client *c, const struct msg_unblocked *m)
{
    if (c->driver || m->count > c->blocked_count)
        return false;
    if (c->blocked && m->count == c->blocked_count)
        node_worker_unblocked(core, c);
    return true;
}

/* By now every ring has been read once since the client wrote its mark, or will be before its next
 * one. */
static bool on_mark(struct node_core *core, struct client *c, const struct msg_mark *m)
{
    (void)core;
    SEND(c, marked, .request = m->request);
    return true;
}

static bool on_extent_want(struct node_core *core, struct client *c,
                           const struct msg_extent_want *m)
{
    struct node_extents *x = c->job->extents;
    const struct extent *e =
        node_extents_take(x, m->size, core->config.extent_bytes, c->peer.process.v);
    if (e != NULL) {
        SEND(c, extent_grant, .request = m->request, .code = MOB_OK, .offset = e->offset,
             .size = e->size);
        return true;
    }
    char text[200];
    snprintf(text, sizeof text,
             "%" PRIu64 " bytes are wanted; of the %" PRIu64 " bytes of this job's store %" PRIu64
             " are used, and the largest free piece has %" PRIu64,
             m->size, core->config.store_bytes, node_extents_used(x), node_extents_largest(x));
    SEND(c, extent_grant, .request = m->request, .code = MOB_ESTOREFULL, .text = view_of(text));
    return true;
}

static bool is_of_job(const struct node_core *core, uint64_t process, const struct job *job)
{
    const struct client *c = node_client_find(core, (struct mob_process){process});
    return c != NULL && c->job == job && c->was_ready;
}

/* The owner is the sender, or the submitter whose task made it. */
static bool on_object_sealed(struct node_core *core, struct client *c,
                             const struct msg_object_sealed *m)
{
    if (!is_of_job(core, m->object.owner, c->job) || m->object.seq == 0 || m->offset % 64 != 0)
        return false;
    if (!node_extents_seal(c->job->extents, c->peer.process.v, m->offset, m->size))
        return false;
    node_report_object(core, c->job, m->object, m->size);
    return true;
}

static void end_if_it_does_not_read(struct node_core *core, struct client *c)
{
    if (peer_backlog(&c->peer) <= FORWARD_BACKLOG_MAX || c->state >= CLIENT_KILLED)
        return;
    if (c->driver)
        node_job_drop(core, c->job, MOB_EPEERDIED);
    else
        node_client_kill(core, c);
}

static bool on_forward(struct node_core *core, struct client *c, const struct msg_forward *m)
{
    struct client *to = node_client_find(core, (struct mob_process){m->to});
    if (to == c || m->to == 0 || m->body.size > MESSAGE_SIZE_MAX - 64)
        return false;
    bool alive = to != NULL && to->job == c->job && to->was_ready && to->state < CLIENT_KILLED;
    if (!alive) {
        SEND(c, process_lost, .process = m->to);
        return to == NULL || to->job == c->job;
    }
    SEND(to, forwarded, .from = c->peer.process.v, .body = m->body);
    end_if_it_does_not_read(core, to);
    return true;
}

static bool on_output(struct node_core *core, struct client *c, const struct msg_output *m)
{
    (void)core;
    size_t size = m->lines.size + m->function.size;
    if (c->driver || (m->stream != 1 && m->stream != 2) || size > MESSAGE_SIZE_MAX - 128)
        return false;
    struct job *job = c->job;
    if (peer_backlog(&job->driver->peer) > OUTPUT_BACKLOG_MAX) {
        job->output_dropped += m->lines.size;
        return true;
    }
    if (job->output_dropped != 0) {
        char text[120];
        snprintf(text, sizeof text,
                 "%" PRIu64 " bytes of output were dropped: the driver did not read them in time\n",
                 job->output_dropped);
        SEND(job->driver, task_output, .stream = 2, .lines = view_of(text));
        job->output_dropped = 0;
    }
    SEND(job->driver, task_output, .stream = m->stream, .function = m->function, .task = m->task,
         .process = c->peer.process.v, .lines = m->lines);
    return true;
}

/* A worker that says so ends by itself; its record ends when the shell reports it. */
static bool on_goodbye(struct node_core *core, struct client *c, const struct msg_goodbye *m)
{
    if (c->driver)
        node_job_drop(core, c->job, m->code < 0 && m->code > -1000 ? (int)m->code : MOB_OK);
    else if (c->state == CLIENT_IDLE)
        node_client_move(core, c, CLIENT_STOPPING);
    return true;
}

/* Whether a message of this kind counts from it. What a worker sealed before it was killed does:
 * its submitter may have the result already, and its place must not be given to another. */
static bool is_heard(const struct client *c, uint32_t number)
{
    switch (c->state) {
    case CLIENT_STARTING:
        return number == MSG_worker_ready;
    case CLIENT_KILLED:
        return number == MSG_object_sealed || MUTANT(n_dead_accepted);
    case CLIENT_ENDED:
        return false;
    default:
        return true;
    }
}

#define ON(name)                                                                                   \
    case MSG_##name: {                                                                             \
        struct msg_##name m;                                                                       \
        if (!msg_##name##_unpack(cursor, head, &m))                                                \
            return MOB_EPROTO;                                                                     \
        core->refused += !on_##name(core, c, &m);                                                  \
        return MOB_OK;                                                                             \
    }

static int on_message(struct node_core *core, struct client *c, struct cursor *cursor,
                      const struct message_head *head)
{
    if (!is_heard(c, head->number)) {
        core->refused++;
        message_skip(cursor, head);
        return MOB_OK;
    }
    switch (head->number) {
        ON(worker_ready)
        ON(lease_want)
        ON(lease_return)
        ON(blocked)
        ON(unblocked)
        ON(extent_want)
        ON(object_sealed)
        ON(forward)
        ON(output)
        ON(goodbye)
        ON(mark)
    default:
        return MOB_EPROTO;
    }
}

int node_core_on_client(struct node_core *core, struct peer *client, struct view frame,
                        uint64_t now_ms)
{
    begin_event(core, now_ms);
    struct client *c = (struct client *)((char *)client - offsetof(struct client, peer));
    struct cursor cursor = cursor_of(frame.data, frame.size);
    struct message_head head;
    int rc = MOB_OK;
    while (rc == MOB_OK && message_next(&cursor, &head))
        rc = on_message(core, c, &cursor, &head);
    if (cursor.failed)
        rc = MOB_EPROTO;
    if (rc != MOB_OK)
        core->refused++;
    end_if_it_does_not_read(core, c);
    end_event(core);
    return rc;
}

void node_core_tick(struct node_core *core, uint64_t now_ms)
{
    begin_event(core, now_ms);
    if (core->now_ms < core->deadline_ms)
        return;
    core->deadline_ms = UINT64_MAX;
    core->unsettled = true;
    node_jobs_tick(core);
    node_reports_tick(core);
    end_event(core);
}

/* ---- looking in ---- */

const struct msg_client_hello *node_core_package(const struct node_core *core, struct mob_job id)
{
    const struct job *job = node_job_find(core, id.v);
    return job != NULL ? &job->hello : NULL;
}

int node_core_fill_welcome(const struct node_core *core, struct mob_process process,
                           struct msg_client_welcome *m, struct mob_err *err)
{
    const struct client *c = node_client_find(core, process);
    if (c == NULL || c->job->state != JOB_RUNNING)
        return mob_err_set(err, MOB_ENOTFOUND, "process %" PRIu64 " is no client of a running job",
                           process.v);
    *m = (struct msg_client_welcome){.process = process.v,
                                     .job = c->job->id.v,
                                     .node = core->node.v,
                                     .epoch = core->epoch,
                                     .arena_bytes = core->config.store_bytes,
                                     .inline_max = core->config.inline_max,
                                     .retries = core->config.retries,
                                     .cpus = core->config.cpus};
    return MOB_OK;
}

void node_core_counts(const struct node_core *core, struct node_counts *out)
{
    *out = (struct node_counts){.leases = core->leases_count,
                                .leased_cpus = (uint64_t)core->running * CPU,
                                .refused_messages = core->refused};
    for (const struct job *job = core->jobs; job != NULL; job = job->next) {
        out->jobs += job->state == JOB_RUNNING;
        out->workers += job->workers;
        out->store_used += job->extents != NULL ? node_extents_used(job->extents) : 0;
        for (const struct client *c = job->clients; c != NULL; c = c->next) {
            out->drivers += c->driver;
            out->idle_workers += node_client_free(c);
            out->blocked_workers += c->blocked;
            out->wanted_leases += c->waits ? c->want - c->held : 0;
        }
    }
}
