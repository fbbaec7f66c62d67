/* Waiting: threads for k of n, completions, objects of other processes, readers in other processes,
 * room in the arena. */
#include "tests/support/test.h"

#include "tests/support/core_kit.h"

static void watch(struct kit *k, struct mob_object id, struct watch *w, struct waiter *waiter)
{
    assert_int_equal(client_watch(k->core, id, w, waiter, k->now_ns), MOB_OK);
    kit_settle(k);
}

static void done(struct kit *k, uint64_t task, const char *value)
{
    KIT_SAYS(k, 20, task_done, .task = task, .run_ns = 1, .results = kit_results(k, value));
}

/* Three short tasks under way at worker 20. */
static struct kit *three_tasks(struct mob_object r[3])
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    kit_submit(k, &(struct kit_call){.results = 1});
    done(k, 1, "the pace is known");
    for (unsigned i = 0; i < 3; i++)
        r[i] = kit_submit(k, &(struct kit_call){.results = 1});
    kit_forget(k);
    return k;
}

/* ---- waiters ---- */

/* A waiter is woken once, when as many of its objects as it needs have settled; failed ones count.
 */
MOB_TEST(waiter_wakes_at_k_of_n)
{
    struct mob_object r[3];
    struct kit *k = three_tasks(r);
    struct watch w[3];
    struct waiter waiter = {.needed = 2};
    for (unsigned i = 0; i < 3; i++)
        watch(k, r[i], &w[i], &waiter);
    done(k, r[1].seq, "x");
    assert_false(waiter.done);
    assert_null(client_next_woken(k->core));
    KIT_SAYS(k, 20, task_done, .task = r[0].seq, .errors = kit_error(k, MOB_ETASKFAILED, "no"));
    assert_true(waiter.done);
    assert_ptr_equal(client_next_woken(k->core), &waiter);
    assert_null(client_next_woken(k->core));
    done(k, r[2].seq, "y");
    assert_null(client_next_woken(k->core));
    for (unsigned i = 0; i < 3; i++)
        client_unwatch(k->core, &w[i]);
    kit_settle(k);
    kit_destroy(k);
}

/* What has settled already counts at once; what is not known is refused. */
MOB_TEST(settled_objects_wake_at_once)
{
    struct mob_object r[3];
    struct kit *k = three_tasks(r);
    struct watch w[2];
    struct waiter waiter = {.needed = 1};
    watch(k, kit_put(k, "here"), &w[0], &waiter);
    assert_true(waiter.done);
    assert_null(w[0].object);
    assert_ptr_equal(client_next_woken(k->core), &waiter);
    assert_int_equal(client_watch(k->core, kit_id(KIT_SELF, 77), &w[1], &waiter, k->now_ns),
                     MOB_ENOOBJECT);
    client_unwatch(k->core, &w[1]); /* fine */
    client_unwatch(k->core, &w[0]);
    kit_destroy(k);
}

/* After a time-out a thread takes its watches back, and nothing of it is touched any more. */
MOB_TEST(unwatched_waiter_is_forgotten)
{
    struct mob_object r[3];
    struct kit *k = three_tasks(r);
    struct watch w[3];
    struct waiter waiter = {.needed = 3};
    for (unsigned i = 0; i < 3; i++)
        watch(k, r[i], &w[i], &waiter);
    done(k, r[2].seq, "x");
    client_unwatch(k->core, &w[1]);
    client_unwatch(k->core, &w[0]);
    client_unwatch(k->core, &w[2]);
    memset(w, 0xee, sizeof w);
    memset(&waiter, 0xee, sizeof waiter);
    done(k, r[0].seq, "x");
    done(k, r[1].seq, "x");
    assert_null(client_next_woken(k->core));
    kit_destroy(k);
}

