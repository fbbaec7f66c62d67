/* doorbell.c: sleeping and waking over a shared page.
 *
 * Both sides are Dekker's pattern: the owner stores "asleep", fences, looks at its inputs; a peer
 * publishes, fences, loads the page. One of them sees the other. What remains is the time between
 * the owner's last look and the moment when it really sleeps. FUTEX: the peer first changes the
 * word, so that the kernel, which compares it under its lock, refuses to sleep; the one that
 * changed it makes the only wake call. EVENTFD: the count stays until read.
 *
 * For EVENTFD the page holds a number that is odd while the owner sleeps and never repeats. Since
 * peers cannot change it, each remembers the sleep that it rang for, and a burst of messages to an
 * owner that takes its time to get up costs one write and not one for each message. Peers of a
 * FUTEX doorbell see the word change instead.
 *
 * tests/model/doorbell.pml checks all of it with explicit store buffers.
 *
 * Spinning is a third state of the futex word, so that a peer which finds the owner looking makes
 * no system call. Rejected: a spin on the inputs themselves, which would need a call-back for every
 * kind of input. */
#include "protocol/doorbell.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "protocol/fence.h"

#define DOORBELL_MAGIC      UINT64_C(0x6c6c6562626f6d) /* "mobbell" */
#define DOORBELL_VERSION    UINT32_C(1)
#define DOORBELL_PAGE_BYTES ((size_t)4096)
#define DOORBELL_SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define NS_PER_S            UINT64_C(1000000000)

enum word { AWAKE = 0, SLEEPING = 1, SPINNING = 2 };

struct doorbell_page {
    uint64_t magic;
    uint32_t version;
    uint32_t kind;
    _Alignas(128) _Atomic uint32_t word;  /* FUTEX: enum word */
    _Alignas(128) _Atomic uint64_t sleep; /* EVENTFD: odd while asleep, counts up */
};

static_assert(sizeof(struct doorbell_page) <= DOORBELL_PAGE_BYTES, "one page");
static_assert(offsetof(struct doorbell_page, word) == 128, "layout is shared");
static_assert(offsetof(struct doorbell_page, sleep) == 256, "layout is shared");
static_assert(sizeof(_Atomic uint32_t) == 4 && ATOMIC_INT_LOCK_FREE == 2,
              "the kernel's futex word");

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int page_make(enum doorbell_kind kind, int *fd, struct doorbell_page **page,
                     struct mob_err *err)
{
    *fd = memfd_create("mobula-doorbell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return mob_err_system(err, "creating a doorbell: memfd_create");
    if (ftruncate(*fd, (off_t)DOORBELL_PAGE_BYTES) != 0)
        return mob_err_system(err, "creating a doorbell: ftruncate");
    void *map = mmap(NULL, DOORBELL_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (map == MAP_FAILED)
        return mob_err_system(err, "creating a doorbell: mmap");
    *page = map;
    (*page)->magic = DOORBELL_MAGIC;
    (*page)->version = DOORBELL_VERSION;
    (*page)->kind = (uint32_t)kind;
    /* Our own writable mapping is older than this seal and stays writable. */
    int seals = DOORBELL_SEALS | (kind == DOORBELL_EVENTFD ? F_SEAL_FUTURE_WRITE : 0);
    if (fcntl(*fd, F_ADD_SEALS, seals) != 0)
        return mob_err_system(err, "creating a doorbell: sealing");
    return MOB_OK;
}

int doorbell_create(struct doorbell *db, enum doorbell_kind kind, int *page_fd, int *event_fd,
                    struct mob_err *err)
{
    *db = (struct doorbell){.kind = kind, .page_fd = -1, .event_fd = -1};
    if (kind != DOORBELL_FUTEX && kind != DOORBELL_EVENTFD)
        return mob_err_set(err, MOB_EINVAL, "creating a doorbell: there is no kind %d", (int)kind);
    int rc = page_make(kind, &db->page_fd, &db->page, err);
    if (rc != MOB_OK)
        goto fail;
    if (kind == DOORBELL_EVENTFD) {
        db->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (db->event_fd < 0) {
            rc = mob_err_system(err, "creating a doorbell: eventfd");
            goto fail;
        }
    }
    if (page_fd != NULL)
        *page_fd = db->page_fd;
    if (event_fd != NULL)
        *event_fd = db->event_fd;
    return MOB_OK;
fail:
    doorbell_close(db);
    return rc;
}

void doorbell_close(struct doorbell *db)
{
    /* A zeroed one has descriptors 0, which are not ours: only a kind says that there is something.
     */
    if (db->kind != 0) {
        if (db->page != NULL)
            munmap(db->page, DOORBELL_PAGE_BYTES);
        if (db->page_fd >= 0)
            close(db->page_fd);
        if (db->event_fd >= 0)
            close(db->event_fd);
    }
    *db = (struct doorbell){.page_fd = -1, .event_fd = -1};
}

void doorbell_set_spin(struct doorbell *db, uint32_t iterations)
{
    db->spin_max = db->kind == DOORBELL_FUTEX ? iterations : 0;
    db->spin = db->spin_max;
}

void doorbell_prepare(struct doorbell *db)
{
    if (db->kind == DOORBELL_FUTEX) {
        atomic_store_explicit(&db->page->word, db->spin_max > 0 ? SPINNING : SLEEPING,
                              memory_order_relaxed);
    } else {
        uint64_t sleep = atomic_load_explicit(&db->page->sleep, memory_order_relaxed);
        atomic_store_explicit(&db->page->sleep, sleep | 1, memory_order_relaxed);
    }
    fence_full();
}

void doorbell_cancel(struct doorbell *db)
{
    if (db->kind == DOORBELL_FUTEX) {
        atomic_store_explicit(&db->page->word, AWAKE, memory_order_relaxed);
    } else {
        uint64_t sleep = atomic_load_explicit(&db->page->sleep, memory_order_relaxed);
        atomic_store_explicit(&db->page->sleep, sleep + (sleep & 1), memory_order_relaxed);
    }
}

static void event_drain(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* Empty already: as good. */
}

void doorbell_woken(struct doorbell *db)
{
    doorbell_cancel(db);
    event_drain(db->event_fd);
}

/* Look for a ring for a while; at its end become a real sleeper, unless just rung. True: rung. */
static bool spin_rung(struct doorbell *db)
{
    _Atomic uint32_t *word = &db->page->word;
    /* Every 64th sleep tries anew whether spinning pays. */
    if (++db->sleeps % 64 == 0 && db->spin < db->spin_max / 4)
        db->spin = db->spin_max / 4;
    for (uint32_t i = 0; i < db->spin; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) == AWAKE) {
            db->spin = db->spin_max - (db->spin_max - db->spin) / 2;
            return true;
        }
        pause_cpu();
    }
    db->spin /= 2;
    uint32_t expected = SPINNING;
    return !atomic_compare_exchange_strong_explicit(word, &expected, SLEEPING, memory_order_acq_rel,
                                                    memory_order_acquire) &&
           expected == AWAKE;
}

