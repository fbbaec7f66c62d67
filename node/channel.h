/* channel.h: one local client, a driver or a worker, as the shell sees it: its ring pair with the
 * node, the doorbell to wake it, and the control socket over which descriptors go to it.
 *
 * The client is side 1 of the pair. Whatever comes through it has this client as its sender,
 * whatever the bytes say. Descriptors that cannot be sent because the client does not read wait
 * here, and with them all that would go through the ring: a message that announces descriptors
 * never overtakes them.
 *
 * Owns the mappings and descriptors. Bound: CHANNEL_READ_MAX bytes read in a turn,
 * CHANNEL_QUEUE_MAX packets waiting. Runs on: the node's loop. Touches: shared memory, sockets. */
#ifndef MOB_NODE_CHANNEL_H
#define MOB_NODE_CHANNEL_H
#include "node/loop.h"
#include "protocol/control.h"
#include "protocol/doorbell.h"
#include "protocol/outbox.h"
#include "protocol/ring.h"

enum { CHANNEL_READ_MAX = 128 << 10, CHANNEL_QUEUE_MAX = 4096 };

struct channel_packet {
    struct buffer bytes;
    int fds[8];
    unsigned fd_count;
    struct channel_packet *next;
};

struct channel {
    struct mob_process process;
    struct ring_end ring;      /* side 0 */
    struct doorbell_peer bell; /* the client's */
    int page_fd, event_fd;     /* of that doorbell, to be passed to its peers; event_fd -1: FUTEX */
    int ring_fd;               /* of the pair, until the client has it; -1 after */
    struct watch control;
    struct loop *loop;
    struct channel_packet *queue, **queue_end;
    unsigned queued;
    struct buffer in; /* of a frame that has not come whole */
    bool failed;      /* it broke a rule: to be ended */
};

/* Make ring pair and doorbell for a client. A doorbell that the client made itself (`page_fd` and
 * `event_fd` >= 0) is taken over on success. */
int channel_init(struct channel *channel, struct mob_process process, int page_fd, int event_fd,
                 struct mob_err *err) MOB_MUST_CHECK;
/* Revoke the ring and close all. A zeroed one is fine. */
void channel_fini(struct channel *channel);
/* Send over the control socket, or queue. The descriptors stay the caller's. MOB_ELIMIT,
 * MOB_EPEERDIED. */
int channel_send(struct channel *channel, const struct buffer *message, const int *fds,
                 unsigned fd_count, struct mob_err *err) MOB_MUST_CHECK;
/* The control socket takes more. */
void channel_drain(struct channel *channel);

typedef int channel_sink(void *context, struct channel *channel, struct view frame);
/* Hand up to CHANNEL_READ_MAX bytes' frames to `sink`; an error of it, a ring that is broken or a
 * frame that is too large sets `failed`. `scratch` is empty and comes back empty. True when more
 * waits. */
bool channel_read(struct channel *channel, struct buffer *scratch, channel_sink *sink,
                  void *context);
/* Move what the ring takes of `peer`'s bytes, and wake the client if any moved. */
void channel_flush(struct channel *channel, struct peer *peer);
/* The recheck before sleeping: is there something to do here? `peer` may be NULL. */
bool channel_pending(struct channel *channel, const struct peer *peer);
#endif
