/* leases.c: who gets a worker, who gives one back, and when waiting is hopeless.
 *
 * One function, node_leases_settle, does all of it from the state alone, after any event that
 * changed something:
 *
 * - grant: while a cpu is free and an idle worker is there, in order: the job with the least
 *   running cpus relative to its share; in it the deepest wish; then the one that waited longest
 *   (a grant puts it at the end of the line).
 *
 * - plan: what is still wanted is laid, in the same order, over the cpus that are free or on their
 *   way back. Where a worker is missing one is started; where only a cpu is missing a lease is
 *   recalled, if somebody who comes later in the order runs. Nothing is recalled or started that
 *   the plan has no use for.
 *
 * - stuck: all workers that a job may have are blocked while its clients wait for one and a cpu is
 *   free. The deepest is told that no lease will come.
 *
 * A share that is no whole number of cpus is rounded up: with two jobs on one cpu each has a half,
 * and must run. Across jobs a lease moves only if the giver still has its share afterwards, or has
 * afterwards still as much of its share as the taker: so no lease goes to and fro. A job that has
 * nothing at all waits at most SLICE_MS for the next one that can be had, so that two jobs on one
 * cpu take turns. A client's own lease is recalled for its children last (RECALL_OWN_MS): most
 * often it is about to block anyway. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "node/state.h"

/* ---- order ---- */

/* Whether a has less of its share than b. */
static bool job_is_poorer(const struct job *a, uint32_t a_running, const struct job *b,
                          uint32_t b_running)
{
    return a_running * (b->share + 1) < b_running * (a->share + 1);
}

static bool share_allows(const struct job *job, uint32_t running)
{
    return (uint64_t)running * CPU < job->share;
}

static bool comes_first(const struct client *a, const struct client *b)
{
    return a->depth != b->depth ? a->depth > b->depth : a->ticket < b->ticket;
}

/* The same for clients of two jobs that run so many. */
static bool job_comes_first(const struct client *a, uint32_t a_running, const struct client *b,
                            uint32_t b_running)
{
    if (job_is_poorer(a->job, a_running, b->job, b_running))
        return true;
    return !job_is_poorer(b->job, b_running, a->job, a_running) && a->ticket < b->ticket;
}

/* ---- leases ---- */

struct lease *node_lease_find(const struct node_core *core, uint64_t id)
{
    struct lease *l;
    HASH_FIND(hh, core->leases, &id, sizeof id, l);
    return l;
}

static void cpu_take(struct node_core *core, struct job *job)
{
    job->running++;
    core->running++;
    core->unsettled = true;
}

static void cpu_give(struct node_core *core, struct job *job)
{
    assert(job->running != 0 || MUTANT(n_unblocked_free));
    job->running--;
    core->running--;
    core->unsettled = true;
    if (job->running == 0)
        job->ran_last_ms = core->now_ms;
}

static void grant(struct node_core *core, struct client *c, struct client *worker)
{
    struct lease *l = memory_zalloc(sizeof *l);
    if (l == NULL)
        abort();
    *l = (struct lease){
        .id = {++core->last_lease}, .submitter = c, .worker = worker, .depth = c->depth};
    l->pair = node_pair_get(core, c, worker);
    l->pair->leases++;
    HASH_ADD(hh, core->leases, id, sizeof l->id, l);
    DL_APPEND(c->leases, l);
    core->leases_count++;
    worker->lease = l;
    if (worker->state == CLIENT_IDLE)
        node_client_move(core, worker, CLIENT_LEASED);
    cpu_take(core, c->job);
    core->over_granted = core->over_granted || core->running > node_slots(core);
    c->held++;
    node_client_wish(core, c);
    c->ticket = ++core->ticket;
    c->waits_since_ms = core->now_ms;
    SEND(c, lease_grant, .lease = l->id.v, .worker = worker->peer.process.v);
}

void node_lease_end(struct node_core *core, struct lease *l)
{
    if (!l->worker->blocked)
        cpu_give(core, l->worker->job);
    l->pair->leases--;
    if (l->worker->lease == l)
        l->worker->lease = NULL;
    HASH_DEL(core->leases, l);
    DL_DELETE(l->submitter->leases, l);
    core->leases_count--;
    l->submitter->held--;
    l->submitter->waits_since_ms = core->now_ms;
    node_client_wish(core, l->submitter);
    memory_free(l);
}

