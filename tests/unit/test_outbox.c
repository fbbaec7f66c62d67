/* Frames as they are built for sending, sent in parts, and put together again. */
#include "tests/support/test.h"

#include "protocol/memory.h"
#include "protocol/outbox.h"

static void send_one(struct peer *p, uint64_t lease)
{
    assert_int_equal(peer_send(p, lease_return, &(struct msg_lease_return){lease}), MOB_OK);
}

/* The messages in a frame, each a lease_return; their leases must follow `next`. */
static unsigned frame_read(struct view frame, uint64_t *next)
{
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head head;
    unsigned count = 0;
    while (message_next(&c, &head)) {
        struct msg_lease_return m;
        assert_int_equal(head.number, MSG_lease_return);
        assert_true(msg_lease_return_unpack(&c, &head, &m));
        assert_int_equal(m.lease, (*next)++);
        count++;
    }
    assert_false(c.failed);
    return count;
}

/* Messages that wait together travel in one frame, until it has grown past its aim. */
MOB_TEST(messages_share_frames)
{
    struct outbox o = {0};
    struct peer p;
    peer_init(&p, &o, (struct mob_process){5});
    uint64_t sent = 0;
    while (peer_backlog(&p) < 3 * FRAME_SIZE_AIM)
        send_one(&p, sent++);
    struct view frame;
    uint64_t next = 0;
    unsigned frames = 0;
    while (peer_first_frame(&p, &frame)) {
        assert_in_range(frame.size, 1, FRAME_SIZE_AIM + 20);
        assert_true(frame_read(frame, &next) > 1);
        peer_gone(&p, FRAME_HEAD_SIZE + frame.size);
        frames++;
    }
    assert_int_equal(next, sent);
    assert_in_range(frames, 3, 4);
    peer_fini(&p);
}

/* However the bytes go out, in parts of any size and with messages added between, whole frames come
 * in. */
MOB_TEST(bytes_go_in_any_parts)
{
    uint64_t random = 1;
    for (unsigned round = 0; round < 200; round++) {
        struct outbox o = {0};
        struct peer p;
        struct buffer in = {0};
        peer_init(&p, &o, (struct mob_process){5});
        uint64_t sent = 0, next = 0;
        for (unsigned step = 0; step < 300 || peer_backlog(&p) > 0; step++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            if (step < 300 && random >> 62 != 0)
                send_one(&p, sent++);
            size_t part = (size_t)(random >> 40) % (round % 2 != 0 ? 9 : 300);
            if (part > peer_backlog(&p))
                part = peer_backlog(&p);
            assert_int_equal(buffer_append(&in, buffer_head(&p.out), part), MOB_OK);
            peer_gone(&p, part);
            struct view frame;
            int rc;
            while ((rc = frame_next(&in, &frame)) == 1) {
                frame_read(frame, &next);
                frame_taken(&in, &frame);
            }
            assert_int_equal(rc, 0);
        }
        assert_int_equal(next, sent);
        assert_int_equal(buffer_size(&in), 0);
        buffer_fini(&in);
        peer_fini(&p);
    }
}

/* A frame that has begun to leave takes nothing more. */
MOB_TEST(frame_under_way_is_closed)
{
    struct outbox o = {0};
    struct peer p;
    struct view frame;
    uint64_t next = 1;
    peer_init(&p, &o, (struct mob_process){5});
    send_one(&p, 1);
    assert_true(peer_first_frame(&p, &frame));
    struct buffer in = {0};
    assert_int_equal(buffer_append(&in, buffer_head(&p.out), 1), MOB_OK);
    peer_gone(&p, 1);
    send_one(&p, 2);
    assert_int_equal(buffer_append(&in, buffer_head(&p.out), peer_backlog(&p)), MOB_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(frame_next(&in, &frame), 1);
        assert_int_equal(frame_read(frame, &next), 1);
        frame_taken(&in, &frame);
    }
    buffer_fini(&in);
    peer_fini(&p);
}

/* Peers come off the list in the order in which they got something, each once; one that ends leaves
 * it. */
MOB_TEST(dirty_peers_are_listed_once)
{
    struct outbox o = {0};
    struct peer p[4];
    for (unsigned i = 0; i < 4; i++)
        peer_init(&p[i], &o, (struct mob_process){i + 1});
    assert_null(outbox_take(&o));
    for (unsigned i = 0; i < 4; i++) {
        send_one(&p[i], 1);
        send_one(&p[0], 2);
    }
    peer_fini(&p[1]);
    peer_fini(&p[3]);
    assert_ptr_equal(outbox_take(&o), &p[0]);
    send_one(&p[0], 3);
    assert_ptr_equal(outbox_take(&o), &p[2]);
    assert_ptr_equal(outbox_take(&o), &p[0]);
    assert_null(outbox_take(&o));
    send_one(&p[2], 1);
    assert_ptr_equal(outbox_take(&o), &p[2]);
    peer_fini(&p[0]);
    peer_fini(&p[2]);
}

