/* A real node with real programs: this very program is started by the node as zygote and worker.
 * Its drivers are made by hand (tests/support/toy.h), so that what is tested is the node's process
 * and the zygote alone. */
#include "tests/support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libclient/output.h"
#include "libclient/zygote.h"
#include "protocol/clock.h"
#include "tests/support/processes.h"
#include "tests/support/sanitizer.h"
#include "tests/support/program.h"
#include "tests/support/toy.h"
#include "tests/support/wait.h"

/* ---- the worker ---- */

/* What a task does: its function's number. */
enum act {
    ACT_NOTHING = 1,
    ACT_CRASH,
    ACT_WILD_CALL,
    ACT_OVERFLOW,
    ACT_ABORT,
    ACT_EXIT,
    ACT_RAW,
    ACT_CHILDREN,
    ACT_PRINT,
    ACT_UID
};

static struct toy worker;

static void emit(int stream, const char *bytes, size_t size, void *context)
{
    struct msg_output m = {.stream = (uint32_t)stream, .lines = {bytes, size}};
    m.function = view_of("toy");
    toy_send(context, &worker.node, output, &m);
}

static volatile int zero;

static __attribute__((noinline)) void crash_here(void)
{
    *(volatile int *)(uintptr_t)(8 + (uintptr_t)zero) = 1;
}

static __attribute__((noinline)) void call_wild(void)
{
    void (*wild)(void) = NULL;
    memcpy(&wild, &(uintptr_t){16 + (uintptr_t)zero}, sizeof wild);
    wild();
    zero++; /* Not a tail call. */
}

static __attribute__((noinline)) int overflow(int depth)
{
    volatile char room[4096];
    room[depth % 4096] = (char)depth;
    return zero == 0 ? overflow(depth + 1) + room[depth % 4096] : depth;
}

static __attribute__((noinline)) void abort_here(void)
{
    printf("half a line");
    fprintf(stderr, "about to fail\n");
    abort();
}

/* A child that ignores SIGTERM, its child, and a daemon in a session of its own. */
static void make_children(void)
{
    signal(SIGTERM, SIG_IGN); /* lint-allow: banned: a one-line program */
    if (fork() == 0) {
        fork();
        for (;;)
            pause();
    }
    if (fork() == 0) {
        setsid();
        if (fork() == 0)
            for (;;)
                pause();
        _exit(0);
    }
    wait(NULL);
}

static void act(uint64_t function)
{
    static const char raw[] = "raw line\n";
    switch (function) {
    case ACT_CRASH:
        crash_here();
        break;
    case ACT_WILD_CALL:
        call_wild();
        break;
    case ACT_OVERFLOW:
        overflow(0);
        break;
    case ACT_ABORT:
        abort_here();
        break;
    case ACT_EXIT:
        fprintf(stderr, "leaving\n");
        _exit(3);
    case ACT_RAW:
        if (write(STDERR_FILENO, raw, sizeof raw - 1) < 0)
            _exit(98);
        break;
    case ACT_CHILDREN:
        make_children();
        break;
    case ACT_PRINT:
        printf("one\ntwo\n");
        fflush(stdout);
        printf("three");
        break;
    case ACT_UID:
        _exit(getuid() == 65534 && geteuid() == 65534 && getgid() == 65534 ? 5 : 6);
    default:
        break;
    }
}

static void worker_run(int control_fd)
{
    struct mob_err err;
    if (zygote_run(control_fd, 1, output_dump, &worker.connection, &err) != MOB_OK) {
        dprintf(STDERR_FILENO, "no worker: %s\n", err.text);
        _exit(127);
    }
    toy_begin(&worker);
    if (output_install(emit, &worker, worker.connection.report, &err) != MOB_OK)
        _exit(97);
    toy_send(&worker, &worker.node, worker_ready, &(struct msg_worker_ready){1});
    for (;;) {
        struct cursor c;
        struct message_head head;
        struct msg_task_run run;
        if (!toy_take(&worker, MSG_task_run, TOY_ANY, 60000, &c, &head) ||
            !msg_task_run_unpack(&c, &head, &run))
            _exit(96);
        struct toy_peer *peer = toy_peer(&worker, worker.from);
        ring_mark_set(&peer->link.ring, run.task);
        act(run.function);
        output_flush();
        ring_mark_set(&peer->link.ring, 0);
        struct msg_task_done done = {.task = run.task, .attempt = run.attempt};
        toy_send(&worker, &peer->out, task_done, &done);
    }
}

