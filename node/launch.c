/* launch.c: fork and exec.
 * The node has threads (libzmq's), so between fork and exec the child makes system calls and
 * nothing else: all that it needs is laid out before. posix_spawn was rejected because it can
 * neither set a parent-death signal nor execute a descriptor, and the descriptor is what makes a
 * program that was deleted or rebuilt since its start the same program.
 *
 * LD_PRELOAD and the like are passed on: the user's program needs them here as it did there, and it
 * runs as the user. */
#include "node/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/descendants.h"
#include "protocol/memory.h"

/* Descriptors are moved above these, so that putting them in their places overwrites none. */
enum { CONTROL_FD = 3, FIRST_FREE_FD = 10 };

static const char worker_fd_text[] = "MOBULA_WORKER_FD=3";
static const char worker_mark_text[] = DESCENDANTS_MARK "=00000000000000000000";

static struct rlimit files_before;

void launch_raise_files(void)
{
    if (getrlimit(RLIMIT_NOFILE, &files_before) != 0)
        return;
    struct rlimit all = {files_before.rlim_max, files_before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &all);
}

int launch_owner_init(struct launch_owner *owner, int control_fd, const struct control_peer *peer,
                      struct mob_err *err)
{
    *owner = (struct launch_owner){.uid = peer->uid, .gid = peer->gid};
    socklen_t size = sizeof owner->groups;
    if (getsockopt(control_fd, SOL_SOCKET, SO_PEERGROUPS, owner->groups, &size) == 0)
        owner->group_count = (int)(size / sizeof owner->groups[0]);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)peer->pid);
    owner->exe_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (owner->exe_fd < 0)
        return mob_err_system(
            err,
            "opening the driver's program through %s (another user's takes a node "
            "that is root with CAP_SYS_PTRACE)",
            path);
    return MOB_OK;
}

void launch_owner_fini(struct launch_owner *owner)
{
    if (owner->exe_fd > 0)
        close(owner->exe_fd);
    *owner = (struct launch_owner){.exe_fd = -1};
}

/* ---- what the child needs ---- */

struct plan {
    int exe_fd, null_fd, out_fd, err_fd, control_fd;
    char *directory;
    char **arguments, **environment;
    const struct launch_owner *become; /* NULL: stay who we are */
    pid_t parent;
};

static char *copy_view(struct view v)
{
    char *text = memory_alloc(v.size + 1);
    if (text == NULL)
        abort();
    if (v.size > 0)
        memcpy(text, v.data, v.size);
    text[v.size] = '\0';
    return text;
}

