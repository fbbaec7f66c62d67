/* The test support itself: a helper that finds nothing would make every test that uses it pass. */
#include "tests/support/test.h"

#include <signal.h>
#include <unistd.h>

#include "tests/support/processes.h"
#include "tests/support/program.h"
#include "tests/support/tempdir.h"
#include "tests/support/wait.h"

static struct program *shell_start(const char *script)
{
    return program_start((const char *const[]){"sh", "-c", script, NULL}, NULL);
}

/* Output and exit status of a program arrive. */
MOB_TEST(program_captures_output_and_status)
{
    struct program *program = shell_start("echo out; echo err >&2; exit 3");
    assert_int_equal(program_wait(program, 5000), 3);
    assert_string_equal(program_stdout(program), "out\n");
    assert_string_equal(program_stderr(program), "err\n");
    program_destroy(program);
}

/* A program that does not end is killed when its time is over, and what it had daemonised with it.
 */
MOB_TEST(program_kills_the_whole_tree_at_its_time_limit)
{
    struct program *program =
        shell_start("(setsid tail -f /dev/null &); echo ready; exec tail -f /dev/null");
    assert_true(wait_until(strcmp(program_stdout(program), "ready\n") == 0, 5000));
    assert_true(wait_until(program_others(program) == 1, 5000));
    assert_int_equal(program_wait(program, 50), -1);
    assert_int_equal(program_others(program), 0);
    program_destroy(program);
}

/* A signal that ends a program is told apart from an exit. */
MOB_TEST(program_reports_the_signal)
{
    struct program *program = shell_start("exec tail -f /dev/null");
    program_signal(program, SIGTERM);
    assert_int_equal(program_wait(program, 5000), 128 + SIGTERM);
    program_destroy(program);
}

/* SIGINT ends a program also when the one that starts it ignores it, as in the background of a
 * shell. */
MOB_TEST(program_can_be_interrupted)
{
    struct sigaction before;
    sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_IGN}, &before);
    struct program *program = shell_start("echo ready; exec tail -f /dev/null");
    sigaction(SIGINT, &before, NULL);
    assert_true(wait_until(strcmp(program_stdout(program), "ready\n") == 0, 5000));
    program_signal(program, SIGINT);
    assert_int_equal(program_wait(program, 5000), 128 + SIGINT);
    program_destroy(program);
}

/* The variables given to a program are in its environment. */
MOB_TEST(program_gets_its_environment)
{
    const char *const env[] = {"MOBULA_ADDRESS=ipc:///x", NULL};
    struct program *program =
        program_start((const char *const[]){"printenv", "MOBULA_ADDRESS", NULL}, env);
    assert_int_equal(program_wait(program, 5000), 0);
    assert_string_equal(program_stdout(program), "ipc:///x\n");
    program_destroy(program);
}

/* Grandchildren count as descendants, and are found by name. */
MOB_TEST(processes_finds_descendants)
{
    struct program *program = shell_start("sh -c 'tail -f /dev/null; true'; true");
    pid_t pid = program_pid(program);
    assert_true(wait_until(processes_count(pid) == 2, 5000));
    assert_true(wait_until(processes_find(pid, "tail") > 0, 5000));
    assert_int_equal(processes_find(pid, "mobula"), 0);
    assert_true(processes_pss_bytes(pid) > 4096);
    assert_true(processes_cpu_ms(pid) >= 0);
    program_destroy(program);
    assert_false(processes_alive(pid));
    assert_int_equal(processes_pss_bytes(pid), -1);
}

/* A condition that never holds ends the wait at its time. */
MOB_TEST(wait_until_gives_up)
{
    uint64_t before_ns = wait_now_ns();
    assert_false(wait_until(false, 20));
    assert_true(wait_now_ns() - before_ns >= 20 * 1000000u);
}

/* A temporary directory goes away with what is in it. */
MOB_TEST(tempdir_is_removed_with_its_contents)
{
    const char *dir = tempdir_create();
    char *path = tempdir_path(dir, "file");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    tempdir_remove(dir);
    assert_int_equal(access(dir, F_OK), -1);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_captures_output_and_status),
        cmocka_unit_test(program_kills_the_whole_tree_at_its_time_limit),
        cmocka_unit_test(program_reports_the_signal),
        cmocka_unit_test(program_can_be_interrupted),
        cmocka_unit_test(program_gets_its_environment),
        cmocka_unit_test(processes_finds_descendants),
        cmocka_unit_test(wait_until_gives_up),
        cmocka_unit_test(tempdir_is_removed_with_its_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
