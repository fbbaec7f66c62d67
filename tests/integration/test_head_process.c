/* mobula-head as a process: what it promises survives it, whose life it follows, what it says when
 * it cannot serve. */
#include "protocol/clock.h"
#include "protocol/link.h"
#include "protocol/transport.h"
#include "tests/support/processes.h"
#include "tests/support/sanitizer.h"
#include "tests/support/program.h"
#include "tests/support/tempdir.h"
#include "tests/support/test.h"
#include "tests/support/wait.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 24, TIMEOUT_MS = 5000 };

static const char *head_path(void)
{
    static char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 64);
    assert_true(size > 0);
    path[size] = 0;
    for (int i = 0; i < 3; i++)
        *strrchr(path, '/') = 0;
    memcpy(path + strlen(path), "/mobula-head", sizeof "/mobula-head");
    return path;
}

static const char *abstract_endpoint(void)
{
    static char endpoint[64];
    static unsigned made;
    snprintf(endpoint, sizeof endpoint, "ipc://@mobula-head-test-%d-%u", (int)getpid(), made++);
    return endpoint;
}

/* ---- a head ---- */

struct head {
    struct program *program;
    char line[600]; /* what it said on its ready descriptor */
};

/* Start it with the options given and a ready descriptor, and wait for its line. */
static struct head head_start(const char *const options[])
{
    struct head h = {0};
    char number[16];
    int fds[2];
    const char *argv[ARGS_MAX] = {head_path(), "--ready-fd", number};
    unsigned argc = 3;
    for (; *options != NULL; options++)
        argv[argc++] = *options;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFD, FD_CLOEXEC), 0);
    snprintf(number, sizeof number, "%d", fds[1]);
    h.program = program_start(argv, NULL);
    close(fds[1]);
    size_t size = 0;
    ssize_t got;
    while (size < sizeof h.line - 1 &&
           (got = read(fds[0], h.line + size, sizeof h.line - 1 - size)) > 0)
        size += (size_t)got;
    close(fds[0]);
    return h;
}

#define HEAD(...) head_start((const char *const[]){__VA_ARGS__, NULL})

static void head_serves(const struct head *h)
{
    if (strncmp(h->line, "ready ", 6) != 0)
        fail_msg("the head said \"%s\" and %s", h->line, program_stderr(h->program));
}

static int head_stop(struct head *h)
{
    program_signal(h->program, SIGTERM);
    int status = program_wait(h->program, TIMEOUT_MS);
    program_destroy(h->program);
    return status;
}

static void head_kill(struct head *h)
{
    program_signal(h->program, SIGKILL);
    assert_int_equal(program_wait(h->program, TIMEOUT_MS), 128 + SIGKILL);
    program_destroy(h->program);
}

/* ---- a node that talks to it ---- */

struct node {
    struct transport *transport;
    struct link link;
    struct outbox outbox;
    struct peer peer;
    uint64_t incarnation;
    uint32_t version;
    const char *token;
    bool linked;
    struct msg_node_welcome welcome;
    struct msg_job_started started;
    int refused;
    char why[256];
};

static void node_open(struct node *n, const char *endpoint, uint64_t incarnation)
{
    struct transport_config config = transport_config_default();
    struct mob_err err = {0};
    *n = (struct node){.incarnation = incarnation, .version = PROTOCOL_VERSION, .token = ""};
    config.has_token = true;
    peer_init(&n->peer, &n->outbox, (struct mob_process){0});
    if (transport_connect(&n->transport, endpoint, &config, &err) != MOB_OK)
        fail_msg("%s", err.text);
}

static void node_close(struct node *n)
{
    transport_close(n->transport);
    if (n->linked)
        link_fini(&n->link);
    peer_fini(&n->peer);
}

static void node_hello(struct node *n)
{
    struct buffer b = {0};
    struct msg_node_hello m = {.version = n->version,
                               .incarnation = n->incarnation,
                               .token = view_of(n->token),
                               .machine = view_of("boot"),
                               .local = view_of("/local"),
                               .cpus = 20000};
    assert_int_equal(msg_node_hello_pack(&b, &m), MOB_OK);
    struct view hello = {buffer_head(&b), buffer_size(&b)};
    if (n->linked)
        assert_int_equal(link_restart(&n->link, clock_now_ns(), hello), MOB_OK);
    else
        assert_int_equal(link_init(&n->link, clock_now_ns(), hello), MOB_OK);
    n->linked = true;
    buffer_fini(&b);
}

