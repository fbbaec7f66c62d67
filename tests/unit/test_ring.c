/* The shared-memory rings: a stream, a bound, an end, and a peer that means harm. */
#include "tests/support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/ring.h"
#include "tests/support/race.h"
#include "tests/support/ring_stress.h"

struct ring_pair {
    int fd;
    struct ring_end ends[2];
};

static void pair_open(struct ring_pair *pair, size_t size)
{
    assert_int_equal(ring_pair_create(size, &pair->fd, NULL), MOB_OK);
    assert_int_equal(ring_open(&pair->ends[0], pair->fd, RING_SIDE_0, NULL), MOB_OK);
    assert_int_equal(ring_open(&pair->ends[1], pair->fd, RING_SIDE_1, NULL), MOB_OK);
}

static void pair_close(struct ring_pair *pair)
{
    ring_close(&pair->ends[0]);
    ring_close(&pair->ends[1]);
    close(pair->fd);
}

/* What a hostile process with the descriptor can do: write anything anywhere. The offsets are the
 * layout that ring.c asserts. */
enum hostile_word { HOSTILE_TAIL = 0, HOSTILE_HEAD = 128, HOSTILE_WAITS = 256 };

static void hostile_write(int fd, int stream, enum hostile_word word, uint64_t value)
{
    unsigned char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    memcpy(map + 512 + stream * 384 + word, &value, sizeof value);
    munmap(map, 4096);
}

/* A pair is made only of a power of two within its bounds. */
MOB_TEST(ring_refuses_other_sizes)
{
    const size_t sizes[] = {0, 1, 2048, 4095, 4097, 12288, 2 * RING_SIZE_MAX, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mob_err err;
        int fd = -7;
        assert_int_equal(ring_pair_create(sizes[i], &fd, &err), MOB_EINVAL);
        assert_int_equal(err.code, MOB_EINVAL);
        assert_int_equal(fd, -7);
    }
}

/* Nobody can take memory away from under an end: the memfd is sealed, and stays out of programs
 * that are executed. */
