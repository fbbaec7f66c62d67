/* value.c: one walk over struct mob_type for each direction, instead of code that macros generate
 * for each type: the macros stay small, and what checks hostile bytes is here once.
 *
 * Data that are large and already where they can stay are not copied into the writer but cut in
 * between its bytes. The alignment of what follows counts them. */
#include "libclient/value.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cursor.h"

enum { EXT_ALIGNED = 1, EXT_REF = 2, REF_SIZE = 16, ALIGNMENT = 8 };

#define TYPE(T, sym, k, is_plain, text)                                                            \
    const struct mob_type mobula_type_##sym = {                                                    \
        .name = text, .kind = k, .plain = is_plain, .size = sizeof(T)};                            \
    const struct mob_type mobula_type_mob_ref_to_##sym = {.kind = MOB_KIND_REF,                    \
                                                          .plain = 1,                              \
                                                          .size = sizeof(struct mob_reference),    \
                                                          .element = &mobula_type_##sym};
#define ARRAY(T, item, text)                                                                       \
    const struct mob_type mobula_type_##T = {                                                      \
        .name = text, .kind = MOB_KIND_ARRAY, .size = sizeof(T), .element = &mobula_type_##item};  \
    const struct mob_type mobula_type_mob_ref_to_##T = {.kind = MOB_KIND_REF,                      \
                                                        .plain = 1,                                \
                                                        .size = sizeof(struct mob_reference),      \
                                                        .element = &mobula_type_##T};
MOB_NUMBER_TYPES(TYPE)
MOB_VIEW_TYPES(TYPE)
MOB_ARRAY_TYPES(ARRAY)
TYPE(char, void, MOB_KIND_VOID, 1, "void")
#undef TYPE
#undef ARRAY

/* All array types are alike, which the walk relies on. */
static_assert(sizeof(mob_doubles) == sizeof(mob_bytes) && sizeof(mob_int8s) == sizeof(mob_bytes),
              "arrays and bytes have one shape");

static const char *const kind_names[] = {
    [MOB_KIND_BOOL] = "bool",     [MOB_KIND_INT8] = "int8",     [MOB_KIND_INT16] = "int16",
    [MOB_KIND_INT32] = "int32",   [MOB_KIND_INT64] = "int64",   [MOB_KIND_UINT8] = "uint8",
    [MOB_KIND_UINT16] = "uint16", [MOB_KIND_UINT32] = "uint32", [MOB_KIND_UINT64] = "uint64",
    [MOB_KIND_FLOAT] = "float",   [MOB_KIND_DOUBLE] = "double", [MOB_KIND_TEXT] = "text",
    [MOB_KIND_BYTES] = "bytes",   [MOB_KIND_REF] = "reference", [MOB_KIND_VOID] = "void",
};
enum { KIND_NAMES = sizeof kind_names / sizeof kind_names[0] };

const char *value_type_name(const struct mob_type *type, char *text, size_t size)
{
    if (type->kind == MOB_KIND_REF)
        snprintf(text, size, "reference to %s",
                 type->element != NULL && type->element->name != NULL ? type->element->name
                                                                      : "reference");
    else
        snprintf(text, size, "%s", type->name);
    return text;
}

static bool is_named(const struct mob_type *type)
{
    return type->kind == MOB_KIND_STRUCT || type->kind == MOB_KIND_CODEC ||
           type->kind == MOB_KIND_LIST;
}

static uint8_t tag_of(const struct mob_type *type)
{
    return (uint8_t)(type->kind == MOB_KIND_ARRAY ? VALUE_ARRAY_TAG + type->element->kind
                                                  : type->kind);
}

/* ---- Writing ---- */

void writer_init(struct mob_writer *w)
{
    w->data = w->fixed;
    w->size = w->begin = w->cut_size = 0;
    w->capacity = sizeof w->fixed;
    w->cut_count = 0;
}

void writer_fini(struct mob_writer *w)
{
    if (w->data != w->fixed)
        free(w->data);
    w->data = NULL;
}

