/* core_parts.h: what the files of the client core share: core.c (messages in and effects out),
 * tasks.c (submitting), leases.c (sending to workers), runs.c (running for others). Nobody else
 * includes it. */
#ifndef MOB_CLIENT_CORE_PARTS_H
#define MOB_CLIENT_CORE_PARTS_H
#include "libclient/objects.h"
#include "protocol/mutant.h"

enum {
    EFFECTS_MAX = 64, /* room that grows; effects are taken after each step */
    PACES = 256,      /* functions whose mean run time is remembered; two may share a place */
    SENT_MAX = 512,   /* tasks under way at one leased worker */
    SENT_BYTES_MAX = 1 << 20,                /* bytes that wait for one worker's ring */
    BODY_SIZE_MAX = MESSAGE_SIZE_MAX - 1024, /* packed arguments, or results, of one task */
    EXTENTS_HELD = 8,
    RETRY_NS = 1000000, /* pause after something found no memory */
};

/* Another client of the job that a ring pair connects us with. */
struct client_peer {
    struct peer peer;
    struct client_peer *next;
    bool draining; /* CLIENT_DRAIN_PEER was emitted */
    bool lost;     /* the process has ended; otherwise only its ring pair is taken back */
};

enum task_state { TASK_WAITING, TASK_READY, TASK_SENT };

/* The task record lives in the submitter from client_submit until the task has ended, and pins its
 * arguments. */
struct task {
    struct task *next, *prev; /* in the ready queue, or in its lease's list, oldest first */
    struct lease *lease;      /* TASK_SENT */
    uint64_t seq, function;
    const char *name, *file;
    struct watch *watches; /* one for each awaited argument; behind the packed arguments */
    uint32_t result_count, arg_count, args_size;
    uint32_t waiting; /* awaited arguments that have not settled */
    uint32_t attempt, retries;
    int line;
    uint16_t depth;
    uint8_t state;
    bool has_objects; /* some argument names an object: it is pinned, and packed anew when it is
                         sent */
    uint8_t args[]; /* struct msg_arg, packed; kind VALUE_AWAITED stands for a value that is put in
                       when it is sent */
};
enum { VALUE_AWAITED = 100 }; /* never on the wire */

struct task_queue {
    struct task *first, *last;
    uint64_t count;
};

struct lease {
    struct lease *next;
    struct mob_lease id;
    struct client_peer *peer;
    struct task_queue sent;
    uint64_t idle_since_ns;
    bool recalled;
    bool stalled; /* the worker gave tasks back: nothing more until one ends */
    /* Filled by lease_lost, used when the ring is drained. */
    struct loss {
        bool known;
        uint64_t running;
        int code;
        uint32_t signal, status;
        char function[128], tail[1024];
    } loss;
};

struct extent {
    uint64_t offset, size, used;
};

/* How long tasks of a function take; tells how many may wait at a worker. */
struct pace {
    uint64_t function, mean_ns;
};

struct client {
    struct client_config config;
    struct outbox outbox;
    struct peer node;
    struct objects *objects;
    struct client_peer *peers;

    struct task_queue ready;
    uint64_t task_count;
    struct lease *leases;
    uint32_t lease_count;
    uint64_t want_sent; /* the last wish that the node heard */
    uint32_t want_depth_sent;
    struct pace paces[PACES];

    struct watch *fired_first,
        *fired_last;             /* watches of settled objects that are still to be acted on */
    struct watch *remote_unsent; /* remote readers whose answer found no memory */
    struct waiter *woken_first, *woken_last;
    struct completion *completions_first, *completions_last;

    struct run *runs_first, *runs_last, *current;
    uint32_t run_count;
    bool run_long;
    uint64_t blocked_count;     /* of times that this worker waited */
    bool blocked, blocked_sent; /* what is, and what the node knows */
    bool stop_asked;
    struct mob_object *obtained; /* handles that the current run has got */
    size_t obtained_count, obtained_capacity;

    struct extent extents[EXTENTS_HELD];
    uint32_t extent_count;
    uint64_t extent_request; /* the open one, or 0 */
    uint64_t extent_requests;
    struct waiter *extent_waiters;
    uint64_t extent_asked; /* bytes that the last request was for */
    struct mob_err extent_err;
    uint64_t marks; /* requests */
    struct waiter *mark_waiter;

