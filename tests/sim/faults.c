/* faults.c: what goes wrong, and when drivers arrive. Faults come at random times; a death may be
 * set to a later step of its process, so that it strikes between a step and the messages that the
 * step made. */
#include <inttypes.h>

#include "tests/sim/recipes.h"

enum { DRIVERS_MORE = 2 }; /* that may come in the place of those that were killed */

bool faults_over(const struct sim *s)
{
    return s->now_ns >= s->weather.faults_end_ns ||
           (s->weather.calm && s->drivers_made >= s->weather.drivers);
}

static void repeat(struct sim *s, uint64_t every_ns,
                   void (*run)(struct sim *, const struct event *))
{
    if (every_ns != 0)
        sim_after(s, random_between(&s->random, 1, 2 * every_ns), (struct event){.run = run});
}

/* A random live process of the kind; NULL when there is none. */
static struct process *pick(struct sim *s, enum process_kind kind)
{
    uint64_t count = 0;
    for (const struct process *p = s->processes; p != NULL; p = p->next)
        count += p->alive && p->kind == kind;
    uint64_t choice = random_below(&s->random, count);
    for (struct process *p = s->processes; p != NULL && count != 0; p = p->next)
        if (p->alive && p->kind == kind && choice-- == 0)
            return p;
    return NULL;
}

/* ---- drivers ---- */

static void on_arrival(struct sim *s, const struct event *e)
{
    (void)e;
    if (s->node == NULL) {
        sim_after(s, 10 * MS, (struct event){.run = on_arrival});
        return;
    }
    s->drivers_made++;
    s->drivers_open++;
    s->drivers_coming--;
    node_driver_connects(s, process_create(s, PROCESS_DRIVER));
}

static void arrive_after(struct sim *s, uint64_t delay)
{
    s->drivers_coming++;
    sim_after(s, delay, (struct event){.run = on_arrival});
}

static void driver_replace(struct sim *s)
{
    if (s->drivers_made + s->drivers_coming < s->weather.drivers + DRIVERS_MORE &&
        random_chance(&s->random, 700))
        arrive_after(s, random_skewed(&s->random, MS, 100 * MS));
}

/* ---- deaths ---- */

static void strike(struct sim *s, struct process *p)
{
    s->kills++;
    if (random_chance(&s->random, 400))
        process_die(s, p, 9);
    else
        p->dies_in = (uint32_t)random_between(&s->random, 1, 20);
}

static void on_kill_worker(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    struct process *p = pick(s, PROCESS_WORKER);
    if (p != NULL)
        strike(s, p);
    repeat(s, s->weather.kill_worker_every_ns, on_kill_worker);
}

static void on_kill_driver(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    struct process *p = pick(s, PROCESS_DRIVER);
    if (p != NULL) {
        strike(s, p);
        driver_replace(s);
    }
    repeat(s, s->weather.kill_driver_every_ns, on_kill_driver);
}

static void on_kill_node(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    if (s->node != NULL && random_chance(&s->random, 500))
        node_kill(s);
    else if (s->node != NULL)
        s->node->dies_in = (uint32_t)random_between(&s->random, 1, 30);
    driver_replace(s);
    repeat(s, s->weather.kill_node_every_ns, on_kill_node);
}

static void on_kill_head(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    if (s->head != NULL && random_chance(&s->random, 300))
        head_kill(s);
    else if (s->head != NULL)
        s->head->dies_in = (uint32_t)random_between(&s->random, 1, 10);
    repeat(s, s->weather.kill_head_every_ns, on_kill_head);
}

static void on_kill_zygote(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    struct process *driver = pick(s, PROCESS_DRIVER);
    if (driver != NULL && driver->job.v != 0)
        zygote_kill(s, driver->job);
    repeat(s, s->weather.kill_zygote_every_ns, on_kill_zygote);
}

/* ---- freezing and cutting ---- */

static void on_freeze(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    static const enum process_kind kinds[] = {PROCESS_WORKER, PROCESS_WORKER, PROCESS_DRIVER,
                                              PROCESS_NODE, PROCESS_HEAD};
    struct process *p = pick(s, kinds[random_below(&s->random, 5)]);
    if (p != NULL) {
        uint64_t ns = random_skewed(&s->random, 100 * US, 300 * MS);
        p->frozen_until = s->now_ns + ns;
        TRACE(s, p, "is frozen for %.3f ms", (double)ns / 1e6);
    }
    repeat(s, s->weather.freeze_every_ns, on_freeze);
}

