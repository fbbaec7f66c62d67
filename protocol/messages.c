/* messages.c: all of it comes from messages.def. msgpack-c packs; protocol/cursor reads. */
#include "protocol/messages.h"

#include <assert.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- packing: room for the worst case is reserved first, so a packer cannot fail half-way ---- */

static inline int write_reserved(void *data, const char *bytes, size_t size)
{
    buffer_put(data, bytes, size);
    return 0;
}

#define BOUND_u64(v)     9u
#define BOUND_u32(v)     5u
#define BOUND_i64(v)     9u
#define BOUND_boolean(v) 1u
#define BOUND_text(v)    (5u + (v).size)
#define BOUND_bytes(v)   (5u + (v).size)
#define BOUND_object(v)  19u

static inline void pack_u64(msgpack_packer *pk, uint64_t v)
{
    msgpack_pack_uint64(pk, v);
}
static inline void pack_u32(msgpack_packer *pk, uint32_t v)
{
    msgpack_pack_uint32(pk, v);
}
static inline void pack_i64(msgpack_packer *pk, int64_t v)
{
    msgpack_pack_int64(pk, v);
}
static inline void pack_boolean(msgpack_packer *pk, bool v)
{
    if (v)
        msgpack_pack_true(pk);
    else
        msgpack_pack_false(pk);
}
static inline void pack_text(msgpack_packer *pk, struct view v)
{
    msgpack_pack_str(pk, v.size);
    write_reserved(pk->data, v.data, v.size);
}
static inline void pack_bytes(msgpack_packer *pk, struct view v)
{
    msgpack_pack_bin(pk, v.size);
    write_reserved(pk->data, v.data, v.size);
}
static inline void pack_object(msgpack_packer *pk, struct mob_object v)
{
    msgpack_pack_array(pk, 2);
    msgpack_pack_uint64(pk, v.owner);
    msgpack_pack_uint64(pk, v.seq);
}
static inline void pack_list(msgpack_packer *pk, const struct msg_list *v)
{
    msgpack_pack_array(pk, v->count);
    write_reserved(pk->data, v->data, v->size);
}

/* The number of fields and the worst-case size of each struct and message. */
#define F(kind, name, doc)                          +1
#define L(item, name, doc)                          +1
#define STRUCT(name, doc, fields)                   enum { fields_##name = 0 fields };
#define MESSAGE(name, number, channel, doc, fields) STRUCT(name, doc, fields)
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

#define F(kind, name, doc) +BOUND_##kind(m->name)
#define L(item, name, doc) +5u + m->name.size
#define STRUCT(name, doc, fields)                                                                  \
    static size_t bound_##name(const struct msg_##name *m)                                         \
    {                                                                                              \
        (void)m;                                                                                   \
        return (size_t)10u fields;                                                                 \
    }
#define MESSAGE(name, number, channel, doc, fields) STRUCT(name, doc, fields)
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

