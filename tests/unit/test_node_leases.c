/* The node's core: who gets a worker, who gives one back, and when waiting is hopeless. */
#include "tests/support/test.h"

#include "tests/support/node_fixture.h"

/* Ids as they come out in a fixture with one driver: it is 1, its first workers are 2, 3, ... */
static const struct mob_process D = {1}, A = {2}, B = {3}, C = {4}, E = {5};

/* A driver with its first workers idle. */
static struct fixture *cluster(unsigned cpus, uint32_t workers_max)
{
    struct node_config config = fixture_config();
    config.cpus = cpus * (uint64_t)CPU;
    config.workers_max = workers_max;
    struct fixture *f = fixture_create(&config);
    fixture_driver(f);
    fixture_workers(f, 1);
    fixture_wait(f, 1);
    forget_lines(f);
    return f;
}

/* All workers that the core now wants come up. */
static void more_workers(struct fixture *f)
{
    fixture_workers(f, 1);
}

static const struct worker_exit killed = {.signal = 9, .code = MOB_EWORKERDIED};

/* ---- granting ---- */

/* A wish is served by idle workers, up to the cpus; each pair of clients gets one ring pair, before
 * its first lease. */
MOB_TEST(node_grants_idle_workers)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 5);
    expect_effect(f, "connect job=1 process=1 other=2");
    expect_effect(f, "connect job=1 process=1 other=3");
    expect_no_effect(f);
    expect(f, D, "peer_open process=2 side=0");
    expect(f, D, "lease_grant lease=1 worker=2");
    expect(f, D, "peer_open process=3 side=0");
    expect(f, D, "lease_grant lease=2 worker=3");
    expect_nothing(f, D);
    expect(f, A, "peer_open process=1 side=1");
    expect(f, B, "peer_open process=1 side=1");
    SAY(f, D, lease_return, .lease = 1);
    expect(f, D, "lease_grant lease=3 worker=2");
    expect_no_effect(f);
    fixture_destroy(f);
}

/* Each wish replaces the one before and counts the leases that are held. */
MOB_TEST(node_wish_replaces_wish)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, D, lease_want, .count = 1);
    assert_int_equal(taken(f, D, "lease_grant"), 1);
    SAY(f, D, lease_want, .count = 2);
    assert_int_equal(taken(f, D, "lease_grant"), 1);
    SAY(f, D, lease_want, .count = 9);
    assert_int_equal(fixture_counts(f).wanted_leases, 3); /* never more than could be of use */
    SAY(f, D, lease_want, .count = 0);
    assert_int_equal(fixture_counts(f).wanted_leases, 0);
    SAY(f, D, lease_return, .lease = 1);
    expect_nothing(f, D);
    fixture_destroy(f);
}

/* A worker never gets a lease on itself; for its wish another worker is started. */
MOB_TEST(node_never_leases_a_worker_to_itself)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    expect_no(f, A, "lease_grant");
    expect_effect(f, "fork_worker job=1 process=3");
    expect_no_effect(f);
    fixture_ready(f, B);
    taken(f, B, "");
    expect(f, A, "peer_open process=3");
    expect(f, A, "lease_grant lease=1 worker=3");
    fixture_destroy(f);
}

/* Among the clients of a job the deepest goes first, then the one that waited longest. */
MOB_TEST(node_serves_the_deepest_first)
{
    struct fixture *f = cluster(1, 8);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, blocked, .count = 1);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    more_workers(f);
    forget_lines(f); /* A has B, which runs */
    SAY(f, D, lease_want, .count = 3, .depth = 0);
    SAY(f, B, lease_want, .count = 1, .depth = 2);
    SAY(f, A, lease_want, .count = 2, .depth = 1);
    SAY(f, B, blocked, .count = 1);
    more_workers(f);
    expect(f, C, "peer_open process=3");
    assert_int_equal(taken(f, B, "lease_grant"), 1);
    SAY(f, B, lease_want, .count = 0);
    SAY(f, B, lease_return, .lease = 3);
    assert_int_equal(taken(f, A, "lease_grant"), 1);
    expect_no(f, D, "lease_grant");
    fixture_destroy(f);
}

