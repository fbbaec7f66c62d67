/* Which leases are wanted, which worker gets the next task, and when a lease goes back. */
#include "tests/support/test.h"

#include "tests/support/core_kit.h"

static void done(struct kit *k, uint64_t worker, uint64_t task, uint64_t run_ns)
{
    KIT_SAYS(k, worker, task_done, .task = task, .run_ns = run_ns, .results = kit_results(k, "r"));
}

static const struct kit_call one_result = {.results = 1};

/* A burst of tasks costs one wish for each further cpu, not one for each task. */
MOB_TEST(burst_costs_few_messages)
{
    struct kit *k = kit_create(KIT_DRIVER);
    for (unsigned i = 0; i < 1000; i++)
        kit_submit(k, &one_result);
    kit_expect(k, KIT_NODE, "lease_want count=1 depth=0");
    kit_expect(k, KIT_NODE, "lease_want count=2 depth=0");
    kit_expect_nothing(k, KIT_NODE);
    kit_worker(k, 20, 1);
    kit_worker(k, 21, 2);
    assert_true(kit_taken(k, KIT_NODE, "lease_want") <= 2);
    for (uint64_t task = 1; task <= 100; task++)
        for (uint64_t worker = 20; worker <= 21; worker++) {
            struct kit_line *line = k->lines;
            while (line != NULL && line->to != worker)
                line = line->next;
            unsigned long long number = 0;
            if (line != NULL && sscanf(line->text, "task_run task=%llu", &number) == 1) {
                kit_expect(k, worker, "task_run");
                done(k, worker, number, 1000);
            }
        }
    assert_true(kit_taken(k, KIT_NODE, "") <= 1); /* when all are sent fewer leases are wanted */
    kit_destroy(k);
}

/* A task whose time is not known is not queued behind another; short ones are, as many as fill the
 * window. */
MOB_TEST(short_tasks_are_queued_at_a_worker)
{
    struct client_config config = kit_config(KIT_DRIVER);
    config.cpus = 10000;
    struct kit *k = kit_create_with(&config);
    kit_worker(k, 20, 1);
    for (unsigned i = 0; i < 50; i++)
        kit_submit(k, &one_result);
    assert_int_equal(kit_taken(k, 20, "task_run"), 1);
    done(k, 20, 1, 100000); /* ten of them fill 1 ms */
    assert_int_equal(kit_taken(k, 20, "task_run"), 10);
    done(k, 20, 2, 100000);
    assert_int_equal(kit_taken(k, 20, "task_run"), 1);
    kit_destroy(k);
}

/* A function that takes as long as the window is not queued at all, and a forged run time does no
 * harm. */
MOB_TEST(long_tasks_are_not_queued)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    for (unsigned i = 0; i < 20; i++)
        kit_submit(k, &one_result);
    kit_expect(k, 20, "task_run task=1 ");
    done(k, 20, 1, UINT64_MAX);
    kit_expect(k, 20, "task_run task=2 ");
    kit_expect_nothing(k, 20);
    kit_destroy(k);
}

/* The worker with the fewest tasks gets the next one. */
MOB_TEST(tasks_spread_over_workers)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    kit_worker(k, 21, 2);
    kit_submit(k, &one_result);
    kit_submit(k, &one_result);
    assert_int_equal(kit_taken(k, 20, "task_run"), 1);
    assert_int_equal(kit_taken(k, 21, "task_run"), 1);
    kit_destroy(k);
}

/* A driver keeps an unused lease for a while, and says so before it gives it back. */
MOB_TEST(idle_lease_goes_back)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_submit(k, &one_result);
    kit_worker(k, 20, 1);
    done(k, 20, 1, 1000);
    kit_expect(k, KIT_NODE, "lease_want count=1");
    kit_expect_nothing(k, KIT_NODE);
    assert_int_equal(client_deadline(k->core), k->now_ns + 1000000);
    kit_wait(k, 999999);
    kit_expect_nothing(k, KIT_NODE);
    kit_wait(k, 1);
    kit_expect(k, KIT_NODE, "lease_want count=0");
    kit_expect(k, KIT_NODE, "lease_return lease=1");
    kit_expect_nothing(k, KIT_NODE);
    assert_int_equal(client_deadline(k->core), UINT64_MAX);
    kit_destroy(k);
}