static void node_on_messages(struct node *n, struct view messages)
{
    struct cursor c = cursor_of(messages.data, messages.size);
    struct message_head head;
    struct msg_refuse refuse;
    while (message_next(&c, &head)) {
        if (head.number == MSG_node_welcome) {
            assert_true(msg_node_welcome_unpack(&c, &head, &n->welcome));
        } else if (head.number == MSG_job_started) {
            assert_true(msg_job_started_unpack(&c, &head, &n->started));
        } else if (head.number == MSG_refuse) {
            assert_true(msg_refuse_unpack(&c, &head, &refuse));
            n->refused = (int)refuse.code;
            snprintf(n->why, sizeof n->why, "%.*s", (int)refuse.text.size,
                     (const char *)refuse.text.data);
        } else {
            message_skip(&c, &head);
        }
    }
    assert_false(c.failed);
}

/* Do what can be done now. Always true, for use in conditions. */
static bool node_turn(struct node *n)
{
    struct transport_event event;
    struct msg_link link;
    struct view messages, frame;
    while (transport_next(n->transport, &event) != TRANSPORT_NOTHING) {
        if (event.kind == TRANSPORT_CONNECTED)
            node_hello(n);
        if (event.kind != TRANSPORT_FRAME)
            continue;
        if (!link_peek(event.frame, &link, &messages)) {
            node_on_messages(n, event.frame);
            continue;
        }
        assert_int_equal(link_on_frame(&n->link, event.frame, clock_now_ms()), MOB_OK);
        while (link_next(&n->link, &messages))
            node_on_messages(n, messages);
    }
    while (n->linked && link_outgoing(&n->link, &n->peer, clock_now_ms(), &frame))
        if (transport_send(n->transport, 0, frame) != MOB_OK)
            break;
    return true;
}

#define node_until(n, condition) assert_true(wait_until(node_turn(n) && (condition), TIMEOUT_MS))

static void node_ask_job(struct node *n, uint64_t request)
{
    struct msg_job_start m = {request, n->welcome.process_first + request, 1, getuid(),
                              view_of("./program")};
    n->started = (struct msg_job_started){0};
    assert_int_equal(peer_send(&n->peer, job_start, &m), MOB_OK);
}

/* ---- tests ---- */