/* No more workers are started than could run now, and never more than workers_max. */
MOB_TEST(node_starts_only_workers_of_use)
{
    struct fixture *f = cluster(2, 3);
    SAY(f, D, lease_want, .count = 4);
    expect_nothing(f, C);
    assert_int_equal(taken_effects(f, "fork_worker"), 0);
    SAY(f, A, blocked, .count = 1);
    assert_int_equal(taken_effects(f, "fork_worker"), 1); /* one cpu is free, one worker comes */
    SAY(f, B, blocked, .count = 1);
    assert_int_equal(taken_effects(f, "fork_worker"),
                     0); /* two are free, but there may be only three */
    fixture_ready(f, C);
    assert_int_equal(fixture_counts(f).leases, 3);
    assert_int_equal(fixture_counts(f).workers, 3);
    fixture_destroy(f);
}

/* A job gets no lease above its share, and more when the share is raised. */
MOB_TEST(node_keeps_to_the_share)
{
    struct node_config config = fixture_config();
    struct fixture *f = fixture_create(&config);
    fixture_driver(f);
    SAY(f, HEAD, job_share, .job = 1, .cpus = CPU);
    fixture_workers(f, 1);
    SAY(f, D, lease_want, .count = 2);
    assert_int_equal(fixture_counts(f).leases, 1);
    SAY(f, HEAD, job_share, .job = 1, .cpus = 2 * CPU);
    assert_int_equal(fixture_counts(f).leases, 2);
    SAY(f, HEAD, job_share, .job = 77, .cpus = 2 * CPU); /* of a job that has ended */
    fixture_destroy(f);
}

/* ---- blocking ---- */

/* A worker that waits frees its cpu for another; when it goes on it takes the cpu back at once, and
 * nothing is granted until the sum fits again. */
MOB_TEST(node_blocked_frees_the_cpu)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, D, lease_want, .count = 2);
    SAY(f, A, blocked, .count = 1);
    more_workers(f);
    assert_int_equal(fixture_counts(f).leases, 2);
    assert_int_equal(fixture_counts(f).leased_cpus, CPU);
    SAY(f, A, unblocked, .count = 1);
    assert_int_equal(fixture_counts(f).leased_cpus, 2 * CPU);
    SAY(f, D, lease_want, .count = 3);
    SAY(f, D, lease_return, .lease = 2);
    assert_int_equal(fixture_counts(f).leased_cpus, CPU);
    assert_int_equal(fixture_counts(f).leases, 1);
    fixture_destroy(f);
}

/* Counts make repeated and late messages harmless: only the unblocked that ends the newest blocked
 * counts. */
MOB_TEST(node_blocked_is_counted)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, blocked, .count = 1);
    SAY(f, A, blocked, .count = 1);
    assert_int_equal(fixture_counts(f).leased_cpus, 0);
    SAY(f, A, unblocked, .count = 1);
    SAY(f, A, unblocked, .count = 1);
    SAY(f, A, blocked, .count = 1);
    assert_int_equal(fixture_counts(f).leased_cpus, CPU);
    SAY(f, A, blocked, .count = 2);
    SAY(f, A, unblocked, .count = 1);
    assert_int_equal(fixture_counts(f).leased_cpus, 0);
    SAY(f, A, unblocked, .count = 2);
    assert_int_equal(fixture_counts(f).leased_cpus, CPU);
    assert_int_equal(fixture_counts(f).refused_messages, 0);
    SAY(f, A, unblocked, .count = 3);
    SAY(f, D, blocked, .count = 1);
    SAY(f, D, unblocked, .count = 1);
    assert_int_equal(fixture_counts(f).refused_messages, 3);
    fixture_destroy(f);
}

/* A worker whose lease came back while it still waits is not idle until it goes on. */
MOB_TEST(node_blocked_is_not_idle)
{
    struct fixture *f = cluster(1, 1);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, blocked, .count = 1);
    SAY(f, D, lease_return, .lease = 1);
    assert_int_equal(fixture_counts(f).leases, 0);
    assert_int_equal(fixture_counts(f).idle_workers, 0);
    SAY(f, A, unblocked, .count = 1);
    assert_int_equal(fixture_counts(f).leases, 1);
    fixture_destroy(f);
}

/* ---- recalls ---- */

/* When a worker goes on and more run than there are cpus, exactly one lease is recalled, and not
 * the one that woke. */
MOB_TEST(node_recalls_when_above_the_cpus)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, D, lease_want, .count = 2);
    SAY(f, A, blocked, .count = 1);
    more_workers(f);
    forget_lines(f);
    SAY(f, A, unblocked, .count = 1);
    expect(f, D, "lease_recall lease=2");
    expect_nothing(f, D);
    fixture_wait(f, 1000);
    expect_no(f, D, "lease_recall");
    SAY(f, D, lease_return, .lease = 2);
    assert_int_equal(fixture_counts(f).leased_cpus, CPU);
    expect_no(f, D, "lease_recall");
    fixture_destroy(f);
}

