/* A worker's side of a task: runs in order, references that a run obtains, and giving queued runs
 * back. */
#include "tests/support/test.h"

#include "tests/support/core_kit.h"

static struct kit *worker_create(void)
{
    struct kit *k = kit_create(KIT_WORKER);
    kit_peer(k, 30);
    return k;
}

static void runs(struct kit *k, uint64_t task, struct msg_list args)
{
    KIT_SAYS(k, 30, task_run, .task = task, .function = 5, .results = 1, .args = args);
}

static struct run *next(struct kit *k)
{
    struct run *r = client_run_next(k->core, k->now_ns);
    kit_settle(k);
    return r;
}

static void ends(struct kit *k, struct run *r)
{
    struct msg_list results = kit_results(k, "done");
    assert_int_equal(client_run_done(k->core, r, &results, NULL, 250, k->now_ns), MOB_OK);
    kit_settle(k);
}

/* Runs go one at a time, in the order in which they came, and each is answered to its submitter. */
MOB_TEST(runs_go_in_order)
{
    struct kit *k = worker_create();
    kit_peer(k, 31);
    runs(k, 11, (struct msg_list){0});
    KIT_SAYS(k, 31, task_run, .task = 12, .attempt = 2, .depth = 4, .function = 6, .results = 3);
    assert_int_equal(client_runs_queued(k->core), 2);
    struct run *r = next(k);
    assert_int_equal(r->task, 11);
    assert_int_equal(r->from.v, 30);
    assert_null(next(k));
    assert_true(client_runs_now(k->core));
    ends(k, r);
    kit_expect(k, 30,
               "task_done task=11 attempt=0 run_ns=250 results=[{ kind=1 value=<4 bytes> offset=0 "
               "size=0 }] errors=[]");
    r = next(k);
    assert_int_equal(r->task, 12);
    assert_int_equal(r->attempt, 2);
    assert_int_equal(r->depth, 4);
    assert_int_equal(r->function, 6);
    assert_int_equal(r->result_count, 3);
    struct msg_list errors = kit_error(k, MOB_ETASKFAILED, "no");
    assert_int_equal(client_run_done(k->core, r, NULL, &errors, 0, k->now_ns), MOB_OK);
    kit_settle(k);
    kit_expect(k, 31, "task_done task=12 attempt=2 run_ns=0 results=[] errors=[{ code=-40 ");
    assert_false(client_runs_now(k->core));
    assert_null(next(k));
    kit_destroy(k);
}

/* A driver runs nothing: what it is sent goes back. */
MOB_TEST(driver_gives_runs_back)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 30);
    KIT_SAYS(k, 30, task_run, .task = 4, .attempt = 1);
    kit_expect(k, 30, "task_back task=4 attempt=1");
    assert_null(client_run_next(k->core, k->now_ns));
    kit_destroy(k);
}

/* A worker that was told to stop does so when nothing is left to do and nobody needs what it owns;
 * one that is used again stays. */
MOB_TEST(stops_when_nothing_is_left)
{
    struct kit *k = worker_create();
    struct mob_object mine = kit_put(k, "x");
    KIT_SAYS(k, KIT_NODE, worker_stop, .code = MOB_OK);
    kit_wait(k, 1);
    kit_expect_no_effect(k);
    client_drop(k->core, mine);
    kit_wait(k, 1);
    kit_expect_effect(k, "stop");
    kit_wait(k, 1);
    kit_expect_no_effect(k);
    kit_destroy(k);

    k = worker_create();
    mine = kit_put(k, "x");
    KIT_SAYS(k, KIT_NODE, worker_stop, .code = MOB_OK);
    runs(k, 2, (struct msg_list){0});
    ends(k, next(k));
    kit_expect(k, 30, "task_done task=2");
    client_drop(k->core, mine);
    kit_wait(k, 1);
    kit_expect_no_effect(k);
    kit_destroy(k);
}

/* Handles that a run got in any way and did not drop are dropped at its end; what was published
 * stays. */
