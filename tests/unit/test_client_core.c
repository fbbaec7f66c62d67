/* The client's core in a small world of its own: a node, workers, owners and readers that mostly do
 * what they should. Thousands of random events; the same with allocations that fail; and a fixed
 * course of events in which each allocation fails once. In the end all that was begun must have
 * ended. */
#include "tests/support/test.h"

#include <inttypes.h>

#include "protocol/memory.h"
#include "tests/support/core_kit.h"

enum {
    WORKERS = 8,
    QUEUE = 1024,
    HANDLES = 200,
    WAITERS = 8,
    GETS = 1024,
    SUBMITTER = 30,
    READER = 33,
    OWNERS = 3,
    OWNER = 50
};

struct worker {
    uint64_t process, lease; /* lease 0: none */
    struct {
        uint64_t task;
        uint32_t attempt, results;
    } queue[QUEUE];
    uint32_t count;
};

struct world {
    struct kit *k;
    uint64_t seed, random;
    uint64_t ids, want, extent_request, requests;
    struct worker workers[WORKERS];
    struct mob_object handles[HANDLES];
    uint32_t handle_count;
    struct mob_object gets[GETS]; /* asked of others */
    uint32_t get_count;
    bool owner_lost[OWNERS];
    struct waiter waiters[WAITERS];
    struct watch watches[WAITERS];
    bool watching[WAITERS];
    struct run *run;
    bool blocked, faults;
};

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (w->random >> 33) % below;
}

static bool one_in(struct world *w, uint64_t n)
{
    return draw(w, n) == 0;
}

/* ---- what the core says ---- */

static struct worker *worker_of(struct world *w, uint64_t process)
{
    for (unsigned i = 0; i < WORKERS; i++)
        if (w->workers[i].process == process && process != 0)
            return &w->workers[i];
    return NULL;
}

static void hears_client(struct world *w, uint64_t to, struct cursor *c,
                         const struct message_head *head)
{
    if (head->number == MSG_task_run) {
        struct msg_task_run m;
        assert_true(msg_task_run_unpack(c, head, &m));
        struct worker *worker = worker_of(w, to);
        assert_true(worker != NULL && worker->lease != 0 && worker->count < QUEUE);
        worker->queue[worker->count].task = m.task;
        worker->queue[worker->count].results = m.results;
        worker->queue[worker->count++].attempt = m.attempt;
    } else if (head->number == MSG_object_get) {
        struct msg_object_get m;
        assert_true(msg_object_get_unpack(c, head, &m));
        assert_int_equal(m.object.owner, to);
        assert_true(w->get_count < GETS);
        w->gets[w->get_count++] = m.object;
    }
}

static void hears_node(struct world *w, struct cursor *c, const struct message_head *head)
{
    if (head->number == MSG_lease_want) {
        struct msg_lease_want m;
        assert_true(msg_lease_want_unpack(c, head, &m));
        w->want = m.count;
    } else if (head->number == MSG_lease_return) {
        struct msg_lease_return m;
        assert_true(msg_lease_return_unpack(c, head, &m));
        for (unsigned i = 0; i < WORKERS; i++)
            if (w->workers[i].lease == m.lease) {
                assert_int_equal(w->workers[i].count, 0);
                w->workers[i].lease = 0;
            }
    } else if (head->number == MSG_extent_want) {
        struct msg_extent_want m;
        assert_true(msg_extent_want_unpack(c, head, &m));
        w->extent_request = m.request;
    } else if (head->number == MSG_forward) {
        struct msg_forward m;
        struct message_head inner;
        assert_true(msg_forward_unpack(c, head, &m));
        struct cursor body = cursor_of(m.body.data, m.body.size);
        assert_true(message_next(&body, &inner));
        hears_client(w, m.to, &body, &inner);
    }
}

static void hears(void *ctx, uint64_t to, struct cursor *c, const struct message_head *head)
{
    if (to == KIT_NODE)
        hears_node(ctx, c, head);
    else
        hears_client(ctx, to, c, head);
}

/* ---- handles ---- */