/* It says where it serves, serves, and a signal ends it with status 0 and nothing left behind. */
MOB_TEST(serves_and_stops)
{
    const char *dir = tempdir_create();
    char endpoint[128], path[160];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/head.sock", dir);
    struct head h = HEAD("--listen", endpoint);
    head_serves(&h);
    assert_string_equal(h.line + 6 + strlen(endpoint), "\n");
    struct node n;
    node_open(&n, endpoint, 1);
    node_until(&n, n.welcome.node != 0);
    assert_int_equal(n.welcome.epoch, 1);
    node_close(&n);
    assert_int_equal(head_stop(&h), 0);
    assert_int_not_equal(access(endpoint + 6, F_OK), 0);
    snprintf(path, sizeof path, "%s.lock", endpoint + 6);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* What it acknowledged is there after kill -9: the repeated request gets the same job, in a new
 * epoch. */
MOB_TEST(killed_head_keeps_its_promises)
{
    const char *endpoint = abstract_endpoint(), *dir = tempdir_create();
    struct head h = HEAD("--listen", endpoint, "--data", dir);
    head_serves(&h);
    struct node n;
    node_open(&n, endpoint, 1);
    node_until(&n, n.welcome.node != 0);
    node_ask_job(&n, 1);
    node_until(&n, n.started.job != 0);
    uint64_t job = n.started.job, node = n.welcome.node;
    for (uint64_t epoch = 2; epoch <= 4; epoch++) {
        head_kill(&h);
        h = HEAD("--listen", endpoint, "--data", dir);
        head_serves(&h);
        node_until(&n, n.welcome.epoch == epoch);
        assert_int_equal(n.welcome.node, node);
        node_ask_job(&n, 1);
        node_until(&n, n.started.job != 0);
        assert_int_equal(n.started.job, job);
    }
    node_close(&n);
    assert_int_equal(head_stop(&h), 0);
}

/* A commit that fails ends the head; nothing that depended on it was answered, and the next head
 * takes the request. */
MOB_TEST(failed_commit_ends_the_head)
{
    const char *endpoint = abstract_endpoint(), *dir = tempdir_create();
    struct head h = HEAD("--listen", endpoint, "--data", dir, "--fault-commit", "3");
    head_serves(&h); /* commit 1: the epoch; 2: the node; 3: the job */
    struct node n;
    node_open(&n, endpoint, 1);
    node_until(&n, n.welcome.node != 0);
    node_ask_job(&n, 1);
    node_until(&n, program_ended(h.program));
    assert_int_equal(n.started.job, 0);
    assert_int_equal(program_wait(h.program, 0), 1);
    assert_non_null(strstr(program_stderr(h.program), "MOB_EJOURNAL"));
    program_destroy(h.program);
    h = HEAD("--listen", endpoint, "--data", dir);
    node_until(&n, n.started.job != 0); /* the link carried the request over */
    assert_int_equal(n.welcome.epoch, 2);
    node_close(&n);
    assert_int_equal(head_stop(&h), 0);
}

/* When the process that it follows ends, by whatever means, it ends within two seconds. */
MOB_TEST(follows_a_life)
{
    pid_t life = fork();
    if (life == 0) {
        pause();
        _exit(0);
    }
    int fd = (int)syscall(SYS_pidfd_open, life, 0);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    struct head h = HEAD("--listen", abstract_endpoint(), "--life-fd", number);
    close(fd);
    head_serves(&h);
    assert_false(program_ended(h.program));
    kill(life, SIGKILL);
    assert_int_equal(program_wait(h.program, 2000), 0);
    assert_int_equal(waitpid(life, NULL, 0), life);
    program_destroy(h.program);
}

static int token_fd(const char *token, char number[16])
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], token, strlen(token)), (ssize_t)strlen(token));
    close(fds[1]);
    snprintf(number, 16, "%d", fds[0]);
    return fds[0];
}

static void expect_refused(const char *endpoint, const char *token, uint32_t version, int code,
                           const char *why)
{
    struct node n;
    node_open(&n, endpoint, 9);
    n.token = token;
    n.version = version;
    node_until(&n, n.refused != 0);
    assert_int_equal(n.refused, code);
    assert_non_null(strstr(n.why, why));
    assert_int_equal(n.welcome.node, 0);
    node_close(&n);
}

/* Without the token, or with another version, a node gets a clear refusal; over tcp the token
 * opens. */
MOB_TEST(greeting_is_guarded)
{
    char number[16];
    int fd = token_fd("a secret", number);
    struct head h = HEAD("--listen", "tcp://127.0.0.1:*", "--token-fd", number);
    close(fd);
    head_serves(&h);
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "%.*s", (int)strcspn(h.line + 6, "\n"), h.line + 6);
    expect_refused(endpoint, "", PROTOCOL_VERSION, MOB_EDENIED, "token");
    expect_refused(endpoint, "a secreT", PROTOCOL_VERSION, MOB_EDENIED, "token");
    expect_refused(endpoint, "a secret", PROTOCOL_VERSION + 6, MOB_EVERSION, "version 7");
    struct node n;
    node_open(&n, endpoint, 1);
    n.token = "a secret";
    node_until(&n, n.welcome.node != 0);
    node_close(&n);
    assert_int_equal(head_stop(&h), 0);
}

static void expect_failure(const struct head *h, const char *code, const char *text, int status)
{
    if (strncmp(h->line, code, strlen(code)) != 0 || strstr(h->line, text) == NULL)
        fail_msg("the head said \"%s\"", h->line);
    assert_int_equal(program_wait(h->program, TIMEOUT_MS), status);
    assert_non_null(strstr(program_stderr(h->program), text));
    program_destroy(h->program);
}

