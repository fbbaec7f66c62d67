/* link.c: cumulative acknowledgements and a small window.
 *
 * The transport beneath (libzmq over ipc or loopback tcp) is ordered and loses frames only when a
 * connection breaks or a queue is full; the simulation's network does everything else too. So the
 * common path is one frame, one delayed acknowledgement. After a time-out only the oldest frame is
 * repeated, because a peer that has stopped must not be fed the whole window again and again into
 * libzmq's queue; once acknowledgements move, the frames behind it are repeated at twice the rate
 * at which they are acknowledged. Selective acknowledgements were left out: the receiver keeps
 * early frames, so one repeated frame usually closes the gap and the acknowledgement jumps. */
#include "protocol/link.h"

#include <assert.h>

#include "protocol/mutant.h"

static_assert((LINK_SLOTS & (LINK_SLOTS - 1)) == 0 && LINK_SLOTS > LINK_FRAMES_MAX + 1,
              "slots are found by the low bits");

static struct link_slot *out_slot(struct link *link, uint64_t number)
{
    return &link->out[number % LINK_SLOTS];
}

static struct link_slot *in_slot(struct link *link, uint64_t number)
{
    return &link->in[number % LINK_SLOTS];
}

static void slot_empty(struct link_slot *slot)
{
    buffer_fini(&slot->body);
    slot->held = slot->hello = false;
}

static int out_keep(struct link *link, struct view body, bool hello)
{
    struct link_slot *slot = out_slot(link, link->sent + 1);
    assert(!slot->held);
    int rc = buffer_append(&slot->body, body.data, body.size);
    if (rc != MOB_OK)
        return rc;
    slot->held = true;
    slot->hello = hello;
    link->sent++;
    link->out_bytes += body.size;
    return MOB_OK;
}

static void stream_reset(struct link *link, uint64_t session)
{
    link->session = session;
    link->sent = link->acked = link->received = 0;
    link->out_bytes = link->in_bytes = 0;
    link->again = link->again_end = 1;
    link->recover_end = 0;
    link->repeat_at_ms = link->ack_at_ms = UINT64_MAX;
    link->repeat_ms = LINK_REPEAT_MIN_MS;
    link->unacked = 0;
    link->has_current = false;
    link->lent = 0;
}

int link_init(struct link *link, uint64_t session, struct view hello)
{
    *link = (struct link){0};
    stream_reset(link, session);
    if (hello.size == 0)
        return MOB_OK;
    int rc = out_keep(link, hello, true);
    link->again_end = link->sent + 1;
    return rc;
}

void link_fini(struct link *link)
{
    for (unsigned i = 0; i < LINK_SLOTS; i++) {
        slot_empty(&link->out[i]);
        slot_empty(&link->in[i]);
    }
    buffer_fini(&link->frame);
    stream_reset(link, link->session);
}

int link_restart(struct link *link, uint64_t session, struct view hello)
{
    assert(session > link->session);
    struct link_slot carried[LINK_SLOTS];
    unsigned carried_count = 0;
    for (uint64_t number = link->acked + 1; number <= link->sent; number++) {
        struct link_slot *slot = out_slot(link, number);
        if (slot->hello)
            slot_empty(slot);
        else
            carried[carried_count++] = *slot;
        *slot = (struct link_slot){0};
    }
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        slot_empty(&link->in[i]);
    stream_reset(link, session);
    int rc = out_keep(link, hello, true);
    for (unsigned i = 0; i < carried_count; i++) {
        *out_slot(link, ++link->sent) = carried[i];
        link->out_bytes += buffer_size(&carried[i].body);
    }
    if (rc != MOB_OK)
        link_fini(link);
    link->again_end = link->sent + 1;
    return rc;
}

/* ---- sending ---- */

static bool frame_build(struct link *link, uint64_t number, const struct buffer *body,
                        struct view *frame)
{
    struct msg_link head = {link->session, number, link->received};
    buffer_clear(&link->frame);
    if (msg_link_pack(&link->frame, &head) != MOB_OK)
        return false;
    if (body != NULL && buffer_append(&link->frame, buffer_head(body), buffer_size(body)) != MOB_OK)
        return false;
    link->ack_at_ms = UINT64_MAX;
    link->unacked = 0;
    *frame = (struct view){buffer_head(&link->frame), buffer_size(&link->frame)};
    return true;
}

static bool window_open(const struct link *link)
{
    return link->sent == link->acked ||
           (link->sent - link->acked < LINK_FRAMES_MAX && link->out_bytes < LINK_BYTES_MAX);
}

static void timer_start(struct link *link, uint64_t now_ms)
{
    if (link->repeat_at_ms == UINT64_MAX) {
        link->repeat_at_ms = now_ms + link->repeat_ms;
        link->oldest_sent_ms = now_ms;
    }
}

static void time_out(struct link *link, uint64_t now_ms)
{
    link->repeat_ms =
        link->repeat_ms * 2 < LINK_REPEAT_MAX_MS ? link->repeat_ms * 2 : LINK_REPEAT_MAX_MS;
    link->repeat_at_ms = now_ms + link->repeat_ms;
    link->recover_end = link->sent;
    link->again = link->acked + 1;
    link->again_end = link->acked + 2;
}

