/* descendants.h: ending everything that a dead worker has started, those that tried to get away
 * included. Node and zygotes are subreapers, so whatever loses its parent below them becomes their
 * own child: killing children until none is left ends whole trees. Whom an orphan belonged to is
 * told by its session, or, when it made a session of its own, by the mark that its worker carries
 * in its environment.
 *
 * Owns nothing. Runs on: the one thread of a zygote, the loop of a node. Touches: /proc, signals.
 */
#ifndef MOB_PROTOCOL_DESCENDANTS_H
#define MOB_PROTOCOL_DESCENDANTS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The environment variable that carries a worker's process id in DESCENDANTS_MARK_DIGITS decimal
 * digits. The node puts it there with zeros; a forked worker overwrites the digits in place, which
 * /proc/PID/environ shows for it and for all that it starts. */
#define DESCENDANTS_MARK "MOBULA_WORKER_ID"
enum { DESCENDANTS_MARK_DIGITS = 20 };

/* Kill every child of the calling process that `spare` does not want kept. Returns how many it has
 * killed that are not dead yet: reap them, then call again, since their children are now the
 * caller's. */
unsigned descendants_kill(bool (*spare)(pid_t pid, void *context), void *context);
/* The process id in the mark of `pid`; 0 when it has none. */
uint64_t descendants_mark(pid_t pid);
/* Write `process` into this process's mark, if it has one. */
void descendants_mark_own(uint64_t process);
#endif
