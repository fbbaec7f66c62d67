/* channel.c: a frame is copied out of the ring once, into memory that all channels share, and only
 * what is not yet whole is kept, so a thousand idle clients cost no buffers. */
#include "node/channel.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/memory.h"

static int open_bell(struct channel *channel, int page_fd, int event_fd, struct mob_err *err)
{
    if (page_fd >= 0)
        return doorbell_peer_open(&channel->bell, DOORBELL_EVENTFD, page_fd, event_fd, err);
    struct doorbell made;
    int rc = doorbell_create(&made, DOORBELL_FUTEX, &page_fd, NULL, err);
    if (rc != MOB_OK)
        return rc;
    rc = doorbell_peer_open(&channel->bell, DOORBELL_FUTEX, page_fd, -1, err);
    channel->page_fd = fcntl(page_fd, F_DUPFD_CLOEXEC, 0);
    doorbell_close(&made);
    if (rc == MOB_OK && channel->page_fd < 0)
        rc = mob_err_system(err, "duplicating a doorbell");
    return rc;
}

int channel_init(struct channel *channel, struct mob_process process, int page_fd, int event_fd,
                 struct mob_err *err)
{
    memset(channel, 0, sizeof *channel);
    channel->process = process;
    channel->page_fd = channel->event_fd = channel->ring_fd = channel->control.fd = -1;
    channel->queue_end = &channel->queue;
    int rc = ring_pair_create(RING_SIZE_DEFAULT, &channel->ring_fd, err);
    if (rc == MOB_OK)
        rc = ring_open(&channel->ring, channel->ring_fd, RING_SIDE_0, err);
    if (rc == MOB_OK)
        rc = open_bell(channel, page_fd, event_fd, err);
    if (rc != MOB_OK) {
        channel_fini(channel);
        return rc;
    }
    if (page_fd >= 0) {
        channel->page_fd = page_fd;
        channel->event_fd = event_fd;
    }
    return MOB_OK;
}

static void packet_free(struct channel_packet *packet)
{
    for (unsigned i = 0; i < packet->fd_count; i++)
        close(packet->fds[i]);
    buffer_fini(&packet->bytes);
    memory_free(packet);
}

