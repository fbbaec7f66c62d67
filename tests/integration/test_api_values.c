/* Values through a real cluster. The programs are tests/programs/api_types.c and api_values.c. */
#include "tests/support/test.h"

#include "tests/support/user.h"

/* Every type arrives in a task and comes back as it went. */
MOB_TEST(every_type_both_ways)
{
    user_runs("api_types", NULL);
}

/* 100 MB are read in place by driver and task, aligned to 64 bytes, with no copy in either. */
MOB_TEST(large_array_in_place)
{
    user_runs("api_values", "large");
}

/* Sizes around every limit arrive whole, as values, as references and from put. */
MOB_TEST(sizes_around_limits)
{
    user_runs("api_values", "sizes");
}

/* Hundreds of arguments above the inline limit go by the store. */
MOB_TEST(many_stored_arguments)
{
    user_runs("api_values", "many");
}

/* A full store is MOB_ESTOREFULL at once, for puts and results, and work goes on after. */
MOB_TEST(full_store_refuses)
{
    user_runs("api_values", "full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_both_ways), cmocka_unit_test(large_array_in_place),
        cmocka_unit_test(sizes_around_limits),  cmocka_unit_test(many_stored_arguments),
        cmocka_unit_test(full_store_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