/* A watch keeps a dropped object until it is taken back. */
MOB_TEST(watched_object_stays_until_unwatched)
{
    struct mob_object r[3];
    struct kit *k = three_tasks(r);
    const struct mob_object other = kit_id(30, 1);
    struct watch w;
    struct waiter waiter = {.needed = 1};
    assert_int_equal(client_borrow(k->core, other), MOB_OK);
    watch(k, other, &w, &waiter);
    client_drop(k->core, other);
    kit_settle(k);
    kit_expect_pending(k, other);
    client_unwatch(k->core, &w);
    kit_settle(k);
    kit_expect_absent(k, other);
    kit_destroy(k);
}

/* Several waiters of one object, and one waiter that watches it twice, all wake. */
MOB_TEST(several_waiters_of_one_object)
{
    struct mob_object r[3];
    struct kit *k = three_tasks(r);
    struct watch w[4];
    struct waiter waiters[3] = {{.needed = 1}, {.needed = 1}, {.needed = 2}};
    watch(k, r[0], &w[0], &waiters[0]);
    watch(k, r[0], &w[1], &waiters[1]);
    watch(k, r[0], &w[2], &waiters[2]);
    watch(k, r[0], &w[3], &waiters[2]);
    done(k, r[0].seq, "x");
    unsigned woken = 0;
    while (client_next_woken(k->core) != NULL)
        woken++;
    assert_int_equal(woken, 3);
    assert_true(waiters[0].done && waiters[1].done && waiters[2].done);
    kit_destroy(k);
}

/* ---- completions ---- */

/* Completions come in the order of settling, each once, also for objects that nobody holds any
 * more. */
MOB_TEST(completions_come_in_order)
{
    struct mob_object r[3], out;
    struct kit *k = three_tasks(r);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(client_completion_watch(k->core, r[i], k->now_ns), MOB_OK);
    client_drop(k->core, r[1]);
    assert_false(client_completion_waits(k->core));
    done(k, r[2].seq, "x");
    done(k, r[1].seq, "x");
    assert_true(client_completion_waits(k->core));
    struct mob_object here = kit_put(k, "here");
    assert_int_equal(client_completion_watch(k->core, here, k->now_ns), MOB_OK);
    kit_settle(k);
    assert_true(client_completion_take(k->core, &out) && mob_object_equal(out, r[2]));
    assert_true(client_completion_take(k->core, &out) && mob_object_equal(out, r[1]));
    assert_true(client_completion_take(k->core, &out) && mob_object_equal(out, here));
    assert_false(client_completion_take(k->core, &out));
    kit_expect_absent(k, r[1]);
    assert_int_equal(client_completion_watch(k->core, kit_id(KIT_SELF, 99), k->now_ns),
                     MOB_ENOOBJECT);
    kit_destroy(k); /* one is still watched */
}

/* ---- objects of others ---- */

/* A borrowed object is asked for once, when somebody wants it, through the ring if there is one. */
MOB_TEST(borrowed_object_is_asked_for_once)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 30);
    const struct mob_object near = kit_id(30, 1), far = kit_id(31, 1);
    struct watch w[3];
    struct waiter waiter = {.needed = 2};
    assert_int_equal(client_borrow(k->core, near), MOB_OK);
    assert_int_equal(client_borrow(k->core, near), MOB_OK);
    assert_int_equal(client_borrow(k->core, far), MOB_OK);
    kit_expect_nothing(k, 30);
    watch(k, near, &w[0], &waiter);
    watch(k, far, &w[1], &waiter);
    watch(k, near, &w[2], &(struct waiter){.needed = 1});
    kit_expect(k, 30, "object_get object=30.1");
    kit_expect(k, KIT_NODE, "forward to=31 body=<");
    kit_expect_nothing(k, 30);
    kit_expect_nothing(k, KIT_NODE);
    client_unwatch(k->core, &w[2]);
    KIT_SAYS(k, 30, object_value, .object = near, .kind = VALUE_INLINE, .value = view_of("near"));
    KIT_FORWARDED(k, 31, object_value, .object = far, .kind = VALUE_STORED, .offset = 64,
                  .size = 128);
    assert_ptr_equal(client_next_woken(k->core), &waiter);
    kit_expect_value(k, near, "near");
    kit_expect_stored(k, far, 64, 128);
    client_drop(k->core, near);
    kit_expect_value(k, near, "near");
    client_drop(k->core, near);
    client_drop(k->core, far);
    assert_int_equal(kit_counts(k).objects, 0);
    kit_destroy(k);
}

