/* test_value.c: values as bytes, and bytes from anybody as values. */
#include "tests/support/test.h"

#include "libclient/value.h"
#include "protocol/errors.h"

static void *blocks[64];
static size_t block_count;

/* Memory for decoding, freed by each test. */
void *mob_memory_get(struct mob_memory *memory, size_t size)
{
    (void)memory;
    return block_count == 64 ? NULL : (blocks[block_count++] = malloc(size != 0 ? size : 1));
}

static void blocks_free(void)
{
    while (block_count > 0)
        free(blocks[--block_count]);
}

struct blob {
    size_t size;
    _Alignas(64) unsigned char data[8192];
};

/* The value in one piece, in memory of exactly its size behind which ASan watches. */
static int encode(const struct mob_type *type, const void *data, struct blob *out,
                  struct mob_err *err)
{
    struct mob_piece pieces[VALUE_PIECES_MAX];
    struct value_span span;
    struct mob_writer w;
    writer_init(&w);
    int rc = value_encode(&w, type, data, MOB_IN_VALUE, &span, err);
    out->size = 0;
    for (uint32_t i = 0, n = rc == MOB_OK ? value_pieces(&w, &span, pieces) : 0; i < n; i++) {
        assert_true(out->size + pieces[i].size <= sizeof out->data);
        memcpy(out->data + out->size, pieces[i].data, pieces[i].size);
        out->size += pieces[i].size;
    }
    writer_fini(&w);
    return rc;
}

static int decode(const struct mob_type *type, const void *data, size_t size, void *out,
                  struct mob_err *err)
{
    struct mob_memory memory = {NULL, {0, 0}};
    return value_decode(type, data, size, out, &memory, err);
}

MOB_STRUCT(inner, (int16_t, a), (mob_text, name));
MOB_STRUCT(outer, (double, x), (inner, in), (mob_floats, f), (bool, b), (uint64_t, n));
/* lint-allow: typedef: a struct as users have them */
typedef struct colour {
    unsigned char r, g;
} colour;
static int colour_encode(const colour *c, struct mob_writer *out)
{
    return mob_write(out, c, sizeof *c);
}
static int colour_decode(colour *c, const void *data, size_t size, struct mob_memory *memory)
{
    (void)memory;
    if (size != sizeof *c)
        return MOB_EENCODING;
    memcpy(c, data, sizeof *c);
    return MOB_OK;
}
MOB_CODEC(colour, colour_encode, colour_decode);
MOB_LIST(inner, inners);
MOB_STRUCT(everything, (inners, list), (outer, o), (mob_bytes, b), (colour, c),
           (MOB_REF(double), r), (mob_uint64s, u), (float, f));

/* The numbers of the public header are those of errors.def. */
MOB_TEST(public_codes_equal_the_table)
{
#define ERROR(name, number, kind, text, advice) assert_int_equal(MOB_##name, number);
#include "protocol/errors.def"
#undef ERROR
    assert_int_equal(MOB_OK, 0);
}

/* A number takes its tag and the fewest bytes that hold it; the bytes are as documented. */
MOB_TEST(numbers_are_short)
{
    struct blob b;
    int64_t n = 5;
    assert_int_equal(encode(MOB_INFO(int64_t), &n, &b, NULL), MOB_OK);
    assert_int_equal(b.size, 3);
    assert_memory_equal(b.data, ((unsigned char[]){0x92, MOB_KIND_INT64, 5}), 3);
    n = -1;
    assert_int_equal(encode(MOB_INFO(int64_t), &n, &b, NULL), MOB_OK);
    assert_memory_equal(b.data, ((unsigned char[]){0x92, MOB_KIND_INT64, 0xff}), 3);
}

/* Large data stand behind a header of 64 bytes, are not copied by the writer, and are read where
 * they are. */
MOB_TEST(large_arrays_are_raw)
{
    static double data[600];
    data[599] = 7;
    mob_doubles d = {data, 600}, back;
    struct mob_piece pieces[VALUE_PIECES_MAX];
    struct value_span span;
    struct mob_writer w;
    struct blob b;
    writer_init(&w);
    assert_int_equal(value_encode(&w, MOB_INFO(mob_doubles), &d, MOB_IN_VALUE, &span, NULL),
                     MOB_OK);
    assert_int_equal(value_pieces(&w, &span, pieces), 2);
    assert_int_equal(pieces[0].size, VALUE_HEADER_SIZE);
    assert_ptr_equal(pieces[1].data, data);
    writer_fini(&w);
    assert_int_equal(encode(MOB_INFO(mob_doubles), &d, &b, NULL), MOB_OK);
    assert_int_equal(decode(MOB_INFO(mob_doubles), b.data, b.size, &back, NULL), MOB_OK);
    assert_ptr_equal(back.data, b.data + VALUE_HEADER_SIZE);
    assert_true(back.count == 600 && back.data[599] == 7);
    assert_int_equal(block_count, 0);
}

