/* jobs.c: a job's life on this node, its zygote, and how its workers start and stop.
 *
 *   driver's hello -> job_start to the head -> job_started -> zygote, welcome, first workers -> ...
 * -> job_end
 *
 * A worker first is a count (job->queued): it gets an id and a record when the zygote is ready and
 * ids are there. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "node/state.h"

/* ---- process ids ---- */

void node_ids_ask(struct node_core *core)
{
    uint64_t left = core->ids[0].count + core->ids[1].count;
    if (!core->welcomed || core->ids_request != 0 || left >= (core->ids_block + 3) / 4)
        return;
    core->ids_request = ++core->last_request;
    SEND_HEAD(core, process_block_want, .request = core->ids_request);
}

struct mob_process node_id_take(struct node_core *core)
{
    if (core->ids[0].count == 0) {
        core->ids[0] = core->ids[1];
        core->ids[1] = (struct id_range){0, 0};
    }
    struct mob_process id = {0};
    if (core->ids[0].count != 0) {
        id.v = core->ids[0].first++;
        core->ids[0].count--;
    }
    node_ids_ask(core);
    return id;
}

/* ---- jobs ---- */

struct job *node_job_find(const struct node_core *core, uint64_t id)
{
    struct job *job = core->jobs;
    while (job != NULL && (job->id.v != id || job->state != JOB_RUNNING))
        job = job->next;
    return job;
}

struct job *node_job_asked(const struct node_core *core, uint64_t request)
{
    struct job *job = core->jobs;
    while (job != NULL && (job->request != request || job->state == JOB_RUNNING))
        job = job->next;
    return job;
}

static void command_of(const struct msg_client_hello *hello, char text[COMMAND_MAX], size_t *size)
{
    struct cursor c = cursor_of(hello->arguments.data, hello->arguments.size);
    struct msg_string argument;
    *size = 0;
    for (uint32_t i = 0; i < hello->arguments.count && msg_string_unpack_item(&c, &argument); i++) {
        size_t room = COMMAND_MAX - *size, part = argument.text.size;
        if (room == 0)
            break;
        if (i != 0) {
            text[(*size)++] = ' ';
            room--;
        }
        part = part < room ? part : room;
        if (part != 0)
            memcpy(text + *size, argument.text.data, part);
        *size += part;
    }
}

void node_job_ask(struct node_core *core, struct job *job)
{
    char command[COMMAND_MAX];
    size_t size;
    command_of(&job->hello, command, &size);
    SEND_HEAD(core, job_start, .request = job->request, .driver = job->driver_id.v,
              .pid = job->hello.pid, .uid = job->uid, .command = {command, size});
}

static uint64_t share_of(const struct node_core *core, uint64_t cpus)
{
    return cpus < core->config.cpus ? cpus : core->config.cpus;
}

void node_job_started(struct node_core *core, struct job *job, const struct msg_job_started *m)
{
    job->id = (struct mob_job){m->job};
    if (job->state == JOB_LEFT) {
        if (m->job != 0)
            SEND_HEAD(core, job_end, .job = m->job, .code = MOB_EPEERDIED);
        node_job_free(core, job);
        return;
    }
    if (m->job == 0) {
        struct node_effect *e = node_effect_add(core, NODE_REFUSE, job, job->driver->peer.process);
        e->code = MOB_EDENIED;
        snprintf(e->text, sizeof e->text, "the head does not accept the job");
        node_client_forget(core, job->driver);
        node_job_free(core, job);
        return;
    }
    job->state = JOB_RUNNING;
    job->share = share_of(core, m->cpus);
    job->extents = node_extents_create(core->config.store_bytes, core->config.page_bytes);
    node_client_move(core, job->driver, CLIENT_DRIVING);
    job->driver->was_ready = true;
    job->zygote = ZYGOTE_STARTING;
    node_effect_add(core, NODE_START_ZYGOTE, job, (struct mob_process){0});
    node_effect_add(core, NODE_WELCOME, job, job->driver->peer.process);
    uint32_t slots = node_slots(core);
    for (uint32_t i = 0; i < slots && node_job_can_start(core, job); i++)
        node_job_want_worker(core, job);
}

void node_job_free(struct node_core *core, struct job *job)
{
    assert(job->clients == NULL);
    core->queued -= job->queued;
    core->jobs_count--;
    DL_DELETE(core->jobs, job);
    node_extents_destroy(job->extents);
    memory_free(job->package);
    memory_free(job);
}

/* Effects of the job that the shell has not yet taken would be about nothing. */
static void drop_effects(struct node_core *core, const struct job *job)
{
    uint32_t kept = core->effects_first;
    for (uint32_t i = core->effects_first; i < core->effects_end; i++)
        if (core->effects[i].job.v != job->id.v)
            core->effects[kept++] = core->effects[i];
    core->effects_end = kept;
}

void node_job_drop(struct node_core *core, struct job *job, int code)
{
    core->unsettled = true;
    if (job->state == JOB_ASKED) {
        node_client_forget(core, job->driver);
        job->driver = NULL;
        job->state = JOB_LEFT;
        return;
    }
    drop_effects(core, job);
    struct mob_process driver = job->driver->peer.process;
    while (job->clients != NULL)
        node_client_forget(core, job->clients);
    node_report_flush(core);
    SEND_HEAD(core, job_end, .job = job->id.v, .code = code);
    node_effect_add(core, NODE_JOB_GONE, job, driver);
    node_job_free(core, job);
}

/* ---- starting workers ---- */

