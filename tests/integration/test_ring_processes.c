/* Rings and doorbells between real processes: they converse, die, are cut off. */
#include "tests/support/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/doorbell.h"
#include "protocol/ring.h"
#include "tests/support/ring_stress.h"
#include "tests/support/wait.h"

/* What a child ends with, so that cmocka's own longjmp never runs in it. */
enum { CHILD_RIGHT = 0, CHILD_WRONG = 9 };

/* Waits for the end of `pid`; its status as waitpid gives it. */
static int child_status(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static uint64_t soon(void)
{
    return wait_now_ns() + (uint64_t)wait_scaled_ms(RING_STRESS_LOST_MS) * 1000000u;
}

static const char *side_run(struct ring_stress_pair *pair, int s,
                            const struct ring_stress_plan *plan)
{
    struct ring_stress_side side = {
        .end = &pair->ends[s], .own = &pair->bells[s], .peer = &pair->peers[s], .plan = plan};
    const char *wrong = ring_stress_run(&side);
    if (wrong != NULL)
        print_error("side %d: %s\n", s, wrong);
    return wrong;
}

static void stress_processes(const char *name, enum doorbell_kind kind, uint32_t spin,
                             size_t ring_size, struct ring_stress_plan plan)
{
    struct ring_stress_pair pair;
    plan.seed = ring_stress_seed(name);
    ring_stress_pair_open(&pair, ring_size, kind);
    doorbell_set_spin(&pair.bells[0], spin);
    doorbell_set_spin(&pair.bells[1], spin);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(side_run(&pair, 1, &plan) == NULL ? CHILD_RIGHT : CHILD_WRONG);
    const char *wrong = side_run(&pair, 0, &plan);
    assert_int_equal(child_status(child), 0);
    assert_true(wrong == NULL);
    ring_stress_pair_close(&pair);
}

/* Two processes that answer each other in many small bursts, asleep in between, lose neither a byte
 * nor a wake-up. */
MOB_TEST(processes_converse_in_small_bursts)
{
    struct ring_stress_plan plan = {
        .rounds = 10000, .burst_max = 200, .chunk_max = 64, .pause_max = 50};
    stress_processes("futex", DOORBELL_FUTEX, 0, RING_SIZE_DEFAULT, plan);
    stress_processes("spinning futex", DOORBELL_FUTEX, 100, RING_SIZE_DEFAULT, plan);
    stress_processes("eventfd", DOORBELL_EVENTFD, 0, RING_SIZE_DEFAULT, plan);
}

/* Nor when the bursts are longer than the ring, so that both wait for space as well. */
MOB_TEST(processes_converse_in_bursts_longer_than_the_ring)
{
    struct ring_stress_plan plan = {
        .rounds = 1000, .burst_max = 20000, .chunk_max = 6000, .pause_max = 200};
    stress_processes("futex", DOORBELL_FUTEX, 0, RING_SIZE_MIN, plan);
    stress_processes("spinning futex", DOORBELL_FUTEX, 100, RING_SIZE_MIN, plan);
    stress_processes("eventfd", DOORBELL_EVENTFD, 0, RING_SIZE_MIN, plan);
}

/* Nor when one only writes and the other only reads. */
MOB_TEST(processes_stream)
{
    struct ring_stress_plan plan = {
        .rounds = 20000, .burst_max = 1000, .chunk_max = 300, .pause_max = 30, .stream = true};
    stress_processes("futex", DOORBELL_FUTEX, 0, RING_SIZE_MIN, plan);
    stress_processes("eventfd", DOORBELL_EVENTFD, 0, RING_SIZE_MIN, plan);
}

/* Writes all it can until it is killed, by the test or by its end. */
static void writer_run(struct ring_stress_pair *pair, uint64_t seed, pid_t parent)
{
    unsigned char bytes[999];
    uint64_t sent = 0;
    while (getppid() == parent) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = ring_stress_byte(seed, 1, sent + i);
        size_t taken = ring_write(&pair->ends[1], bytes, sizeof bytes);
        sent += taken;
        /* Told after the fact: the mark is never ahead of the ring. */
        ring_mark_set(&pair->ends[1], sent);
    }
    _exit(CHILD_WRONG);
}

/* Everything that a killed writer had written is there to be read, in order and undamaged, and so
 * is its mark. */