/* A recalled lease takes no more tasks and goes back when those under way have ended. */
MOB_TEST(recalled_lease_empties)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    kit_submit(k, &one_result);
    KIT_SAYS(k, KIT_NODE, lease_recall, .lease = 1);
    kit_submit(k, &one_result);
    kit_expect(k, 20, "task_run task=1 ");
    kit_expect_nothing(k, 20);
    assert_int_equal(kit_taken(k, KIT_NODE, "lease_return"), 0);
    done(k, 20, 1, 1000);
    kit_expect_nothing(k, 20);
    assert_int_equal(kit_taken(k, KIT_NODE, "lease_return lease=1"), 1);
    assert_int_equal(kit_counts(k).leases, 0);
    assert_int_equal(kit_counts(k).ready, 1);
    KIT_SAYS(k, KIT_NODE, lease_recall, .lease = 77); /* returned meanwhile: nothing */
    kit_destroy(k);
}

/* A lease of a worker that is not connected, or that is known already, is not used twice. */
MOB_TEST(lease_without_a_peer_goes_back)
{
    struct kit *k = kit_create(KIT_DRIVER);
    KIT_SAYS(k, KIT_NODE, lease_grant, .lease = 5, .worker = 20);
    kit_expect(k, KIT_NODE, "lease_return lease=5");
    kit_worker(k, 20, 6);
    kit_forget(k);
    KIT_SAYS(k, KIT_NODE, lease_grant, .lease = 6, .worker = 20);
    kit_expect_nothing(k, KIT_NODE);
    assert_int_equal(kit_counts(k).refused, 1);
    assert_int_equal(kit_counts(k).leases, 1);
    kit_destroy(k);
}

/* Tasks that a worker gives back come to the front in their order, and it gets no more until one
 * has ended. */
MOB_TEST(given_back_tasks_keep_their_order)
{
    struct client_config config = kit_config(KIT_DRIVER);
    config.cpus = 10000;
    struct kit *k = kit_create_with(&config);
    kit_worker(k, 20, 1);
    kit_submit(k, &one_result);
    done(k, 20, 1, 100000);
    kit_forget(k);
    for (unsigned i = 0; i < 4; i++)
        kit_submit(k, &one_result);
    assert_int_equal(kit_taken(k, 20, "task_run"), 4);
    for (uint64_t task = 5; task >= 3; task--)
        KIT_SAYS(k, 20, task_back, .task = task);
    kit_submit(k, &one_result);
    kit_expect_nothing(k, 20);
    kit_worker(k, 22, 3);
    for (unsigned task = 3; task <= 6; task++) {
        char line[40];
        snprintf(line, sizeof line, "task_run task=%u attempt=0", task);
        kit_expect(k, 22, line);
    }
    done(k, 20, 2, 100000);
    kit_submit(k, &one_result);
    kit_expect(k, 20, "task_run task=7 ");
    assert_int_equal(kit_counts(k).refused, 0);
    kit_destroy(k);
}

/* A worker that gave back all that it had, for lack of memory, is asked again. */
MOB_TEST(worker_that_gave_all_back_is_asked_again)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    struct mob_object r = kit_submit(k, &one_result);
    kit_expect(k, 20, "task_run task=1 ");
    KIT_SAYS(k, 20, task_back, .task = 1);
    kit_expect(k, 20, "task_run task=1 attempt=0 ");
    done(k, 20, 1, 10);
    kit_expect_value(k, r, "r");
    kit_destroy(k);
}

/* When no lease will come, the tasks that wait for one fail with the node's reason; others are not
 * touched. */
