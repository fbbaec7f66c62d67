/* Real sockets: who may connect, who is who, what is cut, and how an end is noticed. Raw libzmq
 * peers play the liars. */
#include "head/core.h"
#include "protocol/transport.h"
#include "tests/support/processes.h"
#include "tests/support/tempdir.h"
#include "tests/support/test.h"
#include "tests/support/wait.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum { CLOSINGS = 2000 };

static struct transport *listen_at(const char *endpoint)
{
    struct transport_config config = transport_config_default();
    struct mob_err err = {0};
    struct transport *t = NULL;
    config.has_token = strncmp(endpoint, "tcp", 3) == 0;
    if (transport_listen(&t, endpoint, &config, &err) != MOB_OK)
        fail_msg("%s", err.text);
    return t;
}

static struct transport *connect_to(const char *endpoint)
{
    struct transport_config config = transport_config_default();
    struct mob_err err = {0};
    struct transport *t = NULL;
    config.has_token = true;
    if (transport_connect(&t, endpoint, &config, &err) != MOB_OK)
        fail_msg("%s", err.text);
    return t;
}

/* Wait for the next event as a loop would: on the descriptor. */
static struct transport_event expect(struct transport *t, enum transport_event_kind kind)
{
    struct transport_event event;
    struct wait wait = wait_start(5000);
    while (transport_next(t, &event) == TRANSPORT_NOTHING) {
        struct pollfd fd = {transport_fd(t), POLLIN, 0};
        poll(&fd, 1, 100);
        if (!wait_again(&wait))
            fail_msg("no event of kind %d", kind);
    }
    assert_int_equal(event.kind, kind);
    return event;
}

static bool send_ok(struct transport *t, uint64_t connection, const char *text)
{
    return transport_send(t, connection, view_of(text)) == MOB_OK;
}

/* The next frame, whatever connections end before it. */
static void expect_text(struct transport *t, const char *text)
{
    struct transport_event event = {0};
    struct wait wait = wait_start(5000);
    while (transport_next(t, &event) != TRANSPORT_FRAME)
        assert_true(wait_again(&wait));
    assert_int_equal(event.frame.size, strlen(text));
    assert_memory_equal(event.frame.data, text, strlen(text));
}

static char *abstract_endpoint(void)
{
    static char endpoint[64];
    static unsigned made;
    snprintf(endpoint, sizeof endpoint, "ipc://@mobula-test-%d-%u", (int)getpid(), made++);
    return endpoint;
}

static void exchange(const char *endpoint, uint64_t uid)
{
    struct transport *head = listen_at(endpoint), *node = connect_to(transport_endpoint(head));
    expect(node, TRANSPORT_CONNECTED);
    assert_true(wait_until(send_ok(node, 0, "hello"), 1000));
    struct transport_event event = expect(head, TRANSPORT_FRAME);
    assert_int_equal(event.sender.uid, uid);
    assert_int_not_equal(event.sender.connection, 0);
    assert_true(send_ok(head, event.sender.connection, "welcome"));
    expect_text(node, "welcome");
    transport_close(node);
    assert_int_equal(expect(head, TRANSPORT_GONE).sender.connection, event.sender.connection);
    assert_int_equal(transport_send(head, event.sender.connection, view_of("x")), MOB_EPEERDIED);
    transport_close(head);
}

/* Frames go both ways over each kind of endpoint, with the uid that the kernel knows; the end of a
 * peer is reported. */
MOB_TEST(frames_go_both_ways)
{
    char path[128];
    snprintf(path, sizeof path, "ipc://%s/head.sock", tempdir_create());
    exchange(path, getuid());
    assert_int_not_equal(access(path + 6, F_OK), 0);
    exchange(abstract_endpoint(), getuid());
    exchange("tcp://127.0.0.1:*", UINT64_MAX);
}

