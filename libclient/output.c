/* output.c: streams made by fopencookie.
 * stdout is fully and stderr line buffered, so that the report's copy of stderr is never older than
 * the last newline; neither makes a system call: bytes are gathered in `held` until a flush or
 * until it is full. Replacing the variables stdout and stderr reaches printf, puts, perror, assert
 * and all that names them; code that has kept the old FILE pointers (C++'s cout) goes to the
 * descriptors, line by line.
 *
 * The library's thread looks at the sinks without a lock, and before they are installed: `file` is
 * published when all is in place, and `held_size` says what is in `held`. It is changed with the
 * stream's lock held, last of all, so that whoever takes the lock next and reads it first sees the
 * bytes; sanitizers do not see stdio's locks, and take its word.
 *
 * Rejected: a pipe read by a thread of the worker, which costs two system calls for each line and
 * loses which task printed it. */
#include "libclient/output.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

struct sink {
    int stream;
    FILE *_Atomic file;
    FILE *before;
    _Atomic size_t held_size;
    char held[OUTPUT_BYTES_MAX];
    char buffer[4096]; /* stdio's */
};

static struct {
    output_emit *emit;
    void *context;
    struct report *report;
    struct sink sinks[2];
} output = {.sinks = {{.stream = 1}, {.stream = 2}}};

static void sink_emit(struct sink *s, size_t size)
{
    if (size == 0)
        return;
    output.emit(s->stream, s->held, size, output.context);
    size_t rest = s->held_size - size;
    memmove(s->held, s->held + size, rest);
    s->held_size = rest;
}

static size_t whole_lines(const struct sink *s)
{
    size_t size = s->held_size;
    const char *last = memrchr(s->held, '\n', size);
    return last != NULL ? (size_t)(last - s->held) + 1 : 0;
}

static ssize_t on_write(void *cookie, const char *bytes, size_t size)
{
    struct sink *s = cookie;
    if (s->stream == 2 && output.report != NULL)
        report_tail(output.report, bytes, size);
    for (size_t done = 0; done < size;) {
        if (s->held_size == sizeof s->held) {
            size_t lines = whole_lines(s);
            sink_emit(s, lines > 0 ? lines : s->held_size);
        }
        size_t at = s->held_size, room = sizeof s->held - at;
        size_t n = size - done < room ? size - done : room;
        memcpy(s->held + at, bytes + done, n);
        s->held_size = at + n;
        done += n;
    }
    return (ssize_t)size;
}

static int sink_open(struct sink *s, FILE **variable, int mode, struct mob_err *err)
{
    s->before = *variable;
    fflush(s->before);
    /* What is in it now is out; from here on it must not hold back what _exit would lose. */
    setvbuf(s->before, NULL, _IOLBF, 0);
    FILE *file = fopencookie(s, "w", (cookie_io_functions_t){.write = on_write});
    if (file == NULL)
        return mob_err_set(err, MOB_ENOMEM, "replacing the stream %d of stdio", s->stream);
    setvbuf(file, s->buffer, mode, sizeof s->buffer);
    *variable = file;
    s->file = file;
    return MOB_OK;
}

int output_install(output_emit *emit, void *context, struct report *report, struct mob_err *err)
{
    output.emit = emit;
    output.context = context;
    output.report = report;
    int rc = sink_open(&output.sinks[0], &stdout, _IOFBF, err);
    return rc == MOB_OK ? sink_open(&output.sinks[1], &stderr, _IOLBF, err) : rc;
}

static bool sink_pending(const struct sink *s)
{
    FILE *file = s->file;
    return file != NULL && (__fpending(file) > 0 || s->held_size > 0 || __fpending(s->before) > 0);
}

static void sink_flush(struct sink *s, bool all)
{
    fflush_unlocked(s->file);
    sink_emit(s, all ? s->held_size : whole_lines(s));
    /* On the old stream an unfinished line may wait. */
    if (ftrylockfile(s->before) == 0) {
        fflush_unlocked(s->before);
        funlockfile(s->before);
    }
}

void output_flush(void)
{
    int saved = errno;
    for (int i = 0; i < 2; i++) {
        struct sink *s = &output.sinks[i];
        if (!sink_pending(s))
            continue;
        flockfile(s->file);
        sink_flush(s, true);
        funlockfile(s->file);
    }
    errno = saved;
}

void output_flush_free(void)
{
    int saved = errno;
    for (int i = 0; i < 2; i++) {
        struct sink *s = &output.sinks[i];
        if (!sink_pending(s) || ftrylockfile(s->file) != 0)
            continue;
        sink_flush(s, false);
        funlockfile(s->file);
    }
    errno = saved;
}

static void dump(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n <= 0)
            return;
        bytes += n;
        size -= (size_t)n;
    }
}

/* The end of stderr is in the report already; the pipe repeats it so that the driver sees it too.
 */
void output_dump(void)
{
    for (int i = 0; i < 2; i++) {
        struct sink *s = &output.sinks[i];
        if (s->file == NULL || s->held_size > sizeof s->held)
            continue;
        size_t pending = __fpending(s->file);
        if (pending > sizeof s->buffer)
            pending = 0;
        if (i == 1 && output.report != NULL) {
            report_tail(output.report, s->buffer, pending);
            report_dumped(output.report, s->held_size + pending);
        }
        dump(s->stream, s->held, s->held_size);
        dump(s->stream, s->buffer, pending);
    }
}
