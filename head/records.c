/* records.c: all of it comes from records.def, in the way of protocol/messages.c. A record is
 * packed as messages are, because a standby will one day be sent the same bytes. */
#include "head/records.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>

static int write_reserved(void *data, const char *bytes, size_t size)
{
    buffer_put(data, bytes, size);
    return 0;
}

static void pack_u64(msgpack_packer *pk, uint64_t v)
{
    msgpack_pack_uint64(pk, v);
}

static void pack_u32(msgpack_packer *pk, uint32_t v)
{
    msgpack_pack_uint32(pk, v);
}

static void pack_i64(msgpack_packer *pk, int64_t v)
{
    msgpack_pack_int64(pk, v);
}

static void pack_text(msgpack_packer *pk, struct view v)
{
    msgpack_pack_str(pk, v.size);
    write_reserved(pk->data, v.data, v.size);
}

static void pack_object(msgpack_packer *pk, struct mob_object v)
{
    msgpack_pack_array(pk, 2);
    msgpack_pack_uint64(pk, v.owner);
    msgpack_pack_uint64(pk, v.seq);
}

#define BOUND_u64(v)    9u
#define BOUND_u32(v)    5u
#define BOUND_i64(v)    9u
#define BOUND_text(v)   (5u + (v).size)
#define BOUND_object(v) 19u

#define F(kind, name, doc) +1
enum {
#define RECORD(name, number, doc, fields, apply, load) fields_##name = 0 fields,
#include "head/records.def"
#undef RECORD
};
#undef F

static size_t record_bound(const struct record *r)
{
    switch (r->kind) {
#define F(kind, name, doc) +BOUND_##kind(m->name)
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case number: {                                                                                 \
        const struct record_##name *m = &r->name;                                                  \
        (void)m;                                                                                   \
        return (size_t)10u fields;                                                                 \
    }
#include "head/records.def"
#undef RECORD
#undef F
    }
    return 0;
}

int record_pack(struct buffer *b, const struct record *r)
{
    int rc = buffer_reserve(b, record_bound(r));
    if (rc != MOB_OK)
        return rc;
    msgpack_packer pk = {b, write_reserved};
    switch (r->kind) {
#define F(kind, name, doc) pack_##kind(&pk, m->name);
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case number: {                                                                                 \
        const struct record_##name *m = &r->name;                                                  \
        msgpack_pack_array(&pk, 1 + fields_##name);                                                \
        msgpack_pack_uint32(&pk, number);                                                          \
        fields return MOB_OK;                                                                      \
    }
#include "head/records.def"
#undef RECORD
#undef F
    }
    return MOB_EINVAL;
}

static struct mob_object cursor_object(struct cursor *c)
{
    if (cursor_array(c) != 2)
        c->failed = true;
    uint64_t owner = cursor_u64(c);
    return (struct mob_object){owner, cursor_u64(c)};
}

bool record_next(struct cursor *c, struct record *r)
{
    if (c->failed || c->at == c->end)
        return false;
    uint32_t count = cursor_array(c);
    uint32_t number = cursor_u32(c);
    if (count == 0)
        c->failed = true;
    count--;
    switch (number) {
#define F(kind, name, doc) m->name = cursor_##kind(c);
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case number: {                                                                                 \
        struct record_##name *m = &r->name;                                                        \
        r->kind = RECORD_##name;                                                                   \
        if (count < fields_##name)                                                                 \
            c->failed = true;                                                                      \
        fields if (!c->failed) cursor_skip(c, count - fields_##name);                              \
        break;                                                                                     \
    }
#include "head/records.def"
#undef RECORD
#undef F
    default:
        c->failed = true;
    }
    return !c->failed;
}

const char *record_name(enum record_number number)
{
    switch (number) {
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case number:                                                                                   \
        return #name;
#include "head/records.def"
#undef RECORD
    }
    return NULL;
}

/* ---- printing ---- */

struct line {
    char *at;
    size_t left, length;
};

static void line_add(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line_add(struct line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->at, l->left, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used >= l->left)
        used = l->left == 0 ? 0 : l->left - 1;
    l->at += used;
    l->left -= used;
    l->length += used;
}

static void print_u64(struct line *l, uint64_t v)
{
    line_add(l, "%" PRIu64, v);
}

static void print_u32(struct line *l, uint32_t v)
{
    line_add(l, "%" PRIu32, v);
}

static void print_i64(struct line *l, int64_t v)
{
    line_add(l, "%" PRId64, v);
}

static void print_object(struct line *l, struct mob_object v)
{
    line_add(l, "%" PRIu64 ".%" PRIu64, v.owner, v.seq);
}

static void print_text(struct line *l, struct view v)
{
    line_add(l, "\"");
    for (size_t i = 0; i < v.size; i++) {
        unsigned char ch = ((const unsigned char *)v.data)[i];
        line_add(l, ch >= 0x20 && ch < 0x7f && ch != '"' ? "%c" : "\\x%02x", ch);
    }
    line_add(l, "\"");
}

size_t record_print(const struct record *r, char *text, size_t size)
{
    struct line line = {text, size, 0};
    switch (r->kind) {
#define F(kind, name, doc)                                                                         \
    line_add(&line, " " #name "=");                                                                \
    print_##kind(&line, m->name);
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case number: {                                                                                 \
        const struct record_##name *m = &r->name;                                                  \
        line_add(&line, #name);                                                                    \
        fields return line.length;                                                                 \
    }
#include "head/records.def"
#undef RECORD
#undef F
    }
    line_add(&line, "unknown");
    return line.length;
}

/* ---- for tests ---- */

const enum record_number *record_numbers(void)
{
    static const enum record_number numbers[] = {
#define RECORD(name, number, doc, fields, apply, load) RECORD_##name,
#include "head/records.def"
#undef RECORD
        0};
    return numbers;
}

#define SEED_u64(s)    ((s)*0x9e3779b97f4a7c15u >> ((s) % 64))
#define SEED_u32(s)    ((uint32_t)((s)*0x9e3779b9u))
#define SEED_i64(s)    ((int64_t)SEED_u64(s))
#define SEED_text(s)   ((struct view){&"the quick brown fox"[(s) % 10], (s) % 10})
#define SEED_object(s) ((struct mob_object){(s), (s) + 1})

void record_seed(struct record *r, enum record_number wanted, uint64_t seed)
{
    r->kind = wanted;
    switch (wanted) {
#define F(kind, name, doc)                                                                         \
    m->name = SEED_##kind(seed);                                                                   \
    seed = seed * 6364136223846793005u + 1442695040888963407u;
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case number: {                                                                                 \
        struct record_##name *m = &r->name;                                                        \
        fields break;                                                                              \
    }
#include "head/records.def"
#undef RECORD
#undef F
    }
}
