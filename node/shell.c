/* shell.c: the loop.
 *
 * One turn: take what came (epoll's watches, the rings, the head), let the core act on it and on
 * the time, do its effects, and only then move its bytes out, so that descriptors are on their way
 * before the message that announces them. Turns follow each other without a sleep while there is
 * work; before a sleep every input is looked at once more, in the order that protocol/doorbell.h
 * prescribes. At rest nothing wakes the loop but the core's own deadlines. */
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "node/shell_state.h"
#include "protocol/clock.h"
#include "protocol/log.h"

void node_shell_stop(struct shell *shell, int code, const char *why)
{
    if (shell->stopping)
        return;
    shell->stopping = true;
    shell->stop_code = code;
    mob_err_set(&shell->stop_err, code, "%s", why);
}

/* ---- watches of the process itself ---- */

static void on_bell(struct watch *watch, uint32_t events)
{
    struct shell *shell = (struct shell *)((char *)watch - offsetof(struct shell, bell_watch));
    (void)events;
    doorbell_woken(&shell->bell);
}

static void on_child(struct watch *watch, uint32_t events)
{
    struct shell *shell = (struct shell *)((char *)watch - offsetof(struct shell, child_watch));
    struct signalfd_siginfo info;
    (void)events;
    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        sites_reap(shell);
}

static void on_stop(struct watch *watch, uint32_t events)
{
    struct shell *shell = (struct shell *)((char *)watch - offsetof(struct shell, stop_watch));
    (void)events;
    loop_remove(&shell->loop, watch);
    node_shell_stop(shell, MOB_OK, "asked to stop");
}

static void on_life(struct watch *watch, uint32_t events)
{
    struct shell *shell = (struct shell *)((char *)watch - offsetof(struct shell, life_watch));
    (void)events;
    loop_remove(&shell->loop, watch);
    node_shell_stop(shell, MOB_OK, "the process that this node belongs to has ended");
}

static int watch_process(struct shell *shell, struct mob_err *err)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    /* Before there are threads, which inherit it. */
    sigprocmask(SIG_BLOCK, &mask, NULL);
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &plain, NULL); /* One that ignores it would have no children to reap. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct loop *loop = &shell->loop;
    int life_fd = shell->daemon->life_fd;
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return mob_err_system(err, "making a signalfd");
    int rc = loop_add(loop, &shell->child_watch, fd, EPOLLIN, on_child, err);
    if (rc == MOB_OK)
        rc = loop_add(loop, &shell->stop_watch, shell->daemon->signal_fd, EPOLLIN, on_stop, err);
    if (rc == MOB_OK && life_fd >= 0)
        rc = loop_add(loop, &shell->life_watch, life_fd, EPOLLIN, on_life, err);
    return rc;
}

/* ---- effects ---- */

static void welcome(struct shell *shell, const struct node_effect *e)
{
    struct greeting *g = local_find(shell, e->process);
    if (g == NULL)
        node_core_driver_gone(shell->core, e->process, shell->now_ms);
    else
        members_welcome(shell, g, sites_add(shell, e->job, g));
}

static void refuse(struct shell *shell, const struct node_effect *e)
{
    struct greeting *g = local_find(shell, e->process);
    if (g != NULL)
        local_refuse(g, e->code, e->text);
}

static void do_effect(struct shell *shell, const struct node_effect *e)
{
    struct member *m;
    struct greeting *g;
    switch (e->kind) {
    case NODE_START_ZYGOTE:
        sites_start_zygote(shell, e->job);
        break;
    case NODE_FORK_WORKER:
        sites_fork_worker(shell, e->job, e->process);
        break;
    case NODE_CONNECT:
        members_connect(shell, e->process, e->other);
        break;
    case NODE_DISCONNECT:
        members_disconnect(shell, e->process, e->other);
        break;
    case NODE_WELCOME:
        welcome(shell, e);
        break;
    case NODE_REFUSE:
        refuse(shell, e);
        break;
    case NODE_KILL:
        m = member_find(shell, e->process);
        if (m != NULL)
            members_kill(m);
        break;
    case NODE_JOB_GONE:
        sites_remove(shell, e->job);
        g = local_find(shell, e->process);
        if (g != NULL)
            local_drop(g);
        break;
    }
}