MOB_TEST(obtained_handles_end_with_the_run)
{
    struct kit *k = worker_create();
    const struct mob_object arg = kit_id(30, 8), inner = kit_id(31, 9);
    runs(k, 1, kit_ref_args(k, &arg, 1));
    struct run *r = next(k);
    kit_expect_pending(k, arg);
    struct mob_object put = kit_put(k, "x"), published = kit_put(k, "y");
    struct mob_object task = kit_submit(k, &(struct kit_call){.results = 2});
    assert_int_equal(client_borrow(k->core, inner), MOB_OK);
    assert_int_equal(client_hold(k->core, put), MOB_OK);
    assert_int_equal(client_hold(k->core, arg), MOB_OK);
    client_drop(k->core, put);
    client_publish(k->core, published);
    ends(k, r);
    kit_expect_absent(k, arg);
    kit_expect_absent(k, inner);
    kit_expect_absent(k, put);
    kit_expect_value(k, published, "y");
    kit_expect_pending(k, task); /* it still runs, for nobody */
    kit_worker(k, 40, 1);
    KIT_SAYS(k, 40, task_done, .task = task.seq, .results = kit_two_results(k, "a", "b"));
    kit_expect_absent(k, task);
    assert_int_equal(kit_counts(k).objects, 1);
    kit_destroy(k);
}

/* Handles of objects that come and go inside one long run do not pile up, and those that stay are
 * dropped once. */
MOB_TEST(long_run_obtains_many)
{
    struct kit *k = worker_create();
    runs(k, 1, (struct msg_list){0});
    struct run *r = next(k);
    struct mob_object kept[10];
    for (unsigned i = 0; i < 2000; i++) {
        struct mob_object o = kit_put(k, "x");
        if (i % 200 == 0)
            kept[i / 200] = o;
        else
            client_drop(k->core, o);
    }
    assert_int_equal(kit_counts(k).objects, 10);
    ends(k, r);
    for (unsigned i = 0; i < 10; i++)
        kit_expect_absent(k, kept[i]);
    kit_destroy(k);
}

/* A reference that is none, or that came home too late, does not keep the others from being
 * borrowed. */
MOB_TEST(bad_reference_arguments_do_not_hide_others)
{
    struct kit *k = worker_create();
    const struct mob_object refs[] = {kit_id(0, 0), kit_id(KIT_SELF, 500), kit_id(30, 8)};
    runs(k, 1, kit_ref_args(k, refs, 3));
    struct run *r = next(k);
    assert_non_null(r);
    kit_expect_absent(k, refs[0]);
    kit_expect_absent(k, refs[1]);
    kit_expect_pending(k, refs[2]);
    ends(k, r);
    kit_expect_absent(k, refs[2]);
    kit_destroy(k);
}

/* While a run waits, those behind it go back, the newest first, and so do those that come. */
MOB_TEST(blocked_run_gives_queued_ones_back)
{
    struct kit *k = worker_create();
    for (uint64_t task = 1; task <= 4; task++)
        runs(k, task, (struct msg_list){0});
    struct run *r = next(k);
    client_blocked(k->core, k->now_ns);
    kit_settle(k);
    kit_expect(k, KIT_NODE, "blocked count=1");
    kit_expect(k, 30, "task_back task=4");
    kit_expect(k, 30, "task_back task=3");
    kit_expect(k, 30, "task_back task=2");
    runs(k, 5, (struct msg_list){0});
    kit_expect(k, 30, "task_back task=5");
    client_unblocked(k->core, k->now_ns);
    kit_settle(k);
    kit_expect(k, KIT_NODE, "unblocked count=1");
    runs(k, 6, (struct msg_list){0});
    kit_expect_nothing(k, 30);
    client_blocked(k->core, k->now_ns);
    client_unblocked(k->core, k->now_ns);
    kit_settle(k);
    kit_expect(k, KIT_NODE, "blocked count=2");
    kit_expect(k, KIT_NODE, "unblocked count=2");
    kit_expect(k, 30, "task_back task=6");
    ends(k, r);
    kit_destroy(k);
}