static void *wait_for_ever(void *context)
{
    for (;;)
        pause();
    return context;
}

static int program_main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    printf("this was printed before the zygote and must not come out of it\n");
    if (strcmp(how, "exits") == 0) {
        fprintf(stderr, "usage: this program wants an argument\n");
        return 2;
    }
    if (strcmp(how, "hangs") == 0)
        for (;;)
            pause();
    if (strcmp(how, "threads") == 0 && pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        return 95;
    worker_run(zygote_fd());
    return 0;
}

/* ---- the cluster ---- */

struct cluster {
    char endpoint[64], local[64], mark[64];
    struct program *head, *node;
    struct toy driver;
    bool joined;
};

/* Beside this program's folder. */
static void daemon_path(char *path, size_t size, const char *name)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    assert_true(length > 0);
    path[length] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr(path, '/') = '\0';
    size_t used = strlen(path);
    snprintf(path + used, size - used, "/%s", name);
}

static void cluster_start(struct cluster *cluster, const char *option)
{
    static unsigned count;
    memset(cluster, 0, sizeof *cluster);
    unsigned id = count++;
    snprintf(cluster->endpoint, sizeof cluster->endpoint, "ipc://@mobula-test-%d-%u", (int)getpid(),
             id);
    snprintf(cluster->local, sizeof cluster->local, "@mobula-test-local-%d-%u", (int)getpid(), id);
    snprintf(cluster->mark, sizeof cluster->mark, "MOBULA_TEST_MARK=%d.%u", (int)getpid(), id);
    /* In the environment of whatever the node starts, and not of this process as /proc shows it. */
    setenv("MOBULA_TEST_MARK", strchr(cluster->mark, '=') + 1, 1);
    char head_path[4096], node_path[4096];
    daemon_path(head_path, sizeof head_path, "mobula-head");
    daemon_path(node_path, sizeof node_path, "mobula-node");
    const char *head[] = {head_path, "--listen", cluster->endpoint, NULL};
    const char *argv[] = {
        node_path, "--head", cluster->endpoint, "--local", cluster->local, "--cpus", "1",
        "--store", "16M",    "--log-level",     "debug",   option,         NULL};
    unsetenv("MOBULA_TEST_MARK");
    cluster->head = program_start(head, NULL);
    cluster->node = program_start(argv, NULL);
    setenv("MOBULA_TEST_MARK", strchr(cluster->mark, '=') + 1, 1);
}

static unsigned cluster_processes(const struct cluster *cluster)
{
    return processes_marked(cluster->mark, NULL, 0);
}

static int cluster_try(struct cluster *cluster, const struct msg_client_hello *hello,
                       struct mob_err *err)
{
    int rc = MOB_ENONODE;
    struct wait wait = wait_start(5000);
    do
        rc = toy_greet(&cluster->driver, cluster->local, hello, err);
    while (rc == MOB_ENONODE && wait_again(&wait));
    cluster->joined = rc == MOB_OK;
    return rc;
}

static void cluster_join(struct cluster *cluster, const char *how)
{
    const char *const arguments[] = {"toy", how, NULL};
    struct msg_client_hello hello = toy_hello(arguments);
    struct mob_err err = {0};
    int rc = cluster_try(cluster, &hello, &err);
    if (rc != MOB_OK)
        print_error("%s\n%s\n", err.text, program_stderr(cluster->node));
    assert_int_equal(rc, MOB_OK);
}

