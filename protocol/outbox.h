/* outbox.h: what a core wants to send, as data: one growing run of frames for each peer.
 * A core appends messages; after the step the shell walks the dirty peers and moves their bytes
 * out. What could not go stays and grows by what comes, so a batch is always what was waiting. Owns
 * the bytes. Bound: the caller asks peer_backlog before it sends what is optional. Runs on: the
 * core's thread. Touches: no I/O. Invariant: `out` is a run of whole frames, each a 4-byte
 * little-endian size and that many bytes of whole messages; only the last may be open, and its size
 * is right at any time. */
#ifndef MOB_PROTOCOL_OUTBOX_H
#define MOB_PROTOCOL_OUTBOX_H
#include "protocol/messages.h"

enum { FRAME_HEAD_SIZE = 4 };

/* One other process as a core sees it: the verified sender of what arrives, and what goes to it.
 * Embedded in the core's own record of the peer. */
struct peer {
    struct mob_process process; /* 0 for the node and the head */
    struct buffer out;
    size_t open_frame; /* where the last frame starts, counted from the front of `out`; SIZE_MAX =
                          it is closed */
    struct peer *dirty_next; /* in the outbox's list */
    struct outbox *outbox;
    bool dirty;
    void *shell; /* the shell's channel; the core never looks at it */
};

struct outbox {
    struct peer *dirty_first, *dirty_last;
};

void peer_init(struct peer *p, struct outbox *outbox, struct mob_process process);
void peer_fini(struct peer *p); /* also takes it off the dirty list */
/* Make sure that a message can be appended: opens a frame when there is none or the last has grown
 * past FRAME_SIZE_AIM. MOB_ENOMEM changes nothing that matters. */
int peer_begin(struct peer *p) MOB_MUST_CHECK;
/* A message was appended: fix the frame's size, put the peer on the dirty list. */
void peer_end(struct peer *p);

/* rc = peer_send(p, lease_return, &m) */
#define peer_send(p, name, m)                                                                      \
    (peer_begin(p) != MOB_OK ? MOB_ENOMEM : peer_sent((p), msg_##name##_pack(&(p)->out, (m))))
static inline int peer_sent(struct peer *p, int rc)
{
    peer_end(p);
    return rc;
}
static inline size_t peer_backlog(const struct peer *p)
{
    return buffer_size(&p->out);
}

/* For the shell: take the first dirty peer off the list, NULL when there is none. */
struct peer *outbox_take(struct outbox *o);
/* For the shell: `size` bytes at the front of p->out have gone (any number: a frame may go in
 * parts). */
void peer_gone(struct peer *p, size_t size);
/* For shells that send whole frames: the first frame's bytes without its head; false when there is
 * none. */
bool peer_first_frame(const struct peer *p, struct view *frame);

/* The other direction: bytes of a stream are gathered in `in`; each whole frame is handed out in
 * place. Returns 1 and the frame, 0 when more bytes are needed, MOB_EPROTO when the announced size
 * is beyond MESSAGE_SIZE_MAX. The frame stays valid until frame_taken, which removes it. */
int frame_next(const struct buffer *in, struct view *frame);
static inline void frame_taken(struct buffer *in, const struct view *frame)
{
    buffer_take(in, FRAME_HEAD_SIZE + frame->size);
}
#endif