void node_worker_blocked(struct node_core *core, struct client *c)
{
    c->blocked = true;
    core->unsettled = true;
    if (c->lease != NULL)
        cpu_give(core, c->job);
}

void node_worker_unblocked(struct node_core *core, struct client *c)
{
    c->blocked = false;
    core->unsettled = true;
    if (c->lease == NULL)
        return;
    c->lease->woken = core->balance;
    if (!MUTANT(n_unblocked_free))
        cpu_take(core, c->job);
}

/* ---- grant ---- */

/* The best idle worker for `c`, never itself: the one that was busy last, whose caches are warm,
 * and before that one that already has a ring pair with it. */
static struct client *worker_for(const struct client *c)
{
    struct client *best = NULL;
    bool best_paired = false;
    for (struct client *w = c->job->clients; w != NULL; w = w->next) {
        bool free = node_client_free(w) ||
                    (MUTANT(n_two_leases) && w->state == CLIENT_LEASED && !w->blocked);
        if (!free || w == c)
            continue;
        bool paired = node_pair_find(c, w) != NULL;
        if (best == NULL || paired > best_paired ||
            (paired == best_paired && w->since_ms > best->since_ms)) {
            best = w;
            best_paired = paired;
        }
    }
    return best;
}

/* The first in order among the clients of `job` that wait and that a worker is idle for. */
static struct client *first_served(struct job *job, struct client **worker)
{
    struct client *first = NULL;
    for (struct client *c = job->clients; c != NULL; c = c->next) {
        if (!c->waits || (first != NULL && comes_first(first, c)))
            continue;
        struct client *w = worker_for(c);
        if (w == NULL)
            continue;
        first = c;
        *worker = w;
    }
    return first;
}

static bool grant_next(struct node_core *core)
{
    struct client *first = NULL, *worker = NULL;
    for (struct job *job = core->jobs; job != NULL; job = job->next) {
        if (job->waiting == 0 || !share_allows(job, job->running))
            continue;
        struct client *w, *c = first_served(job, &w);
        if (c != NULL &&
            (first == NULL || job_comes_first(c, job->running, first, first->job->running))) {
            first = c;
            worker = w;
        }
    }
    if (first == NULL)
        return false;
    grant(core, first, worker);
    return true;
}

/* ---- plan ---- */

static bool may_be_recalled(const struct node_core *core, const struct lease *l)
{
    return !l->recalled && l->planned != core->plan && l->worker->state == CLIENT_LEASED &&
           !l->worker->blocked;
}

static void recall(struct lease *l)
{
    l->recalled = true;
    if (MUTANT(n_recall_forgotten))
        return;
    SEND(l->submitter, lease_recall, .lease = l->id.v);
    l->told = true;
}

/* Its worker has been told to come back, and will be idle. */
static bool comes_back(const struct client *w)
{
    return w->state == CLIENT_LEASED && !w->blocked && w->lease->recalled;
}

/* Which of two leases goes first: one whose worker has not just woken, for that one surely has
 * work; the shallower; the younger. */
static bool goes_first(const struct node_core *core, const struct lease *a, const struct lease *b)
{
    bool a_woke = a->woken == core->balance, b_woke = b->woken == core->balance;
    if (a_woke != b_woke)
        return b_woke;
    return a->depth != b->depth ? a->depth < b->depth : a->id.v > b->id.v;
}

/* The lease of `job` to recall for `c` (of the same job: a shallower one of somebody else), or for
 * anybody if NULL. */
static struct lease *victim_in(struct node_core *core, struct job *job, const struct client *c)
{
    struct lease *victim = NULL;
    for (struct client *w = job->clients; w != NULL; w = w->next) {
        struct lease *l = w->lease;
        if (l == NULL || !may_be_recalled(core, l))
            continue;
        if (c != NULL && (l->depth >= c->depth || l->submitter == c))
            continue;
        if (w == c && core->now_ms - c->waits_since_ms < RECALL_OWN_MS) {
            node_arm(core, c->waits_since_ms + RECALL_OWN_MS);
            continue;
        }
        if (victim == NULL || goes_first(core, l, victim))
            victim = l;
    }
    return victim;
}