static void cluster_end(struct cluster *cluster)
{
    if (cluster->joined)
        toy_close(&cluster->driver);
    if (!program_ended(cluster->node))
        program_signal(cluster->node, SIGTERM);
    int status = program_wait(cluster->node, 5000);
    if (status != 0 && status != 128 + SIGKILL)
        print_error("%s\n", program_stderr(cluster->node));
    program_destroy(cluster->node);
    program_destroy(cluster->head);
    assert_true(wait_until(cluster_processes(cluster) == 0, 2000));
    assert_true(status == 0 || status == 128 + SIGKILL);
}

/* A worker to send tasks to, when there shall be `count` in all. */
static struct msg_lease_grant lease_next(struct cluster *cluster, uint64_t count)
{
    struct cursor c;
    struct message_head head;
    struct msg_lease_grant grant;
    struct msg_lease_want want = {.count = count};
    toy_send(&cluster->driver, &cluster->driver.node, lease_want, &want);
    bool came = toy_take(&cluster->driver, MSG_lease_grant, 0, wait_scaled_ms(5000), &c, &head);
    if (!came)
        print_error("no lease:\n%s\n", program_stderr(cluster->node));
    assert_true(came);
    assert_true(msg_lease_grant_unpack(&c, &head, &grant));
    return grant;
}

static struct msg_lease_grant lease(struct cluster *cluster)
{
    return lease_next(cluster, 1);
}

static void run(struct cluster *cluster, uint64_t process, uint64_t task, enum act function)
{
    struct toy_peer *peer = toy_peer(&cluster->driver, process);
    struct msg_task_run m = {.task = task, .function = function, .results = 1};
    toy_send(&cluster->driver, &peer->out, task_run, &m);
}

static void expect_done(struct cluster *cluster, uint64_t process, uint64_t task)
{
    struct cursor c;
    struct message_head head;
    struct msg_task_done done;
    bool came = toy_take(&cluster->driver, MSG_task_done, process, wait_scaled_ms(5000), &c, &head);
    if (!came)
        print_error("no answer:\n%s\n", program_stderr(cluster->node));
    assert_true(came);
    assert_true(msg_task_done_unpack(&c, &head, &done));
    assert_int_equal(done.task, task);
}

static struct msg_lease_lost expect_lost(struct cluster *cluster)
{
    struct cursor c;
    struct message_head head;
    struct msg_lease_lost lost;
    bool came = toy_take(&cluster->driver, MSG_lease_lost, 0, wait_scaled_ms(5000), &c, &head);
    if (!came)
        print_error("nothing lost:\n%s\n", program_stderr(cluster->node));
    assert_true(came);
    assert_true(msg_lease_lost_unpack(&c, &head, &lost));
    return lost;
}

static bool view_is(struct view v, const char *text)
{
    return v.size == strlen(text) && memcmp(v.data, text, v.size) == 0;
}

static bool view_has(struct view v, const char *text)
{
    return v.size > 0 && memmem(v.data, v.size, text, strlen(text)) != NULL;
}

/* All that comes as output of `stream` until `last` is among it. */
static bool expect_output(struct cluster *cluster, uint32_t stream, const char *last)
{
    struct cursor c;
    struct message_head head;
    struct msg_task_output m;
    while (toy_take(&cluster->driver, MSG_task_output, 0, wait_scaled_ms(5000), &c, &head)) {
        assert_true(msg_task_output_unpack(&c, &head, &m));
        assert_false(view_has(m.lines, "before the zygote"));
        if (m.stream == stream && view_has(m.lines, last))
            return true;
    }
    return false;
}

/* ---- tests ---- */

/* A driver is welcomed with all that it needs, and its task runs in a worker of its own program. */
MOB_TEST(driver_is_welcomed)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    const struct msg_client_welcome *welcome = &cluster.driver.connection.welcome;
    assert_true(welcome->process > 0);
    assert_int_equal(welcome->arena_bytes, 16 << 20);
    assert_int_equal(welcome->cpus, 10000);
    assert_true(cluster.driver.connection.arena_fd >= 0);
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 7, ACT_NOTHING);
    expect_done(&cluster, grant.worker, 7);
    cluster_end(&cluster);
}