bool link_outgoing(struct link *link, struct peer *peer, uint64_t now_ms, struct view *frame)
{
    if (link->repeat_at_ms <= now_ms)
        time_out(link, now_ms);
    if (link->again < link->again_end) {
        uint64_t number = link->again++;
        /* The first sending of a hello and of what a restart carried over goes this way too. */
        timer_start(link, now_ms);
        link->counts.repeated++;
        return frame_build(link, number, &out_slot(link, number)->body, frame);
    }
    struct view body;
    if (peer != NULL && window_open(link) && peer_first_frame(peer, &body)) {
        if (out_keep(link, body, false) != MOB_OK)
            return false;
        peer_gone(peer, FRAME_HEAD_SIZE + body.size);
        link->again = link->again_end = link->sent + 1;
        timer_start(link, now_ms);
        link->counts.sent++;
        return frame_build(link, link->sent, &out_slot(link, link->sent)->body, frame);
    }
    if (link->ack_at_ms > now_ms)
        return false;
    link->counts.acks++;
    return frame_build(link, 0, NULL, frame);
}

/* ---- receiving ---- */

bool link_peek(struct view frame, struct msg_link *head, struct view *messages)
{
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head first;
    if (!message_next(&c, &first) || first.number != MSG_link || !msg_link_unpack(&c, &first, head))
        return false;
    *messages = (struct view){c.at, cursor_left(&c)};
    return head->number != 0 || messages->size == 0;
}

static void on_ack(struct link *link, uint64_t ack, uint64_t now_ms)
{
    if (ack <= link->acked)
        return;
    uint64_t moved = ack - link->acked;
    while (link->acked < ack) {
        struct link_slot *slot = out_slot(link, ++link->acked);
        link->out_bytes -= buffer_size(&slot->body);
        slot_empty(slot);
    }
    if (link->again <= link->acked)
        link->again = link->acked + 1;
    if (link->again_end < link->again)
        link->again_end = link->again;
    if (link->acked < link->recover_end) {
        uint64_t end = link->acked + 2 * moved < link->recover_end ? link->acked + 2 * moved
                                                                   : link->recover_end;
        if (link->again_end < end + 1) {
            link->again = link->acked + 1;
            link->again_end = end + 1;
        }
    }
    link->repeat_ms = LINK_REPEAT_MIN_MS;
    link->repeat_at_ms = link->acked == link->sent ? UINT64_MAX : now_ms + link->repeat_ms;
    link->oldest_sent_ms = now_ms;
}

static void ack_within(struct link *link, uint64_t at_ms)
{
    if (at_ms < link->ack_at_ms)
        link->ack_at_ms = at_ms;
}

/* A frame before its turn waits in its slot if there is room; otherwise it will be repeated. */
static void keep_early(struct link *link, uint64_t number, struct view body)
{
    struct link_slot *slot = in_slot(link, number);
    if (slot->held) {
        link->counts.duplicates++;
        return;
    }
    if (link->in_bytes + body.size > LINK_BYTES_MAX ||
        buffer_append(&slot->body, body.data, body.size) != MOB_OK) {
        link->counts.beyond++;
        return;
    }
    slot->held = true;
    link->in_bytes += body.size;
    link->counts.early++;
}

int link_on_frame(struct link *link, struct view frame, uint64_t now_ms)
{
    struct msg_link head;
    struct view body;
    assert(!link->has_current);
    if (!link_peek(frame, &head, &body)) {
        link->counts.malformed++;
        return MOB_EPROTO;
    }
    if (head.session != link->session && !MUTANT(link_old_session)) {
        link->counts.other_session++;
        return MOB_OK;
    }
    if (head.ack > link->sent) {
        link->counts.malformed++;
        return MOB_EPROTO;
    }
    on_ack(link, head.ack, now_ms);
    if (head.number == 0)
        return MOB_OK;
    if (head.number <= link->received) {
        /* The acknowledgement was lost, or is late: say it again at once. */
        link->counts.duplicates++;
        ack_within(link, now_ms);
    } else if (head.number == link->received + 1) {
        link->received++;
        link->current = body;
        link->has_current = true;
        link->unacked++;
        ack_within(link, link->unacked < LINK_ACK_FRAMES ? now_ms + LINK_ACK_DELAY_MS : now_ms);
    } else if (head.number <= link->received + LINK_FRAMES_MAX) {
        keep_early(link, head.number, body);
        ack_within(link, now_ms);
    } else {
        link->counts.beyond++;
    }
    return MOB_OK;
}

bool link_next(struct link *link, struct view *messages)
{
    if (link->lent != 0) {
        slot_empty(in_slot(link, link->lent));
        link->lent = 0;
    }
    if (link->has_current) {
        link->has_current = false;
        link->counts.received++;
        *messages = link->current;
        return true;
    }
    struct link_slot *slot = in_slot(link, link->received + 1);
    if (!slot->held)
        return false;
    link->lent = ++link->received;
    link->unacked++;
    link->in_bytes -= buffer_size(&slot->body);
    link->counts.received++;
    *messages = (struct view){buffer_head(&slot->body), buffer_size(&slot->body)};
    return true;
}

uint64_t link_deadline(const struct link *link)
{
    if (link->again < link->again_end)
        return 0;
    return link->repeat_at_ms < link->ack_at_ms ? link->repeat_at_ms : link->ack_at_ms;
}

uint64_t link_silent_ms(const struct link *link, uint64_t now_ms)
{
    return link->repeat_at_ms != UINT64_MAX && now_ms > link->oldest_sent_ms
               ? now_ms - link->oldest_sent_ms
               : 0;
}