int mob_write(struct mob_writer *w, const void *data, size_t size)
{
    if (size > w->capacity - w->size) {
        if (size > SIZE_MAX / 4 - w->size)
            return MOB_ENOMEM;
        size_t capacity = 2 * (w->size + size);
        uint8_t *grown = w->data == w->fixed ? malloc(capacity) : realloc(w->data, capacity);
        if (grown == NULL)
            return MOB_ENOMEM;
        if (w->data == w->fixed)
            memcpy(grown, w->fixed, w->size);
        w->data = grown;
        w->capacity = capacity;
    }
    if (size != 0)
        memcpy(w->data + w->size, data, size);
    w->size += size;
    return MOB_OK;
}

static int packer_write(void *user, const char *data, size_t size)
{
    return mob_write(user, data, size);
}

static int write_data(struct mob_writer *w, const void *data, size_t size)
{
    if (size < VALUE_CUT_MIN || w->cut_count == VALUE_CUTS_MAX)
        return mob_write(w, data, size);
    w->cuts[w->cut_count++] = (struct value_cut){w->size, data, size};
    w->cut_size += size;
    return MOB_OK;
}

/* How far the next byte is from the value's first. */
static size_t position(const struct mob_writer *w)
{
    return w->size + w->cut_size - w->begin;
}

/* The head of an ext 1 for `size` bytes that follow it, aligned. `wide`: with four bytes for the
 * length, whatever it is. */
static int write_aligned_head(struct mob_writer *w, size_t size, bool wide)
{
    uint8_t head[6 + 1 + ALIGNMENT] = {0xc7};
    wide = wide || size + ALIGNMENT > UINT8_MAX;
    size_t length_size = wide ? 4 : 1;
    size_t used = 1 + length_size + 1 + 1;
    uint8_t pad = (uint8_t)(-(position(w) + used) % ALIGNMENT);
    uint64_t length = 1 + (uint64_t)pad + size;
    if (length > UINT32_MAX)
        return MOB_ETOOBIG;
    head[0] = wide ? 0xc9 : 0xc7;
    for (size_t i = 0; i < length_size; i++)
        head[1 + i] = (uint8_t)(length >> 8 * (length_size - 1 - i));
    head[1 + length_size] = EXT_ALIGNED;
    head[2 + length_size] = pad;
    return mob_write(w, head, used + pad);
}

static int encode_aligned(struct mob_writer *w, const void *data, size_t size)
{
    int rc = write_aligned_head(w, size, false);
    return rc == MOB_OK ? write_data(w, data, size) : rc;
}

/* What an own encoder appends becomes one ext, whose length is known only afterwards. */
static int encode_codec(struct mob_writer *w, const struct mob_type *type, const void *data)
{
    size_t head = w->size;
    int rc = write_aligned_head(w, 0, true);
    if (rc != MOB_OK)
        return rc;
    rc = type->encode(data, w);
    uint64_t length = w->size - head - 6;
    if (rc == MOB_OK && length > UINT32_MAX)
        rc = MOB_ETOOBIG;
    for (unsigned i = 0; i < 4; i++)
        w->data[head + 1 + i] = (uint8_t)(length >> 8 * (3 - i));
    return rc;
}

/* A number as it was given: `negative` tells that `u` holds an int64_t below 0. */
struct number {
    bool is_float, negative;
    uint64_t u;
    double d;
};

static struct number signed_number(int64_t v)
{
    return (struct number){.negative = v < 0, .u = (uint64_t)v};
}

#define LOAD(T)                                                                                    \
    T v;                                                                                           \
    memcpy(&v, data, sizeof v);
static struct number load_number(const void *data, int kind)
{
    switch (kind) {
    case MOB_KIND_INT8: {
        LOAD(int8_t) return signed_number(v);
    }
    case MOB_KIND_INT16: {
        LOAD(int16_t) return signed_number(v);
    }
    case MOB_KIND_INT32: {
        LOAD(int32_t) return signed_number(v);
    }
    case MOB_KIND_INT64: {
        LOAD(int64_t) return signed_number(v);
    }
    case MOB_KIND_UINT16: {
        LOAD(uint16_t) return (struct number){.u = v};
    }
    case MOB_KIND_UINT32: {
        LOAD(uint32_t) return (struct number){.u = v};
    }
    case MOB_KIND_UINT64: {
        LOAD(uint64_t) return (struct number){.u = v};
    }
    case MOB_KIND_FLOAT: {
        LOAD(float) return (struct number){.is_float = true, .d = (double)v};
    }
    case MOB_KIND_DOUBLE: {
        LOAD(double) return (struct number){.is_float = true, .d = v};
    }
    default: {
        LOAD(uint8_t) return (struct number){.u = v}; /* bool and uint8 */
    }
    }
}
#undef LOAD

