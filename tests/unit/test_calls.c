/* test_calls.c: the macros of mobula.h, with a plain API that runs each task at once. */
#include "tests/support/test.h"

#include "tests/unit/plain_fake.c"
#include "tests/unit/typed_values.h"

static const struct mob_options *seen_options(void)
{
    return fake_options();
}

/* Every type goes through a task and comes back, and all references that were made have been
 * dropped. */
MOB_TEST(every_type_round_trips)
{
    fake_shift(0);
    assert_int_equal(typed_values(), 0);
    assert_int_equal(fake_handles(), 0);
}

/* The same when values lie at odd addresses: arrays are copied to where they are aligned. */
MOB_TEST(values_may_lie_anywhere)
{
    fake_shift(3);
    counted = 0;
    assert_int_equal(typed_values(), 0);
    assert_int_equal(fake_handles(), 0);
    fake_shift(0);
}

MOB_TASK(mob_doubles, ramp, (size_t, count))
{
    double *data = mob_alloc_array(double, count);
    for (size_t i = 0; i < count; i++)
        data[i] = (double)i;
    return mob_doubles_of(data, count);
}

/* A large array that a task returns from mob_alloc reaches the plain API as it is, behind a header
 * of 64 bytes. */
MOB_TEST(large_results_are_not_copied)
{
    size_t before = fake_in_place();
    MOB_REF(mob_doubles) r = mob_remote(ramp, 100000);
    mob_doubles d;
    assert_int_equal(mob_get(r, &d, MOB_FOREVER), MOB_OK);
    assert_int_equal(fake_in_place(), before + 1);
    assert_int_equal((uintptr_t)d.data % 64, 0);
    assert_true(d.data[99999] == 99999.0);
    mob_drop(r);
}

MOB_TASK(double, patient, (double, x))
{
    return x;
}
MOB_TASK_OPTIONS(patient, .retries = 9, .cpus = 20000);

/* Options of the definition hold for every call, unless the call has its own. */
MOB_TEST(options_of_definition_and_call)
{
    mob_drop(mob_remote(patient, 1));
    assert_int_equal(fake_options()->retries, 9);
    mob_drop(mob_remote_with(MOB_OPTIONS(.retries = 2), patient, 1));
    assert_int_equal(fake_options()->retries, 2);
    assert_int_equal(fake_options()->cpus, 0);
    assert_int_equal(fake_options()->size, sizeof(struct mob_options));
}

/* A value of another type than the reference tells is refused with both names. */
MOB_TEST(wrong_value_behind_a_reference)
{
    MOB_REF(double) d = mob_put(double, 1.5);
    MOB_REF(int64_t) i = {{d.any.id, &mobula_type_int64_t}};
    int64_t x;
    assert_int_equal(mob_get(i, &x, 0), MOB_ETYPE);
    assert_non_null(strstr(mob_last_error()->text, "is double, wanted int64"));
    mob_drop(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_round_trips),
        cmocka_unit_test(values_may_lie_anywhere),
        cmocka_unit_test(large_results_are_not_copied),
        cmocka_unit_test(options_of_definition_and_call),
        cmocka_unit_test(wrong_value_behind_a_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
