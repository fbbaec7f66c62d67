/* turn.c: one turn of driving: bytes come out of the rings into private memory, whole frames go to
 * the core, its effects are done, its messages go into the rings. Nothing here sleeps. */
#include <stdlib.h>
#include <unistd.h>

#include "libclient/shell.h"
#include "protocol/fence.h"

enum { READ_MAX = 256 << 10 }; /* bytes that one turn takes out of one ring */

/* ---- in ---- */

/* Copy out what the ring holds. Returns the number of bytes. */
static size_t ring_gather(struct ring_end *ring, struct buffer *in)
{
    size_t total = 0;
    while (total < READ_MAX) {
        size_t n = ring_readable(ring);
        if (n == 0 || buffer_reserve(in, n) != MOB_OK)
            break;
        n = ring_read(ring, in->data + in->end, n);
        in->end += n;
        total += n;
        if (n == 0)
            break;
    }
    return total;
}

static void node_failed(struct shell *s, int code, const char *why)
{
    if (s->node_gone)
        return;
    s->node_gone = true;
    client_fail_all(s->core, code, why, shell_now_ns());
    if (s->stopped != NULL)
        s->stopped();
}

static bool node_read(struct shell *s)
{
    if (s->node_gone)
        return false;
    struct ring_end *ring = &s->connection->ring;
    size_t n = ring_gather(ring, &s->in);
    if (n > 0 && ring_peer_wants_space(ring))
        doorbell_ring(&s->connection->node);
    struct view frame;
    int rc = 0;
    while (n > 0 && (rc = frame_next(&s->in, &frame)) == 1) {
        client_on_node(s->core, frame, shell_now_ns());
        frame_taken(&s->in, &frame);
    }
    if (rc < 0 || ring_broken(ring))
        node_failed(s, MOB_EPROTO, "the node broke the protocol");
    else if (n == 0 && (s->node_hung_up || ring_revoked(ring)))
        node_failed(s, MOB_ENODEDIED, "the node has ended");
    return n > 0 || s->node_gone; /* its end makes waiters done, too */
}

static bool peer_read(struct shell *s, struct shell_peer *p)
{
    if (p->peer == NULL)
        return false;
    size_t n = ring_gather(&p->link.ring, &p->in);
    if (n > 0 && ring_peer_wants_space(&p->link.ring))
        doorbell_ring(&p->link.bell);
    struct view frame;
    while (n > 0 && p->peer != NULL && frame_next(&p->in, &frame) == 1) {
        client_on_peer(s->core, p->peer, frame, shell_now_ns());
        frame_taken(&p->in, &frame);
    }
    return n > 0;
}

/* ---- effects ---- */

static struct shell_peer *peer_of(struct shell *s, struct mob_process process)
{
    for (struct shell_peer *p = s->peers; p != NULL; p = p->next)
        if (p->link.process.v == process.v)
            return p;
    return NULL;
}

static void peer_open(struct shell *s, const struct client_effect *e)
{
    struct mob_err err = {0};
    struct shell_peer *p = aligned_alloc(_Alignof(struct shell_peer), sizeof *p);
    if (p == NULL) {
        node_failed(s, MOB_ENOMEM, "no memory for a ring");
        return;
    }
    *p = (struct shell_peer){0};
    if (connection_next_peer(s->connection, &p->link, 1000, &err) != MOB_OK) {
        free(p);
        node_failed(s, err.code, err.text);
        return;
    }
    p->peer = client_peer(s->core, e->process);
    p->next = s->peers;
    s->peers = p;
}

static void peer_close(struct shell *s, struct mob_process process)
{
    for (struct shell_peer **at = &s->peers; *at != NULL; at = &(*at)->next) {
        struct shell_peer *p = *at;
        if (p->link.process.v != process.v)
            continue;
        *at = p->next;
        connection_peer_close(&p->link);
        buffer_fini(&p->in);
        free(p);
        return;
    }
}

static void peer_drain(struct shell *s, struct mob_process process)
{
    struct shell_peer *p = peer_of(s, process);
    while (p != NULL && peer_read(s, p))
        continue;
    client_lost(s->core, process, shell_now_ns());
}

