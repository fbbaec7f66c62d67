/* The submitter's side of a task: arguments, results, retries, and answers that nobody asked for.
 */
#include "tests/support/test.h"

#include "tests/support/core_kit.h"

/* A task goes to a leased worker, and its answer becomes the value of its result. */
MOB_TEST(task_runs_and_settles)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object r =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_VALUE("abc")}});
    kit_expect_pending(k, r);
    kit_expect(k, KIT_NODE, "lease_want count=1 depth=0");
    kit_worker(k, 20, 1);
    kit_expect(k, 20,
               "task_run task=1 attempt=0 depth=0 function=5 results=1 args=[{ kind=1 value=<3 "
               "bytes> object=0.0 ");
    KIT_SAYS(k, 20, task_done, .task = 1, .run_ns = 1000, .results = kit_results(k, "seven"));
    kit_expect_value(k, r, "seven");
    assert_int_equal(kit_counts(k).tasks, 0);
    assert_int_equal(kit_counts(k).done, 1);
    assert_int_equal(kit_counts(k).refused, 0);
    client_drop(k->core, r);
    assert_int_equal(kit_counts(k).objects, 0);
    kit_destroy(k);
}

/* A task without results still has an id, which settles when it has run. */
MOB_TEST(no_result_settles_its_id)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 0});
    kit_expect(k, 20, "task_run task=1 attempt=0 depth=0 function=5 results=0 args=[]");
    KIT_SAYS(k, 20, task_done, .task = 1);
    kit_expect_value(k, r, "");
    assert_int_equal(r.seq + 1, kit_put(k, "next").seq);
    kit_destroy(k);
}

/* Several results have consecutive ids; each lives by itself. */
MOB_TEST(several_results_live_apart)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 2});
    struct mob_object second = kit_id(KIT_SELF, r.seq + 1);
    client_drop(k->core, r); /* before it has run */
    KIT_SAYS(k, 20, task_done, .task = 1, .results = kit_two_results(k, "left", "right"));
    kit_expect_absent(k, r);
    kit_expect_value(k, second, "right");
    client_drop(k->core, second);
    kit_expect_absent(k, second);
    kit_destroy(k);
}

/* A client may end while a task with several results is under way, and results stand on more than
 * one page. */
MOB_TEST(client_ends_with_several_results_open)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    for (unsigned i = 0; i < 40; i++)
        kit_submit(k, &(struct kit_call){.results = 3 + i % 70});
    kit_destroy(k);
}

/* An awaited argument that is there goes inline, with the id that it came from; a stored one as its
 * place. */
MOB_TEST(settled_arguments_are_put_in)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object small = kit_put(k, "12345"), stored;
    assert_int_equal(client_put_stored(k->core, 4096, 5000, &stored), MOB_OK);
    kit_submit(k, &(struct kit_call){
                      .results = 1, .arg_count = 2, .args = {KIT_AWAIT(small), KIT_AWAIT(stored)}});
    kit_expect(k, 20,
               "task_run task=3 attempt=0 depth=0 function=5 results=1 args=[{ kind=1 value=<5 "
               "bytes> object=7.1 "
               "offset=0 size=0 }{ kind=2 value=<0 bytes> object=7.2 offset=4096 size=5000 }]");
    kit_destroy(k);
}

/* A dependent waits for all that it awaits, and the same object may be awaited twice. */
MOB_TEST(pending_arguments_are_awaited)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object a = kit_submit(k, &(struct kit_call){.results = 1, .function = 8});
    struct mob_object b = kit_submit(k, &(struct kit_call){.results = 1, .function = 9});
    struct mob_object sum = kit_submit(
        k, &(struct kit_call){
               .results = 1, .arg_count = 3, .args = {KIT_AWAIT(a), KIT_AWAIT(b), KIT_AWAIT(a)}});
    kit_expect(k, 20, "task_run task=1 ");
    KIT_SAYS(k, 20, task_done, .task = 1, .run_ns = 1, .results = kit_results(k, "aa"));
    kit_expect(k, 20, "task_run task=2 ");
    kit_expect_nothing(k, 20);
    KIT_SAYS(k, 20, task_done, .task = 2, .run_ns = 1, .results = kit_results(k, "bbb"));
    kit_expect(k, 20,
               "task_run task=3 * args=[{ kind=1 value=<2 bytes> *{ kind=1 value=<3 bytes> *{ "
               "kind=1 value=<2 bytes> ");
    KIT_SAYS(k, 20, task_done, .task = 3, .results = kit_results(k, "s"));
    kit_expect_value(k, sum, "s");
    kit_destroy(k);
}

