/* seat.c: who drives the core, who sleeps where, and how nobody misses a wake-up.
 *
 * All that is read to decide to sleep is read under the lock, and whoever changes it does so under
 * the lock:
 *  - the holder of the seat sleeps on the doorbell: it prepares under the lock, rechecks the rings,
 *    lets go of the lock and sleeps. Peers ring the bell; threads of this process that make its
 *    waiter done, want the seat or bring its deadline forward ring it too (seat_disturb). One that
 *    fills a ring meanwhile looks again for the one that sleeps (ring_send in turn.c).
 *  - other waiting threads sleep each on the word of their sleeper, set to 0 under the lock; it is
 *    set to 1 by whoever makes its waiter done or gives it the seat.
 * Whoever leaves seat_wait while the seat is free passes it on: to the oldest sleeper, else to the
 * library thread if that is parked. Also one that only came to take the seat, and found itself
 * done.
 *
 * The library thread drives only when nobody else has for a millisecond. While there is activity it
 * looks every millisecond, and reads the rings then if nobody else does: a program that only
 * submits would never hear of a lease. It parks while a user's thread keeps the seat asleep. So it
 * costs a busy process next to nothing, and an idle one a look at its node twice a second.
 * Rejected: an I/O thread that always drives (two more wake-ups for each answer: 70 us against 30),
 * and a thread that steals the doorbell from a sleeping one (two sleepers on one futex word).
 *
 * tests/model/seat.pml checks it. */
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libclient/output.h"
#include "libclient/shell.h"

enum { TICK_NS = 1000000, NODE_LOOK_NS = 500000000, OFFER_YIELDS = 1000 };

uint64_t shell_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t shell_coarse_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- words ---- */

static void word_sleep(_Atomic uint32_t *word, uint64_t deadline_ns)
{
    struct timespec t = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, 0, deadline_ns == UINT64_MAX ? NULL : &t,
            NULL, FUTEX_BITSET_MATCH_ANY);
}

static void word_wake(_Atomic uint32_t *word)
{
    if (atomic_exchange(word, 1) == 0)
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- sleepers ---- */

static void sleeper_add(struct shell *s, struct sleeper *self)
{
    struct sleeper **at = &s->sleepers, *before = NULL;
    while (*at != NULL) {
        before = *at;
        at = &(*at)->next;
    }
    self->next = NULL;
    self->prev = before;
    self->queued = true;
    *at = self;
}

static void sleeper_remove(struct shell *s, struct sleeper *self)
{
    if (!self->queued)
        return;
    *(self->prev != NULL ? &self->prev->next : &s->sleepers) = self->next;
    if (self->next != NULL)
        self->next->prev = self->prev;
    self->queued = false;
}

/* The holder of the seat shall look up: its waiter is done, the seat is wanted, or its deadline has
 * come forward. */
static void seat_disturb(struct shell *s)
{
    if (s->seat_asleep)
        doorbell_ring_own(&s->connection->bell);
}

static void sleeper_wake(struct shell *s, struct sleeper *who)
{
    if (who == s->seat_sleeper)
        seat_disturb(s);
    else
        word_wake(&who->word);
}

void seat_wake_woken(struct shell *s)
{
    struct waiter *w;
    while ((w = client_next_woken(s->core)) != NULL)
        if (w->shell != NULL)
            sleeper_wake(s, w->shell);
    if (s->run_sleeper != NULL && client_run_ready(s->core))
        sleeper_wake(s, s->run_sleeper);
    if (s->seat_asleep && client_deadline(s->core) < s->seat_deadline_ns)
        seat_disturb(s);
}

/* ---- driving ---- */

/* A node that is killed rings no bell and revokes no ring; its end shows at the control socket
 * alone. A worker does not look: its zygote sees the same and ends it. */
static uint64_t node_look_due(const struct shell *s)
{
    return s->stopped == NULL && !s->node_gone ? shell_now_ns() + NODE_LOOK_NS : UINT64_MAX;
}

static void node_look(struct shell *s)
{
    struct pollfd p = {.fd = s->connection->control_fd, .events = POLLRDHUP};
    if (s->stopped == NULL && poll(&p, 1, 0) > 0)
        s->node_hung_up = true;
}

/* Between two turns others get in. A mutex is not fair: whoever lets go and takes it again at once
 * has it before those who wait for it are awake. */
static void lock_offer(struct shell *s)
{
    uint32_t wanting = s->wanting;
    if (wanting == 0)
        return;
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < OFFER_YIELDS && s->wanting >= wanting; i++)
        sched_yield();
    pthread_mutex_lock(&s->lock);
}

