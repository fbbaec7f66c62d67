/* shell.h: the head as a process: one loop around core, journal and transport.
 * Owns all three. Bounds: theirs. Runs on: the main thread, and libzmq's I/O thread. Touches:
 * sockets, the journal's files, the clock, the log. */
#ifndef MOB_HEAD_SHELL_H
#define MOB_HEAD_SHELL_H
#include "head/core.h"
#include "protocol/daemon.h"

struct head_shell_config {
    struct head_config core;
    const char *listen; /* endpoint */
    const char *data;   /* folder of the journal; NULL: in memory */
    uint64_t fault_commit;
};

/* Serve until told to stop (SIGTERM, SIGINT, the followed process has ended): MOB_OK. Otherwise
 * what failed; a journal that could not commit is among it, and then nothing that depended on that
 * commit was sent. */
int head_shell_run(const struct head_shell_config *config, struct daemon *daemon,
                   struct mob_err *err) MOB_MUST_CHECK;
#endif