void channel_fini(struct channel *channel)
{
    if (channel->process.v == 0)
        return;
    if (channel->ring.shared != NULL) {
        ring_revoke(&channel->ring);
        if (channel->bell.page != NULL)
            doorbell_ring(&channel->bell);
    }
    ring_close(&channel->ring);
    doorbell_peer_close(&channel->bell);
    int control_fd = channel->control.fd;
    if (channel->loop != NULL)
        loop_remove(channel->loop, &channel->control);
    const int fds[] = {control_fd, channel->page_fd, channel->event_fd, channel->ring_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    while (channel->queue != NULL) {
        struct channel_packet *next = channel->queue->next;
        packet_free(channel->queue);
        channel->queue = next;
    }
    buffer_fini(&channel->in);
    channel->process.v = 0;
}

/* ---- the control socket ---- */

static int enqueue(struct channel *channel, const struct buffer *message, const int *fds,
                   unsigned fd_count, struct mob_err *err)
{
    struct channel_packet *packet = memory_zalloc(sizeof *packet);
    if (packet == NULL ||
        buffer_append(&packet->bytes, buffer_head(message), buffer_size(message)) != MOB_OK)
        abort();
    for (unsigned i = 0; i < fd_count; i++) {
        packet->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (packet->fds[i] < 0) {
            int rc = mob_err_system(err, "keeping a descriptor for a client that does not read");
            packet_free(packet);
            return rc;
        }
        packet->fd_count++;
    }
    *channel->queue_end = packet;
    channel->queue_end = &packet->next;
    if (channel->queued++ == 0 && channel->loop != NULL)
        loop_change(channel->loop, &channel->control, EPOLLIN | EPOLLOUT);
    return MOB_OK;
}

int channel_send(struct channel *channel, const struct buffer *message, const int *fds,
                 unsigned fd_count, struct mob_err *err)
{
    struct channel_packet *none = NULL;
    if (fd_count > sizeof none->fds / sizeof none->fds[0])
        return mob_err_set(err, MOB_EBUG, "%u descriptors for a client", fd_count);
    if (channel->queued >= CHANNEL_QUEUE_MAX)
        return mob_err_set(err, MOB_ELIMIT, "the client left %d packets unread", CHANNEL_QUEUE_MAX);
    if (channel->queued == 0) {
        struct view bytes = {buffer_head(message), buffer_size(message)};
        int rc = control_send(channel->control.fd, bytes, fds, fd_count, err);
        if (rc != MOB_EAGAIN)
            return rc;
    }
    return enqueue(channel, message, fds, fd_count, err);
}

void channel_drain(struct channel *channel)
{
    while (channel->queue != NULL) {
        struct channel_packet *packet = channel->queue;
        struct view bytes = {buffer_head(&packet->bytes), buffer_size(&packet->bytes)};
        int rc = control_send(channel->control.fd, bytes, packet->fds, packet->fd_count, NULL);
        if (rc == MOB_EAGAIN)
            return;
        if (rc != MOB_OK)
            channel->failed = true;
        channel->queue = packet->next;
        channel->queued--;
        packet_free(packet);
    }
    channel->queue_end = &channel->queue;
    loop_change(channel->loop, &channel->control, EPOLLIN);
}

/* ---- the ring ---- */

/* Give out the whole frames of `in`. */
static void give_frames(struct channel *channel, struct buffer *in, channel_sink *sink,
                        void *context)
{
    struct view frame;
    int rc = 0;
    while (!channel->failed && (rc = frame_next(in, &frame)) == 1) {
        if (sink(context, channel, frame) != MOB_OK)
            channel->failed = true;
        frame_taken(in, &frame);
    }
    if (rc < 0)
        channel->failed = true;
}

/* One helping. Bytes read; 0 when there are none. */
static size_t read_some(struct channel *channel, struct buffer *scratch, channel_sink *sink,
                        void *context)
{
    struct buffer *in = buffer_size(&channel->in) > 0 ? &channel->in : scratch;
    size_t room = ring_readable(&channel->ring);
    if (room == 0)
        return 0;
    if (buffer_reserve(in, room) != MOB_OK)
        abort();
    size_t got = ring_read(&channel->ring, in->data + in->end, room);
    in->end += got;
    give_frames(channel, in, sink, context);
    if (in == scratch) {
        if (buffer_size(in) > 0 &&
            buffer_append(&channel->in, buffer_head(in), buffer_size(in)) != MOB_OK)
            abort();
        buffer_clear(in);
    } else if (buffer_size(in) == 0) {
        buffer_fini(in);
    }
    return got;
}

bool channel_read(struct channel *channel, struct buffer *scratch, channel_sink *sink,
                  void *context)
{
    size_t total = 0, got;
    while (!channel->failed && total < CHANNEL_READ_MAX &&
           (got = read_some(channel, scratch, sink, context)) > 0)
        total += got;
    /* Only the node revokes; a client that does it itself has said all that it has to say. */
    if (ring_broken(&channel->ring) || (total == 0 && ring_revoked(&channel->ring)))
        channel->failed = true;
    if (total > 0 && ring_peer_wants_space(&channel->ring))
        doorbell_ring(&channel->bell);
    return total >= CHANNEL_READ_MAX;
}

void channel_flush(struct channel *channel, struct peer *peer)
{
    if (channel->queued > 0 || channel->failed)
        return;
    size_t total = 0, size;
    while ((size = peer_backlog(peer)) > 0) {
        size_t taken = ring_write(&channel->ring, buffer_head(&peer->out), size);
        if (taken == 0)
            break;
        peer_gone(peer, taken);
        total += taken;
    }
    if (total > 0)
        doorbell_ring(&channel->bell);
}

bool channel_pending(struct channel *channel, const struct peer *peer)
{
    if (channel->failed)
        return false;
    /* Waiting for the control socket: epoll says when. */
    bool unsent = peer != NULL && peer_backlog(peer) > 0 && channel->queued == 0;
    return ring_readable(&channel->ring) > 0 || ring_broken(&channel->ring) ||
           ring_revoked(&channel->ring) || (unsent && ring_pending(&channel->ring));
}
