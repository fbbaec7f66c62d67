/* Drivers on a head and a node that were started by hand. The program is
 * tests/programs/api_joined.c. */
#include "tests/support/test.h"

#include <dirent.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/processes.h"
#include "tests/support/tempdir.h"
#include "tests/support/user.h"
#include "tests/support/wait.h"

struct cluster {
    struct program *head, *node;
    char address[128], variable[160], local[64];
};

static struct program *daemon_start(const char *name, const char *option, const char *endpoint,
                                    const char *option2, const char *value)
{
    char *path = user_path(name);
    struct program *p =
        program_start((const char *const[]){path, option, endpoint, option2, value, NULL}, NULL);
    free(path);
    return p;
}

static void cluster_open_at(struct cluster *c, bool local)
{
    static int number;
    snprintf(c->local, sizeof c->local, "@mobula-test-api-%d-%d", getpid(), ++number);
    snprintf(c->address, sizeof c->address, "ipc://@mobula-test-head-%d-%d", getpid(), number);
    snprintf(c->variable, sizeof c->variable, "MOBULA_ADDRESS=%s", c->address);
    c->head = daemon_start("mobula-head", "--listen", c->address, NULL, NULL);
    assert_true(wait_until(strstr(program_stderr(c->head), "head.start") != NULL, 10000));
    char *path = user_path("mobula-node");
    c->node = program_start((const char *const[]){path, "--head", c->address, "--cpus", "2",
                                                  local ? "--local" : NULL, c->local, NULL},
                            NULL);
    free(path);
    assert_true(wait_until(strstr(program_stderr(c->node), "node.joined") != NULL, 10000));
}

static void cluster_open(struct cluster *c)
{
    cluster_open_at(c, true);
}

/* Only the daemons themselves are left: jobs that ended have taken their processes along. */
static void cluster_close(struct cluster *c)
{
    assert_true(wait_until(program_others(c->node) == 0, 2000));
    program_signal(c->node, SIGTERM);
    assert_int_equal(program_wait(c->node, 5000), 0);
    program_signal(c->head, SIGTERM);
    assert_int_equal(program_wait(c->head, 5000), 0);
    program_destroy(c->node);
    program_destroy(c->head);
}

static struct program *join(const struct cluster *c, const char *what)
{
    return user_start_with("api_joined", what, NULL, (const char *const[]){c->variable, NULL});
}

/* Two drivers at once on one cluster, each with right answers, and a third after them. */
MOB_TEST(two_drivers_at_once)
{
    struct cluster c;
    cluster_open(&c);
    struct program *a = join(&c, "busy"), *b = join(&c, "busy");
    user_ends(a, 0);
    user_ends(b, 0);
    user_ends(join(&c, "busy"), 0);
    cluster_close(&c);
}

/* A driver that is killed takes its workers along and nothing else. */
MOB_TEST(killed_driver_takes_its_workers)
{
    struct cluster c;
    cluster_open(&c);
    struct program *a = join(&c, "hangs");
    assert_true(wait_until(strstr(program_stdout(a), "joined") != NULL, 20000));
    struct program *b = join(&c, "busy");
    assert_true(wait_until(strstr(program_stdout(b), "joined") != NULL, 20000));
    program_signal(a, SIGKILL);
    user_ends(a, 128 + SIGKILL);
    user_ends(b, 0);
    cluster_close(&c);
}

static unsigned descriptors(struct program *p)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)program_pid(p));
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* Head and node keep no descriptor of drivers and workers that have ended, in whichever way. */
MOB_TEST(ended_drivers_leave_no_descriptor)
{
    enum { DRIVERS = 5 };
    struct cluster c;
    cluster_open(&c);
    user_ends(join(&c, "busy"), 0);
    unsigned head = descriptors(c.head), node = descriptors(c.node);
    for (int i = 0; i < DRIVERS; i++) {
        struct program *p = join(&c, "hangs");
        assert_true(wait_until(strstr(program_stdout(p), "joined") != NULL, 20000));
        program_signal(p, SIGKILL);
        user_ends(p, 128 + SIGKILL);
    }
    user_ends(join(&c, "busy"), 0);
    assert_true(wait_until(descriptors(c.node) <= node, 2000));
    assert_true(descriptors(c.head) <= head);
    cluster_close(&c);
}

/* A driver whose node is killed gets MOB_ENODEDIED from every call. */
MOB_TEST(killed_node)
{
    struct cluster c;
    cluster_open(&c);
    struct program *a = join(&c, "left_alone");
    assert_true(wait_until(strstr(program_stdout(a), "joined") != NULL, 20000));
    program_signal(c.node, SIGKILL);
    user_ends(a, 0);
    assert_int_equal(program_wait(c.node, 5000), 128 + SIGKILL);
    assert_true(wait_until(program_others(c.node) == 0, 2000));
    program_signal(c.head, SIGTERM);
    assert_int_equal(program_wait(c.head, 5000), 0);
    program_destroy(c.node);
    program_destroy(c.head);
}

/* A node that was given no socket for drivers has one all the same. */
MOB_TEST(node_without_a_local_socket)
{
    struct cluster c;
    cluster_open_at(&c, false);
    user_ends(join(&c, "busy"), 0);
    cluster_close(&c);
}

/* As another user, more connections than a node lets wait, on which nothing is said. */
static pid_t silent_strangers(const char *local)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, local + 1, strlen(local) - 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(local));
    int done[2];
    assert_int_equal(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setresuid(65534, 65534, 65534) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
            _exit(1);
        for (int i = 0; i < 100; i++) {
            int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
            if (connect(fd, (struct sockaddr *)&address, size) != 0)
                _exit(2);
        }
        close(done[1]);
        pause();
        _exit(3);
    }
    char byte;
    close(done[1]);
    assert_true(pid > 0 && read(done[0], &byte, 1) == 0);
    close(done[0]);
    return pid;
}

/* A user who may not come in cannot keep others out by connecting and saying nothing. Needs root,
 * to become another. */
MOB_TEST(strangers_lock_nobody_out)
{
    if (geteuid() != 0)
        skip();
    struct cluster c;
    cluster_open(&c);
    pid_t pid = silent_strangers(c.local);
    user_ends(join(&c, "busy"), 0);
    int status = 0;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    cluster_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_drivers_at_once),
        cmocka_unit_test(killed_driver_takes_its_workers),
        cmocka_unit_test(ended_drivers_leave_no_descriptor),
        cmocka_unit_test(killed_node),
        cmocka_unit_test(node_without_a_local_socket),
        cmocka_unit_test(strangers_lock_nobody_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
