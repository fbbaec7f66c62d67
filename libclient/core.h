/* core.h: what a client (driver or worker) decides: its objects, the tasks that it submits, the
 * leases that it uses, the tasks that it runs for others. A pure core: calls, frames and the time
 * go in; messages, effects and woken waiters come out. The shell (libclient/shell.c) holds one lock
 * around it and owns rings, threads, futexes and the clock.
 *
 * Owns every object, task, lease, run and peer of this process. Bounds: memory (MOB_ENOMEM; nothing
 * aborts). Runs on: any thread, one at a time. Touches: no I/O.
 *
 * The way of a task: client_submit packs its arguments -> tasks_ready when the last awaited
 * argument has settled -> leases_dispatch sends it to a leased worker -> there on_task_run queues a
 * run, client_run_next hands it to the shell, client_run_done answers -> on_task_done settles the
 * result objects -> waiters, dependents and remote readers go on.
 *
 * Invariants, checked by client_check:
 *  1. a pending object of ours has exactly one task that is waiting, ready or sent; a task ends
 * once;
 *  2. attempts of a task <= 1 + its retries;
 *  3. a sent task stands in the list of one live lease;
 *  4. nothing from a process that was reported lost changes anything;
 *  5. an object without handles, pins and publication is freed. */
#ifndef MOB_CLIENT_CORE_H
#define MOB_CLIENT_CORE_H
#include "protocol/outbox.h"

struct client;
struct task;

struct client_config {
    bool worker; /* it runs tasks */
    struct mob_process self;
    uint64_t inline_max; /* bytes */
    uint64_t arena_bytes;
    uint64_t cpus;          /* of the node, in 1/10000 */
    uint32_t retries;       /* default */
    uint64_t lease_idle_ns; /* an unused lease is returned after this */
    uint64_t window_ns;     /* how much work may wait at a leased worker */
    /* A line that a task wrote; driver only. Called during client_on_node. */
    void (*output)(void *ctx, const struct msg_task_output *m);
    void *output_ctx;
};

int client_create(struct client **out, const struct client_config *config,
                  struct mob_err *err) MOB_MUST_CHECK;
void client_destroy(struct client *c);

/* ---- what comes out ---- */
struct outbox *client_outbox(struct client *c);
struct peer *client_node(struct client *c);
struct peer *client_peer(struct client *c, struct mob_process process); /* NULL: none */

enum client_effect_kind {
    CLIENT_OPEN_PEER,  /* descriptors of a ring pair with `process` wait on the control socket;
                          `side` is ours */
    CLIENT_CLOSE_PEER, /* close the ring pair with `process` */
    CLIENT_DRAIN_PEER, /* give all that is left in the ring of `process` to client_on_peer, then
                          call client_lost */
    CLIENT_STOP,       /* worker: end the process */
    CLIENT_FAILED, /* the node broke the protocol or is gone: `code`; every call fails from now on
                    */
};
struct client_effect {
    enum client_effect_kind kind;
    struct mob_process process;
    uint32_t side;
    int code;
};
bool client_next_effect(struct client *c, struct client_effect *out);
/* The next time at which client_tick wants to be called; UINT64_MAX = none. */
uint64_t client_deadline(const struct client *c);

/* ---- events ---- */
void client_on_node(struct client *c, struct view frame, uint64_t now_ns);
void client_on_peer(struct client *c, struct peer *from, struct view frame, uint64_t now_ns);
/* The answer to CLIENT_DRAIN_PEER: nothing more will come from it. */
void client_lost(struct client *c, struct mob_process process, uint64_t now_ns);
/* The node is gone, or the library shuts down: all that is open ends with `code`. */
void client_fail_all(struct client *c, int code, const char *why, uint64_t now_ns);
void client_tick(struct client *c, uint64_t now_ns);

/* ---- objects ---- */
/* The encoded value of a settled object: bytes in memory, or a place in the arena. */
struct value {
    enum value_kind kind;   /* VALUE_INLINE, VALUE_STORED, VALUE_ERROR */
    struct view bytes;      /* VALUE_INLINE */
    uint64_t offset, size;  /* VALUE_STORED */
    struct msg_list errors; /* VALUE_ERROR: struct error_frame, outermost first */
};
enum object_look { OBJECT_ABSENT, OBJECT_PENDING, OBJECT_SETTLED };
/* What is known of an object. Views stay valid while a handle is held. */
enum object_look client_look(struct client *c, struct mob_object id, struct value *out);
/* Whether the user holds a reference to it; it may be known here for other reasons. */
bool client_holds(struct client *c, struct mob_object id);
/* One more handle of an object that is known here. MOB_ENOOBJECT otherwise. */
int client_hold(struct client *c, struct mob_object id) MOB_MUST_CHECK;
void client_drop(struct client *c, struct mob_object id);
/* The reference leaves this process inside a value: the object lives until the job ends. */
void client_publish(struct client *c, struct mob_object id);
/* A handle for a reference that came in inside a value. */
int client_borrow(struct client *c, struct mob_object id) MOB_MUST_CHECK;
/* A new object with one handle: bytes are copied (at most inline_max), or stand sealed in the
 * arena. */
int client_put_inline(struct client *c, const struct view *pieces, uint32_t count,
                      struct mob_object *out) MOB_MUST_CHECK;
int client_put_stored(struct client *c, uint64_t offset, uint64_t size,
                      struct mob_object *out) MOB_MUST_CHECK;
/* Memory that lives as long as the object's value here. NULL: none. */
void *client_scratch(struct client *c, struct mob_object id, size_t size);

/* A place to write `size` bytes (64-aligned) in extents that this process holds; false: ask by
 * client_extent_want, which says why not, and try again when the waiter is done. */
