/* local.c: how a driver comes in: it connects, says hello, and is a member or is refused with a
 * sentence. Who it is comes from the kernel (SO_PEERCRED), also for the socket that a private
 * driver left to this node: it was made by that process. A hello waits in its socket until the head
 * has sent process ids. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/shell_state.h"

/* ---- greetings ---- */

void local_drop(struct greeting *g)
{
    struct shell *shell = g->shell;
    int control_fd = g->control.fd;
    loop_remove(&shell->loop, &g->control);
    const int fds[] = {control_fd, g->page_fd, g->event_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    launch_owner_fini(&g->owner);
    DL_DELETE(shell->greetings, g);
    shell->greeting_count--;
    shell->stranger_count -= g->stranger;
    memory_free(g);
}

void local_refuse(struct greeting *g, int code, const char *text)
{
    struct buffer bytes = {0};
    struct msg_refuse m = {.code = code, .text = view_of(text)};
    if (msg_refuse_pack(&bytes, &m) != MOB_OK)
        abort();
    struct view message = {buffer_head(&bytes), buffer_size(&bytes)};
    /* One that does not read it hears nothing more than the end of the socket. */
    int rc = control_send(g->control.fd, message, NULL, 0, NULL);
    (void)rc;
    buffer_fini(&bytes);
    local_drop(g);
}

struct greeting *local_find(struct shell *shell, struct mob_process process)
{
    struct greeting *g;
    DL_SEARCH_SCALAR(shell->greetings, g, process.v, process.v);
    return g;
}

/* Its own user and root come in without the token: they could read it anyway. */
static int check_user(const struct shell *shell, int fd, struct control_peer *peer,
                      struct mob_err *err)
{
    int rc = control_peer_of(fd, peer, err);
    if (rc != MOB_OK)
        return rc;
    struct sender sender = {.connection = 1, .uid = peer->uid};
    struct access access = shell->config->access;
    access.token = (struct view){NULL, 0};
    return access_check(&access, &sender, (struct view){NULL, 0}, err);
}

static int take_doorbell(struct greeting *g, const struct msg_client_hello *m,
                         struct control_packet *packet, struct mob_err *err)
{
    if (!m->descriptor)
        return MOB_OK;
    if (packet->fd_count < 2)
        return mob_err_set(err, MOB_EPROTO,
                           "a hello that wants a descriptor came without its doorbell");
    g->page_fd = control_packet_take(packet, 0);
    g->event_fd = control_packet_take(packet, 1);
    return MOB_OK;
}

static int on_hello(struct greeting *g, struct control_packet *packet, struct mob_err *err)
{
    struct cursor c;
    struct message_head head;
    struct msg_client_hello m;
    struct control_peer peer;
    if (!control_packet_read(packet, &c, &head) || head.number != MSG_client_hello)
        return mob_err_set(err, MOB_EPROTO, "the node expected a client_hello");
    /* The version is the first field, whatever else another version says. */
    struct cursor look = c;
    uint32_t version = cursor_u32(&look);
    if (!look.failed && version != PROTOCOL_VERSION)
        return mob_err_set(
            err, MOB_EVERSION,
            "this program speaks version %u of the protocol and the node version %d: "
            "use the same version of Mobula on both sides",
            version, PROTOCOL_VERSION);
    if (!msg_client_hello_unpack(&c, &head, &m))
        return mob_err_set(err, MOB_EPROTO, "a malformed client_hello");
    int rc = check_user(g->shell, g->control.fd, &peer, err);
    if (rc == MOB_OK)
        rc = launch_owner_init(&g->owner, g->control.fd, &peer, err);
    if (rc == MOB_OK)
        rc = take_doorbell(g, &m, packet, err);
    if (rc != MOB_OK)
        return rc;
    g->pid = peer.pid;
    m.pid = (uint64_t)peer.pid;
    g->give_up_ms = UINT64_MAX;
    g->process = node_core_driver_hello(g->shell->core, &m, peer.uid, g->shell->now_ms, err);
    return g->process.v != 0 ? MOB_OK : err->code;
}

static void on_greeting(struct watch *watch, uint32_t events)
{
    struct greeting *g = (struct greeting *)((char *)watch - offsetof(struct greeting, control));
    struct shell *shell = g->shell;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0 || g->process.v != 0) {
        /* Gone, or talking out of turn, before it was let in. */
        if (g->process.v != 0)
            node_core_driver_gone(shell->core, g->process, shell->now_ms);
        local_drop(g);
        return;
    }
    if (node_core_ids_left(shell->core) == 0) {
        g->held = true;
        loop_change(&shell->loop, &g->control, 0);
        return;
    }
    struct control_packet packet = {0};
    struct mob_err err = {0};
    int rc = control_receive(g->control.fd, &packet, 0, &err);
    if (rc == MOB_OK)
        rc = on_hello(g, &packet, &err);
    control_packet_fini(&packet);
    if (rc == MOB_ETIMEDOUT)
        return;
    if (rc == MOB_EPEERDIED)
        local_drop(g);
    else if (rc != MOB_OK)
        local_refuse(g, rc, err.text);
}

/* Anybody may connect, to be told why not to; a user who is not let in may not keep the others out
 * by saying nothing. */
