/* The node's core under thousands of random events, from clients that keep to the protocol and from
 * one that does not. After every event the invariants hold; when everybody wants no more,
 * everything is back.
 *
 *     build/tests/unit/test_node_random [FIRST SEED] [SEEDS] */
#include "tests/support/test.h"

#include <inttypes.h>

#include "tests/support/node_fixture.h"

enum { PROCESSES_MAX = 1 << 16, LEASES_MAX = 1 << 16, STEPS = 500 };

/* What the world knows of a process. */
struct proc {
    bool driver, forked, ready, killed, dead;
    uint64_t job;
    uint64_t blocked; /* its messages so far */
    bool waits;
    uint64_t want;
    uint64_t lease; /* under which it runs */
};

struct world {
    struct fixture *f;
    uint64_t random;
    uint64_t last; /* process id that was ever seen */
    bool zygote[64];
    uint64_t open[16]; /* requests of job_start */
    unsigned open_count;
    uint64_t denied, granted, recalled, lost;
    struct proc procs[PROCESSES_MAX];
    struct {
        uint64_t submitter, worker;
        bool recalled;
    } leases[LEASES_MAX];
    uint64_t last_lease;
};

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (w->random >> 33) % below;
}

static void on_effect(void *ctx, const struct node_effect *e)
{
    struct world *w = ctx;
    struct proc *p = &w->procs[e->process.v];
    if (e->process.v > w->last)
        w->last = e->process.v;
    switch (e->kind) {
    case NODE_START_ZYGOTE:
        w->zygote[e->job.v] = true;
        break;
    case NODE_FORK_WORKER:
        *p = (struct proc){.forked = true, .job = e->job.v};
        break;
    case NODE_WELCOME:
        *p = (struct proc){.driver = true, .ready = true, .job = e->job.v};
        break;
    case NODE_JOB_GONE:
        for (uint64_t i = 1; i <= w->last; i++)
            w->procs[i].dead |= w->procs[i].job == e->job.v;
        break;
    case NODE_CONNECT:
        assert_int_equal(w->procs[e->process.v].job, w->procs[e->other.v].job);
        break;
    case NODE_KILL:
        p->killed = true;
        break;
    case NODE_DISCONNECT:
    case NODE_REFUSE:
        break;
    }
}

static void on_grant(struct world *w, uint64_t to, const struct msg_lease_grant *m)
{
    assert_true(m->lease < LEASES_MAX);
    assert_int_equal(w->procs[m->worker].lease, 0);
    assert_true(w->procs[m->worker].ready && !w->procs[m->worker].dead);
    w->procs[m->worker].lease = m->lease;
    w->leases[m->lease].submitter = to;
    w->leases[m->lease].worker = m->worker;
    if (m->lease > w->last_lease)
        w->last_lease = m->lease;
    w->granted++;
}

static void on_message(void *ctx, struct mob_process to, struct cursor *c,
                       const struct message_head *head)
{
    struct world *w = ctx;
    if (head->number == MSG_lease_grant) {
        struct msg_lease_grant m;
        assert_true(msg_lease_grant_unpack(c, head, &m));
        on_grant(w, to.v, &m);
    } else if (head->number == MSG_lease_recall) {
        struct msg_lease_recall m;
        assert_true(msg_lease_recall_unpack(c, head, &m));
        assert_int_equal(w->leases[m.lease].submitter, to.v);
        assert_false(w->leases[m.lease].recalled);
        w->leases[m.lease].recalled = true;
        w->recalled++;
    } else if (head->number == MSG_lease_lost) {
        struct msg_lease_lost m;
        assert_true(msg_lease_lost_unpack(c, head, &m));
        assert_int_equal(w->leases[m.lease].worker, m.worker);
        w->leases[m.lease].submitter = 0;
        w->lost++;
    } else if (head->number == MSG_lease_denied) {
        w->denied++;
        w->procs[to.v].want = 0;
    } else if (head->number == MSG_worker_stop) {
        assert_int_equal(w->procs[to.v].lease, 0);
        w->procs[to.v].killed = draw(w, 2) == 0; /* it ends, or it stays */
    } else if (head->number == MSG_job_start) {
        struct msg_job_start m;
        assert_true(msg_job_start_unpack(c, head, &m));
        assert_true(w->open_count < 16);
        w->open[w->open_count++] = m.request;
    }
}

/* A process that can speak; 0 when the drawn one cannot. */
static struct mob_process speaker(struct world *w)
{
    for (int i = 0; i < 20 && w->last != 0; i++) {
        struct mob_process id = {1 + draw(w, w->last)};
        const struct proc *p = &w->procs[id.v];
        if (p->ready && !p->dead && node_core_client(w->f->core, id) != NULL)
            return id;
    }
    return (struct mob_process){0};
}

