/* The n-th allocation of the library fails in a driver, for all n: each call works or is
 * MOB_ENOMEM; none aborts, hangs or leaves anything behind. This program is linked with the
 * archives, and is driver and workers itself. */
#include "tests/support/test.h"

#include <mobula.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "tests/support/processes.h"
#include "tests/support/wait.h"

enum {
    SOON = 20000,
    STEPS_MAX = 3000,
    START_STEPS = 30,
    STATUS_RIGHT = 0,
    STATUS_NO_MEMORY = 3,
    STATUS_WRONG = 9
};

MOB_TASK(int64_t, add, (int64_t, a), (int64_t, b))
{
    return a + b;
}

MOB_TASK(mob_text, twice, (mob_text, text))
{
    return mob_format("%s%s", text, text);
}

static int main_argc;
static char **main_argv;

static bool tolerated(int rc)
{
    int root = mob_last_error()->root_code;
    if (rc == MOB_OK || rc == MOB_ENOMEM || root == MOB_ENOMEM)
        return true;
    fprintf(stderr, "%s: %s\n", mob_error_name(rc), mob_last_error()->text);
    return false;
}

/* Some of everything; STATUS_*. */
static int use(void)
{
    enum { N = 20 };
    bool all_right = true;
    MOB_REF(int64_t) refs[N], put = mob_put(int64_t, 5);
    static char large[200000];
    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < N; i++)
        refs[i] = i % 2 == 0 ? mob_remote(add, put, i) : mob_remote(add, refs[i - 1], i);
    MOB_REF(mob_text) text = mob_remote(twice, mob_move(mob_put(mob_text, (mob_text)large)));
    int64_t all[N];
    bool ready[N];
    int rc = mob_wait(refs, N, N, SOON, ready);
    bool wrong = !tolerated(rc);
    all_right &= rc == MOB_OK;
    rc = mob_get_all(refs, N, all, SOON);
    wrong |= !tolerated(rc);
    all_right &= rc == MOB_OK;
    for (int i = 0; rc == MOB_OK && i < N; i++)
        wrong |= all[i] != (i % 2 == 0 ? 5 + i : 5 + 2 * i - 1);
    mob_text back;
    rc = mob_get(text, &back, SOON);
    wrong |= !tolerated(rc) || (rc == MOB_OK && strlen(back) != 2 * (sizeof large - 1));
    all_right &= rc == MOB_OK;
    for (int i = 0; i < N; i++)
        mob_drop(refs[i]);
    mob_drop(text);
    mob_drop(put);
    return wrong ? STATUS_WRONG : all_right ? STATUS_RIGHT : STATUS_NO_MEMORY;
}

/* In a child: a whole driver, in which the n-th allocation after its start, or of its start, fails.
 */
static int driver(uint64_t n, bool at_start)
{
    struct mob_config config = MOB_CONFIG_INIT;
    config.cpus = 1;
    config.quiet = 1;
    if (at_start)
        memory_fail_at(n);
    if (mob_init(&main_argc, &main_argv, &config) != MOB_OK) {
        bool fine = tolerated(mob_last_error()->code);
        memory_fail_at(0);
        return fine ? STATUS_NO_MEMORY : STATUS_WRONG;
    }
    if (!at_start)
        memory_fail_at(n);
    int status = use();
    bool reached = memory_count() >= n;
    memory_fail_at(0);
    mob_shutdown();
    return status == STATUS_RIGHT && reached ? STATUS_NO_MEMORY : status;
}

static int run_child(uint64_t n, bool at_start)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(driver(n, at_start));
    int status = -1;
    bool ended = wait_until(waitpid(pid, &status, WNOHANG) == pid, 2 * SOON);
    if (!ended) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        fail_msg("allocation %llu: the driver hangs", (unsigned long long)n);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) == STATUS_WRONG)
        fail_msg("allocation %llu: status 0x%x", (unsigned long long)n, (unsigned)status);
    return WEXITSTATUS(status);
}

/* Each allocation that mob_init makes may fail: it says so, and nothing is left. It makes fewer
 * than those tried. */
MOB_TEST(allocations_of_the_start)
{
    for (uint64_t n = 1; n <= START_STEPS; n++)
        run_child(n, true);
}

/* Each allocation of puts, calls, waits and gets may fail. */
MOB_TEST(allocations_of_calls)
{
    uint64_t n = 1;
    while (n < STEPS_MAX && run_child(n, false) != STATUS_RIGHT)
        n++;
    print_message("%llu allocations\n", (unsigned long long)n - 1);
    assert_true(n > 20 && n < STEPS_MAX);
}

int main(int argc, char **argv)
{
    main_argc = argc;
    main_argv = argv;
    if (mob_is_worker())
        return mob_init(&argc, &argv, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_of_the_start),
        cmocka_unit_test(allocations_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
