/* fuzz_value.c: the bytes of a value, as a worker may get them from anybody of its job, read as
 * every kind of type. */
#include <stdlib.h>
#include <string.h>

#include "libclient/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *blocks[64];
static size_t block_count;

void *mob_memory_get(struct mob_memory *memory, size_t size)
{
    (void)memory;
    return block_count == 64 ? NULL : (blocks[block_count++] = malloc(size != 0 ? size : 1));
}

MOB_STRUCT(inner, (int16_t, a), (mob_text, name));
MOB_LIST(inner, inners);
MOB_STRUCT(outer, (double, x), (inners, list), (inner, in), (mob_floats, f), (bool, b),
           (mob_bytes, bytes), (MOB_REF(double), r));

static int own_encode(const int *n, struct mob_writer *out)
{
    return mob_write(out, n, sizeof *n);
}

static int own_decode(int *n, const void *data, size_t size, struct mob_memory *memory)
{
    (void)memory;
    *n = 0;
    for (size_t i = 0; i < size; i++)
        *n ^= ((const unsigned char *)data)[i];
    return MOB_OK;
}
/* lint-allow: typedef: a type as users have them */
typedef int own;
MOB_CODEC(own, own_encode, own_decode);

static volatile unsigned sink;

/* Read all that a view covers. */
static void touch(const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sink += ((const unsigned char *)data)[i];
}

static void see(struct mob_id id, void *user)
{
    (void)user;
    sink += (unsigned)id.seq;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mob_type *types[] = {
        MOB_INFO(outer),     MOB_INFO(mob_text), MOB_INFO(mob_bytes), MOB_INFO(mob_doubles),
        MOB_INFO(mob_int8s), MOB_INFO(int64_t),  MOB_INFO(float),     MOB_INFO(own)};
    struct mob_memory memory = {NULL, {0, 0}};
    if (size < 1)
        return 0;
    const struct mob_type *type = types[data[0] % 8];
    union {
        outer o;
        mob_text text;
        mob_bytes bytes;
        mob_doubles doubles;
        int64_t n;
    } out;
    struct mob_err err;
    if (value_decode(type, data + 1, size - 1, &out, &memory, &err) == MOB_OK) {
        value_each_ref(type, &out, see, NULL);
        if (type == types[0]) {
            for (size_t i = 0; i < out.o.list.count; i++)
                touch(out.o.list.data[i].name, out.o.list.data[i].name != NULL);
            touch(out.o.f.data, out.o.f.count * sizeof(float));
            touch(out.o.bytes.data, out.o.bytes.size);
            touch(out.o.in.name, out.o.in.name != NULL ? strlen(out.o.in.name) : 0);
        } else if (type == types[1]) {
            touch(out.text, out.text != NULL ? strlen(out.text) : 0);
        } else if (type == types[2]) {
            touch(out.bytes.data, out.bytes.size);
        } else if (type == types[3]) {
            touch(out.doubles.data, out.doubles.count * sizeof(double));
        }
    } else {
        touch(err.text, strlen(err.text));
    }
    while (block_count > 0)
        free(blocks[--block_count]);
    return 0;
}
