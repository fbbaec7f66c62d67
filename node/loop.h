/* loop.h: one epoll and the watches in it: which descriptor, and what to call when it is ready.
 * Owns the epoll descriptor; watches and their descriptors are their owners'. Bound:
 * LOOP_EVENTS_MAX events in a turn, the rest in the next. Runs on: the node's loop thread. Touches:
 * epoll. A watch may be removed, and its owner freed, inside any watch's call. */
#ifndef MOB_NODE_LOOP_H
#define MOB_NODE_LOOP_H
#include <sys/epoll.h>

#include "protocol/errors.h"

enum { LOOP_EVENTS_MAX = 64 };

struct watch {
    int fd; /* -1: not in a loop */
    void (*on_ready)(struct watch *watch, uint32_t events);
};

struct loop {
    int epoll_fd;
    int ready, next; /* of the events of this turn */
    struct epoll_event events[LOOP_EVENTS_MAX];
};

int loop_init(struct loop *loop, struct mob_err *err) MOB_MUST_CHECK;
void loop_fini(struct loop *loop);
/* `events` as for epoll; level triggered. */
int loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events,
             void (*on_ready)(struct watch *watch, uint32_t events),
             struct mob_err *err) MOB_MUST_CHECK;
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);
/* Take it out; the descriptor stays open. Removing twice is fine. */
void loop_remove(struct loop *loop, struct watch *watch);
/* Wait until something is ready or `timeout_ms` have passed (-1: for ever). */
void loop_wait(struct loop *loop, int timeout_ms);
/* Call for all that is ready. Apart from the wait, so that the caller can look at the clock between
 * the two. */
void loop_dispatch(struct loop *loop);
#endif
