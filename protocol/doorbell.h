/* doorbell.h: how a process sleeps until any of its peers has something for it. One for each
 * process.
 *
 * The owner says on a shared page that it is about to sleep; a peer that has published something
 * rings only when the page says so, so that a busy owner costs its peers one fence and one load.
 * Two kinds: FUTEX    the page is mapped writable by peers; they wake through it. For processes of
 * one job: a hostile peer can keep the owner awake or let it sleep too long, nothing worse. EVENTFD
 * peers can only read the page (sealed so that no later mapping is writable); they wake through an
 *            eventfd, which the owner may put into an epoll or show to its user.
 *
 * How the owner sleeps, each step in this order:
 *     doorbell_prepare(db);
 *     if (anything to do, all inputs looked at again)     doorbell_cancel(db);
 *     else                                                rc = doorbell_sleep(db, deadline_ns);
 * or, with the eventfd in an epoll, epoll_wait instead of doorbell_sleep, and then
 * doorbell_woken(db). How a peer rings: publish (a ring write, a flag), then doorbell_ring(peer).
 * Every publication rings.
 *
 * Owns: struct doorbell owns its mapping and both descriptors, struct doorbell_peer its mapping and
 * a duplicate of the eventfd. Bound: one page. Runs on: prepare, cancel, sleep and woken on one
 * thread at a time (the one that drives the process); ring from any. Touches: memfd, mmap, futex,
 * eventfd, the monotonic clock. Invariant: whoever publishes before it rings is seen by the owner's
 * recheck, or wakes the owner. */
#ifndef MOB_PROTOCOL_DOORBELL_H
#define MOB_PROTOCOL_DOORBELL_H
#include <stdbool.h>
#include <stdint.h>

#include "protocol/errors.h"

enum doorbell_kind { DOORBELL_FUTEX = 1, DOORBELL_EVENTFD = 2 };

#define DOORBELL_FOREVER UINT64_MAX

struct doorbell_page;

/* The owner's side, in the caller's storage. */
struct doorbell {
    struct doorbell_page *page;
    enum doorbell_kind kind;
    int page_fd;
    int event_fd;      /* -1 for FUTEX */
    uint32_t spin_max; /* see doorbell_set_spin */
    uint32_t spin;     /* the present length, between 0 and spin_max */
    uint32_t sleeps;
};

/* A peer's side, in the caller's storage. */
struct doorbell_peer {
    struct doorbell_page *page;
    enum doorbell_kind kind;
    int event_fd;  /* our duplicate, -1 for FUTEX */
    uint64_t rung; /* EVENTFD: the sleep that we have already rung for */
};

/* Make a doorbell. `*page_fd` and, for EVENTFD, `*event_fd` (else -1) are lent: to be passed to
 * peers (as duplicates), closed by doorbell_close. Either pointer may be NULL. MOB_EINVAL,
 * MOB_ESYSTEM, MOB_ENOMEM. */
int doorbell_create(struct doorbell *db, enum doorbell_kind kind, int *page_fd, int *event_fd,
                    struct mob_err *err) MOB_MUST_CHECK;
/* Become the owner of a FUTEX doorbell that another process made for this one: the node does so for
 * workers, so that a fork is all that they cost. `page_fd` stays the caller's. MOB_EPROTO when it
 * is no such page. */
int doorbell_adopt(struct doorbell *db, int page_fd, struct mob_err *err) MOB_MUST_CHECK;
/* Closing twice, a half-made or a zeroed doorbell is fine. Peers may still ring it, to no effect.
 */
void doorbell_close(struct doorbell *db);

/* FUTEX only, off (0) at the start: doorbell_sleep first looks for a ring for up to `iterations`
 * (some 25 ns each) without a system call on either side. The length adapts: it halves when looking
 * was in vain and grows again when it was not. To be of use it must outlast the wake-up of a peer
 * that sleeps on another core [64 bytes there and back on 2 cores: 40 us with 0 to 300 iterations,
 * 1-4 us with 1000, 0.5 us with 3000; on one core 4.2 us with 0, 5.0 us with 3000]. */
void doorbell_set_spin(struct doorbell *db, uint32_t iterations);

/* Say that the owner is about to sleep. The caller then looks at all its inputs once more. */
void doorbell_prepare(struct doorbell *db);
/* Take that back: there is work. Peers no longer ring. A stale wake may be left over and ends a
 * later sleep. */
void doorbell_cancel(struct doorbell *db);
/* Sleep until rung or until `deadline_ns` on CLOCK_MONOTONIC (absolute; 0 polls, DOORBELL_FOREVER
 * never ends). MOB_OK when rung (perhaps for nothing: look and go on), MOB_ETIMEDOUT. Signals do
 * not end it. Only after doorbell_prepare; afterwards the owner counts as awake. */
int doorbell_sleep(struct doorbell *db, uint64_t deadline_ns) MOB_MUST_CHECK;
/* EVENTFD, in place of doorbell_sleep: epoll said that the descriptor is readable. Empties it; the
 * owner counts as awake. When epoll said anything else, doorbell_cancel is enough. */
void doorbell_woken(struct doorbell *db);
/* Ring one's own bell, from another thread of the owner, after publishing. */
void doorbell_ring_own(struct doorbell *db);

/* Map a doorbell that another process made. Both descriptors stay the caller's and may be closed at
 * once; `event_fd` is ignored for FUTEX. MOB_EPROTO when they are no doorbell of this kind and
 * version. */
int doorbell_peer_open(struct doorbell_peer *peer, enum doorbell_kind kind, int page_fd,
                       int event_fd, struct mob_err *err) MOB_MUST_CHECK;
void doorbell_peer_close(struct doorbell_peer *peer);
/* Wake the owner if it sleeps or is about to. After every publication. Does not block. Any thread
 * for FUTEX, one at a time for EVENTFD. Says whether it made a system call (for counting only). */
bool doorbell_ring(struct doorbell_peer *peer);
#endif
