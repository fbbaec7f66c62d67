/* api_failures.c: tasks that fail, crash, exit, are killed, and what comes of those that depend on
 * them. */
#include "tests/programs/check.h"

#include <signal.h>

MOB_TASK(int, plus_one, (int, x))
{
    return x + 1;
}

MOB_TASK(int, refuses, (int, x))
{
    if (x < 0)
        return mob_fail(7, "no such thing as %d", x), 0; /* line of the place */
    return x;
}

static const int refuses_line = __LINE__ - 4;

/* It still works after what was wrong. */
static void works(void)
{
    int x;
    for (int i = 0; i < 10; i++)
        CHECK(mob_take(mob_remote(plus_one, i), &x, SOON) == MOB_OK && x == i + 1);
}

/* ---- mob_fail ---- */

static void chain(void)
{
    START(.cpus = 2);
    int x;
    char place[64];
    snprintf(place, sizeof place, "api_failures.c:%d", refuses_line);
    MOB_REF(int) failed = mob_remote(refuses, -5), link = mob_copy(failed);
    CHECK_FAILS(mob_get(failed, &x, SOON), MOB_ETASKFAILED, "no such thing as -5");
    CHECK(mob_last_error()->user_code == 7 && mob_last_error()->root_code == MOB_ETASKFAILED);
    CHECK(strstr(mob_last_error()->text, place) != NULL &&
          strstr(mob_last_error()->text, "refuses") != NULL);
    for (int i = 0; i < 3; i++)
        link = mob_remote(plus_one, mob_move(link));
    CHECK_FAILS(mob_get(link, &x, SOON), MOB_EDEPENDENCY, "no such thing as -5");
    struct mob_error err = *mob_last_error();
    CHECK(err.user_code == 7 && err.root_code == MOB_ETASKFAILED &&
          strstr(err.text, place) != NULL);
    unsigned causes = 0;
    for (const char *at = err.text; (at = strchr(at, '\n')) != NULL; at++)
        causes++;
    CHECK(causes == 3); /* a line for each link between */
    /* The same after it has ended, through a wait, and through a list. */
    MOB_REF(int)
    refs[3] = {mob_remote(plus_one, 1), mob_remote(plus_one, failed), mob_remote(plus_one, 3)};
    bool ready[3];
    int all[3];
    CHECK(mob_wait(refs, 3, 3, SOON, ready) == MOB_OK && ready[1]);
    CHECK_FAILS(mob_get_all(refs, 3, all, SOON), MOB_EDEPENDENCY, "no such thing as -5");
    CHECK(mob_get(refs[2], &x, 0) == MOB_OK && x == 4);
    works();
}

/* A chain of a thousand dependents ends, and its error still says where it began. */
static void long_chain(void)
{
    START(.cpus = 2);
    int x;
    MOB_REF(int) link = mob_remote(refuses, -6);
    for (int i = 0; i < 1000; i++)
        link = mob_remote(plus_one, mob_move(link));
    CHECK(mob_get(link, &x, SOON) == MOB_EDEPENDENCY);
    CHECK(mob_last_error()->user_code == 7 && mob_last_error()->root_code == MOB_ETASKFAILED);
    CHECK(strstr(mob_last_error()->text, "no such thing as -6") != NULL);
    works();
}

MOB_TASK(int, asks, (int, x))
{
    int y = 0;
    if (mob_take(mob_remote(refuses, x), &y, SOON) != MOB_OK)
        return mob_fail(8, "refuses said: %s", mob_last_error()->text), 0;
    return y;
}

static void nested(void)
{
    START(.cpus = 1);
    int x;
    CHECK(mob_take(mob_remote(asks, 5), &x, SOON) == MOB_OK && x == 5);
    CHECK_FAILS(mob_take(mob_remote(asks, -5), &x, SOON), MOB_ETASKFAILED, "no such thing as -5");
    CHECK(mob_last_error()->user_code == 8);
}

/* ---- calls that cannot be made ---- */

static int runs_not(struct mob_task *task)
{
    (void)task;
    return MOB_OK;
}

static void refused(void)
{
    START(.cpus = 1);
    int x;
    struct mob_error err;
    /* An integer that does not fit. */
    CHECK_FAILS(mob_take(mob_remote(plus_one, INT64_C(1) << 40), &x, SOON), MOB_EINVAL, "plus_one");
    /* Registered in the driver alone, after its workers were made. */
    const struct mob_function *f =
        mob_function_register("nobody", "()int32", 0, 1, runs_not, NULL, &err);
    CHECK(f != NULL);
    struct mob_id id;
    struct mob_value value;
    CHECK(mob_submit(&(struct mob_call){.function = f, .file = __FILE__, .line = __LINE__}, &id,
                     &err) == MOB_OK);
    int rc = mob_get_value(id, &value, SOON, &err);
    if (rc != MOB_ENOFUNCTION || strstr(err.text, "nobody") == NULL)
        fprintf(stderr, "%s: %s\n", mob_error_name(rc), err.text), exit(1);
    CHECK(mob_function_register("nobody", "()int32", 0, 1, runs_not, NULL, &err) == NULL &&
          err.code == MOB_EDUPLICATE);
    works();
}

