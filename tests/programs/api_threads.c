/* api_threads.c: many threads of one driver: each wakes for what it waits for, whoever reads the
 * rings. */
#include "tests/programs/check.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8, LARGE = 200000 };

MOB_TASK(uint32_t, next, (uint32_t, x))
{
    return x + 1;
}

MOB_TASK(uint32_t, pauses, (uint32_t, us))
{
    usleep(us);
    return us;
}

MOB_TASK(size_t, length, (mob_bytes, bytes))
{
    return bytes.size;
}

MOB_TASK(uint64_t, started, (int, unused))
{
    (void)unused;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void threads_run(pthread_t *threads, unsigned count, void *(*run)(void *))
{
    for (uintptr_t i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, run, (void *)i) == 0);
}

static void threads_join(pthread_t *threads, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* ---- all at once ---- */

static MOB_REF(uint32_t) shared;

/* Many answers of which any will do, more short ones than a ring holds, a value in the store. */
static void round_of_all(uint32_t n, const void *large)
{
    enum { BATCH = 40 };
    MOB_REF(uint32_t)
    refs[BATCH], chain = mob_remote(next, n), slow = mob_remote(pauses, n % 7 * 500);
    uint32_t x;
    bool ready[BATCH];
    CHECK(mob_take(mob_remote(next, mob_move(chain)), &x, SOON) == MOB_OK && x == n + 2);
    for (uint32_t i = 0; i < BATCH; i++)
        refs[i] = mob_remote(next, n + i);
    CHECK(mob_wait(refs, BATCH, n % BATCH, SOON, ready) == MOB_OK);
    int rc = mob_get(slow, &x, n % 3);
    CHECK(rc == MOB_OK || rc == MOB_ETIMEDOUT);
    for (uint32_t i = 0; i < BATCH; i++)
        CHECK(mob_take(refs[i], &x, SOON) == MOB_OK && x == n + i + 1);
    if (n % 8 == 0) {
        size_t size;
        CHECK(mob_take(mob_remote(length, mob_bytes_of(large, LARGE)), &size, SOON) == MOB_OK &&
              size == LARGE);
    }
    CHECK(mob_take(slow, &x, SOON) == MOB_OK);
}

static void *worker_of_all(void *number)
{
    uint32_t first = (uint32_t)(uintptr_t)number * 1000, x;
    uint32_t rounds = (uint32_t)atoi(check_argument());
    void *large = calloc(1, LARGE);
    CHECK(large != NULL && mob_get(shared, &x, SOON) == MOB_OK && x == 20000);
    for (uint32_t i = 0; i < rounds; i++)
        round_of_all(first + i, large);
    free(large);
    return NULL;
}

static void all(void)
{
    pthread_t threads[THREADS];
    START(.cpus = 2);
    shared = mob_remote(pauses, 20000);
    threads_run(threads, THREADS, worker_of_all);
    threads_join(threads, THREADS);
    mob_drop(shared);
}

/* ---- the library's own thread ---- */

static void *waits_shared(void *unused)
{
    uint32_t x;
    (void)unused;
    CHECK(mob_get(shared, &x, SOON) == MOB_OK);
    return NULL;
}

/* Two threads are woken by one answer while the library's thread is parked; after them nobody waits
 * in a call, and the descriptor must still become readable. */
static void parked(void)
{
    pthread_t threads[2];
    struct mob_error err;
    struct mob_id done;
    START(.cpus = 2);
    struct pollfd p = {.fd = mob_completion_fd(&err), .events = POLLIN};
    for (int i = 0; i < 20; i++) {
        shared = mob_remote(pauses, 20000);
        threads_run(threads, 2, waits_shared);
        threads_join(threads, 2);
        mob_drop(shared);
        MOB_REF(uint32_t) later = mob_remote(pauses, 5000);
        CHECK(mob_completion_watch(mob_id_of(later), &err) == MOB_OK);
        CHECK(poll(&p, 1, SOON) == 1 && mob_completion_take(&done, 1) == 1);
        mob_drop(later);
    }
}

static void compute(long ns)
{
    struct timespec from, t;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &t);
    while ((t.tv_sec - from.tv_sec) * 1000000000 + t.tv_nsec - from.tv_nsec < ns);
}

