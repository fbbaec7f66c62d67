/* state.h: what the modules of the node's core share: its records, and who changes them.
 *
 * - core.c: events in, one handler for each message
 * - jobs.c: jobs, zygotes, starting and stopping workers
 * - clients.c: clients, ring pairs, and their end
 * - leases.c: who gets a worker, who gives one back
 * - extents.c: offsets in an arena
 * - reports.c: what the head is told
 * - check.c: the invariants
 *
 * A handler changes state and sets core->unsettled; node_leases_settle then does what the state
 * requires, and may be run any number of times. Records that end are freed only when the shell has
 * taken all effects, so its pointers to peers stay good for the turn. A failed allocation aborts.
 */
#ifndef MOB_NODE_STATE_H
#define MOB_NODE_STATE_H
#include <stdlib.h>

#include "node/core.h"
#include "node/extents.h"
#include "protocol/memory.h"
#include "protocol/mutant.h"

#define uthash_fatal(text)   abort()
#define uthash_malloc(size)  memory_alloc(size)
#define uthash_free(p, size) memory_free(p)
#include <uthash.h>
#include <utlist.h>

enum {
    PAIRS_AIM = 64,                 /* ring pairs per client above which unused ones are closed */
    FORWARD_BACKLOG_MAX = 64 << 20, /* a client that leaves more than this unread is ended */
    OUTPUT_BACKLOG_MAX =
        4 << 20, /* task output for a driver that leaves more than this unread is dropped */
    HEAD_BACKLOG_MAX = 1 << 20, /* node_load is left out above this */
    ROWS_MAX = 256, /* directory rows are sent when there are so many, or after ROWS_MS */
    ROWS_MS = 1,
    LOAD_GAP_MS = 20,       /* least time between two node_load */
    START_FAILURES_MAX = 3, /* in a row; then the waiting clients of the job are told */
    STOP_MS = 1000,         /* a worker that was asked to stop and has not ended is used again */
    STUCK_MS = 100, /* all workers were blocked for so long: a deadlock, and no message under way */
    SLICE_MS = 100, /* a job that runs nothing waits no longer before another gives a lease back */
    RECALL_OWN_MS = 10, /* a client that waits loses the lease that it runs under only after this */
    COMMAND_MAX = 1024, /* bytes of job_start.command */
    FAILURE_TEXT_MAX = 400, /* bytes kept of why a worker did not start */
};

/* What a client is; moves by node_client_move only.
 *
 * - driver: STARTING -job_started-> DRIVING -> ENDED
 * - worker: STARTING -worker_ready-> IDLE <-grant, return-> LEASED
 * - worker: IDLE -worker_stop-> STOPPING -it stays-> IDLE
 * - worker: any -NODE_KILL-> KILLED; any -exited-> ENDED
 *
 * STARTING: it has an id and no voice but worker_ready. LEASED: `lease` is set. KILLED, ENDED:
 * nothing from it counts. */
enum client_state {
    CLIENT_STARTING,
    CLIENT_DRIVING,
    CLIENT_IDLE,
    CLIENT_LEASED,
    CLIENT_STOPPING,
    CLIENT_KILLED,
    CLIENT_ENDED,
};

struct job;
struct client;

/* A ring pair of two clients. */
struct pair {
    struct client *ends[2]; /* by side */
    uint32_t leases;        /* that use it */
    uint64_t used;          /* core->ticket when a lease last used it */
};

struct lease {
    struct mob_lease id;
    struct client *submitter, *worker;
    struct pair *pair;
    uint32_t depth;            /* of the submitter's wish when it was granted */
    bool recalled, told;       /* lease_recall was due; it went out */
    uint64_t planned;          /* used inside leases.c only */
    uint64_t woken;            /* core->balance when the worker last went on under it */
    struct lease *prev, *next; /* of the submitter */
    UT_hash_handle hh;         /* core->leases by id */
};