static bool number_fits(struct number n, uint32_t kind)
{
    static const uint64_t limits[] = {
        [MOB_KIND_BOOL] = 1,
        [MOB_KIND_INT8] = INT8_MAX,
        [MOB_KIND_INT16] = INT16_MAX,
        [MOB_KIND_INT32] = INT32_MAX,
        [MOB_KIND_INT64] = INT64_MAX,
        [MOB_KIND_UINT8] = UINT8_MAX,
        [MOB_KIND_UINT16] = UINT16_MAX,
        [MOB_KIND_UINT32] = UINT32_MAX,
        [MOB_KIND_UINT64] = UINT64_MAX,
    };
    if (kind == MOB_KIND_DOUBLE)
        return true;
    if (kind == MOB_KIND_FLOAT)
        return !n.is_float || isnan(n.d) || isinf(n.d) || fabs(n.d) <= (double)FLT_MAX;
    if (n.negative)
        return kind >= MOB_KIND_INT8 && kind <= MOB_KIND_INT64 && ~n.u <= limits[kind];
    return n.u <= limits[kind];
}

static double number_double(struct number n)
{
    return n.is_float ? n.d : n.negative ? (double)(int64_t)n.u : (double)n.u;
}

static int encode_number(msgpack_packer *pk, const struct mob_type *type, const void *data, int how,
                         struct mob_err *err)
{
    struct number n = load_number(data, how == MOB_IN_VALUE ? (int)type->kind : how);
    if (!number_fits(n, type->kind)) {
        if (n.is_float)
            return mob_err_set(err, MOB_EINVAL, "%g does not fit in %s", n.d, type->name);
        if (n.negative)
            return mob_err_set(err, MOB_EINVAL, "%lld does not fit in %s", (long long)n.u,
                               type->name);
        return mob_err_set(err, MOB_EINVAL, "%llu does not fit in %s", (unsigned long long)n.u,
                           type->name);
    }
    switch (type->kind) {
    case MOB_KIND_BOOL:
        return n.u != 0 ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
    case MOB_KIND_FLOAT:
        return msgpack_pack_float(pk, (float)number_double(n));
    case MOB_KIND_DOUBLE:
        return msgpack_pack_double(pk, number_double(n));
    default:
        return n.negative ? msgpack_pack_int64(pk, (int64_t)n.u) : msgpack_pack_uint64(pk, n.u);
    }
}

static int encode_text(struct mob_writer *w, msgpack_packer *pk, const void *data)
{
    const char *text;
    memcpy(&text, data, sizeof text);
    if (text == NULL)
        return msgpack_pack_nil(pk);
    size_t size = strlen(text) + 1;
    if (size > UINT32_MAX)
        return MOB_ETOOBIG;
    int rc = msgpack_pack_str(pk, size);
    return rc == MOB_OK ? write_data(w, text, size) : rc;
}

static int encode_ref(msgpack_packer *pk, const void *data)
{
    const struct mob_reference *ref = data;
    uint64_t words[2] = {ref->id.owner, ref->id.seq};
    int rc = msgpack_pack_ext(pk, REF_SIZE, EXT_REF);
    return rc == MOB_OK ? msgpack_pack_ext_body(pk, words, REF_SIZE) : rc;
}

/* The bytes of a mob_bytes or an array: MOB_EINVAL if they cannot be. */
static int array_size(const struct mob_type *type, const void *data, mob_bytes *out,
                      struct mob_err *err)
{
    memcpy(out, data, sizeof *out);
    size_t item = type->kind != MOB_KIND_BYTES ? type->element->size : 1;
    if (out->size > SIZE_MAX / 2 / item)
        return mob_err_set(err, MOB_EINVAL, "%zu items of %s are impossible", out->size,
                           type->name);
    out->size *= item;
    if (out->data == NULL && out->size != 0)
        return mob_err_set(err, MOB_EINVAL, "%s has %zu bytes at NULL", type->name, out->size);
    return MOB_OK;
}