    struct client_effect *effects;
    size_t effect_first, effect_count, effect_capacity;
    bool effect_lost;     /* an effect or a last answer found no memory: the client ends */
    uint64_t retry_at_ns; /* something else found no memory; UINT64_MAX: all is said and done */
    int failed;           /* why nothing works any more, or MOB_OK */
    char failed_text[256];
    struct buffer scratch;     /* for packing; contents do not outlive one use */
    struct failure *no_memory; /* for objects whose value found no memory */
    struct client_counts counts;
};

/* ---- core.c ---- */
void effect_add(struct client *c, struct client_effect effect);
/* The newest ring pair with the process; one that is being drained when there is no other. */
struct client_peer *peer_find(struct client *c, uint64_t process);
/* Send a message of the channel CLIENT_CLIENT to a process: through its own ring, else through the
 * node. */
int send_object_get(struct client *c, uint64_t process, const struct msg_object_get *m);
int send_object_value(struct client *c, uint64_t process, const struct msg_object_value *m);
/* What every event ends with: act on what has settled, send what can be sent, ask for what is
 * missing. */
void step_end(struct client *c, uint64_t now_ns);

/* ---- waits.c ---- */
/* The object has its value or failure (set by the caller): its watches fire at the end of the step.
 */
void object_settled(struct client *c, struct object *o);
void object_settle_failed(struct client *c, struct object *o,
                          struct failure *f); /* holds f itself */
void object_settle_text(struct client *c, struct object *o, int code, const char *text);
int object_settle_inline(struct client *c, struct object *o, struct view bytes);
void object_settle_stored(struct client *c, struct object *o, uint64_t offset, uint64_t size);
bool watches_fire(struct client *c,
                  uint64_t now_ns); /* false: a remote reader still waits for memory */
int remote_watch_add(struct client *c, struct object *o, uint64_t process,
                     uint64_t now_ns) MOB_MUST_CHECK;
void completions_free(struct client *c);
int object_request(struct client *c, struct object *o);
/* NULL when the user holds no reference to it, though tasks may. */
struct object *object_held(struct client *c, struct mob_object id);
void handle_obtained(struct client *c, struct object *o);
int handle_reserve(struct client *c, uint32_t count);

/* ---- tasks.c ---- */
void task_awaited(struct client *c, struct task *t, struct object *o, uint64_t now_ns);
void task_fail(struct client *c, struct task *t,
               struct failure *f); /* ends the task; takes nothing of f */
void task_fail_text(struct client *c, struct task *t, int code, const char *text);
void task_lost(struct client *c, struct task *t, const struct loss *loss, uint64_t worker);
/* MOB_ETOOBIG: with the values that were awaited they are more than a message may hold. */
int task_pack_args(struct client *c, struct task *t, struct buffer *scratch, struct msg_list *out);
void on_task_done(struct client *c, struct client_peer *from, const struct msg_task_done *m,
                  uint64_t now_ns);
void on_task_back(struct client *c, struct client_peer *from, const struct msg_task_back *m);
void queue_push_first(struct task_queue *q, struct task *t);
void queue_push_last(struct task_queue *q, struct task *t);
void queue_remove(struct task_queue *q, struct task *t);

/* ---- leases.c ---- */
bool leases_dispatch(struct client *c,
                     uint64_t now_ns); /* false: there was no memory for all of it */
void leases_lost(struct client *c, struct client_peer *p);
void lease_destroy(struct client *c, struct lease *l);
void pace_note(struct client *c, uint64_t function, uint64_t run_ns);
void on_lease_grant(struct client *c, const struct msg_lease_grant *m, uint64_t now_ns);
void on_lease_recall(struct client *c, const struct msg_lease_recall *m);
void on_lease_lost(struct client *c, const struct msg_lease_lost *m);
void on_lease_denied(struct client *c, const struct msg_lease_denied *m);
uint64_t leases_deadline(const struct client *c);

/* ---- runs.c ---- */
void on_task_run(struct client *c, struct client_peer *from, const struct msg_task_run *m);
void runs_drop_from(struct client *c, uint64_t process);
bool runs_flush_state(struct client *c); /* false: there was no memory for all of it */
void runs_free(struct client *c);

/* ---- extents.c ---- */
void on_extent_grant(struct client *c, const struct msg_extent_grant *m);
void extent_waiters_wake(struct client *c);
void on_marked(struct client *c, const struct msg_marked *m);
void mark_waiter_wake(struct client *c);
#endif