static void handle_add(struct world *w, struct mob_object id)
{
    if (w->handle_count < HANDLES)
        w->handles[w->handle_count++] = id;
    else
        client_drop(w->k->core, id);
}

static struct mob_object handle_any(struct world *w)
{
    return w->handle_count > 0 ? w->handles[draw(w, w->handle_count)]
                               : kit_id(KIT_SELF, 1 + draw(w, 100));
}

static void handle_remove(struct world *w, struct mob_object id)
{
    for (uint32_t i = 0; i < w->handle_count; i++)
        if (mob_object_equal(w->handles[i], id)) {
            w->handles[i] = w->handles[--w->handle_count];
            return;
        }
}

/* A worker's handles belong to a run. */
static bool may_call(const struct world *w)
{
    return !w->k->config.worker || w->run != NULL;
}

/* A call may fail for lack of memory when an allocation failed, and then works at once. */
#define RETRIED(w, rc, call)                                                                       \
    do {                                                                                           \
        KIT_CALL((w)->k, rc = call);                                                               \
        if (rc == MOB_ENOMEM) {                                                                    \
            assert_true((w)->faults);                                                              \
            KIT_CALL((w)->k, rc = call);                                                           \
            assert_true(rc != MOB_ENOMEM || (w)->k->failed);                                       \
        }                                                                                          \
        kit_settle((w)->k);                                                                        \
    } while (0)

/* ---- calls ---- */

static void submits(struct world *w)
{
    struct kit_call call = {.results = (uint32_t)draw(w, 4),
                            .retries = (int32_t)draw(w, 4) - 1,
                            .function = 1 + draw(w, 4),
                            .arg_count = (uint32_t)draw(w, 4)};
    for (uint32_t i = 0; i < call.arg_count; i++) {
        call.args[i] = (struct kit_arg){.kind = (enum submit_kind)draw(w, 3), .text = "some text"};
        if (call.args[i].kind != SUBMIT_VALUE) {
            call.args[i].object = handle_any(w);
            call.args[i].moved = one_in(w, 4);
        }
    }
    struct mob_object first;
    int rc = kit_submit_rc(w->k, &call, &first);
    if (rc == MOB_ENOMEM && w->faults)
        rc = kit_submit_rc(w->k, &call, &first);
    if (rc != MOB_OK) {
        assert_true(rc == MOB_ENOOBJECT || w->k->failed);
        return;
    }
    for (uint32_t i = 0; i < call.arg_count; i++)
        if (call.args[i].kind != SUBMIT_VALUE && call.args[i].moved)
            handle_remove(w, call.args[i].object);
    for (uint32_t i = 0; i < (call.results == 0 ? 1 : call.results); i++)
        handle_add(w, kit_id(KIT_SELF, first.seq + i));
}

static void puts_one(struct world *w)
{
    struct view piece = view_of("a value that was put");
    struct mob_object id;
    int rc;
    if (one_in(w, 4))
        RETRIED(w, rc, client_put_stored(w->k->core, 64 * draw(w, 100), 100, &id));
    else
        RETRIED(w, rc, client_put_inline(w->k->core, &piece, 1, &id));
    if (rc == MOB_OK)
        handle_add(w, id);
    else
        assert_true(w->k->failed);
}

static void drops_or_holds(struct world *w)
{
    struct mob_object id = handle_any(w);
    int rc;
    switch (draw(w, 4)) {
    case 0:
        RETRIED(w, rc, client_hold(w->k->core, id));
        if (rc == MOB_OK)
            handle_add(w, id);
        break;
    case 1:
        client_publish(w->k->core, id);
        break;
    default:
        if (w->handle_count > 0) {
            client_drop(w->k->core, id);
            handle_remove(w, id);
        }
    }
}

static void borrows(struct world *w)
{
    struct mob_object id = kit_id(OWNER + draw(w, OWNERS), 1 + draw(w, 20));
    int rc;
    if (w->owner_lost[id.owner - OWNER])
        return;
    RETRIED(w, rc, client_borrow(w->k->core, id));
    assert_int_equal(rc, MOB_OK);
    handle_add(w, id);
}

