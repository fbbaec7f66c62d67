/* Tasks that do what a task must not. The program is tests/programs/api_abuse.c. */
#include "tests/support/test.h"

#include "tests/support/user.h"

/* A task lends its cpu while any of its threads waits: those that only join such threads do not
 * lock each other out. */
MOB_TEST(tasks_that_join_waiting_threads)
{
    user_runs("api_abuse", "joined");
}

/* A thread that still waits when its task has ended does no harm to the next tasks. */
MOB_TEST(a_wait_that_outlives_its_task)
{
    user_runs("api_abuse", "outlived");
}

/* A child that returns from the task is ended: it does not answer beside its parent. */
MOB_TEST(a_task_that_forks_and_returns_twice)
{
    user_runs("api_abuse", "forked");
}

/* A task that ends its thread or becomes another program is an error that says so, not a hang. */
MOB_TEST(a_task_whose_thread_or_program_is_gone)
{
    user_runs("api_abuse", "gone");
}

/* A zygote that dies takes all its workers along; that is one failed start, and no task's fault. */
MOB_TEST(zygotes_that_die)
{
    user_runs("api_abuse", "zygotes");
}

/* A forked child of a driver is told so by every call. */
MOB_TEST(a_forked_child_of_a_driver)
{
    user_runs("api_abuse", "child");
}

/* A driver that may open 64 descriptors, as may all that it starts, still has a cluster. */
MOB_TEST(few_descriptors)
{
    user_runs("api_abuse", "descriptors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_that_join_waiting_threads),
        cmocka_unit_test(a_wait_that_outlives_its_task),
        cmocka_unit_test(a_task_that_forks_and_returns_twice),
        cmocka_unit_test(a_task_whose_thread_or_program_is_gone),
        cmocka_unit_test(zygotes_that_die),
        cmocka_unit_test(a_forked_child_of_a_driver),
        cmocka_unit_test(few_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
