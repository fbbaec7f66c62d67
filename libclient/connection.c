/* connection.c: descriptors become ends of rings and doorbells here and nowhere else; each is
 * closed as soon as it is mapped, so a worker with a thousand peers holds few of them. */
#include "libclient/connection.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void connection_init(struct connection *c)
{
    memset(c, 0, sizeof *c);
    c->control_fd = c->arena_fd = -1;
    c->bell.page_fd = c->bell.event_fd = c->node.event_fd = -1;
}

void connection_close(struct connection *c)
{
    ring_close(&c->ring);
    doorbell_close(&c->bell);
    doorbell_peer_close(&c->node);
    report_unmap(c->report);
    if (c->control_fd > 0)
        close(c->control_fd);
    if (c->arena_fd > 0)
        close(c->arena_fd);
    connection_init(c);
}

/* The parts that drivers and workers share; `first` is the place of the ring pair in the packet. */
static int open_shared(struct connection *c, struct control_packet *packet, unsigned first,
                       struct mob_err *err)
{
    const int *fds = packet->fds + first;
    int rc = ring_open(&c->ring, fds[0], RING_SIDE_1, err);
    if (rc == MOB_OK && c->bell.page == NULL)
        rc = doorbell_adopt(&c->bell, fds[1], err);
    if (rc == MOB_OK)
        rc = doorbell_peer_open(&c->node, DOORBELL_EVENTFD, fds[2], fds[3], err);
    if (rc == MOB_OK)
        c->arena_fd = control_packet_take(packet, first + 4);
    return rc;
}

static int read_welcome(struct connection *c, struct view bytes, struct mob_err *err)
{
    struct cursor at = cursor_of(bytes.data, bytes.size);
    struct message_head head;
    if (!message_next(&at, &head) || head.number != MSG_client_welcome ||
        !msg_client_welcome_unpack(&at, &head, &c->welcome))
        return mob_err_set(err, MOB_EPROTO, "the node sent something else than a welcome");
    return MOB_OK;
}

int connection_adopt(struct connection *c, struct view welcome, struct control_packet *packet,
                     struct mob_err *err)
{
    connection_init(c);
    if (packet->fd_count < CONNECTION_FORK_FDS)
        return mob_err_set(err, MOB_EPROTO, "a zygote_fork with %u descriptors instead of %d",
                           packet->fd_count, CONNECTION_FORK_FDS);
    int rc = read_welcome(c, welcome, err);
    if (rc == MOB_OK)
        rc = open_shared(c, packet, CONNECTION_RING, err);
    if (rc == MOB_OK && (c->report = report_map(packet->fds[CONNECTION_REPORT])) == NULL)
        rc = mob_err_system(err, "mapping the worker's report");
    if (rc != MOB_OK) {
        connection_close(c);
        return rc;
    }
    c->control_fd = control_packet_take(packet, CONNECTION_CONTROL);
    return MOB_OK;
}

static int send_hello(struct connection *c, int control_fd, const struct msg_client_hello *hello,
                      struct mob_err *err)
{
    int fds[2];
    unsigned fd_count = 0;
    int rc = MOB_OK;
    if (hello->descriptor) {
        rc = doorbell_create(&c->bell, DOORBELL_EVENTFD, &fds[0], &fds[1], err);
        fd_count = 2;
    }
    struct buffer bytes = {0};
    if (rc == MOB_OK && msg_client_hello_pack(&bytes, hello) != MOB_OK)
        rc = mob_err_set(err, MOB_ENOMEM, "packing the hello to the node");
    if (rc == MOB_OK)
        rc = control_send(control_fd, (struct view){buffer_head(&bytes), buffer_size(&bytes)}, fds,
                          fd_count, err);
    buffer_fini(&bytes);
    return rc;
}

