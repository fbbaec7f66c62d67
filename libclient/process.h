/* process.h: what this process is to Mobula, once: nothing yet, a driver, or a worker; and how the
 * API gets in. Owns the one shell of the process and each thread's last error. Runs on: any thread.
 */
#ifndef MOB_CLIENT_PROCESS_H
#define MOB_CLIENT_PROCESS_H
#include <mobula.h>

#include "libclient/shell.h"

enum process_role { PROCESS_NONE, PROCESS_DRIVER, PROCESS_WORKER, PROCESS_CLOSED };

extern struct process {
    _Atomic enum process_role role;
    struct shell shell;
    struct connection connection;
    struct mob_config config;
} process;

/* The shell, or NULL with the reason in `err` (may be NULL): not initialised, closed, or a forked
 * child. */
struct shell *process_enter(struct mob_error *err);
/* Whether this is a child that was forked from a process which is set up. */
bool process_forked(void);
/* The process is set up and may be entered. */
void process_begin(enum process_role role);
/* Fill `err` (may be NULL); returns code. */
int error_set(struct mob_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int error_from(struct mob_error *err, const struct mob_err *from);
/* From the frames of a failed task; returns the outermost code. */
int error_from_frames(struct mob_error *err, const struct msg_list *frames);
/* The client's settings from the node's welcome. */
struct client_config process_client_config(const struct msg_client_welcome *w, bool worker);

/* worker.c: serve the node in a process that it has started; never returns. */
_Noreturn void worker_main(int control_fd);
/* The end of a task: free what it has from mob_alloc. */
void worker_free_blocks(void);
#endif
