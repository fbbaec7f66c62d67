/* tasks.c: what a task costs: one at a time, many at a time, in a chain, from several submitters,
 * and through the macro or the plain API. Tasks do nothing, so all that is measured is ours. */
#include <stdlib.h>
#include <string.h>

#include "protocol/clock.h"
#include "tests/bench/bench.h"

#include <mobula.h>

enum {
    SMALL_BATCH = 1000,
    BIG_BATCH = 20000,
    CHAIN = 1000,
    CLIENTS = 4,
    CLIENT_TASKS = 10000,
    CLIENT_TASKS_QUICK = 2000
};

MOB_TASK(mob_text, small_value)
{
    return "ok";
}

MOB_TASK(int64_t, next, (int64_t, x))
{
    return x + 1;
}

/* Submit small tasks and get them all; the number of good answers. */
static int64_t batch_run(size_t count)
{
    static MOB_REF(mob_text) refs[BIG_BATCH];
    static mob_text values[BIG_BATCH];
    for (size_t i = 0; i < count; i++)
        refs[i] = mob_remote(small_value);
    must(mob_get_all(refs, count, values, MOB_FOREVER), "getting a batch");
    int64_t good = 0;
    for (size_t i = 0; i < count; i++)
        good += values[i][0] == 'o';
    for (size_t i = 0; i < count; i++)
        mob_drop(refs[i]);
    return good;
}

MOB_TASK(int64_t, client, (int64_t, count))
{
    return batch_run((size_t)count);
}

/* ---- rounds ---- */

static double tasks_sync(void *unused)
{
    (void)unused;
    uint64_t start = clock_now_ns(), now = start, count = 0;
    for (; seconds_between(start, now) < options.round_s; now = clock_now_ns(), count++) {
        MOB_REF(mob_text) ref = mob_remote(small_value);
        mob_text text;
        must(mob_get(ref, &text, MOB_FOREVER), "getting one");
        mob_drop(ref);
    }
    return seconds_between(start, now) * 1e6 / (double)count;
}

static double tasks_async(void *batch)
{
    uint64_t start = clock_now_ns(), now = start, count = 0;
    for (; seconds_between(start, now) < options.round_s; now = clock_now_ns())
        count += (uint64_t)batch_run(*(const size_t *)batch);
    return (double)count / seconds_between(start, now);
}

static double tasks_chain(void *unused)
{
    (void)unused;
    uint64_t start = clock_now_ns(), now = start, count = 0;
    for (; seconds_between(start, now) < options.round_s; now = clock_now_ns(), count += CHAIN) {
        MOB_REF(int64_t) last = mob_remote(next, 0);
        for (unsigned i = 1; i < CHAIN; i++)
            last = mob_remote(next, mob_move(last));
        int64_t x;
        must(mob_take(last, &x, MOB_FOREVER), "the end of a chain");
        if (x != CHAIN)
            fail("a chain of %d ends with %lld", CHAIN, (long long)x);
    }
    return seconds_between(start, now) * 1e6 / (double)count;
}

/* Batches per second of 1,000 tasks that are waited for one by one, as Ray does it. */
static double wait_1k(void *unused)
{
    (void)unused;
    static MOB_REF(mob_text) refs[SMALL_BATCH];
    static bool ready[SMALL_BATCH];
    uint64_t start = clock_now_ns();
    for (unsigned i = 0; i < SMALL_BATCH; i++)
        refs[i] = mob_remote(small_value);
    for (size_t left = SMALL_BATCH; left > 0; left--) {
        must(mob_wait(refs, left, 1, MOB_FOREVER, ready), "waiting for one");
        size_t done = 0;
        while (!ready[done])
            done++;
        mob_drop(refs[done]);
        refs[done] = refs[left - 1];
    }
    return 1 / seconds_between(start, clock_now_ns());
}

static double tasks_multi(void *unused)
{
    (void)unused;
    MOB_REF(int64_t) refs[CLIENTS];
    int64_t counts[CLIENTS], all = 0;
    uint64_t start = clock_now_ns();
    for (unsigned i = 0; i < CLIENTS; i++)
        refs[i] = mob_remote(client, options.quick ? CLIENT_TASKS_QUICK : CLIENT_TASKS);
    must(mob_get_all(refs, CLIENTS, counts, MOB_FOREVER), "getting from the clients");
    double seconds = seconds_between(start, clock_now_ns());
    for (unsigned i = 0; i < CLIENTS; i++) {
        mob_drop(refs[i]);
        all += counts[i];
    }
    return (double)all / seconds;
}

