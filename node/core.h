/* core.h: what a node decides: which worker runs for whom, who may write where in the store, what
 * the head is told. A pure core (docs/ARCHITECTURE.md): events and the time go in, messages and
 * effects come out; the shell (node/shell.c) owns sockets, processes and shared memory. Owns every
 * job, client (driver or worker), lease and extent of this node. Bounds: struct node_config. Runs
 * on: the node's loop. Touches: no I/O.
 *
 * Invariants, checked by node_core_check after every event of the simulation:
 *  1. a worker has at most one lease; a lease has exactly one live worker and one live submitter of
 * the same job;
 *  2. cpus of leases whose worker is not blocked <= cpus of the node, but for workers that have
 * just woken: while the sum is above, nothing is granted;
 *  3. workers of a job <= workers_max;
 *  4. no two extents overlap; an extent belongs to one live client, or to sealed objects of a live
 * job;
 *  5. nothing from a client that has ended changes anything. */
#ifndef MOB_NODE_CORE_H
#define MOB_NODE_CORE_H
#include "protocol/outbox.h"

enum { CPU = 10000 }; /* one cpu, in the unit of every cpu figure */

struct node_config {
    uint64_t cpus;        /* in 1/10000 */
    uint64_t store_bytes; /* budget of one job's arena; a multiple of the page size */
    uint64_t page_bytes;
    uint64_t extent_bytes; /* least size of an extent that is granted */
    uint32_t workers_max;  /* per job */
    uint32_t clients_max;
    uint64_t inline_max;      /* bytes; passed on to clients */
    uint32_t retries;         /* default for tasks; passed on to clients */
    uint64_t idle_worker_ms;  /* an idle worker beyond the node's cpus is stopped after this */
    uint64_t load_ms;         /* interval of node_load */
    uint64_t start_worker_ms; /* a worker that is not ready after this failed to start */
};

/* What the shell must do besides sending what is in the outbox. Effects are taken in order and done
 * before the outbox is flushed, so that descriptors are on their way before the message that
 * announces them. */
enum node_effect_kind {
    NODE_START_ZYGOTE, /* job: start the job's program as its zygote (the package is in
                          node_core_package) */
    NODE_FORK_WORKER,  /* job, process: have the zygote fork a worker; then node_core_worker_forked
                          or _exited */
    NODE_CONNECT,    /* process (side 0), other (side 1): make a ring pair, hand both their end over
                        the control sockets */
    NODE_DISCONNECT, /* process, other: revoke their pair */
    NODE_WELCOME,    /* process, job: the driver whose hello was accepted gets ring pair, doorbells,
                        arena and `welcome` */
    NODE_REFUSE,     /* process: the driver's hello is refused with `code` and text; close it */
    NODE_KILL, /* process: kill -9 the worker and its descendants; node_core_worker_exited follows
                */
    NODE_JOB_GONE, /* job: end its zygote, all its workers, its arena; close its driver, `process`
                    */
};

struct node_effect {
    enum node_effect_kind kind;
    struct mob_job job;
    struct mob_process process, other;
    int code;
    char text[256];
};

struct node_core;

int node_core_create(struct node_core **out, const struct node_config *config,
                     struct mob_err *err) MOB_MUST_CHECK;
void node_core_destroy(struct node_core *core);

struct outbox *node_core_outbox(struct node_core *core);
/* The peer of the head: its frames go through the link. */
struct peer *node_core_head(struct node_core *core);
/* The peer of a client, NULL when there is none: the shell binds its ring to peer->shell. A peer is
 * there from the effect that introduces the client (NODE_WELCOME, NODE_FORK_WORKER) on. When the
 * client has ended it stays valid until node_core_next_effect returns false; frames given for it
 * until then are counted and have no effect. */
struct peer *node_core_client(struct node_core *core, struct mob_process process);
bool node_core_next_effect(struct node_core *core, struct node_effect *out);
/* The next time at which node_core_tick wants to be called; UINT64_MAX = none. */
uint64_t node_core_deadline(const struct node_core *core);

/* ---- events ---- */
/* The head accepted this node (the link's greeting is the shell's: it sends node_hello and gets
 * node_welcome). */
void node_core_welcomed(struct node_core *core, const struct msg_node_welcome *m, uint64_t now_ms);
/* A frame of the head, in order, each once. MOB_EPROTO: malformed; the shell drops the link. */
int node_core_on_head(struct node_core *core, struct view frame, uint64_t now_ms) MOB_MUST_CHECK;
/* A driver connected to the local socket and said hello; its uid was checked by the shell. Returns
 * the process id that it will have (ids come from the head's block), or 0 with `err`. The core
 * makes the job durable at the head, then emits NODE_WELCOME or NODE_REFUSE. It keeps what it needs
 * of the hello (node_core_package). */
struct mob_process node_core_driver_hello(struct node_core *core, const struct msg_client_hello *m,
                                          uint64_t uid, uint64_t now_ms, struct mob_err *err);
/* How many process ids are left. A driver_hello that failed with MOB_EAGAIN (the head was asked for
 * more) is kept by the shell and given again when this is above 0, which only node_core_welcomed
 * and node_core_on_head bring about. */
uint64_t node_core_ids_left(const struct node_core *core);
/* A frame from a client's ring (worker_ready, which comes over the control socket, too).
 * MOB_EPROTO: malformed or not of this channel; the shell ends the client. A message that names
 * what is not its sender's is counted and has no effect. */
int node_core_on_client(struct node_core *core, struct peer *client, struct view frame,
                        uint64_t now_ms) MOB_MUST_CHECK;
/* The driver's control socket was closed, or it died. */
void node_core_driver_gone(struct node_core *core, struct mob_process process, uint64_t now_ms);
void node_core_zygote_ready(struct node_core *core, struct mob_job job, uint64_t now_ms);
/* The program ended before or as a zygote; the workers of the job that wait fail with `text`. */
void node_core_zygote_gone(struct node_core *core, struct mob_job job, const char *text,
                           uint64_t now_ms);
void node_core_worker_forked(struct node_core *core, struct mob_process process, uint64_t pid,
                             uint64_t now_ms);
/* The worker has ended; everything that it wrote to its ring was given to node_core_on_client
 * before. */
struct worker_exit {
    uint32_t signal, status;
    struct mob_object running; /* the task that it started last: its submitter and the mark of their
                                  ring; or zeros */
    struct view function;      /* where it crashed, or empty */
    struct view tail;          /* of its stderr */
    int code;                  /* MOB_EWORKERDIED, or MOB_EWORKERSTART when it never got ready */
};
void node_core_worker_exited(struct node_core *core, struct mob_process process,
                             const struct worker_exit *exit, uint64_t now_ms);
void node_core_tick(struct node_core *core, uint64_t now_ms);

/* ---- looking in ---- */
/* The hello that made the job: program, directory, arguments, environment, for starting its zygote.
 * Lent. */
const struct msg_client_hello *node_core_package(const struct node_core *core, struct mob_job job);
/* Fill the welcome for a client that is being set up. */
int node_core_fill_welcome(const struct node_core *core, struct mob_process process,
                           struct msg_client_welcome *m, struct mob_err *err) MOB_MUST_CHECK;
struct node_counts {
    uint64_t jobs, drivers, workers, idle_workers, leases, blocked_workers, wanted_leases;
    uint64_t leased_cpus, store_used, refused_messages;
};
void node_core_counts(const struct node_core *core, struct node_counts *out);
/* Check the invariants above; false with `err` when one does not hold. */
bool node_core_check(const struct node_core *core, struct mob_err *err);
#endif