/* A deeper wish that finds no cpu leads to the recall of one shallower lease, and gets the worker
 * when that is back. */
MOB_TEST(node_recalls_for_a_deeper_wish)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 4);
    forget_lines(f);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    expect(f, D, "lease_recall lease=2");
    expect_nothing(f, D);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    expect_nothing(f, D);
    SAY(f, D, lease_return, .lease = 2);
    assert_int_equal(taken(f, A, "lease_grant"), 1);
    expect_no(f, D, "lease_grant");
    fixture_destroy(f);
}

/* The lease under which a client itself runs is recalled for its children only when they have
 * waited a while. */
MOB_TEST(node_recalls_the_own_lease_late)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, D, lease_want, .count = 1);
    forget_lines(f);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    expect_nothing(f, D);
    fixture_wait(f, 20);
    expect_nothing(f, D); /* first somebody else who could serve them must be there */
    more_workers(f);
    expect(f, D, "lease_recall lease=1");
    fixture_wait(f, 2000);
    expect_nothing(f, D);
    SAY(f, D, lease_return, .lease = 1);
    assert_int_equal(taken(f, A, "lease_grant lease=2 worker=3"), 1);
    expect_nothing(f, D);
    fixture_destroy(f);
}

/* A recall does not ask for more than is needed: what is on its way back counts. */
MOB_TEST(node_recalls_no_more_than_needed)
{
    struct fixture *f = cluster(4, 8);
    SAY(f, D, lease_want, .count = 4);
    forget_lines(f);
    SAY(f, A, lease_want, .count = 2, .depth = 1);
    assert_int_equal(taken(f, D, "lease_recall"), 2);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    SAY(f, A, lease_want, .count = 2, .depth = 1);
    expect_nothing(f, D);
    SAY(f, D, lease_want, .count = 4);
    expect_nothing(f, D);
    fixture_destroy(f);
}

/* A second driver on the same node gets its share: first what is free, then by recalls from the job
 * that has more than its own; no lease goes back and forth. */
MOB_TEST(node_shares_between_jobs)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 4);
    struct mob_process second = fixture_driver(f);
    SAY(f, HEAD, job_share, .job = 1, .cpus = CPU);
    SAY(f, HEAD, job_share, .job = 2, .cpus = CPU);
    forget_lines(f);
    SAY(f, second, lease_want, .count = 4);
    fixture_workers(f, 2);
    expect(f, D, "lease_recall lease=2");
    expect_nothing(f, D);
    SAY(f, D, lease_return, .lease = 2);
    assert_int_equal(taken(f, second, "lease_grant"), 1);
    fixture_wait(f, 1000);
    expect_nothing(f, D);
    expect_nothing(f, second);
    fixture_destroy(f);
}

/* Two jobs on one cpu take turns, so that none waits for ever. */
MOB_TEST(node_jobs_take_turns_on_one_cpu)
{
    struct fixture *f = cluster(1, 2);
    SAY(f, D, lease_want, .count = 1);
    struct mob_process second = fixture_driver(f);
    SAY(f, HEAD, job_share, .job = 1, .cpus = CPU / 2);
    SAY(f, HEAD, job_share, .job = 2, .cpus = CPU / 2);
    SAY(f, second, lease_want, .count = 1);
    fixture_workers(f, 2);
    forget_lines(f);
    uint64_t lease = 1;
    struct mob_process has = D, waits = second;
    for (int turn = 0; turn < 4; turn++) {
        fixture_wait(f, 50);
        expect_no(f, has, "lease_recall");
        fixture_wait(f, 60);
        assert_int_equal(taken(f, has, "lease_recall"), 1);
        SAY(f, has, lease_return, .lease = lease++);
        expect_no(f, has, "lease_grant");
        assert_int_equal(taken(f, waits, "lease_grant"), 1);
        struct mob_process other = has;
        has = waits;
        waits = other;
    }
    fixture_destroy(f);
}

/* A turn lasts: who waits in a job that has just run does not take the cpu back at once, however
 * long it waits. */
