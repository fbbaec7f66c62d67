/* connection.h: what joins a driver or worker to its node: the control socket, the ring pair, both
 * doorbells, the arena. A driver gets it by greeting the node (connection_greet), a worker by being
 * forked (zygote_run).
 *
 * Owns all that it points to until connection_close. Runs on: any thread, one at a time. Touches:
 * sockets, shared memory. A connection is large and aligned: keep it static, or on the heap with
 * aligned_alloc. */
#ifndef MOB_CONNECTION_H
#define MOB_CONNECTION_H
#include "protocol/control.h"
#include "protocol/doorbell.h"
#include "protocol/report.h"
#include "protocol/ring.h"

/* The descriptors of client_welcome and zygote_fork, in the order in which they come. */
enum connection_fd {
    CONNECTION_CONTROL,   /* zygote_fork only: the rest is one place earlier in client_welcome */
    CONNECTION_RING,      /* with the node, which is side 0 */
    CONNECTION_OWN_PAGE,  /* own doorbell */
    CONNECTION_NODE_PAGE, /* the node's doorbell: page and eventfd */
    CONNECTION_NODE_EVENT,
    CONNECTION_ARENA,
    CONNECTION_STDOUT, /* the last three in zygote_fork only */
    CONNECTION_STDERR,
    CONNECTION_REPORT,
    CONNECTION_FORK_FDS,
    CONNECTION_WELCOME_FDS =
        CONNECTION_ARENA, /* and one more, own eventfd, for a driver that asked for it */
};

struct connection {
    int control_fd;
    int arena_fd; /* welcome.arena_bytes long; map it read-only, and granted extents writable */
    struct msg_client_welcome welcome;
    struct ring_end ring; /* side 1; the node is side 0 */
    struct doorbell bell; /* our own: FUTEX, or EVENTFD for a driver that asked for a descriptor */
    struct doorbell_peer node;
    struct report *report; /* workers only */
};

/* Another client of the job to which the node has made a pair. */
struct connection_peer {
    struct mob_process process;
    int side;
    struct ring_end ring;
    struct doorbell_peer bell;
};

/* Driver: say hello on a connected control socket and wait for the welcome. With hello->descriptor
 * the own doorbell is an eventfd, made here and sent along. On success `control_fd` belongs to the
 * connection, otherwise it stays the caller's. What the node refused is returned with its code and
 * text. MOB_ETIMEDOUT, MOB_EPEERDIED, MOB_EPROTO. */
int connection_greet(struct connection *c, int control_fd, const struct msg_client_hello *hello,
                     int timeout_ms, struct mob_err *err) MOB_MUST_CHECK;
/* Connect to a node's local socket: a path, or @name for an abstract one. `*fd` is the caller's. */
int connection_dial(const char *local, int *fd, struct mob_err *err) MOB_MUST_CHECK;
/* Worker: set up from the packet of a zygote_fork, whose descriptors are taken out of it. */
int connection_adopt(struct connection *c, struct view welcome, struct control_packet *packet,
                     struct mob_err *err) MOB_MUST_CHECK;
/* After the message peer_open came through the ring: take the pair's descriptors off the control
 * socket. The node sends them first, so this does not wait in practice; `timeout_ms` bounds it.
 * `peer` is the caller's, to be closed with connection_peer_close. Pairs come in the order of their
 * peer_open messages. */
int connection_next_peer(struct connection *c, struct connection_peer *peer, int timeout_ms,
                         struct mob_err *err) MOB_MUST_CHECK;
void connection_peer_close(struct connection_peer *peer);
/* A zeroed one, or one that failed, is fine. */
void connection_close(struct connection *c);
#endif
