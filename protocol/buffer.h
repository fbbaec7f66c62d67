/* buffer.h: a growing run of bytes, filled at the end and emptied at the front.
 * Owns its memory. Bound: the caller's. Runs on: one thread at a time. Touches: no I/O. */
#ifndef MOB_PROTOCOL_BUFFER_H
#define MOB_PROTOCOL_BUFFER_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/errors.h"

struct buffer {
    uint8_t *data;
    size_t start, end, capacity; /* the bytes are data[start..end) */
};

void buffer_fini(struct buffer *b); /* zeroed, half-built and finished ones are fine */
/* Make room for `size` more bytes at the end. MOB_ENOMEM leaves all as it was. */
int buffer_grow(struct buffer *b, size_t size) MOB_MUST_CHECK;

static inline size_t buffer_size(const struct buffer *b)
{
    return b->end - b->start;
}

static inline uint8_t *buffer_head(const struct buffer *b)
{
    return b->start != 0 ? b->data + b->start : b->data; /* an empty one has no data to add to */
}

static inline int buffer_reserve(struct buffer *b, size_t size)
{
    return b->capacity - b->end >= size ? MOB_OK : buffer_grow(b, size);
}

/* Append without growing: room was reserved. */
static inline void buffer_put(struct buffer *b, const void *data, size_t size)
{
    if (size != 0) {
        memcpy(b->data + b->end, data, size);
        b->end += size;
    }
}

static inline int buffer_append(struct buffer *b, const void *data, size_t size)
{
    int rc = buffer_reserve(b, size);
    if (rc == MOB_OK)
        buffer_put(b, data, size);
    return rc;
}

/* Remove `size` bytes at the front. A buffer that is empty and large gives its memory back. */
void buffer_take(struct buffer *b, size_t size);

static inline void buffer_clear(struct buffer *b)
{
    b->start = b->end = 0;
}
#endif
