/* waits.c: a thread that waits, as the real shell does it: watches on objects, a waiter in the
 * thread's storage, a worker that says it is blocked, a time-out. Every wake-up carries the number
 * of its wait, so a late one changes nothing. */
#include <inttypes.h>
#include <stdlib.h>

#include "tests/sim/scripts.h"

struct thread *thread_create(struct sim *s, struct process *p)
{
    struct thread *t = calloc(1, sizeof *t);
    sim_need(s, t);
    t->process = p;
    t->waiter.shell = t;
    p->threads[p->thread_count++] = t;
    return t;
}

void threads_destroy(struct process *p)
{
    for (uint32_t i = 0; i < p->thread_count; i++) {
        buffer_fini(&p->threads[i]->results);
        free(p->threads[i]->refs);
        free(p->threads[i]);
    }
}

void thread_step(struct sim *s, struct thread *t)
{
    if (t->process->kind == PROCESS_DRIVER)
        driver_step(s, t);
    else
        task_step(s, t);
}

static void on_step(struct sim *s, const struct event *e)
{
    struct thread *t = e->object;
    if (e->a != t->wait_number || t->waiting)
        return;
    thread_step(s, t);
    if (t->process->alive)
        client_settle(s, t->process);
}

void thread_after(struct sim *s, struct thread *t, uint64_t delay_ns)
{
    t->wait_number++;
    sim_after(
        s, delay_ns,
        (struct event){.run = on_step, .process = t->process, .object = t, .a = t->wait_number});
}

/* ---- the end of a wait ---- */

static void wait_end(struct sim *s, struct thread *t, bool timed_out)
{
    struct client *c = t->process->client;
    for (uint32_t i = 0; i < t->waited_count; i++)
        client_unwatch(c, &t->watches[i]);
    t->waiting = false;
    t->timed_out = timed_out;
    TRACE(s, t->process, "goes on%s", timed_out ? " after a time-out" : "");
    if (t->blocked)
        client_unblocked(c, s->now_ns);
    t->blocked = false;
    thread_step(s, t);
    if (t->process->alive)
        client_settle(s, t->process);
}

static void on_wait_over(struct sim *s, const struct event *e)
{
    struct thread *t = e->object;
    if (t->waiting && e->a == t->wait_number)
        wait_end(s, t, e->b != 0);
}

static void wait_over_after(struct sim *s, struct thread *t, uint64_t delay_ns, bool timed_out)
{
    sim_after(s, delay_ns,
              (struct event){.run = on_wait_over,
                             .process = t->process,
                             .object = t,
                             .a = t->wait_number,
                             .b = timed_out});
}

void thread_woken(struct sim *s, struct thread *t)
{
    if (t->waiting)
        wait_over_after(s, t, random_skewed(&s->random, 0, 20 * US), false);
}

/* ---- the start of a wait ---- */

static void wait_begin(struct sim *s, struct thread *t)
{
    t->waiting = true;
    t->wait_number++;
    t->blocked = t->process->kind == PROCESS_WORKER && !t->waiter.done;
    if (t->blocked)
        client_blocked(t->process->client, s->now_ns);
}

void thread_wait(struct sim *s, struct thread *t, const struct mob_object *ids, uint32_t count,
                 uint32_t needed, uint64_t timeout_ns)
{
    struct process *p = t->process;
    t->waiter = (struct waiter){.needed = needed, .shell = t};
    t->waited_count = count;
    if (count != 0 && ids != t->waited)
        memmove(t->waited, ids, count * sizeof *ids);
    for (uint32_t i = 0; i < count; i++)
        if (client_watch(p->client, t->waited[i], &t->watches[i], &t->waiter, s->now_ns) != MOB_OK)
            sim_fail(s, "%s holds %" PRIu64 ".%" PRIu64 " and cannot wait for it", p->name,
                     t->waited[i].owner, t->waited[i].seq);
    TRACE(s, p, "waits for %" PRIu32 " of %" PRIu32 " objects%s", needed, count,
          t->waiter.done ? ", which are there" : "");
    wait_begin(s, t);
    if (needed == 0)
        wait_over_after(s, t, 0, false);
    else if (timeout_ns != UINT64_MAX)
        wait_over_after(s, t, timeout_ns, true);
}

void thread_wait_room(struct sim *s, struct thread *t, uint64_t size)
{
    t->waiter = (struct waiter){.shell = t};
    t->waited_count = 0;
    if (client_extent_want(t->process->client, size, &t->waiter) != MOB_OK)
        sim_fail(s, "%s cannot ask for room in the store", t->process->name);
    TRACE(s, t->process, "waits for room for %" PRIu64 " bytes", size);
    t->room_asked = true;
    t->room_size = size;
    wait_begin(s, t);
}

bool thread_room_refused(struct sim *s, struct thread *t)
{
    struct mob_err err;
    bool asked = t->room_asked;
    t->room_asked = false;
    if (!asked || client_extent_result(t->process->client, t->room_size, &err) == MOB_OK)
        return false;
    TRACE(s, t->process, "was refused room: %s", err.text);
    if (err.code != MOB_ESTOREFULL)
        sim_fail(s, "%s was refused room with %s: %s", t->process->name, mob_error_name(err.code),
                 err.text);
    return true;
}