static int sleep_futex(struct doorbell *db, uint64_t deadline_ns)
{
    _Atomic uint32_t *word = &db->page->word;
    if (db->spin_max > 0 && spin_rung(db))
        return MOB_OK;
    struct timespec deadline = timespec_of(deadline_ns);
    const struct timespec *until = deadline_ns == DOORBELL_FOREVER ? NULL : &deadline;
    /* A word that is neither is a peer's doing; it counts as rung. */
    while (atomic_load_explicit(word, memory_order_acquire) == SLEEPING) {
        /* The bitset form takes an absolute time on the monotonic clock; not private: processes
         * share it. */
        long waited = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, SLEEPING, until, NULL,
                              FUTEX_BITSET_MATCH_ANY);
        if (waited != 0 && errno == ETIMEDOUT) {
            uint32_t was = atomic_exchange_explicit(word, AWAKE, memory_order_acq_rel);
            return was == SLEEPING ? MOB_ETIMEDOUT : MOB_OK;
        }
    }
    atomic_store_explicit(word, AWAKE, memory_order_relaxed);
    return MOB_OK;
}

static int sleep_event(struct doorbell *db, uint64_t deadline_ns)
{
    struct pollfd poll_fd = {.fd = db->event_fd, .events = POLLIN};
    int ready;
    do {
        uint64_t now = deadline_ns == DOORBELL_FOREVER ? 0 : now_ns();
        struct timespec left = timespec_of(deadline_ns > now ? deadline_ns - now : 0);
        ready = ppoll(&poll_fd, 1, deadline_ns == DOORBELL_FOREVER ? NULL : &left, NULL);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        doorbell_cancel(db);
        return MOB_ETIMEDOUT;
    }
    doorbell_woken(db);
    return MOB_OK;
}

int doorbell_sleep(struct doorbell *db, uint64_t deadline_ns)
{
    return db->kind == DOORBELL_FUTEX ? sleep_futex(db, deadline_ns) : sleep_event(db, deadline_ns);
}

/* The ringer's half for FUTEX, after its fence. Whoever changes the word makes the wake call. */
static bool ring_futex(_Atomic uint32_t *word)
{
    if (atomic_load_explicit(word, memory_order_relaxed) == AWAKE)
        return false;
    if (atomic_exchange_explicit(word, AWAKE, memory_order_acq_rel) != SLEEPING)
        return false;
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
    return true;
}

static void ring_event(int fd)
{
    const uint64_t one = 1;
    ssize_t put = write(fd, &one, sizeof one);
    (void)put; /* Full is readable, which is all that is wanted. */
}