/* A task may await a borrowed object; its failure is a cause like any other. */
MOB_TEST(task_awaits_a_borrowed_object)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_worker(k, 20, 1);
    const struct mob_object good = kit_id(31, 1), bad = kit_id(31, 2);
    assert_int_equal(client_borrow(k->core, good), MOB_OK);
    assert_int_equal(client_borrow(k->core, bad), MOB_OK);
    struct mob_object a =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_MOVED(good)}});
    struct mob_object b =
        kit_submit(k, &(struct kit_call){.results = 1, .arg_count = 1, .args = {KIT_MOVED(bad)}});
    KIT_FORWARDED(k, 31, object_value, .object = good, .kind = VALUE_INLINE,
                  .value = view_of("good"));
    kit_expect(k, 20, "task_run task=1 * args=[{ kind=1 value=<4 bytes> object=31.1 ");
    KIT_FORWARDED(k, 31, object_value, .object = bad, .kind = VALUE_ERROR,
                  .errors = kit_error(k, MOB_ETASKFAILED, "far away"));
    kit_expect_failed(k, b, "MOB_EDEPENDENCY ", "MOB_ETASKFAILED far away", NULL);
    KIT_SAYS(k, 20, task_done, .task = a.seq, .results = kit_results(k, "r"));
    kit_expect_absent(k, good);
    kit_expect_absent(k, bad);
    kit_destroy(k);
}

/* Only the owner says what an object is, once, and only when it was asked. */
MOB_TEST(forged_values_have_no_effect)
{
    struct kit *k = kit_create(KIT_DRIVER);
    const struct mob_object o = kit_id(31, 1), quiet = kit_id(31, 2);
    struct mob_object own = kit_submit(k, &(struct kit_call){.results = 1});
    struct watch w;
    struct waiter waiter = {.needed = 1};
    assert_int_equal(client_borrow(k->core, o), MOB_OK);
    assert_int_equal(client_borrow(k->core, quiet), MOB_OK);
    watch(k, o, &w, &waiter);
    KIT_FORWARDED(k, 32, object_value, .object = o, .kind = VALUE_INLINE,
                  .value = view_of("not the owner"));
    KIT_FORWARDED(k, 32, object_value, .object = own, .kind = VALUE_INLINE,
                  .value = view_of("ours"));
    assert_int_equal(kit_counts(k).refused, 2);
    KIT_FORWARDED(k, 31, object_value, .object = quiet, .kind = VALUE_INLINE,
                  .value = view_of("not asked"));
    KIT_FORWARDED(k, 31, object_value, .object = kit_id(31, 9), .kind = VALUE_INLINE,
                  .value = view_of("dropped"));
    kit_expect_pending(k, o);
    kit_expect_pending(k, own);
    kit_expect_pending(k, quiet);
    KIT_FORWARDED(k, 31, object_value, .object = o, .kind = VALUE_INLINE, .value = view_of("true"));
    KIT_FORWARDED(k, 31, object_value, .object = o, .kind = VALUE_INLINE,
                  .value = view_of("twice"));
    kit_expect_value(k, o, "true");
    kit_destroy(k);
}

/* An owner's answer that is no value is counted and settles the object as failed, so that nobody
 * waits for ever. */
MOB_TEST(answer_that_is_no_value_fails)
{
    struct kit *k = kit_create(KIT_DRIVER);
    const struct msg_object_value answers[] = {
        {.kind = VALUE_STORED, .offset = KIT_ARENA, .size = 1},
        {.kind = VALUE_STORED, .offset = 1, .size = UINT64_MAX},
        {.kind = VALUE_REF},
        {.kind = 77},
        {.kind = VALUE_ERROR},
    };
    for (unsigned i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct msg_object_value m = answers[i];
        m.object = kit_id(31, i + 1);
        struct watch w;
        struct waiter waiter = {.needed = 1};
        assert_int_equal(client_borrow(k->core, m.object), MOB_OK);
        watch(k, m.object, &w, &waiter);
        struct buffer b = {0};
        assert_int_equal(msg_object_value_pack(&b, &m), MOB_OK);
        kit_forwarded(k, 31, &b);
        buffer_fini(&b);
        assert_true(waiter.done);
        kit_expect_failed(k, m.object, "MOB_EPROTO ", NULL);
        assert_int_equal(kit_counts(k).refused, i + 1);
    }
    kit_destroy(k);
}