/* Whether `from` may lose a lease to the client `c` of another job. */
static bool may_move(struct node_core *core, const struct job *from, const struct client *c)
{
    const struct job *to = c->job;
    if (from == to || from->plan_running == 0)
        return false;
    if ((uint64_t)(from->plan_running - 1) * CPU >= from->share)
        return true;
    if ((from->plan_running - 1) * (to->share + 1) >= (to->plan_running + 1) * (from->share + 1))
        return true;
    if (to->plan_running != 0)
        return false;
    uint64_t since_ms = c->waits_since_ms > to->ran_last_ms ? c->waits_since_ms : to->ran_last_ms;
    if (core->now_ms - since_ms >= SLICE_MS)
        return true;
    node_arm(core, since_ms + SLICE_MS);
    return false;
}

/* The lease to recall from the job that is most above its share; for `c`, or for anybody if NULL.
 */
static struct lease *victim_among(struct node_core *core, const struct client *c)
{
    struct job *richest = NULL;
    struct lease *victim = NULL;
    for (struct job *job = core->jobs; job != NULL; job = job->next) {
        if (c != NULL && !may_move(core, job, c))
            continue;
        if (richest != NULL &&
            !job_is_poorer(richest, richest->plan_running, job, job->plan_running))
            continue;
        struct lease *l = victim_in(core, job, NULL);
        if (l != NULL) {
            richest = job;
            victim = l;
        }
    }
    return victim;
}

/* The first in order that wants more than the plan has given it. */
static struct client *first_planned(struct node_core *core)
{
    struct client *first = NULL;
    for (struct job *job = core->jobs; job != NULL; job = job->next) {
        if (job->waiting == 0)
            continue;
        struct client *best = NULL;
        for (struct client *c = job->clients; c != NULL; c = c->next)
            if (c->waits && c->plan_want != 0 && c->plan_skip != core->plan &&
                (best == NULL || comes_first(c, best)))
                best = c;
        if (best != NULL && (first == NULL || job_comes_first(best, job->plan_running, first,
                                                              first->job->plan_running)))
            first = best;
    }
    return first;
}

/* Where the worker for a planned lease comes from. */
enum plan_worker {
    PLAN_IDLE,     /* it is idle or on its way back */
    PLAN_VICTIM,   /* it is the one whose lease is recalled */
    PLAN_STARTING, /* it is being started */
    PLAN_START,    /* it must be started */
    PLAN_NONE,
};

/* The best for `c`, whose own idleness serves others only. */
static enum plan_worker plan_worker(const struct node_core *core, const struct client *c)
{
    uint32_t own = node_client_free(c) || comes_back(c) ? 1 : 0;
    if (c->job->plan_idle > own)
        return PLAN_IDLE;
    if (c->job->plan_starting != 0)
        return PLAN_STARTING;
    return node_job_can_start(core, c->job) ? PLAN_START : PLAN_NONE;
}

/* The lease is given to `c` in the plan; the cpu of `victim` goes with it. It is recalled when the
 * worker that is to use that cpu is there, and not before: until then the cpu would be granted to
 * whoever has an idle worker, and be recalled again. */
static void plan_give(struct node_core *core, struct client *c, struct lease *victim,
                      enum plan_worker from)
{
    struct job *job = c->job;
    if (victim != NULL) {
        victim->planned = core->plan;
        victim->worker->job->plan_running--;
        if (from == PLAN_IDLE || from == PLAN_VICTIM)
            recall(victim);
    }
    if (from == PLAN_IDLE)
        job->plan_idle--;
    else if (from == PLAN_STARTING)
        job->plan_starting--;
    else if (from == PLAN_START)
        node_job_want_worker(core, job);
    job->plan_running++;
    c->plan_want--;
}

/* Give `c` one lease in the plan: false when there is no way. `free` counts cpus that are free or
 * on their way back. */
static bool plan_one(struct node_core *core, struct client *c, int64_t *free)
{
    struct job *job = c->job;
    enum plan_worker from = plan_worker(core, c);
    bool allowed = share_allows(job, job->plan_running) && from != PLAN_NONE;
    if (allowed && *free > 0) {
        plan_give(core, c, NULL, from);
        *free -= 1;
        return true;
    }
    struct lease *victim = allowed ? victim_among(core, c) : NULL;
    if (victim == NULL) {
        victim = victim_in(core, job, c);
        if (victim != NULL && victim->worker != c)
            from = PLAN_VICTIM;
    }
    if (from == PLAN_NONE)
        node_job_make_room(core, job);
    if (victim == NULL || from == PLAN_NONE)
        return false;
    plan_give(core, c, victim, from);
    return true;
}

