/* sim.c: the clock, the queue of events and one run from its seed to its end.
 * Events are ordered by time and, within it, by the order in which they were made; there is nothing
 * else that could depend on the machine. A process that is frozen gets its events when it thaws;
 * one that has died never gets them. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scripts.h"

/* ---- failing and tracing ---- */

void sim_fail(struct sim *s, const char *format, ...)
{
    char text[1500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(s->failure, sizeof s->failure, "at %.6f ms: %s", (double)s->now_ns / 1e6, text);
    TRACE(s, NULL, "FAILED %s", text);
    longjmp(s->failed, 1);
}

void sim_need(struct sim *s, const void *memory)
{
    if (memory == NULL)
        sim_fail(s, "the simulation itself has no memory left");
}

void sim_trace(struct sim *s, const struct process *p, const char *format, ...)
{
    fprintf(s->trace, "%13.6f %-9s ", (double)s->now_ns / 1e6, p != NULL ? p->name : "world");
    va_list args;
    va_start(args, format);
    vfprintf(s->trace, format, args);
    va_end(args);
    fputc('\n', s->trace);
}

void sim_trace_frame(struct sim *s, const struct process *to, const char *from, struct view frame)
{
    if (s->trace == NULL)
        return;
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head head;
    char text[400];
    while (message_next(&c, &head)) {
        message_print(&c, &head, text, sizeof text);
        sim_trace(s, to, "<- %s: %s", from, text);
        message_skip(&c, &head);
    }
}

/* ---- the queue: a binary heap ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void queue_push(struct sim *s, const struct event *e)
{
    struct queue *q = &s->queue;
    if (q->count == q->capacity) {
        q->capacity = q->capacity != 0 ? 2 * q->capacity : 256;
        q->heap = realloc(q->heap, q->capacity * sizeof *q->heap);
        sim_need(s, q->heap);
    }
    size_t at = q->count++;
    while (at > 0 && before(e, &q->heap[(at - 1) / 2])) {
        q->heap[at] = q->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    q->heap[at] = *e;
}

static struct event queue_pop(struct queue *q)
{
    struct event first = q->heap[0], last = q->heap[--q->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= q->count)
            break;
        if (child + 1 < q->count && before(&q->heap[child + 1], &q->heap[child]))
            child++;
        if (!before(&q->heap[child], &last))
            break;
        q->heap[at] = q->heap[child];
        at = child;
    }
    q->heap[at] = last;
    return first;
}

void sim_after(struct sim *s, uint64_t delay_ns, struct event e)
{
    e.at = s->now_ns + delay_ns;
    e.order = ++s->orders;
    queue_push(s, &e);
}

/* ---- processes ---- */

struct process *process_create(struct sim *s, enum process_kind kind)
{
    static const char *const names[] = {"head", "node", "driver", "worker"};
    struct process *p = calloc(1, sizeof *p);
    sim_need(s, p);
    p->kind = kind;
    p->number = ++s->births[kind];
    snprintf(p->name, sizeof p->name, "%s%" PRIu32, names[kind], p->number);
    p->alive = true;
    p->tick_at = UINT64_MAX;
    *s->processes_end = p;
    s->processes_end = &p->next;
    return p;
}

struct process *process_find(struct sim *s, uint64_t id)
{
    for (struct process *p = s->processes; p != NULL; p = p->next)
        if (p->id.v == id && id != 0)
            return p;
    return NULL;
}

/* ---- one run ---- */

static void run_event(struct sim *s, struct event *e)
{
    struct process *p = e->process;
    s->now_ns = e->at;
    if (p != NULL && p->alive && p->frozen_until > s->now_ns) {
        e->at = p->frozen_until;
        queue_push(s, e);
        return;
    }
    if (p == NULL || p->alive) {
        e->run(s, e);
        check_event(s, p);
    }
    free(e->owned);
}

static void run(struct sim *s)
{
    char what[512];
    uint64_t limit = s->weather.faults_end_ns + LIVENESS_S * SECOND, look = 0;
    faults_create(s);
    while (s->queue.count > 0) {
        struct event e = queue_pop(&s->queue);
        if (e.at > limit) {
            s->now_ns = limit;
            free(e.owned);
            check_rest(s, what, sizeof what);
            sim_fail(s, "work has not ended %d s after the last fault: %s", LIVENESS_S, what);
        }
        if (++s->events > EVENTS_MAX) {
            free(e.owned);
            sim_fail(s, "more than %d events: a livelock", EVENTS_MAX);
        }
        run_event(s, &e);
        if (s->now_ns >= look && faults_over(s)) {
            look = s->now_ns + 20 * MS;
            if (check_rest(s, what, sizeof what))
                break;
        }
    }
    check_all(s);
    if (!check_rest(s, what, sizeof what))
        sim_fail(s, "nothing is left to happen, but %s", what);
    TRACE(s, NULL, "at rest");
}

static void destroy(struct sim *s)
{
    for (size_t i = 0; i < s->queue.count; i++)
        free(s->queue.heap[i].owned);
    free(s->queue.heap);
    for (struct process *p = s->processes, *next; p != NULL; p = next) {
        next = p->next;
        client_destroy(p->client);
        threads_destroy(p);
        free(p);
    }
    daemons_destroy(s);
    rings_destroy(s);
    for (struct arena *a = s->arenas, *next; a != NULL; a = next) {
        next = a->next;
        free(a->bytes);
        free(a);
    }
    oracle_destroy(s);
}

bool sim_run(uint64_t seed, FILE *trace, char *failure, size_t size, uint64_t *events)
{
    struct sim *s = calloc(1, sizeof *s);
    if (s == NULL)
        return false;
    s->seed = seed;
    s->trace = trace;
    s->random.state = mix(seed, 1);
    s->processes_end = &s->processes;
    weather_draw(&s->weather, &s->random);
    bool good = setjmp(s->failed) == 0;
    if (good) {
        weather_trace(s);
        oracle_create(s);
        daemons_create(s);
        run(s);
    }
    snprintf(failure, size, "%s", s->failure);
    *events = s->events;
    if (good) /* after a failure the cores may be in any state: they are left as they are */
        destroy(s);
    free(s);
    return good;
}
