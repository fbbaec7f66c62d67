/* extents.c: room in the arena that the node has leased to this process for writing, filled from
 * front to back. */
#include "libclient/core_parts.h"

enum { OBJECT_ALIGN = 64 };

bool client_place(struct client *c, uint64_t size, uint64_t *offset)
{
    uint64_t taken = (size + OBJECT_ALIGN - 1) / OBJECT_ALIGN * OBJECT_ALIGN;
    for (uint32_t i = 0; c->failed == MOB_OK && i < c->extent_count; i++) {
        struct extent *e = &c->extents[i];
        if (taken >= size && e->size - e->used >= taken) {
            *offset = e->offset + e->used;
            e->used += taken;
            return true;
        }
    }
    return false;
}

static struct extent *extent_find(const struct client *c, uint64_t offset)
{
    for (uint32_t i = 0; i < c->extent_count; i++)
        if (offset >= c->extents[i].offset && offset < c->extents[i].offset + c->extents[i].size)
            return (struct extent *)&c->extents[i];
    return NULL;
}

bool client_extent_of(const struct client *c, uint64_t offset, uint64_t *start, uint64_t *size)
{
    const struct extent *e = extent_find(c, offset);
    if (e == NULL)
        return false;
    *start = e->offset;
    *size = e->size;
    return true;
}

void client_unplace(struct client *c, uint64_t offset)
{
    struct extent *e = extent_find(c, offset);
    if (e != NULL)
        e->used = offset - e->offset;
}

int client_extent_want(struct client *c, uint64_t size, struct waiter *w)
{
    if (c->failed != MOB_OK)
        return c->failed;
    if (c->extent_request == 0) {
        struct msg_extent_want m = {.request = c->extent_requests + 1,
                                    .size = size <= UINT64_MAX - OBJECT_ALIGN ? size + OBJECT_ALIGN
                                                                              : size};
        int rc = peer_send(&c->node, extent_want, &m);
        if (rc != MOB_OK)
            return rc;
        c->extent_request = ++c->extent_requests;
        c->extent_asked = size;
        c->extent_err.code = MOB_OK;
    }
    w->needed = 1;
    w->done = false;
    w->woken_next = c->extent_waiters;
    c->extent_waiters = w;
    return MOB_OK;
}

int client_extent_result(struct client *c, uint64_t size, struct mob_err *err)
{
    /* That there is no room for much does not mean that there is none for less. */
    if (c->extent_err.code == MOB_OK ||
        (c->extent_err.code == MOB_ESTOREFULL && size < c->extent_asked))
        return MOB_OK;
    if (err != NULL)
        *err = c->extent_err;
    return c->extent_err.code;
}

static void waiter_wake(struct client *c, struct waiter *w)
{
    w->done = true;
    w->woken_next = c->woken_first;
    c->woken_first = w;
    if (c->woken_last == NULL)
        c->woken_last = w;
}

/* Every waiter looks again for itself: the room may be enough for one of them only. */
void extent_waiters_wake(struct client *c)
{
    while (c->extent_waiters != NULL) {
        struct waiter *w = c->extent_waiters;
        c->extent_waiters = w->woken_next;
        waiter_wake(c, w);
    }
}

static void extent_add(struct client *c, const struct msg_extent_grant *m)
{
    uint32_t place = c->extent_count;
    if (place == EXTENTS_HELD) { /* the fullest goes; its objects stay, its rest is lost until the
                                    job ends */
        place = 0;
        for (uint32_t i = 1; i < EXTENTS_HELD; i++)
            if (c->extents[i].size - c->extents[i].used <
                c->extents[place].size - c->extents[place].used)
                place = i;
    } else {
        c->extent_count++;
    }
    c->extents[place] = (struct extent){m->offset, m->size, 0};
}

void on_extent_grant(struct client *c, const struct msg_extent_grant *m)
{
    if (c->extent_request == 0 || m->request != c->extent_request) {
        c->counts.refused++;
        return;
    }
    c->extent_request = 0;
    bool inside = m->size <= c->config.arena_bytes && m->offset <= c->config.arena_bytes - m->size;
    if (m->code == MOB_OK && inside)
        extent_add(c, m);
    else
        mob_err_set(&c->extent_err, m->code != MOB_OK ? (int)m->code : MOB_EPROTO, "%.*s",
                    (int)m->text.size, (const char *)m->text.data);
    extent_waiters_wake(c);
}

/* ---- marks ---- */

int client_mark(struct client *c, struct waiter *w)
{
    if (c->failed != MOB_OK)
        return c->failed;
    int rc = peer_send(&c->node, mark, &(struct msg_mark){c->marks + 1});
    if (rc != MOB_OK)
        return rc;
    c->marks++;
    *w = (struct waiter){.needed = 1};
    c->mark_waiter = w;
    return MOB_OK;
}

void client_unmark(struct client *c)
{
    c->mark_waiter = NULL;
}

void mark_waiter_wake(struct client *c)
{
    if (c->mark_waiter != NULL)
        waiter_wake(c, c->mark_waiter);
    c->mark_waiter = NULL;
}

void on_marked(struct client *c, const struct msg_marked *m)
{
    if (m->request == c->marks)
        mark_waiter_wake(c);
}