/* A driver that asks for a descriptor sleeps on it. */
MOB_TEST(driver_with_a_descriptor)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    const char *const arguments[] = {"toy", NULL};
    struct msg_client_hello hello = toy_hello(arguments);
    struct mob_err err = {0};
    hello.descriptor = true;
    assert_int_equal(cluster_try(&cluster, &hello, &err), MOB_OK);
    assert_true(cluster.driver.connection.bell.event_fd >= 0);
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 7, ACT_NOTHING);
    expect_done(&cluster, grant.worker, 7);
    cluster_end(&cluster);
}

/* Another version is refused in words, whatever else the hello says. */
MOB_TEST(wrong_version_is_refused)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    const char *const arguments[] = {"toy", NULL};
    struct msg_client_hello hello = toy_hello(arguments);
    struct mob_err err = {0};
    hello.version = PROTOCOL_VERSION + 1;
    assert_int_equal(cluster_try(&cluster, &hello, &err), MOB_EVERSION);
    assert_non_null(strstr(err.text, "version 2"));
    assert_non_null(strstr(err.text, "same version"));
    cluster_end(&cluster);
}

/* A hello too long for a packet arrives whole. */
MOB_TEST(long_environment_arrives)
{
    struct cluster cluster;
    size_t size = 100000;
    char *text = malloc(size);
    memset(text, 'x', size);
    text[size - 1] = '\0';
    setenv("MOBULA_TEST_LONG", text, 1);
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    lease(&cluster);
    unsetenv("MOBULA_TEST_LONG");
    free(text);
    cluster_end(&cluster);
}

static int greet_as_nobody(struct cluster *cluster, char *text, size_t size)
{
    int fds[2], status = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *const arguments[] = {"toy", NULL};
        struct msg_client_hello hello = toy_hello(arguments);
        struct mob_err err = {0};
        if (setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        int rc = cluster_try(cluster, &hello, &err);
        dprintf(fds[1], "%s", err.text);
        _exit(rc == MOB_EDENIED ? 42 : 1);
    }
    close(fds[1]);
    ssize_t got = read(fds[0], text, size - 1);
    text[got > 0 ? got : 0] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Another user's driver is refused, and told how that could be changed. */
MOB_TEST(other_uid_is_refused)
{
    if (geteuid() != 0)
        skip();
    struct cluster cluster;
    char text[512];
    cluster_start(&cluster, NULL);
    assert_int_equal(greet_as_nobody(&cluster, text, sizeof text), 42);
    assert_non_null(strstr(text, "--uid 65534"));
    cluster_end(&cluster);
}

/* Containers usually take this from root: /proc/PID/exe of another user's process is then closed to
 * it. */
static bool may_look_into_others(void)
{
    enum { SYS_PTRACE = 19 }; /* CAP_SYS_PTRACE of linux/capability.h */
    unsigned long long effective = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    assert_non_null(status);
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    fclose(status);
    return (effective >> SYS_PTRACE & 1) != 0;
}

/* The program of another user's driver runs as that user, whoever the node is. */
MOB_TEST(other_uid_is_let_in)
{
    if (geteuid() != 0 || !may_look_into_others()) {
        print_message("skipped: drivers of other users: it takes root with CAP_SYS_PTRACE\n");
        skip();
    }
    struct cluster cluster;
    int status = 0;
    cluster_start(&cluster, "--uid=65534");
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        const char *const arguments[] = {"toy", "", NULL};
        struct msg_client_hello hello = toy_hello(arguments);
        struct mob_err err = {0};
        if (cluster_try(&cluster, &hello, &err) != MOB_OK) {
            print_error("%s\n", err.text);
            _exit(3); /* a failed assertion would run the other tests here, too */
        }
        struct msg_lease_grant grant = lease(&cluster);
        run(&cluster, grant.worker, 4, ACT_UID);
        _exit(expect_lost(&cluster).status == 5 ? 42 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    cluster_end(&cluster);
}

/* A crash names signal, task and function, static functions too; the next worker serves the job as
 * before. */
static void crash_with(enum act what, uint32_t signal, const char *function)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 41, ACT_NOTHING);
    run(&cluster, grant.worker, 42, what);
    struct msg_lease_lost lost = expect_lost(&cluster);
    assert_int_equal(lost.code, MOB_EWORKERDIED);
    assert_int_equal(lost.lease, grant.lease);
    assert_int_equal(lost.running, 42);
    assert_int_equal(lost.signal, signal);
    assert_true(view_is(lost.function, function));
    uint64_t dead = grant.worker;
    grant = lease(&cluster);
    assert_int_not_equal(grant.worker, dead);
    run(&cluster, grant.worker, 43, ACT_NOTHING);
    expect_done(&cluster, grant.worker, 43);
    cluster_end(&cluster);
}