static void return_lease(struct world *w, uint64_t lease)
{
    struct mob_process submitter = {w->leases[lease].submitter};
    if (submitter.v == 0 || w->procs[submitter.v].dead ||
        node_core_client(w->f->core, submitter) == NULL)
        return;
    w->leases[lease].submitter = 0;
    w->procs[w->leases[lease].worker].lease = 0;
    SAY(w->f, submitter, lease_return, .lease = lease);
}

static void block_or_go_on(struct world *w, struct mob_process id)
{
    struct proc *p = &w->procs[id.v];
    if (p->driver)
        return;
    p->waits = !p->waits;
    if (p->waits) {
        p->blocked++;
        SAY(w->f, id, blocked, .count = p->blocked);
    } else {
        SAY(w->f, id, unblocked, .count = p->blocked);
    }
}

static void die(struct world *w, struct mob_process id)
{
    struct proc *p = &w->procs[id.v];
    if (p->driver) {
        if (draw(w, 3) == 0)
            node_core_driver_gone(w->f->core, id, w->f->now_ms);
    } else if ((p->ready || p->forked) && !p->dead) {
        p->dead = true;
        const struct worker_exit exit = {.signal = 9, .code = MOB_EWORKERDIED};
        node_core_worker_exited(w->f->core, id, &exit, w->f->now_ms);
    }
    fixture_settle(w->f);
}

static void start_something(struct world *w)
{
    struct fixture *f = w->f;
    for (uint64_t job = 1; job < 64; job++) {
        if (w->zygote[job] && draw(w, 3) == 0) {
            w->zygote[job] = false;
            if (draw(w, 10) == 0)
                node_core_zygote_gone(f->core, (struct mob_job){job}, "it ended", f->now_ms);
            else
                node_core_zygote_ready(f->core, (struct mob_job){job}, f->now_ms);
            fixture_settle(f);
        }
    }
    for (uint64_t i = 1; i <= w->last; i++) {
        struct proc *p = &w->procs[i];
        if (!p->forked || p->dead || (p->ready && !p->killed) || draw(w, 2) != 0)
            continue;
        if (p->killed) {
            die(w, (struct mob_process){i});
            continue;
        }
        node_core_worker_forked(f->core, (struct mob_process){i}, 1000 + i, f->now_ms);
        fixture_settle(f);
        if (node_core_client(f->core, (struct mob_process){i}) == NULL)
            continue;
        if (draw(w, 15) == 0) {
            die(w, (struct mob_process){i});
            continue;
        }
        p->ready = true;
        fixture_ready(f, (struct mob_process){i});
    }
}

static void driver_comes(struct world *w)
{
    struct fixture *f = w->f;
    const struct msg_client_hello hello = {.version = PROTOCOL_VERSION, .program = view_of("p")};
    if (f->jobs < 20 && w->open_count < 8)
        node_core_driver_hello(f->core, &hello, 0, f->now_ms, NULL);
    fixture_settle(f);
    if (w->open_count != 0)
        fixture_job_started(f, w->open[--w->open_count], ++f->jobs, draw(w, f->config.cpus) + 1);
}

/* Any message of any channel, with well-formed but foreign contents. */
static void say_nonsense(struct world *w, struct mob_process id)
{
    unsigned count = 0;
    while (message_numbers()[count] != 0)
        count++;
    uint32_t number = message_numbers()[draw(w, count)];
    bool harmful = number == MSG_goodbye || number == MSG_lease_return || number == MSG_blocked ||
                   number == MSG_unblocked || number == MSG_lease_want;
    struct buffer b = {0};
    assert_int_equal(message_seed(&b, number, draw(w, 1 << 30)), MOB_OK);
    int rc = harmful ? MOB_OK
                     : node_core_on_client(w->f->core, node_core_client(w->f->core, id),
                                           (struct view){b.data, b.end}, w->f->now_ms);
    assert_true(rc == MOB_OK || !message_allowed(number, CHANNEL_CLIENT_NODE) ||
                number == MSG_client_hello);
    buffer_fini(&b);
    fixture_settle(w->f);
}

