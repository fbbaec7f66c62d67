/* cursor.h: a bounded reader of msgpack bytes in place.
 * Owns nothing: what it returns points into the bytes it was given. Runs on: any thread. Touches:
 * no I/O. Every read checks the bytes left. The first failure is kept: later reads return 0 and do
 * not move, so a decoder checks once, at its end. No allocation, no recursion: hostile input costs
 * at most its own length. Source: msgpack specification,
 * github.com/msgpack/msgpack/blob/master/spec.md. */
#ifndef MOB_PROTOCOL_CURSOR_H
#define MOB_PROTOCOL_CURSOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CURSOR_DEPTH_MAX = 32 };

struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

/* A view of bytes or text; text on the wire carries no terminating NUL. */
struct view {
    const void *data;
    size_t size;
};

static inline struct cursor cursor_of(const void *data, size_t size)
{
    const uint8_t *at = data;
    return (struct cursor){at, size != 0 ? at + size : at, false}; /* data of none may be NULL */
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

uint64_t cursor_u64_slow(struct cursor *c);
static inline uint64_t cursor_u64(struct cursor *c)
{
    if (c->at < c->end && *c->at < 0x80 && !c->failed)
        return *c->at++;
    return cursor_u64_slow(c);
}
uint32_t cursor_u32(struct cursor *c); /* fails above 2^32 - 1 */
int64_t cursor_i64(struct cursor *c);
bool cursor_bool(struct cursor *c);
double cursor_f64(struct cursor *c);        /* float32 and float64 */
struct view cursor_text(struct cursor *c);  /* str; its bytes may be any */
struct view cursor_bytes(struct cursor *c); /* bin */
uint32_t cursor_array(struct cursor *c);    /* number of elements; never more than bytes left */
uint32_t cursor_map(struct cursor *c); /* number of pairs; never more than half of the bytes left */
struct view cursor_ext(struct cursor *c, int8_t *type);
/* Step over `count` whole values, nested at most CURSOR_DEPTH_MAX deep. */
void cursor_skip(struct cursor *c, uint64_t count);
/* The first byte of the next value, 0xc1 (never used by msgpack) at the end: for readers that
 * branch on types. */
static inline uint8_t cursor_peek(const struct cursor *c)
{
    return c->failed || c->at == c->end ? 0xc1 : *c->at;
}
#endif
