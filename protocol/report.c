/* report.c: a page of plain memory. The writer may die between any two stores, so each part is
 * useful without the next. Rejected: a line on the worker's stderr, which a full pipe, a closed
 * descriptor or the user's own text spoils. */
#include "protocol/report.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REPORT_PAGE_BYTES ((size_t)4096)

struct report {
    _Atomic uint32_t signal;
    uint32_t dumped;
    uint64_t address;
    char function[REPORT_FUNCTION_MAX];
    char task[REPORT_TASK_MAX];
    _Atomic uint64_t tail_end;  /* bytes appended since the beginning */
    char tail[REPORT_TAIL_MAX]; /* a ring */
};

static_assert(sizeof(struct report) <= REPORT_PAGE_BYTES, "one page");

int report_create(int *fd, struct mob_err *err)
{
    *fd = memfd_create("mobula-report", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return mob_err_system(err, "making a worker's report: memfd_create");
    if (ftruncate(*fd, (off_t)REPORT_PAGE_BYTES) == 0 &&
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return MOB_OK;
    int rc = mob_err_system(err, "making a worker's report");
    close(*fd);
    *fd = -1;
    return rc;
}

/* `to` was zeroed. */
static void text_clean(char *to, const char *from, size_t size)
{
    for (size_t i = 0; i < size - 1 && from[i] != '\0'; i++)
        to[i] = (unsigned char)from[i] < ' ' ? '?' : from[i];
}

void report_read(int fd, struct report_copy *out)
{
    *out = (struct report_copy){0};
    struct report r;
    if (pread(fd, &r, sizeof r, 0) != (ssize_t)sizeof r)
        return;
    out->signal = r.signal < 128 ? r.signal : 0;
    out->address = r.address;
    text_clean(out->function, r.function, sizeof out->function);
    text_clean(out->task, r.task, sizeof out->task);
    out->dumped = r.dumped;
    uint64_t end = r.tail_end;
    out->tail_size = end < REPORT_TAIL_MAX ? (size_t)end : REPORT_TAIL_MAX;
    for (size_t i = 0; i < out->tail_size; i++)
        out->tail[i] = r.tail[(end - out->tail_size + i) % REPORT_TAIL_MAX];
}

struct report *report_map(int fd)
{
    void *map = mmap(NULL, REPORT_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

void report_unmap(struct report *r)
{
    if (r != NULL)
        munmap(r, REPORT_PAGE_BYTES);
}

void report_crash(struct report *r, uint32_t signal, uint64_t address)
{
    r->address = address;
    r->signal = signal;
}

void report_task(struct report *r, const char *name)
{
    size_t i = 0;
    for (; i < sizeof r->task - 1 && name[i] != '\0'; i++)
        r->task[i] = name[i];
    r->task[i] = '\0';
}

void report_function(struct report *r, const char *name)
{
    for (size_t i = 0; i < sizeof r->function - 1 && name[i] != '\0'; i++)
        r->function[i] = name[i];
}

void report_tail(struct report *r, const char *bytes, size_t size)
{
    uint64_t end = r->tail_end;
    size_t skipped = size > REPORT_TAIL_MAX ? size - REPORT_TAIL_MAX : 0;
    for (size_t i = skipped; i < size; i++)
        r->tail[(end + i) % REPORT_TAIL_MAX] = bytes[i];
    r->tail_end = end + size;
}

void report_dumped(struct report *r, size_t size)
{
    r->dumped = (uint32_t)size;
}