bool node_job_can_start(const struct node_core *core, const struct job *job)
{
    return job->state == JOB_RUNNING && job->workers + job->queued < core->config.workers_max &&
           HASH_COUNT(core->clients) + core->queued < core->config.clients_max;
}

void node_job_want_worker(struct node_core *core, struct job *job)
{
    if (job->queued == 0)
        job->queued_since_ms = core->now_ms;
    job->queued++;
    core->queued++;
    node_arm(core, job->queued_since_ms + core->config.start_worker_ms);
    if (job->zygote == ZYGOTE_NONE) {
        job->zygote = ZYGOTE_STARTING;
        node_effect_add(core, NODE_START_ZYGOTE, job, (struct mob_process){0});
    }
    node_job_start_queued(core, job);
}

void node_job_start_queued(struct node_core *core, struct job *job)
{
    while (job->queued != 0 && job->zygote == ZYGOTE_READY) {
        struct mob_process id = node_id_take(core);
        if (id.v == 0)
            return;
        job->queued--;
        core->queued--;
        node_client_add(core, job, id, false);
        node_effect_add(core, NODE_FORK_WORKER, job, id);
        node_arm(core, core->now_ms + core->config.start_worker_ms);
    }
}

void node_job_start_failed(struct node_core *core, struct job *job, const char *why)
{
    snprintf(job->failure, sizeof job->failure, "%s", why);
    job->failures++;
    core->unsettled = true;
    if (job->failures < START_FAILURES_MAX)
        return;
    char text[FAILURE_TEXT_MAX + 100];
    snprintf(text, sizeof text,
             "no worker of the job started in %" PRIu32 " attempts; the last: %s", job->failures,
             why);
    for (struct client *c = job->clients; c != NULL; c = c->next) {
        if (!c->waits)
            continue;
        SEND(c, lease_denied, .code = MOB_EWORKERSTART, .text = view_of(text));
        c->want = c->held;
        node_client_wish(core, c);
    }
}

/* ---- by time ---- */

static void tick_queued(struct node_core *core, struct job *job)
{
    if (job->queued == 0)
        return;
    uint64_t due = job->queued_since_ms + core->config.start_worker_ms;
    if (core->now_ms < due) {
        node_arm(core, due);
        return;
    }
    core->queued -= job->queued;
    job->queued = 0;
    char why[160];
    if (job->zygote == ZYGOTE_READY)
        snprintf(why, sizeof why, "the head gave no process ids within %" PRIu64 " ms",
                 core->config.start_worker_ms);
    else
        snprintf(why, sizeof why, "the program did not reach mob_init within %" PRIu64 " ms",
                 core->config.start_worker_ms);
    node_job_start_failed(core, job, why);
}

static void tick_starting(struct node_core *core, struct client *c)
{
    uint64_t due = c->since_ms + core->config.start_worker_ms;
    if (core->now_ms < due) {
        node_arm(core, due);
        return;
    }
    char why[160];
    snprintf(why, sizeof why, "worker %" PRIu64 " was not ready within %" PRIu64 " ms",
             c->peer.process.v, core->config.start_worker_ms);
    node_client_kill(core, c);
    node_job_start_failed(core, c->job, why);
}

/* A worker that owns objects does not end when it is asked to; it answers by staying. */
static void tick_stopping(struct node_core *core, struct client *c)
{
    uint64_t due = c->since_ms + STOP_MS;
    if (core->now_ms < due)
        node_arm(core, due);
    else
        node_client_move(core, c, CLIENT_IDLE);
}

static bool may_be_stopped(const struct client *c)
{
    return node_client_free(c) && c->held == 0 && !c->waits;
}

/* Of the workers that may be stopped, of other jobs than `spared`, the one that was idle longest.
 */
static struct client *idlest(const struct node_core *core, const struct job *spared)
{
    struct client *idlest = NULL;
    for (struct client *c = core->clients; c != NULL; c = c->hh.next)
        if (c->job != spared && may_be_stopped(c) &&
            (idlest == NULL || c->since_ms < idlest->since_ms))
            idlest = c;
    return idlest;
}

static void stop(struct node_core *core, struct client *c)
{
    node_client_move(core, c, CLIENT_STOPPING);
    SEND(c, worker_stop, .code = MOB_OK);
    node_arm(core, core->now_ms + STOP_MS);
}

void node_job_make_room(struct node_core *core, const struct job *job)
{
    if (job->workers + job->queued >= core->config.workers_max)
        return;
    for (const struct client *c = core->clients; c != NULL; c = c->hh.next)
        if (c->state == CLIENT_STOPPING)
            return;
    struct client *c = idlest(core, job);
    if (c != NULL)
        stop(core, c);
}

/* Idle workers beyond the node's cpus: those that were idle longest are asked to end. */
static void tick_idle(struct node_core *core)
{
    uint32_t idle = 0;
    for (struct client *c = core->clients; c != NULL; c = c->hh.next)
        idle += may_be_stopped(c);
    for (; idle > node_slots(core); idle--) {
        struct client *c = idlest(core, NULL);
        uint64_t due = c->since_ms + core->config.idle_worker_ms;
        if (core->now_ms < due) {
            node_arm(core, due);
            return;
        }
        stop(core, c);
    }
}

void node_jobs_tick(struct node_core *core)
{
    for (struct job *job = core->jobs; job != NULL; job = job->next) {
        tick_queued(core, job);
        for (struct client *c = job->clients; c != NULL; c = c->next)
            if (c->state == CLIENT_STARTING && !c->driver)
                tick_starting(core, c);
            else if (c->state == CLIENT_STOPPING)
                tick_stopping(core, c);
    }
    tick_idle(core);
    node_ids_ask(core);
}
