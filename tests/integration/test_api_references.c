/* References, waiting and completions on a real cluster. The program is
 * tests/programs/api_references.c. */
#include "tests/support/test.h"

#include "tests/support/user.h"

/* A parameter receives the value after it exists, one of type MOB_REF the reference at once, also
 * inside tasks. */
MOB_TEST(references_as_values_and_as_references)
{
    user_runs("api_references", "arguments");
}

/* Each of several results is a reference of its own; all of them have the error of a task that
 * failed. */
MOB_TEST(several_results)
{
    user_runs("api_references", "several");
}

/* get, take, get_all and wait keep their time-outs, 0 included, and lose nothing by them. */
MOB_TEST(waiting_and_time_outs)
{
    user_runs("api_references", "waiting");
}

/* A copy outlives what it was copied from, and arguments outlive their drop. */
MOB_TEST(copies_and_drops)
{
    user_runs("api_references", "copies");
}

/* A diamond of 1,000 tasks and the tree that joins it come to the right sum. */
MOB_TEST(diamond_of_a_thousand)
{
    user_runs("api_references", "diamond");
}

/* poll() on the completion descriptor tells of each watched reference once. */
MOB_TEST(completions_by_descriptor)
{
    user_runs("api_references", "completions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_as_values_and_as_references),
        cmocka_unit_test(several_results),
        cmocka_unit_test(waiting_and_time_outs),
        cmocka_unit_test(copies_and_drops),
        cmocka_unit_test(diamond_of_a_thousand),
        cmocka_unit_test(completions_by_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