static double small_put(void *unused)
{
    (void)unused;
    uint64_t start = clock_now_ns(), now = start, count = 0;
    for (; seconds_between(start, now) < options.round_s; now = clock_now_ns())
        for (unsigned i = 0; i < 100; i++, count++)
            mob_drop(mob_put(int64_t, 0));
    return (double)count / seconds_between(start, now);
}

static double small_get(void *unused)
{
    (void)unused;
    MOB_REF(int64_t) ref = mob_put(int64_t, 7);
    int64_t x = 0;
    uint64_t start = clock_now_ns(), now = start, count = 0;
    for (; seconds_between(start, now) < options.round_s; now = clock_now_ns())
        for (unsigned i = 0; i < 100; i++, count++)
            must(mob_get(ref, &x, MOB_FOREVER), "getting a put");
    mob_drop(ref);
    return x == 7 ? (double)count / seconds_between(start, now) : -1;
}

/* ---- the macro beside the plain API: the same calls, whose caller writes and reads the bytes
 * himself ---- */

enum { CALLS = 1000, CALLS_FIRST = 256 /* from here to 65535 a number is three bytes */ };

static struct {
    struct mob_id ids[CALLS];
    MOB_REF(int64_t) refs[CALLS];
} calls;

/* Microseconds per call, of the submission alone or to the value. */
static double call_time(uint64_t start, uint64_t submitted, uint64_t end, const void *whole)
{
    return seconds_between(start, whole != NULL ? end : submitted) * 1e6 / CALLS;
}

static double macro_calls(void *whole)
{
    bool good = true;
    uint64_t start = clock_now_ns();
    for (int i = 0; i < CALLS; i++)
        calls.refs[i] = mob_remote(next, CALLS_FIRST + i);
    uint64_t submitted = clock_now_ns();
    for (int i = 0; i < CALLS; i++) {
        int64_t x = 0;
        must(mob_take(calls.refs[i], &x, MOB_FOREVER), "a macro call");
        good = good && x == CALLS_FIRST + i + 1;
    }
    return good ? call_time(start, submitted, clock_now_ns(), whole) : -1;
}

static void number_write(unsigned char bytes[5], unsigned number)
{
    const unsigned char value[5] = {0x92, MOB_KIND_INT64, 0xcd, (unsigned char)(number >> 8),
                                    (unsigned char)number};
    memcpy(bytes, value, sizeof value);
}

static bool number_is(struct mob_value value, unsigned number)
{
    unsigned char bytes[5];
    number_write(bytes, number);
    return value.size == sizeof bytes && memcmp(value.data, bytes, sizeof bytes) == 0;
}

static double plain_calls(void *whole)
{
    unsigned char bytes[5];
    struct mob_piece piece = {bytes, sizeof bytes};
    struct mob_arg argument = {.kind = MOB_ARG_VALUE, .pieces = &piece, .piece_count = 1};
    struct mob_call call = {.function = &mob_function_next,
                            .args = &argument,
                            .arg_count = 1,
                            .file = __FILE__,
                            .line = __LINE__};
    struct mob_error err;
    bool good = true;
    uint64_t start = clock_now_ns();
    for (unsigned i = 0; i < CALLS; i++) {
        number_write(bytes, CALLS_FIRST + i);
        must(mob_submit(&call, &calls.ids[i], &err), "mob_submit");
    }
    uint64_t submitted = clock_now_ns();
    for (unsigned i = 0; i < CALLS; i++) {
        struct mob_value value;
        must(mob_get_value(calls.ids[i], &value, MOB_FOREVER, &err), "a plain call");
        good = good && number_is(value, CALLS_FIRST + i + 1);
        mob_ref_drop(calls.ids[i]);
    }
    return good ? call_time(start, submitted, clock_now_ns(), whole) : -1;
}

