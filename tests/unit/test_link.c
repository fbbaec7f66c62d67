/* Two links over a network that loses, repeats, reorders and delays frames, on fake time, against
 * the sequence that was sent. */
#include "protocol/link.h"
#include "tests/support/test.h"

#include <inttypes.h>

enum { FLIGHT_MAX = 512, SEEDS = 1000 };

static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool chance(uint64_t *state, unsigned percent)
{
    return random_next(state) % 100 < percent;
}

/* One side: a core's peer, its link, and what it has sent and received. A message carries its
 * number twice, so that a mixed-up one is seen. */
struct side {
    struct outbox outbox;
    struct peer peer;
    struct link link;
    uint64_t next_send, next_receive;
};

struct flight {
    uint64_t at_ms;
    int to;
    struct buffer bytes;
};

struct world {
    uint64_t random, now_ms;
    unsigned loss, twice, delay_max_ms;
    struct side side[2];
    struct flight flights[FLIGHT_MAX];
    unsigned flight_count;
};

static void side_open(struct side *s, uint64_t session, struct view hello)
{
    *s = (struct side){.next_send = 1, .next_receive = 1};
    peer_init(&s->peer, &s->outbox, (struct mob_process){0});
    assert_int_equal(link_init(&s->link, session, hello), MOB_OK);
}

static void side_close(struct side *s)
{
    peer_fini(&s->peer);
    link_fini(&s->link);
}

static void world_close(struct world *w)
{
    for (unsigned i = 0; i < w->flight_count; i++)
        buffer_fini(&w->flights[i].bytes);
    side_close(&w->side[0]);
    side_close(&w->side[1]);
    free(w);
}

static struct world *world_open(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->random = seed;
    w->loss = (unsigned)(random_next(&w->random) % 40);
    w->twice = (unsigned)(random_next(&w->random) % 30);
    w->delay_max_ms = 1 + (unsigned)(random_next(&w->random) % 50);
    side_open(&w->side[0], 7, (struct view){0});
    side_open(&w->side[1], 7, (struct view){0});
    return w;
}

static void side_say(struct side *s, size_t padding)
{
    static const char zeros[4096];
    struct msg_forward m = {.to = s->next_send, .body = {zeros, padding}};
    assert_int_equal(peer_send(&s->peer, forward, &m), MOB_OK);
    s->next_send++;
}

static void flight_add(struct world *w, int to, struct view frame)
{
    if (w->flight_count == FLIGHT_MAX)
        return;
    struct flight *f = &w->flights[w->flight_count++];
    *f = (struct flight){.at_ms = w->now_ms + 1 + random_next(&w->random) % w->delay_max_ms,
                         .to = to};
    assert_int_equal(buffer_append(&f->bytes, frame.data, frame.size), MOB_OK);
}

static void side_flush(struct world *w, int from)
{
    struct side *s = &w->side[from];
    struct view frame;
    while (link_outgoing(&s->link, &s->peer, w->now_ms, &frame)) {
        if (!chance(&w->random, w->loss))
            flight_add(w, 1 - from, frame);
        if (chance(&w->random, w->twice))
            flight_add(w, 1 - from, frame);
    }
}

static void side_read(struct side *s)
{
    for (struct view messages; link_next(&s->link, &messages);) {
        struct cursor c = cursor_of(messages.data, messages.size);
        struct message_head head;
        struct msg_forward m;
        while (message_next(&c, &head)) {
            assert_int_equal(head.number, MSG_forward);
            assert_true(msg_forward_unpack(&c, &head, &m));
            assert_int_equal(m.to, s->next_receive);
            s->next_receive++;
        }
        assert_false(c.failed);
    }
}

static void world_deliver(struct world *w)
{
    for (unsigned i = 0; i < w->flight_count;) {
        struct flight f = w->flights[i];
        if (f.at_ms > w->now_ms) {
            i++;
            continue;
        }
        w->flights[i] = w->flights[--w->flight_count];
        struct link *link = &w->side[f.to].link;
        struct view frame = {buffer_head(&f.bytes), buffer_size(&f.bytes)};
        assert_int_equal(link_on_frame(link, frame, w->now_ms), MOB_OK);
        side_read(&w->side[f.to]);
        buffer_fini(&f.bytes);
    }
}

/* The next moment at which anything happens. */
static uint64_t world_next_ms(struct world *w)
{
    uint64_t at_ms = UINT64_MAX;
    for (unsigned i = 0; i < w->flight_count; i++)
        at_ms = w->flights[i].at_ms < at_ms ? w->flights[i].at_ms : at_ms;
    for (int i = 0; i < 2; i++) {
        uint64_t own_ms = link_deadline(&w->side[i].link);
        at_ms = own_ms < at_ms ? own_ms : at_ms;
    }
    return at_ms;
}

