/* api_load.c: very many tasks at once, and a worker that does not answer. */
#include "tests/programs/check.h"
#include "tests/support/sanitizer.h"

#include <malloc.h>
#include <signal.h>

enum { MANY = 200000, BYTES_EACH_MAX = 200, ARGUMENT_BYTES = 20 };

MOB_TASK(uint32_t, next, (uint32_t, x))
{
    return x + 1;
}

MOB_TASK(int, stops, (mob_text, gate))
{
    while (access(gate, F_OK) != 0)
        usleep(1000);
    return 1;
}

static char *gate_path(void)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/mobula-gate-%d",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", getpid());
    return path;
}

static size_t heap(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void queued(void)
{
    START(.cpus = 1);
    MOB_REF(uint32_t) *refs = malloc(MANY * sizeof *refs);
    uint32_t *results = malloc(MANY * sizeof *results);
    int one;
    CHECK(refs != NULL && results != NULL);
    MOB_REF(int) first = mob_remote(stops, (mob_text)gate_path());
    CHECK(mob_get(first, &one, 20) == MOB_ETIMEDOUT);
    size_t before = heap();
    for (uint32_t i = 0; i < MANY; i++)
        refs[i] = mob_remote(next, i);
    size_t each = (heap() - before) / MANY;
    printf("%zu bytes for each task\n", each);
    bool measured = sanitizer_lets_measure("bytes for each of 200,000 queued tasks");
    if (measured)
        CHECK(each <= BYTES_EACH_MAX + ARGUMENT_BYTES);
    fclose(fopen(gate_path(), "w"));
    CHECK(mob_get_all(refs, MANY, results, 3 * SOON) == MOB_OK);
    for (uint32_t i = 0; i < MANY; i++)
        CHECK(results[i] == i + 1);
    for (uint32_t i = 0; i < MANY; i++)
        mob_drop(refs[i]);
    size_t after = heap();
    printf("%zu bytes for all when they are dropped\n", after > before ? after - before : 0);
    if (measured)
        CHECK(after < before + (1 << 20));
    unlink(gate_path());
    free(refs);
    free(results);
}

/* Calls at full speed; the test stops one of two workers meanwhile. Prints how many were done in
 * each tenth of a second. */
static void steady(void)
{
    enum { WINDOW = 1000, TENTHS = 40 };
    static MOB_REF(uint32_t) refs[WINDOW];
    static bool ready[WINDOW];
    uint32_t done = 0, x;
    START(.cpus = 2);
    for (uint32_t i = 0; i < WINDOW; i++)
        refs[i] = mob_remote(next, i);
    int64_t start = check_now_ms(), tenth = 0;
    while (tenth < TENTHS) {
        int rc = mob_wait(refs, WINDOW, 1, 100, ready);
        CHECK(rc == MOB_OK || rc == MOB_ETIMEDOUT);
        for (uint32_t i = 0; i < WINDOW; i++) {
            if (!ready[i])
                continue;
            CHECK(mob_take(refs[i], &x, 0) == MOB_OK);
            refs[i] = mob_remote(next, i);
            done++;
        }
        while (check_now_ms() - start >= (tenth + 1) * 100 && tenth < TENTHS) {
            printf("%u\n", done);
            fflush(stdout);
            done = 0;
            tenth++;
        }
    }
    puts("end");
    fflush(stdout);
    for (uint32_t i = 0; i < WINDOW; i++)
        CHECK(mob_take(refs[i], &x, SOON) == MOB_OK && x == i + 1);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {{"queued", queued}, {"steady", steady}, {NULL, NULL}};
    return check_main(&argc, &argv, cases);
}
