/* records.h: the records of records.def as C: one tagged union, its encoding and printer.
 * Owns nothing: views in a record point into the bytes it was read from. Runs on: any thread.
 * Touches: no I/O. */
#ifndef MOB_HEAD_RECORDS_H
#define MOB_HEAD_RECORDS_H
#include "protocol/messages.h"

#define F(kind, name, doc) FIELD_##kind name;
#define RECORD(name, number, doc, fields, apply, load)                                             \
    struct record_##name {                                                                         \
        fields                                                                                     \
    };
#include "head/records.def"
#undef RECORD
#undef F

enum record_number {
#define RECORD(name, number, doc, fields, apply, load) RECORD_##name = (number),
#include "head/records.def"
#undef RECORD
};

struct record {
    enum record_number kind;
    union {
#define RECORD(name, number, doc, fields, apply, load) struct record_##name name;
#include "head/records.def"
#undef RECORD
    };
};

/* Append the record as a msgpack array [number, field, ...]. MOB_ENOMEM appends nothing. */
int record_pack(struct buffer *b, const struct record *r) MOB_MUST_CHECK;
/* The next record; false at the end and on malformed bytes or an unknown number (c->failed tells).
 */
bool record_next(struct cursor *c, struct record *r);
const char *record_name(enum record_number number); /* NULL for an unknown number */
/* One line: `job_started job=3 node=1 ...`. Returns the length, cut at size - 1. */
size_t record_print(const struct record *r, char *text, size_t size);
/* The numbers in order, ended by 0; and a well-formed record of one kind filled from `seed`. */
const enum record_number *record_numbers(void);
void record_seed(struct record *r, enum record_number number, uint64_t seed);
#endif
