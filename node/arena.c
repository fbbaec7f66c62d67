/* arena.c: the pages are populated through a mapping that is taken back piece by piece: they stay
 * in the memfd, and the node's own share of memory does not grow. */
#include "node/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define POPULATE_STEP_BYTES ((uint64_t)8 << 20)

static void *populate(void *context)
{
    struct arena *arena = context;
    for (uint64_t at = 0; at < arena->populate_bytes && !arena->stop;) {
        uint64_t left = arena->populate_bytes - at;
        uint64_t step = left < POPULATE_STEP_BYTES ? left : POPULATE_STEP_BYTES;
        void *map = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, (off_t)at);
        if (map == MAP_FAILED)
            break;
        /* A kernel or a memory limit that refuses leaves the pages to be faulted in by their first
         * user. */
        int rc = madvise(map, step, MADV_POPULATE_WRITE);
        munmap(map, step);
        if (rc != 0)
            break;
        at += step;
    }
    return NULL;
}

int arena_init(struct arena *arena, uint64_t bytes, uint64_t populate_bytes, struct mob_err *err)
{
    *arena = (struct arena){.bytes = bytes};
    arena->populate_bytes = populate_bytes < bytes ? populate_bytes : bytes;
    arena->fd = memfd_create("mobula-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (arena->fd < 0)
        return mob_err_system(err, "making a job's arena: memfd_create");
    if (ftruncate(arena->fd, (off_t)bytes) != 0 ||
        fcntl(arena->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        int rc =
            mob_err_system(err, "making a job's arena of %llu bytes", (unsigned long long)bytes);
        arena_fini(arena);
        return rc;
    }
    if (arena->populate_bytes > 0)
        arena->populating = pthread_create(&arena->thread, NULL, populate, arena) == 0;
    return MOB_OK;
}

void arena_fini(struct arena *arena)
{
    if (arena->populating) {
        arena->stop = true;
        pthread_join(arena->thread, NULL);
    }
    if (arena->fd > 0)
        close(arena->fd);
    *arena = (struct arena){.fd = -1};
}
