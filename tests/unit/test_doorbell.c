/* The doorbell: who is rung wakes, who is not sleeps to its deadline, and a peer can do no more
 * than ring. */
#include "tests/support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/doorbell.h"
#include "tests/support/race.h"
#include "tests/support/wait.h"

static const enum doorbell_kind kinds[] = {DOORBELL_FUTEX, DOORBELL_EVENTFD};

struct bell {
    struct doorbell own;
    struct doorbell_peer peers[2];
};

static void bell_open(struct bell *bell, enum doorbell_kind kind)
{
    int page_fd, event_fd;
    assert_int_equal(doorbell_create(&bell->own, kind, &page_fd, &event_fd, NULL), MOB_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(doorbell_peer_open(&bell->peers[i], kind, page_fd, event_fd, NULL),
                         MOB_OK);
}

static void bell_close(struct bell *bell)
{
    doorbell_close(&bell->own);
    doorbell_peer_close(&bell->peers[0]);
    doorbell_peer_close(&bell->peers[1]);
}

/* A deadline that no sleep of these tests should need. */
static uint64_t soon(void)
{
    return wait_now_ns() + (uint64_t)wait_scaled_ms(5000) * 1000000u;
}

/* A ring between the owner's last look and its sleep ends that sleep at once, and is not kept for
 * the next. */
MOB_TEST(doorbell_rung_before_the_sleep_is_not_lost)
{
    for (int k = 0; k < 2; k++) {
        struct bell bell;
        bell_open(&bell, kinds[k]);
        for (int round = 0; round < 3; round++) {
            doorbell_prepare(&bell.own);
            assert_true(doorbell_ring(&bell.peers[0]));
            assert_int_equal(doorbell_sleep(&bell.own, soon()), MOB_OK);
            doorbell_prepare(&bell.own);
            assert_int_equal(doorbell_sleep(&bell.own, 0), MOB_ETIMEDOUT);
        }
        bell_close(&bell);
    }
}

/* Ringing one who is awake costs no system call and leaves nothing behind. */
MOB_TEST(doorbell_awake_is_not_rung)
{
    for (int k = 0; k < 2; k++) {
        struct bell bell;
        bell_open(&bell, kinds[k]);
        assert_false(doorbell_ring(&bell.peers[0]));
        doorbell_prepare(&bell.own);
        doorbell_cancel(&bell.own);
        assert_false(doorbell_ring(&bell.peers[0]));
        doorbell_prepare(&bell.own);
        assert_int_equal(doorbell_sleep(&bell.own, 0), MOB_ETIMEDOUT);
        assert_false(doorbell_ring(&bell.peers[0]));
        bell_close(&bell);
    }
}

/* A peer with many things to say makes one system call for each sleep of the owner. */
MOB_TEST(doorbell_one_system_call_for_each_sleep)
{
    for (int k = 0; k < 2; k++) {
        struct bell bell;
        bell_open(&bell, kinds[k]);
        for (int round = 0; round < 3; round++) {
            doorbell_prepare(&bell.own);
            assert_true(doorbell_ring(&bell.peers[0]));
            assert_false(doorbell_ring(&bell.peers[0]));
            assert_int_equal(doorbell_sleep(&bell.own, soon()), MOB_OK);
        }
        bell_close(&bell);
    }
}

/* A sleep that nobody ends lasts to its deadline and not much less; a spin before it changes
 * nothing. */
MOB_TEST(doorbell_sleeps_to_its_deadline)
{
    for (int k = 0; k < 2; k++) {
        struct bell bell;
        bell_open(&bell, kinds[k]);
        for (uint32_t spin = 0; spin <= 1000; spin += 1000) {
            doorbell_set_spin(&bell.own, spin);
            uint64_t deadline_ns = wait_now_ns() + 20 * 1000000u;
            doorbell_prepare(&bell.own);
            assert_int_equal(doorbell_sleep(&bell.own, deadline_ns), MOB_ETIMEDOUT);
            assert_true(wait_now_ns() >= deadline_ns);
        }
        bell_close(&bell);
    }
}

/* A spinner is woken without a system call, and after it has become a sleeper with one. */
MOB_TEST(doorbell_spinner_is_woken_without_a_system_call)
{
    struct bell bell;
    bell_open(&bell, DOORBELL_FUTEX);
    doorbell_set_spin(&bell.own, 100);
    for (int round = 0; round < 200; round++) {
        doorbell_prepare(&bell.own);
        assert_false(doorbell_ring(&bell.peers[0]));
        assert_int_equal(doorbell_sleep(&bell.own, soon()), MOB_OK);
        doorbell_prepare(&bell.own);
        assert_int_equal(doorbell_sleep(&bell.own, 0), MOB_ETIMEDOUT);
    }
    bell_close(&bell);
}

/* An owner in epoll_wait is woken through its descriptor, which is empty again once it was told. */
MOB_TEST(doorbell_event_wakes_epoll)
{
    struct bell bell;
    bell_open(&bell, DOORBELL_EVENTFD);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, bell.own.event_fd, &event), 0);
    for (int round = 0; round < 3; round++) {
        doorbell_prepare(&bell.own);
        doorbell_ring(&bell.peers[0]);
        doorbell_ring(&bell.peers[1]);
        assert_int_equal(epoll_wait(epoll, &event, 1, wait_scaled_ms(5000)), 1);
        doorbell_woken(&bell.own);
        assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
        doorbell_ring(&bell.peers[0]);
        assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
    }
    close(epoll);
    bell_close(&bell);
}

