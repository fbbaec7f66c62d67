/* clients.c: the life of a client on this node, its ring pairs, and what follows from its end.
 * A record ends at one place for each of two reasons: node_client_ended, when a worker has died and
 * others must hear of it, and node_client_forget, when its whole job goes. */
#include <assert.h>

#include "node/state.h"

static const uint8_t allowed_moves[] = {
    [CLIENT_STARTING] =
        1 << CLIENT_DRIVING | 1 << CLIENT_IDLE | 1 << CLIENT_KILLED | 1 << CLIENT_ENDED,
    [CLIENT_DRIVING] = 1 << CLIENT_ENDED,
    [CLIENT_IDLE] =
        1 << CLIENT_LEASED | 1 << CLIENT_STOPPING | 1 << CLIENT_KILLED | 1 << CLIENT_ENDED,
    [CLIENT_LEASED] = 1 << CLIENT_IDLE | 1 << CLIENT_KILLED | 1 << CLIENT_ENDED,
    [CLIENT_STOPPING] = 1 << CLIENT_IDLE | 1 << CLIENT_KILLED | 1 << CLIENT_ENDED,
    [CLIENT_KILLED] = 1 << CLIENT_ENDED,
    [CLIENT_ENDED] = 0,
};

struct client *node_client_find(const struct node_core *core, struct mob_process process)
{
    struct client *c;
    HASH_FIND(hh, core->clients, &process, sizeof process, c);
    return c;
}

struct client *node_client_add(struct node_core *core, struct job *job, struct mob_process process,
                               bool driver)
{
    struct client *c = memory_zalloc(sizeof *c);
    if (c == NULL)
        abort();
    peer_init(&c->peer, &core->outbox, process);
    c->job = job;
    c->driver = driver;
    c->since_ms = core->now_ms;
    HASH_ADD(hh, core->clients, peer.process, sizeof c->peer.process, c);
    DL_APPEND(job->clients, c);
    if (!driver)
        job->workers++;
    return c;
}

void node_client_move(struct node_core *core, struct client *c, enum client_state to)
{
    assert(allowed_moves[c->state] & 1 << to);
    assert(to != CLIENT_LEASED || c->lease != NULL);
    assert(to != CLIENT_IDLE || c->lease == NULL);
    c->state = to;
    c->since_ms = core->now_ms;
    core->unsettled = true;
    if (to == CLIENT_IDLE)
        node_arm(core, core->now_ms + core->config.idle_worker_ms);
}

bool node_client_free(const struct client *c)
{
    return c->state == CLIENT_IDLE && !c->blocked;
}

void node_client_wish(struct node_core *core, struct client *c)
{
    bool waits = c->held < c->want;
    core->unsettled = true;
    if (waits == c->waits)
        return;
    c->waits = waits;
    c->job->waiting += waits ? 1u : -1u;
    core->waiting += waits ? 1u : -1u;
    c->ticket = ++core->ticket;
    c->waits_since_ms = core->now_ms;
}

/* ---- ring pairs ---- */

struct pair *node_pair_find(const struct client *a, const struct client *b)
{
    if (a->pair_count > b->pair_count)
        return node_pair_find(b, a);
    for (uint32_t i = 0; i < a->pair_count; i++)
        if (a->pairs[i]->ends[0] == b || a->pairs[i]->ends[1] == b)
            return a->pairs[i];
    return NULL;
}

static void pairs_add(struct client *c, struct pair *p)
{
    if (c->pair_count == c->pair_room) {
        uint32_t room = c->pair_room == 0 ? 8 : 2 * c->pair_room;
        c->pairs = memory_realloc(c->pairs, room * sizeof(struct pair *));
        if (c->pairs == NULL)
            abort();
        c->pair_room = room;
    }
    c->pairs[c->pair_count++] = p;
}

static void pairs_remove(struct client *c, const struct pair *p)
{
    uint32_t i = 0;
    while (c->pairs[i] != p)
        i++;
    c->pairs[i] = c->pairs[--c->pair_count];
}

static void pair_free(struct pair *p)
{
    assert(p->leases == 0);
    pairs_remove(p->ends[0], p);
    pairs_remove(p->ends[1], p);
    memory_free(p);
}

static void pair_close(struct node_core *core, struct pair *p)
{
    struct node_effect *e =
        node_effect_add(core, NODE_DISCONNECT, p->ends[0]->job, p->ends[0]->peer.process);
    e->other = p->ends[1]->peer.process;
    pair_free(p);
}

