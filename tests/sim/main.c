/* main.c: the options of the simulation: one seed, many seeds on several cores, the same seed
 * twice, the mutants. Each child runs every J-th seed of the range and says in shared memory where
 * it is, so that a seed that crashes or hangs is known as well. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/mutant.h"
#include "tests/sim/sim.h"

enum { JOBS_MAX = 64, MUTANT_SEEDS = 2000, SEED_SECONDS_MAX = 60, FAILURES_SHOWN = 10 };

/* Seeds that once showed a bug: run before all others. */
static const struct named {
    uint64_t seed;
    const char *why;
} named[] = {
    {1, "a node that came back gave its process ids out again"},
    {4, "a crash was told as that of another submitter's task"},
    {51, "a driver left before the head answered, and the head kept its job for ever"},
    {76, "the head falls silent before its welcome arrives"},
    {104, "a worker died with answers that had not gone, and tasks were started too often"},
    {194, "a worker that was asked to stop refused every task after that"},
    {288, "a recursion 15 deep on one cpu: few workers"},
    {304, "a driver that leaves sees its job go first"},
    {487, "two jobs on one cpu passed a lease to and fro"},
    {182285, "what a worker sealed before it was killed was given to another"},
    {500, "the last ready task waited for ever behind a recalled lease"},
};

struct progress {
    volatile uint64_t seed, done, failed, events;
    char failure[2048];
};

static double cpu_seconds(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void show_failure(uint64_t seed, const char *what)
{
    printf("FAILED seed %" PRIu64 ": %s\n    replay: make sim SEED=%" PRIu64 " TRACE=1\n", seed,
           what, seed);
    fflush(stdout);
}

/* ---- one seed ---- */

static int run_one(uint64_t seed, bool trace)
{
    char failure[2048];
    uint64_t events;
    if (sim_run(seed, trace ? stdout : NULL, failure, sizeof failure, &events)) {
        printf("seed %" PRIu64 " passed, %" PRIu64 " events, %.1f ms of cpu\n", seed, events,
               cpu_seconds(RUSAGE_SELF) * 1e3);
        return 0;
    }
    show_failure(seed, failure);
    return 1;
}

static int run_same(uint64_t seed)
{
    char *text[2] = {NULL, NULL}, failure[2048];
    size_t size[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        FILE *out = open_memstream(&text[i], &size[i]);
        uint64_t events;
        if (out == NULL)
            return 1;
        sim_run(seed, out, failure, sizeof failure, &events);
        fclose(out);
    }
    bool same = size[0] == size[1] && memcmp(text[0], text[1], size[0]) == 0;
    printf("seed %" PRIu64 ": two traces of %zu bytes are %s\n", seed, size[0],
           same ? "the same" : "DIFFERENT");
    free(text[0]);
    free(text[1]);
    return !same;
}

/* ---- many seeds ---- */

static uint64_t seed_at(uint64_t first, uint64_t index)
{
    const uint64_t count = sizeof named / sizeof named[0];
    return index < count ? named[index].seed : first + index - count;
}

static void child(struct progress *p, uint64_t first, uint64_t count, uint64_t start, uint64_t step)
{
    for (uint64_t i = start; i < count; i += step) {
        uint64_t events = 0;
        p->seed = seed_at(first, i);
        alarm(SEED_SECONDS_MAX);
        if (!sim_run(p->seed, NULL, p->failure, sizeof p->failure, &events)) {
            p->failed++;
            _exit(1);
        }
        p->done++;
        p->events += events;
        if (start == 0 && p->done % 5000 == 0 && isatty(STDERR_FILENO))
            fprintf(stderr, "at seed %" PRIu64 "\n", p->seed);
    }
    _exit(0);
}

static pid_t child_start(struct progress *p, uint64_t first, uint64_t count, uint64_t start,
                         uint64_t step, bool quiet)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (quiet && freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        child(p, first, count, start, step);
    }
    return pid;
}