/* What fails makes its dependents fail, each with one more cause in front, to the last of a chain.
 */
MOB_TEST(failure_reaches_dependents)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object a = kit_submit(k, &(struct kit_call){.results = 1});
    struct mob_object other = kit_put(k, "x");
    struct mob_object b = kit_submit(
        k,
        &(struct kit_call){.results = 2, .arg_count = 2, .args = {KIT_AWAIT(other), KIT_AWAIT(a)}});
    struct mob_object c =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_AWAIT(b)}});
    KIT_SAYS(k, 20, task_done, .task = a.seq,
             .errors = kit_error(k, MOB_ETASKFAILED, "no such file"));
    kit_expect_failed(k, a, "MOB_ETASKFAILED no such file", NULL);
    kit_expect_failed(k, b, "MOB_EDEPENDENCY argument 2 ", "MOB_ETASKFAILED no such file", NULL);
    kit_expect_failed(k, kit_id(KIT_SELF, b.seq + 1), "MOB_EDEPENDENCY argument 2 ",
                      "MOB_ETASKFAILED no such file", NULL);
    kit_expect_failed(k, c, "MOB_EDEPENDENCY argument 1 ", "MOB_EDEPENDENCY argument 2 ",
                      "MOB_ETASKFAILED no such file", NULL);
    assert_int_equal(kit_counts(k).tasks, 0);
    assert_int_equal(kit_counts(k).failed, 3);
    /* One that is submitted afterwards fails at once. */
    struct mob_object late =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_AWAIT(a)}});
    kit_expect_failed(k, late, "MOB_EDEPENDENCY argument 1 ", "MOB_ETASKFAILED no such file", NULL);
    kit_destroy(k);
}

/* When several arguments fail in one step the task fails once, and none of them is kept by it. */
MOB_TEST(arguments_that_fail_together)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object a = kit_submit(k, &(struct kit_call){.results = 2}),
                      b = kit_id(KIT_SELF, a.seq + 1);
    struct mob_object c = kit_submit(
        k, &(struct kit_call){
               .results = 1, .arg_count = 3, .args = {KIT_MOVED(a), KIT_MOVED(b), KIT_AWAIT(a)}});
    KIT_SAYS(k, 20, task_done, .task = a.seq, .errors = kit_error(k, MOB_ETASKFAILED, "no"));
    kit_expect_failed(k, c, "MOB_EDEPENDENCY ", "MOB_ETASKFAILED no", NULL);
    kit_expect_absent(k, a);
    kit_expect_absent(k, b);
    assert_int_equal(kit_counts(k).failed, 2);
    kit_destroy(k);
}

/* A long chain of causes keeps its newest links and its root. */
MOB_TEST(chain_of_causes_is_bounded)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object last = kit_submit(k, &(struct kit_call){.results = 1});
    for (unsigned i = 0; i < 100; i++)
        last = kit_submit(
            k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_MOVED(last)}});
    KIT_SAYS(k, 20, task_done, .task = 1, .errors = kit_error(k, MOB_ETASKFAILED, "the root"));
    struct value v;
    assert_int_equal(client_look(k->core, last, &v), OBJECT_SETTLED);
    assert_int_equal(v.errors.count, 16);
    struct cursor c = cursor_of(v.errors.data, v.errors.size);
    struct msg_error_frame frame;
    for (uint32_t i = 0; i < 16; i++)
        assert_true(msg_error_frame_unpack_item(&c, &frame));
    assert_int_equal(frame.code, MOB_ETASKFAILED);
    assert_int_equal(kit_counts(k).objects, 1); /* all others were moved on */
    kit_destroy(k);
}

/* A moved reference is the task's alone: the caller has none any more, and the object goes with the
 * task. */
