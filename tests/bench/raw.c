/* raw.c: the raw limits, between this process and a partner that is forked before anything has
 * threads. The partner sleeps in read(2) while it is not measured, so it takes nothing from what
 * is.
 *
 * The ring limit moves what a task moves, a request and an answer of the sizes that a task without
 * arguments has on the wire, over the same rings and doorbells, and does nothing else: what is
 * above it is our bookkeeping. */
#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "protocol/clock.h"
#include "protocol/doorbell.h"
#include "protocol/ring.h"
#include "tests/bench/bench.h"

enum {
    ZMQ_BYTES = 64,
    REQUEST_BYTES = 28, /* frame length and task_run without arguments */
    ANSWER_BYTES = 40,  /* frame length and task_done with one small value */
    BATCH = 256,        /* requests, or messages, between two looks at the clock */
    CHUNK = 16 * 1024,
};

enum command { ZMQ_ECHO = 1, ZMQ_COUNT, FUTEX_ECHO, RING_ECHO, THE_END };

/* The last byte of a message that is the last one. */
enum { GO_ON = 0, STOP = 1 };

struct page {
    _Atomic uint32_t ping, pong;
    _Atomic bool stop;
};

static struct {
    pid_t partner;
    int control; /* our end of a socket pair */
    struct page *page;
    char endpoint[2][64]; /* echo, stream */
    void *context, *echo, *stream;
    int ring_fd;
    struct doorbell bells[2];
    struct doorbell_peer peer;
    struct ring_end end;
} raw;

static void check(bool good, const char *what)
{
    if (!good)
        fail("raw limits: %s: %s", what, strerror(errno));
}

/* ---- zmq ---- */

static void *socket_open(int type, const char *endpoint, bool bind_it)
{
    if (raw.context == NULL)
        raw.context = zmq_ctx_new();
    void *socket = zmq_socket(raw.context, type);
    int forever = 0, no_linger = 0;
    check(socket != NULL, "zmq_socket");
    zmq_setsockopt(socket, ZMQ_SNDHWM, &forever, sizeof forever);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &forever, sizeof forever);
    zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    check((bind_it ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint)) == 0, endpoint);
    return socket;
}

static void partner_zmq_echo(void)
{
    if (raw.echo == NULL)
        raw.echo = socket_open(ZMQ_DEALER, raw.endpoint[0], true);
    unsigned char message[ZMQ_BYTES];
    do {
        check(zmq_recv(raw.echo, message, sizeof message, 0) == ZMQ_BYTES, "zmq_recv");
        check(zmq_send(raw.echo, message, sizeof message, 0) == ZMQ_BYTES, "zmq_send");
    } while (message[ZMQ_BYTES - 1] != STOP);
}

static void partner_zmq_count(void)
{
    if (raw.stream == NULL)
        raw.stream = socket_open(ZMQ_PULL, raw.endpoint[1], true);
    unsigned char message[ZMQ_BYTES];
    do
        check(zmq_recv(raw.stream, message, sizeof message, 0) == ZMQ_BYTES, "zmq_recv");
    while (message[ZMQ_BYTES - 1] != STOP);
}

/* ---- futex ---- */

