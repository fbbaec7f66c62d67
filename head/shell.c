/* shell.c: take all that waits, commit once, then send (group commit): under load one sync serves
 * many events, at rest an answer waits for one sync only. The loop has no timer of its own and no
 * periodic wake-up: the core's deadline is the time-out of the wait. */
#include "head/shell.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "head/journal.h"
#include "protocol/clock.h"
#include "protocol/log.h"
#include "protocol/transport.h"

enum {
    EVENTS_MAX = 256,
    TURNS_MAX = 16
}; /* taken before a commit; turns before signals are looked at */

struct shell {
    struct head_core *core;
    struct journal *journal;
    struct transport *transport;
    struct daemon *daemon;
    int epoll_fd;
};

/* ---- one turn ---- */

static bool take_events(struct shell *s, uint64_t now_ms)
{
    struct transport_event event;
    for (unsigned i = 0; i < EVENTS_MAX; i++) {
        switch (transport_next(s->transport, &event)) {
        case TRANSPORT_FRAME:
            head_core_on_frame(s->core, &event.sender, event.frame, now_ms);
            break;
        case TRANSPORT_GONE:
            head_core_disconnected(s->core, event.sender.connection, now_ms);
            break;
        case TRANSPORT_CONNECTED:
            break;
        case TRANSPORT_NOTHING:
            return i > 0;
        }
    }
    return true;
}

static int commit(struct shell *s, struct mob_err *err)
{
    struct commit commit;
    if (!head_core_commit(s->core, &commit))
        return MOB_OK;
    int rc = journal_commit(s->journal, commit.number, commit.records, err);
    if (rc == MOB_OK)
        head_core_committed(s->core, commit.number);
    return rc;
}

static void do_effects(struct shell *s)
{
    struct head_effect effect;
    while (head_core_next_effect(s->core, &effect)) {
        if (effect.kind == HEAD_CUT)
            transport_cut(s->transport, effect.connection);
        else if (effect.warn)
            log_warn("%s", effect.text);
        else
            log_info("%s", effect.text);
    }
}

static bool send_all(struct shell *s, uint64_t now_ms)
{
    uint64_t connection;
    struct view frame;
    bool sent = false;
    while (head_core_outgoing(s->core, now_ms, &connection, &frame)) {
        sent = true;
        int rc = transport_send(s->transport, connection, frame);
        if (rc != MOB_OK)
            log_debug("frame.dropped connection=%" PRIu64 " code=%s", connection,
                      mob_error_name(rc));
    }
    return sent;
}

/* `*busy`: something was taken or sent, so there may be more at once (sending can take up the
 * transport's signal). */
static int turn(struct shell *s, bool *busy, struct mob_err *err)
{
    uint64_t now_ms = clock_now_ms();
    *busy = take_events(s, now_ms);
    if (head_core_deadline(s->core) <= now_ms)
        head_core_tick(s->core, now_ms);
    int rc = commit(s, err);
    if (rc != MOB_OK)
        return rc;
    do_effects(s);
    *busy |= send_all(s, now_ms);
    return MOB_OK;
}

/* ---- the loop ---- */

static int timeout_of(uint64_t deadline_ms)
{
    uint64_t now_ms = clock_now_ms();
    if (deadline_ms == UINT64_MAX)
        return -1;
    if (deadline_ms <= now_ms)
        return 0;
    return deadline_ms - now_ms < 3600000 ? (int)(deadline_ms - now_ms) : 3600000;
}

/* Wait for input, a signal or the deadline. True when it is time to stop. */
static bool wait_for_input(struct shell *s, int timeout_ms)
{
    struct epoll_event events[4];
    int count = epoll_wait(s->epoll_fd, events, 4, timeout_ms);
    for (int i = 0; i < count; i++) {
        struct signalfd_siginfo signal;
        if (events[i].data.fd == s->daemon->life_fd) {
            log_info("head.stop reason=\"the process that started it has ended\"");
            return true;
        }
        if (events[i].data.fd == s->daemon->signal_fd &&
            read(s->daemon->signal_fd, &signal, sizeof signal) > 0) {
            log_info("head.stop signal=%" PRIu32 " pid=%" PRIu32, signal.ssi_signo, signal.ssi_pid);
            return true;
        }
    }
    return false;
}

static int serve(struct shell *s, struct mob_err *err)
{
    for (;;) {
        bool busy = true;
        for (unsigned i = 0; busy && i < TURNS_MAX; i++) {
            int rc = turn(s, &busy, err);
            if (rc != MOB_OK)
                return rc;
        }
        if (wait_for_input(s, busy ? 0 : timeout_of(head_core_deadline(s->core))))
            return MOB_OK;
    }
}

/* ---- start and end ---- */

static int watch(struct shell *s, int fd, struct mob_err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= 0 && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return mob_err_system(err, "cannot wait on descriptor %d", fd);
    return MOB_OK;
}

/* From the journal to a new epoch, which is committed before anybody can connect. */
static int recover(struct shell *s, const struct head_shell_config *config, struct mob_err *err)
{
    struct buffer records = {0};
    int rc = journal_open(&s->journal, config->data, err);
    if (rc == MOB_OK)
        rc = head_core_create(&s->core, &config->core, err);
    if (rc == MOB_OK)
        rc = journal_load(s->journal, &records, err);
    if (rc == MOB_OK)
        rc = head_core_replay(s->core, (struct view){buffer_head(&records), buffer_size(&records)},
                              err);
    buffer_fini(&records);
    if (rc != MOB_OK)
        return rc;
    journal_fail_at(config->fault_commit);
    head_core_start(s->core, journal_number(s->journal), clock_now_ms());
    return commit(s, err);
}

static int start(struct shell *s, const struct head_shell_config *config, struct mob_err *err)
{
    struct transport_config transport = transport_config_default();
    transport.has_token = config->core.access.token.size != 0;
    transport.shared = config->core.access.uid_count != 0;
    transport.peers_max = config->core.connections_max;
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = s->epoll_fd >= 0 ? MOB_OK : mob_err_system(err, "cannot make an epoll descriptor");
    if (rc == MOB_OK)
        rc = transport_check_endpoint(config->listen, transport.has_token, err);
    if (rc == MOB_OK)
        rc = recover(s, config, err);
    if (rc == MOB_OK)
        rc = transport_listen(&s->transport, config->listen, &transport, err);
    if (rc == MOB_OK)
        rc = watch(s, transport_fd(s->transport), err);
    if (rc == MOB_OK)
        rc = watch(s, s->daemon->signal_fd, err);
    if (rc == MOB_OK)
        rc = watch(s, s->daemon->life_fd, err);
    return rc;
}

int head_shell_run(const struct head_shell_config *config, struct daemon *daemon,
                   struct mob_err *err)
{
    struct shell s = {.daemon = daemon, .epoll_fd = -1};
    int rc = start(&s, config, err);
    if (rc == MOB_OK) {
        log_info("head.start endpoint=%s epoch=%" PRIu64 " data=%s",
                 transport_endpoint(s.transport), head_core_epoch(s.core),
                 config->data != NULL ? config->data : "memory");
        daemon_ready(daemon, transport_endpoint(s.transport));
        rc = serve(&s, err);
    }
    transport_close(s.transport);
    head_core_destroy(s.core);
    journal_close(s.journal);
    if (s.epoll_fd >= 0)
        close(s.epoll_fd);
    return rc;
}