void doorbell_ring_own(struct doorbell *db)
{
    fence_full();
    if (db->kind == DOORBELL_FUTEX)
        ring_futex(&db->page->word);
    else if (atomic_load_explicit(&db->page->sleep, memory_order_relaxed) & 1)
        ring_event(db->event_fd);
}

/* A descriptor that a peer gave must be an eventfd: a write to anything else might block or do
 * harm. */
static bool is_eventfd(int fd)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    return strcmp(target, "anon_inode:[eventfd]") == 0;
}

static int peer_map(struct doorbell_peer *peer, int page_fd, struct mob_err *err)
{
    int wanted = DOORBELL_SEALS | (peer->kind == DOORBELL_EVENTFD ? F_SEAL_FUTURE_WRITE : 0);
    int seals = fcntl(page_fd, F_GET_SEALS);
    struct stat st;
    if (seals < 0 || fstat(page_fd, &st) != 0)
        return mob_err_set(err, MOB_EPROTO, "opening a doorbell: descriptor %d is no memfd",
                           page_fd);
    if ((seals & (DOORBELL_SEALS | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != wanted ||
        st.st_size != (off_t)DOORBELL_PAGE_BYTES)
        return mob_err_set(err, MOB_EPROTO,
                           "opening a doorbell: %lld bytes with seals 0x%x, not one page with 0x%x",
                           (long long)st.st_size, (unsigned)seals, (unsigned)wanted);
    int protection = peer->kind == DOORBELL_FUTEX ? PROT_READ | PROT_WRITE : PROT_READ;
    void *map = mmap(NULL, DOORBELL_PAGE_BYTES, protection, MAP_SHARED, page_fd, 0);
    if (map == MAP_FAILED)
        return mob_err_system(err, "opening a doorbell: mmap");
    peer->page = map;
    if (peer->page->magic != DOORBELL_MAGIC || peer->page->version != DOORBELL_VERSION ||
        peer->page->kind != (uint32_t)peer->kind)
        return mob_err_set(err, MOB_EPROTO,
                           "opening a doorbell: a page of another kind or version");
    return MOB_OK;
}

int doorbell_peer_open(struct doorbell_peer *peer, enum doorbell_kind kind, int page_fd,
                       int event_fd, struct mob_err *err)
{
    *peer = (struct doorbell_peer){.kind = kind, .event_fd = -1};
    if (kind != DOORBELL_FUTEX && kind != DOORBELL_EVENTFD)
        return mob_err_set(err, MOB_EINVAL, "opening a doorbell: there is no kind %d", (int)kind);
    int rc = peer_map(peer, page_fd, err);
    if (rc != MOB_OK)
        goto fail;
    if (kind == DOORBELL_EVENTFD) {
        if (!is_eventfd(event_fd)) {
            rc = mob_err_set(err, MOB_EPROTO, "opening a doorbell: descriptor %d is no eventfd",
                             event_fd);
            goto fail;
        }
        peer->event_fd = fcntl(event_fd, F_DUPFD_CLOEXEC, 0);
        /* Whoever made it may have left it blocking. */
        if (peer->event_fd < 0 || fcntl(peer->event_fd, F_SETFL, O_NONBLOCK) != 0) {
            rc = mob_err_system(err, "opening a doorbell: duplicating its eventfd");
            goto fail;
        }
    }
    return MOB_OK;
fail:
    doorbell_peer_close(peer);
    return rc;
}

void doorbell_peer_close(struct doorbell_peer *peer)
{
    if (peer->kind != 0) {
        if (peer->page != NULL)
            munmap(peer->page, DOORBELL_PAGE_BYTES);
        if (peer->event_fd >= 0)
            close(peer->event_fd);
    }
    *peer = (struct doorbell_peer){.event_fd = -1};
}

bool doorbell_ring(struct doorbell_peer *peer)
{
    assert(peer->page != NULL);
    fence_full();
    if (peer->kind == DOORBELL_FUTEX)
        return ring_futex(&peer->page->word);
    uint64_t sleep = atomic_load_explicit(&peer->page->sleep, memory_order_relaxed);
    if ((sleep & 1) == 0 || sleep == peer->rung)
        return false;
    peer->rung = sleep;
    ring_event(peer->event_fd);
    return true;
}

int doorbell_adopt(struct doorbell *db, int page_fd, struct mob_err *err)
{
    *db = (struct doorbell){.page_fd = -1, .event_fd = -1};
    struct doorbell_peer map;
    int rc = doorbell_peer_open(&map, DOORBELL_FUTEX, page_fd, -1, err);
    if (rc != MOB_OK)
        return rc;
    int own_fd = fcntl(page_fd, F_DUPFD_CLOEXEC, 0);
    if (own_fd < 0) {
        rc = mob_err_system(err, "adopting a doorbell: duplicating its page");
        doorbell_peer_close(&map);
        return rc;
    }
    *db = (struct doorbell){
        .page = map.page, .kind = DOORBELL_FUTEX, .page_fd = own_fd, .event_fd = -1};
    return MOB_OK;
}
