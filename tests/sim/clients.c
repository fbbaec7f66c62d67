/* clients.c: drivers and workers around their cores: what libclient's shell does after each step,
 * and how a process is born and ends. */
#include <inttypes.h>

#include "tests/sim/scripts.h"

/* ---- birth ---- */

static void driver_threads(struct sim *s, struct process *p)
{
    uint64_t count = random_between(&s->random, 1, s->weather.threads);
    for (uint64_t i = 0; i < count; i++) {
        struct thread *t = thread_create(s, p);
        t->state = DRIVER_NEXT;
        t->operations_left = (uint32_t)random_between(&s->random, 1, s->weather.operations);
        thread_after(s, t, random_skewed(&s->random, 0, MS));
    }
}

void client_start(struct sim *s, struct process *p, const struct msg_client_welcome *welcome)
{
    struct mob_err err;
    struct client_config config = {
        .worker = p->kind == PROCESS_WORKER,
        .self = {welcome->process},
        .inline_max = welcome->inline_max,
        .arena_bytes = welcome->arena_bytes,
        .cpus = welcome->cpus,
        .retries = welcome->retries,
        .lease_idle_ns = s->weather.lease_idle_ns,
        .window_ns = s->weather.window_ns,
    };
    if (client_create(&p->client, &config, &err) != MOB_OK)
        sim_fail(s, "%s cannot be created: %s", p->name, err.text);
    p->arena = arena_of(s, p->job);
    p->arena_bytes = welcome->arena_bytes;
    TRACE(s, p, "is there: process=%" PRIu64 " job=%" PRIu64, p->id.v, p->job.v);
    ring_bind(s, &p->node_ring->half[1], client_node(p->client));
    if (p->kind == PROCESS_DRIVER) {
        driver_threads(s, p);
    } else {
        struct msg_worker_ready ready = {.functions = 3};
        thread_create(s, p)->state = TASK_IDLE;
        if (peer_send(client_node(p->client), worker_ready, &ready) != MOB_OK)
            sim_need(s, NULL);
        p->was_ready = true;
    }
    client_settle(s, p);
}

/* ---- the end ---- */

void process_die(struct sim *s, struct process *p, uint32_t by_signal)
{
    if (!p->alive)
        return;
    TRACE(s, p, "ends by signal %" PRIu32 " while it runs %" PRIu64 ".%" PRIu64, by_signal,
          p->mark_owner, p->mark);
    p->alive = false;
    p->exit_signal = by_signal;
    s->deaths += by_signal != 0;
    if (p->mark != 0)
        oracle_death(s, p->mark_owner, p->mark);
    client_destroy(p->client);
    p->client = NULL;
    if (p->kind == PROCESS_DRIVER)
        s->drivers_open--;
    node_process_ended(s, p);
}

void process_leave(struct sim *s, struct process *p)
{
    if (peer_send(client_node(p->client), goodbye, &(struct msg_goodbye){MOB_OK}) != MOB_OK)
        sim_need(s, NULL);
    p->leaves = true;
    client_settle(s, p);
}

bool process_step(struct sim *s, struct process *p)
{
    if (p->dies_in == 0 || --p->dies_in != 0)
        return false;
    TRACE(s, p, "is struck between a step and what it sends");
    if (p->kind == PROCESS_HEAD)
        head_kill(s);
    else if (p->kind == PROCESS_NODE)
        node_kill(s);
    else
        process_die(s, p, 9);
    return true;
}

/* It wanted to end, and all that it wrote has gone. */
static void leave_if_empty(struct sim *s, struct process *p)
{
    for (struct ring_pair *pair = s->rings; pair != NULL; pair = pair->next)
        for (int side = 0; side < 2; side++)
            if (pair->half[side].owner == p && pair->half[side].waits && !pair->revoked &&
                pair->half[!side].owner->alive)
                return;
    process_die(s, p, 0);
}

/* ---- after each step ---- */

static void peer_open(struct sim *s, struct process *p, const struct client_effect *e)
{
    struct ring_half *half = ring_find(s, p, e->process, false);
    struct peer *peer = client_peer(p->client, e->process);
    if (half == NULL || half != &half->pair->half[e->side])
        sim_fail(s, "%s is told of a ring pair with process %" PRIu64 " that nobody made", p->name,
                 e->process.v);
    if (peer == NULL)
        sim_fail(s, "%s opens a peer that it does not know", p->name);
    ring_bind(s, half, peer);
}

static void effect_do(struct sim *s, struct process *p, const struct client_effect *e)
{
    static const char *const names[] = {"open peer", "close peer", "drain peer", "stop", "failed"};
    struct ring_half *half;
    TRACE(s, p, "effect: %s %" PRIu64, names[e->kind], e->process.v);
    switch (e->kind) {
    case CLIENT_OPEN_PEER:
        peer_open(s, p, e);
        break;
    case CLIENT_CLOSE_PEER:
        if ((half = ring_find(s, p, e->process, true)) != NULL)
            half->open = half->waits = false;
        break;
    case CLIENT_DRAIN_PEER:
        if ((half = ring_find(s, p, e->process, true)) != NULL)
            ring_drain(s, half);
        client_lost(p->client, e->process, s->now_ns);
        break;
    case CLIENT_STOP:
        p->leaves = true;
        break;
    case CLIENT_FAILED:
        sim_fail(s, "%s failed: %s", p->name, mob_error_name(e->code));
    }
}

static void on_tick(struct sim *s, const struct event *e)
{
    struct process *p = e->process;
    if (p->tick_at != e->a)
        return;
    p->tick_at = UINT64_MAX;
    client_tick(p->client, s->now_ns);
    client_settle(s, p);
}

/* The node's messages go first and hold back the others, so that what was sealed is known to it
 * before anybody is told. */
static void peers_flush(struct sim *s, struct process *p)
{
    struct peer *peer, *node = client_node(p->client);
    while (outbox_take(client_outbox(p->client)) != NULL)
        continue;
    ring_flush(s, node);
    for (struct ring_pair *pair = s->rings; pair != NULL && peer_backlog(node) == 0;
         pair = pair->next)
        for (int side = 0; side < 2; side++) {
            struct ring_half *half = &pair->half[side];
            if (half->owner == p && half->open && half->other.v != 0 &&
                (peer = client_peer(p->client, half->other)) != NULL && peer->shell == half)
                ring_flush(s, peer);
        }
}

void client_settle(struct sim *s, struct process *p)
{
    struct client_effect e;
    struct waiter *w;
    if (!p->alive || p->client == NULL || process_step(s, p))
        return;
    while (client_next_effect(p->client, &e))
        effect_do(s, p, &e);
    while ((w = client_next_woken(p->client)) != NULL)
        thread_woken(s, w->shell);
    peers_flush(s, p);
    if (p->leaves) {
        leave_if_empty(s, p);
        return;
    }
    if (p->kind == PROCESS_WORKER)
        worker_work(s, p);
    uint64_t at = client_deadline(p->client);
    if (at < p->tick_at) {
        p->tick_at = at;
        sim_after(s, at > s->now_ns ? at - s->now_ns : 0,
                  (struct event){.run = on_tick, .process = p, .a = at});
    }
}

void client_on_frame(struct sim *s, struct process *p, struct peer *from, struct view frame)
{
    if (from == client_node(p->client))
        client_on_node(p->client, frame, s->now_ns);
    else
        client_on_peer(p->client, from, frame, s->now_ns);
}
