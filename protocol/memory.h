/* memory.h: every heap allocation of our own code, so that a test can make the n-th one fail.
 * Owns one counter. Thread-safe. The client library returns MOB_ENOMEM when one fails; head and
 * node may abort. */
#ifndef MOB_PROTOCOL_MEMORY_H
#define MOB_PROTOCOL_MEMORY_H
#include <stddef.h>
#include <stdint.h>

void *memory_alloc(size_t size) __attribute__((malloc, warn_unused_result));
void *memory_zalloc(size_t size) __attribute__((malloc, warn_unused_result));
void *memory_aligned(size_t align, size_t size)
    __attribute__((malloc, warn_unused_result)); /* align: a power of two */
void *memory_realloc(void *old, size_t size) __attribute__((warn_unused_result));
void memory_free(void *p);

/* Fault point: the n-th allocation from now fails, once (n >= 1); 0 turns it off. */
void memory_fail_at(uint64_t n);
/* How many allocations were made since the last memory_fail_at. */
uint64_t memory_count(void);
#endif
