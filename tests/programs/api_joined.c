/* api_joined.c: a driver on a cluster that others use too. */
#include "tests/programs/check.h"

MOB_TASK(int, plus_one, (int, x))
{
    return x + 1;
}

MOB_TASK(mob_bytes, filled, (size_t, size), (int, byte))
{
    void *data = mob_alloc(size);
    if (data != NULL)
        memset(data, byte, size);
    return mob_bytes_of(data, data != NULL ? size : 0);
}

/* Thousands of calls and large values; all right. */
static void busy(void)
{
    enum { N = 3000, SIZE = 300000 };
    static MOB_REF(int) refs[N];
    static int results[N];
    START();
    puts("joined");
    fflush(stdout);
    for (int round = 0; round < 5; round++) {
        mob_bytes b;
        MOB_REF(mob_bytes) large = mob_remote(filled, SIZE, round + getpid() % 100);
        for (int i = 0; i < N; i++)
            refs[i] = mob_remote(plus_one, i);
        CHECK(mob_get_all(refs, N, results, SOON) == MOB_OK);
        for (int i = 0; i < N; i++) {
            CHECK(results[i] == i + 1);
            mob_drop(refs[i]);
        }
        CHECK(mob_get(large, &b, SOON) == MOB_OK && b.size == SIZE);
        for (size_t i = 0; i < SIZE; i += 100)
            CHECK(((const char *)b.data)[i] == (char)(round + getpid() % 100));
        mob_drop(large);
    }
}

/* Joins, works, and then hangs, for a test to kill. */
static void hangs(void)
{
    int x;
    START();
    CHECK(mob_take(mob_remote(plus_one, 1), &x, SOON) == MOB_OK && x == 2);
    puts("joined");
    fflush(stdout);
    pause();
}

/* The cluster goes away under it: calls fail with an error, and none of them hangs. */
static void left_alone(void)
{
    int x;
    START();
    CHECK(mob_take(mob_remote(plus_one, 1), &x, SOON) == MOB_OK && x == 2);
    puts("joined");
    fflush(stdout);
    int64_t start = check_now_ms();
    int rc = MOB_OK;
    while (rc == MOB_OK && check_now_ms() - start < SOON)
        rc = mob_take(mob_remote(plus_one, 1), &x, SOON);
    printf("%s: %s\n", mob_error_name(rc), mob_last_error()->text);
    CHECK(rc == MOB_ENODEDIED && check_now_ms() - start < SOON);
    CHECK(mob_take(mob_remote(plus_one, 1), &x, SOON) == MOB_ENODEDIED);
    MOB_REF(int) put = mob_put(int, 5);
    CHECK(mob_get(put, &x, SOON) == MOB_ENODEDIED || x == 5);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"busy", busy}, {"hangs", hangs}, {"left_alone", left_alone}, {NULL, NULL}};
    return check_main(&argc, &argv, cases);
}
