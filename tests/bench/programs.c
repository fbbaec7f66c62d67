/* programs.c: this executable as the small programs whose lives are measured: it is below 20 MB and
 * is started the way a user's is. A role says what it found in one line on stdout. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/clock.h"
#include "tests/bench/bench.h"
#include "tests/support/processes.h"

#include <mobula.h>

enum { LEVELS = 5, FIB_N = 18, FIB_OF_N = 2584, ROLE_TIMEOUT_MS = 60000, PROCESSES_MAX = 256 };

void process_name(pid_t pid, char *name, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(name, (int)size, file) == NULL)
        snprintf(name, size, "?");
    name[strcspn(name, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
}

const char *own_path(void)
{
    static char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size < 0)
        fail("/proc/self/exe: %s", strerror(errno));
    path[size] = '\0';
    return path;
}

void end_with_parent(void)
{
    pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

void must(int rc, const char *what)
{
    if (rc == MOB_OK)
        return;
    const struct mob_error *err = mob_last_error();
    fail("%s: %s: %s", what, mob_error_name(rc), err->text);
}

void private_cluster(uint32_t cpus, uint64_t store_bytes)
{
    struct mob_config config = MOB_CONFIG_INIT;
    config.cpus = cpus;
    config.store_bytes = store_bytes;
    config.workers_max = cpus == 1 ? 64 : 0;
    must(mob_init(NULL, NULL, &config), "mob_init");
}

/* ---- what the roles run ---- */

MOB_TASK(double, area, (double, radius))
{
    return 3.14159265 * radius * radius;
}

/* Nanoseconds from each level's call to its start, outermost first. */
MOB_TASK(mob_uint64s, level, (int32_t, below), (uint64_t, called_ns))
{
    uint64_t delay = clock_now_ns() - called_ns;
    mob_uint64s inner = {NULL, 0};
    if (below > 0) {
        MOB_REF(mob_uint64s) ref = mob_remote(level, below - 1, clock_now_ns());
        if (mob_get(ref, &inner, MOB_FOREVER) != MOB_OK)
            return mob_fail(1, "level %d: %s", below, mob_last_error()->text), inner;
    }
    uint64_t *delays = mob_alloc_array(uint64_t, inner.count + 1);
    if (delays == NULL)
        return mob_fail(2, "no memory"), inner;
    delays[0] = delay;
    for (size_t i = 0; i < inner.count; i++)
        delays[i + 1] = inner.data[i];
    return mob_uint64s_of(delays, inner.count + 1);
}

MOB_TASK(int64_t, fib, (int32_t, n))
{
    if (n < 2)
        return n;
    MOB_REF(int64_t) a = mob_remote(fib, n - 1), b = mob_remote(fib, n - 2);
    int64_t x = 0, y = 0;
    if (mob_take(a, &x, MOB_FOREVER) != MOB_OK || mob_take(b, &y, MOB_FOREVER) != MOB_OK)
        mob_fail(1, "%s", mob_last_error()->text);
    return x + y;
}

/* ---- the roles ---- */

/* Nothing of Mobula: what starting the executable takes. */
static int role_hello(void)
{
    puts("hello");
    return 0;
}

static int role_first(void)
{
    private_cluster(0, 0);
    double x;
    must(mob_take(mob_remote(area, 1.0), &x, MOB_FOREVER), "the first task");
    printf("%g\n", x);
    fflush(stdout);
    mob_shutdown();
    return 0;
}

static uint64_t median_of_levels(mob_uint64s delays)
{
    uint64_t sorted[LEVELS + 1];
    size_t count = 0;
    for (size_t i = 1; i < delays.count && count < LEVELS;
         i++, count++) { /* the first needs no new worker */
        size_t at = count;
        for (; at > 0 && sorted[at - 1] > delays.data[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = delays.data[i];
    }
    return count > 0 ? sorted[count / 2] : 0;
}

/* On one cpu each level below the first needs a worker that does not exist yet; the second time all
 * are there. */
static int role_levels(void)
{
    private_cluster(1, 0);
    double warm;
    must(mob_take(mob_remote(area, 1.0), &warm, MOB_FOREVER), "the first task");
    uint64_t medians[2];
    for (unsigned i = 0; i < 2; i++) {
        MOB_REF(mob_uint64s) ref = mob_remote(level, LEVELS, clock_now_ns());
        mob_uint64s delays;
        must(mob_get(ref, &delays, MOB_FOREVER), "levels");
        medians[i] = median_of_levels(delays);
        mob_drop(ref);
    }
    printf("%" PRIu64 " %" PRIu64 "\n", medians[0], medians[1]);
    mob_shutdown();
    return 0;
}

/* Workers are what stands below the driver and has its name, the zygote not counted. */
static unsigned workers_count(void)
{
    static pid_t pids[PROCESSES_MAX];
    char own[32], name[32];
    unsigned count = processes_descendants(getpid(), pids, PROCESSES_MAX), workers = 0;
    process_name(getpid(), own, sizeof own);
    for (unsigned i = 0; i < count && i < PROCESSES_MAX; i++) {
        process_name(pids[i], name, sizeof name);
        workers += strcmp(name, own) == 0;
    }
    return workers > 0 ? workers - 1 : 0;
}

static int role_fib(void)
{
    private_cluster(1, 0);
    double warm;
    must(mob_take(mob_remote(area, 1.0), &warm, MOB_FOREVER), "the first task");
    uint64_t start = clock_now_ns();
    MOB_REF(int64_t) ref = mob_remote(fib, FIB_N);
    unsigned most = 0;
    int64_t x = 0;
    int rc;
    do {
        rc = mob_get(ref, &x, 50);
        unsigned workers = workers_count();
        most = workers > most ? workers : most;
    } while (rc == MOB_ETIMEDOUT);
    must(rc, "fib");
    if (x != FIB_OF_N)
        fail("fib(%d) gives %lld", FIB_N, (long long)x);
    printf("%.3f %u\n", seconds_between(start, clock_now_ns()) * 1e3, most);
    mob_shutdown();
    return 0;
}

bool role_play(int argc, char **argv, int *status)
{
    static const struct {
        const char *name;
        int (*play)(void);
    } roles[] = {
        {"hello", role_hello}, {"first", role_first}, {"levels", role_levels}, {"fib", role_fib}};
    if (argc != 3 || strcmp(argv[1], "--role") != 0)
        return false;
    *status = 2;
    end_with_parent();
    for (unsigned i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(argv[2], roles[i].name) == 0)
            *status = roles[i].play();
    return true;
}

double role_run(const char *const words[], char *line, size_t size)
{
    char text[256];
    size_t have = 0;
    int ends[2], status;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("pipe2: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    uint64_t start = clock_now_ns();
    if (posix_spawn(&pid, own_path(), &actions, NULL, (char *const *)(uintptr_t)words, environ) !=
        0)
        fail("starting %s %s failed", words[1], words[2]);
    close(ends[1]);
    while (have < sizeof text - 1 && memchr(text, '\n', have) == NULL) {
        if (poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, ROLE_TIMEOUT_MS) <= 0)
            kill(pid, SIGKILL);
        ssize_t got = read(ends[0], text + have, sizeof text - 1 - have);
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    double ms = seconds_between(start, clock_now_ns()) * 1e3;
    text[have] = '\0';
    close(ends[0]);
    waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    if (line != NULL)
        snprintf(line, size, "%s", text);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 && have > 0 ? ms : -1;
}
