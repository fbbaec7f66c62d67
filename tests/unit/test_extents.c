/* The arena's extents: no overlap, no loss, whatever is asked. */
#include "tests/support/test.h"

#include "node/extents.h"

enum { PAGE = 4096 };

static void holds(const struct node_extents *x)
{
    struct mob_err err = {0};
    if (!node_extents_check(x, &err))
        fail_msg("%s", err.text);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* An extent has whole pages, at least as many as are aimed at while there is room, and else what
 * was asked. */
MOB_TEST(extents_round_up)
{
    struct node_extents *x = node_extents_create(10 * PAGE, PAGE);
    const struct extent *e = node_extents_take(x, 1, 4 * PAGE, 7);
    assert_int_equal(e->offset, 0);
    assert_int_equal(e->size, 4 * PAGE);
    e = node_extents_take(x, 5 * PAGE - 1, 8 * PAGE, 7);
    assert_int_equal(e->offset, 4 * PAGE);
    assert_int_equal(e->size, 5 * PAGE);
    e = node_extents_take(x, 0, 0, 7);
    assert_int_equal(e->size, PAGE);
    assert_int_equal(node_extents_used(x), 10 * PAGE);
    holds(x);
    node_extents_destroy(x);
}

/* What does not fit is refused and changes nothing, sizes near 2^64 included. */
MOB_TEST(extents_full_refuses)
{
    struct node_extents *x = node_extents_create(4 * PAGE, PAGE);
    assert_null(node_extents_take(x, 4 * PAGE + 1, 0, 7));
    assert_null(node_extents_take(x, UINT64_MAX, UINT64_MAX, 7));
    assert_null(node_extents_take(x, UINT64_MAX - PAGE, 0, 7));
    assert_non_null(node_extents_take(x, 3 * PAGE, UINT64_MAX, 7));
    assert_null(node_extents_take(x, 2 * PAGE, 0, 8));
    assert_int_equal(node_extents_largest(x), PAGE);
    assert_int_equal(node_extents_used(x), 3 * PAGE);
    holds(x);
    node_extents_destroy(x);
    x = node_extents_create(0, PAGE);
    assert_null(node_extents_take(x, 0, 0, 7));
    holds(x);
    node_extents_destroy(x);
}

/* Only the owner of an extent seals in it, and only inside it. */
MOB_TEST(extents_seal_inside_own)
{
    struct node_extents *x = node_extents_create(16 * PAGE, PAGE);
    uint64_t at = node_extents_take(x, 2 * PAGE, 0, 7)->offset;
    uint64_t other = node_extents_take(x, 2 * PAGE, 0, 8)->offset;
    assert_true(node_extents_seal(x, 7, at, 2 * PAGE));
    assert_true(node_extents_seal(x, 7, at + 64, 0));
    assert_false(node_extents_seal(x, 7, at, 2 * PAGE + 1));
    assert_false(node_extents_seal(x, 7, at + PAGE, PAGE + 1));
    assert_false(node_extents_seal(x, 7, at + 64, UINT64_MAX));
    assert_false(node_extents_seal(x, 7, other, 64));
    assert_false(node_extents_seal(x, 7, 8 * PAGE, 64));
    assert_false(node_extents_seal(x, 7, 99 * PAGE, 64));
    assert_false(node_extents_seal(x, 0, 8 * PAGE, 64));
    node_extents_owner_ended(x, 7);
    assert_false(node_extents_seal(x, EXTENT_OF_JOB, at, 64));
    holds(x);
    node_extents_destroy(x);
}

/* When an owner ends, pages behind its last sealed object and extents without one are free and
 * join; the rest stays. */
MOB_TEST(extents_owner_end_frees_the_unsealed)
{
    struct node_extents *x = node_extents_create(16 * PAGE, PAGE);
    uint64_t sealed = node_extents_take(x, 4 * PAGE, 0, 7)->offset;
    node_extents_take(x, 4 * PAGE, 0, 7);
    node_extents_take(x, 4 * PAGE, 0, 8);
    node_extents_take(x, 2 * PAGE, 0, 7);
    assert_true(node_extents_seal(x, 7, sealed + 64, PAGE));
    node_extents_owner_ended(x, 7);
    holds(x);
    assert_int_equal(node_extents_used(x), 6 * PAGE);
    assert_int_equal(node_extents_largest(x), 6 * PAGE);
    const struct extent *first = node_extents_first(x);
    assert_int_equal(first->owner, EXTENT_OF_JOB);
    assert_int_equal(first->size, 2 * PAGE);
    node_extents_owner_ended(x, 8);
    assert_int_equal(node_extents_largest(x), 14 * PAGE);
    holds(x);
    node_extents_destroy(x);
}

/* Whatever is taken, sealed and left in whatever order, the extents cover the arena once, and all
 * comes back. */
MOB_TEST(extents_random)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t random = seed;
        struct node_extents *x = node_extents_create(4096 * PAGE, PAGE);
        for (int i = 0; i < 600; i++) {
            uint64_t owner = 1 + next_random(&random) % 9;
            if (next_random(&random) % 12 == 0) {
                node_extents_owner_ended(x, owner);
            } else {
                uint64_t size = next_random(&random) % (100 * PAGE);
                const struct extent *e = node_extents_take(x, size, 8 * PAGE, owner);
                assert_true(e == NULL ? node_extents_largest(x) < size
                                      : e->size >= size && e->owner == owner);
            }
            struct mob_err err = {0};
            if (!node_extents_check(x, &err))
                fail_msg("seed %d step %d: %s", (int)seed, i, err.text);
        }
        for (uint64_t owner = 1; owner <= 9; owner++)
            node_extents_owner_ended(x, owner);
        assert_int_equal(node_extents_used(x), 0);
        assert_int_equal(node_extents_largest(x), 4096 * PAGE);
        node_extents_destroy(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_round_up),
        cmocka_unit_test(extents_full_refuses),
        cmocka_unit_test(extents_seal_inside_own),
        cmocka_unit_test(extents_owner_end_frees_the_unsealed),
        cmocka_unit_test(extents_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
