/* Many threads of one driver, and the library's own. The program is tests/programs/api_threads.c.
 */
#include "tests/support/test.h"

#include <signal.h>

#include "tests/support/processes.h"
#include "tests/support/user.h"
#include "tests/support/wait.h"

enum { SHUTDOWNS = 10 };

/* Eight threads with short and long tasks, time-outs and large values: each gets its answers. */
MOB_TEST(eight_threads)
{
    user_ends(user_start("api_threads", "all", "40"), 0);
}

/* When one answer wakes two threads and neither waits again, the library's thread drives. */
MOB_TEST(library_thread_goes_on)
{
    user_runs("api_threads", "parked");
}

/* Tasks start while their driver submits more, and never waits. */
MOB_TEST(submitting_without_waiting)
{
    user_runs("api_threads", "busy");
}

/* A thread that is busy with output does not keep the others out. */
MOB_TEST(others_get_in)
{
    user_runs("api_threads", "crowded");
}

/* mob_shutdown in one thread ends the calls of all others with MOB_ESHUTDOWN. */
MOB_TEST(shutdown_under_threads)
{
    for (int i = 0; i < SHUTDOWNS; i++)
        user_runs("api_threads", "shut");
}

/* A driver whose node was killed uses no cpu. */
MOB_TEST(driver_without_node_rests)
{
    struct program *p = user_start("api_threads", "bereft", NULL);
    assert_true(wait_until(strstr(program_stdout(p), "running") != NULL, 20000));
    assert_int_equal(kill(processes_find(program_pid(p), "mobula-node"), SIGKILL), 0);
    user_ends(p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_threads),
        cmocka_unit_test(library_thread_goes_on),
        cmocka_unit_test(submitting_without_waiting),
        cmocka_unit_test(others_get_in),
        cmocka_unit_test(shutdown_under_threads),
        cmocka_unit_test(driver_without_node_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