/* An owner's end makes what was not yet known of its objects fail, whether or not there was a ring;
 * what is here stays. */
MOB_TEST(lost_owner_fails_its_objects)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 31);
    const struct mob_object here = kit_id(31, 1), asked = kit_id(31, 2), quiet = kit_id(31, 3),
                            other = kit_id(32, 1);
    const struct mob_object all[] = {here, asked, quiet, other};
    struct watch w[2];
    struct waiter waiter = {.needed = 2};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(client_borrow(k->core, all[i]), MOB_OK);
    watch(k, here, &w[0], &waiter);
    KIT_SAYS(k, 31, object_value, .object = here, .kind = VALUE_INLINE, .value = view_of("here"));
    watch(k, asked, &w[1], &waiter);
    KIT_SAYS(k, KIT_NODE, process_lost, .process = 31);
    assert_true(waiter.done);
    kit_expect_value(k, here, "here");
    kit_expect_failed(k, asked, "MOB_EOWNERDIED process 31", NULL);
    kit_expect_failed(k, quiet, "MOB_EOWNERDIED process 31", NULL);
    kit_expect_pending(k, other);
    KIT_SAYS(k, KIT_NODE, process_lost, .process = 32);
    kit_expect_failed(k, other, "MOB_EOWNERDIED process 32", NULL);
    kit_destroy(k);
}

/* A ring pair may be taken back while its other end lives: what was asked through it is asked again
 * through the node. */
MOB_TEST(closed_ring_is_no_lost_owner)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 31);
    const struct mob_object asked = kit_id(31, 2), quiet = kit_id(31, 3);
    struct watch w;
    struct waiter waiter = {.needed = 1};
    assert_int_equal(client_borrow(k->core, asked), MOB_OK);
    assert_int_equal(client_borrow(k->core, quiet), MOB_OK);
    watch(k, asked, &w, &waiter);
    kit_expect(k, 31, "object_get object=31.2");
    KIT_SAYS(k, KIT_NODE, peer_close, .process = 31);
    kit_expect_effect(k, "drain 31");
    kit_expect_effect(k, "close 31");
    kit_expect(k, KIT_NODE, "forward to=31 ");
    kit_expect_nothing(k, KIT_NODE);
    kit_expect_pending(k, asked);
    kit_expect_pending(k, quiet);
    KIT_FORWARDED(k, 31, object_value, .object = asked, .kind = VALUE_INLINE,
                  .value = view_of("v"));
    kit_expect_value(k, asked, "v");
    /* And when it ends while the ring is being drained, it is lost. */
    kit_peer(k, 31);
    k->holds_drains = true;
    KIT_SAYS(k, KIT_NODE, peer_close, .process = 31);
    KIT_SAYS(k, KIT_NODE, process_lost, .process = 31);
    kit_expect_effect(k, "drain 31");
    kit_expect_no_effect(k);
    client_lost(k->core, (struct mob_process){31}, k->now_ns);
    kit_settle(k);
    kit_expect_failed(k, quiet, "MOB_EOWNERDIED ", NULL);
    kit_destroy(k);
}

