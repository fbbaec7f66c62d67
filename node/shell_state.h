/* shell_state.h: what the files of the node's shell share (node/shell.h lists them).
 * Everything runs on the loop thread. Records are freed when their cause ends; watches may be
 * removed at any time. */
#ifndef MOB_NODE_SHELL_STATE_H
#define MOB_NODE_SHELL_STATE_H
#include <stdlib.h>

#include "node/arena.h"
#include "node/channel.h"
#include "node/core.h"
#include "node/launch.h"
#include "node/lines.h"
#include "node/loop.h"
#include "node/shell.h"
#include "protocol/memory.h"

#define uthash_fatal(text) abort()
#include <uthash.h>
#include <utlist.h>

enum {
    LOCAL_PENDING_MAX = 64,
    STRANGERS_MAX = 8, /* of users who will be refused */
    GREETING_MS = 10000,
    THROTTLE_BYTES = 1 << 20,   /* waiting for a driver: its workers are not read */
    UNTHROTTLE_BYTES = 1 << 18, /* until no more than this waits */
    DEAF_MS = 1000, /* or the driver has taken nothing for so long; then output is dropped */
};

struct site;

/* A driver or worker with a channel. */
struct member {
    struct channel channel; /* first: the loop's and the core's callbacks find the member by it */
    struct shell *shell;
    struct site *site;
    bool driver;
    bool killed; /* its end is on the way */
    /* driver: */
    struct watch life; /* its pidfd */
    /* worker: */
    struct launch *launch; /* that forked it, or that it is */
    pid_t pid;             /* 0 until it is known */
    bool asked;            /* its zygote was told to fork it */
    const char *why;       /* why this node ended it, or NULL */
    struct lines out, err;
    struct watch out_watch, err_watch;
    int child_fds[3]; /* its ends of pipes and control socket, until it is forked */
    int report_fd;
    struct member *prev, *next; /* of the site */
    UT_hash_handle hh;          /* shell->members, by channel.process */
};

/* A ring pair between two members: kept to revoke it, and to read what a dead worker was running.
 */
struct tie {
    struct {
        uint64_t a, b; /* sides 0 and 1 */
    } key;
    struct ring_end ring; /* observer */
    UT_hash_handle hh;
};

/* What a job has on this node. */
struct site {
    struct shell *shell;
    struct mob_job job;
    struct launch_owner owner;
    struct arena arena;
    struct launch *launches; /* the zygote, or one for each worker, or none */
    bool execs;              /* its program cannot be forked */
    bool throttled;          /* nothing is read from its workers until its driver has read */
    bool deaf;               /* its driver has read nothing for DEAF_MS */
    uint64_t progress_ms;    /* when the driver last took something, while throttled */
    struct member *members;
    struct site *prev, *next;
};

/* A driver that has not been let in yet. */
struct greeting {
    struct watch control;
    struct shell *shell;
    struct mob_process process; /* since its hello */
    struct launch_owner owner;
    pid_t pid;
    int page_fd, event_fd; /* of its own doorbell, or -1 */
    uint64_t give_up_ms;
    bool held;     /* its hello waits until there are process ids */
    bool stranger; /* of a user who may not come in */
    struct greeting *prev, *next;
};

struct uplink;

struct shell {
    const struct shell_config *config;
    struct daemon *daemon;
    struct loop loop;
    struct node_core *core;
    struct doorbell bell;
    struct watch bell_watch, stop_watch, child_watch, life_watch, local_watch;
    int lock_fd; /* beside the local socket's path */
    struct uplink *uplink;
    struct member *members; /* hash */
    struct tie *ties;       /* hash */
    struct site *sites;
    struct greeting *greetings;
    unsigned greeting_count, stranger_count; /* the first has the second in it */
    struct buffer scratch;
    uint64_t now_ms;
    bool announced; /* on ready_fd */
    bool sweeping;  /* something died: look for orphans */
    bool stopping;
    int stop_code;
    struct mob_err stop_err;
};

static inline struct member *member_find(struct shell *shell, struct mob_process process)
{
    struct member *m;
    HASH_FIND(hh, shell->members, &process, sizeof process, m);
    return m;
}

/* The loop ends after this turn. */
void node_shell_stop(struct shell *shell, int code, const char *why);

/* ---- members.c ---- */
/* The greeting of an accepted driver becomes a member; its site exists. */
void members_welcome(struct shell *shell, struct greeting *greeting, struct site *site);
/* Set a worker up and have it forked as soon as there is a zygote. */
void members_fork(struct shell *shell, struct site *site, struct mob_process process);
/* Send it to its launch. */
void members_send_fork(struct member *m);
void members_forked(struct member *m, pid_t pid);
/* The worker is dead: give the core all that it left, then its end. `status` as of waitpid. */
void members_ended(struct member *m, int status);
/* Kill -9; its end follows through its zygote, which ends its descendants too. */
void members_kill(struct member *m);
void members_connect(struct shell *shell, struct mob_process a, struct mob_process b);
void members_disconnect(struct shell *shell, struct mob_process a, struct mob_process b);
void members_destroy(struct member *m);
/* Frames of all rings to the core; true when some have more. Members that broke a rule are ended.
 */
bool members_read(struct shell *shell);
/* What waits for a member goes into its ring as far as there is room. */
void members_flush(struct shell *shell, struct peer *peer);
/* The recheck before sleeping; on the way, retry what did not fit. */
bool members_pending(struct shell *shell);
/* Unfinished lines of output that are due; returns when the next is. */
uint64_t members_tick(struct shell *shell);

/* ---- sites.c ---- */
struct site *sites_find(struct shell *shell, struct mob_job job);
/* The job of an accepted driver; takes the greeting's program. */
struct site *sites_add(struct shell *shell, struct mob_job job, struct greeting *greeting);
void sites_start_zygote(struct shell *shell, struct mob_job job);
void sites_fork_worker(struct shell *shell, struct mob_job job, struct mob_process process);
/* Kill all that runs for the job, and forget it. */
void sites_remove(struct shell *shell, struct mob_job job);
/* Children have died: reap, and end what they left behind. */
void sites_reap(struct shell *shell);
uint64_t sites_tick(struct shell *shell);
/* Kill every process below this one; returns when none is left, after 2 s at most. */
void sites_end_all(struct shell *shell);

/* ---- local.c ---- */
int local_open(struct shell *shell, struct mob_err *err) MOB_MUST_CHECK;
void local_close(struct shell *shell);
struct greeting *local_find(struct shell *shell, struct mob_process process);
void local_refuse(struct greeting *greeting, int code, const char *text);
void local_drop(struct greeting *greeting);
/* Hellos that waited for process ids; those that never came. */
uint64_t local_tick(struct shell *shell);

/* ---- uplink.c ---- */
int uplink_open(struct shell *shell, struct mob_err *err) MOB_MUST_CHECK;
void uplink_close(struct shell *shell);
/* Take what came from the head; true when anything had. Sending may take up the signal for what has
 * come since, so the loop reads once more after it has written, before it sleeps. */
bool uplink_read(struct shell *shell);
/* Send what waits for the head. Returns when it wants to be called again at the latest. */
uint64_t uplink_write(struct shell *shell);
/* Say goodbye, as far as that goes at once. */
void uplink_goodbye(struct shell *shell, int code);
#endif
