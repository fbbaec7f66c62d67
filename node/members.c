/* members.c: drivers and workers.
 *
 * One doorbell wakes the node for all of them, so a turn looks at every ring: a load of one shared
 * line each, 64 of them in about a microsecond, and once for all messages that have gathered. A
 * bitmap that clients set was rejected: a page that all clients of a job can write would let one
 * hide the others' work.
 *
 * The end of a worker is told to the core only when all that it left has been: the frames in its
 * ring, the bytes in its pipes, the task that its mark names, its report. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/shell_state.h"
#include "protocol/log.h"
#include "protocol/report.h"

enum { WHY_MAX = 128 }; /* bytes of a line that says why this node ended a worker */

static struct member *member_new(struct shell *shell, struct site *site, bool driver)
{
    size_t size = (sizeof(struct member) + 127) / 128 * 128;
    struct member *m = aligned_alloc(128, size);
    if (m == NULL)
        abort();
    memset(m, 0, size);
    m->shell = shell;
    m->site = site;
    m->driver = driver;
    m->report_fd = m->life.fd = m->out_watch.fd = m->err_watch.fd = -1;
    m->child_fds[0] = m->child_fds[1] = m->child_fds[2] = -1;
    lines_init(&m->out, -1, 1, NULL, NULL);
    lines_init(&m->err, -1, 2, NULL, NULL);
    return m;
}

