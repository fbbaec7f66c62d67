/* uplink.c: the node's conversation with the head: a numbered stream over a transport that may lose
 * it. Each new connection is a new session with a hello of its own; what was not acknowledged is
 * sent again in it. The head answers the hello first, so the first message of a session is
 * node_welcome, or refuse. */
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "node/shell_state.h"
#include "protocol/clock.h"
#include "protocol/link.h"
#include "protocol/log.h"
#include "protocol/transport.h"

enum {
    WELCOME_MS = 2000
}; /* a session that is not welcomed by then is given up for a new connection */

struct uplink {
    struct shell *shell;
    struct transport *transport;
    struct link link;
    struct watch watch;
    uint64_t incarnation, connection;
    bool started;        /* the link has a session */
    bool welcomed;       /* in this session */
    uint64_t session_ms; /* when it began */
    char machine[64];
};

static void on_ready(struct watch *watch, uint32_t events)
{
    /* Only the wake-up is wanted: the turn reads the transport until it is empty. */
    (void)watch;
    (void)events;
}

static void read_machine(char *out, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, out, size - 1) : 0;
    if (fd >= 0)
        close(fd);
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

int uplink_open(struct shell *shell, struct mob_err *err)
{
    struct uplink *up = memory_zalloc(sizeof *up);
    if (up == NULL)
        abort();
    shell->uplink = up;
    up->shell = shell;
    up->watch.fd = -1;
    read_machine(up->machine, sizeof up->machine);
    if (getrandom(&up->incarnation, sizeof up->incarnation, 0) < 0)
        up->incarnation = clock_now_ns();
    struct transport_config config = transport_config_default();
    config.has_token = shell->config->access.token.size > 0;
    int rc = transport_connect(&up->transport, shell->config->head, &config, err);
    if (rc == MOB_OK)
        rc =
            loop_add(&shell->loop, &up->watch, transport_fd(up->transport), EPOLLIN, on_ready, err);
    return rc;
}

void uplink_close(struct shell *shell)
{
    struct uplink *up = shell->uplink;
    if (up == NULL)
        return;
    loop_remove(&shell->loop, &up->watch);
    transport_close(up->transport);
    link_fini(&up->link);
    memory_free(up);
    shell->uplink = NULL;
}

static void start_session(struct uplink *up)
{
    const struct shell_config *config = up->shell->config;
    struct msg_node_hello hello = {
        .version = PROTOCOL_VERSION,
        .incarnation = up->incarnation,
        .token = config->access.token,
        .machine = view_of(up->machine),
        .local = view_of(config->local != NULL ? config->local : ""),
        .cpus = config->core.cpus,
        .store_bytes = config->core.store_bytes,
    };
    struct buffer bytes = {0};
    if (msg_node_hello_pack(&bytes, &hello) != MOB_OK)
        abort();
    struct view view = {buffer_head(&bytes), buffer_size(&bytes)};
    int rc = up->started ? link_restart(&up->link, clock_now_ns(), view)
                         : link_init(&up->link, clock_now_ns(), view);
    if (rc != MOB_OK)
        abort();
    buffer_fini(&bytes);
    up->started = true;
    up->welcomed = false;
    up->session_ms = up->shell->now_ms;
}

static void on_refuse(struct uplink *up, struct cursor *c, const struct message_head *head)
{
    struct msg_refuse m;
    char text[256];
    if (!msg_refuse_unpack(c, head, &m))
        return;
    if (m.code == MOB_EAGAIN) { /* the head cuts the connection, and a new one says hello again */
        log_warn("head.refused code=%s action=retry", mob_error_name((int)m.code));
        return;
    }
    snprintf(text, sizeof text, "the head refused this node: %.*s", (int)m.text.size,
             (const char *)m.text.data);
    node_shell_stop(up->shell, m.code < 0 ? (int)m.code : MOB_EDENIED, text);
}

/* Take the welcome off the front; what follows it is the core's. False: the session is of no use.
 */
static bool on_first(struct uplink *up, struct view *messages)
{
    struct cursor c = cursor_of(messages->data, messages->size);
    struct message_head head;
    struct msg_node_welcome m;
    if (!message_next(&c, &head))
        return false;
    if (head.number == MSG_refuse) {
        on_refuse(up, &c, &head);
        return false;
    }
    if (head.number != MSG_node_welcome || !msg_node_welcome_unpack(&c, &head, &m))
        return false;
    up->welcomed = true;
    node_core_welcomed(up->shell->core, &m, up->shell->now_ms);
    log_info("node.joined node=%" PRIu64 " epoch=%" PRIu64, m.node, m.epoch);
    *messages = (struct view){c.at, cursor_left(&c)};
    return true;
}

static void on_frame(struct uplink *up, struct view frame)
{
    struct view messages;
    /* A refusal comes outside of any session. */
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head first;
    if (message_next(&c, &first) && first.number == MSG_refuse) {
        on_refuse(up, &c, &first);
        return;
    }
    if (!up->started || link_on_frame(&up->link, frame, up->shell->now_ms) != MOB_OK) {
        log_warn("head.malformed");
        return;
    }
    while (link_next(&up->link, &messages)) {
        if (!up->welcomed && !on_first(up, &messages)) {
            log_warn("head.unexpected");
            continue;
        }
        if (messages.size > 0 &&
            node_core_on_head(up->shell->core, messages, up->shell->now_ms) != MOB_OK) {
            log_error("head.malformed action=reconnect");
            transport_cut(up->transport, up->connection);
        }
    }
}

/* True when anything had come. */
static bool receive(struct uplink *up)
{
    struct transport_event event;
    enum transport_event_kind kind;
    bool any = false;
    while ((kind = transport_next(up->transport, &event)) != TRANSPORT_NOTHING) {
        any = true;
        up->connection = event.sender.connection;
        if (kind == TRANSPORT_CONNECTED)
            start_session(up);
        else if (kind == TRANSPORT_FRAME)
            on_frame(up, event.frame);
        else
            log_warn("head.lost");
    }
    return any;
}

/* A frame that the transport does not take is repeated by the link. */
static void transmit(struct uplink *up)
{
    struct peer *peer = up->welcomed ? node_core_head(up->shell->core) : NULL;
    struct view frame;
    while (up->started && link_outgoing(&up->link, peer, up->shell->now_ms, &frame))
        if (transport_send(up->transport, 0, frame) != MOB_OK)
            break;
}

bool uplink_read(struct shell *shell)
{
    return receive(shell->uplink);
}

uint64_t uplink_write(struct shell *shell)
{
    struct uplink *up = shell->uplink;
    if (!up->started)
        return UINT64_MAX;
    /* The head sends nothing more to a node that it holds for lost, the welcome neither; the node
     * must speak first. */
    if (!up->welcomed && shell->now_ms >= up->session_ms + WELCOME_MS) {
        log_warn("head.silent action=reconnect");
        up->session_ms = shell->now_ms;
        transport_cut(up->transport, up->connection);
    }
    transmit(up);
    uint64_t next = link_deadline(&up->link),
             welcome = up->welcomed ? UINT64_MAX : up->session_ms + WELCOME_MS;
    return next < welcome ? next : welcome;
}

void uplink_goodbye(struct shell *shell, int code)
{
    struct uplink *up = shell->uplink;
    if (up == NULL || !up->welcomed)
        return;
    struct msg_node_goodbye m = {.code = code};
    if (peer_send(node_core_head(shell->core), node_goodbye, &m) == MOB_OK)
        transmit(up);
}
