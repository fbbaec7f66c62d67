/* link.h: a reliable numbered stream of frames over a transport that loses, repeats and reorders
 * them. One end of the conversation of a node with the head. Each frame on the wire is a `link`
 * message, which says where the frame stands, and then the messages themselves. The sender keeps a
 * frame until it is acknowledged and repeats the oldest with growing pauses; the receiver puts
 * frames in order, drops what it had, and hands each out once.
 *
 * A session is one life of the stream. The connecting side draws a number that is higher than all
 * it drew before on this machine (its monotonic clock does), and starts at frame 1 with its hello.
 * Frames of any other session are ignored and counted. What was not acknowledged when a session
 * ends is sent again in the next one, so across sessions a message may arrive twice: receivers make
 * such messages harmless by request numbers or because they say what is.
 *
 * Owns copies of the frames under way and of those that came early. Bounds: LINK_FRAMES_MAX frames
 * and LINK_BYTES_MAX bytes each way, one frame of any size always allowed; what does not fit stays
 * in the peer's `out`. Runs on: the loop of its owner. Touches: no I/O. Invariants: acked <= sent;
 * sent - acked <= LINK_FRAMES_MAX + 1; an idle link sends nothing and has no deadline. */
#ifndef MOB_PROTOCOL_LINK_H
#define MOB_PROTOCOL_LINK_H
#include "protocol/outbox.h"

enum {
    LINK_FRAMES_MAX = 32, /* under way or held early, the hello not counted */
    LINK_BYTES_MAX = 1 << 20,
    LINK_SLOTS = 2 * LINK_FRAMES_MAX, /* a power of 2 above LINK_FRAMES_MAX + 1 */
    LINK_REPEAT_MIN_MS = 20,
    LINK_REPEAT_MAX_MS = 1000,
    LINK_ACK_DELAY_MS = 5, /* an acknowledgement waits this long for a frame that carries it */
    LINK_ACK_FRAMES = 8,   /* this many frames are acknowledged at once */
    LINK_HEAD_MAX = 48,    /* bytes of a packed `link` message, at most */
};

struct link_counts {
    uint64_t sent, repeated, acks;      /* frames sent anew, again, and with no messages */
    uint64_t received;                  /* frames handed out */
    uint64_t duplicates, early, beyond; /* had before; held until their turn; outside the window */
    uint64_t other_session, malformed;  /* ignored */
};

struct link_slot {
    struct buffer body;
    bool held;
    bool hello;
};

/* Embedded in its owner's record of the other side. Fields are the link's own. */
struct link {
    uint64_t session;
    /* Outgoing: frames acked + 1 .. sent are kept in out[number % LINK_SLOTS]. */
    uint64_t sent, acked;
    size_t out_bytes;
    uint64_t again, again_end; /* frames to send again now: again .. again_end - 1 */
    uint64_t recover_end;      /* after a time-out: frames up to this one may be lost */
    uint64_t repeat_at_ms;     /* UINT64_MAX while nothing is under way */
    uint32_t repeat_ms;
    uint64_t
        oldest_sent_ms; /* when the oldest frame under way was first sent, or acks last moved */
    /* Incoming: all up to `received` were handed out or wait in `current`. */
    uint64_t received;
    size_t in_bytes;
    uint64_t ack_at_ms; /* UINT64_MAX: nothing to acknowledge */
    uint32_t unacked;
    struct view current; /* the frame in order that was just given in */
    bool has_current;
    uint64_t lent; /* in-slot that link_next lent out, or 0 */
    struct buffer frame;
    struct link_counts counts;
    struct link_slot out[LINK_SLOTS], in[LINK_SLOTS];
};

/* Start. The connecting side gives its hello, a run of whole messages, which becomes frame 1; the
 * accepting side gives the session that it accepted and an empty hello. MOB_ENOMEM leaves nothing
 * to finish. */
int link_init(struct link *link, uint64_t session, struct view hello) MOB_MUST_CHECK;
void link_fini(struct link *link); /* zeroed and finished ones are fine */
/* A new session, higher than the last. Frame 1 is the hello; frames that were not acknowledged
 * follow it, an older hello is dropped. MOB_ENOMEM: the link is finished. */
int link_restart(struct link *link, uint64_t session, struct view hello) MOB_MUST_CHECK;

/* The next frame that shall be sent now: what is repeated, then what waits in peer->out, then an
 * acknowledgement. False when there is none. `frame` is valid until the next call on this link. A
 * frame that the transport then does not take counts as lost. `peer` may be NULL: nothing new. */
bool link_outgoing(struct link *link, struct peer *peer, uint64_t now_ms, struct view *frame);
/* A frame arrived. MOB_EPROTO: not a frame of a link, or it acknowledges what was never sent;
 * nothing changed. The bytes must stay until link_next has returned false. */
int link_on_frame(struct link *link, struct view frame, uint64_t now_ms) MOB_MUST_CHECK;
/* After link_on_frame: the messages of the next frame in order, until false. Valid until the next
 * call on this link. */
bool link_next(struct link *link, struct view *messages);
/* When link_outgoing will have something even if nothing happens; UINT64_MAX = never. */
uint64_t link_deadline(const struct link *link);
/* How long the other side has left frames unacknowledged, 0 when none are: what a dead peer is
 * judged by. */
uint64_t link_silent_ms(const struct link *link, uint64_t now_ms);
/* Whether anything is under way or waits to be acknowledged. */
static inline bool link_idle(const struct link *link)
{
    return link->sent == link->acked && link->ack_at_ms == UINT64_MAX;
}

/* Read the `link` message at the front of a frame, for a frame that has no link yet. False when
 * there is none. */
bool link_peek(struct view frame, struct msg_link *head, struct view *messages);
#endif
