/* transport.c: libzmq gives no "peer has gone" to a ROUTER and no identity with a message beyond
 * what its I/O thread noted, so both are put together here.
 *
 * Connections are known by the routing id that libzmq makes for each (five bytes, the first 0;
 * peers cannot choose such a one), and get a number of our own that never comes back. Their end is
 * learned from the socket's monitor, which names descriptors, and a descriptor may be used again at
 * once. The I/O thread reports in order: accepted, [messages], disconnected; and a message becomes
 * visible after its connection's `accepted`. So before a peer is noted at its first message, all of
 * the monitor is read: then the table by descriptor is at least as new as the message, and every
 * `disconnected` that comes later is about the peer noted there, or about one that has died unread.
 *
 * Rejected: czmq (changes signal handlers, allocates per frame), ZMQ_ROUTER_NOTIFY (draft, not in
 * Debian's build), ROUTER_HANDOVER and chosen routing ids (anybody could take over another's). */
#include "protocol/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define uthash_fatal(text) abort()
#include <uthash.h>
#include <utlist.h>
#include <zmq.h>

#include "protocol/memory.h"
#include "protocol/outbox.h"

enum { ID_SIZE = 5, ENDPOINT_MAX = 256, FD_MAX = 1 << 20, LINK_ROOM = 64 };

struct transport_peer {
    uint64_t connection, uid;
    uint8_t id[ID_SIZE];
    uint64_t key; /* id as a number */
    int fd;
    uint64_t cookie; /* of the socket that fd was when it was noted */
    bool cut, gone;
    struct transport_peer *prev, *next; /* in the list of those gone */
    UT_hash_handle by_key, by_connection;
};

struct transport_fd {
    bool open;
    struct transport_peer *peer;
};

struct transport {
    struct transport_config config;
    bool listens;
    void *context, *socket, *monitor;
    int epoll_fd, lock_fd;
    char path[ENDPOINT_MAX], endpoint[ENDPOINT_MAX];
    zmq_msg_t body;
    bool has_body;
    struct transport_peer *peers_by_key, *peers_by_connection, *gone;
    struct transport_fd *fds;
    size_t fd_count;
    uint64_t last_connection;
    bool connected; /* connecting side */
    struct transport_counts counts;
};

struct transport_config transport_config_default(void)
{
    return (struct transport_config){.peers_max = 1100,
                                     .frame_max = MESSAGE_SIZE_MAX + FRAME_SIZE_AIM + LINK_ROOM,
                                     .queue_frames = 256};
}

/* ---- endpoints ---- */

static bool loopback(const char *host_and_port)
{
    unsigned a, b, c, d, port;
    int used = 0;
    if (sscanf(host_and_port, "%3u.%3u.%3u.%3u:%n", &a, &b, &c, &d, &used) != 4 || used == 0) {
        used = strncmp(host_and_port, "[::1]:", 6) == 0 ? 6 : 0;
        a = 127;
    }
    const char *digits = host_and_port + used;
    return used != 0 && a == 127 && (strcmp(digits, "*") == 0 || sscanf(digits, "%5u", &port) == 1);
}

int transport_check_endpoint(const char *endpoint, bool has_token, struct mob_err *err)
{
    static const char allowed[] =
        "use ipc:///path, ipc://@name, or tcp://127.0.0.1:PORT with a token";
    struct sockaddr_un address;
    if (strncmp(endpoint, "ipc://", 6) == 0) {
        if (endpoint[6] == 0 || (endpoint[6] != '@' && endpoint[6] != '/'))
            return mob_err_set(err, MOB_EINVAL, "%s: an ipc endpoint is a whole path or @name; %s",
                               endpoint, allowed);
        if (strlen(endpoint + 6) >= sizeof address.sun_path)
            return mob_err_set(err, MOB_EINVAL,
                               "%s: longer than the %zu bytes that a local socket's path may have",
                               endpoint, sizeof address.sun_path - 1);
        return MOB_OK;
    }
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return mob_err_set(err, MOB_EINVAL, "%s: not an endpoint; %s", endpoint, allowed);
    if (!loopback(endpoint + 6))
        return mob_err_set(err, MOB_EINSECURE,
                           "%s: other machines are not reached without keys; %s", endpoint,
                           allowed);
    if (!has_token)
        return mob_err_set(err, MOB_EINSECURE, "%s: anybody on this machine could connect; %s",
                           endpoint, allowed);
    return MOB_OK;
}

/* One process per ipc path: libzmq would take over the path of one that runs. The lock file may
 * have been removed by the one that held it between open and flock: then it is made again. */