MOB_TEST(denied_leases_fail_ready_tasks)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object a = kit_submit(k, &one_result);
    struct mob_object b =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_AWAIT(a)}});
    KIT_SAYS(k, KIT_NODE, lease_denied, .code = MOB_EWORKERSTART,
             .text = view_of("no worker started"));
    kit_expect_failed(k, a, "MOB_EWORKERSTART no worker started", NULL);
    kit_expect_failed(k, b, "MOB_EDEPENDENCY ", "MOB_EWORKERSTART no worker started", NULL);
    kit_forget(k);
    kit_submit(k, &one_result); /* the next one asks anew */
    kit_expect(k, KIT_NODE, "lease_want count=1");
    kit_destroy(k);
}

/* A worker's loss at each state of its lease: idle, recalled, with tasks given back, before and
 * after the grant. */
MOB_TEST(worker_is_lost_at_each_state)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 19);
    KIT_SAYS(k, KIT_NODE, process_lost, .process = 19); /* never leased */
    kit_forget(k);
    kit_worker(k, 20, 1);
    kit_worker_dies(k, 20, 1, 0); /* idle */
    kit_worker(k, 21, 2);
    struct mob_object r = kit_submit(k, &one_result);
    KIT_SAYS(k, KIT_NODE, lease_recall, .lease = 2);
    kit_worker_dies(k, 21, 2, r.seq); /* recalled, with a task */
    kit_worker(k, 22, 3);
    KIT_SAYS(k, 22, task_back, .task = r.seq, .attempt = 1);
    kit_worker_dies(k, 22, 3, 0);
    KIT_SAYS(k, KIT_NODE, process_lost, .process = 23); /* never heard of */
    kit_forget(k);
    KIT_SAYS(k, KIT_NODE, lease_grant, .lease = 4, .worker = 22);
    assert_int_equal(kit_taken(k, KIT_NODE, "lease_return lease=4"), 1);
    KIT_SAYS(k, KIT_NODE, lease_lost, .lease = 1, .worker = 20);
    assert_int_equal(kit_counts(k).refused, 1);
    kit_worker(k, 24, 5);
    KIT_SAYS(k, KIT_NODE, lease_lost, .lease = 5, .worker = 25); /* another worker's */
    assert_int_equal(kit_counts(k).refused, 2);
    done(k, 24, r.seq, 10);
    assert_int_equal(kit_counts(k).refused, 3); /* attempt 1 is under way */
    KIT_SAYS(k, 24, task_done, .task = r.seq, .attempt = 1, .results = kit_results(k, "r"));
    kit_expect_value(k, r, "r");
    assert_int_equal(kit_counts(k).retried, 1);
    kit_destroy(k);
}

/* No task is sent to a worker whose end is known. */
MOB_TEST(dead_worker_gets_nothing)
{
    struct kit *k = kit_create(KIT_DRIVER);
    k->holds_drains = true;
    kit_worker(k, 20, 1);
    KIT_SAYS(k, KIT_NODE, process_lost, .process = 20);
    kit_submit(k, &one_result);
    kit_expect_nothing(k, 20);
    KIT_SAYS(k, KIT_NODE, lease_grant, .lease = 2, .worker = 20);
    assert_int_equal(kit_taken(k, KIT_NODE, "lease_return lease=2"), 1);
    client_lost(k->core, (struct mob_process){20}, k->now_ns);
    kit_settle(k);
    assert_int_equal(kit_counts(k).leases, 0);
    assert_int_equal(kit_counts(k).ready, 1);
    kit_destroy(k);
}

/* A pair that was taken back and made anew at once: the old one is closed before the new one is
 * opened, and the new one is used. */
MOB_TEST(pair_made_anew_before_it_is_drained)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 20);
    struct peer *old = client_peer(k->core, (struct mob_process){20});
    struct buffer frame = {0};
    assert_int_equal(msg_peer_close_pack(&frame, &(struct msg_peer_close){20}), MOB_OK);
    assert_int_equal(msg_peer_open_pack(&frame, &(struct msg_peer_open){20, 0}), MOB_OK);
    assert_int_equal(msg_lease_grant_pack(&frame, &(struct msg_lease_grant){3, 20}), MOB_OK);
    kit_frame(k, KIT_NODE, &frame);
    buffer_fini(&frame);
    kit_expect_effect(k, "drain 20");
    kit_expect_effect(k, "close 20");
    kit_expect_effect(k, "open 20 side=0");
    kit_expect_no_effect(k);
    assert_ptr_not_equal(client_peer(k->core, (struct mob_process){20}), old);
    assert_int_equal(kit_counts(k).leases, 1);
    kit_submit(k, &one_result);
    kit_expect(k, 20, "task_run task=1 ");
    kit_destroy(k);
}