static int encode_body(struct mob_writer *w, const struct mob_type *type, const void *data, int how,
                       struct mob_err *err);

static int encode_struct(struct mob_writer *w, msgpack_packer *pk, const struct mob_type *type,
                         const void *data, struct mob_err *err)
{
    int rc = msgpack_pack_map(pk, type->field_count);
    for (size_t i = 0; i < type->field_count && rc == MOB_OK; i++) {
        const struct mob_field *field = &type->fields[i];
        size_t length = strlen(field->name);
        rc = msgpack_pack_str(pk, length);
        if (rc == MOB_OK)
            rc = mob_write(w, field->name, length);
        if (rc == MOB_OK)
            rc = encode_body(w, field->type, (const char *)data + field->offset, MOB_IN_VALUE, err);
    }
    return rc;
}

static int encode_list(struct mob_writer *w, msgpack_packer *pk, const struct mob_type *type,
                       const void *data, struct mob_err *err)
{
    mob_bytes bytes;
    int rc = array_size(type, data, &bytes, err);
    size_t count = rc == MOB_OK ? bytes.size / type->element->size : 0;
    if (rc == MOB_OK)
        rc = count <= UINT32_MAX ? msgpack_pack_array(pk, count) : MOB_ETOOBIG;
    for (size_t i = 0; i < count && rc == MOB_OK; i++)
        rc = encode_body(w, type->element, (const char *)bytes.data + i * type->element->size,
                         MOB_IN_VALUE, err);
    return rc;
}

static int encode_body(struct mob_writer *w, const struct mob_type *type, const void *data, int how,
                       struct mob_err *err)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, w, packer_write);
    mob_bytes bytes;
    int rc;
    switch (type->kind) {
    case MOB_KIND_TEXT:
        return encode_text(w, &pk, data);
    case MOB_KIND_BYTES:
    case MOB_KIND_ARRAY:
        rc = array_size(type, data, &bytes, err);
        return rc == MOB_OK ? encode_aligned(w, bytes.data, bytes.size) : rc;
    case MOB_KIND_STRUCT:
        return encode_struct(w, &pk, type, data, err);
    case MOB_KIND_LIST:
        return encode_list(w, &pk, type, data, err);
    case MOB_KIND_REF:
        return encode_ref(&pk, data);
    case MOB_KIND_CODEC:
        return encode_codec(w, type, data);
    case MOB_KIND_VOID:
        return msgpack_pack_nil(&pk);
    default:
        return encode_number(&pk, type, data, how, err);
    }
}

/* [tag, size, padding]: 1 + 1 + 9 + 2 bytes, and zeros up to the end of the header. */
static int encode_raw(struct mob_writer *w, const struct mob_type *type, mob_bytes bytes)
{
    uint8_t header[VALUE_HEADER_SIZE] = {0x93, tag_of(type), 0xcf};
    for (unsigned i = 0; i < 8; i++)
        header[3 + i] = (uint8_t)((uint64_t)bytes.size >> 8 * (7 - i));
    header[11] = 0xc4;
    header[12] = VALUE_HEADER_SIZE - 13;
    int rc = mob_write(w, header, sizeof header);
    return rc == MOB_OK ? write_data(w, bytes.data, bytes.size) : rc;
}

static int encode_value(struct mob_writer *w, const struct mob_type *type, const void *data,
                        int how, struct mob_err *err)
{
    mob_bytes bytes = {NULL, 0};
    int rc = MOB_OK;
    if (type->kind == MOB_KIND_BYTES || type->kind == MOB_KIND_ARRAY)
        rc = array_size(type, data, &bytes, err);
    if (rc != MOB_OK)
        return rc;
    if (bytes.size >= VALUE_RAW_MIN)
        return encode_raw(w, type, bytes);
    if (is_named(type)) {
        msgpack_packer pk;
        msgpack_packer_init(&pk, w, packer_write);
        size_t length = strlen(type->name);
        rc = msgpack_pack_array(&pk, 2);
        if (rc == MOB_OK)
            rc = msgpack_pack_str(&pk, length);
        if (rc == MOB_OK)
            rc = mob_write(w, type->name, length);
    } else {
        rc = mob_write(w, (const uint8_t[]){0x92, tag_of(type)}, 2);
    }
    return rc == MOB_OK ? encode_body(w, type, data, how, err) : rc;
}

