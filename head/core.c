/* core.c: every change of what lasts is a record, made durable in the shell's next commit and
 * applied to the state at once (emit). Handlers read the state, make records and append replies; a
 * reply waits for the commit because nothing is sent before it. So a handler needs no case for "the
 * record was written but the answer was lost": it looks the request up and answers again. */
#include "head/core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "head/state.h"
#include "protocol/memory.h"
#include "protocol/mutant.h"

#include <utlist.h>

enum { PLACE_MAX = 255, COMMAND_MAX = 4096 }; /* bytes of text that are kept */

/* The states of a connection:
 *
 *     first frame --hello accepted--> NODE or DRIVER --gone--> forgotten
 *          |                              | malformed, goodbye
 *          +---hello refused--> ENDING <--+
 *                                  | refused_ms later: HEAD_CUT
 *                                  +--> forgotten
 * A frame without a hello makes no connection. */
enum connection_state { CONNECTION_NODE, CONNECTION_DRIVER, CONNECTION_ENDING };

struct connection {
    uint64_t id;
    enum connection_state state;
    struct peer peer;
    struct link *link;       /* nodes only */
    struct state_node *node; /* nodes only */
    uint64_t end_at_ms;      /* ENDING only */
    bool ready;              /* in the list of those that may have something to send */
    struct connection *prev, *next;
    UT_hash_handle hh;
};

struct head_core {
    struct head_config config;
    struct state state;
    struct connection *connections;
    struct outbox outbox;
    struct connection *ready;
    struct buffer records, plain, effects;
    uint32_t record_count;
    uint64_t last_commit;
    struct head_counts counts;
    bool started;
};

int head_core_create(struct head_core **out, const struct head_config *config, struct mob_err *err)
{
    if (config->process_block == 0 || config->connections_max == 0)
        return mob_err_set(err, MOB_EINVAL,
                           "head: process_block and connections_max must be above 0");
    struct head_core *core = memory_zalloc(sizeof *core);
    if (core == NULL)
        return mob_err_set(err, MOB_ENOMEM, "head: no memory for its core");
    core->config = *config;
    *out = core;
    return MOB_OK;
}

static void connection_forget(struct head_core *core, struct connection *conn)
{
    if (conn->node != NULL)
        conn->node->connection = NULL;
    if (conn->link != NULL) {
        core->counts.other_session += conn->link->counts.other_session;
        link_fini(conn->link);
        memory_free(conn->link);
    }
    if (conn->ready)
        DL_DELETE(core->ready, conn);
    peer_fini(&conn->peer);
    HASH_DELETE(hh, core->connections, conn);
    memory_free(conn);
}

void head_core_destroy(struct head_core *core)
{
    if (core == NULL)
        return;
    while (core->connections != NULL)
        connection_forget(core, core->connections);
    state_fini(&core->state);
    buffer_fini(&core->records);
    buffer_fini(&core->plain);
    buffer_fini(&core->effects);
    memory_free(core);
}

/* ---- what comes out ---- */

static void must(int rc)
{
    if (rc != MOB_OK)
        abort();
}

/* The handler has checked what the record needs; one that contradicts the state is a bug, and
 * committing it would keep the bug for ever. */
static void emit(struct head_core *core, const struct record *r)
{
    must(state_apply(&core->state, r, NULL));
    must(record_pack(&core->records, r));
    core->record_count++;
}

