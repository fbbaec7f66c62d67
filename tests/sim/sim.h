/* sim.h: the whole cluster in one thread on fake time, from one seed.
 * The head, a node, drivers and workers run as the cores that ship; what their shells do in life
 * (rings, sockets, processes, threads, the clock) is played here, with faults. sim.c has the clock
 * and the queue of events, channels.c the rings, network.c the way between node and head, daemons.c
 * head and node, clients.c drivers and workers, faults.c what goes wrong, recipes.c what each task
 * must give, scripts.c the user's threads, tasks.c the bodies of tasks, check.c what must always
 * hold, main.c the options.
 *
 * Owns everything of one run; the only globals are in the cores (the active mutant). Touches:
 * standard output when it traces. Invariant: no decision and no output depends on an address, the
 * wall clock or the content of fresh memory, so that a seed gives the same trace byte for byte. */
#ifndef MOB_SIM_H
#define MOB_SIM_H
#include <setjmp.h>
#include <stdio.h>

#include "libclient/core.h"
#include "node/core.h"

#define US     ((uint64_t)1000)
#define MS     (1000 * US)
#define SECOND (1000 * MS)

enum {
    EVENTS_MAX = 3000000, /* of one seed: more is a livelock */
    THREADS_MAX = 4,      /* of one driver */
    WAITS_MAX = 16,       /* objects that a thread waits for at once */
    LIVENESS_S = 60,      /* after the last fault all work must have ended */
};

struct sim;
struct process;

/* ---- random.c: one stream of numbers per seed; recipes have streams of their own ---- */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t bound);                /* 0..bound-1; 0 for 0 */
uint64_t random_between(struct random *r, uint64_t low, uint64_t high); /* both included */
bool random_chance(struct random *r, uint32_t per_mille);
uint64_t random_skewed(struct random *r, uint64_t low, uint64_t high); /* small values are common */
uint64_t mix(uint64_t a, uint64_t b);

/* ---- what is drawn from the seed before anything runs ---- */
struct weather {
    bool calm; /* no process dies and the network loses nothing */
    uint64_t faults_end_ns;
    uint32_t lose, repeat; /* of packets, per mille */
    uint64_t packet_delay_ns, partition_every_ns, partition_ns;
    uint64_t ring_delay_ns;
    uint32_t ring_parts; /* per mille of reads that take only a part */
    size_t ring_bytes;
    uint64_t kill_worker_every_ns, kill_driver_every_ns, kill_node_every_ns, kill_head_every_ns,
        kill_zygote_every_ns, freeze_every_ns, disconnect_every_ns, lie_every_ns; /* 0: never */
    uint32_t start_fails, start_hangs;                                            /* per mille */
    uint32_t kill_hasty;  /* per mille of drivers: they die soon after their hello */
    uint32_t kill_queued; /* per mille of task starts: the worker dies just before */
    uint32_t cpus, workers_max, threads, operations, retries;
    uint32_t drivers; /* in all */
    uint32_t program; /* enum program */
    uint32_t fib;     /* how deep the recursion is */
    uint64_t window_ns, inline_max, store_bytes, extent_bytes, lease_idle_ns;
    uint64_t idle_worker_ms, load_ms, start_worker_ms, process_block;
    uint32_t clients_max;
    uint32_t task_us;     /* longest body of a common task */
    uint32_t check_every; /* events */
};
enum program { PROGRAM_GRAPH, PROGRAM_NESTED, PROGRAM_FIB, PROGRAM_BURST, PROGRAM_COUNT };
void weather_draw(struct weather *w, struct random *r);
void weather_trace(struct sim *s);

/* ---- events ---- */
struct event {
    uint64_t at, order;
    void (*run)(struct sim *s, const struct event *e);
    struct process
        *process; /* whose freezing delays it and whose death voids it; NULL: the world */
    uint64_t a, b;
    void *object; /* lives as long as the run */
    void *owned;  /* freed after the event */
};
struct queue {
    struct event *heap;
    size_t count, capacity;
};

/* ---- rings ---- */
struct ring_half {
    struct ring_pair *pair;
    struct ring_half *far;
    struct process *owner;
    struct mob_process other; /* the other side as the owner's core names it; 0 is the node */
    bool open;                /* the owner has bound it */
    bool waits;               /* a write was short */
    bool coming;              /* a delivery to the owner is on its way */
    struct buffer flight;     /* what the owner wrote and the other has not read */
    struct buffer in;         /* what the owner has read: whole frames go to its core */
};
struct ring_pair {
    struct ring_pair *next;
    bool revoked;
    struct ring_half half[2];
};

/* ---- processes ---- */
enum process_kind { PROCESS_HEAD, PROCESS_NODE, PROCESS_DRIVER, PROCESS_WORKER };
struct thread;
struct process {
    struct process *next; /* in order of birth */
    enum process_kind kind;
    uint32_t number; /* of its kind */
    char name[24];
    bool alive;
    uint64_t frozen_until;
    uint32_t dies_in; /* steps of its core; 0: not marked for death */
    uint64_t tick_at; /* when the next tick is due; UINT64_MAX: none */

