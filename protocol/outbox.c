/* outbox.c: frames are built where they will be sent from, so a message is copied once, by its
 * packer. */
#include "protocol/outbox.h"

#include <assert.h>

static void size_write(uint8_t *at, size_t size)
{
    for (unsigned i = 0; i < FRAME_HEAD_SIZE; i++)
        at[i] = (uint8_t)(size >> (8 * i));
}

static size_t size_read(const uint8_t *at)
{
    return (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
}

void peer_init(struct peer *p, struct outbox *outbox, struct mob_process process)
{
    *p = (struct peer){.process = process, .outbox = outbox, .open_frame = SIZE_MAX};
}

void peer_fini(struct peer *p)
{
    if (p->dirty) {
        struct outbox *o = p->outbox;
        struct peer **at = &o->dirty_first, *before = NULL;
        while (*at != p) {
            before = *at;
            at = &(*at)->dirty_next;
        }
        *at = p->dirty_next;
        if (o->dirty_last == p)
            o->dirty_last = before;
        p->dirty = false;
    }
    buffer_fini(&p->out);
    p->open_frame = SIZE_MAX;
}

int peer_begin(struct peer *p)
{
    if (p->open_frame != SIZE_MAX && buffer_size(&p->out) - p->open_frame < FRAME_SIZE_AIM)
        return MOB_OK;
    int rc = buffer_append(&p->out, "\0\0\0\0", FRAME_HEAD_SIZE);
    if (rc == MOB_OK)
        p->open_frame = buffer_size(&p->out) - FRAME_HEAD_SIZE;
    return rc;
}

void peer_end(struct peer *p)
{
    size_t size = buffer_size(&p->out) - p->open_frame - FRAME_HEAD_SIZE;
    assert(size <= MESSAGE_SIZE_MAX + FRAME_SIZE_AIM);
    size_write(buffer_head(&p->out) + p->open_frame, size);
    if (p->dirty)
        return;
    struct outbox *o = p->outbox;
    p->dirty = true;
    p->dirty_next = NULL;
    if (o->dirty_last != NULL)
        o->dirty_last->dirty_next = p;
    else
        o->dirty_first = p;
    o->dirty_last = p;
}

struct peer *outbox_take(struct outbox *o)
{
    struct peer *p = o->dirty_first;
    if (p == NULL)
        return NULL;
    o->dirty_first = p->dirty_next;
    if (o->dirty_first == NULL)
        o->dirty_last = NULL;
    p->dirty = false;
    return p;
}

void peer_gone(struct peer *p, size_t size)
{
    buffer_take(&p->out, size);
    if (p->open_frame != SIZE_MAX)
        p->open_frame = size <= p->open_frame ? p->open_frame - size : SIZE_MAX;
    if (buffer_size(&p->out) == 0)
        p->open_frame = SIZE_MAX;
}

bool peer_first_frame(const struct peer *p, struct view *frame)
{
    if (buffer_size(&p->out) == 0)
        return false;
    const uint8_t *head = buffer_head(&p->out);
    *frame = (struct view){head + FRAME_HEAD_SIZE, size_read(head)};
    return true;
}

int frame_next(const struct buffer *in, struct view *frame)
{
    if (buffer_size(in) < FRAME_HEAD_SIZE)
        return 0;
    size_t size = size_read(buffer_head(in));
    if (size > MESSAGE_SIZE_MAX + FRAME_SIZE_AIM)
        return MOB_EPROTO;
    if (buffer_size(in) - FRAME_HEAD_SIZE < size)
        return 0;
    *frame = (struct view){buffer_head(in) + FRAME_HEAD_SIZE, size};
    return 1;
}
