/* lines.h: what comes out of a pipe that a process writes its stdout or stderr to, as whole lines.
 * A line longer than LINES_SIZE_MAX is cut; one that is not finished goes out after LINES_WAIT_MS,
 * or at the end. Owns the reading end. Bound: LINES_SIZE_MAX bytes held and LINES_TAIL_MAX
 * remembered. Runs on: the node's loop. Touches: pipes. */
#ifndef MOB_NODE_LINES_H
#define MOB_NODE_LINES_H
#include <stdbool.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "protocol/cursor.h"

enum {
    LINES_SIZE_MAX = 8 << 10,
    LINES_WAIT_MS = 100,
    LINES_TAIL_MAX = 2048,
    LINES_TURN_MAX = 64 << 10
};

/* `lines` is lent: whole lines, but for one that was cut or that the end left unfinished. */
typedef void lines_sink(void *context, int stream, struct view lines);

struct lines {
    int fd; /* -1: none */
    int stream;
    struct buffer rest; /* of a line */
    uint64_t due_ms;    /* when it goes out unfinished; UINT64_MAX: there is none */
    uint64_t tail_end;  /* bytes that came in all */
    char *tail;         /* the last of them, a ring; NULL until the first came */
    lines_sink *sink;
    void *context;
};

/* Takes `fd`, which is made non-blocking. `sink` NULL: only the tail is kept. */
void lines_init(struct lines *lines, int fd, int stream, lines_sink *sink, void *context);
void lines_fini(struct lines *lines);
/* Read what is there, at most about LINES_TURN_MAX bytes. False at the end of the pipe: the caller
 * stops watching. */
bool lines_read(struct lines *lines, uint64_t now_ms);
/* Give out an unfinished line that is due. */
void lines_tick(struct lines *lines, uint64_t now_ms);
/* The writer is dead: read all that it left, and give out the rest. */
void lines_finish(struct lines *lines);
/* Copy the last bytes without the very last `skip` ones, oldest first, from the start of a line if
 * there is one. */
size_t lines_tail(const struct lines *lines, size_t skip, char *out, size_t size);
#endif