static void member_add(struct member *m)
{
    DL_APPEND(m->site->members, m);
    HASH_ADD(hh, m->shell->members, channel.process, sizeof m->channel.process, m);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- ring pairs between members ---- */

static struct tie *tie_find(struct shell *shell, struct mob_process a, struct mob_process b)
{
    struct tie *t, look = {.key = {a.v, b.v}};
    HASH_FIND(hh, shell->ties, &look.key, sizeof look.key, t);
    return t;
}

/* One that is revoked is pending for both ends, if they are woken to look. */
static void tie_destroy(struct shell *shell, struct tie *t)
{
    ring_revoke(&t->ring);
    const uint64_t ends[2] = {t->key.a, t->key.b};
    for (int i = 0; i < 2; i++) {
        struct member *m = member_find(shell, (struct mob_process){ends[i]});
        if (m != NULL)
            doorbell_ring(&m->channel.bell);
    }
    HASH_DEL(shell->ties, t);
    ring_close(&t->ring);
    free(t);
}

static void send_pair(struct member *to, struct mob_process other, const struct channel *bell,
                      unsigned side, int fd)
{
    struct buffer bytes = {0};
    struct msg_peer_open m = {.process = other.v, .side = side};
    if (msg_peer_open_pack(&bytes, &m) != MOB_OK)
        abort();
    const int fds[] = {fd, bell->page_fd, bell->event_fd};
    struct mob_err err;
    if (channel_send(&to->channel, &bytes, fds, bell->event_fd >= 0 ? 3 : 2, &err) != MOB_OK &&
        err.code != MOB_EPEERDIED) {
        log_warn("client.unreachable process=%llu why=\"%s\"",
                 (unsigned long long)to->channel.process.v, err.text);
        to->channel.failed = true;
    }
    buffer_fini(&bytes);
}

/* One end may have ended since the core asked for this. The other still waits for its descriptors,
 * because the core has told it of the pair: it gets a pair that is revoked, with its own bell. */
void members_connect(struct shell *shell, struct mob_process a, struct mob_process b)
{
    const struct mob_process names[2] = {a, b};
    struct member *ends[2] = {member_find(shell, a), member_find(shell, b)};
    bool whole = ends[0] != NULL && ends[1] != NULL;
    if ((ends[0] == NULL && ends[1] == NULL) || tie_find(shell, a, b) != NULL)
        return;
    struct tie *t = aligned_alloc(128, (sizeof *t + 127) / 128 * 128);
    if (t == NULL)
        abort();
    memset(t, 0, sizeof *t);
    t->key.a = a.v;
    t->key.b = b.v;
    int fd = -1;
    struct mob_err err;
    int rc = ring_pair_create(RING_SIZE_DEFAULT, &fd, &err);
    if (rc == MOB_OK)
        rc = ring_open(&t->ring, fd, RING_OBSERVER, &err);
    if (rc != MOB_OK)
        log_error("ring.failed why=\"%s\"", err.text);
    for (unsigned i = 0; i < 2; i++) {
        const struct member *other = ends[1 - i];
        if (ends[i] != NULL && rc != MOB_OK) /* it would wait for the pair for ever */
            ends[i]->channel.failed = true;
        else if (ends[i] != NULL)
            send_pair(ends[i], names[1 - i], &(other != NULL ? other : ends[i])->channel, i, fd);
    }
    if (rc == MOB_OK && whole) {
        HASH_ADD(hh, shell->ties, key, sizeof t->key, t);
    } else {
        if (rc == MOB_OK)
            ring_revoke(&t->ring);
        ring_close(&t->ring);
        free(t);
    }
    close_fd(&fd);
}

void members_disconnect(struct shell *shell, struct mob_process a, struct mob_process b)
{
    struct tie *t = tie_find(shell, a, b);
    if (t != NULL)
        tie_destroy(shell, t);
}

static void untie(struct member *m)
{
    struct tie *t, *after;
    HASH_ITER(hh, m->shell->ties, t, after)
    {
        if (t->key.a == m->channel.process.v || t->key.b == m->channel.process.v)
            tie_destroy(m->shell, t);
    }
}

/* The task that the worker says it is running: its mark in the pair with whoever submitted it. */
static struct mob_object running(const struct member *m)
{
    const struct mob_process self = m->channel.process;
    for (struct member *other = m->site->members; other != NULL; other = other->next) {
        const struct tie *t = tie_find(m->shell, other->channel.process, self);
        uint64_t mark = t != NULL ? ring_mark_get(&t->ring, 1) : 0;
        if (mark == 0 && (t = tie_find(m->shell, self, other->channel.process)) != NULL)
            mark = ring_mark_get(&t->ring, 0);
        if (mark != 0)
            return (struct mob_object){other->channel.process.v, mark};
    }
    return (struct mob_object){0, 0};
}

/* ---- what comes ---- */

static int on_frame(void *context, struct channel *channel, struct view frame)
{
    struct shell *shell = context;
    struct peer *peer = node_core_client(shell->core, channel->process);
    return peer != NULL ? node_core_on_client(shell->core, peer, frame, shell->now_ms) : MOB_OK;
}

/* Bytes of a pipe become the message that the worker itself would have sent for them. */
static void on_lines(void *context, int stream, struct view lines)
{
    struct member *m = context;
    struct peer *peer = node_core_client(m->shell->core, m->channel.process);
    struct buffer frame = {0};
    struct report_copy report;
    if (peer == NULL)
        return;
    report_read(m->report_fd, &report);
    struct msg_output output = {.stream = (uint32_t)stream,
                                .function = view_of(report.task),
                                .task = running(m),
                                .lines = lines};
    if (msg_output_pack(&frame, &output) != MOB_OK)
        abort();
    int rc = node_core_on_client(m->shell->core, peer,
                                 (struct view){buffer_head(&frame), buffer_size(&frame)},
                                 m->shell->now_ms);
    if (rc != MOB_OK)
        log_error("output.refused process=%llu", (unsigned long long)m->channel.process.v);
    buffer_fini(&frame);
}

static void drain(struct member *m)
{
    while (channel_read(&m->channel, &m->shell->scratch, on_frame, m->shell))
        continue;
}

static void driver_left(struct member *m)
{
    struct shell *shell = m->shell;
    struct mob_process process = m->channel.process;
    int life_fd = m->life.fd;
    loop_remove(&shell->loop, &m->life);
    close_fd(&life_fd);
    /* A goodbye may still be in its ring. */
    drain(m);
    m->killed = true;
    if (node_core_client(shell->core, process) != NULL)
        node_core_driver_gone(shell->core, process, shell->now_ms);
}

/* A task may have replaced its worker by another program, which would never answer. One that closed
 * its descriptors goes on: its rings are mapped. */
static bool runs_another_program(const struct member *m)
{
    char path[64];
    struct stat now, ours;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)m->pid);
    return m->pid > 0 && m->site->owner.exe_fd >= 0 && stat(path, &now) == 0 &&
           fstat(m->site->owner.exe_fd, &ours) == 0 &&
           (now.st_dev != ours.st_dev || now.st_ino != ours.st_ino);
}

