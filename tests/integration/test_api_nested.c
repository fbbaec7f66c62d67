/* Tasks inside tasks, and many threads. The program is tests/programs/api_nested.c. */
#include "tests/support/test.h"

#include "tests/support/user.h"

/* Recursive fib(18) on one cpu is right, and needs fewer than 30 workers. */
MOB_TEST(recursion_on_one_cpu)
{
    user_runs("api_nested", "recursion");
}

/* Nesting beyond workers_max is an error, not a hang, and leaves a cluster that works. */
MOB_TEST(nesting_beyond_workers_max)
{
    user_runs("api_nested", "bounded");
}

/* Threads of a task call and wait like those of a driver. */
MOB_TEST(threads_inside_a_task)
{
    user_runs("api_nested", "inside");
}

/* Eight threads that submit and wait at once, thousands of calls, all get their own answers. */
MOB_TEST(eight_threads)
{
    user_runs("api_nested", "threads");
}

/* Eight threads that wait for one reference all get its value. */
MOB_TEST(eight_readers_of_one_reference)
{
    user_runs("api_nested", "one_for_all");
}

/* Eight threads whose tasks wait for others by references inside structs: nobody's wake-up is lost.
 */
MOB_TEST(threads_and_waiting_tasks)
{
    user_runs("api_nested", "crowd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recursion_on_one_cpu),
        cmocka_unit_test(nesting_beyond_workers_max),
        cmocka_unit_test(threads_inside_a_task),
        cmocka_unit_test(eight_threads),
        cmocka_unit_test(eight_readers_of_one_reference),
        cmocka_unit_test(threads_and_waiting_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