static void watches(struct world *w)
{
    unsigned i = (unsigned)draw(w, WAITERS);
    struct client *core = w->k->core;
    int rc;
    if (one_in(w, 3)) {
        RETRIED(w, rc, client_completion_watch(core, handle_any(w), w->k->now_ns));
        return;
    }
    if (w->watching[i]) {
        KIT_CALL(w->k, client_unwatch(core, &w->watches[i]));
        w->watching[i] = false;
        return;
    }
    w->waiters[i] = (struct waiter){.needed = 1};
    struct mob_object id = handle_any(w);
    RETRIED(w, rc, client_watch(core, id, &w->watches[i], &w->waiters[i], w->k->now_ns));
    w->watching[i] = rc == MOB_OK;
}

static void wakes(struct world *w)
{
    struct waiter *woken;
    struct mob_object id;
    while ((woken = client_next_woken(w->k->core)) != NULL)
        assert_true(woken->done);
    while (one_in(w, 2) && client_completion_take(w->k->core, &id))
        continue;
}

static struct waiter extent_waiter;

static void places(struct world *w)
{
    uint64_t offset;
    int rc;
    if (w->extent_request != 0) {
        uint64_t request = w->extent_request;
        w->extent_request = 0;
        int code = one_in(w, 3) ? MOB_ESTOREFULL : MOB_OK;
        KIT_SAYS(w->k, KIT_NODE, extent_grant, .request = request, .code = code,
                 .offset = 8192 * draw(w, 100), .size = 8192);
    } else if (!client_place(w->k->core, 1000, &offset) && !w->k->failed) {
        RETRIED(w, rc, client_extent_want(w->k->core, 1000, &extent_waiter));
        assert_true(rc == MOB_OK || w->k->failed);
    }
}

/* ---- the node and its workers ---- */

static uint64_t leases(const struct world *w)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        n += w->workers[i].lease != 0;
    return n;
}

static void grants(struct world *w)
{
    unsigned i = (unsigned)draw(w, WORKERS);
    struct worker *worker = &w->workers[i];
    if (leases(w) >= w->want || worker->lease != 0)
        return;
    worker->lease = ++w->ids;
    if (worker->process == 0 ||
        client_peer(w->k->core, (struct mob_process){worker->process}) == NULL) {
        if (worker->process == 0)
            worker->process = 1000 + ++w->ids;
        KIT_SAYS(w->k, KIT_NODE, peer_open, .process = worker->process, .side = 1);
    }
    if (!w->k->failed)
        KIT_SAYS(w->k, KIT_NODE, lease_grant, .lease = worker->lease, .worker = worker->process);
}

static void dies(struct world *w, struct worker *worker)
{
    uint64_t running = worker->count > 0 && !one_in(w, 3) ? worker->queue[0].task : 0,
             process = worker->process;
    uint64_t lease = worker->lease;
    memset(worker, 0, sizeof *worker);
    if (process != 0 && lease != 0)
        KIT_SAYS(w->k, KIT_NODE, lease_lost, .lease = lease, .worker = process, .running = running,
                 .signal = 9);
    if (process != 0)
        KIT_SAYS(w->k, KIT_NODE, process_lost, .process = process);
}

/* The oldest task of the worker ends. */
static void answers(struct world *w, struct worker *worker, uint64_t how)
{
    if (worker->count == 0)
        return;
    uint64_t task = worker->queue[0].task;
    uint32_t attempt = worker->queue[0].attempt, count = worker->queue[0].results;
    worker->count--;
    memmove(worker->queue, worker->queue + 1, worker->count * sizeof worker->queue[0]);
    if (how == 0) {
        KIT_SAYS(w->k, worker->process, task_done, .task = task, .attempt = attempt,
                 .errors = kit_error(w->k, MOB_ETASKFAILED, "on purpose"));
        return;
    }
    struct buffer b = {0};
    for (uint32_t i = 0; i < count + (how == 1); i++) {
        struct msg_result r = {.kind = VALUE_INLINE, .value = view_of("result")};
        if (how == 2)
            r = (struct msg_result){.kind = VALUE_STORED, .offset = 128, .size = 3000};
        assert_int_equal(msg_result_pack_item(&b, &r), MOB_OK);
    }
    KIT_SAYS(w->k, worker->process, task_done, .task = task, .attempt = attempt,
             .run_ns = draw(w, 3000000),
             .results = {count + (how == 1), buffer_head(&b), buffer_size(&b)});
    buffer_fini(&b);
}