/* Tasks start while the driver goes on submitting and never waits. */
static void busy(void)
{
    enum { TASKS = 20000, PAUSE_NS = 50000, EARLY_MIN = TASKS / 4 };
    static MOB_REF(uint64_t) refs[TASKS];
    uint64_t at, early = 0;
    START(.cpus = 2);
    CHECK(mob_take(mob_remote(started, 0), &at, SOON) == MOB_OK);
    for (int i = 0; i < TASKS; i++) {
        refs[i] = mob_remote(started, i);
        compute(PAUSE_NS);
    }
    uint64_t end = (uint64_t)check_now_ms();
    for (int i = 0; i < TASKS; i++) {
        CHECK(mob_take(refs[i], &at, SOON) == MOB_OK);
        early += at < end - 100;
    }
    printf("%d of %d began while the driver submitted\n", (int)early, TASKS);
    CHECK(early > EARLY_MIN);
}

MOB_TASK(int, prints, (int, ms))
{
    int64_t end = check_now_ms() + ms;
    while (check_now_ms() < end)
        for (int i = 0; i < 1000; i++)
            puts("a line like many others, one after the other, without any pause in between them");
    return 0;
}

static void slowly(const struct mob_output *o, void *user)
{
    (void)o;
    (void)user;
    compute(2000);
}

static atomic_bool printed;

static void *waits_prints(void *unused)
{
    int x;
    (void)unused;
    CHECK(mob_take(mob_remote(prints, 2000), &x, SOON) == MOB_OK);
    printed = true;
    return NULL;
}

/* While one thread is busy with all that comes, another one still gets in. */
static void crowded(void)
{
    enum { LATE_MS = 200 };
    pthread_t thread;
    int64_t longest = 0, calls = 0;
    START(.cpus = 2, .output = slowly);
    CHECK(pthread_create(&thread, NULL, waits_prints, NULL) == 0);
    while (!printed) {
        int64_t before = check_now_ms();
        mob_drop(mob_put(uint32_t, 1));
        int64_t took = check_now_ms() - before;
        longest = took > longest ? took : longest;
        calls++;
        usleep(1000);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    printf("the longest of %d calls took %d ms\n", (int)calls, (int)longest);
    CHECK(longest < LATE_MS);
}

/* ---- ends ---- */

static atomic_uint told;

static void *waits_long(void *number)
{
    uint32_t x;
    bool ready;
    MOB_REF(uint32_t) r = mob_remote(pauses, 30000000 + (uint32_t)(uintptr_t)number);
    int rc = (uintptr_t)number % 2 == 0 ? mob_get(r, &x, MOB_FOREVER)
                                        : mob_wait(&r, 1, 1, MOB_FOREVER, &ready);
    CHECK(rc == MOB_ESHUTDOWN || (rc == MOB_OK && ready));
    told++;
    return NULL;
}

static void *calls_much(void *unused)
{
    static char large[LARGE];
    uint32_t x;
    (void)unused;
    for (;;) {
        MOB_REF(mob_bytes) put = mob_put(mob_bytes, mob_bytes_of(large, LARGE));
        int rc = mob_get(mob_remote(next, 1), &x, MOB_FOREVER);
        mob_drop(put);
        if (rc != MOB_OK) {
            CHECK(rc == MOB_ESHUTDOWN);
            told++;
            return NULL;
        }
        CHECK(x == 2);
    }
}

/* Threads that wait, and some that call without end, when another one shuts down. */
static void shut(void)
{
    pthread_t threads[THREADS], callers[2];
    START(.cpus = 2);
    threads_run(threads, THREADS, waits_long);
    threads_run(callers, 2, calls_much);
    usleep(20000);
    mob_shutdown();
    threads_join(threads, THREADS);
    threads_join(callers, 2);
    CHECK(told == THREADS + 2);
}

/* The test kills the node; afterwards this process uses no cpu. */
static void bereft(void)
{
    uint32_t x;
    START(.cpus = 2, .quiet = 1);
    MOB_REF(uint32_t) r = mob_remote(pauses, 30000000);
    CHECK(mob_get(r, &x, 50) == MOB_ETIMEDOUT);
    puts("running");
    fflush(stdout);
    CHECK(mob_get(r, &x, SOON) == MOB_ENODEDIED);
    usleep(300000);
    clock_t before = clock();
    usleep(500000);
    int ms = (int)((clock() - before) * 1000 / CLOCKS_PER_SEC);
    printf("%d ms of cpu in 500\n", ms);
    CHECK(ms < 100);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"all", all},   {"parked", parked}, {"busy", busy}, {"crowded", crowded},
        {"shut", shut}, {"bereft", bereft}, {NULL, NULL},
    };
    return check_main(&argc, &argv, cases);
}
