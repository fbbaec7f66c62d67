/* program.h: a real program under test: started with its output captured, waited for with a time
 * limit, and ended with every process that it started, those that left it included. Owns the
 * process until it is destroyed. Runs on: the thread that started it. Touches: processes, memfd. */
#ifndef MOB_TEST_SUPPORT_PROGRAM_H
#define MOB_TEST_SUPPORT_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

struct program;

/* Start argv[0] (found by PATH) with the variables of `env` ("NAME=value", NULL-terminated; may be
 * NULL) added to the environment, nothing on stdin. It is killed if the calling thread ends. Aborts
 * when there is no process to be had; a program that does not exist ends with status 127. */
struct program *program_start(const char *const argv[], const char *const env[]);

/* Wait until it ends: its exit status, or 128 + the signal that ended it. After `timeout_ms` (times
 * MOBULA_TEST_SLOWER) kill it and all it started: -1. May be repeated. */
int program_wait(struct program *program, int timeout_ms);

bool program_ended(struct program *program);
pid_t program_pid(const struct program *program);
void program_signal(struct program *program, int signal);

/* Processes that are alive and were started by this program or by those it started, without itself.
 */
unsigned program_others(const struct program *program);

/* What it has written so far; valid until the next call of the same function or program_destroy. */
const char *program_stdout(struct program *program);
const char *program_stderr(struct program *program);

/* Kill what still runs, and free. NULL is fine. */
void program_destroy(struct program *program);

#endif