static int path_lock(struct transport *t, const char *path, struct mob_err *err)
{
    char lock[ENDPOINT_MAX + 8];
    snprintf(lock, sizeof lock, "%s.lock", path);
    for (;;) {
        t->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (t->lock_fd < 0)
            return mob_err_system(err, "cannot open %s", lock);
        if (flock(t->lock_fd, LOCK_EX | LOCK_NB) != 0) {
            int rc = errno == EWOULDBLOCK
                         ? mob_err_set(
                               err, MOB_ENAMETAKEN,
                               "%s is served by another process; stop it or use another path", path)
                         : mob_err_system(err, "cannot lock %s", lock);
            close(t->lock_fd);
            t->lock_fd = -1;
            return rc;
        }
        struct stat held, there;
        if (fstat(t->lock_fd, &held) == 0 && stat(lock, &there) == 0 &&
            held.st_ino == there.st_ino && held.st_dev == there.st_dev)
            break;
        close(t->lock_fd);
    }
    snprintf(t->path, sizeof t->path, "%s", path);
    return MOB_OK;
}

static void path_unlock(struct transport *t)
{
    if (t->lock_fd < 0)
        return;
    char lock[ENDPOINT_MAX + 8];
    snprintf(lock, sizeof lock, "%s.lock", t->path);
    unlink(t->path);
    unlink(lock);
    close(t->lock_fd);
}

/* ---- opening and closing ---- */

