/* zygote.c: one loop over two descriptors: the node's requests and the deaths of children.
 *
 * The death of a worker takes its descendants along before it is reported, so that the node may
 * give its cpu and its extents away. A worker's status is therefore kept until no descendant is
 * left, but no longer than ORPHANS_MS: one that hangs in the kernel must not hide the death.
 *
 * The zygote has no PDEATHSIG while it serves: it sees the control socket close, and then has the
 * time to end the descendants of its workers, which a SIGKILL would leave behind. */
#include "libclient/zygote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libclient/crash.h"
#include "protocol/clock.h"
#include "protocol/descendants.h"
#include "protocol/memory.h"

#define WORKER_FD_VARIABLE "MOBULA_WORKER_FD"

enum { ORPHANS_MS = 300, WORKERS_START = 16 };

struct forked {
    uint64_t process;
    pid_t pid;
    bool ended;
    int status; /* of waitpid */
};

struct zygote {
    int control_fd, signal_fd;
    pid_t session;
    sigset_t mask_before;
    struct sigaction child_before;
    struct forked *workers;
    size_t worker_count, worker_room;
    uint64_t give_up_ms; /* when deaths are reported although descendants are left; UINT64_MAX =
                            none wait */
};

/* Reported coverage must survive _exit; the symbol is there only in coverage builds. */
void __gcov_dump(void) __attribute__((weak));

static void quit(int status) __attribute__((noreturn));
static void quit(int status)
{
    if (__gcov_dump != NULL)
        __gcov_dump();
    _exit(status);
}

int zygote_fd(void)
{
    static int known = -2;
    if (known != -2)
        return known;
    known = -1;
    const char *text = getenv(WORKER_FD_VARIABLE);
    if (text == NULL)
        return known;
    char *end;
    long fd = strtol(text, &end, 10);
    int type = 0;
    socklen_t size = sizeof type;
    /* A variable that was left over, or made up, names no such socket. */
    if (end != text && *end == '\0' && fd > 2 && fd < 1 << 20 &&
        getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0)
        known = (int)fd;
    unsetenv(WORKER_FD_VARIABLE);
    return known;
}

static bool has_one_thread(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return false;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count == 1;
}

/* The node starts the program by descriptor, which leaves it a number for a name. */
static void name_process(void)
{
    char path[256];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    const char *base = strrchr(path, '/');
    prctl(PR_SET_NAME, base != NULL ? base + 1 : path);
}

/* ---- talking to the node ---- */

static int send_message(int fd, const struct buffer *bytes, struct mob_err *err)
{
    struct view message = {buffer_head(bytes), buffer_size(bytes)};
    int rc;
    while ((rc = control_send(fd, message, NULL, 0, err)) == MOB_EAGAIN) {
        struct pollfd writable = {.fd = fd, .events = POLLOUT};
        poll(&writable, 1, 100);
    }
    return rc;
}

static int send_ready(int fd, bool forks, uint64_t functions, struct mob_err *err)
{
    struct buffer bytes = {0};
    struct msg_zygote_ready m = {.forks = forks, .functions = functions};
    int rc = msg_zygote_ready_pack(&bytes, &m);
    if (rc == MOB_OK)
        rc = send_message(fd, &bytes, err);
    buffer_fini(&bytes);
    return rc;
}

static int send_forked(int fd, uint64_t process, pid_t pid, struct mob_err *err)
{
    struct buffer bytes = {0};
    struct msg_zygote_forked m = {.process = process, .pid = (uint64_t)pid};
    int rc = msg_zygote_forked_pack(&bytes, &m);
    if (rc == MOB_OK)
        rc = send_message(fd, &bytes, err);
    buffer_fini(&bytes);
    return rc;
}

static int send_exited(int fd, uint64_t process, int status, struct mob_err *err)
{
    struct buffer bytes = {0};
    struct msg_zygote_exited m = {.process = process,
                                  .signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0,
                                  .status = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0};
    int rc = msg_zygote_exited_pack(&bytes, &m);
    if (rc == MOB_OK)
        rc = send_message(fd, &bytes, err);
    buffer_fini(&bytes);
    return rc;
}

/* ---- deaths ---- */