/* A run that takes long gives the others back, now and as they come, until it ends. */
MOB_TEST(long_run_gives_queued_ones_back)
{
    struct kit *k = worker_create();
    runs(k, 1, (struct msg_list){0});
    runs(k, 2, (struct msg_list){0});
    client_run_is_long(k->core); /* none is under way: nothing */
    kit_settle(k);
    kit_expect_nothing(k, 30);
    struct run *r = next(k);
    client_run_is_long(k->core);
    kit_settle(k);
    kit_expect(k, 30, "task_back task=2");
    runs(k, 3, (struct msg_list){0});
    kit_expect(k, 30, "task_back task=3");
    kit_expect_nothing(k, KIT_NODE);
    ends(k, r);
    kit_expect(k, 30, "task_done task=1");
    runs(k, 4, (struct msg_list){0});
    kit_expect_nothing(k, 30);
    kit_destroy(k);
}

/* What a lost submitter wanted is forgotten; the run under way goes on and is answered to nobody.
 */
MOB_TEST(lost_submitter_takes_its_runs_along)
{
    struct kit *k = worker_create();
    kit_peer(k, 31);
    runs(k, 1, (struct msg_list){0});
    runs(k, 2, (struct msg_list){0});
    KIT_SAYS(k, 31, task_run, .task = 3, .function = 5, .results = 1);
    runs(k, 4, (struct msg_list){0});
    struct run *r = next(k);
    KIT_SAYS(k, KIT_NODE, process_lost, .process = 30);
    assert_int_equal(client_runs_queued(k->core), 1);
    ends(k, r);
    kit_expect_nothing(k, 30);
    r = next(k);
    assert_int_equal(r->task, 3);
    ends(k, r);
    kit_expect(k, 31, "task_done task=3");
    kit_destroy(k);
}

/* Results that are too large together for one message make the task fail. */
MOB_TEST(too_large_results_fail)
{
    struct kit *k = worker_create();
    runs(k, 1, (struct msg_list){0});
    struct run *r = next(k);
    struct buffer b = {0};
    char *large = calloc(1, 3 << 20);
    assert_non_null(large);
    struct msg_result result = {.kind = VALUE_INLINE, .value = {large, 3 << 20}};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(msg_result_pack_item(&b, &result), MOB_OK);
    struct msg_list results = {3, buffer_head(&b), buffer_size(&b)};
    assert_int_equal(client_run_done(k->core, r, &results, NULL, 1, k->now_ns), MOB_OK);
    kit_settle(k);
    kit_expect(k, 30, "task_done task=1 attempt=0 run_ns=1 results=[] errors=[{ code=-11 ");
    buffer_fini(&b);
    free(large);
    kit_destroy(k);
}

/* A client may end with runs queued, one under way, and handles obtained. */
MOB_TEST(client_ends_with_runs_open)
{
    struct kit *k = worker_create();
    const struct mob_object arg = kit_id(30, 8);
    runs(k, 1, kit_ref_args(k, &arg, 1));
    runs(k, 2, kit_ref_args(k, &arg, 1));
    assert_non_null(next(k));
    kit_put(k, "x");
    kit_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_go_in_order),
        cmocka_unit_test(driver_gives_runs_back),
        cmocka_unit_test(stops_when_nothing_is_left),
        cmocka_unit_test(obtained_handles_end_with_the_run),
        cmocka_unit_test(long_run_obtains_many),
        cmocka_unit_test(bad_reference_arguments_do_not_hide_others),
        cmocka_unit_test(blocked_run_gives_queued_ones_back),
        cmocka_unit_test(long_run_gives_queued_ones_back),
        cmocka_unit_test(lost_submitter_takes_its_runs_along),
        cmocka_unit_test(too_large_results_fail),
        cmocka_unit_test(client_ends_with_runs_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
