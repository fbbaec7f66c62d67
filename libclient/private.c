/* private.c: a cluster of one's own. The driver starts mobula-head and mobula-node with three
 * inherited descriptors each: the secret that head and node share, a pidfd of the driver, whose end
 * ends them, and a pipe on which each says that it serves, or why it cannot. The node gets a
 * fourth: its end of the driver's control socket, so nothing of a private cluster has a name in the
 * file system. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libclient/cluster.h"

enum { TOKEN_SIZE = 32, ARGV_MAX = 32, FIRST_FD = 3, FDS_MAX = 4, STOP_TIMEOUT_MS = 2000 };

static struct {
    pid_t head, node;
} cluster;

/* ---- finding the programs ---- */

/* The folder of the file that this code was loaded from: the library, or the executable it is
 * linked into. */
static void folder_of_library(char *folder, size_t size)
{
    Dl_info info;
    folder[0] = '\0';
    if (dladdr((void *)(uintptr_t)&cluster_start, &info) == 0 || info.dli_fname == NULL)
        return;
    const char *slash = strrchr(info.dli_fname, '/');
    if (slash != NULL && (size_t)(slash - info.dli_fname) < size)
        snprintf(folder, size, "%.*s", (int)(slash - info.dli_fname), info.dli_fname);
}

static int program_find(const struct mob_config *config, const char *name, char *path, size_t size,
                        struct mob_err *err)
{
    char beside[2048];
    folder_of_library(beside, sizeof beside);
    const char *places[] = {config->libexec, getenv("MOBULA_LIBEXEC"), beside, MOBULA_LIBEXEC_DIR};
    char tried[384] = "";
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i] == NULL || places[i][0] == '\0')
            continue;
        snprintf(path, size, "%s/%s", places[i], name);
        if (access(path, X_OK) == 0)
            return MOB_OK;
        size_t used = strlen(tried);
        snprintf(tried + used, sizeof tried - used, "%s%.120s", used > 0 ? ", " : "", places[i]);
    }
    return mob_err_set(err, MOB_ENOCHILD, "%s is in none of: %s; set MOBULA_LIBEXEC to its folder",
                       name, tried);
}

/* ---- starting one ---- */

struct child {
    const char *name;
    char path[2304];
    char *argv[ARGV_MAX];
    char text[ARGV_MAX][160];
    unsigned argc, fd_count;
    int fds[FDS_MAX]; /* become FIRST_FD and up in the child */
    int ready;        /* our end of its ready pipe */
};

static void argument(struct child *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void argument(struct child *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->text[c->argc], sizeof c->text[0], format, args);
    va_end(args);
    c->argv[c->argc] = c->text[c->argc];
    c->argc++;
}

static void descriptor(struct child *c, const char *option, int fd)
{
    argument(c, "%s", option);
    argument(c, "%u", FIRST_FD + c->fd_count);
    c->fds[c->fd_count++] = fd;
}

static int child_spawn(struct child *c, pid_t *pid, struct mob_err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    const char *log = getenv("MOBULA_LOG");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (log == NULL)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    else if (log[0] == '/')
        posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    /* First out of the way, then to their places: a source may lie where another's place is. */
    int high[FDS_MAX], error = 0;
    for (unsigned i = 0; i < c->fd_count; i++) {
        high[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, FIRST_FD + FDS_MAX);
        error = high[i] < 0 ? errno : error;
        posix_spawn_file_actions_adddup2(&actions, high[i], FIRST_FD + (int)i);
    }
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    extern char **environ;
    if (error == 0)
        error = posix_spawn(pid, c->path, &actions, &attr, c->argv, environ);
    for (unsigned i = 0; i < c->fd_count; i++)
        if (high[i] >= 0)
            close(high[i]);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0)
        return MOB_OK;
    errno = error;
    return mob_err_system(err, "cannot start %s", c->path);
}

/* A secret of our own in a pipe, to be read once. */
static int token_pipe(const uint8_t *token, int *fd, struct mob_err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return mob_err_system(err, "cannot make a pipe");
    ssize_t n = write(fds[1], token, TOKEN_SIZE);
    close(fds[1]);
    if (n != TOKEN_SIZE) {
        close(fds[0]);
        return mob_err_system(err, "cannot write to a pipe");
    }
    *fd = fds[0];
    return MOB_OK;
}

/* Start it with the descriptors that both programs get. */
static int child_start(struct child *c, const struct mob_config *config, const uint8_t *token,
                       pid_t *pid, struct mob_err *err)
{
    int token_fd = -1, life = -1, ready[2] = {-1, -1};
    int rc = program_find(config, c->name, c->path, sizeof c->path, err);
    if (rc == MOB_OK)
        rc = token_pipe(token, &token_fd, err);
    if (rc == MOB_OK && pipe2(ready, O_CLOEXEC) != 0)
        rc = mob_err_system(err, "cannot make a pipe");
    if (rc == MOB_OK && (life = (int)syscall(SYS_pidfd_open, getpid(), 0)) < 0)
        rc = mob_err_system(err, "cannot open a pidfd");
    if (rc == MOB_OK) {
        descriptor(c, "--token-fd", token_fd);
        descriptor(c, "--life-fd", life);
        descriptor(c, "--ready-fd", ready[1]);
        c->argv[c->argc] = NULL;
        rc = child_spawn(c, pid, err);
    }
    for (unsigned i = 0; i < 3; i++) {
        int fd = i == 0 ? token_fd : i == 1 ? life : ready[1];
        if (fd >= 0)
            close(fd);
    }
    c->ready = ready[0];
    return rc;
}