/* A reference that came home is the object itself. */
MOB_TEST(own_reference_comes_home)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct mob_object o = kit_put(k, "mine");
    client_publish(k->core, o);
    client_drop(k->core, o);
    assert_int_equal(client_hold(k->core, o), MOB_ENOOBJECT);
    assert_int_equal(client_borrow(k->core, o), MOB_OK);
    assert_int_equal(client_hold(k->core, o), MOB_OK);
    kit_expect_value(k, o, "mine");
    assert_int_equal(client_borrow(k->core, kit_id(KIT_SELF, 50)), MOB_ENOOBJECT);
    assert_int_equal(client_borrow(k->core, kit_id(0, 0)), MOB_ENOOBJECT);
    kit_destroy(k);
}

/* ---- readers in other processes ---- */

/* A reader is answered when the object settles, or at once; each as often as it asked. */
MOB_TEST(remote_readers_are_answered)
{
    struct mob_object r[3];
    struct kit *k = three_tasks(r);
    kit_peer(k, 40);
    KIT_SAYS(k, 40, object_get, .object = r[0]);
    KIT_FORWARDED(k, 41, object_get, .object = r[0]);
    client_drop(k->core, r[0]); /* the reader keeps it */
    kit_expect_nothing(k, 40);
    done(k, r[0].seq, "value");
    kit_expect(k, 40, "object_value object=7.2 kind=1 value=<5 bytes> offset=0 size=0 errors=[]");
    kit_expect(k, KIT_NODE, "forward to=41 ");
    kit_expect_absent(k, r[0]);
    done(k, r[1].seq, "value");
    KIT_SAYS(k, 40, object_get, .object = r[1]);
    kit_expect(k, 40, "object_value object=7.3 kind=1 ");
    KIT_SAYS(k, 20, task_done, .task = r[2].seq, .errors = kit_error(k, MOB_ETASKFAILED, "no"));
    KIT_SAYS(k, 40, object_get, .object = r[2]);
    kit_expect(k, 40, "object_value object=7.4 kind=4 * errors=[{ code=-40 ");
    struct mob_object stored;
    assert_int_equal(client_put_stored(k->core, 128, 2000, &stored), MOB_OK);
    KIT_SAYS(k, 40, object_get, .object = stored);
    kit_expect(k, 40, "object_value object=7.5 kind=2 value=<0 bytes> offset=128 size=2000 ");
    kit_destroy(k);
}

/* Who asks for an object that is not known, or not ours, is told so. */
MOB_TEST(unknown_object_is_answered)
{
    struct kit *k = kit_create(KIT_DRIVER);
    kit_peer(k, 40);
    assert_int_equal(client_borrow(k->core, kit_id(31, 1)), MOB_OK);
    KIT_SAYS(k, 40, object_get, .object = kit_id(KIT_SELF, 5));
    kit_expect(k, 40, "object_value object=7.5 kind=4 * errors=[{ code=-83 ");
    KIT_SAYS(k, 40, object_get, .object = kit_id(31, 1));
    kit_expect(k, 40, "object_value object=31.1 kind=4 * errors=[{ code=-83 ");
    kit_destroy(k);
}

/* ---- room in the arena ---- */

/* Room is asked for, granted, and filled from front to back in steps of 64 bytes. */
MOB_TEST(extent_is_filled)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct waiter a = {0}, b = {0};
    uint64_t at, start, size;
    assert_false(client_place(k->core, 100, &at));
    assert_int_equal(client_extent_want(k->core, 100, &a), MOB_OK);
    assert_int_equal(client_extent_want(k->core, 100, &b), MOB_OK); /* joins it */
    kit_settle(k);
    kit_expect(k, KIT_NODE, "extent_want request=1 size=164");
    kit_expect_nothing(k, KIT_NODE);
    KIT_SAYS(k, KIT_NODE, extent_grant, .request = 1, .offset = 8192, .size = 4096);
    assert_true(a.done && b.done);
    assert_non_null(client_next_woken(k->core));
    assert_non_null(client_next_woken(k->core));
    assert_null(client_next_woken(k->core));
    assert_int_equal(client_extent_result(k->core, UINT64_MAX, NULL), MOB_OK);
    assert_true(client_place(k->core, 100, &at));
    assert_int_equal(at, 8192);
    assert_true(client_place(k->core, 1, &at));
    assert_int_equal(at, 8192 + 128);
    client_unplace(k->core, at);
    assert_true(client_place(k->core, 4096 - 128, &at));
    assert_int_equal(at, 8192 + 128);
    assert_false(client_place(k->core, 1, &at));
    assert_true(client_extent_of(k->core, at, &start, &size));
    assert_int_equal(start, 8192);
    assert_int_equal(size, 4096);
    assert_false(client_extent_of(k->core, 8192 + 4096, &start, &size));
    assert_false(client_extent_of(k->core, 8191, &start, &size));
    kit_destroy(k);
}