static void do_effects(struct shell *shell)
{
    struct node_effect e;
    while (node_core_next_effect(shell->core, &e))
        do_effect(shell, &e);
}

/* ---- the loop ---- */

static void flush(struct shell *shell)
{
    struct peer *head = node_core_head(shell->core), *peer;
    while ((peer = outbox_take(node_core_outbox(shell->core))) != NULL)
        if (peer != head)
            members_flush(shell, peer);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Everything that can be done now. Returns the next deadline; 0: there is more to do at once. */
static uint64_t turn(struct shell *shell)
{
    shell->now_ms = clock_now_ms();
    bool more = members_read(shell);
    more |= uplink_read(shell);
    uint64_t next = earlier(members_tick(shell), local_tick(shell));
    next = earlier(next, sites_tick(shell));
    if (node_core_deadline(shell->core) <= shell->now_ms)
        node_core_tick(shell->core, shell->now_ms);
    do_effects(shell);
    flush(shell);
    next = earlier(next, uplink_write(shell));
    more |= uplink_read(shell);
    if (!shell->announced && node_core_ids_left(shell->core) > 0) {
        shell->announced = true;
        daemon_ready(shell->daemon, shell->config->local != NULL ? shell->config->local : "");
    }
    return more ? 0 : earlier(next, node_core_deadline(shell->core));
}

static int timeout_of(uint64_t deadline_ms, uint64_t now_ms)
{
    if (deadline_ms == UINT64_MAX)
        return -1;
    uint64_t left = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    return left > 60000 ? 60000 : (int)left;
}

static void wait_and_dispatch(struct shell *shell, int timeout_ms)
{
    loop_wait(&shell->loop, timeout_ms);
    shell->now_ms = clock_now_ms();
    loop_dispatch(&shell->loop);
}

static void run(struct shell *shell)
{
    while (!shell->stopping) {
        uint64_t next = turn(shell);
        if (next == 0) {
            wait_and_dispatch(shell, 0);
            continue;
        }
        doorbell_prepare(&shell->bell);
        bool pending = members_pending(shell);
        wait_and_dispatch(shell, pending ? 0 : timeout_of(next, clock_now_ms()));
        doorbell_cancel(&shell->bell);
    }
}

static int open_all(struct shell *shell, struct mob_err *err)
{
    int rc = loop_init(&shell->loop, err);
    if (rc == MOB_OK)
        rc = watch_process(shell, err);
    if (rc == MOB_OK)
        rc = node_core_create(&shell->core, &shell->config->core, err);
    if (rc == MOB_OK)
        rc = doorbell_create(&shell->bell, DOORBELL_EVENTFD, NULL, NULL, err);
    if (rc == MOB_OK)
        rc =
            loop_add(&shell->loop, &shell->bell_watch, shell->bell.event_fd, EPOLLIN, on_bell, err);
    if (rc == MOB_OK)
        rc = uplink_open(shell, err);
    if (rc == MOB_OK)
        rc = local_open(shell, err);
    return rc;
}

/* The goodbye is on its way while the processes end. */
static void close_all(struct shell *shell)
{
    uplink_goodbye(shell, shell->stop_code);
    sites_end_all(shell);
    local_close(shell);
    uplink_close(shell);
    doorbell_close(&shell->bell);
    node_core_destroy(shell->core);
    buffer_fini(&shell->scratch);
    if (shell->child_watch.fd > 0)
        close(shell->child_watch.fd);
    loop_fini(&shell->loop);
}

int node_shell_run(const struct shell_config *config, struct daemon *daemon, struct mob_err *err)
{
    struct shell *shell = memory_zalloc(sizeof *shell);
    if (shell == NULL)
        return mob_err_set(err, MOB_ENOMEM, "no memory for the node");
    shell->config = config;
    shell->daemon = daemon;
    shell->now_ms = clock_now_ms();
    shell->bell.page_fd = shell->bell.event_fd = shell->lock_fd = -1;
    launch_raise_files();
    int rc = open_all(shell, err);
    if (rc == MOB_OK) {
        run(shell);
        rc = shell->stop_code;
        if (err != NULL)
            *err = shell->stop_err;
        log_info("node.stopped why=\"%s\"", shell->stop_err.text);
    }
    close_all(shell);
    memory_free(shell);
    return rc;
}