/* Wait for its line: "ready ..." or what went wrong; the end of the pipe means that it has died. */
static int child_await(struct child *c, int timeout_ms, struct mob_err *err)
{
    char line[400];
    size_t size = 0;
    struct pollfd p = {.fd = c->ready, .events = POLLIN};
    while (size < sizeof line - 1 && memchr(line, '\n', size) == NULL) {
        int n = poll(&p, 1, timeout_ms);
        if (n < 0 && errno == EINTR)
            continue;
        ssize_t got = n > 0 ? read(c->ready, line + size, sizeof line - 1 - size) : 0;
        if (n <= 0)
            return mob_err_set(err, MOB_ESTARTUP, "%s did not say within %d ms that it serves",
                               c->path, timeout_ms);
        if (got <= 0)
            return mob_err_set(
                err, MOB_ESTARTUP,
                "%s ended before it served; set MOBULA_LOG=stderr to see what it says", c->path);
        size += (size_t)got;
    }
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "ready", 5) == 0)
        return MOB_OK;
    return mob_err_set(err, MOB_ESTARTUP, "%s: %s", c->name, line);
}

/* ---- the cluster ---- */

static void head_describe(struct child *c, const char *endpoint)
{
    argument(c, "%s", c->name);
    argument(c, "--listen");
    argument(c, "%s", endpoint);
}

static void node_describe(struct child *c, const struct mob_config *config, const char *endpoint,
                          int driver_fd)
{
    argument(c, "%s", c->name);
    argument(c, "--head");
    argument(c, "%s", endpoint);
    if (config->cpus != 0)
        argument(c, "--cpus=%" PRIu32, config->cpus);
    if (config->workers_max != 0)
        argument(c, "--workers-max=%" PRIu32, config->workers_max);
    if (config->store_bytes != 0)
        argument(c, "--store=%" PRIu64, config->store_bytes);
    if (config->inline_bytes_max != 0)
        argument(c, "--inline-max=%" PRIu32, config->inline_bytes_max);
    descriptor(c, "--driver-fd", driver_fd);
}

int cluster_start(const struct cluster_want *want, struct connection *out, struct mob_err *err)
{
    uint8_t token[TOKEN_SIZE];
    uint64_t name;
    char endpoint[64];
    int pair[2] = {-1, -1};
    struct child head = {.name = "mobula-head", .ready = -1},
                 node = {.name = "mobula-node", .ready = -1};
    if (getrandom(token, sizeof token, 0) != sizeof token ||
        getrandom(&name, sizeof name, 0) != sizeof name)
        return mob_err_system(err, "no random bytes");
    snprintf(endpoint, sizeof endpoint, "ipc://@mobula-%d-%016" PRIx64, (int)getpid(), name);
    int rc = control_pair(pair, err);
    if (rc != MOB_OK)
        return rc;
    head_describe(&head, endpoint);
    node_describe(&node, want->config, endpoint, pair[1]);
    rc = child_start(&head, want->config, token, &cluster.head, err);
    if (rc == MOB_OK)
        rc = child_start(&node, want->config, token, &cluster.node, err);
    close(pair[1]);
    if (rc == MOB_OK)
        rc = child_await(&head, want->timeout_ms, err);
    if (rc == MOB_OK)
        rc = child_await(&node, want->timeout_ms, err);
    if (rc == MOB_OK)
        rc = cluster_greet(want, pair[0], out, err);
    if (head.ready >= 0)
        close(head.ready);
    if (node.ready >= 0)
        close(node.ready);
    if (rc == MOB_OK)
        return rc;
    close(pair[0]);
    cluster_stop();
    return rc;
}

/* The node ends by itself when its driver has gone, and the head when told; one that does not is
 * killed. */
static void child_reap(pid_t *pid, int timeout_ms)
{
    if (*pid <= 0)
        return;
    int fd = (int)syscall(SYS_pidfd_open, *pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (fd >= 0 && poll(&p, 1, timeout_ms) < 0 && errno == EINTR)
        continue;
    if ((p.revents & POLLIN) == 0)
        kill(*pid, SIGKILL);
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (fd >= 0)
        close(fd);
    *pid = 0;
}

void cluster_stop(void)
{
    if (cluster.node > 0)
        kill(cluster.node, SIGTERM);
    child_reap(&cluster.node, STOP_TIMEOUT_MS);
    if (cluster.head > 0)
        kill(cluster.head, SIGTERM);
    child_reap(&cluster.head, STOP_TIMEOUT_MS);
}