MOB_TEST(ring_is_sealed)
{
    int fd;
    assert_int_equal(ring_pair_create(RING_SIZE_DEFAULT, &fd, NULL), MOB_OK);
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(ftruncate(fd, 1 << 20), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

/* A descriptor that is no sealed ring pair of this version is refused, whatever it is, and the end
 * may be closed all the same. */
MOB_TEST(ring_open_refuses_what_is_no_ring)
{
    struct ring_end end;
    assert_int_equal(ring_open(&end, -1, RING_SIDE_0, NULL), MOB_EPROTO);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(ring_open(&end, null, RING_SIDE_0, NULL), MOB_EPROTO);
    close(null);
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const struct {
        off_t bytes;
        int seals;
    } fakes[] = {{4096 + 2 * 65536, 0},
                 {4096 + 2 * 65536, seals},
                 {4096, seals},
                 {4096 + 2 * 65537, seals},
                 {0, seals},
                 {100, seals},
                 {4096 + 65536, seals}};
    for (size_t i = 0; i < sizeof fakes / sizeof fakes[0]; i++) {
        int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(fd, fakes[i].bytes), 0);
        if (fakes[i].seals != 0)
            assert_int_equal(fcntl(fd, F_ADD_SEALS, fakes[i].seals), 0);
        assert_int_equal(ring_open(&end, fd, RING_SIDE_0, NULL), MOB_EPROTO);
        ring_close(&end);
        close(fd);
    }
    struct ring_pair pair;
    pair_open(&pair, 4096);
    assert_int_equal(ring_open(&end, pair.fd, 3, NULL), MOB_EINVAL);
    const uint32_t version = 9;
    assert_int_equal(pwrite(pair.fd, &version, sizeof version, 8), sizeof version);
    assert_int_equal(ring_open(&end, pair.fd, RING_SIDE_0, NULL), MOB_EPROTO);
    pair_close(&pair);
}

/* Writes and reads of any sizes give the very stream that was written, in both directions, through
 * many wraps. */
MOB_TEST(ring_is_a_stream)
{
    struct ring_pair pair;
    uint64_t seed = ring_stress_seed(__func__), random = seed;
    unsigned char bytes[6000];
    uint64_t sent[2] = {0, 0}, received[2] = {0, 0};
    pair_open(&pair, 4096);
    for (int step = 0; step < 20000; step++) {
        int side = (int)(ring_stress_random(&random) >> 20 & 1);
        size_t size = (ring_stress_random(&random) >> 20) % sizeof bytes;
        if (ring_stress_random(&random) >> 20 & 1) {
            for (size_t i = 0; i < size; i++)
                bytes[i] = ring_stress_byte(seed, side, sent[side] + i);
            size_t room = 4096 - (size_t)(sent[side] - received[1 - side]);
            size_t taken = ring_write(&pair.ends[side], bytes, size);
            assert_int_equal(taken, size < room ? size : room);
            sent[side] += taken;
        } else {
            size_t there = (size_t)(sent[1 - side] - received[side]);
            assert_int_equal(ring_readable(&pair.ends[side]), there);
            size_t given = ring_read(&pair.ends[side], bytes, size);
            assert_int_equal(given, size < there ? size : there);
            for (size_t i = 0; i < given; i++)
                assert_int_equal(bytes[i], ring_stress_byte(seed, 1 - side, received[side] + i));
            received[side] += given;
        }
    }
    assert_true(received[0] > 100 * 4096 && received[1] > 100 * 4096);
    pair_close(&pair);
}

/* A full ring takes nothing, and the reader is told once that space is wanted, when half of it is
 * free. */
MOB_TEST(ring_full_asks_for_space_once)
{
    struct ring_pair pair;
    unsigned char bytes[8192] = {0};
    pair_open(&pair, 4096);
    struct ring_end *writer = &pair.ends[0], *reader = &pair.ends[1];
    assert_int_equal(ring_write(writer, bytes, 1), 1);
    assert_int_equal(ring_read(reader, bytes, 1), 1);
    assert_false(ring_peer_wants_space(reader)); /* nobody waits */
    assert_int_equal(ring_write(writer, bytes, sizeof bytes), 4096);
    assert_int_equal(ring_write(writer, bytes, 1), 0);
    assert_int_equal(ring_writable(writer), 0);
    assert_false(ring_pending(writer));
    assert_int_equal(ring_read(reader, bytes, 2047), 2047);
    assert_false(ring_peer_wants_space(reader)); /* less than half is free */
    assert_true(ring_pending(writer));           /* but a writer that looks may go on */
    assert_int_equal(ring_read(reader, bytes, 1), 1);
    assert_true(ring_peer_wants_space(reader));
    assert_int_equal(ring_read(reader, bytes, 1), 1);
    assert_false(ring_peer_wants_space(reader)); /* told already */
    assert_int_equal(ring_write(writer, bytes, 2049), 2049);
    assert_false(ring_pending(writer));
    assert_int_equal(ring_read(reader, bytes, sizeof bytes), 4096);
    assert_false(ring_peer_wants_space(reader)); /* the last write was whole */
    pair_close(&pair);
}

/* Revoking, by an end or by the node between them, stops writes at once, leaves what was written
 * readable, and then ends the stream for good. */
MOB_TEST(ring_revoked_ends_after_its_last_byte)
{
    struct ring_pair pair;
    struct ring_end observer;
    char bytes[16];
    pair_open(&pair, 4096);
    assert_int_equal(ring_open(&observer, pair.fd, RING_OBSERVER, NULL), MOB_OK);
    assert_int_equal(ring_write(&pair.ends[0], "before", 6), 6);
    assert_false(ring_pending(&pair.ends[0]));
    ring_revoke(&observer);
    assert_true(ring_revoked(&pair.ends[0]));
    assert_true(ring_pending(&pair.ends[0]));
    assert_int_equal(ring_write(&pair.ends[0], "after", 5), 0);
    assert_int_equal(ring_writable(&pair.ends[0]), 0);
    assert_int_equal(ring_read(&pair.ends[1], bytes, sizeof bytes), 6);
    assert_memory_equal(bytes, "before", 6);
    assert_int_equal(ring_read(&pair.ends[1], bytes, sizeof bytes), 0);
    /* A write that had passed its own look at the flag just before the revocation. */
    hostile_write(pair.fd, 0, HOSTILE_TAIL, 9);
    assert_int_equal(ring_read(&pair.ends[1], bytes, sizeof bytes), 0);
    assert_int_equal(ring_readable(&pair.ends[1]), 0);
    assert_false(ring_broken(&pair.ends[1]));
    ring_close(&observer);
    pair_close(&pair);
}

/* A reader whose writer claims more than the ring holds, or takes back what it had said, reads
 * nothing more and says so. */
MOB_TEST(ring_survives_a_hostile_writer)
{
    const uint64_t tails[] = {4097 + 100, 99, 0, UINT64_MAX, UINT64_C(1) << 63, 105};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct ring_pair pair;
        unsigned char bytes[8192] = {0};
        pair_open(&pair, 4096);
        struct ring_end *reader = &pair.ends[1];
        assert_int_equal(ring_write(&pair.ends[0], bytes, 110), 110);
        assert_int_equal(ring_read(reader, bytes, 100), 100);
        assert_int_equal(ring_readable(reader), 10);
        hostile_write(pair.fd, 0, HOSTILE_TAIL, tails[i]);
        assert_int_equal(ring_read(reader, bytes, sizeof bytes), 0);
        assert_true(ring_broken(reader));
        assert_true(ring_pending(reader));
        hostile_write(pair.fd, 0, HOSTILE_TAIL, 110);
        assert_int_equal(ring_read(reader, bytes, sizeof bytes), 0);
        assert_int_equal(ring_readable(reader), 0);
        pair_close(&pair);
    }
}