static struct pair *oldest_unused(const struct client *c)
{
    struct pair *oldest = NULL;
    for (uint32_t i = 0; i < c->pair_count; i++) {
        struct pair *p = c->pairs[i];
        if (p->leases == 0 && (oldest == NULL || p->used < oldest->used))
            oldest = p;
    }
    return oldest;
}

/* Room for one more pair: take back those that were used least recently and that no lease uses.
 * There may be none: then every pair has a lease, and leases have their own bound, workers_max. */
static void pairs_make_room(struct node_core *core, struct client *c)
{
    for (struct pair *p; c->pair_count >= PAIRS_AIM && (p = oldest_unused(c)) != NULL;
         pair_close(core, p)) {
        SEND(p->ends[0], peer_close, .process = p->ends[1]->peer.process.v);
        SEND(p->ends[1], peer_close, .process = p->ends[0]->peer.process.v);
    }
}

struct pair *node_pair_get(struct node_core *core, struct client *a, struct client *b)
{
    struct pair *p = node_pair_find(a, b);
    if (p == NULL) {
        pairs_make_room(core, a);
        pairs_make_room(core, b);
        p = memory_zalloc(sizeof *p);
        if (p == NULL)
            abort();
        p->ends[0] = a;
        p->ends[1] = b;
        pairs_add(a, p);
        pairs_add(b, p);
        struct node_effect *e = node_effect_add(core, NODE_CONNECT, a->job, a->peer.process);
        e->other = b->peer.process;
        SEND(a, peer_open, .process = b->peer.process.v, .side = 0);
        SEND(b, peer_open, .process = a->peer.process.v, .side = 1);
    }
    p->used = ++core->ticket;
    return p;
}

/* ---- the end ---- */

void node_client_kill(struct node_core *core, struct client *c)
{
    assert(!c->driver);
    if (c->state >= CLIENT_KILLED)
        return;
    node_client_move(core, c, CLIENT_KILLED);
    c->want = 0;
    node_client_wish(core, c);
    node_effect_add(core, NODE_KILL, c->job, c->peer.process);
}

/* Take the record out of every table. */
static void bury(struct node_core *core, struct client *c)
{
    c->want = c->held = 0;
    node_client_wish(core, c);
    node_client_move(core, c, CLIENT_ENDED);
    HASH_DEL(core->clients, c);
    DL_DELETE(c->job->clients, c);
    if (!c->driver)
        c->job->workers--;
    peer_fini(&c->peer);
    c->job = NULL;
    DL_APPEND(core->ended, c);
}

static void lose_lease(struct node_core *core, struct client *c, const struct worker_exit *exit)
{
    struct lease *l = c->lease;
    if (l == NULL)
        return;
    SEND(l->submitter, lease_lost, .lease = l->id.v, .worker = c->peer.process.v,
         .code = exit->code != MOB_OK ? exit->code : MOB_EWORKERDIED, .signal = exit->signal,
         .status = exit->status,
         .running = exit->running.owner == l->submitter->peer.process.v || MUTANT(n_running_of_any)
                        ? exit->running.seq
                        : 0,
         .function = exit->function, .tail = exit->tail);
    if (c->blocked && MUTANT(n_death_keeps_cpu)) {
        c->job->running++;
        core->running++;
    }
    node_lease_end(core, l);
}

void node_client_ended(struct node_core *core, struct client *c, const struct worker_exit *exit)
{
    lose_lease(core, c, exit);
    /* Nobody is left to return these, and what runs under them runs for nobody. */
    while (c->leases != NULL) {
        struct client *worker = c->leases->worker;
        node_lease_end(core, c->leases);
        node_client_kill(core, worker);
    }
    while (c->pair_count != 0)
        pair_close(core, c->pairs[0]);
    node_extents_owner_ended(c->job->extents, c->peer.process.v);
    if (c->was_ready)
        for (struct client *other = c->job->clients; other != NULL; other = other->next)
            if (other != c && other->state != CLIENT_STARTING)
                SEND(other, process_lost, .process = c->peer.process.v);
    if (c->announced)
        node_report_worker_end(core, c, exit->signal, exit->status);
    bury(core, c);
}

void node_client_forget(struct node_core *core, struct client *c)
{
    if (c->lease != NULL)
        node_lease_end(core, c->lease);
    while (c->leases != NULL)
        node_lease_end(core, c->leases);
    while (c->pair_count != 0)
        pair_free(c->pairs[0]);
    bury(core, c);
}

void node_graveyard_clear(struct node_core *core)
{
    while (core->ended != NULL) {
        struct client *c = core->ended;
        DL_DELETE(core->ended, c);
        memory_free(c->pairs);
        memory_free(c);
    }
}