static void futex_set(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Sleep until the word is no longer `old`. */
static void futex_await(_Atomic uint32_t *word, uint32_t old)
{
    while (atomic_load(word) == old)
        syscall(SYS_futex, word, FUTEX_WAIT, old, NULL, NULL, 0);
}

static void partner_futex_echo(void)
{
    for (uint32_t seen = 0;; seen++) {
        futex_await(&raw.page->ping, seen);
        if (atomic_load(&raw.page->stop))
            return;
        futex_set(&raw.page->pong, seen + 1);
    }
}

/* ---- ring ---- */

static void ring_sleep(int side)
{
    doorbell_prepare(&raw.bells[side]);
    if (ring_pending(&raw.end))
        doorbell_cancel(&raw.bells[side]);
    else if (doorbell_sleep(&raw.bells[side], DOORBELL_FOREVER) != MOB_OK)
        fail("raw limits: a doorbell did not sleep");
}

static void ring_send(const unsigned char *bytes, size_t size, int side)
{
    while (size > 0) {
        size_t taken = ring_write(&raw.end, bytes, size);
        if (taken > 0)
            doorbell_ring(&raw.peer);
        else
            ring_sleep(side);
        bytes += taken;
        size -= taken;
    }
}

/* Read what is there after `have` bytes that were left over. */
static size_t ring_take(unsigned char *bytes, size_t have, size_t room)
{
    size_t got = ring_read(&raw.end, bytes + have, room - have);
    if (got > 0 && ring_peer_wants_space(&raw.end))
        doorbell_ring(&raw.peer);
    return have + got;
}

static void partner_ring_echo(void)
{
    unsigned char requests[CHUNK], answers[(CHUNK / REQUEST_BYTES + 1) * ANSWER_BYTES];
    memset(answers, 0, sizeof answers);
    size_t have = 0;
    for (bool stop = false; !stop;) {
        size_t before = have;
        have = ring_take(requests, have, sizeof requests);
        size_t at = 0, out = 0;
        for (; have - at >= REQUEST_BYTES; at += REQUEST_BYTES, out += ANSWER_BYTES) {
            memcpy(answers + out, requests + at, REQUEST_BYTES);
            stop = stop || requests[at + REQUEST_BYTES - 1] == STOP;
        }
        memmove(requests, requests + at, have - at);
        bool idle = have == before;
        have -= at;
        ring_send(answers, out, 1);
        if (idle)
            ring_sleep(1);
    }
}

/* ---- the partner ---- */

static void partner_run(int control)
{
    raw.control = control;
    unsigned char command;
    while (read(control, &command, 1) == 1 && command != THE_END) {
        if (command == ZMQ_ECHO)
            partner_zmq_echo();
        else if (command == ZMQ_COUNT)
            partner_zmq_count();
        else if (command == FUTEX_ECHO)
            partner_futex_echo();
        else
            partner_ring_echo();
        check(write(control, &command, 1) == 1, "answering");
    }
    _exit(0);
}

static void ring_side_open(int side)
{
    check(ring_open(&raw.end, raw.ring_fd, side, NULL) == MOB_OK, "ring_open");
    check(doorbell_peer_open(&raw.peer, DOORBELL_FUTEX, raw.bells[1 - side].page_fd, -1, NULL) ==
              MOB_OK,
          "doorbell_peer_open");
}

void raw_start(void)
{
    int pair[2];
    for (unsigned i = 0; i < 2; i++)
        snprintf(raw.endpoint[i], sizeof raw.endpoint[i], "ipc://@mobula-bench-%d-%u",
                 (int)getpid(), i);
    raw.page =
        mmap(NULL, sizeof *raw.page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(raw.page != MAP_FAILED, "mmap");
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    check(ring_pair_create(RING_SIZE_DEFAULT, &raw.ring_fd, NULL) == MOB_OK, "ring_pair_create");
    for (unsigned i = 0; i < 2; i++)
        check(doorbell_create(&raw.bells[i], DOORBELL_FUTEX, NULL, NULL, NULL) == MOB_OK,
              "doorbell_create");
    pid_t parent = getpid();
    fflush(NULL);
    raw.partner = fork();
    check(raw.partner >= 0, "fork");
    if (raw.partner == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
        close(pair[0]);
        ring_side_open(1);
        partner_run(pair[1]);
    }
    close(pair[1]);
    raw.control = pair[0];
    ring_side_open(0);
}

void raw_stop(void)
{
    if (raw.partner == 0)
        return;
    close(raw.control);
    waitpid(raw.partner, NULL, 0);
    if (raw.echo != NULL)
        zmq_close(raw.echo);
    if (raw.stream != NULL)
        zmq_close(raw.stream);
    if (raw.context != NULL)
        zmq_ctx_term(raw.context);
    raw.partner = 0;
}

static void command_send(enum command command)
{
    unsigned char byte = (unsigned char)command;
    check(write(raw.control, &byte, 1) == 1, "asking the partner");
}

static void command_await(void)
{
    unsigned char byte;
    check(read(raw.control, &byte, 1) == 1, "the partner has ended");
}

/* ---- rounds ---- */

static bool time_is_up(uint64_t start_ns)
{
    return seconds_between(start_ns, clock_now_ns()) >= options.round_s;
}

double raw_zmq_round_trip(void *unused)
{
    (void)unused;
    unsigned char message[ZMQ_BYTES] = {0};
    command_send(ZMQ_ECHO);
    if (raw.echo == NULL) {
        raw.echo = socket_open(ZMQ_DEALER, raw.endpoint[0], false);
        check(zmq_send(raw.echo, message, sizeof message, 0) == ZMQ_BYTES,
              "zmq_send"); /* connects */
        check(zmq_recv(raw.echo, message, sizeof message, 0) == ZMQ_BYTES, "zmq_recv");
    }
    uint64_t start = clock_now_ns(), count = 0;
    do {
        if (time_is_up(start))
            message[ZMQ_BYTES - 1] = STOP;
        check(zmq_send(raw.echo, message, sizeof message, 0) == ZMQ_BYTES, "zmq_send");
        check(zmq_recv(raw.echo, message, sizeof message, 0) == ZMQ_BYTES, "zmq_recv");
        count++;
    } while (message[ZMQ_BYTES - 1] != STOP);
    double seconds = seconds_between(start, clock_now_ns());
    command_await();
    return seconds * 1e6 / (double)count;
}

double raw_zmq_stream(void *unused)
{
    (void)unused;
    unsigned char message[ZMQ_BYTES] = {0};
    if (raw.stream == NULL)
        raw.stream = socket_open(ZMQ_PUSH, raw.endpoint[1], false);
    command_send(ZMQ_COUNT);
    uint64_t start = clock_now_ns(), count = 0;
    while (message[ZMQ_BYTES - 1] != STOP) {
        bool last = time_is_up(start);
        for (unsigned i = 0; i < BATCH; i++, count++) {
            message[ZMQ_BYTES - 1] = last && i == BATCH - 1 ? STOP : GO_ON;
            check(zmq_send(raw.stream, message, sizeof message, 0) == ZMQ_BYTES, "zmq_send");
        }
    }
    command_await();
    return (double)count / seconds_between(start, clock_now_ns());
}

double raw_futex_round_trip(void *unused)
{
    (void)unused;
    atomic_store(&raw.page->ping, 0);
    atomic_store(&raw.page->pong, 0);
    atomic_store(&raw.page->stop, false);
    command_send(FUTEX_ECHO);
    uint64_t start = clock_now_ns();
    uint32_t count = 0;
    while (!time_is_up(start)) {
        futex_set(&raw.page->ping, count + 1);
        futex_await(&raw.page->pong, count);
        count++;
    }
    double seconds = seconds_between(start, clock_now_ns());
    atomic_store(&raw.page->stop, true);
    futex_set(&raw.page->ping, count + 1);
    command_await();
    return seconds * 1e6 / count;
}

double raw_ring_round_trip(void *unused)
{
    (void)unused;
    unsigned char request[REQUEST_BYTES] = {0}, answer[ANSWER_BYTES];
    command_send(RING_ECHO);
    uint64_t start = clock_now_ns(), count = 0;
    do {
        if (time_is_up(start))
            request[REQUEST_BYTES - 1] = STOP;
        ring_send(request, sizeof request, 0);
        for (size_t have = 0; have < sizeof answer;) {
            have = ring_take(answer, have, sizeof answer);
            if (have < sizeof answer)
                ring_sleep(0);
        }
        count++;
    } while (request[REQUEST_BYTES - 1] != STOP);
    double seconds = seconds_between(start, clock_now_ns());
    command_await();
    return seconds * 1e6 / (double)count;
}

/* Number each request, as a task has its number; the last one says stop. */
static void requests_fill(unsigned char *requests, uint64_t first, bool last)
{
    for (uint64_t i = 0; i < BATCH; i++, requests += REQUEST_BYTES) {
        uint64_t number = first + i;
        memcpy(requests, &number, sizeof number);
        requests[REQUEST_BYTES - 1] = last && i == BATCH - 1 ? STOP : GO_ON;
    }
}

/* Take the answers that have come, after `have` bytes of one that was cut; false when one is out of
 * order. */
static bool answers_take(unsigned char answers[CHUNK], size_t *have, uint64_t *answered, bool *any)
{
    *any = false;
    for (size_t before = *have; (*have = ring_take(answers, before, CHUNK)) > before;
         before = *have) {
        size_t at = 0;
        for (; *have - at >= ANSWER_BYTES; at += ANSWER_BYTES) {
            uint64_t number;
            memcpy(&number, answers + at, sizeof number);
            if (number != (*answered)++)
                return false;
        }
        *have -= at;
        memmove(answers, answers + at, *have);
        *any = true;
    }
    return true;
}

/* As many requests on their way as the rings hold. */
double raw_ring_stream(void *unused)
{
    (void)unused;
    unsigned char requests[BATCH * REQUEST_BYTES], answers[CHUNK];
    command_send(RING_ECHO);
    size_t at = sizeof requests, have = 0;
    uint64_t start = clock_now_ns(), sent = 0, answered = 0;
    for (bool last = false; !last || answered < sent;) {
        if (at == sizeof requests && !last) {
            last = time_is_up(start);
            requests_fill(requests, sent, last);
            sent += BATCH;
            at = 0;
        }
        bool any;
        size_t taken = ring_write(&raw.end, requests + at, sizeof requests - at);
        at += taken;
        if (taken > 0)
            doorbell_ring(&raw.peer);
        if (!answers_take(answers, &have, &answered, &any))
            return -1;
        if (taken == 0 && !any)
            ring_sleep(0);
    }
    double seconds = seconds_between(start, clock_now_ns());
    command_await();
    return (double)sent / seconds;
}

double raw_memcpy(void *size_context)
{
    static unsigned char *from, *to;
    static size_t mapped;
    size_t size = *(const size_t *)size_context;
    if (size > mapped) {
        int fd = memfd_create("bench", MFD_CLOEXEC);
        check(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "memfd_create");
        to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        from = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                    -1, 0);
        check(to != MAP_FAILED && from != MAP_FAILED, "mmap");
        close(fd);
        memset(from, 1, size);
        mapped = size;
    }
    uint64_t start = clock_now_ns();
    memcpy(to, from, size);
    __asm__ volatile("" : : "r"(to) : "memory");
    return (double)size / (1 << 30) / seconds_between(start, clock_now_ns());
}

double raw_fork(void *unused)
{
    (void)unused;
    int ends[2];
    check(pipe(ends) == 0, "pipe");
    uint64_t start = clock_now_ns();
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0) {
        ssize_t written = write(ends[1], "x", 1);
        _exit(written == 1 ? 0 : 1);
    }
    char byte;
    check(read(ends[0], &byte, 1) == 1, "a forked child says nothing");
    double ms = seconds_between(start, clock_now_ns()) * 1e3;
    close(ends[0]);
    close(ends[1]);
    waitpid(pid, NULL, 0);
    return ms;
}

void part_raw(void)
{
    static size_t bytes;
    bytes = (size_t)(options.quick ? 32 : 256) << 20;
    struct series round_trip = RAW_ZMQ_ROUND_TRIP, stream = RAW_ZMQ_STREAM,
                  futex = RAW_FUTEX_ROUND_TRIP, ring = RAW_RING_ROUND_TRIP,
                  ring_stream = RAW_RING_STREAM,
                  copy = {.name = "raw_memcpy",
                          .unit = "GiB/s",
                          .round = raw_memcpy,
                          .context = &bytes};
    struct group all = {.series = {&round_trip, &stream, &futex, &ring, &ring_stream, &copy}};
    raw_start();
    measure(&all);
    for (unsigned i = 0; all.series[i] != NULL; i++)
        report(all.series[i], NULL, NULL, NULL);
    raw_stop();
}