/* Another type is refused with both names; malformed bytes are another error. */
MOB_TEST(types_are_checked)
{
    struct blob b;
    struct mob_err err;
    int64_t n;
    double x = 1;
    outer o = {0};
    mob_text s;
    assert_int_equal(encode(MOB_INFO(double), &x, &b, NULL), MOB_OK);
    assert_int_equal(decode(MOB_INFO(int64_t), b.data, b.size, &n, &err), MOB_ETYPE);
    assert_string_equal(err.text, "is double, wanted int64");
    assert_int_equal(decode(MOB_INFO(outer), b.data, b.size, &o, &err), MOB_ETYPE);
    assert_string_equal(err.text, "is double, wanted outer");
    assert_int_equal(decode(MOB_INFO(MOB_REF(outer)), b.data, b.size, &o, &err), MOB_ETYPE);
    assert_string_equal(err.text, "is double, wanted reference to outer");
    assert_int_equal(encode(MOB_INFO(outer), &o, &b, NULL), MOB_OK);
    assert_int_equal(decode(MOB_INFO(inner), b.data, b.size, &o, &err), MOB_ETYPE);
    assert_string_equal(err.text, "is outer, wanted inner");
    mob_int64s a = {NULL, 0};
    assert_int_equal(encode(MOB_INFO(mob_int64s), &a, &b, NULL), MOB_OK);
    assert_int_equal(decode(MOB_INFO(mob_text), b.data, b.size, &s, &err), MOB_ETYPE);
    assert_string_equal(err.text, "is int64s, wanted text");
    assert_int_equal(decode(MOB_INFO(mob_text), "", 0, &s, &err), MOB_EENCODING);
}

/* Bytes that are almost a value are refused: text without its NUL, something behind the end, a pad
 * or a length that is longer than what there is, a number that does not fit, a raw header that
 * tells another size. */
