/* control.c: one sendmsg and one recvmsg for each packet.
 * The kernel keeps the bounds of a packet, so there is nothing to assemble; it also bounds what may
 * wait in the socket. A stream socket was rejected for the framing that descriptors would need. */
#include "protocol/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Longer messages go in a memfd. The marker is a byte that no msgpack value starts with. */
enum { PACKET_SIZE_MAX = 32 << 10, MARKER_IN_MEMFD = 0xc1 };

static const uint8_t marker[1] = {MARKER_IN_MEMFD};

union control_ancillary {
    char bytes[CMSG_SPACE(sizeof(int) * (CONTROL_FDS_MAX + 1))];
    struct cmsghdr align;
};

int control_pair(int fds[2], struct mob_err *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return mob_err_system(err, "making a control socket");
    return MOB_OK;
}

int control_peer_of(int fd, struct control_peer *out, struct mob_err *err)
{
    struct ucred cred = {0};
    socklen_t size = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0)
        return mob_err_system(err, "asking who is at the other end of a control socket");
    *out = (struct control_peer){cred.pid, cred.uid, cred.gid};
    return MOB_OK;
}

static int send_packet(int fd, struct view bytes, const int *fds, unsigned fd_count,
                       struct mob_err *err)
{
    union control_ancillary ancillary;
    memset(&ancillary, 0, sizeof ancillary);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > 0) {
        msg.msg_control = ancillary.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * fd_count);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return MOB_OK;
    /* ETOOMANYREFS: too many descriptors are under way; it passes when they are read. */
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
        return mob_err_set(err, MOB_EAGAIN, "the other end of a control socket does not read");
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return mob_err_set(err, MOB_EPEERDIED, "the other end of a control socket is closed");
    return mob_err_system(err, "sending on a control socket");
}

static int send_in_memfd(int fd, struct view message, const int *fds, unsigned fd_count,
                         struct mob_err *err)
{
    int all[CONTROL_FDS_MAX + 1];
    all[0] = memfd_create("mobula-message", MFD_CLOEXEC);
    if (all[0] < 0)
        return mob_err_system(err, "sending a long message: memfd_create");
    int rc = MOB_OK;
    for (size_t done = 0; rc == MOB_OK && done < message.size;) {
        ssize_t n = write(all[0], (const char *)message.data + done, message.size - done);
        if (n <= 0)
            rc = mob_err_system(err, "sending a long message: write");
        else
            done += (size_t)n;
    }
    if (fd_count > 0)
        memcpy(all + 1, fds, sizeof(int) * fd_count);
    if (rc == MOB_OK)
        rc = send_packet(fd, (struct view){marker, sizeof marker}, all, fd_count + 1, err);
    close(all[0]);
    return rc;
}

int control_send(int fd, struct view message, const int *fds, unsigned fd_count,
                 struct mob_err *err)
{
    if (message.size > CONTROL_SIZE_MAX || fd_count > CONTROL_FDS_MAX)
        return mob_err_set(err, MOB_ETOOBIG,
                           "a control message of %zu bytes with %u descriptors: at most %d and %d",
                           message.size, fd_count, CONTROL_SIZE_MAX, CONTROL_FDS_MAX);
    if (message.size > PACKET_SIZE_MAX)
        return send_in_memfd(fd, message, fds, fd_count, err);
    return send_packet(fd, message, fds, fd_count, err);
}

/* Collect the descriptors. One more than allowed may come: a memfd with the message. */
static void take_descriptors(struct msghdr *msg, int *fds, unsigned *count)
{
    *count = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL; head = CMSG_NXTHDR(msg, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof fd);
            if (*count <= CONTROL_FDS_MAX)
                fds[(*count)++] = fd;
            else
                close(fd);
        }
    }
}

