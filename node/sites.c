/* sites.c: what a job has on this node, and the processes that run for it.
 *
 * The node's children are launches, and, since it is a subreaper, whatever lost its parent below
 * them. Workers are children of their zygote, which reports their ends; when a zygote itself dies
 * they die with it and are reaped here. Whoever is neither a launch nor belongs to a worker that
 * lives is killed, as often as something dies, until none is left: no process can get away by
 * forking twice, making a session, or ignoring SIGTERM. */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <poll.h>
#include <unistd.h>

#include "node/shell_state.h"
#include "protocol/clock.h"
#include "protocol/descendants.h"
#include "protocol/log.h"

enum { SWEEP_MS = 20 };

struct site *sites_find(struct shell *shell, struct mob_job job)
{
    struct site *site;
    DL_SEARCH_SCALAR(shell->sites, site, job.v, job.v);
    return site;
}

struct site *sites_add(struct shell *shell, struct mob_job job, struct greeting *greeting)
{
    struct site *site = sites_find(shell, job);
    if (site == NULL) {
        site = memory_zalloc(sizeof *site);
        if (site == NULL)
            abort();
        site->shell = shell;
        site->job = job;
        site->arena.fd = -1;
        site->owner.exe_fd = -1;
        DL_APPEND(shell->sites, site);
    }
    if (greeting != NULL && site->owner.exe_fd < 0) {
        site->owner = greeting->owner;
        greeting->owner.exe_fd = -1;
    }
    return site;
}

/* ---- launches ---- */

static void launch_destroy(struct launch *launch)
{
    struct site *site = launch->owner;
    DL_DELETE(site->launches, launch);
    launch_fini(launch, &site->shell->loop);
    memory_free(launch);
}

static void launch_kill(const struct launch *launch)
{
    if (launch->pid > 0)
        kill(launch->pid, SIGKILL);
}

/* Workers that have waited for this launch: all that have no other, or the one that it is for. */
static void send_forks(struct site *site, struct launch *launch)
{
    struct member *m, *after;
    DL_FOREACH_SAFE(site->members, m, after)
    {
        if (m->driver || m->asked || (m->launch != NULL && m->launch != launch))
            continue;
        if (!launch->forks && launch->worker != 0 && launch->worker != m->channel.process.v)
            continue;
        if (!launch->forks)
            launch->worker = m->channel.process.v;
        m->launch = launch;
        members_send_fork(m);
    }
}

static void on_zygote_message(struct launch *launch, const struct control_packet *packet)
{
    struct site *site = launch->owner;
    struct shell *shell = site->shell;
    struct cursor c;
    struct message_head head;
    struct msg_zygote_ready ready;
    struct msg_zygote_forked forked;
    struct msg_zygote_exited exited;
    struct member *m = NULL;
    if (!control_packet_read(packet, &c, &head))
        return;
    if (head.number == MSG_zygote_ready && msg_zygote_ready_unpack(&c, &head, &ready)) {
        launch->ready = true;
        launch->forks = ready.forks;
        launch->give_up_ms = UINT64_MAX;
        site->execs = !ready.forks;
        send_forks(site, launch);
        node_core_zygote_ready(shell->core, site->job, shell->now_ms);
    } else if (head.number == MSG_zygote_forked && msg_zygote_forked_unpack(&c, &head, &forked)) {
        m = member_find(shell, (struct mob_process){forked.process});
        if (m != NULL && m->launch == launch && m->pid == 0 && forked.pid <= INT32_MAX)
            members_forked(m, (pid_t)forked.pid);
        send_forks(site, launch); /* Its socket may have been full. */
    } else if (head.number == MSG_zygote_exited && msg_zygote_exited_unpack(&c, &head, &exited)) {
        m = member_find(shell, (struct mob_process){exited.process});
        if (m != NULL && m->launch == launch && launch->forks)
            members_ended(m, exited.signal != 0 ? (int)(exited.signal & 0x7f)
                                                : (int)(exited.status & 0xff) << 8);
    }
}

/* All that it has sent; its end is noticed when it is reaped. */
static void read_zygote(struct launch *launch)
{
    struct control_packet packet = {0};
    while (control_receive(launch->control.fd, &packet, 0, NULL) == MOB_OK)
        on_zygote_message(launch, &packet);
    control_packet_fini(&packet);
}

static void on_zygote(struct watch *watch, uint32_t events)
{
    struct launch *launch = (struct launch *)((char *)watch - offsetof(struct launch, control));
    struct site *site = launch->owner;
    read_zygote(launch);
    /* A worker by exec closes it when it is set up; a zygote only when it ends. */
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        int fd = watch->fd;
        loop_remove(&site->shell->loop, watch);
        close(fd);
    }
}

