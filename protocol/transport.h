/* transport.h: whole frames between processes over libzmq, each with its verified sender.
 * The listening side (a ROUTER: the head) and the connecting side (a DEALER: a node, a driver that
 * looks for its home). Endpoints: ipc:///path, ipc://@name (abstract: leaves no file), tcp on a
 * literal loopback address. All else is MOB_EINSECURE, tcp without a token as well.
 *
 * One body frame per message. A peer that sends several parts, chooses its own routing id or comes
 * as one too many is cut. The uid of an ipc peer is what the kernel said of its connection
 * (SO_PEERCRED), as libzmq took it when the connection was accepted, so it cannot be that of a
 * later connection with the same descriptor.
 *
 * Owns a libzmq context with one I/O thread, its sockets, the lock of an ipc path. Bounds:
 * transport_config; what libzmq queues is queue_frames for each peer, and a sender that repeats
 * through protocol/link.h keeps at most LINK_BYTES_MAX under way. Runs on: the thread that made it.
 * Touches: sockets, descriptors, the lock file. Nothing here blocks. */
#ifndef MOB_PROTOCOL_TRANSPORT_H
#define MOB_PROTOCOL_TRANSPORT_H
#include "protocol/sender.h"

struct transport;

struct transport_config {
    uint32_t peers_max;    /* connections that have spoken; listening side */
    size_t frame_max;      /* larger ones cost the sender its connection */
    uint32_t queue_frames; /* per peer, each way */
    bool has_token;        /* hellos carry a secret, so tcp is allowed */
    bool shared;           /* other uids may connect to an ipc path: its mode is 0666 */
};

/* peers 1100, frames of MESSAGE_SIZE_MAX and their heads, 256 of them. */
struct transport_config transport_config_default(void);

enum transport_event_kind {
    TRANSPORT_NOTHING,
    TRANSPORT_FRAME,     /* sender, frame */
    TRANSPORT_CONNECTED, /* connecting side: a new connection; say hello in a new session */
    TRANSPORT_GONE, /* sender.connection has ended; frames of it may still come on the connecting
                       side */
};

struct transport_event {
    enum transport_event_kind kind;
    struct sender sender;
    struct view frame; /* valid until the next call on this transport */
};

struct transport_counts {
    uint64_t frames, sent, queue_full, unreachable;
    uint64_t multipart, chosen_id, beyond_max,
        dead; /* refused: see above; dead: of a connection that had ended */
    uint64_t peers;
};

int transport_listen(struct transport **out, const char *endpoint,
                     const struct transport_config *config, struct mob_err *err) MOB_MUST_CHECK;
/* Returns at once; TRANSPORT_CONNECTED follows when there is a connection. Retries for ever, after
 * 1 ms at first, then ever later up to a second. */
int transport_connect(struct transport **out, const char *endpoint,
                      const struct transport_config *config, struct mob_err *err) MOB_MUST_CHECK;
/* NULL is fine. Frames that are still queued are dropped. */
void transport_close(struct transport *t);

/* A descriptor to wait for input on, level triggered. Before a wait, transport_next must have given
 * TRANSPORT_NOTHING and nothing been sent since: sending may take up the signal. */
int transport_fd(const struct transport *t);
enum transport_event_kind transport_next(struct transport *t, struct transport_event *event);
/* MOB_OK: queued, which is not delivered. MOB_EAGAIN: the peer's queue is full, or there is no
 * connection now. MOB_EPEERDIED: no such connection. The connecting side ignores `connection`. */
int transport_send(struct transport *t, uint64_t connection, struct view frame) MOB_MUST_CHECK;
/* End a connection. TRANSPORT_GONE follows; no frame of it does. Unknown ones are fine. */
void transport_cut(struct transport *t, uint64_t connection);

/* Where it listens: a port that was left to the system is filled in. */
const char *transport_endpoint(const struct transport *t);
void transport_counts(const struct transport *t, struct transport_counts *out);
/* MOB_OK, or MOB_EINSECURE or MOB_EINVAL with what is allowed. */
int transport_check_endpoint(const char *endpoint, bool has_token,
                             struct mob_err *err) MOB_MUST_CHECK;
#endif