/* A full store is said with the node's numbers, and the next one asks anew. */
MOB_TEST(full_store_is_said)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct waiter w = {0};
    struct mob_err err = {0};
    assert_int_equal(client_extent_want(k->core, UINT64_MAX - 3, &w), MOB_OK);
    kit_settle(k);
    kit_expect(k, KIT_NODE, "extent_want request=1 size=18446744073709551612");
    KIT_SAYS(k, KIT_NODE, extent_grant, .request = 1, .code = MOB_ESTOREFULL,
             .text = view_of("9 of 10 bytes are used"));
    assert_ptr_equal(client_next_woken(k->core), &w);
    assert_int_equal(client_extent_result(k->core, UINT64_MAX, &err), MOB_ESTOREFULL);
    assert_string_equal(err.text, "9 of 10 bytes are used");
    uint64_t at;
    assert_false(client_place(k->core, UINT64_MAX - 3, &at));
    assert_int_equal(client_extent_want(k->core, 10, &w), MOB_OK);
    kit_settle(k);
    kit_expect(k, KIT_NODE, "extent_want request=2 ");
    assert_int_equal(client_extent_result(k->core, UINT64_MAX, NULL), MOB_OK);
    /* One who needs less than what was refused asks for himself. */
    KIT_SAYS(k, KIT_NODE, extent_grant, .request = 2, .code = MOB_ESTOREFULL,
             .text = view_of("9 of 10 bytes are used"));
    assert_int_equal(client_extent_result(k->core, 9, NULL), MOB_OK);
    assert_int_equal(client_extent_result(k->core, 10, NULL), MOB_ESTOREFULL);
    kit_destroy(k);
}

/* An extent that was not asked for, or lies outside the arena, is not used. */
MOB_TEST(extents_outside_are_refused)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct waiter w = {0};
    uint64_t at;
    KIT_SAYS(k, KIT_NODE, extent_grant, .request = 0, .offset = 0, .size = 4096);
    assert_int_equal(client_extent_want(k->core, 100, &w), MOB_OK);
    KIT_SAYS(k, KIT_NODE, extent_grant, .request = 2, .offset = 0, .size = 4096);
    assert_int_equal(kit_counts(k).refused, 2);
    assert_false(w.done);
    KIT_SAYS(k, KIT_NODE, extent_grant, .request = 1, .offset = KIT_ARENA - 4096, .size = 8192);
    assert_true(w.done);
    assert_int_equal(client_extent_result(k->core, UINT64_MAX, NULL), MOB_EPROTO);
    assert_false(client_place(k->core, 1, &at));
    kit_destroy(k);
}

/* Of many extents the fullest is given up. */
MOB_TEST(fullest_extent_is_given_up)
{
    struct kit *k = kit_create(KIT_DRIVER);
    uint64_t at;
    for (uint64_t i = 0; i < 9; i++) {
        struct waiter w = {0};
        assert_int_equal(client_extent_want(k->core, 100, &w), MOB_OK);
        KIT_SAYS(k, KIT_NODE, extent_grant, .request = i + 1, .offset = i * 8192,
                 .size = i == 3 ? 4096 : 8192);
        if (i == 3)
            assert_true(client_extent_of(k->core, 3 * 8192, &(uint64_t){0}, &(uint64_t){0}));
    }
    assert_false(client_extent_of(k->core, 3 * 8192, &(uint64_t){0}, &(uint64_t){0}));
    for (unsigned i = 0; i < 8; i++)
        assert_true(client_place(k->core, 8192, &at));
    assert_false(client_place(k->core, 1, &at));
    kit_destroy(k);
}