static void step(struct world *w)
{
    struct fixture *f = w->f;
    struct mob_process id = speaker(w);
    uint64_t what = draw(w, 100);
    if (what < 6)
        driver_comes(w);
    else if (what < 30)
        start_something(w);
    else if (what < 40)
        fixture_wait(f, draw(w, draw(w, 20) == 0 ? 12000 : 60));
    else if (what < 55 && w->last_lease != 0)
        return_lease(w, w->last_lease - draw(w, w->last_lease < 12 ? w->last_lease : 12));
    else if (id.v == 0)
        return;
    else if (what < 72)
        SAY(f, id, lease_want, .count = w->procs[id.v].want = draw(w, 6),
            .depth = (uint32_t)draw(w, 4));
    else if (what < 88)
        block_or_go_on(w, id);
    else if (what < 90)
        die(w, id);
    else if (what < 93)
        SAY(f, id, extent_want, .request = 1, .size = draw(w, 1 << 19));
    else if (what < 95)
        SAY(f, id, object_sealed, .object = {id.v, 1 + draw(w, 100)},
            .offset = 64 * draw(w, 1 << 14), .size = draw(w, 5000));
    else if (what < 97)
        SAY(f, id, forward, .to = 1 + draw(w, w->last), .body = view_of("body"));
    else
        say_nonsense(w, id);
}

/* Nobody wants anything more, all leases are returned, all that wait go on. */
static void come_to_rest(struct world *w)
{
    for (int round = 0; round < 12; round++) {
        start_something(w);
        for (uint64_t i = 1; i <= w->last; i++) {
            struct mob_process id = {i};
            if (w->procs[i].killed && !w->procs[i].dead)
                die(w, id);
            if (!w->procs[i].ready || w->procs[i].dead || node_core_client(w->f->core, id) == NULL)
                continue;
            SAY(w->f, id, lease_want, .count = 0);
            if (w->procs[i].waits)
                block_or_go_on(w, id);
        }
        for (uint64_t lease = 1; lease <= w->last_lease; lease++)
            return_lease(w, lease);
        fixture_wait(w->f, 20000);
    }
    struct node_counts counts = fixture_counts(w->f);
    assert_int_equal(counts.leases, 0);
    assert_int_equal(counts.leased_cpus, 0);
    assert_int_equal(counts.wanted_leases, 0);
    assert_int_equal(counts.blocked_workers, 0);
}

/* At rest a wish of one lease is granted, or denied with a reason, whoever has it. */
static void every_wish_is_answered(struct world *w)
{
    for (uint64_t i = 1; i <= w->last; i++) {
        struct mob_process id = {i};
        if (!w->procs[i].ready || w->procs[i].dead || node_core_client(w->f->core, id) == NULL)
            continue;
        uint64_t answers = w->granted + w->denied;
        SAY(w->f, id, lease_want, .count = 1);
        for (int round = 0; round < 80 && w->granted + w->denied == answers; round++) {
            start_something(w);
            fixture_wait(w->f, 500);
        }
        if (node_core_client(w->f->core, id) == NULL)
            continue; /* it was asked to end, and did */
        if (w->granted + w->denied == answers)
            fail_msg("the wish of process %d in job %d is not answered", (int)i,
                     (int)w->procs[i].job);
        SAY(w->f, id, lease_want, .count = 0);
        return_lease(w, w->last_lease);
    }
}

static uint64_t first_seed = 1, seeds = 40, seed_now;

static int print_seed(void **state)
{
    (void)state;
    if (seed_now != 0)
        print_error("replay with: build/tests/unit/test_node_random %" PRIu64 " 1\n", seed_now);
    return 0;
}

/* From any seed, 500 random events of drivers, workers, time and a liar break no invariant; all
 * comes to rest, and is still of use. */
MOB_TEST(node_survives_random_events)
{
    uint64_t granted = 0, recalled = 0, denied = 0, lost = 0;
    for (seed_now = first_seed; seed_now < first_seed + seeds; seed_now++) {
        struct world *w = calloc(1, sizeof *w);
        assert_non_null(w);
        struct node_config config = fixture_config();
        w->random = seed_now * 0x9e3779b97f4a7c15u;
        config.cpus = (1 + draw(w, 4)) * CPU;
        config.workers_max = 1 + (uint32_t)draw(w, 8);
        config.clients_max = 2 + (uint32_t)draw(w, 30);
        w->f = fixture_create(&config);
        w->f->ctx = w;
        w->f->on_effect = on_effect;
        w->f->on_message = on_message;
        w->f->quiet = true;
        for (int i = 0; i < STEPS; i++)
            step(w);
        come_to_rest(w);
        every_wish_is_answered(w);
        granted += w->granted;
        recalled += w->recalled;
        denied += w->denied;
        lost += w->lost;
        fixture_destroy(w->f);
        free(w);
    }
    print_message("%" PRIu64 " granted, %" PRIu64 " recalled, %" PRIu64 " denied, %" PRIu64
                  " lost\n",
                  granted, recalled, denied, lost);
    seed_now = 0;
    assert_true(granted != 0 && recalled != 0 && denied != 0 && lost != 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seeds = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(node_survives_random_events, print_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