static void gives_back(struct world *w, struct worker *worker)
{
    while (worker->count > 1) {
        worker->count--;
        KIT_SAYS(w->k, worker->process, task_back, .task = worker->queue[worker->count].task,
                 .attempt = worker->queue[worker->count].attempt);
    }
}

static void worker_does(struct world *w)
{
    struct worker *worker = &w->workers[draw(w, WORKERS)];
    if (worker->process == 0)
        return;
    switch (draw(w, 12)) {
    case 0:
        dies(w, worker);
        break;
    case 1:
        gives_back(w, worker);
        break;
    case 2:
        KIT_SAYS(w->k, KIT_NODE, lease_recall, .lease = worker->lease);
        break;
    case 3:
        if (worker->lease == 0) /* the node takes only unused pairs back */
            KIT_SAYS(w->k, KIT_NODE, peer_close, .process = worker->process);
        break;
    default:
        answers(w, worker, draw(w, 8));
    }
}

static void owner_does(struct world *w, bool honest)
{
    if (w->get_count == 0)
        return;
    struct mob_object id = w->gets[--w->get_count];
    if (w->owner_lost[id.owner - OWNER])
        KIT_SAYS(w->k, KIT_NODE, process_lost, .process = id.owner);
    else if (!honest && one_in(w, 20)) {
        w->owner_lost[id.owner - OWNER] = true;
        KIT_SAYS(w->k, KIT_NODE, process_lost, .process = id.owner);
    } else if (one_in(w, 3))
        KIT_FORWARDED(w->k, id.owner, object_value, .object = id, .kind = VALUE_ERROR,
                      .errors = kit_error(w->k, MOB_ETASKFAILED, "elsewhere"));
    else
        KIT_FORWARDED(w->k, id.owner, object_value, .object = id, .kind = VALUE_INLINE,
                      .value = view_of("from afar"));
}

/* ---- what should not happen ---- */

static void forges(struct world *w)
{
    struct worker *worker = &w->workers[draw(w, WORKERS)];
    struct kit *k = w->k;
    uint64_t task = 1 + draw(w, 200);
    struct mob_object own = kit_id(KIT_SELF, task);
    switch (draw(w, 7)) {
    case 0:
        KIT_FORWARDED(k, READER, object_value, .object = own, .kind = VALUE_INLINE,
                      .value = view_of("forged"));
        break;
    case 1:
        KIT_FORWARDED(k, READER, task_done, .task = task, .results = kit_results(k, "forged"));
        break;
    case 2:
        KIT_SAYS(k, KIT_NODE, lease_lost, .lease = 1 + draw(w, 50), .worker = 99999);
        break;
    case 3:
        KIT_SAYS(k, KIT_NODE, extent_grant, .request = 999999, .size = 4096);
        break;
    case 4:
        if (worker->process != 0 &&
            client_peer(k->core, (struct mob_process){worker->process}) != NULL)
            KIT_SAYS(k, worker->process, task_done, .task = task, .attempt = 99,
                     .results = kit_results(k, "forged"));
        break;
    case 5:
        KIT_SAYS(k, KIT_NODE, lease_grant, .lease = ++w->ids, .worker = 99999);
        break;
    default: { /* a frame of no sense */
        struct buffer b = {0};
        const uint32_t *numbers = message_numbers();
        assert_int_equal(message_seed(&b, numbers[draw(w, 40)], draw(w, 1000)), MOB_OK);
        buffer_head(&b)[draw(w, buffer_size(&b))] ^= 0xff;
        struct view frame = {buffer_head(&b), draw(w, buffer_size(&b))};
        struct peer *p = client_peer(k->core, (struct mob_process){READER});
        KIT_CALL(k, client_on_peer(k->core, p, frame, k->now_ns));
        kit_settle(k);
        buffer_fini(&b);
    }
    }
}

/* ---- as a worker ---- */

