/* api_values.c: values through a real cluster: large ones in place, and a store that is full. */
#include "tests/programs/check.h"
#include "tests/support/sanitizer.h"

#include <malloc.h>

enum { LARGE = 100 << 20, MIB = 1 << 20 };

/* Anonymous memory of this process in bytes: what a copy of a large value would show in. */
static size_t own_memory(void)
{
    char line[256];
    size_t kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %zu", &kib) == 1)
            break;
    if (status != NULL)
        fclose(status);
    return kib * 1024;
}

static bool aligned(const void *data)
{
    return ((uintptr_t)data & 63) == 0;
}

MOB_TASK(mob_doubles, ramp, (size_t, count))
{
    double *x = mob_alloc_array(double, count);
    for (size_t i = 0; x != NULL && i < count; i++)
        x[i] = (double)i;
    return mob_doubles_of(x, x != NULL ? count : 0);
}

/* The sum; negative if the array is not aligned, or if this worker had to copy it. */
MOB_TASK(double, total, (mob_doubles, x))
{
    size_t before = own_memory();
    double sum = 0;
    for (size_t i = 0; i < x.count; i++)
        sum += x.data[i];
    if (!aligned(x.data))
        return -1;
    bool copied = own_memory() > LARGE / 2 || own_memory() > before + LARGE / 4;
    return copied && !SANITIZED ? -2 : sum;
}

static void large(void)
{
    START(.cpus = 2);
    size_t count = LARGE / sizeof(double), before = own_memory();
    bool measured = sanitizer_lets_measure("that a large array is nowhere copied");
    MOB_REF(mob_doubles) r = mob_remote(ramp, count);
    MOB_REF(double) sum = mob_remote(total, r);
    mob_doubles x, again;
    double s;
    CHECK(mob_take(sum, &s, SOON) == MOB_OK);
    CHECK(s == (double)count * (double)(count - 1) / 2);
    CHECK(mob_get(r, &x, SOON) == MOB_OK && mob_get(r, &again, SOON) == MOB_OK);
    CHECK(x.count == count && x.data == again.data && aligned(x.data));
    for (size_t i = 0; i < count; i += 1000)
        CHECK(x.data[i] == (double)i);
    CHECK(own_memory() < before + LARGE / 4 || !measured);

    MOB_REF(mob_doubles) put = mob_put(mob_doubles, x);
    CHECK(mob_get(put, &again, SOON) == MOB_OK);
    CHECK(again.count == count && again.data != x.data && aligned(again.data));
    CHECK(memcmp(again.data, x.data, LARGE) == 0);
    CHECK(own_memory() < before + LARGE / 4 || !measured);
    sum = mob_remote(total, put);
    mob_drop(put);
    mob_drop(r);
    CHECK(mob_take(sum, &s, SOON) == MOB_OK && s == (double)count * (double)(count - 1) / 2);
}

MOB_TASK(mob_bytes, filled, (size_t, size), (int, byte))
{
    void *data = mob_alloc(size);
    if (data != NULL)
        memset(data, byte, size);
    return mob_bytes_of(data, data != NULL ? size : 0);
}

MOB_TASK(size_t, size_of, (mob_bytes, b))
{
    for (size_t i = 1; i < b.size; i++)
        if (((const char *)b.data)[i] != ((const char *)b.data)[0])
            return 0;
    return b.size;
}

/* Values of all sizes around the limits of inline and of the ring. */
static void sizes(void)
{
    START(.cpus = 2);
    static const size_t all[] = {0,      1,      7,      63,      4096,   65535,
                                 102399, 102400, 102401, 1000000, 5000001};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        mob_bytes b;
        size_t size;
        MOB_REF(mob_bytes) r = mob_remote(filled, all[i], 'x');
        CHECK(mob_get(r, &b, SOON) == MOB_OK && b.size == all[i]);
        MOB_REF(mob_bytes) put = mob_put(mob_bytes, b);
        CHECK(mob_take(mob_remote(size_of, b), &size, SOON) == MOB_OK && size == all[i]);
        CHECK(mob_take(mob_remote(size_of, r), &size, SOON) == MOB_OK && size == all[i]);
        CHECK(mob_take(mob_remote(size_of, mob_move(put)), &size, SOON) == MOB_OK &&
              size == all[i]);
        mob_drop(r);
    }
}

/* An argument that is too long for the ring and for inline goes by the store, a thousand times
 * over. */
static void many(void)
{
    START(.cpus = 2);
    static char data[150000];
    enum { N = 300 };
    MOB_REF(size_t) refs[N];
    size_t sizes_back[N];
    for (int i = 0; i < N; i++)
        refs[i] = mob_remote(size_of, mob_bytes_of(data, sizeof data));
    CHECK(mob_get_all(refs, N, sizes_back, SOON) == MOB_OK);
    for (int i = 0; i < N; i++) {
        CHECK(sizes_back[i] == sizeof data);
        mob_drop(refs[i]);
    }
}

/* A full store is an error at once, in the driver and in tasks, and all else goes on. */
static void full(void)
{
    START(.cpus = 1, .store_bytes = 64 * MIB);
    char *data = malloc(40 * MIB);
    CHECK(data != NULL);
    memset(data, 'a', 40 * MIB);
    MOB_REF(mob_bytes) first = mob_put(mob_bytes, mob_bytes_of(data, 40 * MIB));
    mob_bytes b;
    CHECK(mob_get(first, &b, SOON) == MOB_OK && b.size == 40 * MIB);

    int64_t start = check_now_ms();
    MOB_REF(mob_bytes) second = mob_put(mob_bytes, mob_bytes_of(data, 40 * MIB));
    CHECK_FAILS(mob_get(second, &b, SOON), MOB_ESTOREFULL, "41943168 bytes");
    CHECK(check_now_ms() - start < 2000);
    mob_drop(second);
    MOB_REF(mob_bytes) third = mob_remote(filled, (size_t)40 * MIB, 'b');
    CHECK(mob_get(third, &b, SOON) == MOB_ESTOREFULL ||
          mob_last_error()->root_code == MOB_ESTOREFULL);
    CHECK(check_now_ms() - start < 5000);
    mob_drop(third);

    size_t size;
    CHECK(mob_take(mob_remote(size_of, first), &size, SOON) == MOB_OK && size == 40 * MIB);
    MOB_REF(mob_bytes) small = mob_put(mob_bytes, mob_bytes_of(data, 4 * MIB));
    CHECK(mob_get(small, &b, SOON) == MOB_OK && memcmp(b.data, data, 4 * MIB) == 0);
    free(data);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"large", large}, {"sizes", sizes}, {"many", many}, {"full", full}, {NULL, NULL}};
    return check_main(&argc, &argv, cases);
}