/* Tasks made inside a task go newest first, and the wish tells how deep they are. */
MOB_TEST(inside_a_run_newest_go_first)
{
    struct kit *k = kit_create(KIT_WORKER);
    kit_peer(k, 30);
    KIT_SAYS(k, 30, task_run, .task = 9, .depth = 2, .function = 1, .results = 1);
    struct run *run = client_run_next(k->core, k->now_ns);
    assert_non_null(run);
    kit_settle(k);
    kit_submit(k, &one_result);
    kit_submit(k, &one_result);
    kit_submit(k, &one_result);
    kit_expect(k, KIT_NODE, "lease_want count=1 depth=3");
    kit_expect(k, KIT_NODE, "lease_want count=2 depth=3");
    kit_worker(k, 40, 1);
    kit_expect(k, 40, "task_run task=3 attempt=0 depth=3 ");
    kit_worker(k, 41, 2);
    kit_expect(k, 41, "task_run task=2 attempt=0 depth=3 ");
    kit_destroy(k);
}

/* A worker that runs on gives its unused leases back at once; while it waits it keeps them. */
MOB_TEST(worker_keeps_leases_only_while_it_waits)
{
    struct kit *k = kit_create(KIT_WORKER);
    kit_peer(k, 30);
    KIT_SAYS(k, 30, task_run, .task = 9, .function = 1, .results = 1);
    assert_non_null(client_run_next(k->core, k->now_ns));
    kit_submit(k, &one_result);
    client_blocked(k->core, k->now_ns);
    kit_worker(k, 40, 1);
    done(k, 40, 1, 10);
    assert_int_equal(kit_taken(k, KIT_NODE, "lease_return"), 0);
    client_unblocked(k->core, k->now_ns);
    kit_settle(k);
    assert_int_equal(kit_taken(k, KIT_NODE, "lease_return lease=1"), 1);
    kit_destroy(k);
}

/* A client that has failed wants no tick for the leases that it had, and gives no room away. */
MOB_TEST(failed_client_wants_no_tick)
{
    struct kit *k = kit_create(KIT_DRIVER);
    uint64_t offset;
    kit_worker(k, 20, 1);
    kit_submit(k, &one_result);
    done(k, 20, 1, 10);
    struct waiter w = {0};
    assert_int_equal(client_extent_want(k->core, 100, &w), MOB_OK);
    KIT_SAYS(k, KIT_NODE, extent_grant, .request = 1, .offset = 0, .size = 4096);
    assert_true(client_place(k->core, 100, &offset));
    client_fail_all(k->core, MOB_ENODEDIED, "the node has ended", k->now_ns);
    kit_settle(k);
    assert_true(client_deadline(k->core) == UINT64_MAX);
    assert_false(client_place(k->core, 100, &offset));
    kit_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_costs_few_messages),
        cmocka_unit_test(short_tasks_are_queued_at_a_worker),
        cmocka_unit_test(long_tasks_are_not_queued),
        cmocka_unit_test(tasks_spread_over_workers),
        cmocka_unit_test(idle_lease_goes_back),
        cmocka_unit_test(recalled_lease_empties),
        cmocka_unit_test(lease_without_a_peer_goes_back),
        cmocka_unit_test(given_back_tasks_keep_their_order),
        cmocka_unit_test(worker_that_gave_all_back_is_asked_again),
        cmocka_unit_test(denied_leases_fail_ready_tasks),
        cmocka_unit_test(worker_is_lost_at_each_state),
        cmocka_unit_test(dead_worker_gets_nothing),
        cmocka_unit_test(pair_made_anew_before_it_is_drained),
        cmocka_unit_test(inside_a_run_newest_go_first),
        cmocka_unit_test(worker_keeps_leases_only_while_it_waits),
        cmocka_unit_test(failed_client_wants_no_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
