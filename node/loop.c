/* loop.c: zloop was rejected: its cost grows with each registered descriptor, and a node has a few
 * for each worker. */
#include "node/loop.h"

#include <unistd.h>

int loop_init(struct loop *loop, struct mob_err *err)
{
    *loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    return loop->epoll_fd < 0 ? mob_err_system(err, "making the event loop") : MOB_OK;
}

void loop_fini(struct loop *loop)
{
    if (loop->epoll_fd > 0)
        close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events,
             void (*on_ready)(struct watch *, uint32_t), struct mob_err *err)
{
    *watch = (struct watch){.fd = fd, .on_ready = on_ready};
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return MOB_OK;
    watch->fd = -1;
    return mob_err_system(err, "watching descriptor %d", fd);
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (watch->fd >= 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_remove(struct loop *loop, struct watch *watch)
{
    if (watch->fd < 0 || watch->on_ready == NULL)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = -1;
    for (int i = loop->next; i < loop->ready; i++)
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
}

void loop_wait(struct loop *loop, int timeout_ms)
{
    loop->next = 0;
    loop->ready = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_MAX, timeout_ms);
}

void loop_dispatch(struct loop *loop)
{
    while (loop->next < loop->ready) {
        struct epoll_event *event = &loop->events[loop->next++];
        struct watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->on_ready(watch, event->events);
    }
    loop->ready = loop->next = 0;
}
