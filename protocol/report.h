/* report.h: what a worker leaves behind for its node, whatever ends it: where it crashed, and the
 * last that it wrote to the stderr of stdio. One page of shared memory for each worker, written by
 * the worker as it goes and read by the node after its death, so that nothing has to be sent by a
 * process that is dying.
 *
 * Owns: the worker's side owns its mapping, the node's side its descriptor. Bound: one page. Runs
 * on: writing on any one thread of the worker, in signal handlers too: the functions marked S make
 * no call at all. Touches: memfd, mmap. Invariant: the reader believes nothing: sizes are bounded,
 * text is cleaned. */
#ifndef MOB_PROTOCOL_REPORT_H
#define MOB_PROTOCOL_REPORT_H
#include <stddef.h>
#include <stdint.h>

#include "protocol/errors.h"

enum { REPORT_FUNCTION_MAX = 256, REPORT_TASK_MAX = 64, REPORT_TAIL_MAX = 2048 };

struct report; /* the shared page */

/* A private copy of what a report says. */
struct report_copy {
    uint32_t signal;                    /* 0: it did not crash */
    uint64_t address;                   /* that was accessed, for faults */
    char function[REPORT_FUNCTION_MAX]; /* the innermost user function, or empty */
    char task[REPORT_TASK_MAX];         /* the function that it was told to run last, or empty */
    char tail[REPORT_TAIL_MAX];         /* the last bytes of stderr, oldest first */
    size_t tail_size;
    size_t dumped; /* so many of those bytes were also the last to go through the pipe */
};

/* Node: make an empty one. `*fd` is the caller's. */
int report_create(int *fd, struct mob_err *err) MOB_MUST_CHECK;
/* Node: copy what is there; cannot fail: what is not readable is empty. */
void report_read(int fd, struct report_copy *out);

/* Worker: map it; `fd` stays the caller's. NULL when that fails. */
struct report *report_map(int fd);
void report_unmap(struct report *r); /* NULL is fine */
/* S. Note the crash. The function may be noted later, or never. */
void report_crash(struct report *r, uint32_t signal, uint64_t address);
/* S. `name` is cut to what fits. */
void report_function(struct report *r, const char *name);
/* S. The worker runs this function from now on: what it writes past stdio is told apart by it. */
void report_task(struct report *r, const char *name);
/* S. Append to the tail; only the last REPORT_TAIL_MAX bytes are kept. */
void report_tail(struct report *r, const char *bytes, size_t size);
/* S. Note that the last `size` bytes of the tail were also written to descriptor 2. */
void report_dumped(struct report *r, size_t size);
#endif