static void measure_calls(void)
{
    static int yes;
    struct series macro = {
        .name = "macro_call", .unit = "us", .round = macro_calls, .context = &yes};
    struct series plain = {
        .name = "plain_call", .unit = "us", .round = plain_calls, .context = &yes};
    struct series macro_submit = {.name = "macro_submit", .unit = "us", .round = macro_calls};
    struct series plain_submit = {.name = "plain_submit", .unit = "us", .round = plain_calls};
    unsigned rounds = options.quick ? 51 : 201;
    if (wanted("macro_call")) {
        measure(&(struct group){.series = {&plain, &macro}, .rounds = rounds});
        report(&macro, &(struct floor){.kind = AT_MOST, .of = OF_RATIO, .value = 1.05}, &plain,
               NULL);
    }
    if (wanted("macro_submit")) {
        measure(&(struct group){.series = {&plain_submit, &macro_submit}, .rounds = rounds});
        report(&macro_submit, NULL, &plain_submit, NULL);
    }
}

/* ---- the part ---- */

static void measure_latency(struct series *zmq, struct series *ring, struct series *futex)
{
    struct series sync = {.name = "single_client_tasks_sync", .unit = "us", .round = tasks_sync};
    struct series chain = {.name = "tasks_chain_link", .unit = "us", .round = tasks_chain};
    if (!wanted(sync.name) && !wanted(chain.name))
        return;
    measure(&(struct group){.series = {zmq, ring, futex, &sync, &chain}});
    if (wanted(sync.name))
        report_noted(&sync, &(struct floor){.kind = AT_MOST, .of = OF_RATIO, .value = 1.0}, zmq,
                     ring, "futex round trip beside it: %.1f us", series_median(futex));
    if (wanted(chain.name))
        report(&chain, &(struct floor){.kind = AT_MOST, .of = OF_RATIO, .value = 1.5}, zmq, ring);
}

static void measure_throughput(struct series *zmq, struct series *ring)
{
    static const size_t small = SMALL_BATCH, big = BIG_BATCH;
    const struct floor floor = {.kind = AT_LEAST,
                                .value = 300e3,
                                .weather = zmq,
                                .baseline = BASELINE_ZMQ_STREAM,
                                .weather_is_rate = true};
    struct series async = {.name = "single_client_tasks_async",
                           .unit = "1/s",
                           .round = tasks_async,
                           .context = (void *)(uintptr_t)&small};
    struct series async_20k = {.name = "single_client_tasks_async_20k",
                               .unit = "1/s",
                               .round = tasks_async,
                               .context = (void *)(uintptr_t)&big};
    struct series multi = {.name = "multi_client_tasks_async", .unit = "1/s", .round = tasks_multi};
    if (!wanted(async.name) && !wanted(async_20k.name) && !wanted(multi.name))
        return;
    measure(&(struct group){.series = {zmq, ring, &async, &async_20k, &multi}});
    if (wanted(async.name))
        report(&async, &floor, ring, zmq);
    if (wanted(async_20k.name))
        report(&async_20k, &floor, ring, zmq);
    if (wanted(multi.name))
        report(&multi, NULL, ring, zmq);
}

static void measure_rest(void)
{
    struct series wait = {.name = "single_client_wait_1k_refs", .unit = "1/s", .round = wait_1k};
    struct series put = {.name = "single_client_put_calls", .unit = "1/s", .round = small_put};
    struct series get = {.name = "single_client_get_calls", .unit = "1/s", .round = small_get};
    struct series *all[] = {&wait, &put, &get};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        if (wanted(all[i]->name)) {
            measure(&(struct group){.series = {all[i]}});
            report(all[i], NULL, NULL, NULL);
        }
}

void part_tasks(void)
{
    struct series zmq[2] = {RAW_ZMQ_ROUND_TRIP, RAW_ZMQ_STREAM},
                  ring[2] = {RAW_RING_ROUND_TRIP, RAW_RING_STREAM};
    struct series futex = RAW_FUTEX_ROUND_TRIP;
    raw_start();
    private_cluster(0, 0);
    measure_latency(&zmq[0], &ring[0], &futex);
    measure_throughput(&zmq[1], &ring[1]);
    measure_rest();
    measure_calls();
    mob_shutdown();
    raw_stop();
}