static void on_launch_output(struct lines *lines, struct watch *watch, struct launch *launch)
{
    struct site *site = launch->owner;
    if (!lines_read(lines, site->shell->now_ms))
        loop_remove(&site->shell->loop, watch);
}

static void on_launch_stdout(struct watch *watch, uint32_t events)
{
    struct launch *launch = (struct launch *)((char *)watch - offsetof(struct launch, out_watch));
    (void)events;
    on_launch_output(&launch->out, watch, launch);
}

static void on_launch_stderr(struct watch *watch, uint32_t events)
{
    struct launch *launch = (struct launch *)((char *)watch - offsetof(struct launch, err_watch));
    (void)events;
    on_launch_output(&launch->err, watch, launch);
}

static int start(struct site *site, uint64_t worker, struct mob_err *err)
{
    struct shell *shell = site->shell;
    const struct msg_client_hello *package = node_core_package(shell->core, site->job);
    if (package == NULL || site->owner.exe_fd < 0)
        return mob_err_set(err, MOB_ENOTFOUND, "the job has no program");
    struct launch *launch = memory_zalloc(sizeof *launch);
    if (launch == NULL)
        abort();
    launch->job = site->job;
    launch->worker = worker;
    launch->owner = site;
    launch->give_up_ms = shell->now_ms + shell->config->core.start_worker_ms;
    int rc = launch_start(launch, &site->owner, package, err);
    if (rc != MOB_OK) {
        memory_free(launch);
        return rc;
    }
    DL_APPEND(site->launches, launch);
    int control_fd = launch->control.fd;
    rc = loop_add(&shell->loop, &launch->control, control_fd, EPOLLIN, on_zygote, err);
    if (rc == MOB_OK)
        rc = loop_add(&shell->loop, &launch->out_watch, launch->out.fd, EPOLLIN, on_launch_stdout,
                      err);
    if (rc == MOB_OK)
        rc = loop_add(&shell->loop, &launch->err_watch, launch->err.fd, EPOLLIN, on_launch_stderr,
                      err);
    if (rc != MOB_OK)
        launch_kill(launch); /* Its end is then like any other. */
    return MOB_OK;
}

void sites_start_zygote(struct shell *shell, struct mob_job job)
{
    struct mob_err err = {0};
    struct site *site = sites_add(shell, job, NULL);
    /* The effects of a new job come before its driver's welcome: its program is still the
     * greeting's. */
    if (site->owner.exe_fd < 0) {
        struct greeting *g;
        DL_FOREACH(shell->greetings, g)
        {
            struct msg_client_welcome m;
            if (g->process.v != 0 &&
                node_core_fill_welcome(shell->core, g->process, &m, NULL) == MOB_OK &&
                m.job == job.v) {
                sites_add(shell, job, g);
                break;
            }
        }
    }
    int rc = start(site, 0, &err);
    if (rc != MOB_OK)
        node_core_zygote_gone(shell->core, job, err.text, shell->now_ms);
}

void sites_fork_worker(struct shell *shell, struct mob_job job, struct mob_process process)
{
    struct site *site = sites_find(shell, job);
    if (site == NULL)
        return;
    members_fork(shell, site, process);
    struct member *m = member_find(shell, process);
    if (m == NULL)
        return;
    struct launch *launch;
    DL_FOREACH(site->launches, launch)
    {
        if (launch->ready && (launch->forks || launch->worker == 0)) {
            send_forks(site, launch);
            return;
        }
    }
    DL_SEARCH_SCALAR(site->launches, launch, worker, 0);
    if (launch != NULL && !site->execs)
        return;         /* A zygote is on its way. */
    if (!site->execs) { /* The zygote has died since the core asked for this. */
        members_ended(m, SIGKILL);
        return;
    }
    struct mob_err err = {0};
    if (start(site, process.v, &err) != MOB_OK)
        members_ended(m, 127 << 8);
    else
        m->launch = site->launches->prev;
}

/* ---- ends ---- */