MOB_TEST(malformed_values_are_refused)
{
#define CASE(type, ...)                                                                            \
    {                                                                                              \
        type, sizeof((unsigned char[]){__VA_ARGS__}),                                              \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
    static const struct {
        const struct mob_type *type;
        size_t size;
        unsigned char bytes[80];
    } cases[] = {
        CASE(MOB_INFO(mob_text), 0x92, MOB_KIND_TEXT, 0xa1, 'x'),
        CASE(MOB_INFO(mob_text), 0x92, MOB_KIND_TEXT, 0xa0),
        CASE(MOB_INFO(mob_text), 0x92, MOB_KIND_TEXT, 0xa2, 'x'),
        CASE(MOB_INFO(int8_t), 0x92, MOB_KIND_INT8, 5, 5),
        CASE(MOB_INFO(int8_t), 0x92, MOB_KIND_INT8, 0xcc, 200),
        CASE(MOB_INFO(uint8_t), 0x92, MOB_KIND_UINT8, 0xff),
        CASE(MOB_INFO(int8_t), 0x91, MOB_KIND_INT8),
        CASE(MOB_INFO(mob_int8s), 0x92, VALUE_ARRAY_TAG + MOB_KIND_INT8, 0xc7, 2, 1, 2, 0),
        CASE(MOB_INFO(mob_int8s), 0x92, VALUE_ARRAY_TAG + MOB_KIND_INT8, 0xc7, 0, 1),
        CASE(MOB_INFO(mob_int16s), 0x92, VALUE_ARRAY_TAG + MOB_KIND_INT16, 0xc7, 2, 1, 0, 7),
        CASE(MOB_INFO(mob_bytes), 0x93, MOB_KIND_BYTES, 1, 0xc4, 0, 'x'),
        CASE(MOB_INFO(mob_bytes), 0x92, MOB_KIND_BYTES, 0xc7, 1, 2, 0),
        CASE(MOB_INFO(inners), 0x92, 0xa6, 'i', 'n', 'n', 'e', 'r', 's', 0xdd, 0xff, 0xff, 0xff,
             0xff),
        CASE(MOB_INFO(MOB_REF(double)), 0x92, MOB_KIND_REF, 0xd7, 2, 0, 0, 0, 0, 0, 0, 0, 0),
    };
#undef CASE
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        everything out;
        struct mob_err err = {MOB_OK, ""};
        assert_int_equal(decode(cases[i].type, cases[i].bytes, cases[i].size, &out, &err),
                         MOB_EENCODING);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(block_count, 0);
}

/* A struct as an older and a newer program have it. */
MOB_STRUCT(person, (mob_text, name), (int32_t, age));
static const struct mob_field person_fields_then[] = {
    {"age", &mobula_type_int16_t, offsetof(person, age)}};
static const struct mob_type person_then = {.name = "person",
                                            .kind = MOB_KIND_STRUCT,
                                            .size = sizeof(person),
                                            .fields = person_fields_then,
                                            .field_count = 1};

/* A field may be added: who does not know it skips it, who misses it has zero; a number may become
 * wider. */
MOB_TEST(fields_may_be_added)
{
    struct blob b;
    person p = {"Ada", -36}, back = {"x", 1};
    assert_int_equal(encode(MOB_INFO(person), &p, &b, NULL), MOB_OK);
    assert_int_equal(decode(&person_then, b.data, b.size, &back, NULL), MOB_OK);
    assert_int_equal((int16_t)back.age, -36);
    assert_null(back.name);
    assert_int_equal(encode(&person_then, &p, &b, NULL), MOB_OK);
    assert_int_equal(decode(MOB_INFO(person), b.data, b.size, &back, NULL), MOB_OK);
    assert_true(back.age == -36 && back.name == NULL);
    p.age = 70000;
    struct mob_err err;
    assert_int_equal(encode(MOB_INFO(person), &p, &b, NULL), MOB_OK);
    assert_int_equal(decode(&person_then, b.data, b.size, &back, &err), MOB_EENCODING);
    assert_string_equal(err.text, "field age of person: 70000 does not fit in int16");
}

/* A field of another type than it was written with is refused with the field's name. */
MOB_TEST(fields_keep_their_type)
{
    static const struct mob_field fields[] = {
        {"age", &mobula_type_mob_text, offsetof(person, name)}};
    static const struct mob_type other = {.name = "person",
                                          .kind = MOB_KIND_STRUCT,
                                          .size = sizeof(person),
                                          .fields = fields,
                                          .field_count = 1};
    struct blob b;
    struct mob_err err;
    person p = {"Ada", 36};
    assert_int_equal(encode(MOB_INFO(person), &p, &b, NULL), MOB_OK);
    assert_int_equal(decode(&other, b.data, b.size, &p, &err), MOB_ETYPE);
    assert_string_equal(err.text, "field age of person: is an integer, wanted text");
}

/* What cannot be a value is refused when it is written. */
MOB_TEST(impossible_values_are_refused)
{
    struct blob b;
    struct mob_err err;
    mob_doubles d = {NULL, 3};
    assert_int_equal(encode(MOB_INFO(mob_doubles), &d, &b, &err), MOB_EINVAL);
    d = (mob_doubles){(const double *)&d, SIZE_MAX / 4};
    assert_int_equal(encode(MOB_INFO(mob_doubles), &d, &b, &err), MOB_EINVAL);
}

static everything sample(void)
{
    static const float floats[5] = {1, 2, 3, 4, 5};
    static const uint64_t numbers[3] = {1, 2, UINT64_MAX};
    static const inner items[3] = {{1, "one"}, {2, NULL}, {3, "three"}};
    return (everything){{items, 3},
                        {0.5, {-3, "inside"}, {floats, 5}, true, 1u << 20},
                        {"bytes", 6},
                        {7, 8},
                        {{{1, 2}, &mobula_type_double}},
                        {numbers, 3},
                        1.5f};
}

static void see_ref(struct mob_id id, void *user)
{
    assert_int_equal(id.seq, 2);
    ++*(int *)user;
}

/* Everything at once: nested, with views, an own encoding and a reference, which the walk over
 * references finds. */
MOB_TEST(nested_structs_round_trip)
{
    struct blob b;
    everything e = sample(), back;
    int seen = 0;
    assert_int_equal(encode(MOB_INFO(everything), &e, &b, NULL), MOB_OK);
    assert_int_equal(decode(MOB_INFO(everything), b.data, b.size, &back, NULL), MOB_OK);
    assert_true(back.o.x == 0.5 && back.o.in.a == -3 && back.o.b && back.o.n == 1u << 20 &&
                back.f == 1.5f);
    assert_string_equal(back.o.in.name, "inside");
    assert_true(back.list.count == 3 && back.list.data[2].a == 3 && back.list.data[1].name == NULL);
    assert_string_equal(back.list.data[2].name, "three");
    assert_true(back.o.f.count == 5 && back.o.f.data[4] == 5 && back.u.data[2] == UINT64_MAX &&
                back.c.g == 8);
    assert_int_equal(back.b.size, 6);
    assert_ptr_equal(back.r.any.info, &mobula_type_double);
    assert_int_equal(block_count, 1); /* the list */
    value_each_ref(MOB_INFO(everything), &back, see_ref, &seen);
    assert_int_equal(seen, 1);
    blocks_free();
}

/* Touch all that a decoded value points to. */
static unsigned touch(const everything *e)
{
    unsigned sum = e->o.in.name != NULL ? (unsigned)strlen(e->o.in.name) : 0;
    for (size_t i = 0; i < e->list.count; i++)
        sum += e->list.data[i].name != NULL ? (unsigned)strlen(e->list.data[i].name) : 0;
    for (size_t i = 0; i < e->o.f.count; i++)
        sum += e->o.f.data[i] > 0;
    for (size_t i = 0; i < e->b.size; i++)
        sum += ((const unsigned char *)e->b.data)[i];
    for (size_t i = 0; i < e->u.count; i++)
        sum += (unsigned)e->u.data[i];
    return sum;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Bytes that were changed, cut or made up never make the decoder read outside them: ASan and the
 * heap watch. */
MOB_TEST(hostile_bytes_are_harmless)
{
    const struct mob_type *types[] = {
        MOB_INFO(everything), MOB_INFO(mob_text),        MOB_INFO(mob_doubles), MOB_INFO(double),
        MOB_INFO(int8_t),     MOB_INFO(MOB_REF(double)), MOB_INFO(mob_bytes),   MOB_INFO(colour)};
    static double numbers[100];
    mob_doubles raw = {numbers, 100};
    struct blob good[2];
    everything e = sample();
    const char *text = getenv("MOBULA_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 88172645463325252u, luck = seed;
    assert_int_equal(encode(MOB_INFO(everything), &e, &good[0], NULL), MOB_OK);
    assert_int_equal(encode(MOB_INFO(mob_doubles), &raw, &good[1], NULL), MOB_OK);
    unsigned accepted = 0, sum = 0;
    print_message("MOBULA_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < 200000; round++) {
        const struct blob *from = &good[next_random(&luck) % 2];
        size_t size =
            next_random(&luck) % 4 == 0 ? next_random(&luck) % (from->size + 1) : from->size;
        unsigned char *bytes = malloc(size + 1);
        assert_non_null(bytes);
        memcpy(bytes + 1, from->data, size); /* at an odd address */
        for (uint64_t k = next_random(&luck) % 4; k > 0 && size > 0; k--)
            bytes[1 + next_random(&luck) % size] = (unsigned char)next_random(&luck);
        union {
            everything e;
            mob_text text;
            mob_doubles d;
            mob_bytes b;
        } out;
        const struct mob_type *type =
            round % 2 == 0 ? types[from == &good[1] ? 2 : 0] : types[next_random(&luck) % 8];
        struct mob_err err;
        if (decode(type, bytes + 1, size, &out, &err) == MOB_OK) {
            accepted++;
            sum += type == types[0]                      ? touch(&out.e)
                   : type == types[2] && out.d.count > 0 ? out.d.data[out.d.count - 1] > 0
                                                         : 0;
        }
        blocks_free();
        free(bytes);
    }
    assert_true(accepted > 1000);
    assert_true(sum > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_codes_equal_the_table),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(large_arrays_are_raw),
        cmocka_unit_test(types_are_checked),
        cmocka_unit_test(fields_may_be_added),
        cmocka_unit_test(fields_keep_their_type),
        cmocka_unit_test(impossible_values_are_refused),
        cmocka_unit_test(nested_structs_round_trip),
        cmocka_unit_test(malformed_values_are_refused),
        cmocka_unit_test(hostile_bytes_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