static void plan_begin(struct node_core *core, int64_t *free)
{
    *free = node_slots(core);
    core->plan++;
    for (struct job *job = core->jobs; job != NULL; job = job->next) {
        job->plan_running = job->running;
        job->plan_idle = 0;
        job->plan_starting = job->queued;
        for (struct client *c = job->clients; c != NULL; c = c->next) {
            c->plan_want = c->waits ? c->want - c->held : 0;
            bool dying = c->lease != NULL && c->state == CLIENT_KILLED && !c->blocked;
            job->plan_running -= comes_back(c) || dying;
            job->plan_idle += comes_back(c) || node_client_free(c);
            job->plan_starting += c->state == CLIENT_STARTING && !c->driver;
        }
        *free -= job->plan_running;
    }
}

static void plan(struct node_core *core)
{
    if (core->waiting == 0 && core->running <= node_slots(core))
        return;
    int64_t free;
    plan_begin(core, &free);
    for (struct lease *victim; free < 0 && (victim = victim_among(core, NULL)) != NULL; free++) {
        recall(victim);
        victim->worker->job->plan_running--;
        victim->worker->job->plan_idle++;
    }
    if (core->waiting == 0)
        return;
    for (struct client *c; (c = first_planned(core)) != NULL;)
        if (!plan_one(core, c, &free))
            c->plan_skip = core->plan;
}

/* ---- stuck ---- */

/* Whether no worker will ever be had for `c` as things are: all others are blocked, and it is no
 * help to itself. */
static bool waits_in_vain(const struct client *c)
{
    if (!c->driver && !c->blocked && c->state != CLIENT_IDLE)
        return false;
    for (const struct client *w = c->job->clients; w != NULL; w = w->next)
        if (w != c && !w->driver &&
            !(w->blocked && (w->state == CLIENT_IDLE || w->state == CLIENT_LEASED)))
            return false;
    return true;
}

/* The deepest client of `job` that waits in vain, NULL when there is hope. */
static struct client *stuck_client(const struct node_core *core, const struct job *job)
{
    if (job->waiting == 0 || job->workers == 0 || job->queued != 0 || node_job_can_start(core, job))
        return NULL;
    if (core->running >= node_slots(core) || !share_allows(job, job->running))
        return NULL;
    struct client *deepest = NULL;
    for (struct client *c = job->clients; c != NULL; c = c->next)
        if (c->waits && (deepest == NULL || comes_first(c, deepest)) && waits_in_vain(c))
            deepest = c;
    return deepest;
}

static void deny(struct node_core *core, struct client *c)
{
    char text[256];
    snprintf(text, sizeof text,
             "all %" PRIu32 " workers that the job may have on this node (workers_max=%" PRIu32
             ") wait, and %" PRIu32 " more leases are wanted at depth %" PRIu32
             ": raise workers_max or nest less deeply",
             c->job->workers, core->config.workers_max, c->want - c->held, c->depth);
    SEND(c, lease_denied, .code = MOB_EWORKERSMAX, .text = view_of(text));
    c->want = c->held;
    node_client_wish(core, c);
}

/* A message that wakes a worker may be under way, so that the state must last before it counts. */
static void unstick(struct node_core *core, struct job *job)
{
    struct client *stuck = stuck_client(core, job);
    if (stuck == NULL) {
        job->stuck_since_ms = UINT64_MAX;
        return;
    }
    if (job->stuck_since_ms == UINT64_MAX)
        job->stuck_since_ms = core->now_ms;
    if (core->now_ms - job->stuck_since_ms >= STUCK_MS) {
        deny(core, stuck);
        job->stuck_since_ms = core->now_ms;
    }
    node_arm(core, job->stuck_since_ms + STUCK_MS);
}

void node_leases_settle(struct node_core *core)
{
    core->unsettled = false;
    while (core->waiting != 0 && core->running < node_slots(core) && grant_next(core))
        ;
    plan(core);
    for (struct job *job = core->jobs; job != NULL; job = job->next)
        unstick(core, job);
    if (core->running <= node_slots(core))
        core->balance++;
    core->unsettled = false;
}