MOB_TEST(node_turns_are_of_the_job)
{
    struct fixture *f = cluster(1, 4);
    struct mob_process second = fixture_driver(f);
    fixture_workers(f, 2);
    SAY(f, second, lease_want, .count = 1);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, lease_want, .count = 1, .depth = 0);
    forget_lines(f);
    fixture_wait(f, 110);
    more_workers(f); /* A cannot serve itself */
    SAY(f, second, lease_return, .lease = 1);
    assert_int_equal(taken(f, D, "lease_grant lease=2"), 1);
    fixture_wait(f, 90);
    expect_no(f, D, "lease_recall");
    expect_no(f, A, "lease_recall");
    fixture_wait(f, 20);
    assert_int_equal(taken(f, D, "lease_recall lease=2"), 1);
    SAY(f, D, lease_return, .lease = 2);
    assert_int_equal(taken(f, second, "lease_grant"), 1);
    fixture_wait(f, 90);
    expect_no(f, second, "lease_recall");
    fixture_destroy(f);
}

/* Nothing is recalled for a job before its worker is there: the cpu would only go back to where it
 * came from. */
MOB_TEST(node_starts_before_it_recalls)
{
    struct fixture *f = cluster(1, 2);
    SAY(f, D, lease_want, .count = 1);
    struct mob_process second = fixture_driver(f);
    node_core_zygote_ready(f->core, (struct mob_job){2}, f->now_ms);
    fixture_settle(f);
    fixture_exit(f, (struct mob_process){4}, &killed);
    forget_lines(f);
    SAY(f, second, lease_want, .count = 1);
    fixture_wait(f, 110);
    expect_effect(f, "fork_worker job=2 process=5");
    SAY(f, D, lease_return, .lease = 1);
    expect(f, D, "lease_grant lease=2");
    fixture_wait(f, 110);
    expect_nothing(f, D);
    expect_no_effect(f);
    fixture_ready(f, E);
    expect(f, D, "lease_recall lease=2");
    SAY(f, D, lease_return, .lease = 2);
    assert_int_equal(taken(f, second, "lease_grant"), 1);
    expect_nothing(f, D);
    fixture_destroy(f);
}

/* ---- deadlock and failing starts ---- */

/* When all workers that may be are blocked and a cpu is free, the deepest that waits is told after
 * a moment, with the numbers; then the next. */
MOB_TEST(node_breaks_a_deadlock)
{
    struct fixture *f = cluster(2, 2);
    SAY(f, D, lease_want, .count = 3);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    SAY(f, B, lease_want, .count = 1, .depth = 2);
    SAY(f, A, blocked, .count = 1);
    SAY(f, B, blocked, .count = 1);
    forget_lines(f);
    fixture_wait(f, 50);
    expect_nothing(f, B);
    fixture_wait(f, 60);
    expect(f, B,
           "lease_denied code=-45 text=\"all 2 workers that the job may have on this node "
           "(workers_max=2) wait");
    expect_nothing(f, A);
    expect_nothing(f, D);
    fixture_wait(f, 110);
    expect(f, A, "lease_denied code=-45");
    expect_nothing(f, D);
    fixture_wait(f, 110);
    expect(f, D, "lease_denied code=-45");
    fixture_wait(f, 1000);
    expect_nothing(f, D);
    assert_int_equal(fixture_counts(f).wanted_leases, 0);
    fixture_destroy(f);
}

/* A worker that goes on in time ends the suspicion. */
MOB_TEST(node_no_deadlock_when_one_goes_on)
{
    struct fixture *f = cluster(1, 1);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    SAY(f, A, blocked, .count = 1);
    fixture_wait(f, 90);
    SAY(f, A, unblocked, .count = 1);
    fixture_wait(f, 90);
    expect_no(f, A, "lease_denied");
    fixture_destroy(f);
}

/* The only worker there may be cannot serve its own open tasks: it is told, and does not wait for
 * ever. */
MOB_TEST(node_only_worker_cannot_serve_itself)
{
    struct fixture *f = cluster(1, 1);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    fixture_wait(f, 110);
    expect(f, A, "lease_denied code=-45");
    fixture_destroy(f);
}

/* A worker that fails to start is tried again; after three failures in a row all that wait hear the
 * program's words. */
MOB_TEST(node_tells_when_workers_do_not_start)
{
    struct node_config config = fixture_config();
    config.cpus = CPU;
    struct fixture *f = fixture_create(&config);
    fixture_driver(f);
    SAY(f, D, lease_want, .count = 1);
    node_core_zygote_ready(f->core, (struct mob_job){1}, f->now_ms);
    fixture_settle(f);
    const struct worker_exit exit = {
        .status = 3, .tail = view_of("no such library"), .code = MOB_EWORKERSTART};
    fixture_exit(f, A, &exit);
    fixture_exit(f, B, &exit);
    expect_no(f, D, "lease_denied");
    fixture_exit(f, C, &exit);
    expect(f, D,
           "lease_denied code=-46 text=\"no worker of the job started in 3 attempts; the last: "
           "worker 4 ended");
    assert_int_equal(taken_effects(f, "fork_worker"), 3);
    SAY(f, D, lease_want, .count = 1);
    expect_effect(f, "fork_worker job=1 process=5");
    fixture_ready(f, E);
    assert_int_equal(taken(f, D, "lease_grant"), 1);
    fixture_destroy(f);
}