static void world_step(struct world *w)
{
    uint64_t at_ms = world_next_ms(w);
    if (at_ms != UINT64_MAX && at_ms > w->now_ms)
        w->now_ms = at_ms;
    world_deliver(w);
    side_flush(w, 0);
    side_flush(w, 1);
}

static bool world_quiet(struct world *w)
{
    return w->flight_count == 0 && link_idle(&w->side[0].link) && link_idle(&w->side[1].link) &&
           peer_backlog(&w->side[0].peer) == 0 && peer_backlog(&w->side[1].peer) == 0;
}

static void run_seed(uint64_t seed)
{
    struct world *w = world_open(seed);
    for (unsigned burst = 0; burst < 20; burst++) {
        for (int i = 0; i < 2; i++)
            for (uint64_t n = random_next(&w->random) % 20; n > 0; n--) {
                side_say(&w->side[i],
                         random_next(&w->random) % (chance(&w->random, 10) ? 4096 : 64));
                if (chance(&w->random, 70))
                    w->side[i].peer.open_frame =
                        SIZE_MAX; /* the next message opens a frame of its own */
            }
        for (uint64_t n = random_next(&w->random) % 30; n > 0; n--)
            world_step(w);
    }
    for (unsigned steps = 0; steps < 20000 && !world_quiet(w); steps++)
        world_step(w);
    if (w->side[0].next_receive != w->side[1].next_send ||
        w->side[1].next_receive != w->side[0].next_send || !world_quiet(w))
        fail_msg("seed %" PRIu64 ": received %" PRIu64 "/%" PRIu64 " and %" PRIu64 "/%" PRIu64,
                 seed, w->side[0].next_receive, w->side[1].next_send, w->side[1].next_receive,
                 w->side[0].next_send);
    /* Nothing more happens on an idle link. */
    assert_int_equal(world_next_ms(w), UINT64_MAX);
    world_close(w);
}

/* Whatever the network does, each side receives what the other sent, in order, each once, and then
 * both fall silent. */
MOB_TEST(link_delivers_in_order_and_once)
{
    const char *only = getenv("MOBULA_TEST_SEED");
    if (only != NULL) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

static struct view take(struct side *s, uint64_t now_ms)
{
    struct view frame;
    assert_true(link_outgoing(&s->link, &s->peer, now_ms, &frame));
    return frame;
}

static void give(struct side *s, struct view frame, uint64_t now_ms)
{
    assert_int_equal(link_on_frame(&s->link, frame, now_ms), MOB_OK);
    side_read(s);
}

static bool silent(struct side *s, uint64_t now_ms)
{
    struct view frame;
    return !link_outgoing(&s->link, &s->peer, now_ms, &frame);
}

/* Unacknowledged frames are repeated one at a time, after 20 ms, with pauses that double up to a
 * second. */
MOB_TEST(link_repeats_with_growing_pauses)
{
    struct side a;
    side_open(&a, 1, (struct view){0});
    for (int i = 0; i < 3; i++) {
        side_say(&a, 10);
        take(&a, 100);
    }
    uint64_t now_ms = 100, pause_ms = LINK_REPEAT_MIN_MS;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(link_deadline(&a.link), now_ms + pause_ms);
        assert_true(silent(&a, now_ms + pause_ms - 1));
        now_ms += pause_ms;
        take(&a, now_ms);
        assert_true(silent(&a, now_ms));
        pause_ms = pause_ms * 2 < LINK_REPEAT_MAX_MS ? pause_ms * 2 : LINK_REPEAT_MAX_MS;
    }
    assert_int_equal(a.link.counts.repeated, 10);
    assert_int_equal(link_silent_ms(&a.link, now_ms), now_ms - 100);
    side_close(&a);
}

/* A full window leaves what comes in the peer's out, and opens when an acknowledgement arrives. */
MOB_TEST(link_window_is_bounded)
{
    struct side a, b;
    side_open(&a, 1, (struct view){0});
    side_open(&b, 1, (struct view){0});
    unsigned sent = 0;
    struct view frame, last = {0};
    struct buffer first = {0};
    for (int i = 0; i < 2 * LINK_FRAMES_MAX; i++) {
        side_say(&a, 4096);
        a.peer.open_frame = SIZE_MAX; /* each message a frame of its own */
    }
    while (link_outgoing(&a.link, &a.peer, 0, &frame)) {
        if (sent++ == 0)
            assert_int_equal(buffer_append(&first, frame.data, frame.size), MOB_OK);
        last = frame;
    }
    assert_int_equal(sent, LINK_FRAMES_MAX);
    assert_true(peer_backlog(&a.peer) > LINK_FRAMES_MAX * 4096);
    give(&b, last, 0); /* early: held, not handed out */
    assert_int_equal(b.next_receive, 1);
    give(&b, (struct view){buffer_head(&first), buffer_size(&first)}, 0);
    assert_int_equal(b.next_receive, 2);
    give(&a, take(&b, 0), 0);
    assert_false(silent(&a, 0));
    assert_true(silent(&a, 0));
    buffer_fini(&first);
    side_close(&a);
    side_close(&b);
}