/* The workers of a zygote die with it; those that are not dead yet are reaped when they are. */
static void zygote_died(struct site *site, struct launch *launch, const char *text)
{
    struct shell *shell = site->shell;
    struct member *m, *after;
    node_core_zygote_gone(shell->core, site->job, text, shell->now_ms);
    DL_FOREACH_SAFE(site->members, m, after)
    {
        if (m->launch != launch)
            continue;
        m->launch = NULL;
        /* Those that the zygote did not reap are this process's children by now. */
        siginfo_t info;
        if (m->pid > 0 && waitid(P_PID, (id_t)m->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
            kill(m->pid, SIGKILL);
        else
            members_ended(m, SIGKILL);
    }
}

static void launch_died(struct launch *launch, int status)
{
    struct site *site = launch->owner;
    struct shell *shell = site->shell;
    char text[512];
    bool timed_out = launch->give_up_ms != UINT64_MAX && shell->now_ms >= launch->give_up_ms;
    launch->pid = 0;
    if (launch->control.fd >= 0)
        read_zygote(launch);
    lines_finish(&launch->err);
    launch_explain(launch, status, timed_out, text, sizeof text);
    if (launch->worker == 0) {
        log_at(LOG_INFO, "zygote.ended job=%llu why=\"%s\"", (unsigned long long)site->job.v, text);
        zygote_died(site, launch, text);
    } else {
        struct member *m = member_find(shell, (struct mob_process){launch->worker});
        if (m != NULL && m->launch == launch) {
            /* Before it became the worker its stderr was the launch's. */
            if (m->err.tail == NULL && launch->err.tail != NULL) {
                m->err.tail = launch->err.tail;
                m->err.tail_end = launch->err.tail_end;
                launch->err.tail = NULL;
            }
            members_ended(m, status);
        }
    }
    launch_destroy(launch);
}

static struct launch *launch_of(struct shell *shell, pid_t pid)
{
    struct site *site;
    struct launch *launch;
    DL_FOREACH(shell->sites, site)
    DL_FOREACH(site->launches, launch)
    if (launch->pid == pid)
        return launch;
    return NULL;
}

static struct member *worker_of(struct shell *shell, pid_t pid)
{
    for (struct member *m = shell->members; m != NULL; m = m->hh.next)
        if (!m->driver && m->pid == pid)
            return m;
    return NULL;
}

static bool spare(pid_t pid, void *context)
{
    struct shell *shell = context;
    pid_t session = getsid(pid);
    if (launch_of(shell, pid) != NULL || launch_of(shell, session) != NULL ||
        worker_of(shell, session) != NULL)
        return true;
    struct member *m = member_find(shell, (struct mob_process){descendants_mark(pid)});
    return m != NULL && !m->driver && m->pid > 0;
}

void sites_reap(struct shell *shell)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        pid_t pid = info.si_pid;
        struct launch *launch = launch_of(shell, pid);
        struct member *m = launch == NULL ? worker_of(shell, pid) : NULL;
        int status = 0;
        /* The group goes before its number can be used again. */
        if (launch != NULL || m != NULL)
            kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        if (launch != NULL)
            launch_died(launch, status);
        else if (m != NULL)
            members_ended(m, status);
        info.si_pid = 0;
        shell->sweeping = true;
    }
}

/* Workers go with their zygote, and what those leave is swept. */
void sites_remove(struct shell *shell, struct mob_job job)
{
    struct site *site = sites_find(shell, job);
    if (site == NULL)
        return;
    struct member *m, *next_member;
    DL_FOREACH_SAFE(site->members, m, next_member)
    members_destroy(m);
    struct launch *launch, *next_launch;
    DL_FOREACH_SAFE(site->launches, launch, next_launch)
    {
        launch_kill(launch);
        launch_destroy(launch);
    }
    arena_fini(&site->arena);
    launch_owner_fini(&site->owner);
    DL_DELETE(shell->sites, site);
    memory_free(site);
    shell->sweeping = true;
}

uint64_t sites_tick(struct shell *shell)
{
    uint64_t next = UINT64_MAX;
    struct site *site;
    struct launch *launch;
    DL_FOREACH(shell->sites, site)
    DL_FOREACH(site->launches, launch)
    {
        if (launch->give_up_ms == UINT64_MAX)
            continue;
        if (shell->now_ms >= launch->give_up_ms)
            launch_kill(launch);
        else if (launch->give_up_ms < next)
            next = launch->give_up_ms;
    }
    if (shell->sweeping)
        shell->sweeping = descendants_kill(spare, shell) > 0;
    if (shell->sweeping && shell->now_ms + SWEEP_MS < next)
        next = shell->now_ms + SWEEP_MS;
    return next;
}

static bool spare_none(pid_t pid, void *context)
{
    (void)pid;
    (void)context;
    return false;
}

void sites_end_all(struct shell *shell)
{
    uint64_t until = clock_now_ms() + 2000;
    while (shell->sites != NULL)
        sites_remove(shell, shell->sites->job);
    do {
        bool left = descendants_kill(spare_none, NULL) > 0;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            left = true;
        if (!left)
            return;
        struct pollfd signals = {.fd = shell->child_watch.fd, .events = POLLIN};
        struct signalfd_siginfo info;
        if (poll(&signals, 1, SWEEP_MS) > 0 && read(signals.fd, &info, sizeof info) < 0)
            return;
    } while (clock_now_ms() < until);
}