#define F(kind, name, doc) pack_##kind(&pk, m->name);
#define L(item, name, doc) pack_list(&pk, &m->name);
#define STRUCT(name, doc, fields)                                                                  \
    int msg_##name##_pack_item(struct buffer *b, const struct msg_##name *m)                       \
    {                                                                                              \
        int rc = buffer_reserve(b, bound_##name(m));                                               \
        if (rc != MOB_OK)                                                                          \
            return rc;                                                                             \
        msgpack_packer pk = {b, (msgpack_packer_write)write_any};                                  \
        msgpack_pack_array(&pk, fields_##name);                                                    \
        fields return MOB_OK;                                                                      \
    }
#define MESSAGE(name, number, channel, doc, fields)                                                \
    int msg_##name##_pack(struct buffer *b, const struct msg_##name *m)                            \
    {                                                                                              \
        int rc = buffer_reserve(b, bound_##name(m));                                               \
        if (rc != MOB_OK)                                                                          \
            return rc;                                                                             \
        msgpack_packer pk = {b, (msgpack_packer_write)write_any};                                  \
        msgpack_pack_array(&pk, 1 + fields_##name);                                                \
        msgpack_pack_uint32(&pk, number);                                                          \
        fields return MOB_OK;                                                                      \
    }
static int write_any(void *data, const char *bytes, size_t size)
{
    return write_reserved(data, bytes, size);
}
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

/* ---- unpacking ---- */

static inline struct mob_object cursor_object(struct cursor *c)
{
    if (cursor_array(c) != 2)
        c->failed = true;
    uint64_t owner = cursor_u64(c);
    return (struct mob_object){owner, cursor_u64(c)};
}
static inline bool cursor_boolean(struct cursor *c)
{
    return cursor_bool(c);
}

/* A list is checked as it is found: `count` items of the given kind, whole. */
#define STRUCT(name, doc, fields) static struct msg_list cursor_list_##name(struct cursor *c);
#define MESSAGE(name, number, channel, doc, fields)
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE

#define F(kind, name, doc) m->name = cursor_##kind(c);
#define L(item, name, doc) m->name = cursor_list_##item(c);
#define STRUCT(name, doc, fields)                                                                  \
    bool msg_##name##_unpack_item(struct cursor *c, struct msg_##name *m)                          \
    {                                                                                              \
        uint32_t count = cursor_array(c);                                                          \
        if (count < fields_##name)                                                                 \
            c->failed = true;                                                                      \
        fields if (!c->failed) cursor_skip(c, count - fields_##name);                              \
        return !c->failed;                                                                         \
    }                                                                                              \
    static struct msg_list cursor_list_##name(struct cursor *c)                                    \
    {                                                                                              \
        struct msg_list list = {.count = cursor_array(c)};                                         \
        list.data = c->at;                                                                         \
        struct msg_##name item;                                                                    \
        for (uint32_t i = 0; i < list.count; i++)                                                  \
            if (!msg_##name##_unpack_item(c, &item))                                               \
                return (struct msg_list){0, c->at, 0};                                             \
        list.size = (size_t)(c->at - (const uint8_t *)list.data);                                  \
        return list;                                                                               \
    }
#define MESSAGE(name, number, channel, doc, fields)                                                \
    bool msg_##name##_unpack(struct cursor *c, const struct message_head *head,                    \
                             struct msg_##name *m)                                                 \
    {                                                                                              \
        if (head->field_count < fields_##name)                                                     \
            c->failed = true;                                                                      \
        fields if (!c->failed) cursor_skip(c, head->field_count - fields_##name);                  \
        return !c->failed;                                                                         \
    }
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

bool message_next(struct cursor *c, struct message_head *head)
{
    if (c->failed || c->at == c->end)
        return false;
    head->start = c->at;
    uint32_t count = cursor_array(c);
    head->number = cursor_u32(c);
    if (count == 0 || head->number == 0)
        c->failed = true;
    head->field_count = count - 1;
    return !c->failed;
}

void message_skip(struct cursor *c, const struct message_head *head)
{
    cursor_skip(c, head->field_count);
}

/* ---- tables ---- */

#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields) {number, CHANNEL_##channel, #name},
static const struct message_row {
    uint32_t number;
    enum message_channel channel;
    const char *name;
} rows[] = {
#include "protocol/messages.def"
};
#undef MESSAGE
#define MESSAGE(name, number, channel, doc, fields) number,
static const uint32_t numbers[] = {
#include "protocol/messages.def"
    0};
#undef MESSAGE
#undef STRUCT

static const struct message_row *row_find(uint32_t number)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].number == number)
            return &rows[i];
    return NULL;
}

const char *message_name(uint32_t number)
{
    const struct message_row *row = row_find(number);
    return row != NULL ? row->name : NULL;
}

bool message_allowed(uint32_t number, enum message_channel channel)
{
    const struct message_row *row = row_find(number);
    return row != NULL && row->channel == channel;
}

const uint32_t *message_numbers(void)
{
    return numbers;
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
static void print_boolean(struct line *l, bool v)
{
    line_add(l, "%s", v ? "true" : "false");
}
static void print_text(struct line *l, struct view v)
{
    size_t size = v.size < 80 ? v.size : 80;
    line_add(l, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char ch = ((const unsigned char *)v.data)[i];
        line_add(l, ch >= 0x20 && ch < 0x7f && ch != '"' ? "%c" : "\\x%02x", ch);
    }
    line_add(l, "%s", size < v.size ? "...\"" : "\"");
}
static void print_bytes(struct line *l, struct view v)
{
    line_add(l, "<%zu bytes>", v.size);
}
static void print_object(struct line *l, struct mob_object v)
{
    line_add(l, "%" PRIu64 ".%" PRIu64, v.owner, v.seq);
}

#define STRUCT(name, doc, fields)                                                                  \
    static void print_list_##name(struct line *l, const struct msg_list *list);
#define MESSAGE(name, number, channel, doc, fields)
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#define F(kind, name, doc)                                                                         \
    line_add(l, " %s=", #name);                                                                    \
    print_##kind(l, m->name);
#define L(item, name, doc)                                                                         \
    line_add(l, " %s=", #name);                                                                    \
    print_list_##item(l, &m->name);
#define STRUCT(name, doc, fields)                                                                  \
    static void print_fields_##name(struct line *l, const struct msg_##name *m)                    \
    {                                                                                              \
        fields                                                                                     \
    }                                                                                              \
    static void print_list_##name(struct line *l, const struct msg_list *list)                     \
    {                                                                                              \
        struct cursor c = cursor_of(list->data, list->size);                                       \
        struct msg_##name item;                                                                    \
        line_add(l, "[");                                                                          \
        for (uint32_t i = 0; i < list->count && msg_##name##_unpack_item(&c, &item); i++) {        \
            line_add(l, "{");                                                                      \
            print_fields_##name(l, &item);                                                         \
            line_add(l, " }");                                                                     \
        }                                                                                          \
        line_add(l, "]");                                                                          \
    }
#define MESSAGE(name, number, channel, doc, fields)                                                \
    static void print_fields_##name(struct line *l, const struct msg_##name *m)                    \
    {                                                                                              \
        fields                                                                                     \
    }
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

size_t message_print(const struct cursor *c, const struct message_head *head, char *text,
                     size_t size)
{
    struct line line = {text, size, 0};
    struct cursor copy = *c;
    const char *name = message_name(head->number);
    line_add(&line, "%s", name != NULL ? name : "unknown");
    switch (head->number) {
#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields)                                                \
    case number: {                                                                                 \
        struct msg_##name m;                                                                       \
        if (msg_##name##_unpack(&copy, head, &m))                                                  \
            print_fields_##name(&line, &m);                                                        \
        else                                                                                       \
            line_add(&line, " malformed");                                                         \
        break;                                                                                     \
    }
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
    default:
        line_add(&line, " number=%" PRIu32, head->number);
    }
    return line.length;
}

/* ---- seeds ---- */

#define SEED_u64(s)     ((s)*0x9e3779b97f4a7c15u >> ((s) % 64))
#define SEED_u32(s)     ((uint32_t)((s)*0x9e3779b9u))
#define SEED_i64(s)     ((int64_t)SEED_u64(s))
#define SEED_boolean(s) (((s)&1) != 0)
#define SEED_text(s)    ((struct view){&"the quick brown fox"[(s) % 10], (s) % 10})
#define SEED_bytes(s)   ((struct view){&"\0\1\2\3\4\5\6\7\377\376"[(s) % 5], (s) % 6})
#define SEED_object(s)  ((struct mob_object){(s), (s) + 1})

#define F(kind, name, doc)                                                                         \
    m.name = SEED_##kind(seed), seed = seed * 6364136223846793005u + 1442695040888963407u;
#define L(item, name, doc)                                                                         \
    for (; rc == MOB_OK && m.name.count < 2; m.name.count++)                                       \
        rc = seed_item_##item(&scratch_##name, seed++);                                            \
    m.name.data = scratch_##name.data, m.name.size = buffer_size(&scratch_##name);
#define STRUCT(name, doc, fields)                                                                  \
    static int seed_item_##name(struct buffer *b, uint64_t seed)                                   \
    {                                                                                              \
        struct msg_##name m = {0};                                                                 \
        fields(void) seed;                                                                         \
        return msg_##name##_pack_item(b, &m);                                                      \
    }
#define MESSAGE(name, number, channel, doc, fields)
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

/* The lists of one message are seeded into scratch buffers named after the field. */
#define F(kind, name, doc)
#define L(item, name, doc) struct buffer scratch_##name;
#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields)                                                \
    struct seed_##name {                                                                           \
        char none;                                                                                 \
        fields                                                                                     \
    };
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

#define F(kind, name, doc)                                                                         \
    m.name = SEED_##kind(seed), seed = seed * 6364136223846793005u + 1442695040888963407u;
#define L(item, name, doc)                                                                         \
    for (; rc == MOB_OK && m.name.count < 2; m.name.count++)                                       \
        rc = seed_item_##item(&s.scratch_##name, seed++);                                          \
    m.name.data = s.scratch_##name.data;                                                           \
    m.name.size = buffer_size(&s.scratch_##name);                                                  \
    lists[list_count++] = &s.scratch_##name;
#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields)                                                \
    static int seed_message_##name(struct buffer *b, uint64_t seed)                                \
    {                                                                                              \
        struct msg_##name m = {0};                                                                 \
        struct seed_##name s = {0};                                                                \
        struct buffer *lists[4];                                                                   \
        int list_count = 0, rc = MOB_OK;                                                           \
        (void)s;                                                                                   \
        fields(void) seed;                                                                         \
        if (rc == MOB_OK)                                                                          \
            rc = msg_##name##_pack(b, &m);                                                         \
        while (list_count > 0)                                                                     \
            buffer_fini(lists[--list_count]);                                                      \
        return rc;                                                                                 \
    }
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

int message_seed(struct buffer *b, uint32_t number, uint64_t seed)
{
    switch (number) {
#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields)                                                \
    case number:                                                                                   \
        return seed_message_##name(b, seed);
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
    default:
        return MOB_EINVAL;
    }
}