MOB_TEST(crash_is_named)
{
    crash_with(ACT_CRASH, SIGSEGV, "crash_here");
}

MOB_TEST(wild_call_is_named)
{
    crash_with(ACT_WILD_CALL, SIGSEGV, "call_wild");
}

MOB_TEST(stack_overflow_is_named)
{
    crash_with(ACT_OVERFLOW, SIGSEGV, "overflow");
}

/* What a task printed before it aborted reaches the driver and the error, once each. */
MOB_TEST(abort_saves_output)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 5, ACT_ABORT);
    struct msg_lease_lost lost = expect_lost(&cluster);
    assert_true(view_is(lost.tail, "about to fail\n"));
    assert_int_equal(lost.signal, SIGABRT);
    assert_true(view_is(lost.function, "abort_here"));
    assert_true(expect_output(&cluster, 1, "half a line"));
    cluster_end(&cluster);
}

/* A worker that exits inside a task is an end like any other. */
MOB_TEST(exit_in_a_task)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 4, ACT_RAW);
    run(&cluster, grant.worker, 5, ACT_EXIT);
    struct msg_lease_lost lost = expect_lost(&cluster);
    assert_int_equal(lost.signal, 0);
    assert_int_equal(lost.status, 3);
    assert_int_equal(lost.running, 5);
    assert_true(view_is(lost.tail, "leaving\nraw line\n"));
    cluster_end(&cluster);
}

/* Lines come whole, and raw ones through the pipe. */
MOB_TEST(output_comes_in_lines)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 4, ACT_PRINT);
    expect_done(&cluster, grant.worker, 4);
    assert_true(expect_output(&cluster, 1, "one\ntwo\nthree"));
    run(&cluster, grant.worker, 5, ACT_RAW);
    assert_true(expect_output(&cluster, 2, "raw line\n"));
    cluster_end(&cluster);
}

/* Whatever a dead worker has started dies with it. */
MOB_TEST(grandchildren_die_with_their_worker)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    struct msg_lease_grant grant = lease(&cluster);
    unsigned before = cluster_processes(&cluster);
    run(&cluster, grant.worker, 4, ACT_CHILDREN);
    expect_done(&cluster, grant.worker, 4);
    assert_true(wait_until(cluster_processes(&cluster) == before + 3, 2000));
    run(&cluster, grant.worker, 5, ACT_CRASH);
    expect_lost(&cluster);
    lease(&cluster);
    assert_true(wait_until(cluster_processes(&cluster) == before, 2000));
    cluster_end(&cluster);
}

/* What other workers have started lives on, daemons in sessions of their own included. */
MOB_TEST(children_of_others_live)
{
    struct cluster cluster;
    struct msg_lease_grant grants[2];
    cluster_start(&cluster, "--cpus=2");
    cluster_join(&cluster, "");
    for (unsigned i = 0; i < 2; i++)
        grants[i] = lease_next(&cluster, i + 1);
    unsigned before = cluster_processes(&cluster);
    for (unsigned i = 0; i < 2; i++) {
        run(&cluster, grants[i].worker, 4, ACT_CHILDREN);
        expect_done(&cluster, grants[i].worker, 4);
    }
    assert_true(wait_until(cluster_processes(&cluster) == before + 6, 2000));
    run(&cluster, grants[0].worker, 5, ACT_CRASH);
    expect_lost(&cluster);
    lease_next(&cluster, 2);
    assert_true(wait_until(cluster_processes(&cluster) == before + 3, 2000));
    run(&cluster, grants[1].worker, 5, ACT_CRASH);
    expect_lost(&cluster);
    lease_next(&cluster, 2);
    assert_true(wait_until(cluster_processes(&cluster) == before, 2000));
    cluster_end(&cluster);
}