/* A writer whose reader claims to have read what was never written, or takes back what it had
 * freed, writes nothing more and says so. */
MOB_TEST(ring_survives_a_hostile_reader)
{
    const uint64_t heads[] = {4197, 99, 0, UINT64_MAX, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct ring_pair pair;
        unsigned char bytes[8192] = {0};
        pair_open(&pair, 4096);
        struct ring_end *writer = &pair.ends[0];
        assert_int_equal(ring_write(writer, bytes, 100), 100);
        assert_int_equal(ring_read(&pair.ends[1], bytes, 100), 100);
        assert_int_equal(ring_write(writer, bytes, sizeof bytes), 4096);
        assert_int_equal(ring_write(writer, bytes, 1), 0);
        hostile_write(pair.fd, 0, HOSTILE_HEAD, heads[i]);
        assert_int_equal(ring_write(writer, bytes, sizeof bytes), 0);
        assert_true(ring_broken(writer));
        hostile_write(pair.fd, 0, HOSTILE_HEAD, 4196);
        assert_int_equal(ring_write(writer, bytes, sizeof bytes), 0);
        assert_int_equal(ring_writable(writer), 0);
        pair_close(&pair);
    }
}

/* Whatever a peer writes over our own index and flags changes nothing in what we send and receive.
 */
MOB_TEST(ring_trusts_only_its_own_copy_of_its_index)
{
    struct ring_pair pair;
    char bytes[64];
    pair_open(&pair, 4096);
    assert_int_equal(ring_write(&pair.ends[0], "one", 3), 3);
    assert_int_equal(ring_read(&pair.ends[1], bytes, sizeof bytes), 3);
    hostile_write(pair.fd, 0, HOSTILE_TAIL, UINT64_MAX);
    hostile_write(pair.fd, 0, HOSTILE_WAITS, UINT64_MAX);
    assert_int_equal(ring_write(&pair.ends[0], "two", 3), 3);
    assert_int_equal(ring_read(&pair.ends[1], bytes, sizeof bytes), 3);
    assert_memory_equal(bytes, "two", 3);
    assert_false(ring_broken(&pair.ends[0]));
    assert_false(ring_broken(&pair.ends[1]));
    pair_close(&pair);
}

/* Random values in any of the shared words never lead outside the mapping (the sanitizers watch)
 * nor to more bytes than a ring holds. */
MOB_TEST(ring_survives_random_words)
{
    uint64_t random = ring_stress_seed(__func__);
    unsigned char bytes[8192] = {0};
    const enum hostile_word words[] = {HOSTILE_TAIL, HOSTILE_HEAD, HOSTILE_WAITS};
    for (int round = 0; round < 500; round++) {
        struct ring_pair pair;
        pair_open(&pair, 4096);
        for (int step = 0; step < 20; step++) {
            uint64_t value = ring_stress_random(&random);
            value >>= ring_stress_random(&random) % 64;
            hostile_write(pair.fd, step & 1, words[ring_stress_random(&random) % 3], value);
            for (int side = 0; side < 2; side++) {
                size_t size = ring_stress_random(&random) % sizeof bytes;
                assert_true(ring_write(&pair.ends[side], bytes, size) <= 4096);
                assert_true(ring_read(&pair.ends[side], bytes, size) <= 4096);
                assert_true(ring_readable(&pair.ends[side]) <= 4096);
                assert_true(ring_writable(&pair.ends[side]) <= 4096);
                (void)!ring_peer_wants_space(&pair.ends[side]);
            }
        }
        pair_close(&pair);
    }
}

