/* life.c: beginnings: from exec to the first result, from a fork to a ready worker, and recursion
 * on one cpu.
 *
 * How a fork is measured from outside: on a cluster of one cpu a task calls a task and waits. It
 * lends its cpu, all workers there are wait likewise, so the node has one more forked; the inner
 * task says when it started. That is the whole way, the request for a lease, the fork, the worker's
 * greeting, the grant and the call: an upper bound on fork to ready. The second time the workers
 * are there: nested_call is the same without the fork. */
#include <stdlib.h>

#include "tests/bench/bench.h"

static double role_ms(void *name)
{
    return role_run((const char *const[]){"bench", "--role", name, NULL}, NULL, 0);
}

/* The last run of the levels, or of fib, says two numbers; the second is the next series' round. */
static double second;

static double two_numbers(const char *role, double scale)
{
    char line[256], *end;
    if (role_run((const char *const[]){"bench", "--role", role, NULL}, line, sizeof line) < 0)
        return -1;
    double first = strtod(line, &end);
    second = strtod(end, NULL) * scale;
    return first * scale;
}

static double fork_ms(void *unused)
{
    (void)unused;
    return two_numbers("levels", 1e-6);
}

static double fib_ms(void *unused)
{
    (void)unused;
    return two_numbers("fib", 1);
}

static double the_second(void *unused)
{
    (void)unused;
    return second;
}

void part_life(void)
{
    struct series zmq = RAW_ZMQ_ROUND_TRIP, futex = RAW_FUTEX_ROUND_TRIP;
    struct series forked = {.name = "raw_fork", .unit = "ms", .round = raw_fork};
    struct series hello = {.name = "raw_exec", .unit = "ms", .round = role_ms, .context = "hello"};
    struct series first = {
        .name = "exec_to_first_result", .unit = "ms", .round = role_ms, .context = "first"};
    struct series ready = {.name = "fork_to_ready_worker", .unit = "ms", .round = fork_ms};
    struct series nested = {.name = "nested_call", .unit = "ms", .round = the_second};
    struct series fib = {.name = "fib_18_one_cpu", .unit = "ms", .round = fib_ms};
    struct series workers = {.name = "fib_18_workers", .unit = "", .round = the_second};
    raw_start();
    if (wanted(first.name)) {
        measure(&(struct group){.series = {&zmq, &hello, &first}});
        report(&first,
               &(struct floor){.kind = AT_MOST,
                               .value = 100,
                               .weather = &zmq,
                               .baseline = BASELINE_ZMQ_ROUND_TRIP_US},
               &hello, NULL);
    }
    if (wanted(ready.name) || wanted(nested.name)) {
        measure(&(struct group){.series = {&futex, &forked, &ready, &nested},
                                .rounds = options.quick ? 7 : 15,
                                .fixed_order = true});
        report(&ready,
               &(struct floor){
                   .kind = AT_MOST, .value = 3, .weather = &forked, .baseline = BASELINE_FORK_MS},
               &forked, NULL);
        report_noted(
            &nested, NULL, NULL, NULL,
            "a task's call to the start of the called one on one cpu, futex round trip %.1f us",
            series_median(&futex));
    }
    if (wanted(fib.name) || wanted(workers.name)) {
        measure(&(struct group){
            .series = {&fib, &workers}, .rounds = 5, .fixed_order = true, .no_warm_up = true});
        report(&fib, NULL, NULL, NULL);
        report(&workers, &(struct floor){.kind = AT_MOST, .value = 29}, NULL, NULL);
    }
    raw_stop();
}
