/* channels.c: the rings between the processes of one machine, as they are in life: reliable and
 * ordered streams of bytes, of bounded size, that arrive late and in parts; what was written before
 * an end stays readable, after a revocation nothing is written any more. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>

struct ring_pair *ring_pair_make(struct sim *s, struct process *a, struct mob_process a_id,
                                 struct process *b, struct mob_process b_id)
{
    struct ring_pair *pair = calloc(1, sizeof *pair);
    sim_need(s, pair);
    pair->half[0] =
        (struct ring_half){.pair = pair, .far = &pair->half[1], .owner = a, .other = b_id};
    pair->half[1] =
        (struct ring_half){.pair = pair, .far = &pair->half[0], .owner = b, .other = a_id};
    pair->next = s->rings;
    s->rings = pair;
    return pair;
}

struct ring_half *ring_find(struct sim *s, const struct process *owner, struct mob_process other,
                            bool open)
{
    for (struct ring_pair *pair = s->rings; pair != NULL; pair = pair->next)
        for (int side = 0; side < 2; side++) {
            struct ring_half *half = &pair->half[side];
            if (half->owner == owner && half->other.v == other.v && half->open == open)
                return half;
        }
    return NULL;
}

/* The core's record of the other side; NULL when the core has forgotten it, or has a newer ring for
 * it. */
static struct peer *peer_of(struct sim *s, struct ring_half *half)
{
    struct peer *peer = NULL;
    if (half->owner->kind == PROCESS_NODE)
        peer = node_core_client(daemons_node_core(s), half->other);
    else if (half->owner->client != NULL)
        peer = half->other.v == 0 ? client_node(half->owner->client)
                                  : client_peer(half->owner->client, half->other);
    return peer != NULL && peer->shell == half ? peer : NULL;
}

/* ---- reading ---- */

static void settle(struct sim *s, struct process *p)
{
    if (p->kind == PROCESS_NODE)
        node_settle(s);
    else
        client_settle(s, p);
}

static void frames_deliver(struct sim *s, struct ring_half *half)
{
    struct view frame;
    int rc;
    while ((rc = frame_next(&half->in, &frame)) == 1) {
        struct peer *peer = peer_of(s, half);
        if (peer != NULL) {
            sim_trace_frame(s, half->owner, half->far->owner->name, frame);
            if (half->owner->kind == PROCESS_NODE)
                node_on_frame(s, peer, frame);
            else
                client_on_frame(s, half->owner, peer, frame);
        }
        frame_taken(&half->in, &frame);
    }
    if (rc < 0)
        sim_fail(s, "%s read a frame of an impossible size from %s", half->owner->name,
                 half->far->owner->name);
}

static void on_room(struct sim *s, const struct event *e)
{
    struct ring_half *half = e->object;
    struct peer *peer = half->open ? peer_of(s, half) : NULL;
    if (peer != NULL)
        ring_flush(s, peer);
    settle(s, half->owner);
}

static void take(struct sim *s, struct ring_half *half, size_t size)
{
    struct buffer *flight = &half->far->flight;
    if (size == 0)
        return;
    if (buffer_append(&half->in, buffer_head(flight), size) != MOB_OK)
        sim_need(s, NULL);
    buffer_take(flight, size);
    if (half->far->waits) {
        half->far->waits = false;
        sim_after(s, random_below(&s->random, s->weather.ring_delay_ns),
                  (struct event){.run = on_room, .process = half->far->owner, .object = half->far});
    }
}

static void on_bytes(struct sim *s, const struct event *e);

static void delivery_schedule(struct sim *s, struct ring_half *half)
{
    if (half->coming || !half->open || buffer_size(&half->far->flight) == 0)
        return;
    half->coming = true;
    sim_after(s, random_skewed(&s->random, US, s->weather.ring_delay_ns),
              (struct event){.run = on_bytes, .process = half->owner, .object = half});
}

static void on_bytes(struct sim *s, const struct event *e)
{
    struct ring_half *half = e->object;
    half->coming = false;
    if (!half->open)
        return;
    size_t size = buffer_size(&half->far->flight);
    if (random_chance(&s->random, s->weather.ring_parts))
        size = (size_t)random_below(&s->random, size + 1);
    take(s, half, size);
    delivery_schedule(s, half);
    frames_deliver(s, half);
    settle(s, half->owner);
}

void ring_drain(struct sim *s, struct ring_half *half)
{
    take(s, half, buffer_size(&half->far->flight));
    frames_deliver(s, half);
}

/* ---- writing ---- */

void ring_flush(struct sim *s, struct peer *peer)
{
    struct ring_half *half = peer->shell;
    if (half == NULL || !half->open || half->pair->revoked)
        return;
    size_t size = peer_backlog(peer), room = s->weather.ring_bytes - buffer_size(&half->flight);
    half->waits = size > room;
    if (size > room)
        size = room;
    if (buffer_append(&half->flight, buffer_head(&peer->out), size) != MOB_OK)
        sim_need(s, NULL);
    peer_gone(peer, size);
    delivery_schedule(s, half->far);
}

void ring_bind(struct sim *s, struct ring_half *half, struct peer *peer)
{
    half->open = true;
    peer->shell = half;
    ring_flush(s, peer);
    delivery_schedule(s, half);
}

void ring_revoke(struct sim *s, struct mob_process a, struct mob_process b)
{
    for (struct ring_pair *pair = s->rings; pair != NULL; pair = pair->next)
        if ((pair->half[0].other.v == a.v && pair->half[1].other.v == b.v) ||
            (pair->half[0].other.v == b.v && pair->half[1].other.v == a.v))
            pair->revoked = true;
}

void rings_destroy(struct sim *s)
{
    for (struct ring_pair *pair = s->rings, *next; pair != NULL; pair = next) {
        next = pair->next;
        for (int side = 0; side < 2; side++) {
            buffer_fini(&pair->half[side].flight);
            buffer_fini(&pair->half[side].in);
        }
        free(pair);
    }
}
