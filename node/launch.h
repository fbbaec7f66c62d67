/* launch.h: one start of a user's program by the node: as the zygote of a job, or, when the program
 * cannot be forked because it has threads, as one worker. The program runs with the arguments,
 * directory and environment of its driver, in a session of its own, with nothing on stdin and no
 * descriptor of the node but its control socket. It dies with the node's loop thread.
 *
 * Owns the process until it is reaped, its control socket, and the pipes of its output before it
 * forks. Runs on: the node's loop. Touches: processes, sockets, pipes. */
#ifndef MOB_NODE_LAUNCH_H
#define MOB_NODE_LAUNCH_H
#include "node/lines.h"
#include "node/loop.h"
#include "protocol/control.h"

enum { LAUNCH_GROUPS_MAX = 64 };

/* Whose program it is. */
struct launch_owner {
    int exe_fd; /* the driver's executable, open since its hello: whatever happened to the file
                   since */
    uid_t uid;
    gid_t gid;
    gid_t groups[LAUNCH_GROUPS_MAX];
    int group_count;
};

struct launch {
    struct mob_job job;
    pid_t pid; /* 0: reaped, or never started */
    bool ready, forks;
    uint64_t worker;     /* the worker that this process itself is, or will be; 0 = none */
    uint64_t give_up_ms; /* when it must be ready; UINT64_MAX: it is */
    struct watch control, out_watch, err_watch;
    struct lines out, err;
    struct launch *prev, *next; /* of the job */
    void *owner;
};

/* At the node's start: allow it as many descriptors as the system lets it have; programs still get
 * what it had. */
void launch_raise_files(void);

/* Open /proc/PID/exe of a driver and note its groups, from its connected control socket. */
int launch_owner_init(struct launch_owner *owner, int control_fd, const struct control_peer *peer,
                      struct mob_err *err) MOB_MUST_CHECK;
void launch_owner_fini(struct launch_owner *owner); /* a zeroed one is fine */

/* Start it. `launch` is zeroed but for job and worker. The caller then watches control.fd, out.fd
 * and err.fd. A program that cannot be executed ends with status 127 and says why on its stderr. */
int launch_start(struct launch *launch, const struct launch_owner *owner,
                 const struct msg_client_hello *package, struct mob_err *err) MOB_MUST_CHECK;
/* Take it out of the loop, close all. The process is the caller's to kill and to reap before. */
void launch_fini(struct launch *launch, struct loop *loop);
/* Why there is no worker: "the program ended before mob_init (exit 2); its stderr: ...". `status`
 * as of waitpid. */
void launch_explain(const struct launch *launch, int status, bool timed_out, char *text,
                    size_t size);
#endif
