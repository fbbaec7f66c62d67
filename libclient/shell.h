/* shell.h: the thin shell around the client core: one lock, the rings, and who sleeps where.
 *
 * The seat: whoever holds it drives the core, that is, reads the rings and sleeps on the process's
 * one doorbell. A thread that waits takes the seat if it is free, so an answer wakes exactly the
 * thread that wants it; further waiting threads sleep each on a word of their own and are woken
 * alone. When a driver of the core leaves, the next waiting thread is given the seat. The library's
 * own thread takes it only when nobody has driven for a millisecond (libclient/seat.c).
 *
 * Owns the core, the connection, the peers' rings and the library thread. Runs on: any thread;
 * functions marked (locked) want the lock held. */
#ifndef MOB_CLIENT_SHELL_H
#define MOB_CLIENT_SHELL_H
#include <pthread.h>
#include <stdatomic.h>

#include "libclient/connection.h"
#include "libclient/core.h"

/* A thread that sleeps on a word of its own until it is given the seat or what it waits for has
 * come. */
struct sleeper {
    struct sleeper *next, *prev;
    _Atomic uint32_t word; /* 0 = sleeps */
    bool queued;
};

/* The ring pair with another client of the job. */
struct shell_peer {
    struct connection_peer link; /* first: it is large and aligned */
    struct shell_peer *next;
    struct peer *peer; /* the core's; NULL once the core has dropped it */
    struct buffer in;
    bool bell_owed;
};

/* An extent of the arena that this process may write, mapped. */
enum { SHELL_EXTENTS = 64 };
struct shell_extent {
    void *memory; /* NULL: the place is free */
    uint64_t offset, size;
    uint32_t writers;
};

struct shell {
    pthread_mutex_t lock;
    _Atomic uint32_t wanting; /* threads that found it taken */
    struct client *core;
    struct connection *connection;
    struct shell_peer *peers;
    struct buffer in; /* from the node */
    bool node_bell_owed, node_gone;
    bool node_hung_up; /* its control socket has ended; what it wrote before is still in the ring */
    uint8_t *arena;    /* mapped read-only, or NULL while it has no bytes */
    struct shell_extent extents[SHELL_EXTENTS];

    /* the seat */
    enum seat_holder { SEAT_FREE, SEAT_USER, SEAT_LIBRARY } seat;
    bool seat_asleep;             /* the holder is in, or about to enter, doorbell_sleep */
    bool seat_wanted;             /* the library thread shall leave it */
    uint64_t seat_deadline_ns;    /* until when the holder sleeps */
    struct sleeper *seat_sleeper; /* the holder's, if it is a user's thread */
    struct sleeper *sleepers;     /* threads that want the seat, oldest first */
    struct sleeper *run_sleeper;  /* the worker's main thread, when it is among them */
    uint64_t activity;            /* grows with each call and each turn */

    pthread_t thread;
    bool thread_parked, stop;
    uint32_t inside;     /* threads that wait, or write into the arena */
    pthread_cond_t left; /* none is inside */
    _Atomic uint32_t thread_word;

    uint64_t run_clock_ns; /* the last look at the clock of the thread that runs tasks */
    uint64_t run_number;   /* worker: of the task under way */
    uint32_t run_waits;    /* worker: its threads that wait; its cpu is lent while there are any */
    uint64_t bells_owed_since_ns;
    int completion_fd;     /* eventfd, or -1 */
    void (*stopped)(void); /* worker: the core says CLIENT_STOP, or the node is gone */
};

uint64_t shell_now_ns(void);
/* The same clock, a few milliseconds behind, for a quarter of the cost. */
uint64_t shell_coarse_ns(void);

/* Take over `connection` and start the library thread. On failure the connection stays the
 * caller's. */
int shell_open(struct shell *s, struct connection *connection, const struct client_config *config,
               struct mob_err *err) MOB_MUST_CHECK;
/* Say goodbye, stop the thread, unmap everything but the connection, which connection_close closes.
 * All calls that wait end with MOB_ESHUTDOWN first. The lock and the core, in which everything has
 * failed, stay until the next shell_open, for threads that are on their way in. */
void shell_close(struct shell *s);

static inline void shell_lock(struct shell *s)
{
    if (pthread_mutex_trylock(&s->lock) == 0)
        return;
    s->wanting++;
    pthread_mutex_lock(&s->lock);
    s->wanting--;
}
/* Send what the call has made, wake who became ready, and let go. */
void shell_unlock(struct shell *s);

/* (locked) Wait until the waiter is done. `deadline_ns` as shell_now_ns, UINT64_MAX = for ever.
 * MOB_ETIMEDOUT. The lock is let go while it sleeps. */
int shell_wait(struct shell *s, struct waiter *w, uint64_t deadline_ns) MOB_MUST_CHECK;
/* (locked) Read what has come, without sleeping. */
void shell_poll(struct shell *s);
/* (worker's main thread) Wait for a task to run. Takes the lock and lets it go. */
struct run *shell_next_run(struct shell *s);
/* (locked, worker) A run has ended, at s->run_clock_ns: as shell_unlock, but the bell may wait
 * while more runs are queued. */
void shell_unlock_answered(struct shell *s);

/* Write `pieces` into the arena; waits for room. *offset of the first byte. Called without the
 * lock. MOB_ESTOREFULL, MOB_ESYSTEM. */
int shell_store(struct shell *s, const struct view *pieces, uint32_t count, uint64_t *offset,
                uint64_t *size, struct mob_err *err) MOB_MUST_CHECK;
/* Have `size` bytes of room ready, mapped and backed by memory, for the values written next. */
int shell_reserve(struct shell *s, uint64_t size, struct mob_err *err) MOB_MUST_CHECK;
/* Bytes of the arena, NULL when they are not inside it. */
const void *shell_arena(const struct shell *s, uint64_t offset, uint64_t size);

/* ---- seat.c, for shell.c ---- */
void *seat_library_thread(void *shell);
int seat_wait(struct shell *s, bool (*done)(struct shell *, void *), void *what,
              struct sleeper *self, uint64_t deadline_ns) MOB_MUST_CHECK;
void seat_wake_woken(struct shell *s);
/* The library thread shall look up: a run has begun. */
void seat_unpark(struct shell *s);
void seat_thread_stop(struct shell *s);

/* ---- turn.c, for seat.c ---- */
/* (locked) Read all rings once and act; true when anything had come. */
bool turn_read(struct shell *s);
/* (locked) Move what the core wants to send into the rings; ring bells, or leave the answers' bells
 * owed. */
void turn_flush(struct shell *s, bool bells_may_wait);
/* (locked) Note where the submitter and the node find it which task runs here, should this process
 * die. */
void turn_mark_run(struct shell *s, const struct run *r);
/* (locked) The recheck before sleeping. */
bool turn_pending(struct shell *s);
#endif
