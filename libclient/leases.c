/* leases.c: which leased worker gets the next task. Tasks go out in batches of what is waiting; how
 * many may wait at one worker follows from how long such tasks took, so that short ones never wait
 * for a round trip and long ones never queue behind each other. A worker that turns out to be slow,
 * or that blocks, gives its queued tasks back.
 *
 *   want -> lease_grant -> (tasks) -> idle for lease_idle, or recalled and empty -> lease_return
 *                             '-> lease_lost -> the ring is drained -> leases_lost */
#include <assert.h>

#include "libclient/core_parts.h"
#include "protocol/memory.h"

/* ---- pace ---- */

static struct pace *pace_of(struct client *c, uint64_t function)
{
    return &c->paces[(function * 0x9e3779b97f4a7c15u) >> 56];
}

void pace_note(struct client *c, uint64_t function, uint64_t run_ns)
{
    static_assert(PACES == 256, "pace_of takes 8 bits");
    enum { LEAST_NS = 500 };
    const uint64_t MOST_NS = 3600000000000;
    struct pace *p = pace_of(c, function);
    uint64_t ns = run_ns < LEAST_NS ? LEAST_NS : run_ns < MOST_NS ? run_ns : MOST_NS;
    if (p->function != function)
        *p = (struct pace){function, ns};
    else
        p->mean_ns = (p->mean_ns * 7 + ns) / 8;
}

/* How long such a task takes; a whole window while nothing is known. */
static uint64_t pace_ns(struct client *c, uint64_t function)
{
    const struct pace *p = pace_of(c, function);
    return p->function == function ? p->mean_ns : c->config.window_ns;
}

/* ---- leases ---- */

static struct lease *lease_find(struct client *c, uint64_t id)
{
    for (struct lease *l = c->leases; l != NULL; l = l->next)
        if (l->id.v == id)
            return l;
    return NULL;
}

void lease_destroy(struct client *c, struct lease *l)
{
    assert(l->sent.count == 0);
    struct lease **at = &c->leases;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    c->lease_count--;
    memory_free(l);
}

static uint64_t slots(const struct client *c)
{
    return c->config.cpus < 10000 ? 1 : c->config.cpus / 10000;
}

/* May one more task like `t` be sent to `l`? */
static bool lease_has_room(struct client *c, const struct lease *l, const struct task *t)
{
    if (l->recalled || l->loss.known || l->peer->draining)
        return false;
    if (l->sent.count == 0)
        return true;
    if (l->stalled || l->sent.count >= SENT_MAX || peer_backlog(&l->peer->peer) > SENT_BYTES_MAX)
        return false;
    uint64_t slowest = pace_ns(c, t->function), oldest = pace_ns(c, l->sent.first->function);
    if (oldest > slowest)
        slowest = oldest;
    /* While more workers may come, little is queued, so that there is something left for them. */
    uint64_t window = c->lease_count < slots(c) ? c->config.window_ns / 8 : c->config.window_ns;
    return (l->sent.count + 1) * slowest <= window;
}

static struct lease *lease_choose(struct client *c, const struct task *t)
{
    struct lease *best = NULL;
    for (struct lease *l = c->leases; l != NULL; l = l->next)
        if ((best == NULL || l->sent.count < best->sent.count) && lease_has_room(c, l, t))
            best = l;
    return best;
}

static int task_send(struct client *c, struct task *t, struct lease *l)
{
    struct msg_task_run m = {
        .task = t->seq,
        .attempt = t->attempt,
        .depth = t->depth,
        .function = t->function,
        .results = t->result_count,
    };
    int rc = task_pack_args(c, t, &c->scratch, &m.args);
    if (rc == MOB_OK)
        rc = peer_send(&l->peer->peer, task_run, &m);
    if (rc != MOB_OK)
        return rc;
    queue_remove(&c->ready, t);
    t->state = TASK_SENT;
    t->lease = l;
    queue_push_last(&l->sent, t);
    return MOB_OK;
}

static bool leases_send(struct client *c)
{
    while (c->ready.first != NULL) {
        struct task *t = c->ready.first;
        struct lease *l = lease_choose(c, t);
        if (l == NULL)
            break;
        int rc = task_send(c, t, l);
        if (rc == MOB_ETOOBIG)
            task_fail_text(c, t, rc,
                           "its arguments are too large together: put some of them first");
        else if (rc != MOB_OK)
            return false;
    }
    return true;
}

/* Should it go back now? A worker keeps no unused lease once it runs on: its cpu is wanted by
 * others or by itself. */
static bool lease_is_over(const struct client *c, const struct lease *l, uint64_t now_ns)
{
    if (l->sent.count != 0 || l->loss.known || l->peer->draining)
        return false;
    if (l->recalled)
        return true;
    bool keeps = !c->config.worker || c->blocked;
    return c->ready.count == 0 && (!keeps || now_ns >= l->idle_since_ns + c->config.lease_idle_ns);
}

