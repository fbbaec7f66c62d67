/* How drivers begin and end. The programs are tests/programs/api_life.c and options.c. */
#include "tests/support/test.h"

#include <signal.h>

#include "tests/support/processes.h"
#include "tests/support/user.h"
#include "tests/support/wait.h"

/* The library changes no signal action and no mask, and leaves no child. */
MOB_TEST(signals_belong_to_the_program)
{
    struct program *p = user_start("api_life", "signals", NULL);
    assert_int_equal(program_wait(p, 30000), 0);
    assert_string_equal(program_stdout(p), "");
    assert_string_equal(program_stderr(p), "");
    user_ends(p, 0);
}

/* After fork calls in the child are MOB_EFORKED, its exit is harmless, and the parent goes on. */
MOB_TEST(fork_in_a_driver)
{
    user_runs("api_life", "forks");
}

/* Before mob_init, after mob_shutdown and in a second mob_init calls say so. */
MOB_TEST(calls_out_of_order)
{
    user_runs("api_life", "order");
}

/* A thread that waits while another shuts down gets MOB_ESHUTDOWN. */
MOB_TEST(shutdown_under_a_waiting_thread)
{
    user_runs("api_life", "under_way");
}

static void ends_with(const char *how, int signal, int status)
{
    struct program *p = user_start("api_life", "ends", how);
    assert_true(wait_until(strstr(program_stdout(p), "running") != NULL, 20000));
    if (signal != 0)
        assert_true(program_others(p) >= 5); /* head, node, zygote, workers */
    if (signal != 0)
        program_signal(p, signal);
    user_ends(p, status);
}

/* However a driver ends, all of its cluster is gone within 2 s, tasks that hang included. */
MOB_TEST(all_gone_after_return)
{
    ends_with("return", 0, 0);
}

/* The same for exit. */
MOB_TEST(all_gone_after_exit)
{
    ends_with("exit", 0, 0);
    ends_with("_exit", 0, 0);
}

/* The same for abort. */
MOB_TEST(all_gone_after_abort)
{
    ends_with("abort", 0, 128 + SIGABRT);
}

/* The same for mob_shutdown while tasks hang. */
MOB_TEST(all_gone_after_shutdown)
{
    ends_with("shutdown", 0, 0);
}

/* The same for kill -9, SIGTERM and SIGINT. */
MOB_TEST(all_gone_after_kill)
{
    ends_with("hang", SIGKILL, 128 + SIGKILL);
    ends_with("hang", SIGTERM, 128 + SIGTERM);
    ends_with("hang", SIGINT, 128 + SIGINT);
}

/* Runs the case that prints how mob_init fails, and returns what it printed. */
static void start_fails(const char *address, const char *const env[], const char *code,
                        const char *words)
{
    struct program *p = user_start_with("api_life", "starts", address, env);
    uint64_t before = wait_now_ns();
    assert_int_equal(program_wait(p, 20000), 0);
    if (strstr(program_stdout(p), code) == NULL || strstr(program_stdout(p), words) == NULL)
        fail_msg("not %s with \"%s\": %s", code, words, program_stdout(p));
    assert_true(wait_now_ns() - before < (uint64_t)wait_scaled_ms(5000) * 1000000);
    assert_string_equal(program_stderr(p), "");
    user_ends(p, 0);
}

/* Programs that are nowhere to be found: the error lists the places that were tried. A
 * MOBULA_LIBEXEC that has them not is no obstacle as long as they lie beside the library. */
MOB_TEST(programs_not_found)
{
    start_fails(NULL, (const char *const[]){"MOBULA_LIBEXEC=/nowhere/at/all", NULL}, "MOB_OK", "");
}

/* No head at the address is MOB_ENOHEAD within the time-out, from the configuration and from the
 * environment. */
MOB_TEST(no_head_at_the_address)
{
    start_fails("ipc:///tmp/mobula-no-such-head", NULL, "MOB_ENOHEAD", "/tmp/mobula-no-such-head");
    start_fails(NULL, (const char *const[]){"MOBULA_ADDRESS=ipc:///tmp/mobula-none", NULL},
                "MOB_ENOHEAD", "mobula-none");
    start_fails("nonsense", NULL, "MOB_E", "nonsense");
}

/* What stands before mob_init runs in the workers too and does them no harm; what it prints there
 * goes nowhere. */
MOB_TEST(options_before_init)
{
    char *path = user_path("tests/programs/options");
    struct program *p = program_start((const char *const[]){path, "-f", "3", "5", NULL}, NULL);
    assert_int_equal(program_wait(p, 20000), 0);
    assert_string_equal(program_stdout(p), "constructor\nreading 4 arguments\n22\n");
    assert_string_equal(program_stderr(p), "");
    user_ends(p, 0);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_belong_to_the_program),
        cmocka_unit_test(fork_in_a_driver),
        cmocka_unit_test(calls_out_of_order),
        cmocka_unit_test(shutdown_under_a_waiting_thread),
        cmocka_unit_test(all_gone_after_return),
        cmocka_unit_test(all_gone_after_exit),
        cmocka_unit_test(all_gone_after_abort),
        cmocka_unit_test(all_gone_after_shutdown),
        cmocka_unit_test(all_gone_after_kill),
        cmocka_unit_test(programs_not_found),
        cmocka_unit_test(no_head_at_the_address),
        cmocka_unit_test(options_before_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