MOB_TEST(processes_killed_writer_leaves_its_bytes)
{
    const pid_t parent = getpid();
    for (int round = 0; round < 10; round++) {
        struct ring_stress_pair pair;
        uint64_t seed = 77, received = 0, mark;
        unsigned char bytes[1 << 12];
        size_t got;
        ring_stress_pair_open(&pair, RING_SIZE_DEFAULT, DOORBELL_FUTEX);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            writer_run(&pair, seed, parent);
        /* Kill it in the middle of its writing, with more in the ring than was read. */
        while (received < (uint64_t)round * 50000 || ring_readable(&pair.ends[0]) == 0) {
            got = ring_read(&pair.ends[0], bytes, sizeof bytes);
            for (size_t i = 0; i < got; i++)
                assert_int_equal(bytes[i], ring_stress_byte(seed, 1, received + i));
            received += got;
        }
        kill(child, SIGKILL);
        assert_true(WIFSIGNALED(child_status(child)));
        assert_true(ring_readable(&pair.ends[0]) > 0);
        mark = ring_mark_get(&pair.ends[0], 1);
        ring_revoke(&pair.ends[0]);
        while ((got = ring_read(&pair.ends[0], bytes, sizeof bytes)) > 0) {
            for (size_t i = 0; i < got; i++)
                assert_int_equal(bytes[i], ring_stress_byte(seed, 1, received + i));
            received += got;
        }
        assert_true(received >= mark);
        assert_true(received - mark <= 999);
        assert_false(ring_broken(&pair.ends[0]));
        ring_stress_pair_close(&pair);
    }
}

/* Fills its ring, then sleeps until there is something to do. */
static int blocked_run(struct ring_stress_pair *pair)
{
    static const unsigned char zeros[2 * RING_SIZE_MIN];
    struct ring_end *end = &pair->ends[1];
    if (ring_write(end, zeros, sizeof zeros) != RING_SIZE_MIN)
        return CHILD_WRONG;
    doorbell_ring(&pair->peers[1]);
    doorbell_prepare(&pair->bells[1]);
    if (!ring_pending(end) && doorbell_sleep(&pair->bells[1], soon()) != MOB_OK)
        return CHILD_WRONG;
    return ring_revoked(end) && ring_write(end, zeros, 1) == 0 ? CHILD_RIGHT : CHILD_WRONG;
}

/* A process asleep on a full ring learns at once that the ring was revoked, from a third who rings
 * it. */
MOB_TEST(processes_revoke_ends_a_blocked_writer)
{
    const enum doorbell_kind kinds[] = {DOORBELL_FUTEX, DOORBELL_EVENTFD};
    for (int k = 0; k < 2; k++) {
        struct ring_stress_pair pair;
        ring_stress_pair_open(&pair, RING_SIZE_MIN, kinds[k]);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(blocked_run(&pair));
        /* Full: the writer is asleep, or about to be. */
        assert_true(wait_until(ring_readable(&pair.ends[0]) == RING_SIZE_MIN, 5000));
        ring_revoke(&pair.ends[0]);
        doorbell_ring(&pair.peers[0]);
        assert_int_equal(child_status(child), 0);
        ring_stress_pair_close(&pair);
    }
}

/* A peer that is killed while it sleeps, or is about to ring, hinders nobody: the owner's bell goes
 * on working for the others. */
MOB_TEST(processes_bell_survives_the_death_of_a_ringer)
{
    const pid_t parent = getpid();
    struct ring_stress_pair pair;
    ring_stress_pair_open(&pair, RING_SIZE_MIN, DOORBELL_FUTEX);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            while (getppid() == parent)
                doorbell_ring(&pair.peers[1]);
            _exit(CHILD_WRONG);
        }
        doorbell_prepare(&pair.bells[0]);
        assert_int_equal(doorbell_sleep(&pair.bells[0], soon()), MOB_OK);
        kill(child, SIGKILL);
        child_status(child);
        doorbell_prepare(&pair.bells[0]);
        doorbell_ring(&pair.peers[1]);
        assert_int_equal(doorbell_sleep(&pair.bells[0], soon()), MOB_OK);
    }
    ring_stress_pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_converse_in_small_bursts),
        cmocka_unit_test(processes_converse_in_bursts_longer_than_the_ring),
        cmocka_unit_test(processes_stream),
        cmocka_unit_test(processes_killed_writer_leaves_its_bytes),
        cmocka_unit_test(processes_revoke_ends_a_blocked_writer),
        cmocka_unit_test(processes_bell_survives_the_death_of_a_ringer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