static int zmq_failed(struct mob_err *err, const char *what, const char *endpoint)
{
    return mob_err_set(err, MOB_ESYSTEM, "%s: %s: %s", endpoint, what, zmq_strerror(zmq_errno()));
}

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_options(struct transport *t)
{
    int64_t frame_max = (int64_t)t->config.frame_max;
    bool done = set_int(t->socket, ZMQ_LINGER, 0) &&
                set_int(t->socket, ZMQ_SNDHWM, (int)t->config.queue_frames) &&
                set_int(t->socket, ZMQ_RCVHWM, (int)t->config.queue_frames) &&
                set_int(t->socket, ZMQ_HANDSHAKE_IVL, 2000) &&
                zmq_setsockopt(t->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0;
    if (t->listens)
        return done && set_int(t->socket, ZMQ_ROUTER_MANDATORY, 1) &&
               set_int(t->socket, ZMQ_BACKLOG, 1024);
    return done && set_int(t->socket, ZMQ_IMMEDIATE, 1) &&
           set_int(t->socket, ZMQ_RECONNECT_IVL, 1) &&
           set_int(t->socket, ZMQ_RECONNECT_IVL_MAX, 1000);
}

static bool watch(struct transport *t, void *socket)
{
    int fd;
    size_t size = sizeof fd;
    struct epoll_event event = {.events = EPOLLIN};
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 &&
           epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Context, socket, monitor, epoll: everything but bind or connect. */
static int open_sockets(struct transport *t, const char *endpoint, struct mob_err *err)
{
    static const char monitor_endpoint[] = "inproc://monitor";
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                 ZMQ_EVENT_DISCONNECTED;
    t->context = zmq_ctx_new();
    if (t->context == NULL)
        return zmq_failed(err, "no libzmq context", endpoint);
    zmq_ctx_set(t->context, ZMQ_IO_THREADS, 1);
    zmq_ctx_set(t->context, ZMQ_MAX_SOCKETS, 8);
    zmq_ctx_set(t->context, ZMQ_BLOCKY, 0);
    t->socket = zmq_socket(t->context, t->listens ? ZMQ_ROUTER : ZMQ_DEALER);
    t->monitor = zmq_socket(t->context, ZMQ_PAIR);
    if (t->socket == NULL || t->monitor == NULL)
        return zmq_failed(err, "no libzmq socket", endpoint);
    if (!set_options(t) || !set_int(t->monitor, ZMQ_LINGER, 0) ||
        !set_int(t->monitor, ZMQ_RCVHWM, 0) ||
        zmq_socket_monitor(t->socket, monitor_endpoint, events) != 0 ||
        zmq_connect(t->monitor, monitor_endpoint) != 0)
        return zmq_failed(err, "cannot set the socket up", endpoint);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll_fd < 0 || !watch(t, t->socket) || !watch(t, t->monitor))
        return mob_err_system(err, "%s: cannot watch the socket", endpoint);
    return MOB_OK;
}

static struct transport *transport_new(const struct transport_config *config, bool listens)
{
    struct transport *t = memory_zalloc(sizeof *t);
    if (t == NULL)
        return NULL;
    t->config = *config;
    t->listens = listens;
    t->epoll_fd = t->lock_fd = -1;
    return t;
}

static int bind_socket(struct transport *t, const char *endpoint, struct mob_err *err)
{
    bool file = strncmp(endpoint, "ipc:///", 7) == 0;
    int rc = file ? path_lock(t, endpoint + 6, err) : MOB_OK;
    if (rc != MOB_OK)
        return rc;
    if (zmq_bind(t->socket, endpoint) != 0)
        return zmq_failed(err, "cannot listen", endpoint);
    if (file && chmod(t->path, t->config.shared ? 0666 : 0600) != 0)
        return mob_err_system(err, "%s: cannot set its mode", t->path);
    size_t size = sizeof t->endpoint;
    if (zmq_getsockopt(t->socket, ZMQ_LAST_ENDPOINT, t->endpoint, &size) != 0)
        return zmq_failed(err, "cannot read where it listens", endpoint);
    return MOB_OK;
}

int transport_listen(struct transport **out, const char *endpoint,
                     const struct transport_config *config, struct mob_err *err)
{
    int rc = transport_check_endpoint(endpoint, config->has_token, err);
    if (rc != MOB_OK)
        return rc;
    struct transport *t = transport_new(config, true);
    if (t == NULL)
        return mob_err_set(err, MOB_ENOMEM, "%s: no memory", endpoint);
    rc = open_sockets(t, endpoint, err);
    if (rc == MOB_OK)
        rc = bind_socket(t, endpoint, err);
    if (rc != MOB_OK) {
        transport_close(t);
        return rc;
    }
    *out = t;
    return MOB_OK;
}

int transport_connect(struct transport **out, const char *endpoint,
                      const struct transport_config *config, struct mob_err *err)
{
    int rc = transport_check_endpoint(endpoint, config->has_token, err);
    if (rc != MOB_OK)
        return rc;
    struct transport *t = transport_new(config, false);
    if (t == NULL)
        return mob_err_set(err, MOB_ENOMEM, "%s: no memory", endpoint);
    rc = open_sockets(t, endpoint, err);
    if (rc == MOB_OK && zmq_connect(t->socket, endpoint) != 0)
        rc = zmq_failed(err, "cannot connect", endpoint);
    if (rc != MOB_OK) {
        transport_close(t);
        return rc;
    }
    snprintf(t->endpoint, sizeof t->endpoint, "%s", endpoint);
    *out = t;
    return MOB_OK;
}

static void peer_forget(struct transport *t, struct transport_peer *peer)
{
    if (peer->gone)
        DL_DELETE(t->gone, peer);
    else
        HASH_DELETE(by_key, t->peers_by_key, peer);
    HASH_DELETE(by_connection, t->peers_by_connection, peer);
    memory_free(peer);
}

void transport_close(struct transport *t)
{
    if (t == NULL)
        return;
    if (t->has_body)
        zmq_msg_close(&t->body);
    /* The monitor ends before its reader: without one, libzmq's thread would wait for ever to tell
     * it of a connection, with the lock held that ending it needs. */
    if (t->socket != NULL)
        zmq_socket_monitor(t->socket, NULL, 0);
    if (t->monitor != NULL)
        zmq_close(t->monitor);
    if (t->socket != NULL)
        zmq_close(t->socket);
    while (t->context != NULL && zmq_ctx_term(t->context) != 0 && zmq_errno() == EINTR)
        ;
    path_unlock(t);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
    struct transport_peer *peer, *next;
    HASH_ITER(by_connection, t->peers_by_connection, peer, next)
    peer_forget(t, peer);
    memory_free(t->fds);
    memory_free(t);
}

/* ---- who is there ---- */

static struct transport_fd *fd_slot(struct transport *t, int fd)
{
    if (fd < 0 || fd >= FD_MAX)
        return NULL;
    if ((size_t)fd >= t->fd_count) {
        size_t count = 2 * (size_t)fd + 64;
        struct transport_fd *fds = memory_realloc(t->fds, count * sizeof *fds);
        if (fds == NULL)
            abort();
        memset(fds + t->fd_count, 0, (count - t->fd_count) * sizeof *fds);
        t->fds = fds;
        t->fd_count = count;
    }
    return &t->fds[fd];
}

/* Its GONE will be reported; its routing id means nothing any more. */
static void peer_gone_at(struct transport *t, struct transport_fd *slot)
{
    struct transport_peer *peer = slot->peer;
    if (peer == NULL)
        return;
    slot->peer = NULL;
    HASH_DELETE(by_key, t->peers_by_key, peer);
    peer->gone = true;
    DL_APPEND(t->gone, peer);
}

/* One monitor event, 0 when there is none. */
static int monitor_read(struct transport *t, int *value)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, t->monitor, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&part);
        return 0;
    }
    uint16_t event = 0;
    uint32_t number = 0;
    const uint8_t *data = zmq_msg_data(&part);
    if (zmq_msg_size(&part) == sizeof event + sizeof number) {
        memcpy(&event, data, sizeof event);
        memcpy(&number, data + sizeof event, sizeof number);
    }
    while (zmq_msg_more(&part) && zmq_msg_recv(&part, t->monitor, ZMQ_DONTWAIT) >= 0)
        ;
    zmq_msg_close(&part);
    *value = (int)number;
    return event;
}