MOB_TEST(moved_reference_goes_with_the_task)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object a = kit_put(k, "aa"), b = kit_put(k, "bb");
    kit_submit(
        k, &(struct kit_call){.results = 1, .arg_count = 2, .args = {KIT_MOVED(a), KIT_AWAIT(b)}});
    assert_int_equal(client_hold(k->core, a), MOB_ENOOBJECT);
    kit_worker(k, 20, 1);
    KIT_SAYS(k, 20, task_done, .task = 3, .results = kit_results(k, "s"));
    kit_expect_absent(k, a);
    kit_expect_value(k, b, "bb");
    kit_destroy(k);
}

/* Moving one reference twice in one call drops it once for each time that it was held. */
MOB_TEST(moved_twice_is_dropped_once)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object a = kit_put(k, "aa");
    kit_submit(
        k, &(struct kit_call){.results = 1, .arg_count = 2, .args = {KIT_MOVED(a), KIT_MOVED(a)}});
    kit_worker(k, 20, 1);
    kit_expect(k, 20, "task_run task=2 *<2 bytes> *<2 bytes> ");
    KIT_SAYS(k, 20, task_done, .task = 2, .results = kit_results(k, "s"));
    kit_expect_absent(k, a);
    kit_destroy(k);
}

/* An argument lives until its task has ended, dropped or not. */
MOB_TEST(argument_outlives_its_drop)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object a = kit_put(k, "aa");
    kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_AWAIT(a)}});
    client_drop(k->core, a);
    kit_worker(k, 20, 1);
    kit_expect(k, 20, "task_run task=2 * value=<2 bytes>");
    kit_worker_dies(k, 20, 1, 2);
    kit_worker(k, 21, 2);
    kit_expect(k, 21, "task_run task=2 attempt=1 * value=<2 bytes>");
    KIT_SAYS(k, 21, task_done, .task = 2, .attempt = 1, .results = kit_results(k, "s"));
    kit_expect_absent(k, a);
    kit_destroy(k);
}

/* A reference that travels as itself may be anywhere afterwards: its object stays. */
MOB_TEST(published_objects_stay)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object a = kit_put(k, "aa"), b = kit_put(k, "bb");
    struct mob_object r =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_REF(a)}});
    kit_worker(k, 20, 1);
    kit_expect(k, 20, "task_run task=3 *{ kind=3 value=<0 bytes> object=7.1 ");
    KIT_SAYS(k, 20, task_done, .task = 3, .results = kit_results(k, "s"));
    client_publish(k->core, b);
    client_drop(k->core, a);
    client_drop(k->core, b);
    client_drop(k->core, r);
    kit_expect_value(k, a, "aa");
    kit_expect_value(k, b, "bb");
    assert_int_equal(kit_counts(k).objects, 2);
    kit_destroy(k);
}

/* A reference that was dropped or never valid is refused, and the call changes nothing. */
MOB_TEST(unknown_reference_is_refused)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object gone = kit_put(k, "x"), good = kit_put(k, "y"), first;
    client_drop(k->core, gone);
    struct client_counts before = kit_counts(k);
    const struct mob_object wrong[] = {gone, kit_id(KIT_SELF, 999), kit_id(30, 1), kit_id(0, 0),
                                       kit_id(KIT_SELF, 0)};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct kit_call call = {
            .results = 1, .arg_count = 2, .args = {KIT_MOVED(good), KIT_AWAIT(wrong[i])}};
        assert_int_equal(kit_submit_rc(k, &call, &first), MOB_ENOOBJECT);
    }
    struct client_counts after = kit_counts(k);
    assert_memory_equal(&before, &after, sizeof before);
    kit_expect_value(k, good, "y");
    kit_expect_nothing(k, KIT_NODE);
    kit_destroy(k);
}

/* Awaited values that are too large together for one message make the task fail, and nothing else.
 */
