/* api_nested.c: tasks that call tasks and wait for them, and threads that call at once. */
#include "tests/programs/check.h"

#include <pthread.h>
#include <stdatomic.h>

/* A plain count, in the file of this name, of the workers that have been: each appends a byte once.
 */
static char census[256];

MOB_TASK(int64_t, fib, (int64_t, n), (mob_text, file))
{
    static bool counted;
    if (!counted) {
        counted = true;
        FILE *f = fopen(file, "a");
        if (f != NULL) {
            fputc('w', f);
            fclose(f);
        }
    }
    if (n < 2)
        return n;
    int64_t a, b;
    MOB_REF(int64_t) x = mob_remote(fib, n - 1, file), y = mob_remote(fib, n - 2, file);
    if (mob_take(x, &a, MOB_FOREVER) != MOB_OK || mob_take(y, &b, MOB_FOREVER) != MOB_OK)
        return mob_fail(1, "%s", mob_last_error()->text), 0;
    return a + b;
}

static void recursion(void)
{
    int64_t x;
    START(.cpus = 1);
    snprintf(census, sizeof census, "%s/mobula-census-%d",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", getpid());
    unlink(census);
    MOB_REF(int64_t) r = mob_remote(fib, 18, (mob_text)census);
    CHECK(mob_take(r, &x, 3 * SOON) == MOB_OK && x == 2584);
    FILE *f = fopen(census, "r");
    CHECK(f != NULL);
    fseek(f, 0, SEEK_END);
    long workers = ftell(f);
    fclose(f);
    unlink(census);
    printf("%ld workers\n", workers);
    CHECK(workers >= 1 && workers < 30);
}

/* Each level waits in a worker of its own. */
MOB_TASK(int, deep, (int, n))
{
    int x = 0;
    if (n == 0)
        return 0;
    int rc = mob_take(mob_remote(deep, n - 1), &x, MOB_FOREVER);
    if (rc != MOB_OK)
        return mob_fail(rc == MOB_EWORKERSMAX ? 1 : 2, "%s", mob_last_error()->text), 0;
    return x + 1;
}

static void bounded(void)
{
    int x;
    START(.cpus = 1, .workers_max = 4);
    CHECK(mob_take(mob_remote(deep, 3), &x, SOON) == MOB_OK && x == 3);
    int64_t start = check_now_ms();
    MOB_REF(int) r = mob_remote(deep, 10);
    CHECK(mob_get(r, &x, SOON) != MOB_OK && mob_last_error()->code != MOB_ETIMEDOUT);
    CHECK(strstr(mob_last_error()->text, "EWORKERSMAX") != NULL ||
          strstr(mob_last_error()->text, "workers") != NULL);
    CHECK(check_now_ms() - start < SOON / 2);
    mob_drop(r);
    CHECK(mob_take(mob_remote(deep, 3), &x, SOON) == MOB_OK && x == 3);
}

/* Puts, waits and references in a task, from several threads of it. */
MOB_TASK(int64_t, half_sum, (int64_t, from), (int64_t, to))
{
    int64_t sum = 0;
    for (int64_t i = from; i < to; i++)
        sum += i;
    return sum;
}

struct part {
    int64_t from, to, sum;
    int rc;
};

static void *part_run(void *arg)
{
    struct part *p = arg;
    p->rc = mob_take(mob_remote(half_sum, p->from, p->to), &p->sum, SOON);
    return NULL;
}

MOB_TASK(int64_t, threads_inside, (int64_t, n))
{
    enum { PARTS = 4 };
    pthread_t threads[PARTS];
    struct part parts[PARTS];
    int64_t sum = 0;
    for (int i = 0; i < PARTS; i++) {
        parts[i] = (struct part){n * i / PARTS, n * (i + 1) / PARTS, 0, 0};
        if (pthread_create(&threads[i], NULL, part_run, &parts[i]) != 0)
            return -1;
    }
    for (int i = 0; i < PARTS; i++) {
        pthread_join(threads[i], NULL);
        if (parts[i].rc != MOB_OK)
            return -2;
        sum += parts[i].sum;
    }
    return sum;
}

static void inside(void)
{
    int64_t x;
    START(.cpus = 2);
    for (int i = 0; i < 20; i++)
        CHECK(mob_take(mob_remote(threads_inside, 1000), &x, SOON) == MOB_OK && x == 499500);
}

/* ---- threads of the driver ---- */

enum { THREADS = 8, CALLS = 2000, WINDOW = 20 };

MOB_TASK(uint64_t, mix, (uint64_t, a), (uint64_t, b))
{
    return a * 1000003u + b;
}

static void wrong(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, mob_last_error()->text);
    exit(1);
}

/* Calls one at a time, in windows, in chains, with waits and with short time-outs: each thread all
 * of them. */
