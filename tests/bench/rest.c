/* rest.c: what a private cluster takes while nothing runs: memory of head and node, and cpu time of
 * all its processes, the driver's included. */
#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/support/processes.h"

#include <mobula.h>

enum {
    WARM_UP = 1000,
    SETTLE_MS = 2500,
    SETTLE_QUICK_MS = 1000,
    REST_MS = 30000,
    REST_QUICK_MS = 10000,
    PROCESSES_MAX = 256
};

MOB_TASK(int32_t, idle)
{
    return 1;
}

/* Bytes in memory, shared pages by their share, without mappings of the arena. */
static double pss_without_arena(const char *name)
{
    pid_t pid = processes_find(getpid(), name);
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *file = fopen(path, "re");
    if (pid == 0 || file == NULL)
        fail("there is no process %s", name);
    double kib = 0;
    bool arena = false;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *space = strchr(line, ' ');
        if (space != NULL && space > line && space[-1] != ':') /* the head of a mapping */
            arena = strstr(line, "mobula-arena") != NULL;
        else if (!arena && strncmp(line, "Pss:", 4) == 0)
            kib += strtod(line + 4, NULL);
    }
    fclose(file);
    return kib * 1024;
}

static double pss_round(void *unused)
{
    (void)unused;
    return (pss_without_arena("mobula-head") + pss_without_arena("mobula-node")) / (1 << 20);
}

/* Nanoseconds that the threads of a process have run. */
static double cpu_ns(pid_t pid)
{
    char path[320];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    struct dirent *entry;
    while (threads != NULL && (entry = readdir(threads)) != NULL) {
        double ns = 0;
        snprintf(path, sizeof path, "/proc/%d/task/%.32s/schedstat", (int)pid, entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (file != NULL && fscanf(file, "%lf", &ns) == 1)
            sum += ns;
        if (file != NULL)
            fclose(file);
    }
    if (threads != NULL)
        closedir(threads);
    return sum;
}

static struct {
    pid_t pids[PROCESSES_MAX + 1];
    double before[PROCESSES_MAX + 1];
    unsigned count;
    char text[TEXT_MAX];
} rest;

/* Seconds of cpu in the time of rest. */
static double cpu_round(void *unused)
{
    (void)unused;
    rest.count = processes_descendants(getpid(), rest.pids + 1, PROCESSES_MAX) + 1;
    rest.pids[0] = getpid();
    if (rest.count > PROCESSES_MAX)
        fail("%u processes at rest", rest.count);
    for (unsigned i = 0; i < rest.count; i++)
        rest.before[i] = cpu_ns(rest.pids[i]);
    poll(NULL, 0,
         options.quick ? REST_QUICK_MS : REST_MS); /* the time itself is what is measured */
    double sum = 0;
    size_t used = 0;
    for (unsigned i = 0; i < rest.count; i++) {
        char name[32];
        double ns = cpu_ns(rest.pids[i]) - rest.before[i];
        process_name(rest.pids[i], name, sizeof name);
        if (used < sizeof rest.text)
            used += (size_t)snprintf(rest.text + used, sizeof rest.text - used, "%s%s %.1f ms",
                                     i > 0 ? ", " : "", name, ns / 1e6);
        sum += ns / 1e9;
    }
    return sum;
}

void part_rest(void)
{
    struct series pss = {.name = "pss_at_rest", .unit = "MiB", .round = pss_round};
    struct series cpu = {.name = "cpu_at_rest", .unit = "s", .round = cpu_round};
    private_cluster(0, 0);
    static MOB_REF(int32_t) refs[WARM_UP];
    static int32_t values[WARM_UP];
    for (unsigned i = 0; i < WARM_UP; i++)
        refs[i] = mob_remote(idle);
    must(mob_get_all(refs, WARM_UP, values, MOB_FOREVER), "warming up");
    for (unsigned i = 0; i < WARM_UP; i++)
        mob_drop(refs[i]);
    poll(NULL, 0, options.quick ? SETTLE_QUICK_MS : SETTLE_MS);
    if (wanted(pss.name)) {
        measure(&(struct group){.series = {&pss}});
        report_noted(&pss, &(struct floor){.kind = AT_MOST, .value = 25}, NULL, NULL,
                     "head %.1f MiB, node %.1f MiB", pss_without_arena("mobula-head") / (1 << 20),
                     pss_without_arena("mobula-node") / (1 << 20));
    }
    if (wanted(cpu.name) && options.profile == NULL) {
        /* One round: it is a sum over a long time, and a warm-up round would double it. */
        cpu.values[cpu.count++] = cpu_round(NULL);
        report_noted(&cpu, &(struct floor){.kind = AT_MOST, .value = options.quick ? 0.1 : 0.3},
                     NULL, NULL, "in %d s: %s", (options.quick ? REST_QUICK_MS : REST_MS) / 1000,
                     rest.text);
    }
    mob_shutdown();
}
