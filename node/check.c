/* check.c: the invariants of core.h, counted afresh from the records. */
#include <inttypes.h>
#include <stdarg.h>

#include "node/state.h"

#define BROKEN(...) return mob_err_set(err, MOB_EBUG, __VA_ARGS__), false

static bool check_lease(const struct node_core *core, const struct lease *l, struct mob_err *err)
{
    if (l->worker->lease != l)
        BROKEN("lease %" PRIu64 " is on worker %" PRIu64 ", which has another", l->id.v,
               l->worker->peer.process.v);
    if (l->submitter == l->worker)
        BROKEN("lease %" PRIu64 " is of worker %" PRIu64 " on itself", l->id.v,
               l->worker->peer.process.v);
    if (l->submitter->state == CLIENT_ENDED || l->worker->state == CLIENT_ENDED)
        BROKEN("lease %" PRIu64 " is with a client that has ended", l->id.v);
    if (l->submitter->job != l->worker->job)
        BROKEN("lease %" PRIu64 " crosses jobs", l->id.v);
    if (node_pair_find(l->submitter, l->worker) != l->pair || l->pair->leases == 0)
        BROKEN("lease %" PRIu64 " has no ring pair", l->id.v);
    if (l->recalled != l->told)
        BROKEN("lease %" PRIu64 " is recalled and its submitter was not told", l->id.v);
    if (l->id.v == 0 || l->id.v > core->last_lease)
        BROKEN("lease %" PRIu64 " was never granted", l->id.v);
    return true;
}

static bool check_client(const struct client *c, struct mob_err *err)
{
    uint64_t id = c->peer.process.v;
    uint32_t held = 0, clients = 1 + c->job->workers;
    for (const struct lease *l = c->leases; l != NULL; l = l->next)
        held += l->submitter == c;
    if (held != c->held)
        BROKEN("client %" PRIu64 " holds %" PRIu32 " leases and counts %" PRIu32, id, held,
               c->held);
    if (c->waits != (c->want > c->held))
        BROKEN("client %" PRIu64 " wants %" PRIu32 ", holds %" PRIu32 ", waits: %d", id, c->want,
               c->held, c->waits);
    if (c->state == CLIENT_KILLED && c->want != 0)
        BROKEN("client %" PRIu64 " was killed and wants leases", id);
    if ((c->state == CLIENT_LEASED) != (c->lease != NULL) && c->state != CLIENT_KILLED)
        BROKEN("worker %" PRIu64 " in state %d has%s a lease", id, (int)c->state,
               c->lease == NULL ? " not" : "");
    if (c->driver && (c->lease != NULL || c->blocked))
        BROKEN("driver %" PRIu64 " is treated as a worker", id);
    if (c->state == CLIENT_ENDED)
        BROKEN("client %" PRIu64 " has ended and is still in its job", id);
    if (c->pair_count >= clients)
        BROKEN("client %" PRIu64 " has %" PRIu32 " ring pairs with %" PRIu32 " others", id,
               c->pair_count, clients - 1);
    for (uint32_t i = 0; i < c->pair_count; i++)
        if (c->pairs[i]->ends[0]->job != c->job || c->pairs[i]->ends[1]->job != c->job)
            BROKEN("client %" PRIu64
                   " has a ring pair with a client that has ended or of another job",
                   id);
    return true;
}

static bool check_extents(const struct node_core *core, const struct job *job, struct mob_err *err)
{
    if (!node_extents_check(job->extents, err))
        return false;
    for (const struct extent *e = node_extents_first(job->extents); e != NULL; e = e->after) {
        if (e->owner == 0 || e->owner == EXTENT_OF_JOB)
            continue;
        const struct client *c = node_client_find(core, (struct mob_process){e->owner});
        if (c == NULL || c->job != job)
            BROKEN("the extent at %" PRIu64 " belongs to %" PRIu64
                   ", which is no client of the job",
                   e->offset, e->owner);
    }
    return true;
}

static bool check_job(const struct node_core *core, const struct job *job, struct mob_err *err)
{
    uint32_t running = 0, waiting = 0, workers = 0;
    for (const struct client *c = job->clients; c != NULL; c = c->next) {
        if (c->job != job || node_client_find(core, c->peer.process) != c)
            BROKEN("client %" PRIu64 " is not where it is listed", c->peer.process.v);
        if (!check_client(c, err))
            return false;
        running += c->lease != NULL && !c->blocked;
        waiting += c->waits;
        workers += !c->driver;
    }
    if (running != job->running || waiting != job->waiting || workers != job->workers)
        BROKEN("job %" PRIu64 " counts %" PRIu32 " running, %" PRIu32 " waiting, %" PRIu32
               " workers; there are %" PRIu32 ", %" PRIu32 ", %" PRIu32,
               job->id.v, job->running, job->waiting, job->workers, running, waiting, workers);
    if (workers + job->queued > core->config.workers_max)
        BROKEN("job %" PRIu64 " has %" PRIu32 " workers and %" PRIu32 " to come", job->id.v,
               workers, job->queued);
    return job->extents == NULL || check_extents(core, job, err);
}

bool node_core_check(const struct node_core *core, struct mob_err *err)
{
    uint32_t jobs = 0, queued = 0, running = 0, waiting = 0, clients = 0;
    for (const struct job *job = core->jobs; job != NULL; job = job->next) {
        if (!check_job(core, job, err))
            return false;
        jobs++;
        queued += job->queued;
        running += job->running;
        waiting += job->waiting;
        clients += job->workers + (job->driver != NULL);
    }
    if (jobs != core->jobs_count || queued != core->queued || running != core->running ||
        waiting != core->waiting)
        BROKEN("the node counts %" PRIu32 " jobs, %" PRIu32 " queued, %" PRIu32 " running, %" PRIu32
               " waiting; there are %" PRIu32 ", %" PRIu32 ", %" PRIu32 ", %" PRIu32,
               core->jobs_count, core->queued, core->running, core->waiting, jobs, queued, running,
               waiting);
    if (clients != HASH_COUNT(core->clients) || clients + queued > core->config.clients_max)
        BROKEN("there are %" PRIu32 " clients and %" PRIu32 " to come, %u in the table", clients,
               queued, HASH_COUNT(core->clients));
    if (core->over_granted)
        BROKEN("a lease was granted while no cpu was free");
    uint32_t leases = 0;
    for (const struct lease *l = core->leases; l != NULL; l = l->hh.next, leases++)
        if (!check_lease(core, l, err))
            return false;
    if (leases != core->leases_count)
        BROKEN("the node counts %" PRIu32 " leases; there are %" PRIu32, core->leases_count,
               leases);
    return true;
}