static void on_partition(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    uint64_t until = s->now_ns + random_skewed(&s->random, MS, s->weather.partition_ns);
    uint64_t ways = random_between(&s->random, 1, 3);
    for (unsigned way = 0; way < 2; way++)
        if ((ways & (1u << way)) != 0)
            s->cut_until[way] = until < s->weather.faults_end_ns ? until : s->weather.faults_end_ns;
    TRACE(s, NULL, "the network is cut, ways=%" PRIu64 ", for %.3f ms", ways,
          (double)(until - s->now_ns) / 1e6);
    if (s->node != NULL && random_chance(&s->random, 300))
        node_disconnect(s);
    else if (s->node != NULL && random_chance(&s->random, 300))
        node_new_session(s);
    repeat(s, s->weather.partition_every_ns, on_partition);
}

static void on_disconnect(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    if (s->node != NULL)
        node_disconnect(s);
    repeat(s, s->weather.disconnect_every_ns, on_disconnect);
}

/* ---- lies ---- */

/* A ring between a driver and one of its workers, both alive, seen from the worker; NULL when there
 * is none. */
static struct ring_half *pick_ring(struct sim *s)
{
    struct ring_half *found = NULL;
    uint64_t count = 0;
    for (struct ring_pair *pair = s->rings; pair != NULL; pair = pair->next)
        for (int side = 0; side < 2; side++) {
            struct ring_half *half = &pair->half[side];
            bool fits = half->open && half->far->open && !pair->revoked && half->owner->alive &&
                        half->owner->kind == PROCESS_WORKER && half->far->owner->alive &&
                        half->far->owner->kind == PROCESS_DRIVER && half->owner->client != NULL;
            if (fits && random_below(&s->random, ++count) == 0)
                found = half;
        }
    return found;
}

/* A driver says to its worker what only others may say: that a task of the worker's has ended or
 * was given back, or what the value of somebody else's object is. Nothing of it may have an effect.
 */
static void lie_write(struct sim *s, struct process *victim, struct buffer *b)
{
    uint8_t bytes[VALUE_HEAD];
    struct outcome forged = {.hash = random_next(&s->random), .size = VALUE_HEAD};
    struct buffer result = {0};
    uint64_t seq = random_between(&s->random, 1, 2 * victim->submitted + 2);
    value_write(bytes, &forged, (struct mob_object){0});
    struct msg_result r = {.kind = VALUE_INLINE, .value = {bytes, sizeof bytes}};
    int rc = msg_result_pack_item(&result, &r);
    struct msg_task_done done = {.task = seq, .results = {1, result.data, buffer_size(&result)}};
    struct msg_task_back back = {.task = seq};
    struct msg_object_value value = {.object = {victim->id.v + random_below(&s->random, 3), seq},
                                     .kind = VALUE_INLINE,
                                     .value = {bytes, sizeof bytes}};
    if (rc == MOB_OK)
        rc = msg_task_done_pack(b, &done);
    if (rc == MOB_OK)
        rc = msg_task_back_pack(b, &back);
    if (rc == MOB_OK)
        rc = msg_object_value_pack(b, &value);
    if (rc != MOB_OK)
        sim_need(s, NULL);
    buffer_fini(&result);
}

static void on_lie(struct sim *s, const struct event *e)
{
    (void)e;
    if (faults_over(s))
        return;
    struct ring_half *half = pick_ring(s);
    struct peer *liar = half != NULL ? client_peer(half->owner->client, half->other) : NULL;
    if (liar != NULL && liar->shell == half) {
        struct buffer b = {0};
        lie_write(s, half->owner, &b);
        struct view frame = {buffer_head(&b), buffer_size(&b)};
        sim_trace_frame(s, half->owner, "a liar", frame);
        client_on_frame(s, half->owner, liar, frame);
        client_settle(s, half->owner);
        buffer_fini(&b);
    }
    repeat(s, s->weather.lie_every_ns, on_lie);
}

void faults_create(struct sim *s)
{
    const struct weather *w = &s->weather;
    for (uint32_t i = 0; i < w->drivers; i++)
        arrive_after(s, random_skewed(&s->random, 0, w->faults_end_ns / 2));
    repeat(s, w->kill_worker_every_ns, on_kill_worker);
    repeat(s, w->kill_driver_every_ns, on_kill_driver);
    repeat(s, w->kill_node_every_ns, on_kill_node);
    repeat(s, w->kill_head_every_ns, on_kill_head);
    repeat(s, w->kill_zygote_every_ns, on_kill_zygote);
    repeat(s, w->freeze_every_ns, on_freeze);
    repeat(s, w->partition_every_ns, on_partition);
    repeat(s, w->disconnect_every_ns, on_disconnect);
    repeat(s, w->lie_every_ns, on_lie);
}
