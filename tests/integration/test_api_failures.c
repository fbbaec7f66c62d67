/* Failures on a real cluster: what the caller sees, and that all else goes on. The program is
 * tests/programs/api_failures.c. */
#include "tests/support/test.h"

#include <signal.h>

#include "tests/support/processes.h"
#include "tests/support/sanitizer.h"
#include "tests/support/user.h"
#include "tests/support/wait.h"

enum { KILLS = 40, PIDS_MAX = 64 };

/* Code, message, place and chain of causes reach whoever gets the result of a task or of its
 * dependents. */
MOB_TEST(failure_reaches_dependents)
{
    user_runs("api_failures", "chain");
}

/* The error at the end of a chain of a thousand still says where it began. */
MOB_TEST(failure_at_the_start_of_a_long_chain)
{
    user_runs("api_failures", "long_chain");
}

/* A task that gets the error of its own call fails in its own way. */
MOB_TEST(failure_inside_a_task)
{
    user_runs("api_failures", "nested");
}

/* Calls that cannot be submitted, and functions that no worker knows, are errors at get. */
MOB_TEST(calls_that_cannot_be_made)
{
    user_runs("api_failures", "refused");
}

/* A task that crashes every time ends with its signal, its name and the tail of its stderr. */
MOB_TEST(crash_names_signal_function_and_last_words)
{
    user_runs("api_failures", "crash");
}

/* exit() inside a task is the worker's death, not a result. */
MOB_TEST(exit_inside_a_task)
{
    user_runs("api_failures", "exits");
}

/* A task whose worker dies once is run again and right, unless its options forbid it. */
MOB_TEST(run_again_after_death)
{
    user_runs("api_failures", "again");
}

/* A worker to kill: the newest, however young it is; or any that has run a task. 0: there is none.
 */
static pid_t victim(struct program *driver, bool young, unsigned *seed)
{
    pid_t pids[PIDS_MAX];
    unsigned n = user_workers(driver, pids, PIDS_MAX), ran = 0;
    if (young)
        return n > 0 ? pids[n - 1] : 0;
    for (unsigned i = 0; i < n; i++)
        if (user_worker_ignores(pids[i], SIGUSR2))
            pids[ran++] = pids[i];
    return ran > 0 ? pids[(unsigned)rand_r(seed) % ran] : 0;
}

/* Kills workers of the program while its 500 tasks run; with `at_birth` every other one as soon as
 * it is seen. The others have run a task, since three in a row that do not get ready are an error
 * of their own. */
static void kill_workers(bool at_birth)
{
    struct program *driver = user_start("api_failures", "killed", NULL);
    assert_true(wait_until(strstr(program_stdout(driver), "running") != NULL, 20000));
    unsigned seed = (unsigned)wait_now_ns(), killed = 0;
    print_message("seed %u\n", seed);
    while (killed < KILLS && !program_ended(driver)) {
        bool young = at_birth && killed % 2 == 1;
        pid_t pid = 0;
        if (!wait_until((pid = victim(driver, young, &seed)) != 0 || program_ended(driver),
                        10000) ||
            pid == 0)
            break;
        if (kill(pid, SIGKILL) == 0)
            killed++;
        wait_until(!processes_alive(pid), 5000);
        uint64_t next = wait_now_ns() + (uint64_t)(rand_r(&seed) % 60) *
                                            (at_birth && killed % 2 == 1 ? 0 : 1000000);
        wait_until(wait_now_ns() >= next, 1000);
    }
    assert_true(killed >= KILLS / 2);
    user_ends(driver, 0);
}

/* Workers killed at random while 500 tasks run: every result is there and right. */
MOB_TEST(random_kills)
{
    kill_workers(false);
}

/* Workers killed while they start are no loss either. */
MOB_TEST(kills_at_birth)
{
    kill_workers(true);
}

int main(void)
{
    sanitizer_leave_signals();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_reaches_dependents),
        cmocka_unit_test(failure_at_the_start_of_a_long_chain),
        cmocka_unit_test(failure_inside_a_task),
        cmocka_unit_test(calls_that_cannot_be_made),
        cmocka_unit_test(crash_names_signal_function_and_last_words),
        cmocka_unit_test(exit_inside_a_task),
        cmocka_unit_test(run_again_after_death),
        cmocka_unit_test(random_kills),
        cmocka_unit_test(kills_at_birth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