/* One turn in the seat: act on what has come, else sleep until the bell or the deadline. */
static void seat_turn(struct shell *s, uint64_t deadline_ns)
{
    bool any = turn_read(s);
    turn_flush(s, false);
    seat_wake_woken(s);
    if (any) {
        lock_offer(s);
        return;
    }
    struct doorbell *bell = &s->connection->bell;
    doorbell_prepare(bell);
    uint64_t core_deadline = client_deadline(s->core);
    s->seat_deadline_ns = deadline_ns < core_deadline ? deadline_ns : core_deadline;
    uint64_t look_ns = node_look_due(s);
    if (turn_pending(s) || s->seat_wanted) {
        doorbell_cancel(bell);
        return;
    }
    s->seat_asleep = true;
    pthread_mutex_unlock(&s->lock);
    int rc = doorbell_sleep(bell, look_ns < s->seat_deadline_ns ? look_ns : s->seat_deadline_ns);
    pthread_mutex_lock(&s->lock);
    s->seat_asleep = false;
    if (rc != MOB_OK) /* late: nothing was heard for a while. Else the caller looks at the rings. */
        node_look(s);
}

void seat_unpark(struct shell *s)
{
    if (s->thread_parked)
        word_wake(&s->thread_word);
}

static void seat_pass_on(struct shell *s)
{
    if (s->sleepers != NULL)
        word_wake(&s->sleepers->word);
    else
        seat_unpark(s);
}

static void seat_leave(struct shell *s)
{
    s->seat = SEAT_FREE;
    s->seat_sleeper = NULL;
    seat_pass_on(s);
}

/* Wait until done() says so. With the lock; it is let go while this thread sleeps. */
int seat_wait(struct shell *s, bool (*done)(struct shell *, void *), void *what,
              struct sleeper *self, uint64_t deadline_ns)
{
    int rc = MOB_OK;
    bool held = false;
    turn_flush(s, false); /* what the caller asked for must be under way before anybody sleeps */
    seat_wake_woken(s);
    while (!done(s, what)) {
        if (deadline_ns != UINT64_MAX && shell_now_ns() >= deadline_ns) {
            rc = MOB_ETIMEDOUT;
            break;
        }
        s->activity++;
        if (s->seat == SEAT_FREE) {
            s->seat = SEAT_USER;
            s->seat_sleeper = self;
            held = true;
            sleeper_remove(s, self);
        }
        if (held) {
            seat_turn(s, deadline_ns);
            continue;
        }
        if (s->seat == SEAT_LIBRARY) {
            s->seat_wanted = true;
            seat_disturb(s);
        }
        if (!self->queued)
            sleeper_add(s, self);
        atomic_store(&self->word, 0);
        pthread_mutex_unlock(&s->lock);
        word_sleep(&self->word, deadline_ns);
        pthread_mutex_lock(&s->lock);
    }
    sleeper_remove(s, self);
    s->activity++;
    if (held)
        seat_leave(s);
    else if (s->seat == SEAT_FREE)
        seat_pass_on(s); /* it may have been given to us */
    return rc;
}

/* ---- the library thread ---- */

/* Until when the library thread may sleep: while a task runs it looks in now and then, for output
 * to pass on and for tasks that were queued behind it. */
static uint64_t library_deadline(const struct shell *s)
{
    return client_runs_now(s->core) ? shell_now_ns() + 10 * TICK_NS : UINT64_MAX;
}

/* A task that has run for a tick is long: what is queued behind it goes back, and the bells of the
 * answers before it are rung. */
static void library_look(struct shell *s, bool reads)
{
    if (client_runs_now(s->core) && shell_now_ns() - s->run_clock_ns >= TICK_NS)
        client_run_is_long(s->core);
    if (reads)
        (void)turn_read(s);
    turn_flush(s, false);
    seat_wake_woken(s);
}

/* Nobody has called or driven for a tick: drive until a user's thread wants the seat or calls
 * again. */
static void library_drive(struct shell *s)
{
    uint64_t seen = s->activity;
    s->seat = SEAT_LIBRARY;
    client_run_is_long(s->core); /* it has run for that tick */
    while (!s->stop && !s->seat_wanted && s->activity == seen) {
        seat_turn(s, library_deadline(s));
        /* Without the lock: a thread that prints holds the stream's and may want ours. */
        pthread_mutex_unlock(&s->lock);
        output_flush_free();
        pthread_mutex_lock(&s->lock);
    }
    s->seat_wanted = false;
    seat_leave(s);
}

/* Parked: a user's thread has the seat and sleeps; it wakes us when it leaves. */
static void library_nap(struct shell *s, bool parked)
{
    uint64_t deadline_ns = parked ? library_deadline(s) : shell_now_ns() + TICK_NS;
    s->thread_parked = parked;
    atomic_store(&s->thread_word, 0);
    pthread_mutex_unlock(&s->lock);
    if (parked)
        output_flush_free();
    word_sleep(&s->thread_word, deadline_ns);
    pthread_mutex_lock(&s->lock);
    s->thread_parked = false;
}

void *seat_library_thread(void *shell)
{
    struct shell *s = shell;
    uint64_t seen = UINT64_MAX;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        bool quiet = s->activity == seen, unused = s->seat == SEAT_FREE && s->sleepers == NULL;
        seen = s->activity;
        if (quiet && unused) {
            library_drive(s);
        } else {
            library_look(s, unused);
            library_nap(s, quiet);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void seat_thread_stop(struct shell *s)
{
    shell_lock(s);
    s->stop = true;
    seat_disturb(s);
    word_wake(&s->thread_word);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
}