size_t value_integer(const struct mob_type *type, const void *data, int how,
                     uint8_t bytes[VALUE_INTEGER_MAX])
{
    if (type->kind < MOB_KIND_INT8 || type->kind > MOB_KIND_UINT64)
        return 0;
    struct number n = load_number(data, how == MOB_IN_VALUE ? (int)type->kind : how);
    if (n.is_float || n.negative || !number_fits(n, type->kind))
        return 0;
    unsigned size = n.u < 0x80          ? 0
                    : n.u <= UINT8_MAX  ? 1
                    : n.u <= UINT16_MAX ? 2
                    : n.u <= UINT32_MAX ? 4
                                        : 8;
    static const uint8_t heads[] = {0, 0xcc, 0xcd, 0, 0xce, 0, 0, 0, 0xcf};
    bytes[0] = 0x92;
    bytes[1] = (uint8_t)type->kind;
    bytes[2] = size == 0 ? (uint8_t)n.u : heads[size];
    uint64_t big = __builtin_bswap64(n.u) >> (8 * (8 - size) & 63);
    memcpy(bytes + 3, &big, sizeof big);
    return 3 + size;
}

int value_encode(struct mob_writer *w, const struct mob_type *type, const void *data, int how,
                 struct value_span *span, struct mob_err *err)
{
    struct mob_err inner; /* not cleared: this is on the way of every call */
    inner.code = MOB_OK;
    w->begin = w->size + w->cut_size;
    span->from = w->size;
    span->cut_from = w->cut_count;
    int rc = encode_value(w, type, data, how, &inner);
    span->to = w->size;
    span->cut_to = w->cut_count;
    if (rc == MOB_OK)
        return MOB_OK;
    char name[64];
    if (inner.code != MOB_OK)
        return mob_err_set(err, rc, "%s", inner.text);
    return mob_err_set(err, rc, "a %s was not encoded: %s",
                       value_type_name(type, name, sizeof name), mob_error_text(rc));
}

uint32_t value_pieces(const struct mob_writer *w, const struct value_span *span,
                      struct mob_piece *pieces)
{
    uint32_t count = 0;
    size_t at = span->from;
    for (uint32_t i = span->cut_from; i < span->cut_to; i++) {
        pieces[count++] = (struct mob_piece){w->data + at, w->cuts[i].at - at};
        pieces[count++] = (struct mob_piece){w->cuts[i].data, w->cuts[i].size};
        at = w->cuts[i].at;
    }
    if (at < span->to || count == 0)
        pieces[count++] = (struct mob_piece){w->data + at, span->to - at};
    return count;
}

/* ---- Reading ---- */

struct reader {
    struct cursor at;
    struct mob_memory *memory;
    struct mob_err *err;
};

static int malformed(struct reader *r, const struct mob_type *type)
{
    char name[64];
    return mob_err_set(r->err, MOB_EENCODING, "malformed %s",
                       value_type_name(type, name, sizeof name));
}

/* What the next msgpack item is, in words. */
static const char *item_name(uint8_t head)
{
    if (head < 0x80 || head >= 0xe0 || (head >= 0xcc && head <= 0xd3))
        return "an integer";
    if ((head & 0xf0) == 0x80 || head == 0xde || head == 0xdf)
        return "a struct";
    if ((head & 0xf0) == 0x90 || head == 0xdc || head == 0xdd)
        return "a list";
    if ((head & 0xe0) == 0xa0 || (head >= 0xd9 && head <= 0xdb))
        return "text";
    if (head == 0xc2 || head == 0xc3)
        return "a bool";
    if (head == 0xca || head == 0xcb)
        return "a floating number";
    return head == 0xc0 ? "nothing" : "bytes";
}

static int wrong_item(struct reader *r, const struct mob_type *type)
{
    char name[64];
    if (r->at.failed || r->at.at == r->at.end)
        return malformed(r, type);
    return mob_err_set(r->err, MOB_ETYPE, "is %s, wanted %s", item_name(*r->at.at),
                       value_type_name(type, name, sizeof name));
}