/* Peers of an eventfd doorbell cannot write its page, not even by a mapping or a descriptor of
 * their own making. */
MOB_TEST(doorbell_event_page_is_read_only)
{
    struct bell bell;
    char path[64];
    bell_open(&bell, DOORBELL_EVENTFD);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bell.own.page_fd, 0),
                     MAP_FAILED);
    assert_int_equal(pwrite(bell.own.page_fd, "x", 1, 256), -1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", bell.own.page_fd);
    int again = open(path, O_RDWR | O_CLOEXEC);
    if (again >= 0) {
        assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
        close(again);
    }
    assert_int_equal(ftruncate(bell.own.page_fd, 0), -1);
    bell_close(&bell);
}

/* What is no doorbell of the kind that was named is refused: other files, unsealed or writable
 * pages, another version, and a descriptor in the eventfd's place that is none and might block. */
MOB_TEST(doorbell_open_refuses_what_is_none)
{
    struct bell futex, event;
    struct doorbell_peer peer;
    struct mob_err err;
    bell_open(&futex, DOORBELL_FUTEX);
    bell_open(&event, DOORBELL_EVENTFD);
    const int bad_pages[] = {-1, STDIN_FILENO, event.own.event_fd, futex.own.page_fd};
    for (size_t i = 0; i < sizeof bad_pages / sizeof bad_pages[0]; i++) {
        assert_int_equal(
            doorbell_peer_open(&peer, DOORBELL_EVENTFD, bad_pages[i], event.own.event_fd, &err),
            MOB_EPROTO);
        assert_int_equal(err.code, MOB_EPROTO);
        doorbell_peer_close(&peer);
    }
    int unsealed = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(unsealed, 4096), 0);
    assert_int_equal(doorbell_peer_open(&peer, DOORBELL_FUTEX, unsealed, -1, NULL), MOB_EPROTO);
    assert_int_equal(fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    assert_int_equal(doorbell_peer_open(&peer, DOORBELL_FUTEX, unsealed, -1, NULL), MOB_EPROTO);
    close(unsealed);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(
        doorbell_peer_open(&peer, DOORBELL_EVENTFD, event.own.page_fd, pipe_fds[1], NULL),
        MOB_EPROTO);
    assert_int_equal(doorbell_peer_open(&peer, DOORBELL_EVENTFD, event.own.page_fd, -1, NULL),
                     MOB_EPROTO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(doorbell_peer_open(&peer, (enum doorbell_kind)7, event.own.page_fd, -1, NULL),
                     MOB_EINVAL);
    const uint32_t version = 9;
    assert_int_equal(pwrite(futex.own.page_fd, &version, sizeof version, 8), sizeof version);
    assert_int_equal(doorbell_peer_open(&peer, DOORBELL_FUTEX, futex.own.page_fd, -1, NULL),
                     MOB_EPROTO);
    bell_close(&futex);
    bell_close(&event);
}

/* An eventfd whose count a peer has filled up neither blocks the next one nor hides its ring. */
MOB_TEST(doorbell_full_eventfd_still_rings)
{
    struct bell bell;
    bell_open(&bell, DOORBELL_EVENTFD);
    const uint64_t full = UINT64_MAX - 1;
    assert_int_equal(write(bell.own.event_fd, &full, sizeof full), sizeof full);
    doorbell_prepare(&bell.own);
    doorbell_ring(&bell.peers[0]);
    assert_int_equal(doorbell_sleep(&bell.own, soon()), MOB_OK);
    bell_close(&bell);
}

/* Making and opening leave no descriptor behind, whether they succeed or fail, and closing twice is
 * fine. */
MOB_TEST(doorbell_leaves_no_descriptor)
{
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(before);
    for (int k = 0; k < 2; k++) {
        struct bell bell;
        struct doorbell none = {0};
        struct doorbell_peer nobody = {0};
        bell_open(&bell, kinds[k]);
        assert_int_equal(
            doorbell_peer_open(&nobody, kinds[1 - k], bell.own.page_fd, bell.own.event_fd, NULL),
            MOB_EPROTO);
        bell_close(&bell);
        bell_close(&bell);
        assert_int_equal(doorbell_create(&none, (enum doorbell_kind)0, NULL, NULL, NULL),
                         MOB_EINVAL);
        none = (struct doorbell){0};
        doorbell_close(&none);
    }
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(after, before);
    close(after);
}

struct dash {
    struct bell bell;
    _Atomic uint32_t published;
    uint32_t round;
    bool own_ring, seen;
};

static void dash_owner(void *context)
{
    struct dash *dash = context;
    doorbell_prepare(&dash->bell.own);
    dash->seen = atomic_load_explicit(&dash->published, memory_order_acquire) > dash->round;
}

static void dash_ringer(void *context)
{
    struct dash *dash = context;
    atomic_store_explicit(&dash->published, dash->round + 1, memory_order_release);
    if (dash->own_ring)
        doorbell_ring_own(&dash->bell.own);
    else
        doorbell_ring(&dash->bell.peers[0]);
}

static const char *dash_judge(void *context)
{
    struct dash *dash = context;
    dash->round++;
    if (!dash->seen)
        return doorbell_sleep(&dash->bell.own, 0) == MOB_OK ? NULL : "neither seen nor rung";
    doorbell_cancel(&dash->bell.own);
    if (dash->bell.own.kind == DOORBELL_EVENTFD)
        doorbell_woken(&dash->bell.own);
    return NULL;
}

/* Whoever publishes and rings at the very moment when the owner prepares and looks is either seen
 * or wakes it. */
MOB_TEST(doorbell_seen_or_rung)
{
    for (int variant = 0; variant < 6; variant++) {
        struct dash dash = {.own_ring = variant >= 4};
        bell_open(&dash.bell, kinds[variant % 2]);
        if (variant == 2)
            doorbell_set_spin(&dash.bell.own, 20);
        const struct race race = {dash_owner, dash_ringer, dash_judge, &dash};
        const char *wrong = race_run(&race, 100000);
        if (wrong != NULL)
            fail_msg("variant %d, round %u: %s", variant, dash.round, wrong);
        bell_close(&dash.bell);
    }
}

struct sleeper {
    struct bell bell;
    _Atomic uint32_t published[2];
    uint32_t rounds;
    const char *wrong;
};

static void *sleeper_run(void *argument)
{
    struct sleeper *sleeper = argument;
    uint32_t seen[2] = {0, 0};
    while (seen[0] < sleeper->rounds || seen[1] < sleeper->rounds) {
        doorbell_prepare(&sleeper->bell.own);
        bool news = false;
        for (int i = 0; i < 2; i++) {
            uint32_t now = atomic_load_explicit(&sleeper->published[i], memory_order_acquire);
            news |= now != seen[i];
            seen[i] = now;
        }
        if (news) {
            doorbell_cancel(&sleeper->bell.own);
            continue;
        }
        if (doorbell_sleep(&sleeper->bell.own, soon()) != MOB_OK) {
            sleeper->wrong = "a sleep lasted to its deadline: a wake-up was lost";
            break;
        }
    }
    return NULL;
}

struct ringer {
    struct sleeper *sleeper;
    int number;
};

static void *ringer_run(void *argument)
{
    struct ringer *ringer = argument;
    for (uint32_t round = 1; round <= ringer->sleeper->rounds; round++) {
        atomic_store_explicit(&ringer->sleeper->published[ringer->number], round,
                              memory_order_release);
        doorbell_ring(&ringer->sleeper->bell.peers[ringer->number]);
        for (volatile uint32_t pause = round * 7919 % 500; pause > 0; pause--)
            continue;
    }
    return NULL;
}

/* Two ringers that come and go as they like never leave the owner asleep with news. */
MOB_TEST(doorbell_two_ringers_lose_no_wake_up)
{
    for (int variant = 0; variant < 3; variant++) {
        struct sleeper sleeper = {.rounds = 50000};
        pthread_t threads[3];
        struct ringer ringers[2] = {{&sleeper, 0}, {&sleeper, 1}};
        bell_open(&sleeper.bell, kinds[variant % 2]);
        if (variant == 2)
            doorbell_set_spin(&sleeper.bell.own, 50);
        assert_int_equal(pthread_create(&threads[2], NULL, sleeper_run, &sleeper), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, ringer_run, &ringers[i]), 0);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        if (sleeper.wrong != NULL)
            fail_msg("variant %d: %s", variant, sleeper.wrong);
        bell_close(&sleeper.bell);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doorbell_rung_before_the_sleep_is_not_lost),
        cmocka_unit_test(doorbell_awake_is_not_rung),
        cmocka_unit_test(doorbell_one_system_call_for_each_sleep),
        cmocka_unit_test(doorbell_sleeps_to_its_deadline),
        cmocka_unit_test(doorbell_spinner_is_woken_without_a_system_call),
        cmocka_unit_test(doorbell_event_wakes_epoll),
        cmocka_unit_test(doorbell_event_page_is_read_only),
        cmocka_unit_test(doorbell_open_refuses_what_is_none),
        cmocka_unit_test(doorbell_full_eventfd_still_rings),
        cmocka_unit_test(doorbell_leaves_no_descriptor),
        cmocka_unit_test(doorbell_seen_or_rung),
        cmocka_unit_test(doorbell_two_ringers_lose_no_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