static int read_memfd(int fd, struct buffer *bytes, struct mob_err *err)
{
    struct stat st;
    if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) != 0 || st.st_size <= 0 ||
        st.st_size > CONTROL_SIZE_MAX)
        return mob_err_set(err, MOB_EPROTO, "a control message in a descriptor that holds none");
    size_t size = (size_t)st.st_size;
    int rc = buffer_reserve(bytes, size);
    if (rc != MOB_OK)
        return mob_err_set(err, rc, "receiving a control message of %zu bytes", size);
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, bytes->data + bytes->end, size - done, (off_t)done);
        if (n <= 0)
            return mob_err_set(err, MOB_EPROTO, "a control message that ends early");
        bytes->end += (size_t)n;
        done += (size_t)n;
    }
    return MOB_OK;
}

static int unwrap(struct control_packet *packet, int *fds, unsigned count, struct mob_err *err)
{
    unsigned first = 0;
    int rc = MOB_OK;
    if (buffer_size(&packet->bytes) == 1 && *buffer_head(&packet->bytes) == MARKER_IN_MEMFD) {
        buffer_clear(&packet->bytes);
        rc = count > 0
                 ? read_memfd(fds[0], &packet->bytes, err)
                 : mob_err_set(err, MOB_EPROTO, "a long control message without its descriptor");
        if (count > 0)
            close(fds[0]);
        first = 1;
    }
    if (rc == MOB_OK && count > first + CONTROL_FDS_MAX)
        rc = mob_err_set(err, MOB_EPROTO, "more than %d descriptors in a packet", CONTROL_FDS_MAX);
    for (unsigned i = first; i < count; i++) {
        if (rc == MOB_OK)
            packet->fds[packet->fd_count++] = fds[i];
        else
            close(fds[i]);
    }
    return rc;
}

static int wait_readable(int fd, int timeout_ms, struct mob_err *err)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&poll_fd, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return mob_err_system(err, "waiting on a control socket");
    if (ready == 0)
        return mob_err_set(err, MOB_ETIMEDOUT, "nothing came on a control socket in %d ms",
                           timeout_ms);
    return MOB_OK;
}

int control_receive(int fd, struct control_packet *packet, int timeout_ms, struct mob_err *err)
{
    control_packet_fini(packet);
    int rc = wait_readable(fd, timeout_ms, err);
    if (rc == MOB_OK && buffer_reserve(&packet->bytes, PACKET_SIZE_MAX) != MOB_OK)
        rc = mob_err_set(err, MOB_ENOMEM, "receiving on a control socket");
    if (rc != MOB_OK)
        return rc;
    union control_ancillary ancillary;
    struct iovec iov = {.iov_base = packet->bytes.data, .iov_len = PACKET_SIZE_MAX};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = ancillary.bytes,
                         .msg_controllen = sizeof ancillary.bytes};
    ssize_t got;
    do
        got = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return mob_err_set(err, MOB_ETIMEDOUT, "nothing on a control socket");
    if (got < 0 && errno != ECONNRESET)
        return mob_err_system(err, "receiving on a control socket");
    if (got <= 0)
        return mob_err_set(err, MOB_EPEERDIED, "the other end of a control socket was closed");
    packet->bytes.end = (size_t)got;
    int fds[CONTROL_FDS_MAX + 1];
    unsigned count;
    take_descriptors(&msg, fds, &count);
    rc = unwrap(packet, fds, count, err);
    if (rc == MOB_OK && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        rc = mob_err_set(err, MOB_EPROTO, "a packet beyond the limits of a control socket");
    return rc;
}

int control_packet_take(struct control_packet *packet, unsigned index)
{
    if (index >= packet->fd_count)
        return -1;
    int fd = packet->fds[index];
    packet->fds[index] = -1;
    return fd;
}

void control_packet_fini(struct control_packet *packet)
{
    for (unsigned i = 0; i < packet->fd_count; i++)
        if (packet->fds[i] >= 0)
            close(packet->fds[i]);
    packet->fd_count = 0;
    buffer_fini(&packet->bytes);
}

bool control_packet_read(const struct control_packet *packet, struct cursor *c,
                         struct message_head *head)
{
    *c = cursor_of(buffer_head(&packet->bytes), buffer_size(&packet->bytes));
    return message_next(c, head);
}