static int decode_integer(struct reader *r, const struct mob_type *type, void *out)
{
    uint8_t head = cursor_peek(&r->at);
    bool is_signed = head >= 0xe0 || (head >= 0xd0 && head <= 0xd3);
    if (!is_signed && head >= 0x80 && !(head >= 0xcc && head <= 0xcf))
        return wrong_item(r, type);
    struct number n =
        is_signed ? signed_number(cursor_i64(&r->at)) : (struct number){.u = cursor_u64(&r->at)};
    if (r->at.failed)
        return malformed(r, type);
    if (!number_fits(n, type->kind))
        return mob_err_set(r->err, MOB_EENCODING, "%s%llu does not fit in %s",
                           n.negative ? "-" : "", (unsigned long long)(n.negative ? -n.u : n.u),
                           type->name);
    memcpy(out, &n.u, type->size); /* little-endian */
    return MOB_OK;
}

static int decode_number(struct reader *r, const struct mob_type *type, void *out)
{
    uint8_t head = cursor_peek(&r->at);
    if (type->kind == MOB_KIND_BOOL) {
        if (head != 0xc2 && head != 0xc3)
            return wrong_item(r, type);
        *(bool *)out = cursor_bool(&r->at);
        return MOB_OK;
    }
    if (type->kind != MOB_KIND_FLOAT && type->kind != MOB_KIND_DOUBLE)
        return decode_integer(r, type, out);
    if (head != 0xca && (head != 0xcb || type->kind == MOB_KIND_FLOAT))
        return wrong_item(r, type);
    double d = cursor_f64(&r->at);
    if (r->at.failed)
        return malformed(r, type);
    if (type->kind == MOB_KIND_FLOAT)
        *(float *)out = (float)d;
    else
        *(double *)out = d;
    return MOB_OK;
}

static bool at_text(const struct reader *r)
{
    uint8_t head = cursor_peek(&r->at);
    return (head & 0xe0) == 0xa0 || (head >= 0xd9 && head <= 0xdb);
}

static int decode_text(struct reader *r, const struct mob_type *type, void *out)
{
    const char *text = NULL;
    if (cursor_peek(&r->at) == 0xc0) {
        r->at.at++;
    } else if (at_text(r)) {
        struct view view = cursor_text(&r->at);
        if (r->at.failed || view.size == 0 || ((const char *)view.data)[view.size - 1] != '\0')
            return malformed(r, type);
        text = view.data;
    } else {
        return wrong_item(r, type);
    }
    memcpy(out, &text, sizeof text);
    return MOB_OK;
}

static bool at_ext(const struct reader *r)
{
    uint8_t head = cursor_peek(&r->at);
    return (head >= 0xc7 && head <= 0xc9) || (head >= 0xd4 && head <= 0xd8);
}

static int decode_aligned(struct reader *r, const struct mob_type *type, struct view *out)
{
    if (!at_ext(r))
        return wrong_item(r, type);
    int8_t ext = 0;
    struct view view = cursor_ext(&r->at, &ext);
    const uint8_t *bytes = view.data;
    if (r->at.failed || ext != EXT_ALIGNED || view.size == 0 || bytes[0] >= view.size)
        return malformed(r, type);
    *out = (struct view){bytes + 1 + bytes[0], view.size - 1 - bytes[0]};
    return MOB_OK;
}

/* `view` as an array of the type; a copy of it where it is not aligned. */
static int store_array(struct reader *r, const struct mob_type *type, struct view view, void *out)
{
    size_t item = type->kind == MOB_KIND_ARRAY ? type->element->size : 1;
    if (view.size % item != 0)
        return malformed(r, type);
    if ((uintptr_t)view.data % item != 0 && view.size != 0) {
        void *copy = mob_memory_get(r->memory, view.size);
        if (copy == NULL)
            return mob_err_set(r->err, MOB_ENOMEM, "no memory for %zu bytes of %s", view.size,
                               type->name);
        memcpy(copy, view.data, view.size);
        view.data = copy;
    }
    mob_bytes bytes = {view.size != 0 ? view.data : NULL, view.size / item};
    memcpy(out, &bytes, sizeof bytes);
    return MOB_OK;
}