struct client {
    struct peer peer;
    struct job *job;
    enum client_state state;
    bool driver, announced, was_ready;
    bool orphan;       /* its zygote died before it was ready: one failed start for all of them */
    uint64_t since_ms; /* of the state */
    struct pair **pairs;
    uint32_t pair_count, pair_room;
    /* as a submitter */
    uint32_t want, held; /* leases */
    uint32_t depth;
    bool waits; /* held < want; kept by node_client_wish */
    uint64_t
        ticket; /* its place among those that wait, drawn when it began to and with each grant */
    uint64_t waits_since_ms; /* since it began to, or since its last grant or loss */
    struct lease *leases;
    uint32_t plan_want; /* used inside leases.c only */
    uint64_t plan_skip;
    /* as a worker */
    struct lease *lease; /* it runs under */
    bool blocked;
    uint64_t blocked_count;     /* of its blocked messages */
    struct client *prev, *next; /* of the job */
    UT_hash_handle hh;          /* core->clients by peer.process */
};

enum job_state {
    JOB_ASKED,   /* the head was asked to make it durable */
    JOB_RUNNING, /* it has an id */
    JOB_LEFT,    /* its driver went before it had an id: it is ended when the head answers */
};
enum zygote_state { ZYGOTE_NONE, ZYGOTE_STARTING, ZYGOTE_READY };

struct job {
    struct mob_job id;
    enum job_state state;
    uint64_t request; /* of job_start */
    uint64_t uid;
    struct msg_client_hello hello; /* its views point into `package` */
    uint8_t *package;
    struct client *driver; /* NULL when it has left */
    struct mob_process driver_id;
    struct client *clients; /* the driver first */
    uint64_t share;         /* in 1/10000 */
    uint32_t running;       /* leases whose worker is not blocked */
    uint64_t ran_last_ms;   /* when `running` last fell to 0 */
    uint32_t waiting;       /* clients that wait */
    uint32_t workers;       /* that have an id and have not ended */
    uint32_t queued;        /* that wait for the zygote or for an id */
    uint64_t queued_since_ms;
    enum zygote_state zygote;
    uint32_t failures;              /* workers that did not start, since one did */
    char failure[FAILURE_TEXT_MAX]; /* why the last did not */
    uint64_t stuck_since_ms;        /* UINT64_MAX: it is not */
    uint64_t output_dropped;        /* bytes that the driver was not yet told of */
    struct node_extents *extents;
    uint32_t plan_running, plan_idle, plan_starting; /* used inside leases.c only */
    struct job *prev, *next;
};

struct id_range {
    uint64_t first, count;
};

struct node_core {
    struct node_config config;
    struct outbox outbox;
    struct peer head;
    bool welcomed;
    uint64_t epoch;
    struct mob_node node;
    struct id_range ids[2]; /* taken from the first; the second comes when that is used up */
    uint64_t ids_block;     /* length of the last block */
    uint64_t ids_request;   /* open process_block_want, 0 = none */
    uint64_t last_request, last_lease, ticket;

    struct job *jobs;
    struct client *clients; /* hash */
    struct lease *leases;   /* hash */
    struct client *ended;   /* freed when the shell has taken the effects */
    uint32_t jobs_count, queued, leases_count;
    uint32_t running, waiting; /* sums over the jobs */
    uint64_t balance; /* counts the settlings after which no more ran than there are cpus */
    uint64_t plan;    /* counts the plans of leases.c */
    bool unsettled;
    uint64_t refused;
    bool over_granted; /* a lease was granted above the node's cpus; for the check */

    struct node_effect *effects;
    uint32_t effects_first, effects_end, effects_room;

    struct buffer rows_workers, rows_ended, rows_objects;
    uint32_t rows_workers_count, rows_ended_count, rows_objects_count;
    uint64_t rows_ms; /* when they must go, UINT64_MAX: there are none */
    uint64_t load_ms; /* when node_load goes next */
    uint64_t load_last_ms;
    bool load_waiting, load_running; /* as last told */

    uint64_t now_ms;
    uint64_t deadline_ms; /* no earlier than now, no later than the first thing that must be done */
};

/* A small allocation and what cannot fail without one. */
static inline void must(int rc)
{
    if (rc != MOB_OK)
        abort();
}
/* SEND(client, lease_grant, .lease = 7): append to what goes to a client that lives; nothing
 * otherwise. */