static void monitor_drain(struct transport *t)
{
    int fd;
    for (int event; (event = monitor_read(t, &fd)) != 0;) {
        struct transport_fd *slot = fd_slot(t, fd);
        if (slot == NULL || (event != ZMQ_EVENT_ACCEPTED && event != ZMQ_EVENT_DISCONNECTED))
            continue;
        peer_gone_at(t, slot);
        slot->open = event == ZMQ_EVENT_ACCEPTED;
    }
}

/* The uid that the kernel noted for the connection of this message; UINT64_MAX when it has none.
 * libzmq adds :uid:gid:pid to the address of an ipc peer when it accepts or makes the connection.
 */
static uint64_t message_uid(zmq_msg_t *body, bool local)
{
    const char *address = zmq_msg_gets(body, "Peer-Address");
    unsigned long long uid, gid, pid;
    const char *colon = address != NULL ? strchr(address, ':') : NULL;
    if (local && colon != NULL && sscanf(colon, ":%llu:%llu:%llu", &uid, &gid, &pid) == 3)
        return uid;
    return UINT64_MAX;
}

static bool is_local(const struct transport *t)
{
    return strncmp(t->endpoint, "ipc:", 4) == 0;
}

static uint64_t socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* First message of a connection. NULL: it is refused. */
static struct transport_peer *peer_note(struct transport *t, uint64_t key, const uint8_t *id)
{
    int fd = zmq_msg_get(&t->body, ZMQ_SRCFD);
    monitor_drain(t);
    struct transport_fd *slot = fd_slot(t, fd);
    if (slot == NULL || !slot->open || slot->peer != NULL) {
        /* It has ended, and its descriptor may be another's already. */
        t->counts.dead++;
        return NULL;
    }
    if (HASH_CNT(by_connection, t->peers_by_connection) >= t->config.peers_max) {
        t->counts.beyond_max++;
        shutdown(fd, SHUT_RDWR);
        return NULL;
    }
    struct transport_peer *peer = memory_zalloc(sizeof *peer);
    if (peer == NULL)
        abort();
    peer->connection = ++t->last_connection;
    peer->uid = message_uid(&t->body, is_local(t));
    peer->key = key;
    peer->fd = fd;
    peer->cookie = socket_cookie(fd);
    memcpy(peer->id, id, ID_SIZE);
    slot->peer = peer;
    HASH_ADD(by_key, t->peers_by_key, key, sizeof key, peer);
    HASH_ADD(by_connection, t->peers_by_connection, connection, sizeof peer->connection, peer);
    return peer;
}

static void peer_cut(struct transport_peer *peer)
{
    if (!peer->cut && !peer->gone && socket_cookie(peer->fd) == peer->cookie)
        shutdown(peer->fd, SHUT_RDWR);
    peer->cut = true;
}

/* ---- receiving ---- */

/* Drop the parts that follow; true when there were any. */
static bool drain_parts(struct transport *t)
{
    bool more = zmq_msg_more(&t->body) != 0;
    while (zmq_msg_more(&t->body) && zmq_msg_recv(&t->body, t->socket, ZMQ_DONTWAIT) >= 0)
        ;
    t->counts.multipart += more;
    return more;
}

/* A message of the listening side: its id, then its body. 1: an event; 0: there is none; -1:
 * refused, go on. */