static void on_control(struct watch *watch, uint32_t events)
{
    struct member *m = (struct member *)((char *)watch - offsetof(struct member, channel.control));
    struct control_packet packet = {0};
    bool ended = (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (!ended && (events & EPOLLIN) != 0) {
        /* Clients have nothing to say here. */
        int rc = control_receive(watch->fd, &packet, 0, NULL);
        ended = rc == MOB_EPEERDIED;
        if (rc == MOB_OK)
            m->channel.failed = true;
        control_packet_fini(&packet);
    }
    if ((events & EPOLLOUT) != 0 && !ended)
        channel_drain(&m->channel);
    if (!ended)
        return;
    int fd = watch->fd;
    loop_remove(&m->shell->loop, watch);
    close(fd);
    if (m->driver) {
        driver_left(m);
    } else if (runs_another_program(m)) {
        m->why = "the task replaced its worker by another program (exec): fork first";
        m->channel.failed = true;
    }
}

static void on_driver_death(struct watch *watch, uint32_t events)
{
    struct member *m = (struct member *)((char *)watch - offsetof(struct member, life));
    (void)events;
    driver_left(m);
}

static void on_stdout(struct watch *watch, uint32_t events)
{
    struct member *m = (struct member *)((char *)watch - offsetof(struct member, out_watch));
    (void)events;
    if (!lines_read(&m->out, m->shell->now_ms))
        loop_remove(&m->shell->loop, watch);
}

static void on_stderr(struct watch *watch, uint32_t events)
{
    struct member *m = (struct member *)((char *)watch - offsetof(struct member, err_watch));
    (void)events;
    if (!lines_read(&m->err, m->shell->now_ms))
        loop_remove(&m->shell->loop, watch);
}

/* ---- drivers ---- */

static int ensure_arena(struct site *site, uint64_t bytes, struct mob_err *err)
{
    if (site->arena.fd >= 0)
        return MOB_OK;
    return arena_init(&site->arena, bytes, site->shell->config->populate_bytes, err);
}

static int pack_welcome(struct member *m, struct buffer *bytes, struct mob_err *err)
{
    struct msg_client_welcome welcome;
    int rc = node_core_fill_welcome(m->shell->core, m->channel.process, &welcome, err);
    if (rc == MOB_OK)
        rc = ensure_arena(m->site, welcome.arena_bytes, err);
    if (rc == MOB_OK && msg_client_welcome_pack(bytes, &welcome) != MOB_OK)
        abort();
    return rc;
}

static int send_welcome(struct member *m, struct mob_err *err)
{
    struct buffer bytes = {0};
    int rc = pack_welcome(m, &bytes, err);
    const int fds[] = {m->channel.ring_fd,      m->channel.page_fd, m->shell->bell.page_fd,
                       m->shell->bell.event_fd, m->site->arena.fd,  m->channel.event_fd};
    if (rc == MOB_OK)
        rc = channel_send(&m->channel, &bytes, fds, m->channel.event_fd >= 0 ? 6 : 5, err);
    buffer_fini(&bytes);
    close_fd(&m->channel.ring_fd);
    return rc;
}

void members_welcome(struct shell *shell, struct greeting *g, struct site *site)
{
    struct mob_err err = {0};
    struct member *m = member_new(shell, site, true);
    int rc = channel_init(&m->channel, g->process, g->page_fd, g->event_fd, &err);
    if (rc != MOB_OK) {
        node_core_driver_gone(shell->core, g->process, shell->now_ms);
        local_refuse(g, rc, err.text);
        free(m);
        return;
    }
    m->pid = g->pid;
    member_add(m);
    int control_fd = g->control.fd, life_fd = (int)syscall(SYS_pidfd_open, g->pid, 0);
    loop_remove(&shell->loop, &g->control);
    g->page_fd = g->event_fd = -1;
    local_drop(g);
    m->channel.loop = &shell->loop;
    rc = loop_add(&shell->loop, &m->channel.control, control_fd, EPOLLIN, on_control, &err);
    if (rc == MOB_OK && life_fd >= 0)
        rc = loop_add(&shell->loop, &m->life, life_fd, EPOLLIN, on_driver_death, &err);
    if (rc == MOB_OK)
        rc = send_welcome(m, &err);
    if (rc == MOB_OK && life_fd < 0)
        rc = mob_err_set(&err, MOB_EPEERDIED, "the driver has ended");
    if (rc != MOB_OK) {
        log_warn("driver.lost process=%llu why=\"%s\"", (unsigned long long)m->channel.process.v,
                 err.text);
        m->channel.failed = true;
    }
}

/* ---- workers ---- */

/* The node's ends stay in the member, the worker's in child_fds until they are sent. */
static int open_pipes(struct member *m, struct mob_err *err)
{
    struct loop *loop = &m->shell->loop;
    int control[2], out[2], errors[2];
    int rc = control_pair(control, err);
    if (rc != MOB_OK)
        return rc;
    m->child_fds[0] = control[1];
    m->channel.loop = loop;
    rc = loop_add(loop, &m->channel.control, control[0], EPOLLIN, on_control, err);
    if (rc != MOB_OK) {
        close(control[0]);
        return rc;
    }
    if (pipe2(out, O_CLOEXEC) != 0)
        return mob_err_system(err, "making a pipe for a worker");
    m->child_fds[1] = out[1];
    lines_init(&m->out, out[0], 1, on_lines, m);
    if (pipe2(errors, O_CLOEXEC) != 0)
        return mob_err_system(err, "making a pipe for a worker");
    m->child_fds[2] = errors[1];
    lines_init(&m->err, errors[0], 2, on_lines, m);
    rc = loop_add(loop, &m->out_watch, out[0], EPOLLIN, on_stdout, err);
    return rc == MOB_OK ? loop_add(loop, &m->err_watch, errors[0], EPOLLIN, on_stderr, err) : rc;
}

static void report_failed_start(struct member *m, const char *why)
{
    struct shell *shell = m->shell;
    struct mob_process process = m->channel.process;
    struct worker_exit exit = {.status = 127, .code = MOB_EWORKERSTART, .tail = view_of(why)};
    members_destroy(m);
    node_core_worker_exited(shell->core, process, &exit, shell->now_ms);
}

void members_fork(struct shell *shell, struct site *site, struct mob_process process)
{
    struct mob_err err = {0};
    struct member *m = member_new(shell, site, false);
    int rc = channel_init(&m->channel, process, -1, -1, &err);
    if (rc != MOB_OK)
        m->channel.process = process; /* It is in the tables until its failure is reported. */
    member_add(m);
    if (rc == MOB_OK)
        rc = open_pipes(m, &err);
    if (rc == MOB_OK)
        rc = report_create(&m->report_fd, &err);
    if (rc != MOB_OK)
        report_failed_start(m, err.text);
}

void members_send_fork(struct member *m)
{
    struct mob_err err = {0};
    struct buffer welcome = {0}, bytes = {0};
    int rc = pack_welcome(m, &welcome, &err);
    struct msg_zygote_fork fork = {.welcome = {buffer_head(&welcome), buffer_size(&welcome)}};
    if (rc == MOB_OK && msg_zygote_fork_pack(&bytes, &fork) != MOB_OK)
        abort();
    const int fds[] = {m->child_fds[0],        m->channel.ring_fd,      m->channel.page_fd,
                       m->shell->bell.page_fd, m->shell->bell.event_fd, m->site->arena.fd,
                       m->child_fds[1],        m->child_fds[2],         m->report_fd};
    if (rc == MOB_OK)
        rc = control_send(m->launch->control.fd,
                          (struct view){buffer_head(&bytes), buffer_size(&bytes)}, fds,
                          sizeof fds / sizeof fds[0], &err);
    buffer_fini(&welcome);
    buffer_fini(&bytes);
    /* A zygote that is gone is reaped soon, and its workers end then. */
    if (rc == MOB_EAGAIN || rc == MOB_EPEERDIED)
        return;
    if (rc != MOB_OK) {
        report_failed_start(m, err.text);
        return;
    }
    m->asked = true;
    for (int i = 0; i < 3; i++)
        close_fd(&m->child_fds[i]);
    close_fd(&m->channel.ring_fd);
}

void members_forked(struct member *m, pid_t pid)
{
    m->pid = pid;
    node_core_worker_forked(m->shell->core, m->channel.process, (uint64_t)pid, m->shell->now_ms);
    if (m->killed)
        kill(pid, SIGKILL);
}

void members_kill(struct member *m)
{
    m->killed = true;
    if (m->pid > 0)
        kill(m->pid, SIGKILL);
    else if (!m->asked && m->launch == NULL)
        members_ended(m, SIGKILL);
    else if (m->launch != NULL && m->launch->worker == m->channel.process.v)
        kill(m->launch->pid, SIGKILL);
}

/* The last of stderr: what went through stdio is in the report, what was written otherwise came
 * through the pipe. */
static size_t collect_tail(const struct member *m, const struct report_copy *report, char *out)
{
    memcpy(out, report->tail, report->tail_size);
    size_t size = report->tail_size;
    size += lines_tail(&m->err, report->dumped, out + size, LINES_TAIL_MAX);
    if (m->why != NULL)
        size += (size_t)snprintf(out + size, WHY_MAX, "mobula: %s\n", m->why);
    return size;
}

static struct view last_lines(const char *tail, size_t size)
{
    size_t start = size > REPORT_TAIL_MAX ? size - REPORT_TAIL_MAX : 0;
    for (size_t i = start; start > 0 && i + 1 < size; i++)
        if (tail[i] == '\n') {
            start = i + 1;
            break;
        }
    return (struct view){tail + start, size - start};
}

void members_ended(struct member *m, int status)
{
    struct shell *shell = m->shell;
    struct mob_process process = m->channel.process;
    if (m->pid > 0)
        drain(m);
    lines_finish(&m->out);
    lines_finish(&m->err);
    struct report_copy report = {0};
    if (m->report_fd >= 0)
        report_read(m->report_fd, &report);
    char tail[REPORT_TAIL_MAX + LINES_TAIL_MAX + WHY_MAX];
    size_t tail_size = collect_tail(m, &report, tail);
    struct worker_exit exit = {
        .signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0,
        .status = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0,
        .running = running(m),
        .function = view_of(report.function),
        .tail = last_lines(tail, tail_size),
        .code = m->pid > 0 ? MOB_EWORKERDIED : MOB_EWORKERSTART,
    };
    log_debug("worker.ended process=%llu pid=%d signal=%u status=%u function=%s",
              (unsigned long long)process.v, (int)m->pid, exit.signal, exit.status,
              report.function);
    node_core_worker_exited(shell->core, process, &exit, shell->now_ms);
    members_destroy(m);
}

void members_destroy(struct member *m)
{
    struct shell *shell = m->shell;
    untie(m);
    HASH_DEL(shell->members, m);
    DL_DELETE(m->site->members, m);
    int life_fd = m->life.fd;
    loop_remove(&shell->loop, &m->life);
    close_fd(&life_fd);
    loop_remove(&shell->loop, &m->out_watch);
    loop_remove(&shell->loop, &m->err_watch);
    lines_fini(&m->out);
    lines_fini(&m->err);
    for (int i = 0; i < 3; i++)
        close_fd(&m->child_fds[i]);
    close_fd(&m->report_fd);
    channel_fini(&m->channel);
    free(m);
}

/* ---- drivers that read more slowly than their workers print ---- */

static void throttle_set(struct site *site, bool on)
{
    site->throttled = on;
    site->progress_ms = site->shell->now_ms;
    for (struct member *m = site->members; m != NULL; m = m->next) {
        loop_change(&site->shell->loop, &m->out_watch, on ? 0 : EPOLLIN);
        loop_change(&site->shell->loop, &m->err_watch, on ? 0 : EPOLLIN);
    }
}

/* Whether the job's workers must wait until its driver has taken more of their output. A driver
 * that takes nothing at all is not waited for: it may be stopped, and what its workers tell the
 * node concerns other jobs too. */
static bool is_throttled(struct site *site)
{
    const struct member *driver = site->members;
    if (driver == NULL || !driver->driver)
        return false;
    const struct peer *peer = node_core_client(site->shell->core, driver->channel.process);
    size_t backlog = peer != NULL ? peer_backlog(peer) : 0;
    if (!site->throttled && !site->deaf && backlog > THROTTLE_BYTES)
        throttle_set(site, true);
    if (site->throttled && site->shell->now_ms - site->progress_ms >= DEAF_MS) {
        site->deaf = true;
        throttle_set(site, false);
    } else if (site->throttled && backlog <= UNTHROTTLE_BYTES) {
        throttle_set(site, false);
    }
    return site->throttled;
}

static void flush_member(struct member *m, struct peer *peer)
{
    size_t before = peer_backlog(peer);
    channel_flush(&m->channel, peer);
    if (m->driver && peer_backlog(peer) < before) {
        m->site->deaf = false;
        m->site->progress_ms = m->shell->now_ms;
    }
}

/* ---- a turn ---- */

/* The core has been told of all that came before the rule was broken. */
static void end_failed(struct member *m)
{
    struct shell *shell = m->shell;
    log_warn("client.broken process=%llu driver=%d", (unsigned long long)m->channel.process.v,
             m->driver);
    if (m->driver) {
        m->killed = true;
        node_core_driver_gone(shell->core, m->channel.process, shell->now_ms);
    } else {
        members_kill(m);
    }
}

static bool read_members(struct shell *shell, bool drivers)
{
    bool more = false;
    for (struct member *m = shell->members; m != NULL; m = m->hh.next)
        if (m->driver == drivers && m->channel.ring.shared != NULL && !is_throttled(m->site))
            more |= channel_read(&m->channel, &shell->scratch, on_frame, shell);
    return more;
}

/* Drivers after workers, so that the answer to a driver's mark comes behind all that its workers
 * wrote before. */
bool members_read(struct shell *shell)
{
    bool more = read_members(shell, false);
    more |= read_members(shell, true);
    struct member *m, *after;
    HASH_ITER(hh, shell->members, m, after)
    {
        if (m->channel.failed && !m->killed)
            end_failed(m);
    }
    return more;
}

void members_flush(struct shell *shell, struct peer *peer)
{
    struct member *m = member_find(shell, peer->process);
    if (m != NULL && m->channel.ring.shared != NULL)
        flush_member(m, peer);
}

bool members_pending(struct shell *shell)
{
    for (struct member *m = shell->members; m != NULL; m = m->hh.next) {
        struct peer *peer = node_core_client(shell->core, m->channel.process);
        if (m->channel.ring.shared == NULL)
            continue;
        if (peer != NULL && peer_backlog(peer) > 0)
            flush_member(m, peer);
        if (!is_throttled(m->site) && channel_pending(&m->channel, peer))
            return true;
    }
    return false;
}

uint64_t members_tick(struct shell *shell)
{
    uint64_t next = UINT64_MAX;
    for (struct member *m = shell->members; m != NULL; m = m->hh.next) {
        lines_tick(&m->out, shell->now_ms);
        lines_tick(&m->err, shell->now_ms);
        next = m->out.due_ms < next ? m->out.due_ms : next;
        next = m->err.due_ms < next ? m->err.due_ms : next;
        if (m->driver && m->site->throttled && m->site->progress_ms + DEAF_MS < next)
            next = m->site->progress_ms + DEAF_MS;
    }
    return next;
}
