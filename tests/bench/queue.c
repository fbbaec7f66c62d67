/* queue.c: 200,000 tasks that wait at once. All cpus are held by tasks that wait for a FIFO to be
 * opened, so the driver really holds all of them; then the way is opened. In a process of its own,
 * since what malloc keeps of earlier work would hide what the queue takes. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/clock.h"
#include "tests/bench/bench.h"
#include "tests/support/tempdir.h"

#include <mobula.h>

enum { QUEUED = 200000 };

/* Ends once somebody opens the FIFO for writing. */
MOB_TASK(int32_t, gate, (mob_text, path))
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mob_fail(1, "opening %s: %s", path, strerror(errno)), 0;
    close(fd);
    return 1;
}

MOB_TASK(int32_t, queued)
{
    return 1;
}

static struct {
    char *path; /* of the FIFO */
    MOB_REF(int32_t) refs[QUEUED];
    int32_t values[QUEUED];
    double resident; /* bytes per task, of the first round */
    struct series bytes;
    double submit; /* per second, of the last round */
} queue;

static double heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

/* Anonymous memory of this process. */
static double resident_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    double kib = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtod(line + 8, NULL);
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

static double queue_round(void *unused)
{
    (void)unused;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    MOB_REF(int32_t) gates[64];
    cpus = cpus < 64 ? cpus : 64;
    for (long i = 0; i < cpus; i++)
        gates[i] = mob_remote(gate, queue.path);
    double heap = heap_bytes(), resident = resident_bytes();
    uint64_t start = clock_now_ns();
    for (unsigned i = 0; i < QUEUED; i++)
        queue.refs[i] = mob_remote(queued);
    queue.submit = QUEUED / seconds_between(start, clock_now_ns());
    heap = (heap_bytes() - heap) / QUEUED;
    resident = (resident_bytes() - resident) / QUEUED;
    if (queue.resident == 0) /* later rounds use memory again that malloc has kept */
        queue.resident = resident;
    queue.bytes.values[queue.bytes.count++ % ROUNDS_MAX] =
        heap > queue.resident ? heap : queue.resident;

    start = clock_now_ns();
    int fd = open(queue.path, O_RDWR | O_CLOEXEC); /* read-write: does not wait for a reader */
    must(mob_get_all(queue.refs, QUEUED, queue.values, MOB_FOREVER), "getting what was queued");
    double seconds = seconds_between(start, clock_now_ns());
    unsigned good = 0;
    for (unsigned i = 0; i < QUEUED; i++) {
        good += queue.values[i] == 1;
        mob_drop(queue.refs[i]);
    }
    for (long i = 0; i < cpus; i++)
        mob_drop(gates[i]);
    close(fd);
    if (good != QUEUED)
        fail("%u of %d queued tasks gave their value", good, QUEUED);
    return QUEUED / seconds;
}

void part_queue(void)
{
    struct series rate = {.name = "tasks_queued_200k", .unit = "1/s", .round = queue_round};
    struct series *bytes = &queue.bytes;
    *bytes = (struct series){.name = "tasks_queued_bytes", .unit = "B"};
    struct series ring = RAW_RING_STREAM;
    queue.path = tempdir_path(tempdir_create(), "gate");
    if (mkfifo(queue.path, 0600) != 0)
        fail("%s: %s", queue.path, strerror(errno));
    memset(queue.refs, 1, sizeof queue.refs); /* in memory before it is measured */
    memset(queue.values, 1, sizeof queue.values);
    raw_start();
    private_cluster(0, 0);
    must(mob_get(mob_remote(queued), queue.values, MOB_FOREVER), "the first task");
    measure(&(struct group){.series = {&ring, &rate}});
    report_noted(&rate, NULL, &ring, NULL, "queued at %.0f per second", queue.submit);
    report_noted(
        bytes, &(struct floor){.kind = AT_MOST, .value = 200}, NULL, NULL,
        "per task in the driver by malloc's count or by resident memory, %.1f, whichever is more",
        queue.resident);
    mob_shutdown();
    raw_stop();
    free(queue.path);
}