/* emit_record(core, job_ended, .job = 1, .code = MOB_OK) */
#define emit_record(core, name_, ...)                                                              \
    emit((core), &(struct record){.kind = RECORD_##name_, .name_ = {__VA_ARGS__}})

static void emit_counter(struct head_core *core, const char *name, uint64_t value)
{
    emit_record(core, counter_set, .name = view_of(name), .value = value);
}

static void effect_add(struct head_core *core, const struct head_effect *effect)
{
    must(buffer_append(&core->effects, effect, sizeof *effect));
}

static void note(struct head_core *core, bool warn, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void note(struct head_core *core, bool warn, const char *format, ...)
{
    struct head_effect effect = {.kind = HEAD_NOTE, .warn = warn};
    va_list args;
    va_start(args, format);
    vsnprintf(effect.text, sizeof effect.text, format, args);
    va_end(args);
    effect_add(core, &effect);
}

static void cut(struct head_core *core, uint64_t connection)
{
    effect_add(core, &(struct head_effect){.kind = HEAD_CUT, .connection = connection});
}

bool head_core_next_effect(struct head_core *core, struct head_effect *out)
{
    if (buffer_size(&core->effects) == 0)
        return false;
    memcpy(out, buffer_head(&core->effects), sizeof *out);
    buffer_take(&core->effects, sizeof *out);
    return true;
}

bool head_core_commit(const struct head_core *core, struct commit *out)
{
    *out = (struct commit){core->last_commit + 1,
                           core->record_count,
                           {buffer_head(&core->records), buffer_size(&core->records)}};
    return core->record_count != 0;
}

void head_core_committed(struct head_core *core, uint64_t number)
{
    assert(number == core->last_commit + 1);
    core->last_commit = number;
    core->record_count = 0;
    buffer_clear(&core->records);
}

static void ready_add(struct head_core *core, struct connection *conn)
{
    if (conn->ready)
        return;
    conn->ready = true;
    DL_APPEND(core->ready, conn);
}

static struct connection *connection_of(struct peer *peer)
{
    return (struct connection *)((char *)peer - offsetof(struct connection, peer));
}

static bool connection_outgoing(struct head_core *core, struct connection *conn, uint64_t now_ms,
                                struct view *frame)
{
    if (conn->state == CONNECTION_NODE)
        return link_outgoing(conn->link, &conn->peer, now_ms, frame);
    struct view first;
    if (!peer_first_frame(&conn->peer, &first))
        return false;
    buffer_clear(&core->plain);
    must(buffer_append(&core->plain, first.data, first.size));
    peer_gone(&conn->peer, FRAME_HEAD_SIZE + first.size);
    *frame = (struct view){buffer_head(&core->plain), buffer_size(&core->plain)};
    return true;
}

bool head_core_outgoing(struct head_core *core, uint64_t now_ms, uint64_t *connection,
                        struct view *frame)
{
    if (core->record_count != 0)
        return false;
    for (struct peer *peer; (peer = outbox_take(&core->outbox)) != NULL;)
        ready_add(core, connection_of(peer));
    while (core->ready != NULL) {
        struct connection *conn = core->ready;
        if (connection_outgoing(core, conn, now_ms, frame)) {
            *connection = conn->id;
            return true;
        }
        DL_DELETE(core->ready, conn);
        conn->ready = false;
    }
    return false;
}

/* ---- connections ---- */

static struct connection *connection_find(const struct head_core *core, uint64_t id)
{
    struct connection *found;
    HASH_FIND(hh, core->connections, &id, sizeof id, found);
    return found;
}

static struct connection *connection_add(struct head_core *core, uint64_t id,
                                         enum connection_state state)
{
    struct connection *conn = memory_zalloc(sizeof *conn);
    if (conn == NULL)
        abort();
    conn->id = id;
    conn->state = state;
    peer_init(&conn->peer, &core->outbox, (struct mob_process){0});
    HASH_ADD(hh, core->connections, id, sizeof conn->id, conn);
    return conn;
}

/* Say why, then nothing more. What was to be sent is dropped: the refusal is the last frame. */
static void connection_end(struct head_core *core, struct connection *conn, int code,
                           const char *text, uint64_t now_ms)
{
    if (conn->node != NULL) {
        conn->node->connection = NULL;
        conn->node = NULL;
    }
    conn->state = CONNECTION_ENDING;
    conn->end_at_ms = now_ms + core->config.refused_ms;
    peer_gone(&conn->peer, peer_backlog(&conn->peer));
    struct msg_refuse m = {code, view_of(text)};
    must(peer_send(&conn->peer, refuse, &m));
}

/* Refuse a hello. The table of connections may be full: then the connection is cut without a word.
 */
static void hello_refuse(struct head_core *core, struct connection *conn,
                         const struct sender *sender, int code, const char *text, uint64_t now_ms)
{
    note(core, true, "hello.refused connection=%" PRIu64 " uid=%" PRId64 " code=%s text=\"%.150s\"",
         sender->connection, (int64_t)sender->uid, mob_error_name(code), text);
    if (conn == NULL) {
        if (HASH_COUNT(core->connections) >= core->config.connections_max) {
            cut(core, sender->connection);
            return;
        }
        conn = connection_add(core, sender->connection, CONNECTION_ENDING);
    }
    connection_end(core, conn, code, text, now_ms);
}

void head_core_disconnected(struct head_core *core, uint64_t connection, uint64_t now_ms)
{
    (void)now_ms;
    struct connection *conn = connection_find(core, connection);
    if (conn == NULL)
        return;
    if (conn->node != NULL)
        note(core, true, "node.away node=%" PRIu64, conn->node->node);
    connection_forget(core, conn);
}

/* ---- shares ---- */

/* The share of the job that is the `index`-th of `count` at its node: whole cpus, at least one.
 * Shares of more jobs than cpus overlap; the node sees to it that its cpus are not used twice. */
static uint64_t share_of(const struct state_node *node, uint64_t index, uint64_t count)
{
    uint64_t cpus = node->cpus / HEAD_CPU;
    if (cpus == 0)
        return node->cpus;
    uint64_t share = cpus / count + (index < cpus % count);
    return (share == 0 ? 1 : share) * HEAD_CPU;
}

/* Divide the node's cpus anew, and tell it what has changed; `quiet` is told by its own reply. */
static void shares_update(struct head_core *core, struct state_node *node,
                          const struct state_job *quiet, bool all)
{
    uint64_t index = 0;
    for (struct state_job *j = core->state.jobs; j != NULL; j = j->hh.next) {
        if (j->ended || j->node != node->node)
            continue;
        uint64_t share = share_of(node, index++, node->job_count);
        if (share == j->share && !all)
            continue;
        j->share = share;
        if (j == quiet || node->connection == NULL)
            continue;
        struct msg_job_share m = {j->job, share};
        must(peer_send(&node->connection->peer, job_share, &m));
    }
}

/* ---- ending ---- */

static void history_trim(struct head_core *core)
{
    struct state_job *j = core->state.jobs;
    while (j != NULL && core->state.ended_count > core->config.history_max) {
        struct state_job *next = j->hh.next;
        if (j->ended)
            emit_record(core, job_forgotten, .job = j->job);
        j = next;
    }
}

static void job_end(struct head_core *core, struct state_job *job, int64_t code)
{
    note(core, code != MOB_OK, "job.ended job=%" PRIu64 " code=%s", job->job,
         mob_error_name((int)code));
    emit_record(core, job_ended, .job = job->job, .code = code);
}

static void node_end(struct head_core *core, struct state_node *node, int64_t code)
{
    for (struct state_job *j = core->state.jobs; j != NULL; j = j->hh.next)
        if (!j->ended && j->node == node->node)
            job_end(core, j, MOB_ENODEDIED);
    history_trim(core);
    if (node->connection != NULL)
        node->connection->node = NULL;
    note(core, code != MOB_OK, "node.ended node=%" PRIu64 " code=%s", node->node,
         mob_error_name((int)code));
    emit_record(core, node_ended, .node = node->node, .code = code);
}

/* ---- messages of nodes: on_<message>(core, verified sender, message) ---- */

static uint64_t block_give(struct head_core *core, struct state_node *node, uint64_t request)
{
    uint64_t first = core->state.last_process + 1, count = core->config.process_block;
    if (!MUTANT(head_block_twice))
        emit_counter(core, "process", first + count - 1);
    emit_record(core, block_given, .node = node->node, .request = request, .first = first,
                .count = count);
    return first;
}

static void on_process_block_want(struct head_core *core, struct connection *conn,
                                  const struct msg_process_block_want *m)
{
    struct state_node *node = conn->node;
    struct msg_process_block reply = {.request = m->request, .count = core->config.process_block};
    if (m->request == 0) {
        core->counts.foreign++;
        return;
    }
    for (const struct state_block *b = node->blocks; b != NULL; b = b->next)
        if (b->request == m->request)
            reply.first = b->first, reply.count = b->count;
    if (reply.first == 0 && node->block_count >= core->config.blocks_max) {
        core->counts.full++;
        reply.count = 0;
    } else if (reply.first == 0) {
        reply.first = block_give(core, node, m->request);
    }
    must(peer_send(&conn->peer, process_block, &reply));
}

static uint64_t jobs_active(const struct head_core *core)
{
    return HASH_COUNT(core->state.jobs) - core->state.ended_count;
}

static void job_started_send(struct connection *conn, uint64_t request, const struct state_job *job)
{
    struct msg_job_started reply = {request, job != NULL ? job->job : 0,
                                    job != NULL ? job->share : 0};
    must(peer_send(&conn->peer, job_started, &reply));
}

static void on_job_start(struct head_core *core, struct connection *conn,
                         const struct msg_job_start *m)
{
    struct state_node *node = conn->node;
    struct state_job *job = state_find_request(&core->state, node->node, m->request);
    if (job != NULL && !MUTANT(head_job_twice)) {
        job_started_send(conn, m->request, job);
        return;
    }
    if (m->request <= node->request && !MUTANT(head_job_twice)) {
        core->counts.stale++;
        return;
    }
    if (!state_has_process(node, m->driver)) {
        core->counts.foreign++;
        job_started_send(conn, m->request, NULL);
        return;
    }
    if (jobs_active(core) >= core->config.jobs_max) {
        core->counts.full++;
        job_started_send(conn, m->request, NULL);
        return;
    }
    uint64_t id = core->state.last_job + 1;
    size_t kept =
        strnlen(m->command.data, m->command.size < COMMAND_MAX ? m->command.size : COMMAND_MAX);
    struct view command = {m->command.data, kept};
    emit_counter(core, "job", id);
    emit_record(core, node_request, .node = node->node, .request = m->request);
    emit_record(core, job_started, .job = id, .node = node->node, .request = m->request,
                .driver = m->driver, .pid = m->pid, .uid = m->uid, .command = command);
    job = state_find_job(&core->state, id);
    shares_update(core, node, job, false);
    job_started_send(conn, m->request, job);
    note(core, false, "job.started job=%" PRIu64 " node=%" PRIu64 " driver=%" PRIu64, id,
         node->node, m->driver);
}

static void on_job_end(struct head_core *core, struct connection *conn, const struct msg_job_end *m)
{
    struct state_job *job = state_find_job(&core->state, m->job);
    if (job == NULL || job->node != conn->node->node) {
        core->counts.foreign++;
    } else if (!job->ended) {
        job_end(core, job, m->code);
        history_trim(core);
        shares_update(core, conn->node, NULL, false);
    }
}

/* The job that a row names, if it runs at the sender's node; a row of one that has ended comes late
 * and is dropped. */
static struct state_job *row_job(struct head_core *core, const struct connection *conn, uint64_t id)
{
    struct state_job *job = state_find_job(&core->state, id);
    if (job == NULL || job->node != conn->node->node) {
        core->counts.foreign++;
        return NULL;
    }
    if (job->ended)
        core->counts.stale++;
    return job->ended ? NULL : job;
}

static void on_worker_row(struct head_core *core, struct connection *conn,
                          const struct msg_worker_row *row)
{
    struct state_job *job = row_job(core, conn, row->job);
    if (job == NULL || state_find_worker(&core->state, row->process) != NULL)
        return;
    if (!state_has_process(conn->node, row->process))
        core->counts.foreign++;
    else if (HASH_COUNT(core->state.workers) >= core->config.workers_max)
        core->counts.full++;
    else
        emit_record(core, worker_added, .process = row->process, .job = row->job,
                    .node = conn->node->node, .pid = row->pid);
}

static void on_worker_end_row(struct head_core *core, struct connection *conn,
                              const struct msg_worker_end_row *row)
{
    struct state_worker *worker = state_find_worker(&core->state, row->process);
    if (worker != NULL && worker->node == conn->node->node)
        emit_record(core, worker_ended, .process = row->process, .signal = row->signal,
                    .status = row->status);
    else if (worker != NULL || !state_has_process(conn->node, row->process))
        core->counts.foreign++;
}

static void on_object_row(struct head_core *core, struct connection *conn,
                          const struct msg_object_row *row)
{
    struct state_job *job = row_job(core, conn, row->job);
    if (job == NULL || state_find_object(&core->state, row->object) != NULL)
        return;
    if (!state_has_process(conn->node, row->object.owner) || row->object.seq == 0)
        core->counts.foreign++;
    else if (HASH_COUNT(core->state.objects) >= core->config.objects_max)
        core->counts.full++;
    else
        emit_record(core, object_added, .object = row->object, .job = row->job,
                    .node = conn->node->node, .size = row->size);
}

static void on_directory_add(struct head_core *core, struct connection *conn,
                             const struct msg_directory_add *m)
{
    struct msg_worker_row worker;
    struct cursor c = cursor_of(m->workers.data, m->workers.size);
    for (uint32_t i = 0; i < m->workers.count && msg_worker_row_unpack_item(&c, &worker); i++)
        on_worker_row(core, conn, &worker);
    struct msg_worker_end_row ended;
    c = cursor_of(m->ended.data, m->ended.size);
    for (uint32_t i = 0; i < m->ended.count && msg_worker_end_row_unpack_item(&c, &ended); i++)
        on_worker_end_row(core, conn, &ended);
    struct msg_object_row object;
    c = cursor_of(m->objects.data, m->objects.size);
    for (uint32_t i = 0; i < m->objects.count && msg_object_row_unpack_item(&c, &object); i++)
        on_object_row(core, conn, &object);
}

static void on_node_load(struct head_core *core, struct connection *conn,
                         const struct msg_node_load *m)
{
    (void)core;
    conn->node->load = *m;
}

static void on_node_goodbye(struct head_core *core, struct connection *conn,
                            const struct msg_node_goodbye *m)
{
    node_end(core, conn->node, m->code);
    conn->state = CONNECTION_ENDING;
    conn->end_at_ms = 0;
    peer_gone(&conn->peer, peer_backlog(&conn->peer));
}

/* One message of a node. False: it is malformed. */
static bool on_message(struct head_core *core, struct connection *conn, struct cursor *c,
                       const struct message_head *head)
{
    if (message_name(head->number) != NULL && !message_allowed(head->number, CHANNEL_NODE_HEAD)) {
        core->counts.channel++;
        message_skip(c, head);
        return !c->failed;
    }
    if (head->number < sizeof core->counts.messages / sizeof core->counts.messages[0])
        core->counts.messages[head->number]++;
    switch (head->number) {
#define TAKE(name)                                                                                 \
    case MSG_##name: {                                                                             \
        struct msg_##name m;                                                                       \
        if (!msg_##name##_unpack(c, head, &m))                                                     \
            return false;                                                                          \
        on_##name(core, conn, &m);                                                                 \
        return true;                                                                               \
    }
        TAKE(job_start)
        TAKE(job_end)
        TAKE(process_block_want)
        TAKE(directory_add)
        TAKE(node_load)
        TAKE(node_goodbye)
#undef TAKE
    default: /* The hello, which was looked at before, and what a later version adds. */
        message_skip(c, head);
        return !c->failed;
    }
}

/* ---- frames ---- */

static void node_seen(struct head_core *core, struct state_node *node, uint64_t now_ms)
{
    node->seen_ms = now_ms;
    if (node->lost)
        note(core, false, "node.back node=%" PRIu64, node->node);
    node->lost = false;
}

static void node_frame(struct head_core *core, struct connection *conn, struct view frame,
                       uint64_t now_ms)
{
    if (link_on_frame(conn->link, frame, now_ms) != MOB_OK) {
        core->counts.malformed++;
        connection_end(core, conn, MOB_EPROTO, "a frame is malformed", now_ms);
        return;
    }
    node_seen(core, conn->node, now_ms);
    ready_add(core, conn);
    for (struct view messages; link_next(conn->link, &messages);) {
        struct cursor c = cursor_of(messages.data, messages.size);
        struct message_head head;
        bool good = true;
        while (good && conn->state == CONNECTION_NODE && message_next(&c, &head))
            good = on_message(core, conn, &c, &head);
        if (conn->state == CONNECTION_NODE && (!good || c.failed)) {
            core->counts.malformed++;
            note(core, true, "node.malformed node=%" PRIu64, conn->node->node);
            connection_end(core, conn, MOB_EPROTO, "a message is malformed", now_ms);
        }
    }
}

/* The first field of each hello is the version; a hello of another one may be unreadable beyond it.
 */
static int hello_check(struct cursor at, struct mob_err *err)
{
    uint32_t version = cursor_u32(&at);
    if (at.failed)
        return mob_err_set(err, MOB_EPROTO, "the hello is malformed");
    if (version != PROTOCOL_VERSION)
        return mob_err_set(err, MOB_EVERSION,
                           "the head speaks protocol version %d, the hello version %" PRIu32
                           "; use the same version of Mobula on both sides",
                           PROTOCOL_VERSION, version);
    return MOB_OK;
}

/* A place is stored and printed: no NUL, and not without bound. */
static bool place_text(struct view text)
{
    return text.size <= PLACE_MAX && memchr(text.data, 0, text.size) == NULL;
}

static struct state_node *node_add(struct head_core *core, const struct msg_node_hello *m,
                                   uint64_t session)
{
    uint64_t id = core->state.last_node + 1;
    emit_counter(core, "node", id);
    emit_record(core, node_added, .node = id, .incarnation = m->incarnation, .session = session,
                .machine = m->machine, .local = m->local, .cpus = m->cpus,
                .store_bytes = m->store_bytes);
    struct state_node *node = state_find_node(&core->state, id);
    block_give(core, node, 0);
    note(core, false, "node.joined node=%" PRIu64 " cpus=%" PRIu64 " local=%s", id,
         m->cpus / HEAD_CPU, node->local);
    return node;
}

/* The node that says hello: found by its place, or new. MOB_EAGAIN, MOB_EIDENTITY, MOB_ELIMIT with
 * `err`. */
static int node_admit(struct head_core *core, struct connection *conn,
                      const struct msg_node_hello *m, uint64_t session, struct state_node **out,
                      struct mob_err *err)
{
    struct state_node *node = state_find_place(&core->state, m->machine, m->local, m->incarnation);
    if (conn != NULL && conn->node != node) {
        core->counts.identity++;
        return mob_err_set(err, MOB_EIDENTITY, "this connection speaks for another node");
    }
    if (node != NULL && session <= node->session) {
        core->counts.identity++;
        return mob_err_set(
            err, MOB_EAGAIN,
            "this hello is older than another of the same node; draw a higher session");
    }
    if (node != NULL && node->connection != NULL && node->connection != conn) {
        if (!node->lost) {
            core->counts.identity++;
            return mob_err_set(
                err, MOB_EAGAIN,
                "another connection speaks for this node; come again when it has ended");
        }
        cut(core, node->connection->id);
        connection_forget(core, node->connection);
    }
    if (node != NULL && node->incarnation != m->incarnation) {
        node_end(core, node, MOB_ENODEDIED);
        node = NULL;
    }
    if (node == NULL && HASH_COUNT(core->state.nodes) >= core->config.nodes_max) {
        core->counts.full++;
        return mob_err_set(err, MOB_ELIMIT,
                           "the head has %" PRIu32 " nodes and takes no more; raise nodes_max",
                           core->config.nodes_max);
    }
    *out = node != NULL ? node : node_add(core, m, session);
    return MOB_OK;
}

static void node_welcome(struct head_core *core, struct connection *conn)
{
    struct state_node *node = conn->node;
    const struct state_block *block = node->blocks;
    struct msg_node_welcome m = {core->state.epoch, node->node, block->first, block->count};
    must(peer_send(&conn->peer, node_welcome, &m));
    shares_update(core, node, NULL, true);
}

/* `conn` is NULL for a new connection, else the node's own, which starts a new session on it. */
static void node_hello(struct head_core *core, struct connection *conn, const struct sender *sender,
                       struct cursor c, const struct message_head *head, uint64_t session,
                       struct view frame, uint64_t now_ms)
{
    struct msg_node_hello m;
    struct mob_err err;
    struct state_node *node = NULL;
    int rc = hello_check(c, &err);
    if (rc == MOB_OK &&
        (!msg_node_hello_unpack(&c, head, &m) || !place_text(m.machine) || !place_text(m.local)))
        rc = mob_err_set(&err, MOB_EPROTO, "the hello is malformed");
    if (rc == MOB_OK)
        rc = access_check(&core->config.access, sender, m.token, &err);
    if (rc != MOB_OK) {
        core->counts.denied++;
    } else if (conn == NULL && HASH_COUNT(core->connections) >= core->config.connections_max) {
        core->counts.full++;
        rc = mob_err_set(&err, MOB_ELIMIT, "the head has too many connections");
    } else {
        rc = node_admit(core, conn, &m, session, &node, &err);
    }
    if (rc != MOB_OK) {
        hello_refuse(core, conn, sender, rc, err.text, now_ms);
        return;
    }
    if (conn == NULL)
        conn = connection_add(core, sender->connection, CONNECTION_NODE);
    if (conn->link != NULL) {
        core->counts.other_session += conn->link->counts.other_session;
        link_fini(conn->link);
    } else if ((conn->link = memory_alloc(sizeof *conn->link)) == NULL) {
        abort();
    }
    must(link_init(conn->link, session, (struct view){0}));
    peer_gone(&conn->peer, peer_backlog(&conn->peer));
    conn->node = node;
    node->connection = conn;
    node->session = session;
    node_welcome(core, conn);
    node_frame(core, conn, frame, now_ms);
}

static const struct state_node *home_node(const struct head_core *core, struct view machine)
{
    const struct state_node *other = NULL;
    for (const struct state_node *n = core->state.nodes; n != NULL; n = n->hh.next) {
        if (n->connection == NULL || n->lost || *n->local == 0)
            continue;
        if (strlen(n->machine) == machine.size &&
            memcmp(n->machine, machine.data, machine.size) == 0)
            return n;
        if (other == NULL)
            other = n;
    }
    return other;
}

static void driver_hello(struct head_core *core, struct connection *conn,
                         const struct sender *sender, struct cursor c,
                         const struct message_head *head, uint64_t now_ms)
{
    struct msg_driver_hello m;
    struct mob_err err;
    int rc = hello_check(c, &err);
    if (rc == MOB_OK && !msg_driver_hello_unpack(&c, head, &m))
        rc = mob_err_set(&err, MOB_EPROTO, "the hello is malformed");
    if (rc == MOB_OK)
        rc = access_check(&core->config.access, sender, m.token, &err);
    if (rc != MOB_OK) {
        core->counts.denied++;
        hello_refuse(core, conn, sender, rc, err.text, now_ms);
        return;
    }
    if (conn == NULL && HASH_COUNT(core->connections) >= core->config.connections_max) {
        core->counts.full++;
        cut(core, sender->connection);
        return;
    }
    if (conn == NULL)
        conn = connection_add(core, sender->connection, CONNECTION_DRIVER);
    core->counts.messages[MSG_driver_hello]++;
    const struct state_node *home = home_node(core, m.machine);
    if (home == NULL) {
        /* Not the end: the driver asks again, over this connection. */
        struct msg_refuse none = {MOB_ENONODE, view_of("no node has joined the cluster yet")};
        must(peer_send(&conn->peer, refuse, &none));
        return;
    }
    struct msg_driver_welcome reply = {m.request, core->state.epoch, home->node,
                                       view_of(home->local)};
    must(peer_send(&conn->peer, driver_welcome, &reply));
}

/* A frame of a connection that has not said hello, or a hello. */
static void greeting(struct head_core *core, struct connection *conn, const struct sender *sender,
                     struct view frame, uint64_t now_ms)
{
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head head;
    struct msg_link link = {0};
    bool linked = false;
    if (message_next(&c, &head) && head.number == MSG_link) {
        linked = msg_link_unpack(&c, &head, &link) && link.number == 1;
        if (!linked || !message_next(&c, &head))
            head.number = 0;
    }
    if (!c.failed && linked && head.number == MSG_node_hello)
        node_hello(core, conn, sender, c, &head, link.session, frame, now_ms);
    else if (!c.failed && !linked && head.number == MSG_driver_hello)
        driver_hello(core, conn, sender, c, &head, now_ms);
    else
        core->counts.before_hello++;
}

void head_core_on_frame(struct head_core *core, const struct sender *sender, struct view frame,
                        uint64_t now_ms)
{
    assert(core->started);
    core->counts.frames++;
    struct connection *conn = connection_find(core, sender->connection);
    if (conn == NULL || conn->state == CONNECTION_DRIVER) {
        greeting(core, conn, sender, frame, now_ms);
        return;
    }
    if (conn->state == CONNECTION_ENDING) {
        core->counts.before_hello++;
        return;
    }
    struct msg_link link;
    struct view messages;
    if (link_peek(frame, &link, &messages) && link.session > conn->link->session &&
        link.number == 1)
        greeting(core, conn, sender, frame, now_ms);
    else
        node_frame(core, conn, frame, now_ms);
}

/* ---- start and time ---- */

int head_core_replay(struct head_core *core, struct view records, struct mob_err *err)
{
    assert(!core->started);
    struct cursor c = cursor_of(records.data, records.size);
    struct record r;
    int rc = MOB_OK;
    while (rc == MOB_OK && record_next(&c, &r))
        rc = state_apply(&core->state, &r, err);
    if (rc == MOB_OK && c.failed)
        rc = mob_err_set(err, MOB_EJOURNAL, "a record of the journal is malformed");
    return rc;
}

void head_core_start(struct head_core *core, uint64_t last_commit, uint64_t now_ms)
{
    assert(!core->started);
    core->started = true;
    core->last_commit = last_commit;
    for (struct state_node *n = core->state.nodes; n != NULL; n = n->hh.next)
        n->seen_ms = now_ms;
    emit_counter(core, "epoch", core->state.epoch + 1);
}

void head_core_tick(struct head_core *core, uint64_t now_ms)
{
    struct connection *conn, *next;
    for (conn = core->connections; conn != NULL; conn = next) {
        next = conn->hh.next;
        if (conn->state == CONNECTION_ENDING && conn->end_at_ms <= now_ms) {
            cut(core, conn->id);
            connection_forget(core, conn);
        } else if (conn->state == CONNECTION_NODE && link_deadline(conn->link) <= now_ms) {
            ready_add(core, conn);
        }
    }
    for (struct state_node *n = core->state.nodes; n != NULL; n = n->hh.next) {
        if (n->lost || now_ms < n->seen_ms + core->config.node_lost_ms)
            continue;
        n->lost = true;
        note(core, true, "node.lost node=%" PRIu64 " age_ms=%" PRIu64, n->node,
             now_ms - n->seen_ms);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t head_core_deadline(const struct head_core *core)
{
    uint64_t at_ms = UINT64_MAX;
    for (const struct connection *conn = core->connections; conn != NULL; conn = conn->hh.next) {
        if (conn->state == CONNECTION_ENDING)
            at_ms = earlier(at_ms, conn->end_at_ms);
        else if (conn->state == CONNECTION_NODE)
            at_ms = earlier(at_ms, link_deadline(conn->link));
    }
    for (const struct state_node *n = core->state.nodes; n != NULL; n = n->hh.next)
        if (!n->lost)
            at_ms = earlier(at_ms, n->seen_ms + core->config.node_lost_ms);
    return at_ms;
}

/* ---- looking in ---- */

void head_core_counts(const struct head_core *core, struct head_counts *out)
{
    *out = core->counts;
    out->nodes = HASH_COUNT(core->state.nodes);
    out->jobs = jobs_active(core);
    out->workers = HASH_COUNT(core->state.workers);
    out->objects = HASH_COUNT(core->state.objects);
    out->connections = HASH_COUNT(core->connections);
    for (const struct state_node *n = core->state.nodes; n != NULL; n = n->hh.next) {
        out->nodes_away += n->connection == NULL;
        out->nodes_lost += n->lost;
    }
    for (const struct connection *conn = core->connections; conn != NULL; conn = conn->hh.next)
        if (conn->link != NULL)
            out->other_session += conn->link->counts.other_session;
}

int head_core_dump(const struct head_core *core, struct buffer *out)
{
    return state_dump(&core->state, out);
}

uint64_t head_core_epoch(const struct head_core *core)
{
    return core->state.epoch;
}

bool head_core_check(const struct head_core *core, struct mob_err *err)
{
    for (const struct connection *conn = core->connections; conn != NULL; conn = conn->hh.next) {
        bool node = conn->state == CONNECTION_NODE;
        if (node != (conn->node != NULL) ||
            (node && (conn->link == NULL || conn->node->connection != conn)))
            return mob_err_set(err, MOB_EBUG, "connection %" PRIu64 " and its node do not agree",
                               conn->id),
                   false;
    }
    for (const struct state_node *n = core->state.nodes; n != NULL; n = n->hh.next)
        if (n->connection != NULL && n->connection->node != n)
            return mob_err_set(err, MOB_EBUG, "node %" PRIu64 " and its connection do not agree",
                               n->node),
                   false;
    return state_check(&core->state, err);
}
