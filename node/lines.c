/* lines.c: the writer may be anything that inherited the pipe, so there is no protocol but the
 * newline. */
#include "node/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/memory.h"

enum { READ_SIZE = 16 << 10 };

void lines_init(struct lines *lines, int fd, int stream, lines_sink *sink, void *context)
{
    *lines = (struct lines){
        .fd = fd, .stream = stream, .due_ms = UINT64_MAX, .sink = sink, .context = context};
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_NONBLOCK);
}

void lines_fini(struct lines *lines)
{
    if (lines->fd >= 0)
        close(lines->fd);
    lines->fd = -1;
    lines->due_ms = UINT64_MAX;
    buffer_fini(&lines->rest);
    memory_free(lines->tail);
    lines->tail = NULL;
}

static void remember(struct lines *lines, const char *bytes, size_t size)
{
    if (lines->tail == NULL && (lines->tail = memory_alloc(LINES_TAIL_MAX)) == NULL)
        abort();
    for (size_t i = size > LINES_TAIL_MAX ? size - LINES_TAIL_MAX : 0; i < size; i++)
        lines->tail[(lines->tail_end + i) % LINES_TAIL_MAX] = bytes[i];
    lines->tail_end += size;
}

static void give(struct lines *lines, const void *bytes, size_t size)
{
    if (size > 0)
        lines->sink(lines->context, lines->stream, (struct view){bytes, size});
}

static void give_rest(struct lines *lines)
{
    if (lines->sink != NULL)
        give(lines, buffer_head(&lines->rest), buffer_size(&lines->rest));
    buffer_fini(&lines->rest);
    lines->due_ms = UINT64_MAX;
}

static void hold(struct lines *lines, const char *bytes, size_t size)
{
    if (buffer_append(&lines->rest, bytes, size) != MOB_OK)
        abort();
}

/* Lines that are whole go out together, in one piece where they came in one. */
static void on_bytes(struct lines *lines, const char *bytes, size_t size, uint64_t now_ms)
{
    remember(lines, bytes, size);
    if (lines->sink == NULL)
        return;
    const char *last = memrchr(bytes, '\n', size);
    if (last != NULL) {
        size_t whole = (size_t)(last - bytes) + 1;
        if (buffer_size(&lines->rest) > 0) {
            const char *first = memchr(bytes, '\n', whole);
            size_t head = (size_t)(first - bytes) + 1;
            hold(lines, bytes, head);
            give_rest(lines);
            give(lines, bytes + head, whole - head);
        } else {
            give(lines, bytes, whole);
        }
        bytes += whole;
        size -= whole;
    }
    while (size > 0) {
        size_t room = LINES_SIZE_MAX - buffer_size(&lines->rest);
        size_t n = size < room ? size : room;
        hold(lines, bytes, n);
        bytes += n;
        size -= n;
        if (buffer_size(&lines->rest) == LINES_SIZE_MAX)
            give_rest(lines);
    }
    if (buffer_size(&lines->rest) > 0 && lines->due_ms == UINT64_MAX)
        lines->due_ms = now_ms + LINES_WAIT_MS;
}

/* Bytes read, 0 at the end, -1 when there are none now. */
static ssize_t read_some(struct lines *lines, uint64_t now_ms)
{
    char bytes[READ_SIZE];
    ssize_t got;
    do
        got = read(lines->fd, bytes, sizeof bytes);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        on_bytes(lines, bytes, (size_t)got, now_ms);
    return got < 0 && errno != EAGAIN ? 0 : got;
}

bool lines_read(struct lines *lines, uint64_t now_ms)
{
    ssize_t got = -1;
    for (size_t done = 0; done < LINES_TURN_MAX && lines->fd >= 0; done += (size_t)got)
        if ((got = read_some(lines, now_ms)) <= 0)
            break;
    return got != 0;
}

void lines_tick(struct lines *lines, uint64_t now_ms)
{
    if (now_ms >= lines->due_ms)
        give_rest(lines);
}

void lines_finish(struct lines *lines)
{
    /* A descendant that could not be killed might write for ever. */
    for (size_t done = 0; lines->fd >= 0 && done < 16 * LINES_TURN_MAX;) {
        ssize_t got = read_some(lines, 0);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    give_rest(lines);
}

size_t lines_tail(const struct lines *lines, size_t skip, char *out, size_t size)
{
    uint64_t kept = lines->tail_end < LINES_TAIL_MAX ? lines->tail_end : LINES_TAIL_MAX;
    if (lines->tail == NULL || skip >= kept)
        return 0;
    uint64_t end = lines->tail_end - skip, count = kept - skip;
    if (count > size)
        count = size;
    bool cut = end > count;
    uint64_t at = end - count;
    /* After a cut, start at a line unless there is only one. */
    for (uint64_t i = at; cut && i + 1 < end; i++)
        if (lines->tail[i % LINES_TAIL_MAX] == '\n') {
            at = i + 1;
            break;
        }
    for (uint64_t i = at; i < end; i++)
        out[i - at] = lines->tail[i % LINES_TAIL_MAX];
    return (size_t)(end - at);
}
