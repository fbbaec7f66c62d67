/* extents.h: who may write where in one job's arena.
 * An allocator of offsets: the arena itself is never touched, so a client that writes wild cannot
 * harm it. Owns every struct extent. Bound: bytes / page. Runs on: the node's loop. Touches: no
 * I/O. Allocation that fails aborts. Invariant: the extents, free ones included, cover the arena
 * without gap or overlap, and no two free ones touch. */
#ifndef MOB_NODE_EXTENTS_H
#define MOB_NODE_EXTENTS_H
#include <stdbool.h>
#include <stdint.h>

#include "protocol/errors.h"

#define EXTENT_OF_JOB                                                                              \
    UINT64_MAX /* the owner of an extent whose client has ended and that holds sealed objects */

struct extent {
    uint64_t offset, size;
    uint64_t owner;                /* the process that may write here, 0 = free, or EXTENT_OF_JOB */
    uint64_t sealed_end;           /* end of the last sealed object; <= offset: none */
    struct extent *before, *after; /* neighbours in the arena */
    /* the tree by offset: heap-ordered by `rank`, each node knows the largest free extent of its
     * subtree */
    struct extent *left, *right;
    uint64_t rank, largest;
};

struct node_extents;

/* `bytes` is a multiple of `page`, which is a power of two of at least 64. */
struct node_extents *node_extents_create(uint64_t bytes, uint64_t page);
void node_extents_destroy(struct node_extents *x); /* NULL is fine */
/* An extent of at least `size` bytes, of `size_aim` if there is room, both rounded up to pages, at
 * the lowest place that fits. NULL when there is none; then nothing has changed. O(log n). */
const struct extent *node_extents_take(struct node_extents *x, uint64_t size, uint64_t size_aim,
                                       uint64_t owner);
/* The object at `offset` is complete. False, without effect, when it does not lie in an extent of
 * `owner`. O(log n). */
bool node_extents_seal(struct node_extents *x, uint64_t owner, uint64_t offset, uint64_t size);
/* The owner has ended: what holds no sealed object is free, the rest belongs to the job. O(n). */
void node_extents_owner_ended(struct node_extents *x, uint64_t owner);

uint64_t node_extents_used(const struct node_extents *x); /* bytes that are not free */
uint64_t
node_extents_largest(const struct node_extents *x); /* the largest extent that could be taken */
/* The extent with the lowest offset; go on by ->after. */
const struct extent *node_extents_first(const struct node_extents *x);
/* Check the invariant; false with `err` when it does not hold. */
bool node_extents_check(const struct node_extents *x, struct mob_err *err);
#endif