static struct progress *progress_make(uint32_t count)
{
    void *memory = mmap(NULL, count * sizeof(struct progress), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(2);
    return memory;
}

/* Why a child ended badly. */
static const char *failure_of(const struct progress *p, int status, char *text, size_t size)
{
    if (!WIFSIGNALED(status))
        return p->failure;
    if (WTERMSIG(status) == SIGALRM)
        snprintf(text, size, "a step does not end: more than %d s of real time", SEED_SECONDS_MAX);
    else
        snprintf(text, size, "a core crashed: signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    return text;
}

static int run_many(uint64_t first, uint64_t last, uint32_t jobs)
{
    uint64_t count = last - first + 1 + sizeof named / sizeof named[0], done = 0, failed = 0,
             events = 0;
    struct progress *p = progress_make(jobs);
    pid_t pids[JOBS_MAX];
    uint64_t next[JOBS_MAX];
    uint32_t running = jobs;
    for (uint32_t i = 0; i < jobs; i++)
        pids[i] = child_start(&p[i], first, count, next[i] = i, jobs, false);
    while (running > 0) {
        int status;
        char text[128];
        pid_t pid = wait(&status);
        if (pid < 0 && errno != EINTR)
            break;
        for (uint32_t i = 0; i < jobs; i++) {
            if (pids[i] != pid)
                continue;
            if (status == 0) {
                running--;
                continue;
            }
            failed++;
            if (failed <= FAILURES_SHOWN)
                show_failure(p[i].seed, failure_of(&p[i], status, text, sizeof text));
            while (seed_at(first, next[i]) != p[i].seed)
                next[i] += jobs;
            next[i] += jobs;
            pids[i] = child_start(&p[i], first, count, next[i], jobs, false); /* go on behind it */
        }
    }
    for (uint32_t i = 0; i < jobs; i++) {
        done += p[i].done;
        events += p[i].events;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " events, %.2f ms of cpu per seed in the mean\n",
           done + failed, events, cpu_seconds(RUSAGE_CHILDREN) * 1e3 / (double)(done + failed));
    if (failed == 0)
        printf("[  PASSED  ] %" PRIu64 " test(s).\n", done);
    else
        printf("[  FAILED  ] simulation: %" PRIu64 " test(s).\n", failed);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", done, failed);
    return failed != 0;
}

/* ---- mutants ---- */

static bool mutant_run(int mutant, struct progress *p)
{
    int status;
    char text[128];
    memset(p, 0, sizeof *p);
    mutant_on = mutant;
    pid_t pid = child_start(p, 1, MUTANT_SEEDS + 1, 0, 1, true);
    mutant_on = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status == 0)
        printf("%-28s %8s  %s\n", mutant_name(mutant), "SURVIVED", mutant_text(mutant));
    else
        printf("%-28s %8" PRIu64 "  %s\n%39s%.160s\n", mutant_name(mutant), p->seed,
               mutant_text(mutant), "found: ", failure_of(p, status, text, sizeof text));
    fflush(stdout);
    return status != 0;
}

static int run_mutants(const char *only)
{
    struct progress *p = progress_make(1);
    int found = 0, survived = 0;
    printf("%-28s %8s  %s\n", "mutant", "seed", "what it breaks, and what found it");
    for (int m = 1; m < MUTANT_COUNT; m++) {
        if (only != NULL && strcmp(only, mutant_name(m)) != 0)
            continue;
        if (mutant_run(m, p))
            found++;
        else
            survived++;
    }
    printf("%d found, %d survived %d seeds\n", found, survived, MUTANT_SEEDS);
    return survived != 0;
}

/* ---- options ---- */

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s --seed N [--trace] | --seeds A..B [--jobs J] | --same N | --mutants "
            "[--mutant NAME]\n"
            "       --mutant NAME together with --seed or --seeds switches that bug on\n",
            program);
    return 2;
}

static bool parse_range(const char *text, uint64_t *first, uint64_t *last)
{
    char *end;
    *first = *last = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) == 0)
        *last = strtoull(end + 2, &end, 10);
    return *end == '\0' && *last >= *first;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", 1, NULL, 's'},   {"trace", 0, NULL, 't'},
                                            {"seeds", 1, NULL, 'r'},  {"jobs", 1, NULL, 'j'},
                                            {"same", 1, NULL, 'a'},   {"mutants", 0, NULL, 'm'},
                                            {"mutant", 1, NULL, 'u'}, {NULL, 0, NULL, 0}};
    uint64_t first = 0, last = 0;
    uint32_t jobs = 1;
    bool trace = false;
    const char *only = NULL;
    int mode = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 's':
        case 'a':
        case 'r':
            mode = option;
            if (!parse_range(optarg, &first, &last))
                return usage(argv[0]);
            break;
        case 'm':
            mode = option;
            break;
        case 't':
            trace = true;
            break;
        case 'u':
            only = optarg;
            break;
        case 'j':
            jobs = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        default:
            return usage(argv[0]);
        }
    }
    jobs = jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : jobs;
    for (int m = 1; only != NULL && mode != 'm' && m < MUTANT_COUNT; m++)
        if (strcmp(only, mutant_name(m)) == 0)
            mutant_on = m;
    switch (mode) {
    case 's':
        return run_one(first, trace);
    case 'a':
        return run_same(first);
    case 'r':
        return run_many(first, last, jobs);
    case 'm':
        return run_mutants(only);
    default:
        return usage(argv[0]);
    }
}