static void run_ends(struct world *w)
{
    int rc;
    if (w->blocked) {
        KIT_CALL(w->k, client_unblocked(w->k->core, w->k->now_ns));
        w->blocked = false;
    }
    struct msg_list results = kit_results(w->k, "ran");
    RETRIED(w, rc, client_run_done(w->k->core, w->run, &results, NULL, 10, w->k->now_ns));
    assert_int_equal(rc, MOB_OK);
    w->run = NULL;
    w->handle_count = 0;
}

static void runs(struct world *w)
{
    struct kit *k = w->k;
    struct mob_object refs[2] = {kit_id(OWNER + draw(w, OWNERS), 1 + draw(w, 20)), handle_any(w)};
    switch (draw(w, 5)) {
    case 0:
        KIT_SAYS(k, SUBMITTER, task_run, .task = 1 + draw(w, 1000), .function = 4, .results = 1,
                 .args = kit_ref_args(k, refs, w->owner_lost[refs[0].owner - OWNER] ? 0 : 2));
        break;
    case 1:
        if (w->run == NULL)
            KIT_CALL(k, w->run = client_run_next(k->core, k->now_ns));
        break;
    case 2:
        if (w->run != NULL && one_in(w, 4))
            run_ends(w);
        break;
    case 3:
        if (w->run != NULL && !w->blocked)
            KIT_CALL(k, client_blocked(k->core, k->now_ns));
        else if (w->blocked)
            KIT_CALL(k, client_unblocked(k->core, k->now_ns));
        w->blocked = w->run != NULL && !w->blocked;
        break;
    default:
        if (one_in(w, 10))
            KIT_CALL(k, client_run_is_long(k->core));
    }
    kit_settle(k);
}

/* ---- the course of events ---- */

static void event(struct world *w)
{
    struct kit *k = w->k;
    uint64_t what = draw(w, 16);
    if (what < 6 && !may_call(w))
        what = 15;
    switch (what) {
    case 0:
        submits(w);
        break;
    case 1:
        puts_one(w);
        break;
    case 2:
        drops_or_holds(w);
        break;
    case 3:
        borrows(w);
        break;
    case 4:
        watches(w);
        break;
    case 5:
        submits(w);
        break;
    case 6:
        grants(w);
        break;
    case 7:
    case 8:
    case 9:
        worker_does(w);
        break;
    case 10:
        owner_does(w, false);
        break;
    case 11:
        forges(w);
        break;
    case 12:
        kit_wait(k, draw(w, 2000000));
        break;
    case 13:
        if (one_in(w, 10))
            KIT_SAYS(k, KIT_NODE, lease_denied, .code = MOB_EWORKERSTART, .text = view_of("none"));
        else
            KIT_SAYS(k, READER, object_get, .object = handle_any(w));
        break;
    case 14:
        places(w);
        break;
    default:
        if (k->config.worker)
            runs(w);
    }
    wakes(w);
    for (uint32_t i = 0; i < w->handle_count && !w->k->failed; i++) {
        struct value v;
        assert_int_not_equal(client_look(k->core, w->handles[i], &v), OBJECT_ABSENT);
    }
}

/* From now on everybody does what they should, and all that was begun ends. */
static void comes_to_rest(struct world *w)
{
    struct kit *k = w->k;
    for (unsigned turn = 0;; turn++) {
        if (w->run != NULL)
            run_ends(w);
        grants(w);
        for (unsigned i = 0; i < WORKERS; i++)
            while (w->workers[i].count > 0)
                answers(w, &w->workers[i], 7);
        while (w->get_count > 0)
            owner_does(w, true);
        kit_wait(k, 100000);
        wakes(w);
        if (kit_counts(k).tasks == 0 && client_runs_queued(k->core) == 0)
            break;
        if (k->config.worker && w->run == NULL)
            w->run = client_run_next(k->core, k->now_ns);
        if (turn == 20000)
            fail_msg("%" PRIu64 " tasks do not end, %" PRIu64 " ready, %" PRIu64 " sent",
                     kit_counts(k).tasks, kit_counts(k).ready, kit_counts(k).sent);
    }
    for (unsigned i = 0; i < WAITERS; i++)
        if (w->watching[i])
            client_unwatch(k->core, &w->watches[i]);
    while (w->handle_count > 0)
        client_drop(k->core, w->handles[--w->handle_count]);
    kit_wait(k, 10000000);
    assert_int_equal(kit_counts(k).leases, 0);
    assert_true(w->k->failed || client_deadline(k->core) == UINT64_MAX);
}