static int decode_ref(struct reader *r, const struct mob_type *type, void *out)
{
    if (!at_ext(r))
        return wrong_item(r, type);
    int8_t ext = 0;
    struct view view = cursor_ext(&r->at, &ext);
    uint64_t words[2];
    if (r->at.failed || ext != EXT_REF || view.size != sizeof words)
        return malformed(r, type);
    memcpy(words, view.data, sizeof words);
    struct mob_reference ref = {{words[0], words[1]}, type->element};
    memcpy(out, &ref, sizeof ref);
    return MOB_OK;
}

static int decode_codec(struct reader *r, const struct mob_type *type, void *out)
{
    struct view view = {NULL, 0};
    int rc = decode_aligned(r, type, &view);
    if (rc != MOB_OK)
        return rc;
    rc = type->decode(out, view.data, view.size, r->memory);
    return rc == MOB_OK ? MOB_OK
                        : mob_err_set(r->err, rc, "the decoder of %s failed: %s", type->name,
                                      mob_error_text(rc));
}

static int decode_body(struct reader *r, const struct mob_type *type, void *out);

/* The place of the field of that name: most likely `guess`. */
static size_t field_find(const struct mob_type *type, struct view name, size_t guess)
{
    for (size_t i = 0; i < type->field_count; i++) {
        size_t at = (guess + i) % type->field_count;
        if (strlen(type->fields[at].name) == name.size &&
            memcmp(type->fields[at].name, name.data, name.size) == 0)
            return at;
    }
    return type->field_count;
}

static int decode_struct(struct reader *r, const struct mob_type *type, void *out)
{
    uint8_t head = cursor_peek(&r->at);
    if ((head & 0xf0) != 0x80 && head != 0xde && head != 0xdf)
        return wrong_item(r, type);
    memset(out, 0, type->size);
    uint32_t pairs = cursor_map(&r->at);
    size_t next = 0;
    for (uint32_t i = 0; i < pairs && !r->at.failed; i++) {
        if (!at_text(r))
            return malformed(r, type);
        size_t at = field_find(type, cursor_text(&r->at), next);
        if (r->at.failed || at == type->field_count) {
            cursor_skip(&r->at, 1);
            continue;
        }
        const struct mob_field *field = &type->fields[at];
        int rc = decode_body(r, field->type, (char *)out + field->offset);
        if (rc != MOB_OK) {
            mob_err_wrap(r->err, "field %s of %s", field->name, type->name);
            return rc;
        }
        next = at + 1;
    }
    return r->at.failed ? malformed(r, type) : MOB_OK;
}

/* Each element takes a byte at least, so the memory is bounded by the bytes there are. */
static int decode_list(struct reader *r, const struct mob_type *type, void *out)
{
    uint8_t head = cursor_peek(&r->at);
    if ((head & 0xf0) != 0x90 && head != 0xdc && head != 0xdd)
        return wrong_item(r, type);
    size_t count = cursor_array(&r->at), size = type->element->size;
    if (r->at.failed)
        return malformed(r, type);
    char *items = count != 0 ? mob_memory_get(r->memory, count * size) : NULL;
    if (items == NULL && count != 0)
        return mob_err_set(r->err, MOB_ENOMEM, "no memory for %zu items of %s", count, type->name);
    int rc = MOB_OK;
    for (size_t i = 0; i < count && rc == MOB_OK; i++) {
        rc = decode_body(r, type->element, items + i * size);
        if (rc != MOB_OK)
            mob_err_wrap(r->err, "item %zu of %s", i, type->name);
    }
    mob_bytes list = {items, count};
    memcpy(out, &list, sizeof list);
    return rc;
}

static int decode_body(struct reader *r, const struct mob_type *type, void *out)
{
    struct view view = {NULL, 0};
    int rc;
    switch (type->kind) {
    case MOB_KIND_TEXT:
        return decode_text(r, type, out);
    case MOB_KIND_BYTES:
    case MOB_KIND_ARRAY:
        rc = decode_aligned(r, type, &view);
        return rc == MOB_OK ? store_array(r, type, view, out) : rc;
    case MOB_KIND_STRUCT:
        return decode_struct(r, type, out);
    case MOB_KIND_LIST:
        return decode_list(r, type, out);
    case MOB_KIND_REF:
        return decode_ref(r, type, out);
    case MOB_KIND_CODEC:
        return decode_codec(r, type, out);
    case MOB_KIND_VOID:
        if (cursor_peek(&r->at) != 0xc0)
            return wrong_item(r, type);
        r->at.at++;
        return MOB_OK;
    default:
        return decode_number(r, type, out);
    }
}

