/* check.c: what must always hold, beyond what each core checks of itself. */
#include <inttypes.h>

#include "tests/sim/recipes.h"

enum { FIB_WORKERS_MORE = 4 }; /* beyond the depth of the recursion */

static void check_client(struct sim *s, struct process *p, bool whole)
{
    struct client_counts n;
    struct mob_err err;
    client_counts(p->client, &n);
    if (n.done + n.failed + n.tasks != p->submitted)
        sim_fail(s,
                 "%s has submitted %" PRIu64 " tasks, and %" PRIu64 " are done, %" PRIu64
                 " failed, %" PRIu64 " open",
                 p->name, p->submitted, n.done, n.failed, n.tasks);
    if (n.ready + n.sent > n.tasks)
        sim_fail(s, "%s has more tasks in its queues than open ones", p->name);
    if (whole && !client_check(p->client, &err))
        sim_fail(s, "client_check of %s: %s", p->name, err.text);
}

void check_event(struct sim *s, struct process *p)
{
    bool whole = s->events % s->weather.check_every == 0;
    if (p == NULL || !p->alive)
        return;
    if (p->client != NULL)
        check_client(s, p, whole);
    else if (whole)
        daemons_check(s);
}

void check_all(struct sim *s)
{
    for (struct process *p = s->processes; p != NULL; p = p->next)
        if (p->alive && p->client != NULL)
            check_client(s, p, true);
    daemons_check(s);
    daemons_replay(s);
    const struct weather *w = &s->weather;
    if (w->program == PROGRAM_FIB && w->calm && w->cpus == 1 &&
        s->workers_most > w->fib + FIB_WORKERS_MORE)
        sim_fail(s, "a recursion %" PRIu32 " deep on one cpu took %" PRIu32 " workers", w->fib,
                 s->workers_most);
}

static void on_done(struct sim *s, const struct event *e)
{
    check_driver_done(s, e->process);
}

/* All its threads have seen and dropped all that they had; tasks whose results were dropped may
 * still run. It leaves then or when they have ended too. */
void check_driver_done(struct sim *s, struct process *p)
{
    struct client_counts n;
    client_counts(p->client, &n);
    bool open = n.tasks != 0 || (n.leases != 0 && random_chance(&s->random, 500));
    if (p->leaves)
        return;
    if (open && random_chance(&s->random, 900)) {
        sim_after(s, 5 * MS, (struct event){.run = on_done, .process = p});
        return;
    }
    check_client(s, p, true);
    TRACE(s, p, "is done: objects=%" PRIu64 " tasks=%" PRIu64 " leases=%" PRIu64, n.objects,
          n.tasks, n.leases);
    if (n.tasks == 0 && n.objects > p->published)
        sim_fail(s,
                 "%s has dropped everything, and %" PRIu64 " objects are left of which %" PRIu64
                 " were published",
                 p->name, n.objects, p->published);
    process_leave(s, p);
}

bool check_rest(struct sim *s, char *what, size_t size)
{
    int at = 0;
    for (const struct process *p = s->processes; p != NULL; p = p->next) {
        if (!p->alive || (p->kind != PROCESS_DRIVER && p->kind != PROCESS_WORKER))
            continue;
        struct client_counts n = {0};
        if (p->client != NULL)
            client_counts(p->client, &n);
        at = snprintf(what, size,
                      "%s is there: threads done=%" PRIu32 " of %" PRIu32 " objects=%" PRIu64
                      " tasks=%" PRIu64 " ready=%" PRIu64 " sent=%" PRIu64 " leases=%" PRIu64
                      " runs=%" PRIu64 "; ",
                      p->name, p->threads_done, p->thread_count, n.objects, n.tasks, n.ready,
                      n.sent, n.leases, n.runs);
        break;
    }
    bool rest = at == 0 && s->drivers_coming == 0;
    return daemons_at_rest(s, what + at, size - (size_t)at) && rest;
}