static void *caller(void *arg)
{
    uint64_t self = (uint64_t)(uintptr_t)arg, x;
    for (uint64_t i = 0; i < CALLS / 10; i++)
        if (mob_take(mob_remote(mix, self, i), &x, SOON) != MOB_OK || x != self * 1000003u + i)
            wrong("one");
    for (uint64_t i = 0; i < CALLS; i += WINDOW) {
        MOB_REF(uint64_t) refs[WINDOW];
        uint64_t all[WINDOW];
        bool ready[WINDOW];
        for (uint64_t k = 0; k < WINDOW; k++)
            refs[k] = mob_remote(mix, self + i, k);
        while (mob_wait(refs, WINDOW, WINDOW / 2, 1, ready) == MOB_ETIMEDOUT)
            continue;
        if (mob_get_all(refs, WINDOW, all, SOON) != MOB_OK)
            wrong("many");
        for (uint64_t k = 0; k < WINDOW; k++) {
            if (all[k] != (self + i) * 1000003u + k)
                wrong("value");
            mob_drop(refs[k]);
        }
    }
    MOB_REF(uint64_t) link = mob_put(uint64_t, self);
    uint64_t wanted = self;
    for (uint64_t i = 0; i < CALLS / 10; i++) {
        link = mob_remote(mix, mob_move(link), i);
        wanted = wanted * 1000003u + i;
    }
    if (mob_take(link, &x, SOON) != MOB_OK || x != wanted)
        wrong("chain");
    return NULL;
}

static void threads(void)
{
    pthread_t all[THREADS];
    START(.cpus = 2);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&all[i], NULL, caller, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(all[i], NULL);
}

/* All threads wait for one reference, which one of them drops at the end. */
static MOB_REF(uint64_t) shared;
static atomic_int right;

static void *reader(void *arg)
{
    uint64_t x = 0;
    (void)arg;
    if (mob_get(shared, &x, SOON) == MOB_OK && x == 7 * 1000003u + 8)
        right++;
    return NULL;
}

static void one_for_all(void)
{
    pthread_t all[THREADS];
    START(.cpus = 2);
    for (int round = 0; round < 200; round++) {
        right = 0;
        shared = mob_remote(mix, 7, 8);
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_create(&all[i], NULL, reader, NULL) == 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(all[i], NULL);
        CHECK(right == THREADS);
        mob_drop(shared);
    }
}

/* ---- threads of the driver, tasks that wait and results that fill rings, at once ---- */

MOB_STRUCT(record, (mob_text, name), (mob_doubles, xs), (int64_t, sum), (MOB_REF(uint64_t), next));

/* A record with a longer name and array, whose sum has grown by the value that `next` refers to. */
MOB_TASK(record, extended, (record, r))
{
    uint64_t x = 0;
    double *xs = mob_alloc_array(double, r.xs.count + 1);
    if (xs == NULL || mob_get(r.next, &x, MOB_FOREVER) != MOB_OK)
        return mob_fail(1, "%s", mob_last_error()->text), r;
    memcpy(xs, r.xs.data, r.xs.count * sizeof *xs);
    xs[r.xs.count] = (double)x;
    return (record){mob_format("%s+", r.name), mob_doubles_of(xs, r.xs.count + 1),
                    r.sum + (int64_t)x, r.next};
}

MOB_TASK(mob_text, repeated, (mob_text, text), (int, times))
{
    size_t size = strlen(text);
    char *all = mob_alloc(size * (size_t)times + 1);
    if (all == NULL)
        return mob_fail(1, "no memory"), NULL;
    for (int i = 0; i < times; i++)
        memcpy(all + size * (size_t)i, text, size);
    all[size * (size_t)times] = '\0';
    return all;
}

static void *extender(void *arg)
{
    uint64_t self = (uint64_t)(uintptr_t)arg;
    for (int64_t i = 0; i < 300; i++) {
        const double xs[] = {1, 2, 3};
        record out, in = {"n", mob_doubles_of(xs, 3), i, mob_remote(mix, 0, self)};
        MOB_REF(record) once = mob_remote(extended, in), again = mob_remote(extended, once);
        if (mob_get(again, &out, SOON) != MOB_OK)
            wrong("record");
        if (strcmp(out.name, "n++") != 0 || out.xs.count != 5 || out.sum != i + 2 * (int64_t)self)
            wrong("content");
        uint64_t x = 0;
        if (mob_get(out.next, &x, SOON) != MOB_OK || x != self)
            wrong("reference");
        mob_drop(once);
        mob_drop(again);
        mob_drop(in.next);
        mob_text text;
        MOB_REF(mob_text) large = mob_remote(repeated, "ab", i * 100);
        if (mob_get(large, &text, SOON) != MOB_OK || strlen(text) != (size_t)i * 200)
            wrong("text");
        mob_drop(large);
    }
    return NULL;
}

static void crowd(void)
{
    pthread_t all[THREADS];
    START(.cpus = 2);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&all[i], NULL, extender, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(all[i], NULL);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"recursion", recursion},
        {"bounded", bounded},
        {"inside", inside},
        {"threads", threads},
        {"one_for_all", one_for_all},
        {"crowd", crowd},
        {NULL, NULL},
    };
    return check_main(&argc, &argv, cases);
}