static bool is_dropped(struct view v)
{
    static const char *const prefixes[] = {"MOBULA_WORKER_", "ZSYS_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (v.size >= strlen(prefixes[i]) && memcmp(v.data, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* A NULL-terminated array with room for two more. */
static char **copy_list(const struct msg_list *list, bool environment)
{
    char **texts = memory_zalloc(((size_t)list->count + 3) * sizeof *texts);
    if (texts == NULL)
        abort();
    struct cursor c = cursor_of(list->data, list->size);
    struct msg_string item;
    size_t used = 0;
    for (uint32_t i = 0; i < list->count && msg_string_unpack_item(&c, &item); i++)
        if (!environment || !is_dropped(item.text))
            texts[used++] = copy_view(item.text);
    if (environment) {
        texts[used++] = copy_view(view_of(worker_fd_text));
        texts[used++] = copy_view(view_of(worker_mark_text));
    }
    return texts;
}

static void free_list(char **texts)
{
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
        memory_free(texts[i]);
    memory_free(texts);
}

static int raise_fd(int fd)
{
    int raised = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    close(fd);
    return raised;
}

/* ---- the child: system calls only ---- */

static void child_say(const char *what, const char *name)
{
    const char *reason = strerrordesc_np(errno);
    const char *parts[] = {"mobula-node: ", what, name, ": ", reason != NULL ? reason : "?", "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
            break;
    _exit(127);
}

static void child_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++)
        sigaction(s, &action, NULL); /* SIGKILL and SIGSTOP refuse. */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_run(const struct plan *plan)
{
    setsid();
    child_signals();
    if (dup2(plan->null_fd, STDIN_FILENO) < 0 || dup2(plan->out_fd, STDOUT_FILENO) < 0 ||
        dup2(plan->err_fd, STDERR_FILENO) < 0 || dup2(plan->control_fd, CONTROL_FD) < 0 ||
        syscall(SYS_close_range, CONTROL_FD + 1, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0)
        child_say("setting up descriptors for a program", "");
    if (files_before.rlim_cur != 0)
        setrlimit(RLIMIT_NOFILE, &files_before);
    if (plan->become != NULL &&
        (setgroups((size_t)plan->become->group_count, plan->become->groups) != 0 ||
         setresgid(plan->become->gid, plan->become->gid, plan->become->gid) != 0 ||
         setresuid(plan->become->uid, plan->become->uid, plan->become->uid) != 0))
        child_say("becoming the driver's user", "");
    /* After the change of user, which clears it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan->parent)
        _exit(127);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (plan->directory[0] != '\0' && chdir(plan->directory) != 0)
        child_say("changing to the driver's directory ", plan->directory);
    syscall(SYS_execveat, plan->exe_fd, "", plan->arguments, plan->environment, AT_EMPTY_PATH);
    child_say("executing the driver's program ",
              plan->arguments[0] != NULL ? plan->arguments[0] : "");
}

/* ---- the parent ---- */

/* Both ends of two pipes and of the control socket; the child's ends are high. */
static int open_channels(struct launch *launch, struct plan *plan, struct mob_err *err)
{
    int out[2], errors[2], control[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return mob_err_system(err, "making a pipe for a program");
    lines_init(&launch->out, out[0], 1, NULL, NULL);
    plan->out_fd = raise_fd(out[1]);
    if (pipe2(errors, O_CLOEXEC) != 0)
        return mob_err_system(err, "making a pipe for a program");
    lines_init(&launch->err, errors[0], 2, NULL, NULL);
    plan->err_fd = raise_fd(errors[1]);
    int rc = control_pair(control, err);
    if (rc != MOB_OK)
        return rc;
    launch->control.fd = control[0];
    plan->control_fd = raise_fd(control[1]);
    plan->null_fd = raise_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (plan->out_fd < 0 || plan->err_fd < 0 || plan->control_fd < 0 || plan->null_fd < 0)
        return mob_err_system(err, "opening descriptors for a program");
    return MOB_OK;
}

static void plan_fini(struct plan *plan)
{
    const int fds[] = {plan->exe_fd, plan->null_fd, plan->out_fd, plan->err_fd, plan->control_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    memory_free(plan->directory);
    free_list(plan->arguments);
    free_list(plan->environment);
}

int launch_start(struct launch *launch, const struct launch_owner *owner,
                 const struct msg_client_hello *package, struct mob_err *err)
{
    struct plan plan = {.exe_fd = fcntl(owner->exe_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD),
                        .null_fd = -1,
                        .out_fd = -1,
                        .err_fd = -1,
                        .control_fd = -1,
                        .directory = copy_view(package->directory),
                        .arguments = copy_list(&package->arguments, false),
                        .environment = copy_list(&package->environment, true),
                        .become = geteuid() == 0 && owner->uid != 0 ? owner : NULL,
                        .parent = getpid()};
    launch->control.fd = launch->out_watch.fd = launch->err_watch.fd = -1;
    lines_init(&launch->out, -1, 1, NULL, NULL);
    lines_init(&launch->err, -1, 2, NULL, NULL);
    int rc = open_channels(launch, &plan, err);
    if (rc == MOB_OK) {
        launch->pid = fork();
        if (launch->pid == 0)
            child_run(&plan);
        if (launch->pid < 0) {
            launch->pid = 0;
            rc = mob_err_system(err, "starting a program: fork");
        }
    }
    plan_fini(&plan);
    if (rc != MOB_OK)
        launch_fini(launch, NULL);
    return rc;
}

static void close_watch(struct watch *watch, struct loop *loop)
{
    int fd = watch->fd;
    if (loop != NULL)
        loop_remove(loop, watch);
    if (fd >= 0)
        close(fd);
    watch->fd = -1;
}

void launch_fini(struct launch *launch, struct loop *loop)
{
    close_watch(&launch->control, loop);
    if (loop != NULL) {
        loop_remove(loop, &launch->out_watch);
        loop_remove(loop, &launch->err_watch);
    }
    lines_fini(&launch->out);
    lines_fini(&launch->err);
}

void launch_explain(const struct launch *launch, int status, bool timed_out, char *text,
                    size_t size)
{
    char how[64], tail[256];
    if (WIFSIGNALED(status) && !timed_out)
        snprintf(how, sizeof how, "signal %d, %s", WTERMSIG(status),
                 sigdescr_np(WTERMSIG(status)) != NULL ? sigdescr_np(WTERMSIG(status)) : "?");
    else
        snprintf(how, sizeof how, "exit %d", WEXITSTATUS(status));
    size_t tail_size = lines_tail(&launch->err, 0, tail, sizeof tail);
    while (tail_size > 0 && tail[tail_size - 1] == '\n')
        tail_size--;
    const char *when = launch->ready ? "as a zygote" : "before mob_init";
    int used = timed_out ? snprintf(text, size, "the program did not reach mob_init in time")
                         : snprintf(text, size, "the program ended %s (%s)", when, how);
    if (tail_size > 0 && used > 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, "; its stderr: %.*s", (int)tail_size, tail);
}