/* A frame larger than the window's bytes goes alone. */
MOB_TEST(link_large_frame_goes_alone)
{
    struct side a, b;
    side_open(&a, 1, (struct view){0});
    side_open(&b, 1, (struct view){0});
    void *big = calloc(1, 3 * LINK_BYTES_MAX);
    struct msg_forward m = {.to = 1, .body = {big, 3 * LINK_BYTES_MAX}};
    assert_int_equal(peer_send(&a.peer, forward, &m), MOB_OK);
    a.next_send++;
    side_say(&a, 1);
    struct view frame = take(&a, 0);
    assert_true(silent(&a, 0));
    give(&b, frame, 0);
    give(&a, take(&b, LINK_ACK_DELAY_MS), 0);
    give(&b, take(&a, 0), 0);
    assert_int_equal(b.next_receive, 3);
    free(big);
    side_close(&a);
    side_close(&b);
}

/* An acknowledgement rides on a frame; alone it waits a few ms, or until several frames came. */
MOB_TEST(link_acknowledges_late_and_together)
{
    struct side a, b;
    side_open(&a, 1, (struct view){0});
    side_open(&b, 1, (struct view){0});
    side_say(&a, 1);
    give(&b, take(&a, 0), 0);
    assert_true(silent(&b, 0));
    assert_int_equal(link_deadline(&b.link), LINK_ACK_DELAY_MS);
    side_say(&b, 1);
    give(&a, take(&b, 0), 0);
    assert_true(a.link.sent == a.link.acked);
    for (int i = 0; i < LINK_ACK_FRAMES; i++) {
        assert_true(silent(&b, 0));
        side_say(&a, 1);
        give(&b, take(&a, 0), 0);
    }
    give(&a, take(&b, 0), 0);
    assert_true(link_idle(&a.link));
    assert_int_equal(b.link.counts.acks, 1);
    side_close(&a);
    side_close(&b);
}

/* Frames of another session change nothing and are counted. */
MOB_TEST(link_ignores_other_sessions)
{
    struct side a, b;
    side_open(&a, 1, (struct view){0});
    side_open(&b, 2, (struct view){0});
    side_say(&a, 1);
    give(&b, take(&a, 0), 0);
    assert_int_equal(b.next_receive, 1);
    assert_int_equal(b.link.counts.other_session, 1);
    assert_true(silent(&b, 1000));
    side_close(&a);
    side_close(&b);
}

/* A restarted session begins with its hello and carries over what was not acknowledged, without the
 * old hello. */
MOB_TEST(link_restart_carries_over)
{
    static const char greeting[] = {(char)0x92, 70, 0}; /* goodbye [70, 0] stands for a hello */
    struct view hello = {greeting, sizeof greeting};
    struct side a;
    side_open(&a, 1, hello);
    side_say(&a, 1);
    take(&a, 0);
    take(&a, 0);
    assert_int_equal(link_restart(&a.link, 2, hello), MOB_OK);
    struct msg_link head;
    struct view body;
    assert_true(link_peek(take(&a, 0), &head, &body));
    assert_int_equal(head.session, 2);
    assert_int_equal(head.number, 1);
    assert_int_equal(body.size, sizeof greeting);
    assert_memory_equal(body.data, greeting, sizeof greeting);
    assert_true(link_peek(take(&a, 0), &head, &body));
    assert_int_equal(head.number, 2);
    assert_true(body.size > sizeof greeting);
    assert_true(silent(&a, 0));
    side_close(&a);
}

/* Bytes that are no frame, and acknowledgements of what was never sent, are refused and change
 * nothing. */
MOB_TEST(link_refuses_malformed_frames)
{
    struct side a;
    side_open(&a, 1, (struct view){0});
    struct buffer b = {0};
    struct msg_link head = {1, 1, 1};
    assert_int_equal(msg_link_pack(&b, &head), MOB_OK);
    struct view frame = {buffer_head(&b), buffer_size(&b)};
    assert_int_equal(link_on_frame(&a.link, frame, 0), MOB_EPROTO);
    for (size_t size = 0; size < frame.size; size++)
        assert_int_equal(link_on_frame(&a.link, (struct view){frame.data, size}, 0), MOB_EPROTO);
    assert_int_equal(a.link.counts.malformed, frame.size + 1);
    struct view none;
    assert_false(link_next(&a.link, &none));
    assert_true(link_idle(&a.link));
    buffer_fini(&b);
    side_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(link_delivers_in_order_and_once),
        cmocka_unit_test(link_repeats_with_growing_pauses),
        cmocka_unit_test(link_window_is_bounded),
        cmocka_unit_test(link_large_frame_goes_alone),
        cmocka_unit_test(link_acknowledges_late_and_together),
        cmocka_unit_test(link_ignores_other_sessions),
        cmocka_unit_test(link_restart_carries_over),
        cmocka_unit_test(link_refuses_malformed_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
