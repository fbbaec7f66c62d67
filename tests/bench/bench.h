/* bench.h: what the benchmarks are made of: series that are measured in turn, and reports of them.
 *
 * A part (tasks, store, ...) is a process of its own, so that each has a fresh cluster of the size
 * it wants and a crash costs one part only. It sends each figure as a line to the main process,
 * which prints the table and the JSON.
 *
 *     struct series limit = RAW(zmq_round_trip), ours = {"single_client_tasks_sync", "us",
 * tasks_sync, &env}; measure(&(struct group){{&limit, &ours}}); report(&ours, &(struct floor){.kind
 * = AT_MOST, .of = OF_RATIO, .value = 1.0}, &limit, NULL);
 *
 * Owns the options of this process. Bound: ROUNDS_MAX rounds, GROUP_MAX series measured together.
 * Runs on: the main thread. Touches: the clock, processes. */
#ifndef MOB_TEST_BENCH_H
#define MOB_TEST_BENCH_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { ROUNDS_MAX = 256, GROUP_MAX = 8, NAME_MAX_BYTES = 64, TEXT_MAX = 512 };

struct options {
    bool quick, enforce;
    const char *json;    /* or NULL */
    const char *only;    /* a figure or a part, or NULL */
    const char *profile; /* a figure that is run again and again, or NULL */
    double profile_s;
    unsigned rounds;
    double round_s; /* how long one round of a rate or a latency shall take */
};
extern struct options options;

/* One figure, measured round by round. `round` returns the round's value, negative when it failed.
 */
struct series {
    const char *name, *unit;
    double (*round)(void *context);
    void *context;
    unsigned count;
    double values[ROUNDS_MAX];
};

struct group {
    struct series *series[GROUP_MAX]; /* the first NULL ends them */
    unsigned rounds;                  /* 0: as the options say */
    bool fixed_order;                 /* a round needs what the one before it has left */
    bool no_warm_up;                  /* a round begins with a new process anyway */
};

/* What a figure must reach. An absolute floor is lowered by as much as `weather`, a raw limit
 * measured beside it, is worse than `baseline`, its value in the baselines; a faster machine
 * changes nothing. */
struct floor {
    enum { NO_FLOOR, AT_MOST, AT_LEAST } kind;
    enum { OF_VALUE, OF_RATIO } of; /* the ratio is that to the first limit */
    double value;
    const struct series *weather;
    double baseline;
    bool weather_is_rate;
};

/* One figure as it reaches the main process. */
struct figure {
    char name[NAME_MAX_BYTES], unit[16], part[16];
    double value, deviation;
    char limit_name[NAME_MAX_BYTES]; /* empty: none */
    double limit, ratio;
    char beside_name[NAME_MAX_BYTES]; /* a second limit */
    double beside, beside_ratio;
    int kind, of; /* of the floor */
    double floor;
    bool missed;
    char note[TEXT_MAX];
};

/* Whether the figure is to be measured in this run. */
bool wanted(const char *name);
/* Run all series of the group in turn, every other time in reverse, after one round of each that
 * does not count. In a profile run only the chosen one, until the time is over, which ends the
 * process. */
void measure(const struct group *group);
double series_median(const struct series *s);
/* Send the figure. `limit` and `beside` may be NULL, and so may `floor`. */
void report(const struct series *s, const struct floor *floor, const struct series *limit,
            const struct series *beside);
/* The same with a remark that is printed below the table. */
void report_noted(const struct series *s, const struct floor *floor, const struct series *limit,
                  const struct series *beside, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Print what is wrong and end this part. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Where report writes, set by the main process's child. */
void report_to(FILE *stream);

/* Read one figure as `report` wrote it. */
bool figure_parse(struct figure *f, char *line);

static inline double seconds_between(uint64_t start_ns, uint64_t end_ns)
{
    return (double)(end_ns - start_ns) / 1e9;
}

/* ---- raw.c: what the machine can do. Started before anything else has threads. ---- */

/* Fork the partner of the raw limits and make its rings and pages. */
void raw_start(void);
void raw_stop(void);
/* Microseconds there and back, and per second. */
double raw_zmq_round_trip(void *unused);
double raw_zmq_stream(void *unused);
double raw_futex_round_trip(void *unused);
double raw_ring_round_trip(void *unused);
double raw_ring_stream(void *unused);
/* GiB per second into warm shared memory; the context is a size_t of bytes. */
double raw_memcpy(void *size);
/* Milliseconds until a forked child of this process has been heard of. */
double raw_fork(void *unused);

#define RAW_ZMQ_ROUND_TRIP                                                                         \
    {                                                                                              \
        "raw_zmq_ipc_round_trip", "us", raw_zmq_round_trip, NULL, 0,                               \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define RAW_ZMQ_STREAM                                                                             \
    {                                                                                              \
        "raw_zmq_ipc_stream", "1/s", raw_zmq_stream, NULL, 0,                                      \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define RAW_FUTEX_ROUND_TRIP                                                                       \
    {                                                                                              \
        "raw_futex_round_trip", "us", raw_futex_round_trip, NULL, 0,                               \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define RAW_RING_ROUND_TRIP                                                                        \
    {                                                                                              \
        "raw_ring_round_trip", "us", raw_ring_round_trip, NULL, 0,                                 \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define RAW_RING_STREAM                                                                            \
    {                                                                                              \
        "raw_ring_stream", "1/s", raw_ring_stream, NULL, 0,                                        \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

/* The raw limits' values in the baselines, the worse end of a range. */
#define BASELINE_ZMQ_ROUND_TRIP_US 174.0
#define BASELINE_ZMQ_STREAM        3.9e6
/* The baselines have no fork: a quiet hour's, by this program. */
#define BASELINE_FORK_MS 0.6

/* ---- programs.c: this executable as other programs, and clusters ---- */

/* If argv says --role NAME, play it and return true with the exit status. */
bool role_play(int argc, char **argv, int *status);
/* Start this executable with `words` as its arguments (NULL-terminated) and wait for its first
 * line, which is copied to `line` unless that is NULL; then wait for its end. The milliseconds to
 * the line; negative when it does not end well. */
double role_run(const char *const words[], char *line, size_t size);
/* End with the process that started this one, however it ends. */
void end_with_parent(void);
const char *own_path(void); /* of this executable */
void process_name(pid_t pid, char *name, size_t size);
/* Start a private cluster with `cpus` and `store_bytes`; 0: the defaults. */
void private_cluster(uint32_t cpus, uint64_t store_bytes);
/* Stop when an answer is not MOB_OK: say what failed and why. */
void must(int rc, const char *what);

/* ---- the parts ---- */
void part_raw(void);
void part_tasks(void);
void part_queue(void);
void part_life(void);
void part_rest(void);
void part_store(void);
#endif