/* The program that a job names may end before it gets to mob_init: the job is told what it said. */
MOB_TEST(program_that_exits_is_explained)
{
    struct cluster cluster;
    struct cursor c;
    struct message_head head;
    struct msg_lease_denied denied;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "exits");
    struct msg_lease_want want = {.count = 1};
    toy_send(&cluster.driver, &cluster.driver.node, lease_want, &want);
    assert_true(toy_take(&cluster.driver, MSG_lease_denied, 0, wait_scaled_ms(5000), &c, &head));
    assert_true(msg_lease_denied_unpack(&c, &head, &denied));
    assert_int_equal(denied.code, MOB_EWORKERSTART);
    assert_true(view_has(denied.text, "ended before mob_init (exit 2)"));
    assert_true(view_has(denied.text, "wants an argument"));
    cluster_end(&cluster);
}

/* One that never gets there is killed, and said to have been late. */
MOB_TEST(program_that_hangs_is_explained)
{
    struct cluster cluster;
    struct cursor c;
    struct message_head head;
    struct msg_lease_denied denied;
    cluster_start(&cluster, "--start-worker-ms=200");
    cluster_join(&cluster, "hangs");
    struct msg_lease_want want = {.count = 1};
    toy_send(&cluster.driver, &cluster.driver.node, lease_want, &want);
    assert_true(toy_take(&cluster.driver, MSG_lease_denied, 0, wait_scaled_ms(5000), &c, &head));
    assert_true(msg_lease_denied_unpack(&c, &head, &denied));
    assert_int_equal(denied.code, MOB_EWORKERSTART);
    assert_true(view_has(denied.text, "did not reach mob_init"));
    cluster_end(&cluster);
}

/* A program with threads is started once for each worker. */
MOB_TEST(threads_mean_exec)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "threads");
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 4, ACT_CHILDREN);
    expect_done(&cluster, grant.worker, 4);
    run(&cluster, grant.worker, 5, ACT_ABORT);
    struct msg_lease_lost lost = expect_lost(&cluster);
    assert_int_equal(lost.running, 5);
    assert_true(view_is(lost.tail, "about to fail\n"));
    assert_true(wait_until(cluster_processes(&cluster) <= 2, 2000));
    grant = lease(&cluster);
    run(&cluster, grant.worker, 6, ACT_NOTHING);
    expect_done(&cluster, grant.worker, 6);
    cluster_end(&cluster);
}

/* A killed zygote takes its workers along, and the job goes on with another. */
MOB_TEST(zygote_is_replaced)
{
    struct cluster cluster;
    pid_t pids[64];
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    struct msg_lease_grant grant = lease(&cluster);
    run(&cluster, grant.worker, 4, ACT_CHILDREN);
    expect_done(&cluster, grant.worker, 4);
    unsigned count = processes_marked(cluster.mark, pids, 64);
    for (unsigned i = 0; i < count; i++)
        if (processes_count(pids[i]) > 0 && getsid(pids[i]) == pids[i] &&
            getpgid(pids[i]) == pids[i]) {
            /* The zygote is the parent of the worker: the oldest of them. */
            kill(pids[i], SIGKILL);
            break;
        }
    struct msg_lease_lost lost = expect_lost(&cluster);
    assert_int_equal(lost.worker, grant.worker);
    grant = lease(&cluster);
    run(&cluster, grant.worker, 6, ACT_NOTHING);
    expect_done(&cluster, grant.worker, 6);
    cluster_end(&cluster);
}