static void effects_do(struct shell *s)
{
    struct client_effect e;
    while (client_next_effect(s->core, &e)) {
        switch (e.kind) {
        case CLIENT_OPEN_PEER:
            peer_open(s, &e);
            break;
        case CLIENT_CLOSE_PEER:
            peer_close(s, e.process);
            break;
        case CLIENT_DRAIN_PEER:
            peer_drain(s, e.process);
            break;
        case CLIENT_STOP:
            if (s->stopped != NULL)
                s->stopped();
            break;
        case CLIENT_FAILED:
            node_failed(s, e.code, "the client has failed");
            break;
        }
    }
}

bool turn_read(struct shell *s)
{
    bool any = node_read(s);
    effects_do(s);
    for (struct shell_peer *p = s->peers; p != NULL; p = p->next)
        any |= peer_read(s, p);
    effects_do(s);
    if (!any && client_deadline(s->core) <= shell_now_ns())
        client_tick(s->core, shell_now_ns());
    return any;
}

/* A peer's ring is written only while nothing waits for the node (turn_flush), so its space matters
 * only then. */
bool turn_pending(struct shell *s)
{
    if (!s->node_gone && ring_pending(&s->connection->ring))
        return true;
    bool writes = s->node_gone || peer_backlog(client_node(s->core)) == 0;
    for (struct shell_peer *p = s->peers; p != NULL; p = p->next)
        if (ring_readable(&p->link.ring) > 0 ||
            (writes && !ring_revoked(&p->link.ring) && !ring_broken(&p->link.ring) &&
             ring_pending(&p->link.ring)))
            return true;
    return false;
}

void turn_mark_run(struct shell *s, const struct run *r)
{
    /* One mark stands at most: a task that has ended for another submitter is not the one that a
     * crash ends. */
    for (struct shell_peer *p = s->peers; p != NULL; p = p->next)
        ring_mark_set(&p->link.ring, p->link.process.v == r->from.v ? r->task : 0);
}

/* ---- out ---- */

/* Returns whether the reader's bell must be rung. A short write is for the holder of the seat to
 * go on with when there is room. One that sleeps has looked before it; so we look in its place. */
static bool ring_send(struct shell *s, struct ring_end *ring, struct peer *p)
{
    bool any = false, again = true;
    while (again) {
        size_t n = ring_write(ring, buffer_head(&p->out), peer_backlog(p));
        if (n > 0)
            peer_gone(p, n);
        any |= n > 0;
        again = peer_backlog(p) > 0 && s->seat_asleep;
        if (again)
            fence_full();
        again = again && ring_writable(ring) > 0;
    }
    return any;
}

static void bells_ring(struct shell *s)
{
    if (s->node_bell_owed)
        doorbell_ring(&s->connection->node);
    s->node_bell_owed = false;
    for (struct shell_peer *p = s->peers; p != NULL; p = p->next) {
        if (p->bell_owed)
            doorbell_ring(&p->link.bell);
        p->bell_owed = false;
    }
    s->bells_owed_since_ns = 0;
}

static void completions_signal(struct shell *s)
{
    uint64_t one = 1;
    if (s->completion_fd >= 0 && client_completion_waits(s->core) &&
        write(s->completion_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is readable already */
}

/* The node's messages go first and hold back the others: what was sealed is known to the node
 * before anybody is told where it is, even if this process dies between the two. */
void turn_flush(struct shell *s, bool bells_may_wait)
{
    effects_do(s);
    while (outbox_take(client_outbox(s->core)) != NULL)
        continue; /* a few peers: looking at each costs less than keeping lists in step */
    struct peer *node = client_node(s->core);
    if (!s->node_gone && peer_backlog(node) > 0)
        s->node_bell_owed |= ring_send(s, &s->connection->ring, node);
    for (struct shell_peer *p = s->peers; p != NULL && (s->node_gone || peer_backlog(node) == 0);
         p = p->next)
        if (p->peer != NULL && peer_backlog(p->peer) > 0)
            p->bell_owed |= ring_send(s, &p->link.ring, p->peer);
    if (!bells_may_wait)
        bells_ring(s);
    completions_signal(s);
}
