/* cursor.c: msgpack-c's unpacker has no limits for hostile input and builds a tree; this one only
 * walks. */
#include "protocol/cursor.h"

#include <string.h>

static uint64_t fail(struct cursor *c)
{
    c->failed = true;
    return 0;
}

/* The next n (1, 2, 4, 8) bytes as a big-endian number. */
static uint64_t number(struct cursor *c, unsigned n)
{
    if (c->failed || cursor_left(c) < n)
        return fail(c);
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | c->at[i];
    c->at += n;
    return v;
}

static uint8_t head(struct cursor *c)
{
    return c->failed ? 0xc1 : (uint8_t)number(c, 1);
}

uint64_t cursor_u64_slow(struct cursor *c)
{
    uint8_t h = head(c);
    if (h < 0x80)
        return c->failed ? 0 : h;
    switch (h) {
    case 0xcc:
        return number(c, 1);
    case 0xcd:
        return number(c, 2);
    case 0xce:
        return number(c, 4);
    case 0xcf:
        return number(c, 8);
    default:
        return fail(c);
    }
}

uint32_t cursor_u32(struct cursor *c)
{
    uint64_t v = cursor_u64(c);
    return v <= UINT32_MAX ? (uint32_t)v : (uint32_t)fail(c);
}

int64_t cursor_i64(struct cursor *c)
{
    uint8_t h = cursor_peek(c);
    if (h >= 0xe0) {
        c->at++;
        return (int8_t)h;
    }
    if (h < 0xd0 || h > 0xd3) {
        uint64_t v = cursor_u64(c);
        return v <= INT64_MAX ? (int64_t)v : (int64_t)fail(c);
    }
    c->at++;
    switch (h) {
    case 0xd0:
        return (int8_t)number(c, 1);
    case 0xd1:
        return (int16_t)number(c, 2);
    case 0xd2:
        return (int32_t)number(c, 4);
    default:
        return (int64_t)number(c, 8);
    }
}

bool cursor_bool(struct cursor *c)
{
    uint8_t h = head(c);
    if (h != 0xc2 && h != 0xc3)
        fail(c);
    return h == 0xc3;
}

double cursor_f64(struct cursor *c)
{
    uint8_t h = head(c);
    if (h == 0xcb) {
        uint64_t bits = number(c, 8);
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    if (h == 0xca) {
        uint32_t bits = (uint32_t)number(c, 4);
        float v;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    return (double)fail(c);
}

static struct view span(struct cursor *c, uint64_t size)
{
    if (c->failed || size > cursor_left(c)) {
        fail(c);
        return (struct view){"", 0};
    }
    struct view v = {c->at, (size_t)size};
    c->at += size;
    return v;
}

struct view cursor_text(struct cursor *c)
{
    uint8_t h = head(c);
    if ((h & 0xe0) == 0xa0)
        return span(c, h & 0x1f);
    switch (h) {
    case 0xd9:
        return span(c, number(c, 1));
    case 0xda:
        return span(c, number(c, 2));
    case 0xdb:
        return span(c, number(c, 4));
    default:
        fail(c);
        return span(c, 0);
    }
}

struct view cursor_bytes(struct cursor *c)
{
    switch (head(c)) {
    case 0xc4:
        return span(c, number(c, 1));
    case 0xc5:
        return span(c, number(c, 2));
    case 0xc6:
        return span(c, number(c, 4));
    default:
        fail(c);
        return span(c, 0);
    }
}

struct view cursor_ext(struct cursor *c, int8_t *type)
{
    uint8_t h = head(c);
    uint64_t size = 0;
    switch (h) {
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        size = 1u << (h - 0xd4);
        break;
    case 0xc7:
        size = number(c, 1);
        break;
    case 0xc8:
        size = number(c, 2);
        break;
    case 0xc9:
        size = number(c, 4);
        break;
    default:
        fail(c);
    }
    *type = (int8_t)number(c, 1);
    return span(c, size);
}

/* Each element takes at least `least` bytes, so a count above that cannot be true. */
static uint32_t counted(struct cursor *c, uint64_t count, uint64_t least)
{
    return !c->failed && count * least <= cursor_left(c) ? (uint32_t)count : (uint32_t)fail(c);
}

uint32_t cursor_array(struct cursor *c)
{
    uint8_t h = head(c);
    if ((h & 0xf0) == 0x90)
        return counted(c, h & 0x0f, 1);
    switch (h) {
    case 0xdc:
        return counted(c, number(c, 2), 1);
    case 0xdd:
        return counted(c, number(c, 4), 1);
    default:
        return (uint32_t)fail(c);
    }
}

uint32_t cursor_map(struct cursor *c)
{
    uint8_t h = head(c);
    if ((h & 0xf0) == 0x80)
        return counted(c, h & 0x0f, 2);
    switch (h) {
    case 0xde:
        return counted(c, number(c, 2), 2);
    case 0xdf:
        return counted(c, number(c, 4), 2);
    default:
        return (uint32_t)fail(c);
    }
}

/* Step over one value; returns how many values it holds that are still to be stepped over. */
static uint64_t skip_one(struct cursor *c)
{
    uint8_t h = cursor_peek(c);
    int8_t type;
    if ((h & 0xf0) == 0x90 || h == 0xdc || h == 0xdd)
        return cursor_array(c);
    if ((h & 0xf0) == 0x80 || h == 0xde || h == 0xdf)
        return 2 * (uint64_t)cursor_map(c);
    if ((h & 0xe0) == 0xa0 || (h >= 0xd9 && h <= 0xdb))
        cursor_text(c);
    else if (h >= 0xc4 && h <= 0xc6)
        cursor_bytes(c);
    else if ((h >= 0xc7 && h <= 0xc9) || (h >= 0xd4 && h <= 0xd8))
        cursor_ext(c, &type);
    else if (h == 0xca || h == 0xcb)
        cursor_f64(c);
    else if (h < 0x80 || (h >= 0xcc && h <= 0xcf))
        cursor_u64(c);
    else if (h >= 0xd0)
        cursor_i64(c);
    else if (h == 0xc0 || h == 0xc2 || h == 0xc3)
        c->at++;
    else
        fail(c);
    return 0;
}

void cursor_skip(struct cursor *c, uint64_t count)
{
    uint64_t open[CURSOR_DEPTH_MAX];
    unsigned depth = 0;
    open[0] = count;
    while (!c->failed) {
        while (open[depth] == 0) {
            if (depth-- == 0)
                return;
        }
        open[depth]--;
        uint64_t inner = skip_one(c);
        if (inner == 0)
            continue;
        if (++depth == CURSOR_DEPTH_MAX)
            fail(c);
        else
            open[depth] = inner;
    }
}
