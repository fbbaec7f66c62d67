/* memory.c: malloc with a counter. The counter runs only while a test has switched the fault point
 * on, so the hot path pays one relaxed load. */
#include "protocol/memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static atomic_bool counting;
static _Atomic uint64_t count, fail_at;

static bool fails(void)
{
    if (!atomic_load_explicit(&counting, memory_order_relaxed))
        return false;
    uint64_t n = atomic_fetch_add(&count, 1) + 1;
    return n == atomic_load(&fail_at);
}

void *memory_alloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

void *memory_zalloc(size_t size)
{
    return fails() ? NULL : calloc(1, size);
}

void *memory_aligned(size_t align, size_t size)
{
    return fails() ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}

void *memory_realloc(void *old, size_t size)
{
    return fails() ? NULL : realloc(old, size);
}

void memory_free(void *p)
{
    free(p);
}

void memory_fail_at(uint64_t n)
{
    atomic_store(&count, 0);
    atomic_store(&fail_at, n);
    atomic_store(&counting, n != 0);
}

uint64_t memory_count(void)
{
    return atomic_load(&count);
}
