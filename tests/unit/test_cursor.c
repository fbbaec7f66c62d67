/* The reader of msgpack: every form of every kind, nothing beyond the end, bounds on counts and
 * depth. */
#include "tests/support/test.h"

#include <math.h>
#include <msgpack.h>

#include "protocol/cursor.h"

#define CURSOR(...)                                                                                \
    cursor_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Each width of an unsigned number is read, and nothing else is taken for one. */
MOB_TEST(unsigned_numbers)
{
    struct cursor c = CURSOR(0x00, 0x7f, 0xcc, 0x80, 0xcd, 0x01, 0x00, 0xce, 0, 1, 0, 0, 0xcf, 0xff,
                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    assert_int_equal(cursor_u64(&c), 0);
    assert_int_equal(cursor_u64(&c), 127);
    assert_int_equal(cursor_u64(&c), 128);
    assert_int_equal(cursor_u64(&c), 256);
    assert_int_equal(cursor_u64(&c), 65536);
    assert_true(cursor_u64(&c) == UINT64_MAX);
    assert_false(c.failed);
    assert_int_equal(cursor_left(&c), 0);
    const uint8_t others[] = {0x80, 0x90, 0xa0, 0xc0, 0xc1, 0xc2, 0xc4,
                              0xca, 0xcb, 0xd0, 0xd3, 0xe0, 0xff};
    for (unsigned i = 0; i < sizeof others; i++) {
        uint8_t bytes[10] = {others[i]};
        c = cursor_of(bytes, sizeof bytes);
        assert_int_equal(cursor_u64(&c), 0);
        assert_true(c.failed);
    }
}

/* A number above 32 bits is none of 32 bits. */
MOB_TEST(numbers_of_32_bits)
{
    struct cursor c = CURSOR(0xce, 0xff, 0xff, 0xff, 0xff);
    assert_true(cursor_u32(&c) == UINT32_MAX);
    c = CURSOR(0xcf, 0, 0, 0, 1, 0, 0, 0, 0);
    assert_int_equal(cursor_u32(&c), 0);
    assert_true(c.failed);
}

/* Signed numbers are read from every form, also those that packers choose for positive ones. */
MOB_TEST(signed_numbers)
{
    const int64_t values[] = {0,         1,        -1,        -32,       -33,
                              127,       128,      -128,      -129,      32767,
                              -32768,    -32769,   INT32_MAX, INT32_MIN, (int64_t)INT32_MIN - 1,
                              INT64_MAX, INT64_MIN};
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        msgpack_sbuffer b;
        msgpack_sbuffer_init(&b);
        msgpack_packer pk;
        msgpack_packer_init(&pk, &b, msgpack_sbuffer_write);
        msgpack_pack_int64(&pk, values[i]);
        struct cursor c = cursor_of(b.data, b.size);
        assert_true(cursor_i64(&c) == values[i]);
        assert_false(c.failed);
        assert_int_equal(cursor_left(&c), 0);
        msgpack_sbuffer_destroy(&b);
    }
    struct cursor c = CURSOR(0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(cursor_i64(&c), 0);
    assert_true(c.failed);
}

/* Booleans and floating numbers, infinities among them. */
MOB_TEST(booleans_and_floats)
{
    struct cursor c =
        CURSOR(0xc2, 0xc3, 0xca, 0x3f, 0x80, 0, 0, 0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0);
    assert_false(cursor_bool(&c));
    assert_true(cursor_bool(&c));
    assert_true(cursor_f64(&c) == 1.0);
    assert_true(cursor_f64(&c) == -INFINITY);
    assert_false(c.failed);
    c = CURSOR(0x01);
    assert_false(cursor_bool(&c));
    assert_true(c.failed);
    c = CURSOR(0x01);
    assert_true(cursor_f64(&c) == 0);
    assert_true(c.failed);
}

/* Text and bytes are views into the input; one is not the other; none reaches beyond the end. */
MOB_TEST(text_and_bytes)
{
    struct cursor c = CURSOR(0xa2, 'h', 'i', 0xd9, 1, 'x', 0xda, 0, 1, 'y', 0xdb, 0, 0, 0, 1, 'z',
                             0xc4, 1, 'b', 0xc5, 0, 1, 'c', 0xc6, 0, 0, 0, 0);
    struct view v = cursor_text(&c);
    assert_int_equal(v.size, 2);
    assert_memory_equal(v.data, "hi", 2);
    for (const char *want = "xyz"; *want != '\0'; want++) {
        v = cursor_text(&c);
        assert_int_equal(v.size, 1);
        assert_memory_equal(v.data, want, 1);
    }
    assert_memory_equal(cursor_bytes(&c).data, "b", 1);
    assert_memory_equal(cursor_bytes(&c).data, "c", 1);
    assert_int_equal(cursor_bytes(&c).size, 0);
    assert_false(c.failed);
    assert_int_equal(cursor_left(&c), 0);
    c = CURSOR(0xc4, 1, 'b');
    assert_int_equal(cursor_text(&c).size, 0);
    assert_true(c.failed);
    c = CURSOR(0xa1, 'b');
    assert_int_equal(cursor_bytes(&c).size, 0);
    assert_true(c.failed);
    c = CURSOR(0xdb, 0xff, 0xff, 0xff, 0xff, 'x');
    v = cursor_text(&c);
    assert_int_equal(v.size, 0);
    assert_non_null(v.data);
    assert_true(c.failed);
}

/* Extension values of fixed and of any size. */
MOB_TEST(extensions)
{
    int8_t type;
    struct cursor c = CURSOR(0xd4, 5, 'a', 0xd6, 0xff, 1, 2, 3, 4, 0xc7, 2, 9, 'x', 'y', 0xc8, 0, 0,
                             3, 0xc9, 0, 0, 0, 1, 4, 'z');
    assert_int_equal(cursor_ext(&c, &type).size, 1);
    assert_int_equal(type, 5);
    assert_int_equal(cursor_ext(&c, &type).size, 4);
    assert_int_equal(type, -1);
    assert_int_equal(cursor_ext(&c, &type).size, 2);
    assert_int_equal(type, 9);
    assert_int_equal(cursor_ext(&c, &type).size, 0);
    assert_int_equal(cursor_ext(&c, &type).size, 1);
    assert_false(c.failed);
    assert_int_equal(cursor_left(&c), 0);
}

/* A count that the bytes left cannot hold is refused before anybody makes room for it. */
MOB_TEST(counts_are_bounded)
{
    struct cursor c = CURSOR(0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2, 3);
    assert_int_equal(cursor_array(&c), 0);
    assert_true(c.failed);
    c = CURSOR(0x93, 1, 2, 3);
    assert_int_equal(cursor_array(&c), 3);
    c = CURSOR(0x94, 1, 2, 3);
    assert_int_equal(cursor_array(&c), 0);
    assert_true(c.failed);
    c = CURSOR(0x82, 1, 2, 3, 4);
    assert_int_equal(cursor_map(&c), 2);
    c = CURSOR(0x82, 1, 2, 3);
    assert_int_equal(cursor_map(&c), 0);
    assert_true(c.failed);
    c = CURSOR(0xdf, 0x80, 0, 0, 0, 1, 2);
    assert_int_equal(cursor_map(&c), 0);
    assert_true(c.failed);
}

/* The first failure stays: later reads give nothing and do not move. */
MOB_TEST(failure_stays)
{
    struct cursor c = CURSOR(0xc0, 0x01, 0x02);
    cursor_u64(&c);
    assert_true(c.failed);
    const uint8_t *at = c.at;
    int8_t type;
    assert_int_equal(cursor_u64(&c), 0);
    assert_int_equal(cursor_i64(&c), 0);
    assert_false(cursor_bool(&c));
    assert_int_equal(cursor_text(&c).size, 0);
    assert_int_equal(cursor_bytes(&c).size, 0);
    assert_int_equal(cursor_ext(&c, &type).size, 0);
    assert_int_equal(cursor_array(&c), 0);
    assert_int_equal(cursor_map(&c), 0);
    assert_int_equal(cursor_peek(&c), 0xc1);
    cursor_skip(&c, 2);
    assert_ptr_equal(c.at, at);
}

/* Every kind of value is stepped over, and nests to the bound and no deeper. */
MOB_TEST(skip_steps_over_all)
{
    struct cursor c = CURSOR(0x01, 0xff, 0xc0, 0xc2, 0xcd, 1, 2, 0xd1, 1, 2, 0xca, 1, 2, 3, 4, 0xa1,
                             'x', 0xc4, 1, 'y', 0xd4, 1, 'e', 0x92, 0x01, 0x91, 0xc0, 0x81, 0xa1,
                             'k', 0x92, 1, 2, 0x90, 0x80, 0x07);
    cursor_skip(&c, 14);
    assert_false(c.failed);
    assert_int_equal(cursor_u64(&c), 7);
    uint8_t deep[CURSOR_DEPTH_MAX + 1];
    memset(deep, 0x91, sizeof deep);
    deep[CURSOR_DEPTH_MAX - 1] = 0xc0;
    c = cursor_of(deep, CURSOR_DEPTH_MAX);
    cursor_skip(&c, 1);
    assert_false(c.failed);
    memset(deep, 0x91, sizeof deep);
    deep[CURSOR_DEPTH_MAX] = 0xc0;
    c = cursor_of(deep, sizeof deep);
    cursor_skip(&c, 1);
    assert_true(c.failed);
    c = CURSOR(0xc1);
    cursor_skip(&c, 1);
    assert_true(c.failed);
    c = CURSOR(0x01);
    cursor_skip(&c, 2);
    assert_true(c.failed);
}

/* All of that, cut off at every byte, fails and reads nothing beyond. The input stands alone on the
 * heap, where the sanitizer sees a read past its end. */
MOB_TEST(cut_input_fails)
{
    static const uint8_t whole[] = {
        0x9d, 0xcf, 1,    2, 3,   4,    5,    6,  7,  8,  0xd3, 1,    2,    3,   4,   5,    6,
        7,    8,    0xcb, 1, 2,   3,    4,    5,  6,  7,  8,    0xd9, 2,    'h', 'i', 0xda, 0,
        1,    'h',  0xc4, 1, 'x', 0xc6, 0,    0,  0,  1,  'x',  0xd8, 1,    1,   2,   3,    4,
        5,    6,    7,    8, 9,   10,   11,   12, 13, 14, 15,   16,   0xc7, 1,   1,   0,    0x81,
        1,    2,    0xdc, 0, 1,   0xc0, 0xde, 0,  1,  1,  2,    0xca, 0,    0,   0,   0};
    for (size_t size = 0; size <= sizeof whole; size++) {
        uint8_t *cut = malloc(size != 0 ? size : 1);
        assert_non_null(cut);
        memcpy(cut, whole, size);
        struct cursor c = cursor_of(cut, size);
        cursor_skip(&c, 1);
        assert_int_equal(c.failed, size < sizeof whole);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_numbers),    cmocka_unit_test(numbers_of_32_bits),
        cmocka_unit_test(signed_numbers),      cmocka_unit_test(booleans_and_floats),
        cmocka_unit_test(text_and_bytes),      cmocka_unit_test(extensions),
        cmocka_unit_test(counts_are_bounded),  cmocka_unit_test(failure_stays),
        cmocka_unit_test(skip_steps_over_all), cmocka_unit_test(cut_input_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
