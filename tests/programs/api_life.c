/* api_life.c: how a driver begins and ends, and what the library leaves alone in between. */
#include "tests/programs/check.h"

#include <signal.h>
#include <sys/wait.h>

MOB_TASK(int, plus_one, (int, x))
{
    return x + 1;
}

/* Sleeps long: it is for tests that end the driver under it. */
MOB_TASK(int, hangs, (int, seconds))
{
    sleep((unsigned)seconds);
    return 0;
}

static void works(void)
{
    int x;
    for (int i = 0; i < 10; i++)
        CHECK(mob_take(mob_remote(plus_one, i), &x, SOON) == MOB_OK && x == i + 1);
}

/* ---- what belongs to the program ---- */

static void on_signal(int number)
{
    (void)number;
}

static void actions_read(struct sigaction *actions, sigset_t *mask)
{
    for (int i = 1; i < NSIG; i++) {
        memset(&actions[i], 0, sizeof actions[i]);
        sigaction(i, NULL, &actions[i]);
    }
    sigemptyset(mask);
    sigprocmask(SIG_BLOCK, NULL, mask);
}

static bool actions_same(const struct sigaction *a, const struct sigaction *b)
{
    for (int i = 1; i < NSIG; i++)
        if (a[i].sa_handler != b[i].sa_handler || a[i].sa_flags != b[i].sa_flags)
            return fprintf(stderr, "signal %d has changed\n", i), false;
    return true;
}

static bool masks_same(const sigset_t *a, const sigset_t *b)
{
    for (int i = 1; i < NSIG; i++)
        if (sigismember(a, i) != sigismember(b, i))
            return fprintf(stderr, "the mask of signal %d has changed\n", i), false;
    return true;
}

static void signals(void)
{
    static struct sigaction before[NSIG], after[NSIG];
    sigset_t mask, mask_after;
    struct sigaction own = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &own, NULL);
    sigaction(SIGCHLD, &own, NULL);
    actions_read(before, &mask);
    START(.cpus = 2);
    actions_read(after, &mask_after);
    CHECK(actions_same(before, after));
    CHECK(masks_same(&mask, &mask_after));
    works();
    mob_shutdown();
    actions_read(after, &mask_after);
    CHECK(actions_same(before, after));
    CHECK(masks_same(&mask, &mask_after));
    CHECK(waitpid(-1, NULL, WNOHANG) < 0); /* no child of ours is left either */
}

/* ---- fork ---- */

static void forks(void)
{
    START(.cpus = 2);
    MOB_REF(int) before = mob_remote(plus_one, 41);
    int x;
    CHECK(mob_get(before, &x, SOON) == MOB_OK);
    pid_t child = fork();
    if (child == 0) {
        struct mob_error err;
        struct mob_value value;
        int wrong = 0;
        wrong += mob_get(before, &x, 0) != MOB_EFORKED;
        wrong += mob_get(mob_remote(plus_one, 1), &x, 0) == MOB_OK;
        wrong += mob_last_error()->code == MOB_OK;
        wrong += mob_get_value(mob_id_of(before), &value, 0, &err) != MOB_EFORKED ||
                 err.code != MOB_EFORKED;
        mob_drop(before);
        mob_shutdown();
        exit(wrong == 0 ? 0 : 9); /* with all that exit does */
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(mob_get(before, &x, 0) == MOB_OK && x == 42);
    works();
    child = fork();
    if (child == 0)
        execl("/bin/true", "true", (char *)NULL);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    works();
}

/* ---- before and after ---- */

static void order(void)
{
    int x;
    MOB_REF(int) early = mob_remote(plus_one, 1);
    CHECK(mob_get(early, &x, 0) < 0);
    CHECK_FAILS(mob_get(mob_remote(plus_one, 1), &x, 0), MOB_ENOTINIT, "mob_init");
    mob_shutdown();
    START(.cpus = 1);
    CHECK_FAILS(mob_init(check_argc, check_argv, NULL), MOB_EALREADY, "mob_init");
    works();
    MOB_REF(int) r = mob_remote(plus_one, 1);
    CHECK(mob_get(r, &x, SOON) == MOB_OK);
    mob_shutdown();
    struct mob_error err;
    struct mob_value value;
    struct mob_id id;
    bool ready;
    CHECK(mob_get(r, &x, 0) == MOB_ESHUTDOWN);
    CHECK(mob_get_value(mob_id_of(r), &value, 0, &err) == MOB_ESHUTDOWN &&
          err.code == MOB_ESHUTDOWN);
    CHECK(mob_wait(&r, 1, 1, 0, &ready) == MOB_ESHUTDOWN);
    CHECK(mob_put_pieces(&(struct mob_piece){"x", 1}, 1, &id, &err) == MOB_ESHUTDOWN);
    CHECK(mob_get(mob_remote(plus_one, 1), &x, 0) < 0 && mob_completion_fd(&err) == MOB_ESHUTDOWN);
    mob_drop(r);
    mob_shutdown();
}

/* Threads that wait when another one shuts down are told. */
#include <pthread.h>

static void *waits(void *unused)
{
    int x;
    (void)unused;
    int rc = mob_get(mob_remote(hangs, 100), &x, MOB_FOREVER);
    if (rc != MOB_ESHUTDOWN)
        fprintf(stderr, "%s\n", mob_last_error()->text), exit(1);
    return NULL;
}

static void under_way(void)
{
    pthread_t thread;
    START(.cpus = 2);
    works();
    CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
    works();
    usleep(20000);
    mob_shutdown();
    pthread_join(thread, NULL);
}

/* ---- starting ---- */

/* Prints "CODE: text" of a start that fails; with an argument, that is the address. */
static void starts(void)
{
    int rc = mob_init(check_argc, check_argv,
                      &(const struct mob_config){
                          .size = sizeof(struct mob_config),
                          .start_timeout_ms = 500,
                          .address = check_argument()[0] != '\0' ? check_argument() : NULL});
    printf("%s: %s\n", mob_error_name(rc), mob_last_error()->text);
    if (rc == MOB_OK)
        works();
}

/* ---- ends ---- */

static void ends(void)
{
    const char *how = check_argument();
    START(.cpus = 2, .quiet = 1);
    works();
    MOB_REF(int) running = mob_remote(hangs, 100), more = mob_remote(hangs, 100);
    int x;
    CHECK(mob_get(running, &x, 50) == MOB_ETIMEDOUT && mob_get(more, &x, 0) == MOB_ETIMEDOUT);
    printf("running\n");
    fflush(stdout);
    if (strcmp(how, "exit") == 0)
        exit(0);
    else if (strcmp(how, "_exit") == 0)
        _exit(0);
    else if (strcmp(how, "abort") == 0)
        abort();
    else if (strcmp(how, "hang") == 0)
        pause();
    else if (strcmp(how, "exec") == 0)
        execl("/bin/sleep", "sleep", "2", (char *)NULL);
    /* "return" does */
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"signals", signals}, {"forks", forks}, {"order", order}, {"under_way", under_way},
        {"starts", starts},   {"ends", ends},   {NULL, NULL},
    };
    if (argc > 2 && strcmp(argv[2], "return") == 0 && !mob_is_worker()) { /* without mob_shutdown */
        check_argc = &argc;
        check_argv = &argv;
        ends();
        return 0;
    }
    return check_main(&argc, &argv, cases);
}