MOB_TEST(too_many_large_arguments_fail)
{
    struct client_config config = kit_config(KIT_DRIVER);
    config.inline_max = 2 << 20;
    struct kit *k = kit_create_with(&config);
    kit_worker(k, 20, 1);
    char *large = malloc((2 << 20) + 1);
    assert_non_null(large);
    memset(large, 'x', 2 << 20);
    large[2 << 20] = '\0';
    struct mob_object o = kit_put(k, large);
    free(large);
    struct kit_call call = {.results = 1, .arg_count = 5};
    for (unsigned i = 0; i < 5; i++)
        call.args[i] = (struct kit_arg)KIT_AWAIT(o);
    kit_expect_failed(k, kit_submit(k, &call), "MOB_ETOOBIG its arguments", NULL);
    call.arg_count = 3;
    struct mob_object r = kit_submit(k, &call);
    kit_expect(k, 20, "task_run task=3 ");
    KIT_SAYS(k, 20, task_done, .task = 3, .results = kit_results(k, "fits"));
    kit_expect_value(k, r, "fits");
    kit_destroy(k);
}

/* ---- retries ---- */

/* Only the task that was running pays with a retry; those behind it come again in their order. */
MOB_TEST(lost_worker_counts_for_the_running_task)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    kit_submit(k, &(struct kit_call){.results = 1});
    KIT_SAYS(k, 20, task_done, .task = 1, .run_ns = 1000,
             .results = kit_results(k, "known to be short"));
    kit_submit(k, &(struct kit_call){.results = 1});
    kit_submit(k, &(struct kit_call){.results = 1});
    kit_submit(k, &(struct kit_call){.results = 1});
    kit_expect(k, 20, "task_run task=1 ");
    kit_expect(k, 20, "task_run task=2 ");
    kit_expect(k, 20, "task_run task=3 ");
    kit_expect(k, 20, "task_run task=4 ");
    kit_worker_dies(k, 20, 1, 2);
    assert_int_equal(kit_counts(k).retried, 1);
    kit_worker(k, 21, 2);
    kit_expect(k, 21, "task_run task=2 attempt=1 ");
    kit_expect(k, 21, "task_run task=3 attempt=0 ");
    kit_expect(k, 21, "task_run task=4 attempt=0 ");
    kit_destroy(k);
}

/* A task fails when it has used up its retries, and says how its worker died, where, and with what
 * last words. */
MOB_TEST(retries_are_used_up)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 1});
    for (unsigned i = 0; i < 3; i++) {
        kit_expect_pending(k, r);
        kit_worker(k, 20 + i, 1 + i);
        kit_worker_dies(k, 20 + i, 1 + i, r.seq);
    }
    kit_expect_failed(k, r,
                      "MOB_EWORKERDIED worker 22 died in attempt 3 of 3 by signal 11 (SIGSEGV) in "
                      "crash_site*last words",
                      NULL);
    assert_int_equal(kit_counts(k).retried, 2);
    struct mob_object once = kit_submit(k, &(struct kit_call){.results = 1, .retries = -1});
    kit_worker(k, 30, 9);
    kit_worker_dies(k, 30, 9, once.seq);
    kit_expect_failed(k, once, "MOB_EWORKERDIED worker 30 died in attempt 1 of 1", NULL);
    kit_destroy(k);
}

/* A worker that was running nothing of ours costs no retry, however often it happens. */
MOB_TEST(idle_deaths_cost_nothing)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 1, .retries = -1});
    for (unsigned i = 0; i < 10; i++) {
        kit_worker(k, 20 + i, 1 + i);
        kit_worker_dies(k, 20 + i, 1 + i, 0);
    }
    kit_expect_pending(k, r);
    kit_worker(k, 40, 40);
    KIT_SAYS(k, 40, task_done, .task = r.seq, .results = kit_results(k, "at last"));
    kit_expect_value(k, r, "at last");
    assert_int_equal(kit_counts(k).retried, 0);
    kit_destroy(k);
}

/* The answer that is still in a dead worker's ring counts. */
MOB_TEST(answer_of_a_dead_worker_counts_until_drained)
{
    struct kit *k = kit_create(KIT_DRIVER);
    k->holds_drains = true;
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 1});
    kit_worker(k, 20, 1);
    kit_worker_dies(k, 20, 1, r.seq);
    kit_expect_effect(k, "drain 20");
    kit_expect_no_effect(k);
    KIT_SAYS(k, 20, task_done, .task = r.seq, .results = kit_results(k, "just before"));
    client_lost(k->core, (struct mob_process){20}, k->now_ns);
    kit_settle(k);
    kit_expect_effect(k, "close 20");
    kit_expect_value(k, r, "just before");
    assert_int_equal(kit_counts(k).retried, 0);
    assert_int_equal(kit_counts(k).leases, 0);
    kit_destroy(k);
}