/* Those who wait for room wake when nothing works any more, and learn why. */
MOB_TEST(extent_waiters_wake_at_the_end)
{
    struct kit *k = kit_create(KIT_DRIVER);
    struct waiter w = {0};
    struct mob_err err = {0};
    assert_int_equal(client_extent_want(k->core, 100, &w), MOB_OK);
    client_fail_all(k->core, MOB_ESHUTDOWN, "over", k->now_ns);
    kit_settle(k);
    assert_true(w.done);
    assert_int_equal(client_extent_result(k->core, UINT64_MAX, &err), MOB_ESHUTDOWN);
    assert_string_equal(err.text, "over");
    assert_int_equal(client_extent_want(k->core, 100, &w), MOB_ESHUTDOWN);
    kit_destroy(k);
}

/* What was written into the arena is told to the node before it can be told to anybody. */
MOB_TEST(stored_values_are_sealed)
{
    struct kit *k = kit_create(KIT_WORKER);
    struct mob_object o;
    assert_int_equal(client_put_stored(k->core, 64, 2000, &o), MOB_OK);
    kit_settle(k);
    kit_expect(k, KIT_NODE, "object_sealed object=7.1 offset=64 size=2000");
    assert_int_equal(client_seal(k->core, kit_id(30, 4), 4096, 5000), MOB_OK);
    kit_settle(k);
    kit_expect(k, KIT_NODE, "object_sealed object=30.4 offset=4096 size=5000");
    client_drop(k->core, o);
    kit_expect_stored(k, o, 64, 2000); /* until the job ends */
    kit_destroy(k);
}

/* A value above the inline limit is refused; memory tied to an object goes with it. */
MOB_TEST(put_has_a_limit)
{
    struct kit *k = kit_create(KIT_DRIVER);
    char bytes[KIT_INLINE_MAX + 1] = {0};
    struct view pieces[] = {{bytes, KIT_INLINE_MAX - 1}, {bytes, 1}, {bytes, 1}};
    struct mob_object o;
    assert_int_equal(client_put_inline(k->core, pieces, 3, &o), MOB_ETOOBIG);
    assert_int_equal(client_put_inline(k->core, pieces, 2, &o), MOB_OK);
    struct value v;
    assert_int_equal(client_look(k->core, o, &v), OBJECT_SETTLED);
    assert_int_equal(v.bytes.size, KIT_INLINE_MAX);
    assert_non_null(client_scratch(k->core, o, 100));
    assert_non_null(client_scratch(k->core, o, 0));
    client_drop(k->core, o);
    assert_null(client_scratch(k->core, o, 100));
    kit_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiter_wakes_at_k_of_n),
        cmocka_unit_test(settled_objects_wake_at_once),
        cmocka_unit_test(unwatched_waiter_is_forgotten),
        cmocka_unit_test(watched_object_stays_until_unwatched),
        cmocka_unit_test(several_waiters_of_one_object),
        cmocka_unit_test(completions_come_in_order),
        cmocka_unit_test(borrowed_object_is_asked_for_once),
        cmocka_unit_test(task_awaits_a_borrowed_object),
        cmocka_unit_test(forged_values_have_no_effect),
        cmocka_unit_test(answer_that_is_no_value_fails),
        cmocka_unit_test(lost_owner_fails_its_objects),
        cmocka_unit_test(closed_ring_is_no_lost_owner),
        cmocka_unit_test(own_reference_comes_home),
        cmocka_unit_test(remote_readers_are_answered),
        cmocka_unit_test(unknown_object_is_answered),
        cmocka_unit_test(extent_is_filled),
        cmocka_unit_test(full_store_is_said),
        cmocka_unit_test(extents_outside_are_refused),
        cmocka_unit_test(fullest_extent_is_given_up),
        cmocka_unit_test(extent_waiters_wake_at_the_end),
        cmocka_unit_test(stored_values_are_sealed),
        cmocka_unit_test(put_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
