/* Everything that comes is copied to a list first, and looked for there, so that the order in which
 * a test asks does not matter. */
#include "tests/support/toy.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/clock.h"

extern char **environ;

static void must(bool done, const char *what)
{
    if (done)
        return;
    dprintf(STDERR_FILENO, "toy: %s\n", what);
    _exit(99);
}

static struct msg_list list_of(struct buffer *b, const char *const texts[])
{
    struct msg_list list = {0};
    buffer_clear(b);
    for (; texts[list.count] != NULL; list.count++) {
        struct msg_string item = {view_of(texts[list.count])};
        must(msg_string_pack_item(b, &item) == MOB_OK, "packing a list");
    }
    list.data = buffer_head(b);
    list.size = buffer_size(b);
    return list;
}

struct msg_client_hello toy_hello(const char *const arguments[])
{
    static struct buffer lists[2];
    static char directory[4096];
    must(getcwd(directory, sizeof directory) != NULL, "getcwd");
    return (struct msg_client_hello){
        .version = PROTOCOL_VERSION,
        .program = view_of("/proc/self/exe"),
        .directory = view_of(directory),
        .arguments = list_of(&lists[0], arguments),
        .environment = list_of(&lists[1], (const char *const *)environ),
    };
}

void toy_begin(struct toy *toy)
{
    peer_init(&toy->node, &toy->outbox, (struct mob_process){0});
}

int toy_greet(struct toy *toy, const char *local, const struct msg_client_hello *hello,
              struct mob_err *err)
{
    int fd = -1;
    memset(toy, 0, sizeof *toy);
    int rc = connection_dial(local, &fd, err);
    if (rc != MOB_OK)
        return rc;
    rc = connection_greet(&toy->connection, fd, hello, 10000, err);
    if (rc != MOB_OK)
        close(fd);
    else
        toy_begin(toy);
    return rc;
}

void toy_close(struct toy *toy)
{
    for (unsigned i = 0; i < toy->peer_count; i++) {
        connection_peer_close(&toy->peers[i]->link);
        peer_fini(&toy->peers[i]->out);
        buffer_fini(&toy->peers[i]->in);
        free(toy->peers[i]);
    }
    for (unsigned i = 0; i < toy->message_count; i++)
        buffer_fini(&toy->messages[i].bytes);
    if (toy->node.outbox != NULL)
        peer_fini(&toy->node);
    buffer_fini(&toy->in);
    connection_close(&toy->connection);
    memset(toy, 0, sizeof *toy);
}

static void write_out(struct peer *peer, struct ring_end *ring, struct doorbell_peer *bell)
{
    while (peer_backlog(peer) > 0) {
        size_t taken = ring_write(ring, buffer_head(&peer->out), peer_backlog(peer));
        if (taken == 0)
            break;
        peer_gone(peer, taken);
        doorbell_ring(bell);
    }
}

void toy_sent(struct toy *toy, struct peer *peer, int rc)
{
    must(rc == MOB_OK, "packing a message");
    if (peer == &toy->node)
        write_out(peer, &toy->connection.ring, &toy->connection.node);
    for (unsigned i = 0; i < toy->peer_count; i++)
        if (peer == &toy->peers[i]->out)
            write_out(peer, &toy->peers[i]->link.ring, &toy->peers[i]->link.bell);
}

static void open_peer(struct toy *toy)
{
    struct mob_err err;
    must(toy->peer_count < TOY_PEERS_MAX, "too many peers");
    struct toy_peer *p = aligned_alloc(128, (sizeof *p + 127) / 128 * 128);
    must(p != NULL, "no memory");
    memset(p, 0, sizeof *p);
    must(connection_next_peer(&toy->connection, &p->link, 5000, &err) == MOB_OK, "no descriptors");
    peer_init(&p->out, &toy->outbox, p->link.process);
    toy->peers[toy->peer_count++] = p;
}

static void keep(struct toy *toy, const struct message_head *head, const struct cursor *c,
                 uint64_t from)
{
    must(toy->message_count < TOY_MESSAGES_MAX, "too many messages");
    struct toy_message *m = &toy->messages[toy->message_count++];
    *m = (struct toy_message){.number = head->number, .from = from};
    must(buffer_append(&m->bytes, head->start, (size_t)(c->at - head->start)) == MOB_OK,
         "no memory");
    if (head->number == MSG_peer_open)
        open_peer(toy);
}

static void read_in(struct toy *toy, struct ring_end *ring, struct doorbell_peer *bell,
                    struct buffer *in, uint64_t from)
{
    size_t size;
    while ((size = ring_readable(ring)) > 0) {
        must(buffer_reserve(in, size) == MOB_OK, "no memory");
        in->end += ring_read(ring, in->data + in->end, size);
    }
    if (ring_peer_wants_space(ring))
        doorbell_ring(bell);
    struct view frame;
    while (frame_next(in, &frame) == 1) {
        struct cursor c = cursor_of(frame.data, frame.size);
        struct message_head head;
        while (message_next(&c, &head)) {
            message_skip(&c, &head);
            keep(toy, &head, &c, from);
        }
        frame_taken(in, &frame);
    }
}

static void read_all(struct toy *toy)
{
    read_in(toy, &toy->connection.ring, &toy->connection.node, &toy->in, 0);
    for (unsigned i = 0; i < toy->peer_count; i++)
        read_in(toy, &toy->peers[i]->link.ring, &toy->peers[i]->link.bell, &toy->peers[i]->in,
                toy->peers[i]->link.process.v);
}

static bool pending(struct toy *toy)
{
    bool any = ring_readable(&toy->connection.ring) > 0;
    for (unsigned i = 0; i < toy->peer_count; i++)
        any |= ring_readable(&toy->peers[i]->link.ring) > 0;
    return any;
}

static bool find(struct toy *toy, uint32_t number, uint64_t from, struct cursor *c,
                 struct message_head *head)
{
    static struct buffer taken;
    for (unsigned i = 0; i < toy->message_count; i++) {
        struct toy_message *m = &toy->messages[i];
        if (m->number != number || (m->from != from && from != TOY_ANY))
            continue;
        buffer_fini(&taken);
        taken = m->bytes;
        toy->from = m->from;
        memmove(m, m + 1, (--toy->message_count - i) * sizeof *m);
        *c = cursor_of(buffer_head(&taken), buffer_size(&taken));
        return message_next(c, head);
    }
    return false;
}

bool toy_take(struct toy *toy, uint32_t number, uint64_t from, int timeout_ms, struct cursor *c,
              struct message_head *head)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        read_all(toy);
        if (find(toy, number, from, c, head))
            return true;
        if (clock_now_ns() >= deadline_ns)
            return false;
        doorbell_prepare(&toy->connection.bell);
        if (pending(toy))
            doorbell_cancel(&toy->connection.bell);
        else if (doorbell_sleep(&toy->connection.bell, deadline_ns) != MOB_OK)
            continue;
    }
}

struct toy_peer *toy_peer(struct toy *toy, uint64_t process)
{
    uint64_t deadline_ns = clock_now_ns() + 5000000000u;
    while (clock_now_ns() < deadline_ns) {
        read_all(toy);
        for (unsigned i = 0; i < toy->peer_count; i++)
            if (toy->peers[i]->link.process.v == process)
                return toy->peers[i];
        doorbell_prepare(&toy->connection.bell);
        if (pending(toy))
            doorbell_cancel(&toy->connection.bell);
        else if (doorbell_sleep(&toy->connection.bell, deadline_ns) != MOB_OK)
            break;
    }
    must(false, "no pair with the process");
    return NULL;
}