/* The driver's death, however sudden, ends everything of its job, what ignores SIGTERM included. */
MOB_TEST(driver_killed)
{
    struct cluster cluster;
    int fds[2];
    char byte;
    cluster_start(&cluster, NULL);
    assert_int_equal(pipe(fds), 0);
    pid_t driver = fork();
    if (driver == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        cluster_join(&cluster, "");
        struct msg_lease_grant grant = lease(&cluster);
        run(&cluster, grant.worker, 4, ACT_CHILDREN);
        expect_done(&cluster, grant.worker, 4);
        if (write(fds[1], "r", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_true(wait_until(cluster_processes(&cluster) >= 5, 2000));
    kill(driver, SIGKILL);
    waitpid(driver, NULL, 0);
    assert_true(wait_until(cluster_processes(&cluster) == 0, 2000));
    assert_false(program_ended(cluster.node));
    close(fds[0]);
    close(fds[1]);
    cluster_end(&cluster);
}

static void start_family(struct cluster *cluster)
{
    cluster_start(cluster, NULL);
    cluster_join(cluster, "");
    struct msg_lease_grant grant = lease(cluster);
    run(cluster, grant.worker, 4, ACT_CHILDREN);
    expect_done(cluster, grant.worker, 4);
    assert_true(wait_until(cluster_processes(cluster) >= 5, 2000));
}

/* Nothing that the node started outlives it, even when it has no time to say so. */
MOB_TEST(node_killed)
{
    struct cluster cluster;
    start_family(&cluster);
    kill(program_pid(cluster.node), SIGKILL);
    assert_true(wait_until(cluster_processes(&cluster) == 0, 2000));
    cluster_end(&cluster);
}

/* SIGTERM is a clean end. */
MOB_TEST(node_stopped)
{
    struct cluster cluster;
    start_family(&cluster);
    program_signal(cluster.node, SIGTERM);
    assert_int_equal(program_wait(cluster.node, 2000), 0);
    assert_int_equal(cluster_processes(&cluster), 0);
    cluster_end(&cluster);
}

/* A worker is there within milliseconds of the wish for one, and a node at rest is small and idle.
 */
MOB_TEST(figures)
{
    struct cluster cluster;
    cluster_start(&cluster, NULL);
    cluster_join(&cluster, "");
    uint64_t best_ns = UINT64_MAX;
    struct msg_lease_grant grant = lease(&cluster);
    for (uint64_t i = 1; i <= 10; i++) {
        run(&cluster, grant.worker, i, ACT_EXIT);
        expect_lost(&cluster);
        uint64_t before_ns = clock_now_ns();
        grant = lease(&cluster);
        uint64_t took_ns = clock_now_ns() - before_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    int64_t pss = processes_pss_bytes(program_pid(cluster.node));
    print_message("death to the next ready worker: %.2f ms; PSS of the node: %.1f MB\n",
                  (double)best_ns / 1e6, (double)pss / 1e6);
    if (sanitizer_lets_measure("PSS of the node"))
        assert_true(pss < 12 << 20);
    cluster_end(&cluster);
}

int main(int argc, char **argv)
{
    if (zygote_fd() >= 0)
        return program_main(argc, argv);
    sanitizer_leave_signals();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driver_is_welcomed),
        cmocka_unit_test(driver_with_a_descriptor),
        cmocka_unit_test(wrong_version_is_refused),
        cmocka_unit_test(long_environment_arrives),
        cmocka_unit_test(other_uid_is_refused),
        cmocka_unit_test(other_uid_is_let_in),
        cmocka_unit_test(crash_is_named),
        cmocka_unit_test(wild_call_is_named),
        cmocka_unit_test(stack_overflow_is_named),
        cmocka_unit_test(abort_saves_output),
        cmocka_unit_test(exit_in_a_task),
        cmocka_unit_test(output_comes_in_lines),
        cmocka_unit_test(grandchildren_die_with_their_worker),
        cmocka_unit_test(children_of_others_live),
        cmocka_unit_test(program_that_exits_is_explained),
        cmocka_unit_test(program_that_hangs_is_explained),
        cmocka_unit_test(threads_mean_exec),
        cmocka_unit_test(zygote_is_replaced),
        cmocka_unit_test(driver_killed),
        cmocka_unit_test(node_killed),
        cmocka_unit_test(node_stopped),
        cmocka_unit_test(figures),
    };
    return cmocka_run_group_tests_name("node_process", tests, NULL, NULL);
}