static bool may_greet(const struct shell *shell, bool stranger)
{
    return stranger ? shell->stranger_count < STRANGERS_MAX
                    : shell->greeting_count - shell->stranger_count < LOCAL_PENDING_MAX;
}

static int greet(struct shell *shell, int fd, bool stranger, struct mob_err *err)
{
    struct greeting *g = memory_zalloc(sizeof *g);
    if (g == NULL)
        abort();
    g->shell = shell;
    g->page_fd = g->event_fd = g->owner.exe_fd = -1;
    g->give_up_ms = shell->now_ms + GREETING_MS;
    g->stranger = stranger;
    int rc = loop_add(&shell->loop, &g->control, fd, EPOLLIN, on_greeting, err);
    if (rc != MOB_OK) {
        memory_free(g);
        return rc;
    }
    DL_APPEND(shell->greetings, g);
    shell->greeting_count++;
    shell->stranger_count += stranger;
    return MOB_OK;
}

uint64_t local_tick(struct shell *shell)
{
    uint64_t next = UINT64_MAX;
    struct greeting *g, *after;
    bool ids = node_core_ids_left(shell->core) > 0;
    DL_FOREACH_SAFE(shell->greetings, g, after)
    {
        if (g->held && ids) {
            g->held = false;
            g->give_up_ms = shell->now_ms + GREETING_MS;
            loop_change(&shell->loop, &g->control, EPOLLIN);
        }
        if (g->held)
            continue;
        if (shell->now_ms >= g->give_up_ms)
            local_refuse(g, MOB_ETIMEDOUT, "no hello came in 10 s");
        else if (g->give_up_ms < next)
            next = g->give_up_ms;
    }
    return next;
}

/* ---- the socket ---- */

static void on_connection(struct watch *watch, uint32_t events)
{
    struct shell *shell = (struct shell *)((char *)watch - offsetof(struct shell, local_watch));
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct control_peer peer;
    bool stranger = check_user(shell, fd, &peer, NULL) != MOB_OK;
    if (!may_greet(shell, stranger) || greet(shell, fd, stranger, NULL) != MOB_OK)
        close(fd);
}

/* Whether the file of this name is still the one that is open: another node's end may have removed
 * it. */
static bool is_still_there(const char *path, int fd)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
           held.st_dev == there.st_dev;
}

/* A path that nobody listens on is left over from a node that was killed: a lock beside it, which
 * dies with its holder, tells the two apart. */
static int claim_path(struct shell *shell, const char *path, struct mob_err *err)
{
    char lock[sizeof(struct sockaddr_un)];
    snprintf(lock, sizeof lock, "%s.lock", path);
    for (;;) {
        int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return mob_err_system(err, "opening %s", lock);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            close(fd);
            return mob_err_set(err, MOB_EALREADY, "another node listens on %s", path);
        }
        shell->lock_fd = fd;
        if (is_still_there(lock, fd))
            break;
        close(fd);
    }
    unlink(path);
    return MOB_OK;
}

static int listen_on(struct shell *shell, const char *local, struct mob_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(local);
    if (length == 0 || length + sizeof ".lock" > sizeof address.sun_path)
        return mob_err_set(err, MOB_EINVAL, "the local socket \"%s\": give 1 to %zu bytes", local,
                           sizeof address.sun_path - sizeof ".lock");
    memcpy(address.sun_path, local, length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    bool abstract = local[0] == '@';
    if (abstract) {
        address.sun_path[0] = '\0';
        size--;
    }
    int rc = abstract ? MOB_OK : claim_path(shell, local, err);
    if (rc != MOB_OK)
        return rc;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return mob_err_system(err, "making the local socket");
    /* Who may connect is decided by SO_PEERCRED, which can say why not; the file's mode cannot. */
    if (bind(fd, (struct sockaddr *)&address, size) != 0 ||
        (!abstract && chmod(local, 0666) != 0) || listen(fd, 128) != 0) {
        rc = mob_err_system(err, "listening on %s", local);
        close(fd);
        return rc;
    }
    return loop_add(&shell->loop, &shell->local_watch, fd, EPOLLIN, on_connection, err);
}

int local_open(struct shell *shell, struct mob_err *err)
{
    int rc = MOB_OK;
    if (shell->config->local != NULL)
        rc = listen_on(shell, shell->config->local, err);
    if (rc == MOB_OK && shell->config->driver_fd >= 0)
        rc = greet(shell, shell->config->driver_fd, false, err);
    return rc;
}

void local_close(struct shell *shell)
{
    const char *local = shell->config->local;
    int fd = shell->local_watch.fd;
    if (fd > 0) {
        loop_remove(&shell->loop, &shell->local_watch);
        close(fd);
        if (local[0] != '@')
            unlink(local);
    }
    if (shell->lock_fd > 0) {
        char lock[sizeof(struct sockaddr_un)];
        snprintf(lock, sizeof lock, "%s.lock", local);
        unlink(lock);
        close(shell->lock_fd);
    }
    while (shell->greetings != NULL)
        local_refuse(shell->greetings, MOB_ESHUTDOWN, "the node is stopping");
}
