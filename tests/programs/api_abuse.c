/* api_abuse.c: tasks that do what a task must not, and what users do by mistake. */
#include "tests/programs/check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

MOB_TASK(int64_t, square, (int64_t, x))
{
    return x * x;
}

/* It still works after what was wrong. */
static void works(void)
{
    int64_t x;
    for (int64_t i = 0; i < 50; i++)
        CHECK(mob_take(mob_remote(square, i), &x, SOON) == MOB_OK && x == i * i);
}

/* ---- threads of a task wait, and the task only for them ---- */

static void *summand(void *arg)
{
    int64_t *x = arg;
    return mob_take(mob_remote(square, *x), x, MOB_FOREVER) == MOB_OK ? arg : NULL;
}

MOB_TASK(int64_t, by_threads, (int64_t, n))
{
    pthread_t threads[4];
    int64_t x[4], sum = 0;
    for (int i = 0; i < 4; i++) {
        x[i] = n + i;
        if (pthread_create(&threads[i], NULL, summand, &x[i]) != 0)
            return mob_fail(1, "no thread"), 0;
    }
    for (int i = 0; i < 4; i++) {
        void *done = NULL;
        pthread_join(threads[i], &done);
        if (done == NULL)
            mob_fail(2, "%s", "a thread got no answer");
        sum += x[i];
    }
    return sum;
}

/* As many such tasks as there are cpus: each must lend its own. */
static void joined(void)
{
    enum { N = 8 };
    MOB_REF(int64_t) refs[N];
    int64_t sums[N];
    START(.cpus = 2);
    for (int i = 0; i < N; i++)
        refs[i] = mob_remote(by_threads, 1);
    CHECK(mob_get_all(refs, N, sums, SOON) == MOB_OK);
    for (int i = 0; i < N; i++)
        CHECK(sums[i] == 1 + 4 + 9 + 16);
    works();
}

/* ---- a wait that outlives its task ---- */

MOB_TASK(int64_t, sleepy, (int64_t, ms))
{
    usleep((useconds_t)ms * 1000);
    return ms;
}

static void *waits_long(void *arg)
{
    (void)arg;
    int64_t x;
    int rc = mob_take(mob_remote(sleepy, 300), &x, MOB_FOREVER);
    (void)rc; /* the reference ends with its task */
    return NULL;
}

MOB_TASK(int64_t, leaves_a_thread, (int64_t, x))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, waits_long, NULL) != 0)
        return mob_fail(1, "no thread"), 0;
    pthread_detach(thread);
    usleep(20000);
    return x;
}

static void outlived(void)
{
    int64_t x;
    START(.cpus = 1);
    for (int64_t i = 0; i < 5; i++)
        CHECK(mob_take(mob_remote(leaves_a_thread, i), &x, SOON) == MOB_OK && x == i);
    works();
}

/* ---- tasks that do not come back as they went ---- */

MOB_TASK(int64_t, forks_and_returns, (int64_t, x))
{
    return fork() >= 0 ? x : -1;
}

static void forked(void)
{
    int64_t x;
    START(.cpus = 2);
    for (int64_t i = 0; i < 4; i++)
        CHECK(mob_take(mob_remote(forks_and_returns, i), &x, SOON) == MOB_OK && x == i);
    works();
}

MOB_TASK(int64_t, ends_its_thread, (int64_t, x))
{
    if (x > 0)
        pthread_exit(NULL);
    return x;
}

MOB_TASK(int64_t, becomes_another, (int64_t, x))
{
    if (x > 0)
        execl("/bin/sleep", "sleep", "1000", (char *)NULL);
    return x;
}

static void gone(void)
{
    int64_t x;
    START(.cpus = 2, .quiet = 1);
    CHECK_FAILS(mob_take(mob_remote(ends_its_thread, 1), &x, SOON), MOB_EWORKERDIED,
                "ended its thread");
    CHECK_FAILS(mob_take(mob_remote(becomes_another, 1), &x, SOON), MOB_EWORKERDIED,
                "by another program (exec)");
    works();
}

/* The parent of a worker is its zygote. */
MOB_TASK(int64_t, kills_its_zygote, (mob_text, once))
{
    if (unlink(once) == 0) {
        kill(getppid(), SIGKILL);
        pause();
    }
    return 1;
}

static void zygotes(void)
{
    char path[64] = "/tmp/mobula-abuse-XXXXXX";
    int64_t x;
    START(.cpus = 8, .quiet = 1);
    for (int i = 0; i < 5; i++) {
        MOB_REF(int64_t) beside[40];
        memcpy(path + sizeof "/tmp/mobula-abuse-" - 1, "XXXXXX", 7);
        int fd = mkstemp(path);
        CHECK(fd >= 0);
        close(fd);
        for (int k = 0; k < 40; k++)
            beside[k] = mob_remote(sleepy, 2);
        CHECK(mob_take(mob_remote(kills_its_zygote, path), &x, SOON) == MOB_OK && x == 1);
        for (int k = 0; k < 40; k++)
            CHECK(mob_take(beside[k], &x, SOON) == MOB_OK && x == 2);
    }
    works();
}

/* ---- in a forked child of the driver nothing works, and says why ---- */

static void child(void)
{
    START(.cpus = 1);
    pid_t pid = fork();
    if (pid == 0) {
        int64_t x;
        int rc = mob_take(mob_remote(square, 2), &x, 100);
        if (rc == MOB_EFORKED && mob_init(NULL, NULL, NULL) == MOB_EFORKED)
            _exit(0);
        _exit(1);
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    works();
}

/* ---- a driver that may have few descriptors ---- */

static void descriptors(void)
{
    const struct rlimit few = {64, 64};
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    START(.cpus = 2);
    works();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"joined", joined},   {"outlived", outlived}, {"forked", forked},           {"gone", gone},
        {"zygotes", zygotes}, {"child", child},       {"descriptors", descriptors}, {NULL, NULL},
    };
    return check_main(&argc, &argv, cases);
}