/* Tell the node how many leases could be used: those that are kept, and one for each task that
 * waits. The number is bounded by the node's cpus, so a burst of tasks costs one message; it is
 * lowered only when nothing waits. */
static bool leases_ask(struct client *c, uint64_t now_ns)
{
    uint64_t kept = 0;
    for (const struct lease *l = c->leases; l != NULL; l = l->next)
        kept += !l->loss.known && !(l->recalled && MUTANT(client_recalled_uncounted)) &&
                !lease_is_over(c, l, now_ns); /* a recalled one is ours until it is returned */
    uint64_t more = c->ready.count < slots(c) ? c->ready.count : slots(c);
    uint64_t want = kept + more;
    uint32_t depth = c->current != NULL ? c->current->depth + 1 : 0;
    bool changed =
        more > 0 ? want > c->want_sent || depth != c->want_depth_sent : want != c->want_sent;
    if (!changed)
        return true;
    if (peer_send(&c->node, lease_want, (&(struct msg_lease_want){want, depth})) != MOB_OK)
        return false;
    c->want_sent = want;
    c->want_depth_sent = depth;
    return true;
}

/* The wish goes before the leases that are given back, so that none of them comes again at once. */
bool leases_dispatch(struct client *c, uint64_t now_ns)
{
    bool all = leases_send(c);
    all &= leases_ask(c, now_ns);
    for (struct lease *l = c->leases, *next; l != NULL; l = next) {
        next = l->next;
        if (!lease_is_over(c, l, now_ns) || MUTANT(client_lease_not_returned))
            continue;
        if (peer_send(&c->node, lease_return, &(struct msg_lease_return){l->id.v}) == MOB_OK)
            lease_destroy(c, l);
        else
            all = false;
    }
    return all;
}

uint64_t leases_deadline(const struct client *c)
{
    uint64_t first = UINT64_MAX;
    for (const struct lease *l = c->leases; l != NULL; l = l->next)
        if (l->sent.count == 0 && l->idle_since_ns + c->config.lease_idle_ns < first)
            first = l->idle_since_ns + c->config.lease_idle_ns;
    return first;
}

/* ---- messages ---- */

void on_lease_grant(struct client *c, const struct msg_lease_grant *m, uint64_t now_ns)
{
    if (lease_find(c, m->lease) != NULL) {
        c->counts.refused++;
        return;
    }
    struct client_peer *p = peer_find(c, m->worker);
    struct lease *l = p != NULL && !p->draining ? memory_zalloc(sizeof *l) : NULL;
    if (l == NULL) { /* unknown worker, or no memory: the node gets it back */
        if (peer_send(&c->node, lease_return, &(struct msg_lease_return){m->lease}) != MOB_OK)
            c->effect_lost = true;
        return;
    }
    l->id.v = m->lease;
    l->peer = p;
    l->idle_since_ns = now_ns;
    struct lease **at = &c->leases;
    while (*at != NULL)
        at = &(*at)->next;
    *at = l;
    c->lease_count++;
}

void on_lease_recall(struct client *c, const struct msg_lease_recall *m)
{
    struct lease *l = lease_find(c, m->lease);
    if (l != NULL)
        l->recalled = true;
}

static void text_keep(char *to, size_t size, struct view from)
{
    size_t skip = from.size < size ? 0 : from.size - size + 1; /* the tail matters */
    memcpy(to, (const char *)from.data + skip, from.size - skip);
    to[from.size - skip] = '\0';
}

void on_lease_lost(struct client *c, const struct msg_lease_lost *m)
{
    struct lease *l = lease_find(c, m->lease);
    if (l == NULL || l->peer->peer.process.v != m->worker) {
        c->counts.refused++;
        return;
    }
    l->loss = (struct loss){.known = true,
                            .running = m->running,
                            .code = (int)m->code,
                            .signal = m->signal,
                            .status = m->status};
    text_keep(l->loss.function, sizeof l->loss.function, m->function);
    text_keep(l->loss.tail, sizeof l->loss.tail, m->tail);
    if (!l->peer->draining)
        effect_add(
            c, (struct client_effect){.kind = CLIENT_DRAIN_PEER, .process = l->peer->peer.process});
    l->peer->draining = l->peer->lost = true;
}

void on_lease_denied(struct client *c, const struct msg_lease_denied *m)
{
    char text[MOB_ERR_TEXT_MAX];
    text_keep(text, sizeof text, m->text);
    while (c->ready.first != NULL)
        task_fail_text(c, c->ready.first, (int)m->code, text);
    c->want_sent = c->lease_count;
}

void leases_lost(struct client *c, struct client_peer *p)
{
    for (struct lease *l = c->leases, *next; l != NULL; l = next) {
        next = l->next;
        if (l->peer != p)
            continue;
        /* Newest first, each to the front: they keep their order. */
        while (l->sent.last != NULL)
            task_lost(c, l->sent.last, &l->loss, p->peer.process.v);
        lease_destroy(c, l);
    }
}
