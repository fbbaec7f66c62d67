/* extents.c: one tree by offset (a treap), in which each node knows the largest free extent beneath
 * it. That gives first fit by address, which keeps the free space in few large pieces, and the
 * extent around an offset, both in O(log n), from one structure. Lists by size class were rejected:
 * they find a fit faster and need a second structure for the second question. The ranks come from
 * the offsets, so the same calls always give the same tree. */
#include "node/extents.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "protocol/memory.h"

struct node_extents {
    struct extent *root, *first;
    uint64_t bytes, page, used;
};

static uint64_t rank_of(uint64_t offset)
{
    uint64_t z = offset + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t largest_in(const struct extent *e)
{
    return e != NULL ? e->largest : 0;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct extent *fixed(struct extent *e)
{
    uint64_t own = e->owner == 0 ? e->size : 0;
    e->largest = max_u64(own, max_u64(largest_in(e->left), largest_in(e->right)));
    return e;
}

/* The size or the owner of the extent at `offset` has changed: mend `largest` on the way to it. */
static void mend(struct extent *e, uint64_t offset)
{
    if (e->offset != offset)
        mend(offset < e->offset ? e->left : e->right, offset);
    fixed(e);
}

static void split(struct extent *e, uint64_t offset, struct extent **below, struct extent **above)
{
    if (e == NULL) {
        *below = *above = NULL;
    } else if (e->offset < offset) {
        split(e->right, offset, &e->right, above);
        *below = fixed(e);
    } else {
        split(e->left, offset, below, &e->left);
        *above = fixed(e);
    }
}

static struct extent *join(struct extent *below, struct extent *above)
{
    if (below == NULL)
        return above;
    if (above == NULL)
        return below;
    if (below->rank > above->rank) {
        below->right = join(below->right, above);
        return fixed(below);
    }
    above->left = join(below, above->left);
    return fixed(above);
}

static struct extent *without(struct extent *e, uint64_t offset)
{
    if (e->offset == offset)
        return join(e->left, e->right);
    if (offset < e->offset)
        e->left = without(e->left, offset);
    else
        e->right = without(e->right, offset);
    return fixed(e);
}

static void add(struct node_extents *x, struct extent *e)
{
    struct extent *below, *above;
    split(x->root, e->offset, &below, &above);
    x->root = join(join(below, e), above);
}

static struct extent *extent_new(uint64_t offset, uint64_t size)
{
    struct extent *e = memory_zalloc(sizeof *e);
    if (e == NULL)
        abort();
    *e = (struct extent){.offset = offset, .size = size, .rank = rank_of(offset)};
    return fixed(e);
}

struct node_extents *node_extents_create(uint64_t bytes, uint64_t page)
{
    assert(page >= 64);
    assert((page & (page - 1)) == 0);
    assert(bytes % page == 0);
    struct node_extents *x = memory_zalloc(sizeof *x);
    if (x == NULL)
        abort();
    *x = (struct node_extents){.bytes = bytes, .page = page};
    if (bytes != 0)
        x->root = x->first = extent_new(0, bytes);
    return x;
}

void node_extents_destroy(struct node_extents *x)
{
    if (x == NULL)
        return;
    for (struct extent *e = x->first, *after; e != NULL; e = after) {
        after = e->after;
        memory_free(e);
    }
    memory_free(x);
}

static struct extent *first_fit(struct extent *e, uint64_t size)
{
    while (largest_in(e->left) >= size || e->owner != 0 || e->size < size)
        e = largest_in(e->left) >= size ? e->left : e->right;
    return e;
}

/* Cut `e` after `size` bytes; the rest is a free extent of its own. */
static void cut(struct node_extents *x, struct extent *e, uint64_t size)
{
    if (e->size == size)
        return;
    struct extent *rest = extent_new(e->offset + size, e->size - size);
    e->size = size;
    rest->before = e;
    rest->after = e->after;
    if (e->after != NULL)
        e->after->before = rest;
    e->after = rest;
    mend(x->root, e->offset);
    add(x, rest);
}

/* `a` swallows its right neighbour. */
static void swallow(struct node_extents *x, struct extent *a)
{
    struct extent *b = a->after;
    x->root = without(x->root, b->offset);
    a->size += b->size;
    a->after = b->after;
    if (b->after != NULL)
        b->after->before = a;
    memory_free(b);
    mend(x->root, a->offset);
}

static struct extent *make_free(struct node_extents *x, struct extent *e)
{
    e->owner = 0;
    e->sealed_end = 0;
    mend(x->root, e->offset);
    if (e->after != NULL && e->after->owner == 0)
        swallow(x, e);
    if (e->before != NULL && e->before->owner == 0) {
        e = e->before;
        swallow(x, e);
    }
    return e;
}

const struct extent *node_extents_take(struct node_extents *x, uint64_t size, uint64_t size_aim,
                                       uint64_t owner)
{
    assert(owner != 0);
    if (size > x->bytes || size_aim > x->bytes)
        size_aim = size;
    if (size > x->bytes || x->bytes == 0)
        return NULL;
    uint64_t rounded = size == 0 ? x->page : (size + x->page - 1) & ~(x->page - 1);
    uint64_t aim = (size_aim + x->page - 1) & ~(x->page - 1);
    if (aim > rounded && x->root->largest >= aim)
        rounded = aim;
    if (x->root->largest < rounded)
        return NULL;
    struct extent *e = first_fit(x->root, rounded);
    cut(x, e, rounded);
    e->owner = owner;
    mend(x->root, e->offset);
    x->used += rounded;
    return e;
}

static struct extent *around(const struct node_extents *x, uint64_t offset)
{
    struct extent *best = NULL;
    for (struct extent *e = x->root; e != NULL; e = e->offset <= offset ? e->right : e->left)
        if (e->offset <= offset)
            best = e;
    return best;
}

bool node_extents_seal(struct node_extents *x, uint64_t owner, uint64_t offset, uint64_t size)
{
    struct extent *e = around(x, offset);
    if (e == NULL || e->owner != owner || owner == 0 || owner == EXTENT_OF_JOB)
        return false;
    uint64_t at = offset - e->offset;
    if (at >= e->size || size > e->size - at)
        return false;
    /* An empty object takes a byte's worth of place too, so that its extent stays. */
    e->sealed_end = max_u64(e->sealed_end, offset + (size != 0 ? size : 1));
    return true;
}

void node_extents_owner_ended(struct node_extents *x, uint64_t owner)
{
    for (struct extent *e = x->first; e != NULL; e = e->after) {
        if (e->owner != owner)
            continue;
        if (e->sealed_end <= e->offset) {
            x->used -= e->size;
            e = make_free(x, e);
            continue;
        }
        uint64_t kept = (e->sealed_end - e->offset + x->page - 1) & ~(x->page - 1);
        x->used -= e->size - kept;
        e->owner = EXTENT_OF_JOB;
        cut(x, e, kept);
        if (e->after != NULL && e->after->owner == 0)
            make_free(x, e->after);
    }
}

uint64_t node_extents_used(const struct node_extents *x)
{
    return x->used;
}

uint64_t node_extents_largest(const struct node_extents *x)
{
    return largest_in(x->root);
}

const struct extent *node_extents_first(const struct node_extents *x)
{
    return x->first;
}

static bool tree_holds(const struct extent *e)
{
    if (e == NULL)
        return true;
    uint64_t own = e->owner == 0 ? e->size : 0;
    return e->largest == max_u64(own, max_u64(largest_in(e->left), largest_in(e->right))) &&
           (e->left == NULL || (e->left->rank <= e->rank && e->left->offset < e->offset)) &&
           (e->right == NULL || (e->right->rank <= e->rank && e->right->offset > e->offset)) &&
           tree_holds(e->left) && tree_holds(e->right);
}

bool node_extents_check(const struct node_extents *x, struct mob_err *err)
{
    uint64_t at = 0, used = 0;
    for (const struct extent *e = x->first; e != NULL; e = e->after) {
        bool fits = e->offset == at && e->size != 0 && e->size % x->page == 0;
        bool linked = e->after == NULL || e->after->before == e;
        bool apart = e->owner != 0 || e->after == NULL || e->after->owner != 0;
        bool found = around(x, e->offset) == e && around(x, e->offset + e->size - 1) == e;
        if (!fits || !linked || !apart || !found || e->sealed_end > e->offset + e->size)
            return mob_err_set(err, MOB_EBUG,
                               "the extent at %" PRIu64 " of %" PRIu64 " bytes is out of order",
                               e->offset, e->size),
                   false;
        at += e->size;
        used += e->owner != 0 ? e->size : 0;
    }
    if (at != x->bytes || used != x->used || !tree_holds(x->root))
        return mob_err_set(err, MOB_EBUG,
                           "extents cover %" PRIu64 " of %" PRIu64 " bytes, %" PRIu64
                           " of them used, %" PRIu64 " by the count",
                           at, x->bytes, used, x->used),
               false;
    return true;
}