/* A program that ends instead of becoming a zygote is started again, three times in all; its words
 * reach the driver. */
MOB_TEST(node_tells_when_the_zygote_does_not_start)
{
    struct node_config config = fixture_config();
    struct fixture *f = fixture_create(&config);
    fixture_driver(f);
    SAY(f, D, lease_want, .count = 1);
    for (int i = 0; i < 3; i++) {
        expect_no(f, D, "lease_denied");
        node_core_zygote_gone(f->core, (struct mob_job){1}, "it ended with status 1: boo",
                              f->now_ms);
        fixture_settle(f);
    }
    assert_int_equal(taken_effects(f, "start_zygote"), 3);
    expect(f, D,
           "lease_denied code=-46 text=\"no worker of the job started in 3 attempts; the last: it "
           "ended with");
    fixture_destroy(f);
}

/* Workers that were starting when their zygote died are one failed start together, however many
 * they were. */
MOB_TEST(node_counts_a_zygotes_end_once)
{
    struct node_config config = fixture_config();
    struct fixture *f = fixture_create(&config);
    fixture_driver(f);
    SAY(f, D, lease_want, .count = 8);
    for (int i = 0; i < 2; i++) {
        node_core_zygote_ready(f->core, (struct mob_job){1}, f->now_ms);
        fixture_settle(f);
        assert_true(taken_effects(f, "fork_worker") >= 2);
        node_core_zygote_gone(f->core, (struct mob_job){1}, "signal 9", f->now_ms);
        for (uint64_t v = 1; v < 100; v++)
            if (node_core_client(f->core, (struct mob_process){v}) != NULL && v != D.v)
                fixture_exit(f, (struct mob_process){v}, &killed);
        fixture_settle(f);
        expect_no(f, D, "lease_denied");
    }
    fixture_destroy(f);
}

/* A zygote or a worker that says nothing for start_worker_ms has failed; the worker is killed, and
 * counted once. */
MOB_TEST(node_start_has_a_limit)
{
    struct node_config config = fixture_config();
    config.cpus = CPU;
    struct fixture *f = fixture_create(&config);
    fixture_driver(f);
    SAY(f, D, lease_want, .count = 1);
    fixture_wait(f, 25000); /* the zygote says nothing, twice */
    expect_no(f, D, "lease_denied");
    node_core_zygote_ready(f->core, (struct mob_job){1}, f->now_ms);
    fixture_settle(f);
    fixture_wait(f, 10000);
    expect(f, D, "lease_denied code=-46");
    assert_int_equal(taken_effects(f, "kill job=1 process=2"), 1);
    fixture_exit(f, A, &killed);
    expect_nothing(f, D);
    fixture_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_grants_idle_workers),
        cmocka_unit_test(node_wish_replaces_wish),
        cmocka_unit_test(node_never_leases_a_worker_to_itself),
        cmocka_unit_test(node_serves_the_deepest_first),
        cmocka_unit_test(node_starts_only_workers_of_use),
        cmocka_unit_test(node_keeps_to_the_share),
        cmocka_unit_test(node_blocked_frees_the_cpu),
        cmocka_unit_test(node_blocked_is_counted),
        cmocka_unit_test(node_blocked_is_not_idle),
        cmocka_unit_test(node_recalls_when_above_the_cpus),
        cmocka_unit_test(node_recalls_for_a_deeper_wish),
        cmocka_unit_test(node_recalls_the_own_lease_late),
        cmocka_unit_test(node_recalls_no_more_than_needed),
        cmocka_unit_test(node_shares_between_jobs),
        cmocka_unit_test(node_jobs_take_turns_on_one_cpu),
        cmocka_unit_test(node_turns_are_of_the_job),
        cmocka_unit_test(node_starts_before_it_recalls),
        cmocka_unit_test(node_breaks_a_deadlock),
        cmocka_unit_test(node_no_deadlock_when_one_goes_on),
        cmocka_unit_test(node_only_worker_cannot_serve_itself),
        cmocka_unit_test(node_tells_when_workers_do_not_start),
        cmocka_unit_test(node_tells_when_the_zygote_does_not_start),
        cmocka_unit_test(node_counts_a_zygotes_end_once),
        cmocka_unit_test(node_start_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