/* Anything but ipc and loopback with a token is refused before a socket is made. */
MOB_TEST(insecure_endpoints_are_refused)
{
    const struct {
        const char *endpoint;
        bool token;
        int rc;
    } rows[] = {
        {"tcp://0.0.0.0:7000", true, MOB_EINSECURE},
        {"tcp://*:7000", true, MOB_EINSECURE},
        {"tcp://10.0.0.1:7000", true, MOB_EINSECURE},
        {"tcp://127.0.0.1:7000", false, MOB_EINSECURE},
        {"tcp://localhost:7000", true, MOB_EINSECURE},
        {"inproc://x", true, MOB_EINVAL},
        {"ipc://relative", true, MOB_EINVAL},
        {"udp://127.0.0.1:1", true, MOB_EINVAL},
        {"tcp://127.0.0.1:7000", true, MOB_OK},
        {"tcp://[::1]:7000", true, MOB_OK},
        {"ipc:///a/b", false, MOB_OK},
        {"ipc://@a", false, MOB_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(transport_check_endpoint(rows[i].endpoint, rows[i].token, NULL),
                         rows[i].rc);
}

/* A path that is served cannot be taken over; one that was left behind can. */
MOB_TEST(ipc_path_is_not_stolen)
{
    char endpoint[128];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/head.sock", tempdir_create());
    struct transport *first = listen_at(endpoint), *second = NULL;
    struct transport_config config = transport_config_default();
    struct mob_err err;
    assert_int_equal(transport_listen(&second, endpoint, &config, &err), MOB_ENAMETAKEN);
    struct stat info;
    assert_int_equal(stat(endpoint + 6, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    struct transport *node = connect_to(endpoint);
    expect(node, TRANSPORT_CONNECTED);
    transport_close(node);
    transport_close(first);
    /* Killed, a process leaves the socket and the lock file. */
    pid_t child = fork();
    if (child == 0) {
        listen_at(endpoint);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(access(endpoint + 6, F_OK), 0);
    struct transport *after = listen_at(endpoint);
    node = connect_to(endpoint);
    expect(node, TRANSPORT_CONNECTED);
    transport_close(node);
    transport_close(after);
}

struct raw {
    void *context, *socket;
};

static struct raw raw_open(const char *endpoint, const char *id)
{
    struct raw raw = {zmq_ctx_new(), NULL};
    int zero = 0;
    raw.socket = zmq_socket(raw.context, ZMQ_DEALER);
    zmq_setsockopt(raw.socket, ZMQ_LINGER, &zero, sizeof zero);
    if (id != NULL)
        zmq_setsockopt(raw.socket, ZMQ_ROUTING_ID, id, strlen(id));
    assert_int_equal(zmq_connect(raw.socket, endpoint), 0);
    return raw;
}

static void raw_close(struct raw *raw)
{
    zmq_close(raw->socket);
    zmq_ctx_term(raw->context);
}

static struct transport_counts counts_of(struct transport *t)
{
    struct transport_counts counts;
    transport_counts(t, &counts);
    return counts;
}

/* Take events that no test waits for, and say whether `condition` holds then. */
static struct transport_counts pump(struct transport *t)
{
    struct transport_event event;
    while (transport_next(t, &event) != TRANSPORT_NOTHING)
        assert_int_not_equal(event.kind, TRANSPORT_FRAME);
    return counts_of(t);
}

/* Several parts, a routing id of the peer's choice, a frame beyond the limit: no frame comes of it
 * and the sender is cut, while others go on. */
MOB_TEST(unruly_peers_are_cut)
{
    char *endpoint = abstract_endpoint();
    struct transport *head = listen_at(endpoint), *node = connect_to(endpoint);
    struct raw parts = raw_open(endpoint, NULL), chosen = raw_open(endpoint, "node-1"),
               big = raw_open(endpoint, NULL);
    zmq_send(parts.socket, "a", 1, ZMQ_SNDMORE);
    zmq_send(parts.socket, "b", 1, 0);
    zmq_send(chosen.socket, "c", 1, 0);
    assert_true(wait_until(pump(head).multipart > 0 && counts_of(head).chosen_id > 0, 5000));
    size_t size = transport_config_default().frame_max + 1;
    void *bytes = calloc(1, size);
    zmq_send(big.socket, bytes, size, 0);
    free(bytes);
    expect(node, TRANSPORT_CONNECTED);
    assert_true(wait_until(send_ok(node, 0, "fine"), 1000));
    expect_text(head, "fine");
    assert_true(wait_until(pump(head).peers == 1, 5000));
    raw_close(&parts);
    raw_close(&chosen);
    raw_close(&big);
    transport_close(node);
    transport_close(head);
}

/* A connection that is cut ends at the other side, which connects anew as another connection. */
MOB_TEST(cut_connections_come_back_as_others)
{
    char *endpoint = abstract_endpoint();
    struct transport *head = listen_at(endpoint), *node = connect_to(endpoint);
    expect(node, TRANSPORT_CONNECTED);
    assert_true(wait_until(send_ok(node, 0, "one"), 1000));
    uint64_t first = expect(head, TRANSPORT_FRAME).sender.connection;
    transport_cut(head, first);
    assert_int_equal(expect(head, TRANSPORT_GONE).sender.connection, first);
    expect(node, TRANSPORT_GONE);
    expect(node, TRANSPORT_CONNECTED);
    assert_true(wait_until(send_ok(node, 0, "two"), 1000));
    assert_int_not_equal(expect(head, TRANSPORT_FRAME).sender.connection, first);
    transport_close(node);
    transport_close(head);
}

/* A node that starts before its head, or whose head restarts, is connected soon after. */
MOB_TEST(connects_when_the_head_comes)
{
    char *endpoint = abstract_endpoint();
    struct transport *node = connect_to(endpoint), *head = listen_at(endpoint);
    expect(node, TRANSPORT_CONNECTED);
    transport_close(head);
    expect(node, TRANSPORT_GONE);
    assert_int_equal(transport_send(node, 0, view_of("x")), MOB_EAGAIN);
    head = listen_at(endpoint);
    expect(node, TRANSPORT_CONNECTED);
    transport_close(node);
    transport_close(head);
}

/* Cut connections, and close each a little later than the one before. */
static void close_often(void)
{
    struct transport *head = listen_at(abstract_endpoint());
    for (unsigned i = 0; i < CLOSINGS; i++) {
        struct transport *node = connect_to(transport_endpoint(head));
        expect(node, TRANSPORT_CONNECTED);
        assert_true(wait_until(send_ok(node, 0, "hello"), 1000));
        struct transport_event event = expect(head, TRANSPORT_FRAME);
        transport_cut(head, event.sender.connection);
        uint64_t close_ns = wait_now_ns() + i % 100 * 1000;
        while (wait_now_ns() < close_ns)
            continue;
        transport_close(node); /* while libzmq's thread hears of the end */
        expect(head, TRANSPORT_GONE);
    }
    transport_close(head);
}

/* A close does not wait for ever when the connection ends at that moment. In a process of its own,
 * since the wait cannot be ended otherwise. */
MOB_TEST(close_meets_the_end_of_the_connection)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close_often();
        _exit(0);
    }
    int status = -1;
    bool ended = wait_until(waitpid(child, &status, WNOHANG) == child, 20000);
    if (!ended) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    assert_true(ended);
    assert_int_equal(status, 0);
}

/* A peer that does not read fills its own queue and no more. */
MOB_TEST(queue_of_a_peer_is_bounded)
{
    char *endpoint = abstract_endpoint();
    struct transport *head = listen_at(endpoint);
    struct raw lazy = raw_open(endpoint, NULL);
    int one = 1;
    zmq_setsockopt(lazy.socket, ZMQ_RCVHWM, &one, sizeof one);
    zmq_send(lazy.socket, "hello", 5, 0);
    uint64_t connection = expect(head, TRANSPORT_FRAME).sender.connection;
    char *bytes = calloc(1, 64 << 10);
    int rc = MOB_OK;
    unsigned sent = 0;
    while (sent < 100000 &&
           (rc = transport_send(head, connection, (struct view){bytes, 64 << 10})) == MOB_OK)
        sent++;
    assert_int_equal(rc, MOB_EAGAIN);
    free(bytes);
    raw_close(&lazy);
    transport_close(head);
}

/* ---- a head's core behind a real socket ---- */

struct head {
    struct transport *transport;
    struct head_core *core;
};

static void head_turn(struct head *h)
{
    struct transport_event event;
    while (transport_next(h->transport, &event) != TRANSPORT_NOTHING)
        if (event.kind == TRANSPORT_FRAME)
            head_core_on_frame(h->core, &event.sender, event.frame, 0);
        else
            head_core_disconnected(h->core, event.sender.connection, 0);
    struct commit commit;
    if (head_core_commit(h->core, &commit))
        head_core_committed(h->core, commit.number);
    uint64_t to;
    struct view frame;
    while (head_core_outgoing(h->core, 0, &to, &frame))
        if (transport_send(h->transport, to, frame) != MOB_OK)
            return;
}

static struct head_counts head_counts(struct head *h)
{
    struct head_counts counts;
    head_turn(h);
    head_core_counts(h->core, &counts);
    return counts;
}

static void raw_hello(struct raw *raw, uint64_t session, uint64_t incarnation)
{
    struct buffer b = {0};
    struct msg_link link = {session, 1, 0};
    struct msg_node_hello hello = {.version = PROTOCOL_VERSION,
                                   .incarnation = incarnation,
                                   .machine = view_of("boot"),
                                   .local = view_of("/local"),
                                   .cpus = HEAD_CPU};
    assert_int_equal(msg_link_pack(&b, &link), MOB_OK);
    assert_int_equal(msg_node_hello_pack(&b, &hello), MOB_OK);
    zmq_send(raw->socket, buffer_head(&b), buffer_size(&b), 0);
    buffer_fini(&b);
}

static void raw_job(struct raw *raw, uint64_t session, uint64_t number, uint64_t driver)
{
    struct buffer b = {0};
    struct msg_link link = {session, number, 0};
    struct msg_job_start job = {1, driver, 1, 0, view_of("x")};
    assert_int_equal(msg_link_pack(&b, &link), MOB_OK);
    assert_int_equal(msg_job_start_pack(&b, &job), MOB_OK);
    zmq_send(raw->socket, buffer_head(&b), buffer_size(&b), 0);
    buffer_fini(&b);
}

/* A raw peer that names another node's place, incarnation and session, in a hello or without one,
 * changes nothing and is counted; the node itself goes on. */
MOB_TEST(claimed_identity_has_no_effect)
{
    struct head_config config = {.access = {.own_uid = getuid()},
                                 .connections_max = 9,
                                 .nodes_max = 9,
                                 .jobs_max = 9,
                                 .blocks_max = 9,
                                 .process_block = 100,
                                 .node_lost_ms = 10000,
                                 .refused_ms = 1000};
    char *endpoint = abstract_endpoint();
    struct head h = {listen_at(endpoint), NULL};
    assert_int_equal(head_core_create(&h.core, &config, NULL), MOB_OK);
    head_core_start(h.core, 0, 0);
    struct raw node = raw_open(endpoint, NULL), liar = raw_open(endpoint, NULL);
    raw_hello(&node, 5, 77);
    assert_true(wait_until(head_counts(&h).nodes == 1, 5000));
    raw_job(&liar, 5, 2, 1);
    assert_true(wait_until(head_counts(&h).before_hello == 1, 5000));
    raw_hello(&liar, 6, 77);
    assert_true(wait_until(head_counts(&h).identity == 1, 5000));
    raw_hello(&liar, 6, 78);
    raw_job(&liar, 5, 2, 1);
    assert_true(wait_until(head_counts(&h).before_hello == 3, 5000));
    assert_int_equal(head_counts(&h).jobs, 0);
    assert_int_equal(head_counts(&h).nodes_away, 0);
    raw_job(&node, 5, 2, 1);
    assert_true(wait_until(head_counts(&h).jobs == 1, 5000));
    raw_close(&liar);
    raw_close(&node);
    head_core_destroy(h.core);
    transport_close(h.transport);
}

/* A peer under another uid is known by it, whatever it says. Needs root, to become another. */
MOB_TEST(uid_is_the_kernels)
{
    if (getuid() != 0)
        skip();
    char *endpoint = abstract_endpoint();
    pid_t child = fork(); /* before this process has threads: it connects when the head is there */
    if (child == 0) {
        if (setuid(4242) != 0)
            _exit(1);
        struct raw raw = raw_open(endpoint, NULL);
        zmq_send(raw.socket, "hello", 5, 0);
        char bytes[8];
        zmq_recv(raw.socket, bytes, sizeof bytes, 0);
        _exit(0);
    }
    struct transport *head = listen_at(endpoint);
    struct transport_event event = expect(head, TRANSPORT_FRAME);
    assert_int_equal(event.sender.uid, 4242);
    assert_true(send_ok(head, event.sender.connection, "bye"));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    transport_close(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_both_ways),
        cmocka_unit_test(insecure_endpoints_are_refused),
        cmocka_unit_test(ipc_path_is_not_stolen),
        cmocka_unit_test(unruly_peers_are_cut),
        cmocka_unit_test(cut_connections_come_back_as_others),
        cmocka_unit_test(connects_when_the_head_comes),
        cmocka_unit_test(close_meets_the_end_of_the_connection),
        cmocka_unit_test(queue_of_a_peer_is_bounded),
        cmocka_unit_test(claimed_identity_has_no_effect),
        cmocka_unit_test(uid_is_the_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