static bool is_alive(const struct zygote *z, pid_t pid, uint64_t process)
{
    for (size_t i = 0; i < z->worker_count; i++) {
        const struct forked *w = &z->workers[i];
        if (!w->ended && (w->pid == pid || w->process == process))
            return true;
    }
    return false;
}

/* Workers that live, what belongs to one by its session or mark, and what the program started
 * before mob_init. */
static bool spare(pid_t pid, void *context)
{
    const struct zygote *z = context;
    pid_t session = getsid(pid);
    if (session == z->session || is_alive(z, pid, 0) || is_alive(z, session, 0))
        return true;
    uint64_t process = descendants_mark(pid);
    return process != 0 && is_alive(z, 0, process);
}

static bool spare_none(pid_t pid, void *context)
{
    (void)pid;
    (void)context;
    return false;
}

static struct forked *find_pid(struct zygote *z, pid_t pid)
{
    for (size_t i = 0; i < z->worker_count; i++)
        if (z->workers[i].pid == pid && !z->workers[i].ended)
            return &z->workers[i];
    return NULL;
}

/* Reap whatever has died. A worker's group is killed before its pid is free to be used again. */
static void reap(struct zygote *z)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        pid_t pid = info.si_pid;
        struct forked *w = find_pid(z, pid);
        if (w != NULL)
            kill(-pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        if (w != NULL) {
            w->ended = true;
            w->status = status;
            if (z->give_up_ms == UINT64_MAX)
                z->give_up_ms = clock_now_ms() + ORPHANS_MS;
        }
        info.si_pid = 0;
    }
}

static void bury(struct zygote *z)
{
    reap(z);
    if (z->give_up_ms == UINT64_MAX)
        return;
    if (descendants_kill(spare, z) > 0 && clock_now_ms() < z->give_up_ms)
        return;
    z->give_up_ms = UINT64_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < z->worker_count; i++) {
        struct forked *w = &z->workers[i];
        if (!w->ended)
            z->workers[kept++] = *w;
        else if (send_exited(z->control_fd, w->process, w->status, NULL) != MOB_OK)
            break; /* The node is gone: the loop sees it next. */
    }
    z->worker_count = kept;
}

/* The node is gone: end all that is below, then this process. */
static void end_all(struct zygote *z)
{
    uint64_t until = clock_now_ms() + 2000;
    do {
        struct pollfd child = {.fd = z->signal_fd, .events = POLLIN};
        struct signalfd_siginfo info;
        bool left = descendants_kill(spare_none, NULL) > 0;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            left = true;
        if (!left)
            break;
        poll(&child, 1, 20);
        if (read(z->signal_fd, &info, sizeof info) < 0)
            continue;
    } while (clock_now_ms() < until);
    quit(0);
}

/* ---- births ---- */

/* In the worker: stop being a zygote. */
static int become_worker(struct zygote *z, struct view welcome, struct control_packet *packet,
                         bool forked, void (*dump)(void), struct connection *out,
                         struct mob_err *err)
{
    if (forked) {
        setsid();
        close(z->signal_fd);
        close(z->control_fd);
        memory_free(z->workers);
        sigaction(SIGCHLD, &z->child_before, NULL);
        sigprocmask(SIG_SETMASK, &z->mask_before, NULL);
    }
    int rc = connection_adopt(out, welcome, packet, err);
    if (rc != MOB_OK)
        return rc;
    if (dup2(packet->fds[CONNECTION_STDOUT], STDOUT_FILENO) < 0 ||
        dup2(packet->fds[CONNECTION_STDERR], STDERR_FILENO) < 0)
        return mob_err_system(err, "giving the worker its output pipes");
    descendants_mark_own(out->welcome.process);
    crash_install(out->report, dump);
    return MOB_OK;
}

static bool room_for_one(struct zygote *z)
{
    if (z->worker_count < z->worker_room)
        return true;
    size_t room = z->worker_room == 0 ? WORKERS_START : 2 * z->worker_room;
    struct forked *workers = memory_realloc(z->workers, room * sizeof *workers);
    if (workers == NULL)
        return false;
    z->workers = workers;
    z->worker_room = room;
    return true;
}

static uint64_t process_of(struct view welcome)
{
    struct cursor c = cursor_of(welcome.data, welcome.size);
    struct message_head head;
    struct msg_client_welcome m;
    return message_next(&c, &head) && head.number == MSG_client_welcome &&
                   msg_client_welcome_unpack(&c, &head, &m)
               ? m.process
               : 0;
}

