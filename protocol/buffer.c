/* buffer.c: bytes move to the front only when that frees at least half of the memory, so appending
 * stays linear. */
#include "protocol/buffer.h"

#include <assert.h>

#include "protocol/memory.h"

enum { BUFFER_MIN = 256, BUFFER_KEPT_MAX = 1 << 20 };

void buffer_fini(struct buffer *b)
{
    memory_free(b->data);
    *b = (struct buffer){0};
}

int buffer_grow(struct buffer *b, size_t size)
{
    size_t used = buffer_size(b);
    if (b->start >= b->capacity / 2 && b->capacity - used >= size) {
        memmove(b->data, b->data + b->start, used);
        b->start = 0;
        b->end = used;
        return MOB_OK;
    }
    size_t capacity = b->capacity < BUFFER_MIN ? BUFFER_MIN : b->capacity;
    while (capacity - b->end < size) {
        if (capacity > SIZE_MAX / 4)
            return MOB_ENOMEM;
        capacity *= 2;
    }
    uint8_t *data = memory_realloc(b->data, capacity);
    if (data == NULL)
        return MOB_ENOMEM;
    b->data = data;
    b->capacity = capacity;
    return MOB_OK;
}

void buffer_take(struct buffer *b, size_t size)
{
    assert(size <= buffer_size(b));
    b->start += size;
    if (b->start != b->end)
        return;
    buffer_clear(b);
    if (b->capacity > BUFFER_KEPT_MAX)
        buffer_fini(b);
}