/* ---- workers that end ---- */

/* On the page that nobody has; NULL itself would be reported by a sanitizer before it crashes. */
static int *volatile nowhere = (int *)8;

/* Ends its process in some way, in each run or, with a file, only when the file is not there yet.
 */
MOB_TASK(int, ends, (mob_text, how), (mob_text, once))
{
    if (once != NULL && access(once, F_OK) == 0)
        return 42;
    if (once != NULL)
        fclose(fopen(once, "w"));
    fprintf(stderr, "last words of %s\n", how);
    if (strcmp(how, "null") == 0)
        *nowhere = 1;
    else if (strcmp(how, "abort") == 0)
        abort();
    else if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    else if (strcmp(how, "exit") == 0)
        exit(3);
    else if (strcmp(how, "_exit") == 0)
        _exit(0);
    return 0;
}

static void once(const char *how)
{
    char path[256];
    int x = 0;
    snprintf(path, sizeof path, "%s/mobula-once-%d",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", getpid());
    unlink(path);
    CHECK(mob_take(mob_remote(ends, (mob_text)how, (mob_text)path), &x, SOON) == MOB_OK && x == 42);
    unlink(path);
}

static void crash(void)
{
    START(.cpus = 2, .quiet = 1);
    int x;
    MOB_REF(int)
    r = mob_remote(ends, (mob_text) "null", (mob_text)NULL), after = mob_remote(plus_one, r);
    CHECK_FAILS(mob_get(r, &x, SOON), MOB_EWORKERDIED, "SIGSEGV");
    CHECK(strstr(mob_last_error()->text, "ends") != NULL);
    CHECK(strstr(mob_last_error()->text, "last words of null") != NULL);
    CHECK_FAILS(mob_get(after, &x, SOON), MOB_EDEPENDENCY, "SIGSEGV");
    CHECK(mob_last_error()->root_code == MOB_EWORKERDIED);
    CHECK_FAILS(mob_take(mob_remote(ends, (mob_text) "abort", (mob_text)NULL), &x, SOON),
                MOB_EWORKERDIED, "SIGABRT");
    CHECK_FAILS(mob_take(mob_remote(ends, (mob_text) "kill", (mob_text)NULL), &x, SOON),
                MOB_EWORKERDIED, "SIGKILL");
    works();
}

static void exits(void)
{
    START(.cpus = 2, .quiet = 1);
    int x;
    CHECK_FAILS(mob_take(mob_remote(ends, (mob_text) "exit", (mob_text)NULL), &x, SOON),
                MOB_EWORKERDIED, "exit");
    CHECK(strstr(mob_last_error()->text, "3") != NULL &&
          strstr(mob_last_error()->text, "last words of exit") != NULL);
    CHECK_FAILS(mob_take(mob_remote(ends, (mob_text) "_exit", (mob_text)NULL), &x, SOON),
                MOB_EWORKERDIED, "exit");
    works();
}

static void again(void)
{
    START(.cpus = 2, .quiet = 1);
    once("null");
    once("kill");
    once("exit");
    works();
    /* Not when it says that it must not be. */
    int x;
    char path[256];
    snprintf(path, sizeof path, "%s/mobula-no-%d",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", getpid());
    CHECK_FAILS(mob_take(mob_remote_with(MOB_OPTIONS(.retries = MOB_NO_RETRIES), ends,
                                         (mob_text) "kill", (mob_text)path),
                         &x, SOON),
                MOB_EWORKERDIED, "SIGKILL");
    unlink(path);
}

/* ---- killed from outside ---- */

/* A worker that has run a task ignores SIGUSR2, which the test can see. */
MOB_TASK(int64_t, twice, (int64_t, x), (int, us))
{
    sigaction(SIGUSR2, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    usleep((useconds_t)us);
    return 2 * x;
}

/* The test kills workers from when this says that they run. */
static void killed(void)
{
    enum { N = 500 };
    static MOB_REF(int64_t) refs[N];
    static int64_t results[N];
    START(.cpus = 2, .quiet = 1);
    for (int i = 0; i < N; i++)
        refs[i] = mob_remote_with(MOB_OPTIONS(.retries = 50), twice, i, 10000);
    puts("running");
    fflush(stdout);
    CHECK(mob_get_all(refs, N, results, 3 * SOON) == MOB_OK);
    for (int i = 0; i < N; i++)
        CHECK(results[i] == 2 * i);
    puts("done");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"chain", chain},     {"long_chain", long_chain}, {"nested", nested},
        {"refused", refused}, {"crash", crash},           {"exits", exits},
        {"again", again},     {"killed", killed},         {NULL, NULL},
    };
    return check_main(&argc, &argv, cases);
}