static int router_receive(struct transport *t, struct transport_event *event)
{
    uint64_t key = 0;
    if (zmq_msg_recv(&t->body, t->socket, ZMQ_DONTWAIT) < 0)
        return 0;
    const uint8_t *id = zmq_msg_data(&t->body);
    bool chosen = zmq_msg_size(&t->body) != ID_SIZE || id[0] != 0;
    if (!chosen)
        memcpy(&key, id, ID_SIZE);
    if (!zmq_msg_more(&t->body) || zmq_msg_recv(&t->body, t->socket, ZMQ_DONTWAIT) < 0)
        return -1;
    int fd = zmq_msg_get(&t->body, ZMQ_SRCFD);
    struct transport_peer *peer;
    HASH_FIND(by_key, t->peers_by_key, &key, sizeof key, peer);
    if (peer == NULL && !chosen)
        peer = peer_note(t, key, (const uint8_t *)&key);
    if (drain_parts(t)) {
        if (peer != NULL)
            peer_cut(peer);
        return -1;
    }
    if (chosen) {
        t->counts.chosen_id++;
        shutdown(fd, SHUT_RDWR);
    }
    if (peer == NULL || peer->cut)
        return -1;
    event->kind = TRANSPORT_FRAME;
    event->sender = (struct sender){peer->connection, peer->uid};
    return 1;
}

static int dealer_receive(struct transport *t, struct transport_event *event)
{
    if (zmq_msg_recv(&t->body, t->socket, ZMQ_DONTWAIT) < 0)
        return 0;
    if (drain_parts(t))
        return -1;
    event->kind = TRANSPORT_FRAME;
    event->sender = (struct sender){t->last_connection, message_uid(&t->body, is_local(t))};
    return 1;
}

/* The connecting side's monitor: a connection is there, or has ended. */
static bool dealer_watch(struct transport *t, struct transport_event *event)
{
    int value;
    for (int kind; (kind = monitor_read(t, &value)) != 0;) {
        if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            t->connected = true;
            *event = (struct transport_event){.kind = TRANSPORT_CONNECTED,
                                              .sender = {++t->last_connection, UINT64_MAX}};
            return true;
        }
        if (kind == ZMQ_EVENT_DISCONNECTED && t->connected) {
            t->connected = false;
            *event = (struct transport_event){.kind = TRANSPORT_GONE,
                                              .sender = {t->last_connection, UINT64_MAX}};
            return true;
        }
    }
    return false;
}

static bool report_gone(struct transport *t, struct transport_event *event)
{
    struct transport_peer *peer = t->gone;
    if (peer == NULL)
        return false;
    *event =
        (struct transport_event){.kind = TRANSPORT_GONE, .sender = {peer->connection, peer->uid}};
    peer_forget(t, peer);
    return true;
}

enum transport_event_kind transport_next(struct transport *t, struct transport_event *event)
{
    *event = (struct transport_event){.kind = TRANSPORT_NOTHING};
    if (t->has_body)
        zmq_msg_close(&t->body);
    t->has_body = false;
    if (t->listens ? report_gone(t, event) : dealer_watch(t, event))
        return event->kind;
    zmq_msg_init(&t->body);
    t->has_body = true;
    int received;
    do
        received = t->listens ? router_receive(t, event) : dealer_receive(t, event);
    while (received < 0);
    if (received > 0) {
        t->counts.frames++;
        event->frame = (struct view){zmq_msg_data(&t->body), zmq_msg_size(&t->body)};
        return event->kind;
    }
    if (t->listens) {
        monitor_drain(t);
        report_gone(t, event);
    }
    return event->kind;
}

/* ---- sending ---- */

static int send_failed(struct transport *t)
{
    if (zmq_errno() == EAGAIN) {
        t->counts.queue_full++;
        return MOB_EAGAIN;
    }
    t->counts.unreachable++;
    return MOB_EPEERDIED;
}

int transport_send(struct transport *t, uint64_t connection, struct view frame)
{
    if (t->listens) {
        struct transport_peer *peer;
        HASH_FIND(by_connection, t->peers_by_connection, &connection, sizeof connection, peer);
        if (peer == NULL || peer->gone || peer->cut) {
            t->counts.unreachable++;
            return MOB_EPEERDIED;
        }
        if (zmq_send(t->socket, peer->id, ID_SIZE, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
            return send_failed(t);
    }
    if (zmq_send(t->socket, frame.data, frame.size, ZMQ_DONTWAIT) < 0)
        return send_failed(t);
    t->counts.sent++;
    return MOB_OK;
}

void transport_cut(struct transport *t, uint64_t connection)
{
    struct transport_peer *peer;
    HASH_FIND(by_connection, t->peers_by_connection, &connection, sizeof connection, peer);
    if (peer != NULL)
        peer_cut(peer);
}

int transport_fd(const struct transport *t)
{
    return t->epoll_fd;
}

const char *transport_endpoint(const struct transport *t)
{
    return t->endpoint;
}

void transport_counts(const struct transport *t, struct transport_counts *out)
{
    *out = t->counts;
    out->peers = HASH_CNT(by_connection, t->peers_by_connection);
}