/* An announced size beyond the limit is refused before anything of it is waited for. */
MOB_TEST(frame_size_is_bounded)
{
    struct buffer in = {0};
    struct view frame;
    assert_int_equal(frame_next(&in, &frame), 0);
    assert_int_equal(buffer_append(&in, "\xff\xff\xff", 3), MOB_OK);
    assert_int_equal(frame_next(&in, &frame), 0);
    assert_int_equal(buffer_append(&in, "\xff", 1), MOB_OK);
    assert_int_equal(frame_next(&in, &frame), MOB_EPROTO);
    buffer_clear(&in);
    assert_int_equal(buffer_append(&in, "\x01\x00\x00\x00", 4), MOB_OK);
    assert_int_equal(frame_next(&in, &frame), 0);
    assert_int_equal(buffer_append(&in, "x", 1), MOB_OK);
    assert_int_equal(frame_next(&in, &frame), 1);
    assert_int_equal(frame.size, 1);
    buffer_fini(&in);
}

/* A message of the largest size fits a frame, also one that is open. */
MOB_TEST(largest_message_fits)
{
    struct outbox o = {0};
    struct peer p;
    struct view frame;
    peer_init(&p, &o, (struct mob_process){5});
    char *large = calloc(1, MESSAGE_SIZE_MAX);
    assert_non_null(large);
    while (peer_backlog(&p) < FRAME_SIZE_AIM - 100)
        send_one(&p, 1);
    struct msg_forward m = {.to = 1, .body = {large, MESSAGE_SIZE_MAX - 64}};
    assert_int_equal(peer_send(&p, forward, &m), MOB_OK);
    assert_true(peer_first_frame(&p, &frame));
    struct buffer in = {0};
    assert_int_equal(buffer_append(&in, buffer_head(&p.out), peer_backlog(&p)), MOB_OK);
    assert_int_equal(frame_next(&in, &frame), 1);
    assert_int_equal(frame.size + FRAME_HEAD_SIZE, peer_backlog(&p));
    buffer_fini(&in);
    free(large);
    peer_fini(&p);
}

/* When memory fails nothing of the message is there, and the next one is whole. */
MOB_TEST(failed_message_leaves_whole_frames)
{
    for (uint64_t n = 1; n < 20; n++) {
        struct outbox o = {0};
        struct peer p;
        struct view frame;
        peer_init(&p, &o, (struct mob_process){5});
        uint64_t sent = 0, next = 0;
        memory_fail_at(n);
        for (unsigned i = 0; i < 5000; i++)
            sent += peer_send(&p, lease_return, &(struct msg_lease_return){sent}) == MOB_OK;
        memory_fail_at(0);
        assert_true(sent >= 4999);
        while (peer_first_frame(&p, &frame)) {
            frame_read(frame, &next);
            peer_gone(&p, FRAME_HEAD_SIZE + frame.size);
        }
        assert_int_equal(next, sent);
        peer_fini(&p);
    }
}

/* A buffer keeps its bytes in order however it is filled and emptied, and gives large memory back.
 */
MOB_TEST(buffer_is_a_queue)
{
    struct buffer b = {0};
    uint64_t random = 3;
    uint8_t in = 0, out = 0;
    for (unsigned step = 0; step < 20000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint8_t bytes[200];
        size_t size = (size_t)(random >> 40) % sizeof bytes;
        if (random >> 63 != 0) {
            for (size_t i = 0; i < size; i++)
                bytes[i] = in++;
            assert_int_equal(buffer_append(&b, bytes, size), MOB_OK);
        } else {
            if (size > buffer_size(&b))
                size = buffer_size(&b);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(buffer_head(&b)[i], out++);
            buffer_take(&b, size);
        }
        assert_true(b.capacity <= 1 << 16);
    }
    assert_int_equal(buffer_grow(&b, SIZE_MAX - 100), MOB_ENOMEM);
    size_t size = buffer_size(&b);
    assert_int_equal(buffer_reserve(&b, 4 << 20), MOB_OK);
    b.end += 4 << 20;
    buffer_take(&b, size + (4 << 20));
    assert_int_equal(b.capacity, 0);
    buffer_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_share_frames),
        cmocka_unit_test(bytes_go_in_any_parts),
        cmocka_unit_test(frame_under_way_is_closed),
        cmocka_unit_test(dirty_peers_are_listed_once),
        cmocka_unit_test(frame_size_is_bounded),
        cmocka_unit_test(largest_message_fits),
        cmocka_unit_test(failed_message_leaves_whole_frames),
        cmocka_unit_test(buffer_is_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
