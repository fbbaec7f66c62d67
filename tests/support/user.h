/* user.h: programs of a user (tests/programs), as tests run them: found beside the test, held to
 * their answer, and to leaving nothing behind. Owns nothing. Runs on: the test's main thread.
 * Touches: processes, /proc. */
#ifndef MOB_TEST_SUPPORT_USER_H
#define MOB_TEST_SUPPORT_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/support/program.h"

/* The path of a file of this build, "tests/programs/api_life" or "mobula-head"; the caller frees
 * it. */
char *user_path(const char *name);

/* Start tests/programs/`program` with up to two arguments, which may be NULL. */
struct program *user_start(const char *program, const char *what, const char *more);
/* The same with variables of the environment. */
struct program *user_start_with(const char *program, const char *what, const char *more,
                                const char *const env[]);

/* Its exit status must be `status`, and nothing of its cluster may be left within 2 s. Repeats what
 * it says to have skipped. Destroys it. */
void user_ends(struct program *program, int status);

/* Run one case of a program to its end, which must be status 0. */
void user_runs(const char *program, const char *what);

/* The workers of this driver: processes with its name whose parent, the zygote, has it too. */
unsigned user_workers(const struct program *driver, pid_t *pids, unsigned pids_max);

/* Whether this worker ignores the signal `number`: in that way its tasks can say that they have
 * run.
 */
bool user_worker_ignores(pid_t worker, int number);

/* Nothing is left of the private cluster of process `driver`: no socket, no file below TMPDIR or in
 * /dev/shm. */
bool user_left_nothing(pid_t driver);

#endif