static void world_start(struct world *w, uint64_t seed, enum kit_role role)
{
    *w = (struct world){.k = kit_create(role), .seed = seed, .random = seed * 2 + 1, .ids = 100};
    kit_peer(w->k, SUBMITTER);
    kit_peer(w->k, READER);
    w->k->quiet = true;
    w->k->on_message = hears;
    w->k->ctx = w;
}

static void world_end(struct world *w)
{
    if (!w->k->failed)
        comes_to_rest(w);
    for (unsigned i = 0; i < WAITERS; i++)
        if (w->watching[i] && w->k->failed)
            assert_true(w->waiters[i].done);
    assert_int_equal(kit_counts(w->k).tasks, 0);
    kit_destroy(w->k);
}

static void random_world(uint64_t seed, enum kit_role role, bool faults, unsigned events)
{
    static struct world w;
    print_message("seed %" PRIu64 "\r", seed);
    world_start(&w, seed, role);
    w.faults = faults;
    for (unsigned i = 0; i < events && !w.k->failed; i++) {
        if (faults && one_in(&w, 10))
            w.k->fail_in = 1 + draw(&w, 8);
        event(&w);
        w.k->fail_in = 0;
    }
    world_end(&w);
}

/* Whatever happens, in whatever order, the invariants hold and all ends; MOBULA_TEST_SEED=n replays
 * one. */
MOB_TEST(random_events)
{
    const char *one = getenv("MOBULA_TEST_SEED");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1, count = one != NULL ? 1 : 200;
    for (uint64_t seed = first; seed < first + count; seed++) {
        random_world(seed, KIT_DRIVER, false, 600);
        random_world(seed, KIT_WORKER, false, 600);
    }
}

/* The same when allocations fail now and then. */
MOB_TEST(random_events_without_memory)
{
    const char *one = getenv("MOBULA_TEST_SEED");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1, count = one != NULL ? 1 : 200;
    for (uint64_t seed = first; seed < first + count; seed++) {
        random_world(seed, KIT_DRIVER, true, 600);
        random_world(seed, KIT_WORKER, true, 600);
    }
}

/* One course of events, again and again, in which the first allocation fails, then the second, to
 * the last. */
static void each_allocation_fails(enum kit_role role)
{
    static struct world w;
    for (uint64_t n = 1;; n++) {
        world_start(&w, 11, role);
        w.faults = true;
        w.k->fail_in = n;
        for (unsigned i = 0; i < 400 && !w.k->failed; i++)
            event(&w);
        bool fired = w.k->fail_in == 0;
        w.k->fail_in = 0;
        world_end(&w);
        if (!fired)
            break;
        assert_true(n < 10000);
    }
}

MOB_TEST(each_allocation_of_a_driver_fails)
{
    each_allocation_fails(KIT_DRIVER);
}

MOB_TEST(each_allocation_of_a_worker_fails)
{
    each_allocation_fails(KIT_WORKER);
}

/* Time passes to the core's own deadlines; then all that it had to say is said. */
static unsigned said_in_time(struct kit *k, uint64_t to, const char *what)
{
    for (unsigned i = 0; i < 3 && client_deadline(k->core) != UINT64_MAX; i++)
        kit_wait(k, client_deadline(k->core) - k->now_ns);
    return kit_taken(k, to, what);
}

/* What could not be said for lack of memory is said when the core's own deadline comes, without any
 * other event. */