#define SEND(whom, name, ...)                                                                      \
    do {                                                                                           \
        struct client *to_ = (whom);                                                               \
        if (to_->state < CLIENT_KILLED)                                                            \
            must(peer_send(&to_->peer, name, (&(struct msg_##name){__VA_ARGS__})));                \
    } while (0)
#define SEND_HEAD(core, name, ...)                                                                 \
    must(peer_send(&(core)->head, name, (&(struct msg_##name){__VA_ARGS__})))

static inline uint32_t node_slots(const struct node_core *core)
{
    return (uint32_t)(core->config.cpus / CPU);
}
static inline void node_arm(struct node_core *core, uint64_t at_ms)
{
    if (at_ms < core->deadline_ms)
        core->deadline_ms = at_ms;
}
struct node_effect *node_effect_add(struct node_core *core, enum node_effect_kind kind,
                                    struct job *job, struct mob_process process);

/* ---- clients.c ---- */
struct client *node_client_find(const struct node_core *core, struct mob_process process);
/* A new client; the caller checked clients_max. */
struct client *node_client_add(struct node_core *core, struct job *job, struct mob_process process,
                               bool driver);
void node_client_move(struct node_core *core, struct client *c, enum client_state to);
/* Idle, and not blocked: a lease could be put on it. */
bool node_client_free(const struct client *c);
/* `want` or `held` has changed. */
void node_client_wish(struct node_core *core, struct client *c);
/* End a worker by NODE_KILL; its record ends when the shell reports it. Does nothing twice. */
void node_client_kill(struct node_core *core, struct client *c);
/* All that hangs on a worker that has ended, and word of it to whom it concerns. */
void node_client_ended(struct node_core *core, struct client *c, const struct worker_exit *exit);
/* Only the record, without word to anybody: its job goes too. */
void node_client_forget(struct node_core *core, struct client *c);
/* The pair of two clients, made when there is none. */
struct pair *node_pair_get(struct node_core *core, struct client *a, struct client *b);
struct pair *node_pair_find(const struct client *a, const struct client *b);
/* Free what has ended. */
void node_graveyard_clear(struct node_core *core);

/* ---- leases.c ---- */
/* Do what the state requires: grant, start workers, recall, break deadlocks. Idempotent. */
void node_leases_settle(struct node_core *core);
/* End a lease: its cpu is given back, its worker is not moved. */
void node_lease_end(struct node_core *core, struct lease *l);
struct lease *node_lease_find(const struct node_core *core, uint64_t id);
/* The worker waits / goes on. */
void node_worker_blocked(struct node_core *core, struct client *c);
void node_worker_unblocked(struct node_core *core, struct client *c);

/* ---- jobs.c ---- */
struct job *node_job_find(const struct node_core *core, uint64_t id);
struct job *node_job_asked(const struct node_core *core, uint64_t request);
void node_job_ask(struct node_core *core, struct job *job);
void node_job_started(struct node_core *core, struct job *job, const struct msg_job_started *m);
/* The driver is gone: drop the job with all that is in it. */
void node_job_drop(struct node_core *core, struct job *job, int code);
void node_job_free(struct node_core *core, struct job *job);
bool node_job_can_start(const struct node_core *core, const struct job *job);
/* The node has all the clients that it may have and `job` wants a worker: ask an idle one of
 * another job to end. */
void node_job_make_room(struct node_core *core, const struct job *job);
/* One more worker, as soon as zygote and ids allow. */
void node_job_want_worker(struct node_core *core, struct job *job);
/* Start those that waited for zygote or ids. */
void node_job_start_queued(struct node_core *core, struct job *job);
/* A worker or the zygote did not start, and why. */
void node_job_start_failed(struct node_core *core, struct job *job, const char *why);
/* What is due by time. */
void node_jobs_tick(struct node_core *core);
/* A process id, 0 = none is left; asks the head for more in time. */
struct mob_process node_id_take(struct node_core *core);
void node_ids_ask(struct node_core *core);

/* ---- reports.c ---- */
void node_report_worker(struct node_core *core, const struct client *c, uint64_t pid);
void node_report_worker_end(struct node_core *core, const struct client *c, uint32_t signal,
                            uint32_t status);
void node_report_object(struct node_core *core, const struct job *job, struct mob_object object,
                        uint64_t size);
void node_report_flush(struct node_core *core);
void node_report_load(struct node_core *core, bool due);
void node_reports_tick(struct node_core *core);
#endif
