/* store.c: large objects. Each round makes new ones, since in this version what is stored stays
 * until the job ends; the store is as large as all rounds need. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "protocol/clock.h"
#include "tests/bench/bench.h"

#include <mobula.h>

enum { HEADER_ROOM = 1 << 20 }; /* for the value's header and rounding, in each object */

static struct {
    size_t size;
    unsigned char *source;
} store;

MOB_TASK(mob_bytes, large, (uint64_t, size))
{
    unsigned char *data = (unsigned char *)mob_alloc(size);
    if (data == NULL)
        return mob_fail(1, "no memory"), mob_bytes_of(NULL, 0);
    memset(data, 3, size);
    return mob_bytes_of(data, size);
}

/* Microseconds of the first get here of an object that a worker has made. */
static double get_large(void *unused)
{
    (void)unused;
    MOB_REF(mob_bytes) ref = mob_remote(large, store.size);
    bool ready;
    must(mob_wait(&ref, 1, 1, MOB_FOREVER, &ready), "making a large object");
    mob_bytes bytes;
    uint64_t start = clock_now_ns();
    must(mob_get(ref, &bytes, MOB_FOREVER), "getting a large object");
    double us = seconds_between(start, clock_now_ns()) * 1e6;
    const unsigned char *data = bytes.data;
    if (bytes.size != store.size || data[0] != 3 || data[store.size - 1] != 3)
        fail("a large object arrives changed");
    mob_drop(ref);
    return us;
}

static double put_large(void *unused)
{
    (void)unused;
    must(mob_reserve(store.size + HEADER_ROOM / 2, NULL), "mob_reserve");
    uint64_t start = clock_now_ns();
    MOB_REF(mob_bytes) ref = mob_put(mob_bytes, mob_bytes_of(store.source, store.size));
    double seconds = seconds_between(start, clock_now_ns());
    mob_bytes bytes = {NULL, 0};
    must(mob_get(ref, &bytes, MOB_FOREVER), "getting a large put");
    if (bytes.size != store.size || memcmp(bytes.data, store.source, store.size) != 0)
        fail("a large put is not what was put");
    mob_drop(ref);
    return (double)store.size / (1 << 30) / seconds;
}

void part_store(void)
{
    store.size = (size_t)(options.quick ? 32 : 256) << 20;
    unsigned rounds = 5;
    uint64_t rooms = options.profile != NULL ? 40 : 2 * (rounds + 1) + 1;
    struct series get = {.name = "get_256_mib", .unit = "us", .round = get_large};
    struct series put = {.name = "put_256_mib", .unit = "GiB/s", .round = put_large};
    struct series copy = {
        .name = "raw_memcpy", .unit = "GiB/s", .round = raw_memcpy, .context = &store.size};
    store.source = mmap(NULL, store.size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (store.source == MAP_FAILED)
        fail("no memory for the source of puts");
    memset(store.source, 5, store.size);
    private_cluster(0, rooms * (store.size + HEADER_ROOM));
    if (wanted(get.name)) {
        measure(&(struct group){.series = {&get}, .rounds = rounds});
        report_noted(&get, &(struct floor){.kind = AT_MOST, .value = 20}, NULL, NULL,
                     "the first get in the driver of %zu MiB that a worker returned",
                     store.size >> 20);
    }
    if (wanted(put.name)) {
        measure(&(struct group){.series = {&copy, &put}, .rounds = rounds});
        report(&put, &(struct floor){.kind = AT_LEAST, .of = OF_RATIO, .value = 0.8}, &copy, NULL);
    }
    mob_shutdown();
}