/* Each side's mark is read by all and written by that side alone. */
MOB_TEST(ring_marks_are_seen_by_the_others)
{
    struct ring_pair pair;
    struct ring_end observer;
    pair_open(&pair, 4096);
    assert_int_equal(ring_open(&observer, pair.fd, RING_OBSERVER, NULL), MOB_OK);
    assert_int_equal(ring_mark_get(&observer, 0), 0);
    ring_mark_set(&pair.ends[0], 17);
    ring_mark_set(&pair.ends[1], UINT64_MAX);
    ring_close(&pair.ends[1]);
    assert_int_equal(ring_mark_get(&observer, 0), 17);
    assert_int_equal(ring_mark_get(&pair.ends[0], 1), UINT64_MAX);
    ring_close(&observer);
    pair_close(&pair);
}

struct dash {
    struct ring_pair pair;
    struct doorbell bell; /* the writer's */
    size_t taken;
    bool pending, wanted;
};

static void dash_writer(void *context)
{
    struct dash *dash = context;
    dash->taken = ring_write(&dash->pair.ends[0], "x", 1);
    doorbell_prepare(&dash->bell);
    dash->pending = ring_pending(&dash->pair.ends[0]);
}

static void dash_reader(void *context)
{
    struct dash *dash = context;
    unsigned char bytes[4096];
    dash->wanted = ring_read(&dash->pair.ends[1], bytes, 2500) == 2500 &&
                   ring_peer_wants_space(&dash->pair.ends[1]);
}

static const char *dash_judge(void *context)
{
    struct dash *dash = context;
    static const unsigned char zeros[4096];
    unsigned char bytes[8];
    doorbell_cancel(&dash->bell);
    if (dash->taken == 0 && !dash->pending && !dash->wanted)
        return "the writer sleeps and the reader does not know";
    /* Full again, to the byte, and nobody waits. */
    size_t fill = 2500 - dash->taken;
    if (ring_write(&dash->pair.ends[0], zeros, fill) != fill ||
        ring_writable(&dash->pair.ends[0]) != 0)
        return "the ring is not full";
    if (ring_read(&dash->pair.ends[1], bytes, 1) != 1 || ring_peer_wants_space(&dash->pair.ends[1]))
        return "somebody waits who was served";
    return ring_write(&dash->pair.ends[0], zeros, 1) == 1 ? NULL : "one byte does not fit";
}

/* A writer that finds its ring full at the very moment when the reader makes room sees the room, or
 * the reader sees that it waits. */
MOB_TEST(ring_room_is_seen_or_asked_for)
{
    static const unsigned char zeros[4096];
    struct dash dash = {0};
    pair_open(&dash.pair, 4096);
    assert_int_equal(doorbell_create(&dash.bell, DOORBELL_FUTEX, NULL, NULL, NULL), MOB_OK);
    assert_int_equal(ring_write(&dash.pair.ends[0], zeros, sizeof zeros), sizeof zeros);
    const struct race race = {dash_writer, dash_reader, dash_judge, &dash};
    const char *wrong = race_run(&race, 500000);
    if (wrong != NULL)
        fail_msg("%s", wrong);
    doorbell_close(&dash.bell);
    pair_close(&dash.pair);
}

/* A writer that uses room that the reader has just made, and is still short, does not sleep on the
 * strength of the flag that the reader takes back for that very room. */