MOB_TEST(deadline_says_what_found_no_memory)
{
    for (uint64_t n = 1; n < 12; n++) {
        struct kit *k = kit_create(KIT_WORKER);
        struct mob_object first;
        kit_peer(k, SUBMITTER);
        KIT_SAYS(k, SUBMITTER, task_run, .task = 1, .function = 4, .results = 1);
        assert_non_null(client_run_next(k->core, k->now_ns));
        k->fail_in = n;
        bool submitted = kit_submit_rc(k, &(struct kit_call){.results = 1}, &first) == MOB_OK;
        k->fail_in = 0;
        assert_int_equal(said_in_time(k, KIT_NODE, "lease_want count=1"), submitted);
        kit_destroy(k);

        k = kit_create(KIT_WORKER);
        kit_peer(k, SUBMITTER);
        KIT_SAYS(k, SUBMITTER, task_run, .task = 1, .function = 4, .results = 1);
        KIT_SAYS(k, SUBMITTER, task_run, .task = 2, .function = 4, .results = 1);
        assert_non_null(client_run_next(k->core, k->now_ns));
        k->fail_in = n;
        KIT_CALL(k, client_blocked(k->core, k->now_ns));
        k->fail_in = 0;
        kit_settle(k);
        assert_int_equal(said_in_time(k, KIT_NODE, "blocked count=1"), 1);
        assert_int_equal(said_in_time(k, SUBMITTER, "task_back task=2"), 1);
        kit_destroy(k);

        k = kit_create(KIT_DRIVER);
        struct mob_object put = kit_put(k, "x");
        kit_peer(k, READER);
        k->fail_in = n;
        KIT_SAYS(k, READER, object_get, .object = put);
        k->fail_in = 0;
        assert_int_equal(said_in_time(k, READER, "object_value"), 1);
        client_drop(k->core, put);
        assert_int_equal(kit_counts(k).objects, 0);
        kit_destroy(k);
    }
}

/* Without memory for a client there is none, and nothing is left of it. */
MOB_TEST(no_memory_for_a_client)
{
    struct client_config config = kit_config(KIT_DRIVER);
    for (uint64_t n = 1;; n++) {
        struct client *c = NULL;
        memory_fail_at(n);
        int rc = client_create(&c, &config, NULL);
        memory_fail_at(0);
        if (rc == MOB_OK) {
            assert_true(n > 3);
            client_destroy(c);
            break;
        }
        assert_int_equal(rc, MOB_ENOMEM);
    }
    client_destroy(NULL);
}

/* Frames for a peer that is none, empty ones and such that end in the middle are counted and have
 * no effect. */
MOB_TEST(broken_frames_are_counted)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 30);
    struct peer stranger;
    peer_init(&stranger, client_outbox(k->core), (struct mob_process){30});
    client_on_peer(k->core, &stranger, (struct view){"", 0}, k->now_ns);
    assert_int_equal(kit_counts(k).refused, 1);
    client_on_peer(k->core, client_peer(k->core, (struct mob_process){30}), (struct view){"", 0},
                   k->now_ns);
    client_on_node(k->core, (struct view){"", 0}, k->now_ns);
    assert_int_equal(kit_counts(k).refused, 1);
    uint64_t refused = 1;
    for (const uint32_t *number = message_numbers(); *number != 0; number++) {
        struct buffer b = {0};
        assert_int_equal(message_seed(&b, *number, 1), MOB_OK);
        client_on_node(k->core, (struct view){buffer_head(&b), buffer_size(&b) - 1}, k->now_ns);
        assert_true(kit_counts(k).refused > refused);
        refused = kit_counts(k).refused;
        if (!message_allowed(*number, CHANNEL_NODE_CLIENT)) {
            client_on_node(k->core, (struct view){buffer_head(&b), buffer_size(&b)}, k->now_ns);
            assert_true(kit_counts(k).refused > refused);
            refused = kit_counts(k).refused;
        }
        buffer_fini(&b);
    }
    kit_settle(k);
    kit_expect_no_effect(k);
    kit_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_events),
        cmocka_unit_test(random_events_without_memory),
        cmocka_unit_test(each_allocation_of_a_driver_fails),
        cmocka_unit_test(each_allocation_of_a_worker_fails),
        cmocka_unit_test(deadline_says_what_found_no_memory),
        cmocka_unit_test(no_memory_for_a_client),
        cmocka_unit_test(broken_frames_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