/* ---- answers that nobody asked for ---- */

/* An answer has an effect only from the worker that has the task, for the attempt that is under
 * way. */
MOB_TEST(forged_answers_have_no_effect)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    kit_peer(k, 21);
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 1});
    struct mob_object waits =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_AWAIT(r)}});
    uint64_t refused = 0;
    KIT_SAYS(k, 21, task_done, .task = r.seq, .results = kit_results(k, "other worker"));
    assert_int_equal(kit_counts(k).refused, ++refused);
    KIT_SAYS(k, 20, task_done, .task = r.seq, .attempt = 1,
             .results = kit_results(k, "other attempt"));
    assert_int_equal(kit_counts(k).refused, ++refused);
    KIT_SAYS(k, 20, task_done, .task = waits.seq, .results = kit_results(k, "not sent"));
    assert_int_equal(kit_counts(k).refused, ++refused);
    KIT_SAYS(k, 20, task_done, .task = 999, .results = kit_results(k, "no such task"));
    assert_int_equal(kit_counts(k).refused, ++refused);
    KIT_SAYS(k, 21, task_back, .task = r.seq);
    assert_int_equal(kit_counts(k).refused, ++refused);
    KIT_FORWARDED(k, 20, task_done, .task = r.seq, .results = kit_results(k, "through the node"));
    assert_int_equal(kit_counts(k).refused, ++refused);
    KIT_FORWARDED(k, 21, task_run, .task = 1, .function = 1);
    assert_int_equal(kit_counts(k).refused, ++refused);
    KIT_SAYS(k, 20, lease_want, .count = 3); /* not for this channel */
    assert_int_equal(kit_counts(k).refused, ++refused);
    kit_expect_pending(k, r);
    kit_expect_pending(k, waits);
    KIT_SAYS(k, 20, task_done, .task = r.seq, .results = kit_results(k, "true"));
    kit_expect_value(k, r, "true");
    KIT_SAYS(k, 20, task_done, .task = r.seq, .results = kit_results(k, "twice"));
    assert_int_equal(kit_counts(k).refused, ++refused);
    kit_expect_value(k, r, "true");
    kit_destroy(k);
}

/* The second result's number is no task's. */
MOB_TEST(answer_names_the_first_result)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 2});
    KIT_SAYS(k, 20, task_done, .task = r.seq + 1, .results = kit_two_results(k, "a", "b"));
    kit_expect_pending(k, r);
    assert_int_equal(kit_counts(k).refused, 1);
    kit_destroy(k);
}

/* An answer that cannot be the task's makes it fail: its worker has nothing better to say. */
MOB_TEST(answer_that_does_not_fit_fails_the_task)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object r = kit_submit(k, &(struct kit_call){.results = 1});
    KIT_SAYS(k, 20, task_done, .task = r.seq, .results = kit_two_results(k, "a", "b"));
    kit_expect_failed(k, r, "MOB_EPROTO ", NULL);
    const uint64_t outside[][2] = {
        {0, KIT_ARENA + 1}, {KIT_ARENA, 1}, {UINT64_MAX, 2}, {1, UINT64_MAX}};
    for (unsigned i = 0; i < 4; i++) {
        r = kit_submit(k, &(struct kit_call){.results = 1});
        KIT_SAYS(k, 20, task_done, .task = r.seq,
                 .results = kit_stored_result(k, outside[i][0], outside[i][1]));
        kit_expect_failed(k, r, "MOB_EPROTO ", NULL);
    }
    assert_int_equal(kit_counts(k).refused, 5);
    r = kit_submit(k, &(struct kit_call){.results = 1});
    KIT_SAYS(k, 20, task_done, .task = r.seq, .results = kit_stored_result(k, KIT_ARENA - 64, 64));
    kit_expect_stored(k, r, KIT_ARENA - 64, 64);
    kit_destroy(k);
}

/* When nothing works any more, all that is open ends with the reason, and so does what comes later.
 */