MOB_TEST(ring_flag_taken_back_is_seen)
{
    struct ring_pair pair;
    unsigned char bytes[4096] = {0};
    pair_open(&pair, 4096);
    struct ring_end *writer = &pair.ends[0], *reader = &pair.ends[1];
    assert_int_equal(ring_write(writer, bytes, 4096), 4096);
    assert_int_equal(ring_write(writer, bytes, 1), 0);
    assert_int_equal(ring_read(reader, bytes, 2048), 2048);
    /* The reader has looked at the flag; before it takes it back, the writer uses the room. */
    assert_int_equal(ring_write(writer, bytes, 4096), 2048);
    assert_true(ring_peer_wants_space(reader));
    assert_int_equal(ring_writable(writer), 0);
    assert_true(ring_pending(writer));
    assert_int_equal(ring_write(writer, bytes, 1), 0);
    assert_false(ring_pending(writer));
    assert_int_equal(ring_read(reader, bytes, 4096), 4096);
    assert_true(ring_peer_wants_space(reader));
    pair_close(&pair);
}

struct stress_thread {
    struct ring_stress_side side;
    const char *wrong;
};

static void *stress_thread_run(void *argument)
{
    struct stress_thread *thread = argument;
    thread->wrong = ring_stress_run(&thread->side);
    return NULL;
}

static void stress_threads(const char *name, enum doorbell_kind kind, uint32_t spin,
                           struct ring_stress_plan plan)
{
    struct ring_stress_pair pair;
    struct stress_thread sides[2] = {0};
    pthread_t thread;
    plan.seed = ring_stress_seed(name);
    ring_stress_pair_open(&pair, 4096, kind);
    for (int s = 0; s < 2; s++) {
        doorbell_set_spin(&pair.bells[s], spin);
        sides[s].side = (struct ring_stress_side){
            &pair.ends[s], &pair.bells[s], &pair.peers[s], &plan, 0, 0, 0, 0};
    }
    assert_int_equal(pthread_create(&thread, NULL, stress_thread_run, &sides[1]), 0);
    stress_thread_run(&sides[0]);
    pthread_join(thread, NULL);
    for (int s = 0; s < 2; s++)
        if (sides[s].wrong != NULL)
            print_error("side %d: %s\n", s, sides[s].wrong);
    assert_true(sides[0].wrong == NULL && sides[1].wrong == NULL);
    assert_int_equal(sides[0].side.sent, sides[1].side.received);
    assert_int_equal(sides[1].side.sent, sides[0].side.received);
    assert_true(sides[1].side.sleeps > 0);
    ring_stress_pair_close(&pair);
}

/* Two threads that sleep at every turn, in bursts up to three rings long, lose neither a byte nor a
 * wake-up. */
MOB_TEST(ring_conversation_of_threads)
{
    struct ring_stress_plan plan = {
        .rounds = 3000, .burst_max = 3 * 4096, .chunk_max = 6000, .pause_max = 300};
    stress_threads("futex", DOORBELL_FUTEX, 0, plan);
    stress_threads("spinning futex", DOORBELL_FUTEX, 200, plan);
    stress_threads("eventfd", DOORBELL_EVENTFD, 0, plan);
}

/* A writer that never waits for an answer is held back by a full ring alone, and let on again each
 * time. */
MOB_TEST(ring_stream_of_threads)
{
    struct ring_stress_plan plan = {
        .rounds = 30000, .burst_max = 2000, .chunk_max = 700, .pause_max = 100, .stream = true};
    stress_threads("futex", DOORBELL_FUTEX, 0, plan);
    stress_threads("spinning futex", DOORBELL_FUTEX, 200, plan);
    stress_threads("eventfd", DOORBELL_EVENTFD, 0, plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_refuses_other_sizes),
        cmocka_unit_test(ring_is_sealed),
        cmocka_unit_test(ring_open_refuses_what_is_no_ring),
        cmocka_unit_test(ring_is_a_stream),
        cmocka_unit_test(ring_full_asks_for_space_once),
        cmocka_unit_test(ring_revoked_ends_after_its_last_byte),
        cmocka_unit_test(ring_survives_a_hostile_writer),
        cmocka_unit_test(ring_survives_a_hostile_reader),
        cmocka_unit_test(ring_trusts_only_its_own_copy_of_its_index),
        cmocka_unit_test(ring_survives_random_words),
        cmocka_unit_test(ring_marks_are_seen_by_the_others),
        cmocka_unit_test(ring_room_is_seen_or_asked_for),
        cmocka_unit_test(ring_flag_taken_back_is_seen),
        cmocka_unit_test(ring_conversation_of_threads),
        cmocka_unit_test(ring_stream_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
