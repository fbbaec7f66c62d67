/* join.c: the way into a cluster that runs already: the head says which node is this machine's, its
 * local socket does the rest. libzmq is used for this one question and closed again, so a joined
 * driver looks like a private one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "libclient/cluster.h"
#include "libclient/shell.h"
#include "protocol/transport.h"

enum { AGAIN_MS = 200 };

struct question {
    struct transport *transport;
    uint64_t request;
    char machine[64], local[128];
    bool answered;
};

static void machine_read(char *machine, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, machine, size - 1) : 0;
    if (fd >= 0)
        close(fd);
    machine[n > 0 ? n : 0] = '\0';
    machine[strcspn(machine, "\n")] = '\0';
}

static int question_send(struct question *q, struct mob_err *err)
{
    struct buffer b = {0};
    struct msg_driver_hello m = {
        .version = PROTOCOL_VERSION, .request = q->request, .machine = view_of(q->machine)};
    int rc = msg_driver_hello_pack(&b, &m);
    if (rc == MOB_OK)
        rc = transport_send(q->transport, 0, (struct view){b.data, buffer_size(&b)});
    buffer_fini(&b);
    if (rc == MOB_EAGAIN)
        rc = MOB_OK; /* not connected yet: it is asked again */
    return rc == MOB_OK ? rc : mob_err_set(err, rc, "cannot ask the head: %s", mob_error_text(rc));
}

static int answer_take(struct question *q, struct view frame, struct mob_err *err)
{
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head head;
    struct msg_driver_welcome m;
    struct msg_refuse no;
    if (!message_next(&c, &head))
        return mob_err_set(err, MOB_EPROTO, "the head's answer is malformed");
    if (head.number == MSG_refuse && msg_refuse_unpack(&c, &head, &no))
        return mob_err_set(err, (int)no.code, "the head refuses: %.*s", (int)no.text.size,
                           (const char *)no.text.data);
    if (head.number != MSG_driver_welcome || !msg_driver_welcome_unpack(&c, &head, &m) ||
        m.request != q->request)
        return MOB_OK; /* an answer to somebody else's question is none */
    if (m.local.size == 0 || m.local.size >= sizeof q->local)
        return mob_err_set(err, MOB_ENONODE,
                           "the head knows no node on this machine; start mobula-node here");
    memcpy(q->local, m.local.data, m.local.size);
    q->local[m.local.size] = '\0';
    q->answered = true;
    return MOB_OK;
}

static int question_ask(struct question *q, const char *address, int timeout_ms,
                        struct mob_err *err)
{
    uint64_t deadline = shell_now_ns() + (uint64_t)timeout_ms * 1000000, again = 0;
    int rc = MOB_OK;
    while (rc == MOB_OK && !q->answered) {
        uint64_t now = shell_now_ns();
        struct transport_event event;
        if (now >= deadline)
            return mob_err_set(err, MOB_ENOHEAD, "no answer from a head at %s within %d ms",
                               address, timeout_ms);
        enum transport_event_kind kind = transport_next(q->transport, &event);
        if (kind == TRANSPORT_FRAME)
            rc = answer_take(q, event.frame, err);
        else if (kind == TRANSPORT_CONNECTED)
            again = 0;
        else if (kind == TRANSPORT_NOTHING && now >= again) {
            rc = question_send(q, err);
            again = now + AGAIN_MS * 1000000ull;
        } else if (kind == TRANSPORT_NOTHING) {
            struct pollfd p = {.fd = transport_fd(q->transport), .events = POLLIN};
            uint64_t until = again < deadline ? again : deadline;
            (void)poll(&p, 1,
                       (int)((until - now) / 1000000) + 1); /* whatever woke us: look again */
        }
    }
    return rc;
}

/* libzmq goes on trying what will never be let in, and says nothing. */
static int socket_check(const char *address, struct mob_err *err)
{
    if (strncmp(address, "ipc:///", 7) != 0)
        return MOB_OK;
    const char *path = address + 6;
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 || errno != EACCES)
        return MOB_OK;
    return mob_err_set(
        err, MOB_EDENIED,
        "the head's socket %s is not open to uid %u: run as its user, or start head and "
        "node with --uid %u",
        path, (unsigned)geteuid(), (unsigned)geteuid());
}

int cluster_join(const struct cluster_want *want, struct connection *out, struct mob_err *err)
{
    struct question q = {0};
    struct transport_config config = transport_config_default();
    machine_read(q.machine, sizeof q.machine);
    if (getrandom(&q.request, sizeof q.request, 0) != sizeof q.request)
        return mob_err_system(err, "no random bytes");
    int rc = socket_check(want->address, err);
    if (rc == MOB_OK)
        rc = transport_connect(&q.transport, want->address, &config, err);
    if (rc == MOB_OK)
        rc = question_ask(&q, want->address, want->timeout_ms, err);
    transport_close(q.transport);
    int fd = -1;
    if (rc == MOB_OK)
        rc = connection_dial(q.local, &fd, err);
    if (rc == MOB_OK && (rc = cluster_greet(want, fd, out, err)) != MOB_OK)
        close(fd);
    return rc;
}
