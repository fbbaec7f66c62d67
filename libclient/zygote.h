/* zygote.h: the user's program as the node starts it: it stops in mob_init and forks a worker each
 * time the node asks. A fork inherits everything that the program has loaded, so a worker is ready
 * in a fraction of a millisecond.
 *
 * The zygote forks only while it has one thread. Otherwise the node starts the program once for
 * each worker, and zygote_run returns in that very process. It is a subreaper: whatever a dead
 * worker leaves behind, whatever it did to get away, becomes the zygote's child and is killed
 * before the node hears of the death. When the node's end of the control socket closes, the zygote
 * ends all of them and itself.
 *
 * Owns: its workers, SIGCHLD while it runs. Bound: as many workers as the node asks for. Runs on:
 * the thread that called mob_init. Touches: processes, signals, sockets. */
#ifndef MOB_ZYGOTE_H
#define MOB_ZYGOTE_H
#include "libclient/connection.h"

/* The control socket that the node left to this process, or -1 in a driver. The first call takes
 * the variable out of the environment, so that programs which a task starts are drivers; later
 * calls return what the first did. */
int zygote_fd(void);

/* Serve the node. Never returns in the zygote itself. Returns MOB_OK in a worker: `out` is set up,
 * descriptors 1 and 2 are the worker's pipes, the crash handlers are installed (with `dump` as
 * crash_install takes it), signals are as they were at the call. Any error is one of a worker that
 * could not be set up: end with _exit(127). `functions` is the number of registered functions, for
 * the node to show. */
int zygote_run(int control_fd, uint64_t functions, void (*dump)(void), struct connection *out,
               struct mob_err *err) MOB_MUST_CHECK;
#endif