static int wrong_tag(struct reader *r, const struct mob_type *type, const char *is, size_t size)
{
    char name[64];
    return mob_err_set(r->err, MOB_ETYPE, "is %.*s, wanted %s", (int)(size < 64 ? size : 64), is,
                       value_type_name(type, name, sizeof name));
}

static int check_tag(struct reader *r, const struct mob_type *type)
{
    if (at_text(r)) {
        struct view name = cursor_text(&r->at);
        if (r->at.failed)
            return malformed(r, type);
        if (is_named(type) && strlen(type->name) == name.size &&
            memcmp(type->name, name.data, name.size) == 0)
            return MOB_OK;
        return wrong_tag(r, type, name.data, name.size);
    }
    uint64_t tag = cursor_u64(&r->at);
    if (r->at.failed)
        return malformed(r, type);
    if (!is_named(type) && tag == tag_of(type))
        return MOB_OK;
    uint64_t kind = tag >= VALUE_ARRAY_TAG ? tag - VALUE_ARRAY_TAG : tag;
    if (kind >= KIND_NAMES || kind_names[kind] == NULL)
        return malformed(r, type);
    char is[32];
    int size = snprintf(is, sizeof is, "%s%s", kind_names[kind], tag >= VALUE_ARRAY_TAG ? "s" : "");
    return wrong_tag(r, type, is, (size_t)size);
}

int value_decode(const struct mob_type *type, const void *data, size_t size, void *out,
                 struct mob_memory *memory, struct mob_err *err)
{
    struct mob_err unwanted;
    struct reader r = {cursor_of(data, size), memory, err != NULL ? err : &unwanted};
    const uint8_t *head = data;
    if (type->kind >= MOB_KIND_INT8 && type->kind <= MOB_KIND_UINT64 && size > 2 &&
        head[0] == 0x92 && head[1] == type->kind) { /* the commonest value, see value_integer */
        r.at.at += 2;
        int rc = decode_integer(&r, type, out);
        return rc == MOB_OK && cursor_left(&r.at) != 0 ? malformed(&r, type) : rc;
    }
    uint32_t items = cursor_array(&r.at);
    if (r.at.failed || (items != 2 && items != 3))
        return malformed(&r, type);
    int rc = check_tag(&r, type);
    if (rc != MOB_OK)
        return rc;
    if (items == 3) {
        uint64_t raw_size = cursor_u64(&r.at);
        cursor_bytes(&r.at);
        size_t left = cursor_left(&r.at);
        bool is_array = type->kind == MOB_KIND_BYTES || type->kind == MOB_KIND_ARRAY;
        if (r.at.failed || !is_array || raw_size != left || size - left != VALUE_HEADER_SIZE)
            return malformed(&r, type);
        return store_array(&r, type, (struct view){r.at.at, left}, out);
    }
    rc = decode_body(&r, type, out);
    return rc == MOB_OK && cursor_left(&r.at) != 0 ? malformed(&r, type) : rc;
}

void value_each_ref(const struct mob_type *type, const void *value,
                    void (*each)(struct mob_id id, void *user), void *user)
{
    if (type->kind == MOB_KIND_REF) {
        struct mob_reference ref;
        memcpy(&ref, value, sizeof ref);
        if (ref.id.seq != 0)
            each(ref.id, user);
    }
    if (type->kind == MOB_KIND_LIST) {
        mob_bytes list; /* of the same shape, with a count */
        memcpy(&list, value, sizeof list);
        for (size_t i = 0; i < list.size; i++)
            value_each_ref(type->element, (const char *)list.data + i * type->element->size, each,
                           user);
    }
    for (size_t i = 0; i < type->field_count; i++)
        value_each_ref(type->fields[i].type, (const char *)value + type->fields[i].offset, each,
                       user);
}