    /* drivers and workers */
    struct client *client;
    struct mob_process id;
    struct mob_job job;
    struct ring_pair *node_ring;
    struct thread *threads[THREADS_MAX];
    uint32_t thread_count, threads_done;
    uint64_t submitted, published;
    uint8_t *arena;
    uint64_t arena_bytes;
    uint64_t mark; /* worker: the task that it runs, for its submitter and node */
    uint64_t mark_owner;
    bool reaped;                    /* worker: the node was told of its end */
    bool was_ready, leaves, doomed; /* doomed: the node has it killed */
    uint32_t exit_signal;
    uint32_t life; /* node: how often it was started before */
};

/* One arena per job; made at the job's start, freed at the end of the run. */
struct arena {
    struct arena *next;
    uint64_t job;
    uint8_t *bytes;
};

struct sim {
    uint64_t seed;
    struct random random;
    struct weather weather;
    uint64_t now_ns, events;
    uint64_t orders;
    struct queue queue;
    FILE *trace;
    jmp_buf failed;
    char failure[2048];
    struct process *processes, **processes_end;
    uint32_t births[4];
    struct process *node, *head;
    struct daemons *daemons;
    struct ring_pair *rings;
    struct arena *arenas;
    struct oracle *oracle;
    uint64_t cut_until[2]; /* node to head, head to node */
    uint32_t drivers_made, drivers_open, drivers_coming;
    uint32_t start_failures, kills, deaths;
    uint32_t workers_alive, workers_most;
    uint64_t tasks_started, tasks_ended;
};

/* ---- sim.c ---- */
/* Run one seed. False with s->failure's text in `failure`. The trace may be NULL. */
bool sim_run(uint64_t seed, FILE *trace, char *failure, size_t size, uint64_t *events);
void sim_after(struct sim *s, uint64_t delay_ns, struct event e);
void sim_fail(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
void sim_trace(struct sim *s, const struct process *p, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define TRACE(s, ...)                                                                              \
    do {                                                                                           \
        if ((s)->trace != NULL)                                                                    \
            sim_trace((s), __VA_ARGS__);                                                           \
    } while (0)
/* One line per message that the core of `to` is given. */
void sim_trace_frame(struct sim *s, const struct process *to, const char *from, struct view frame);
void sim_need(struct sim *s, const void *memory); /* fails the run when it is NULL */
struct process *process_create(struct sim *s, enum process_kind kind);
struct process *process_find(struct sim *s,
                             uint64_t id); /* by the cluster's id, dead ones too; NULL: none */

/* ---- channels.c ---- */
/* A pair between two processes, each named as the other's core names it; the ends are bound by
 * ring_bind. */
struct ring_pair *ring_pair_make(struct sim *s, struct process *a, struct mob_process a_id,
                                 struct process *b, struct mob_process b_id);
/* The owner's core has a peer for it: bytes may flow. */
void ring_bind(struct sim *s, struct ring_half *half, struct peer *peer);
/* The newest end of `owner` towards `other` that is (not) bound; NULL: none. */
struct ring_half *ring_find(struct sim *s, const struct process *owner, struct mob_process other,
                            bool open);
/* Move what fits of the peer's bytes into its ring. */
void ring_flush(struct sim *s, struct peer *peer);
/* The owner reads all that is there and hands whole frames to its core. */
void ring_drain(struct sim *s, struct ring_half *half);
void ring_revoke(struct sim *s, struct mob_process a, struct mob_process b);
void rings_destroy(struct sim *s);

/* ---- network.c ---- */
void network_send(struct sim *s, struct process *from, struct process *to, struct view packet);

/* ---- daemons.c ---- */
void daemons_create(struct sim *s);
void daemons_destroy(struct sim *s);
void daemons_packet(struct sim *s, struct process *to, struct process *from, uint64_t connection,
                    struct view packet);
uint64_t daemons_connection(const struct sim *s);
struct node_core *daemons_node_core(struct sim *s);
void node_settle(struct sim *s);
void node_on_frame(struct sim *s, struct peer *from, struct view frame);
void node_kill(struct sim *s);
void zygote_kill(struct sim *s, struct mob_job job);
void head_kill(struct sim *s);
void node_disconnect(struct sim *s);
void node_new_session(struct sim *s); /* on the connection that it has */
void node_driver_connects(struct sim *s, struct process *driver);
void node_process_ended(struct sim *s,
                        struct process *p); /* the kernel tells the node, after a while */
/* Whether nothing is left to do; `what` tells what is. */
bool daemons_at_rest(struct sim *s, char *what, size_t size);
void daemons_check(struct sim *s);
void daemons_replay(struct sim *s);
uint8_t *arena_of(struct sim *s, struct mob_job job);

/* ---- clients.c ---- */
void client_start(struct sim *s, struct process *p, const struct msg_client_welcome *welcome);
void client_settle(struct sim *s, struct process *p);
void client_on_frame(struct sim *s, struct process *p, struct peer *from, struct view frame);
void process_die(struct sim *s, struct process *p, uint32_t by_signal);
void process_leave(struct sim *s,
                   struct process *p); /* ends on purpose after what it wrote has gone */
/* A fault may be due now, between the core's step and the sending of its messages: true when it has
 * died. */
bool process_step(struct sim *s, struct process *p);

/* ---- faults.c ---- */
void faults_create(struct sim *s);
bool faults_over(const struct sim *s);

/* ---- check.c ---- */
void check_event(struct sim *s, struct process *p); /* after each event; NULL: of the world */
void check_all(struct sim *s);
void check_driver_done(struct sim *s, struct process *p);
bool check_rest(struct sim *s, char *what, size_t size);
#endif