/* Returns true in the new worker. */
static bool fork_worker(struct zygote *z, uint64_t process)
{
    pid_t zygote = getpid();
    pid_t pid = room_for_one(z) ? fork() : -1;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_CHILD_SUBREAPER, 0);
        if (getppid() != zygote)
            _exit(127);
        return true;
    }
    if (pid < 0) {
        /* As a worker that ended at once. */
        if (send_exited(z->control_fd, process, 127 << 8, NULL) != MOB_OK)
            return false;
        fprintf(stderr, "mobula: the zygote cannot fork a worker: %s\n", strerror(errno));
        return false;
    }
    z->workers[z->worker_count++] = (struct forked){.process = process, .pid = pid};
    /* A failure shows as the end of the socket. */
    int rc = send_forked(z->control_fd, process, pid, NULL);
    (void)rc;
    return false;
}

/* The next zygote_fork. MOB_EPEERDIED when the node is gone. */
static int receive_fork(int fd, struct control_packet *packet, struct view *welcome, int timeout_ms,
                        struct mob_err *err)
{
    int rc = control_receive(fd, packet, timeout_ms, err);
    if (rc != MOB_OK)
        return rc;
    struct cursor c;
    struct message_head head;
    struct msg_zygote_fork m;
    if (!control_packet_read(packet, &c, &head) || head.number != MSG_zygote_fork ||
        !msg_zygote_fork_unpack(&c, &head, &m))
        return mob_err_set(err, MOB_EPROTO, "the node sent the zygote something else than a fork");
    *welcome = m.welcome;
    return MOB_OK;
}

/* One process, one worker: this one. */
static int run_single(int control_fd, void (*dump)(void), struct connection *out,
                      struct mob_err *err)
{
    struct control_packet packet = {0};
    struct view welcome;
    int rc = receive_fork(control_fd, &packet, &welcome, -1, err);
    if (rc == MOB_EPEERDIED)
        quit(0);
    if (rc == MOB_OK)
        rc = send_forked(control_fd, process_of(welcome), getpid(), err);
    if (rc == MOB_OK)
        rc = become_worker(NULL, welcome, &packet, false, dump, out, err);
    control_packet_fini(&packet);
    close(control_fd);
    return rc;
}

static void zygote_setup(struct zygote *z, int control_fd)
{
    *z = (struct zygote){.control_fd = control_fd, .session = getsid(0), .give_up_ms = UINT64_MAX};
    /* Text that main printed before mob_init must not come out of every worker. */
    fflush(NULL);
    crash_prepare();
    struct sigaction child = {.sa_handler = SIG_DFL};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaction(SIGCHLD, &child, &z->child_before);
    sigprocmask(SIG_BLOCK, &mask, &z->mask_before);
    z->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, 0);
}

int zygote_run(int control_fd, uint64_t functions, void (*dump)(void), struct connection *out,
               struct mob_err *err)
{
    name_process();
    bool forks = has_one_thread();
    int rc = send_ready(control_fd, forks, functions, err);
    if (rc != MOB_OK)
        quit(0);
    if (!forks)
        return run_single(control_fd, dump, out, err);
    struct zygote z;
    zygote_setup(&z, control_fd);
    for (;;) {
        struct pollfd polls[2] = {{.fd = control_fd, .events = POLLIN},
                                  {.fd = z.signal_fd, .events = POLLIN}};
        poll(polls, 2, z.give_up_ms != UINT64_MAX ? 20 : -1);
        struct signalfd_siginfo info;
        if (read(z.signal_fd, &info, sizeof info) > 0 || z.give_up_ms != UINT64_MAX)
            bury(&z);
        if (polls[0].revents == 0)
            continue;
        struct control_packet packet = {0};
        struct view welcome;
        rc = receive_fork(control_fd, &packet, &welcome, 0, err);
        if (rc == MOB_OK && fork_worker(&z, process_of(welcome))) {
            rc = become_worker(&z, welcome, &packet, true, dump, out, err);
            control_packet_fini(&packet);
            return rc;
        }
        control_packet_fini(&packet);
        if (rc != MOB_OK && rc != MOB_ETIMEDOUT)
            end_all(&z);
    }
}
