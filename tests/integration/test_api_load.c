/* Very many tasks, and a worker that does not answer. The program is tests/programs/api_load.c. */
#include "tests/support/test.h"

#include <signal.h>

#include "tests/support/processes.h"
#include "tests/support/user.h"
#include "tests/support/wait.h"

enum { PSS_GROWTH_MAX = 10 << 20, TENTHS = 40, STOP_AT = 10, GO_AT = 30 };

/* 200,000 tasks queued at once cost the driver at most 200 bytes each beyond their arguments, and
 * are all done. */
MOB_TEST(two_hundred_thousand_queued)
{
    user_runs("api_load", "queued");
}

/* The numbers that the program has printed so far. */
static int read_counts(struct program *p, int *counts)
{
    int n = 0, used;
    for (const char *at = program_stdout(p);
         n < TENTHS && sscanf(at, "%d%n", &counts[n], &used) == 1; n++)
        at += used;
    return n;
}

/* With one of two workers stopped for 2 s the other goes on at its rate, the node does not grow,
 * and once it goes on nothing is lost. */
MOB_TEST(one_worker_stopped)
{
    int counts[TENTHS] = {0}, before = 0, during = 0;
    pid_t workers[8];
    struct program *p = user_start("api_load", "steady", NULL);
    assert_true(
        wait_until(read_counts(p, counts) >= STOP_AT && user_workers(p, workers, 8) >= 2, 20000));
    pid_t node = processes_find(program_pid(p), "mobula-node");
    int64_t pss = processes_pss_bytes(node);
    assert_int_equal(kill(workers[0], SIGSTOP), 0);
    int stopped = read_counts(p, counts);
    assert_true(wait_until(read_counts(p, counts) >= GO_AT, 20000));
    int64_t grown = processes_pss_bytes(node) - pss;
    assert_int_equal(kill(workers[0], SIGCONT), 0);
    assert_true(wait_until(strstr(program_stdout(p), "end") != NULL, 20000));
    read_counts(p, counts);
    for (int i = 2; i < STOP_AT; i++)
        before += counts[i];
    for (int i = stopped + 2; i < GO_AT; i++)
        during += counts[i];
    before /= STOP_AT - 2;
    during /= GO_AT - stopped - 2;
    print_message(
        "%d tasks in a tenth of a second before, %d during; the node grew by %lld bytes\n", before,
        during, (long long)grown);
    assert_true(during > before / 4); /* other programs run here too */
    assert_true(grown < PSS_GROWTH_MAX);
    user_ends(p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hundred_thousand_queued),
        cmocka_unit_test(one_worker_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
