/* arena.h: the shared memory in which the objects of one job lie: one memfd, as large as the job's
 * budget from the start, of which only the pages that were touched cost memory. Sealed against
 * shrinking and growing, so that no reader can be hit by SIGBUS; which bytes are whose is the
 * core's business. Owns the descriptor, and a helper thread while it touches pages ahead of use.
 * Bound: the size given at creation. Runs on: the node's loop. Touches: memfd, madvise. */
#ifndef MOB_NODE_ARENA_H
#define MOB_NODE_ARENA_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/errors.h"

struct arena {
    int fd;
    uint64_t bytes;
    uint64_t populate_bytes;
    bool populating;
    _Atomic bool stop;
    pthread_t thread;
};

/* `populate_bytes` at the front are faulted in by a helper thread; 0: none, and no thread. */
int arena_init(struct arena *arena, uint64_t bytes, uint64_t populate_bytes,
               struct mob_err *err) MOB_MUST_CHECK;
/* The memory is freed when the last process that maps it has ended. A zeroed one is fine. */
void arena_fini(struct arena *arena);
#endif