/* When it cannot serve, whoever waits is told why, and what would be right. */
MOB_TEST(says_why_it_cannot_serve)
{
    const char *endpoint = abstract_endpoint(), *dir = tempdir_create();
    char number[16];
    struct head h = HEAD("--listen", "tcp://0.0.0.0:7000");
    expect_failure(&h, "MOB_EINSECURE", "127.0.0.1", 1);
    h = HEAD("--data", dir);
    expect_failure(&h, "MOB_EOPTION", "--listen", 2);
    h = HEAD("--listen", endpoint, "--data", "/proc/none");
    expect_failure(&h, "MOB_ESYSTEM", "/proc/none", 1);
    int fd = token_fd("", number);
    h = HEAD("--listen", endpoint, "--token-fd", number);
    close(fd);
    expect_failure(&h, "MOB_EOPTION", "empty", 1 + 1);
    struct head first = HEAD("--listen", endpoint, "--data", dir);
    head_serves(&first);
    h = HEAD("--listen", endpoint, "--data", dir);
    expect_failure(&h, "MOB_EJOURNAL", "another process", 1);
    h = HEAD("--listen", endpoint);
    expect_failure(&h, "MOB_ESYSTEM", "in use", 1);
    assert_int_equal(head_stop(&first), 0);
}

/* A misspelt option lists the right ones; --help prints them. */
MOB_TEST(options_are_explained)
{
    struct program *p =
        program_start((const char *const[]){head_path(), "--lisen", "x", NULL}, NULL);
    assert_int_equal(program_wait(p, TIMEOUT_MS), 2);
    assert_non_null(strstr(program_stderr(p), "--listen"));
    program_destroy(p);
    p = program_start((const char *const[]){head_path(), "--help", NULL}, NULL);
    assert_int_equal(program_wait(p, TIMEOUT_MS), 0);
    assert_non_null(strstr(program_stdout(p), "--listen"));
    program_destroy(p);
}

/* Started with no descriptors at all it serves, and its journal is whole. */
MOB_TEST(starts_without_descriptors)
{
    const char *endpoint = abstract_endpoint(), *dir = tempdir_create();
    char command[PATH_MAX + 256];
    snprintf(command, sizeof command, "exec %s --listen %s --data %s <&- >&- 2>&-", head_path(),
             endpoint, dir);
    struct program *p = program_start((const char *const[]){"sh", "-c", command, NULL}, NULL);
    struct node n;
    node_open(&n, endpoint, 1);
    node_until(&n, n.welcome.node != 0);
    node_close(&n);
    program_signal(p, SIGTERM);
    assert_int_equal(program_wait(p, TIMEOUT_MS), 0);
    program_destroy(p);
    struct head h = HEAD("--listen", endpoint, "--data", dir);
    head_serves(&h);
    assert_int_equal(head_stop(&h), 0);
}

/* At rest, with a node that reports once a second, it needs next to no cpu and little memory. */
MOB_TEST(rests_quietly)
{
    const char *endpoint = abstract_endpoint();
    struct head h = HEAD("--listen", endpoint);
    head_serves(&h);
    struct node n;
    node_open(&n, endpoint, 1);
    node_until(&n, n.welcome.node != 0);
    node_until(&n, link_idle(&n.link));
    int64_t before_ms = processes_cpu_ms(program_pid(h.program));
    for (int i = 0; i < 3; i++) {
        struct msg_node_load load = {0};
        assert_int_equal(peer_send(&n.peer, node_load, &load), MOB_OK);
        node_until(&n, link_idle(&n.link));
        assert_false(wait_until(program_ended(h.program), 1000 / wait_scaled_ms(1)));
    }
    int64_t used_ms = processes_cpu_ms(program_pid(h.program)) - before_ms;
    int64_t pss_bytes = processes_pss_bytes(program_pid(h.program));
    print_message("3 s at rest: %" PRId64 " ms of cpu, PSS %" PRId64 " KiB\n", used_ms,
                  pss_bytes >> 10);
    assert_true(used_ms <= 30 * wait_scaled_ms(1));
    if (sanitizer_lets_measure("PSS of the head"))
        assert_true(pss_bytes < 12 << 20);
    node_close(&n);
    assert_int_equal(head_stop(&h), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_and_stops),
        cmocka_unit_test(killed_head_keeps_its_promises),
        cmocka_unit_test(failed_commit_ends_the_head),
        cmocka_unit_test(follows_a_life),
        cmocka_unit_test(greeting_is_guarded),
        cmocka_unit_test(says_why_it_cannot_serve),
        cmocka_unit_test(options_are_explained),
        cmocka_unit_test(starts_without_descriptors),
        cmocka_unit_test(rests_quietly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