static int on_answer(struct connection *c, struct control_packet *packet, struct mob_err *err)
{
    struct cursor at;
    struct message_head head;
    struct msg_refuse refuse;
    if (control_packet_read(packet, &at, &head) && head.number == MSG_refuse &&
        msg_refuse_unpack(&at, &head, &refuse))
        return mob_err_set(err, refuse.code < 0 ? (int)refuse.code : MOB_EPROTO, "%.*s",
                           (int)refuse.text.size, (const char *)refuse.text.data);
    struct view bytes = {buffer_head(&packet->bytes), buffer_size(&packet->bytes)};
    int rc = read_welcome(c, bytes, err);
    if (rc == MOB_OK && packet->fd_count < CONNECTION_WELCOME_FDS)
        rc = mob_err_set(err, MOB_EPROTO, "a welcome with %u descriptors instead of %d",
                         packet->fd_count, CONNECTION_WELCOME_FDS);
    return rc == MOB_OK ? open_shared(c, packet, 0, err) : rc;
}

int connection_greet(struct connection *c, int control_fd, const struct msg_client_hello *hello,
                     int timeout_ms, struct mob_err *err)
{
    connection_init(c);
    struct control_packet packet = {0};
    int rc = send_hello(c, control_fd, hello, err);
    if (rc == MOB_OK)
        rc = control_receive(control_fd, &packet, timeout_ms, err);
    if (rc == MOB_OK)
        rc = on_answer(c, &packet, err);
    control_packet_fini(&packet);
    if (rc != MOB_OK) {
        connection_close(c);
        return rc;
    }
    c->control_fd = control_fd;
    return MOB_OK;
}

int connection_dial(const char *local, int *fd, struct mob_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(local);
    if (length == 0 || length >= sizeof address.sun_path)
        return mob_err_set(err, MOB_EINVAL, "the node's local socket \"%s\": give 1 to %zu bytes",
                           local, sizeof address.sun_path - 1);
    memcpy(address.sun_path, local, length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (local[0] == '@') {
        address.sun_path[0] = '\0';
        size--;
    }
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return mob_err_system(err, "connecting to the node: socket");
    if (connect(*fd, (struct sockaddr *)&address, size) == 0)
        return MOB_OK;
    int rc = mob_err_set(err, MOB_ENONODE, "connecting to the node at %s: %s; is it running?",
                         local, strerror(errno));
    close(*fd);
    *fd = -1;
    return rc;
}

/* The kind of a peer's doorbell shows in its descriptors: an eventfd comes with its page. */
static int open_peer(struct connection_peer *peer, const struct control_packet *packet,
                     struct mob_err *err)
{
    struct cursor at;
    struct message_head head;
    struct msg_peer_open m;
    if (!control_packet_read(packet, &at, &head) || head.number != MSG_peer_open ||
        !msg_peer_open_unpack(&at, &head, &m) || m.side > 1 || packet->fd_count < 2)
        return mob_err_set(err, MOB_EPROTO, "the node sent something else than a ring pair");
    peer->process.v = m.process;
    peer->side = (int)m.side;
    bool event = packet->fd_count > 2;
    int rc = ring_open(&peer->ring, packet->fds[0], peer->side, err);
    if (rc == MOB_OK)
        rc = doorbell_peer_open(&peer->bell, event ? DOORBELL_EVENTFD : DOORBELL_FUTEX,
                                packet->fds[1], event ? packet->fds[2] : -1, err);
    return rc;
}

int connection_next_peer(struct connection *c, struct connection_peer *peer, int timeout_ms,
                         struct mob_err *err)
{
    memset(peer, 0, sizeof *peer);
    peer->bell.event_fd = -1;
    struct control_packet packet = {0};
    int rc = control_receive(c->control_fd, &packet, timeout_ms, err);
    if (rc == MOB_OK)
        rc = open_peer(peer, &packet, err);
    control_packet_fini(&packet);
    if (rc != MOB_OK)
        connection_peer_close(peer);
    return rc;
}

void connection_peer_close(struct connection_peer *peer)
{
    ring_close(&peer->ring);
    doorbell_peer_close(&peer->bell);
    peer->process.v = 0;
}