bool client_place(struct client *c, uint64_t size, uint64_t *offset);
/* The extent that holds the place; false when it is none of ours. */
bool client_extent_of(const struct client *c, uint64_t offset, uint64_t *start, uint64_t *size);
/* Give back the place that client_place gave last in its extent. */
void client_unplace(struct client *c, uint64_t offset);
struct waiter;
int client_extent_want(struct client *c, uint64_t size, struct waiter *w) MOB_MUST_CHECK;
/* Ask the node to say that it has read this: the waiter is done then, or when the client has
 * failed. */
int client_mark(struct client *c, struct waiter *w) MOB_MUST_CHECK;
void client_unmark(struct client *c); /* the waiter waits no more */
/* Once the waiter is done: why there was no room for `size` bytes; copied into err. MOB_OK: look
 * for a place again, and ask again if there is none, for others may have taken it, or the question
 * was for more. */
int client_extent_result(struct client *c, uint64_t size, struct mob_err *err);

/* ---- waiting ---- */
/* In the storage of a thread that waits. Done when `needed` of its watches have fired. */
struct waiter {
    uint32_t needed;
    bool done;
    struct waiter *woken_next;
    void *shell;
};
struct watch {
    struct watch *next;
    struct object *object; /* NULL when it has fired or was never set */
    enum watch_kind { WATCH_WAITER, WATCH_TASK, WATCH_REMOTE, WATCH_COMPLETION } kind;
    union {
        struct waiter *waiter;
        struct task *task;
        uint64_t process;
    };
};
/* Fire `w` when the object settles; at once when it has (then w->object stays NULL and needed goes
 * down). A borrowed object is asked for. MOB_ENOOBJECT: not known here; what client_fail_all was
 * given: it will not settle any more. */
int client_watch(struct client *c, struct mob_object id, struct watch *w, struct waiter *waiter,
                 uint64_t now_ns) MOB_MUST_CHECK;
void client_unwatch(struct client *c, struct watch *w); /* fine when it has fired */
/* Take a waiter that became done; NULL when there is none. */
struct waiter *client_next_woken(struct client *c);
/* Completions: each watched object once, in the order of settling. */
int client_completion_watch(struct client *c, struct mob_object id, uint64_t now_ns) MOB_MUST_CHECK;
bool client_completion_take(struct client *c, struct mob_object *out);
/* Whether there are completions that client_completion_take has not given. */
bool client_completion_waits(const struct client *c);
/* A result that was written into the arena by this worker; its owner is the submitter. */
int client_seal(struct client *c, struct mob_object id, uint64_t offset,
                uint64_t size) MOB_MUST_CHECK;

/* ---- submitting ---- */
enum submit_kind { SUBMIT_VALUE, SUBMIT_AWAIT, SUBMIT_REF };
struct submit_arg {
    enum submit_kind kind;
    bool moved; /* SUBMIT_AWAIT and _REF: the caller's handle goes over */
    struct mob_object object;
    const struct view *pieces; /* SUBMIT_VALUE: together at most inline_max */
    uint32_t piece_count;
};
struct submit {
    uint64_t function;
    const char *name, *file; /* live as long as the process */
    int line;
    int32_t retries;       /* -1: the default */
    uint32_t result_count; /* >= 0; one id is used even for 0 */
    uint32_t arg_count;
    const struct submit_arg *args;
};
/* Submit a task. Fills `first`; result i is first + i, each with one handle. On failure nothing has
 * changed. */
int client_submit(struct client *c, const struct submit *s, struct mob_object *first,
                  uint64_t now_ns, struct mob_err *err) MOB_MUST_CHECK;
/* A settled object that only carries an error, for calls that could not be submitted: `count` ids
 * in a row. */
int client_make_failed(struct client *c, uint32_t count, const struct msg_error_frame *frame,
                       struct mob_object *first) MOB_MUST_CHECK;

/* ---- running (worker) ---- */
struct run {
    struct run *next;
    struct mob_process from;
    uint64_t task; /* sequence number at the submitter */
    uint32_t attempt, depth;
    uint64_t function;
    uint32_t result_count;
    struct msg_list args; /* struct msg_arg; lives in this record */
};
/* Whether client_run_next has one: none is under way, one waits, and the answers to its submitter
 * have gone into the ring, so that a crash in it takes nothing back that has ended before. */
bool client_run_ready(const struct client *c);
/* The next task to run, now under way; NULL when there is none that may start. */
struct run *client_run_next(struct client *c, uint64_t now_ns);
/* It has ended: `results` are result_count encoded msg_result, or `errors` says why. Frees the run;
 * drops the handles that it had obtained and not dropped. Results that are more than a message may
 * hold make it fail. On MOB_ENOMEM the run is as it was: try again. */
int client_run_done(struct client *c, struct run *run, const struct msg_list *results,
                    const struct msg_list *errors, uint64_t run_ns, uint64_t now_ns) MOB_MUST_CHECK;
/* The run's thread waits / goes on: the cpu and the queued runs are given back / the cpu is taken.
 */
void client_blocked(struct client *c, uint64_t now_ns);
void client_unblocked(struct client *c, uint64_t now_ns);
/* The run takes long: give the queued ones back, now and as they come. */
void client_run_is_long(struct client *c);
/* Whether a run is under way. */
bool client_runs_now(const struct client *c);
/* How many runs wait behind the one under way. */
uint32_t client_runs_queued(const struct client *c);

/* ---- looking in ---- */
struct client_counts {
    uint64_t objects, tasks, ready, sent, leases, runs, done, failed, retried, refused;
};
void client_counts(const struct client *c, struct client_counts *out);
bool client_check(const struct client *c, struct mob_err *err);
#endif