MOB_TEST(everything_fails_with_the_client)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object borrowed = kit_id(30, 4), first;
    assert_int_equal(client_borrow(k->core, borrowed), MOB_OK);
    kit_worker(k, 20, 1);
    struct mob_object sent = kit_submit(k, &(struct kit_call){.results = 1});
    struct mob_object ready = kit_submit(k, &(struct kit_call){.results = 1, .function = 8});
    struct mob_object waits = kit_submit(
        k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_AWAIT(borrowed)}});
    struct mob_object behind =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_AWAIT(ready)}});
    struct mob_object put = kit_put(k, "stays");
    client_fail_all(k->core, MOB_ENODEDIED, "the node has ended", k->now_ns);
    kit_settle(k);
    kit_expect_failed(k, sent, "MOB_ENODEDIED the node has ended", NULL);
    kit_expect_failed(k, ready, "MOB_ENODEDIED the node has ended", NULL);
    kit_expect_failed(k, borrowed, "MOB_ENODEDIED the node has ended", NULL);
    kit_expect_failed(k, waits, "MOB_EDEPENDENCY ", "MOB_ENODEDIED the node has ended", NULL);
    kit_expect_failed(k, behind, "MOB_EDEPENDENCY ", "MOB_ENODEDIED the node has ended", NULL);
    kit_expect_value(k, put, "stays");
    assert_int_equal(kit_counts(k).tasks, 0);
    assert_int_equal(kit_submit_rc(k, &(struct kit_call){.results = 1}, &first), MOB_ENODEDIED);
    /* What can settle no more is not waited for. */
    struct watch watch;
    struct waiter waiter = {.needed = 1};
    struct mob_object late = kit_id(30, 5);
    assert_int_equal(client_borrow(k->core, late), MOB_OK);
    assert_int_equal(client_watch(k->core, late, &watch, &waiter, k->now_ns), MOB_ENODEDIED);
    assert_int_equal(client_completion_watch(k->core, late, k->now_ns), MOB_ENODEDIED);
    kit_destroy(k);
}

/* A call that could not be submitted has results all the same: they carry the error. */
MOB_TEST(failed_objects_are_made)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct msg_error_frame frame = {.code = MOB_ETOOBIG, .text = view_of("too big")};
    struct mob_object first;
    assert_int_equal(client_make_failed(k->core, 3, &frame, &first), MOB_OK);
    kit_settle(k);
    for (uint64_t i = 0; i < 3; i++) {
        kit_expect_failed(k, kit_id(KIT_SELF, first.seq + i), "MOB_ETOOBIG too big", NULL);
        client_drop(k->core, kit_id(KIT_SELF, first.seq + i));
    }
    assert_int_equal(kit_counts(k).objects, 0);
    kit_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_runs_and_settles),
        cmocka_unit_test(no_result_settles_its_id),
        cmocka_unit_test(several_results_live_apart),
        cmocka_unit_test(client_ends_with_several_results_open),
        cmocka_unit_test(settled_arguments_are_put_in),
        cmocka_unit_test(pending_arguments_are_awaited),
        cmocka_unit_test(failure_reaches_dependents),
        cmocka_unit_test(arguments_that_fail_together),
        cmocka_unit_test(chain_of_causes_is_bounded),
        cmocka_unit_test(moved_reference_goes_with_the_task),
        cmocka_unit_test(moved_twice_is_dropped_once),
        cmocka_unit_test(argument_outlives_its_drop),
        cmocka_unit_test(published_objects_stay),
        cmocka_unit_test(unknown_reference_is_refused),
        cmocka_unit_test(too_many_large_arguments_fail),
        cmocka_unit_test(lost_worker_counts_for_the_running_task),
        cmocka_unit_test(retries_are_used_up),
        cmocka_unit_test(idle_deaths_cost_nothing),
        cmocka_unit_test(answer_of_a_dead_worker_counts_until_drained),
        cmocka_unit_test(forged_answers_have_no_effect),
        cmocka_unit_test(answer_names_the_first_result),
        cmocka_unit_test(answer_that_does_not_fit_fails_the_task),
        cmocka_unit_test(everything_fails_with_the_client),
        cmocka_unit_test(failed_objects_are_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
