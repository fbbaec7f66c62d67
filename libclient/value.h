/* value.h: values as bytes: what a struct mob_type describes, to and from the form that travels and
 * is stored. Owns only the bytes a writer collects. Runs on: any thread. Touches: no I/O.
 *
 * A value is msgpack, little-endian where raw:
 *     [tag, body]                         in general
 *     [tag, size, padding] raw data       bytes and arrays of VALUE_RAW_MIN bytes and more: a
 * header of exactly 64 bytes, then the data, so that they are aligned where the value is, of any
 * size tag: the number of enum mob_kind; 32 + that of the element for an array of numbers; the
 * type's name (str) for a struct or an own encoding. body: bool, int, float 32, float 64 as msgpack
 * has them; text: nil, or a str whose last byte is NUL, so that a view of it is a C string; bytes,
 * arrays, own encodings: ext 1, which holds one byte n, n bytes of zero, and the data, which begin
 * at a multiple of 8 from the value's first byte; struct: a map from field names to bodies, unknown
 * ones skipped, missing ones zero; list: an array of bodies; reference: ext 2 of owner and sequence
 * number; void: nil.
 *
 * Bounds: decoding looks at each byte at most twice, allocates nothing but through mob_memory_get,
 * at most the value's size for arrays and one element of a list per byte, and recurses as deep as
 * the type nests. Any bytes may be given to it. */
#ifndef MOB_LIBCLIENT_VALUE_H
#define MOB_LIBCLIENT_VALUE_H
#include <mobula.h>

#include "protocol/errors.h"

enum {
    VALUE_HEADER_SIZE = 64, /* in front of raw data */
    VALUE_RAW_MIN = 256,    /* data below it are written into the body */
    VALUE_CUT_MIN = 1024, /* data from it on are pointed to, not copied, while a writer has cuts */
    VALUE_CUTS_MAX = 16,
    VALUE_ARRAY_TAG = 32,
    VALUE_PIECES_MAX = 2 * VALUE_CUTS_MAX + 1,
    VALUE_FIXED_SIZE = 512, /* bytes that a writer holds without an allocation */
};

/* Data that belong between two bytes of a writer's buffer. */
struct value_cut {
    size_t at;
    const void *data;
    size_t size;
};

/* Collects encoded values one after the other, with what is large left where it is: it must stay
 * until the pieces have been used. In the caller's storage; not to be moved. */
struct mob_writer {
    uint8_t *data; /* `fixed`, or the heap */
    size_t size, capacity;
    size_t begin;    /* of the value that is being written, with the cuts before it added */
    size_t cut_size; /* bytes in all cuts */
    uint32_t cut_count;
    struct value_cut cuts[VALUE_CUTS_MAX];
    uint8_t fixed[VALUE_FIXED_SIZE];
};

/* One value in a writer. */
struct value_span {
    size_t from, to;
    uint32_t cut_from, cut_to;
};

void writer_init(struct mob_writer *w);
void writer_fini(struct mob_writer *w);

/* Append the value of `type` at `data`. `how` is what lies there: MOB_IN_VALUE, or the kind of a
 * number that is made one of `type` if it fits, or MOB_KIND_TEXT. MOB_EINVAL: "300 does not fit in
 * int8"; MOB_ENOMEM; MOB_ETOOBIG; MOB_EENCODING and others from an own encoder. After a failure the
 * writer is of no use. */
int value_encode(struct mob_writer *w, const struct mob_type *type, const void *data, int how,
                 struct value_span *span, struct mob_err *err) MOB_MUST_CHECK;
/* The commonest value by far, an integer that is not negative, without a writer: its size, or 0
 * when it is another value or does not fit: then value_encode does it, or says why not. */
enum { VALUE_INTEGER_MAX = 2 + 9 };
size_t value_integer(const struct mob_type *type, const void *data, int how,
                     uint8_t bytes[VALUE_INTEGER_MAX]);
/* The pieces of one value, at most VALUE_PIECES_MAX; they point into the writer and to what was
 * encoded. */
uint32_t value_pieces(const struct mob_writer *w, const struct value_span *span,
                      struct mob_piece *pieces);

/* Store the value in `data` as `type` into `out`, with views into `data`, or into memory from
 * mob_memory_get where data are not aligned for their type. References come as plain ids that
 * nobody holds yet: see value_each_ref. MOB_ETYPE: "is double, wanted int64"; MOB_EENCODING:
 * malformed; MOB_ENOMEM. `out` is undefined after a failure. */
int value_decode(const struct mob_type *type, const void *data, size_t size, void *out,
                 struct mob_memory *memory, struct mob_err *err) MOB_MUST_CHECK;

/* Call `each` for every reference in the value of `type` at `value` that is one. Own encodings have
 * none. */
void value_each_ref(const struct mob_type *type, const void *value,
                    void (*each)(struct mob_id id, void *user), void *user);

/* The name of a type as users read it: "double", "point", "reference to double". Into `text`;
 * returns it. */
const char *value_type_name(const struct mob_type *type, char *text, size_t size);
#endif
