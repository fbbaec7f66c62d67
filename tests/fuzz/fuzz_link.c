/* What may arrive on a link, from a damaged frame to a hostile other end: each frame in order comes
 * out once, and the link's own promises hold. */
#define FUZZ_CHANNEL CHANNEL_LINK
#include "protocol/link.h"
#include "tests/fuzz/steps.h"

enum { SESSION = 5 };

static void take(struct link *link, uint64_t *received)
{
    struct view messages;
    while (link_next(link, &messages))
        ++*received;
    if (link->counts.received != *received || link->received < *received)
        abort();
}

/* The frame as the fuzzer made it, or its body behind a head that fits, so that not every frame is
 * refused. */
static void arrives(struct link *link, const struct step *s, uint64_t now_ms, uint64_t *received)
{
    struct buffer b = {0};
    struct view frame = step_frame(s);
    if (s->what % 2 != 0) {
        struct msg_link head = {.session = SESSION, .number = s->what / 8 % 16, .ack = link->sent};
        if (msg_link_pack(&b, &head) != MOB_OK || buffer_append(&b, s->bytes, s->size) != MOB_OK)
            abort();
        frame = (struct view){buffer_head(&b), buffer_size(&b)};
    }
    if (link_on_frame(link, frame, now_ms) == MOB_OK)
        take(link, received);
    buffer_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct link link;
    struct outbox outbox = {0};
    struct peer peer;
    struct step s;
    uint64_t now_ms = 1, received = 0;
    peer_init(&peer, &outbox, (struct mob_process){0});
    if (link_init(&link, SESSION, (struct view){"", 0}) != MOB_OK)
        abort();
    while (step_next(&data, &size, &s)) {
        struct view frame;
        arrives(&link, &s, now_ms, &received);
        if (s.what % 4 == 0 &&
            peer_send(&peer, job_end, &(struct msg_job_end){.job = s.what}) != MOB_OK)
            abort();
        now_ms += s.what;
        for (unsigned i = 0; i < 100 && link_outgoing(&link, &peer, now_ms, &frame); i++)
            if (frame.size == 0)
                abort();
        if (link.acked > link.sent || link.sent - link.acked > LINK_FRAMES_MAX + 1)
            abort();
        free(s.bytes);
    }
    link_fini(&link);
    peer_fini(&peer);
    return 0;
}
