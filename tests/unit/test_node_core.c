/* The node's core: who comes, who goes, who hears of what, and what is refused. */
#include "tests/support/test.h"

#include "tests/support/node_fixture.h"

/* Ids as they come out in a fixture with one driver: it is 1, its first workers are 2, 3, ... */
static const struct mob_process D = {1}, A = {2}, B = {3};

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

/* ---- greeting ---- */

/* A driver is welcomed when the head has made its job durable, and not before; then the zygote
 * starts, and when that is ready as many workers as there are cpus. */
MOB_TEST(node_driver_comes)
{
    struct node_config config = fixture_config();
    struct fixture *f = fixture_create(&config);
    struct buffer list = {0};
    assert_int_equal(msg_string_pack_item(&list, &(struct msg_string){view_of("prog")}), MOB_OK);
    assert_int_equal(msg_string_pack_item(&list, &(struct msg_string){view_of("-x")}), MOB_OK);
    const struct msg_client_hello hello = {.version = PROTOCOL_VERSION,
                                           .pid = 77,
                                           .program = view_of("/bin/prog"),
                                           .arguments = {2, list.data, buffer_size(&list)}};
    struct mob_process d = node_core_driver_hello(f->core, &hello, 1000, f->now_ms, NULL);
    buffer_fini(&list);
    fixture_settle(f);
    assert_int_equal(d.v, 1);
    expect(f, HEAD, "job_start request=1 driver=1 pid=77 uid=1000 command=\"prog -x\"");
    expect_no_effect(f);
    struct msg_client_welcome welcome;
    assert_int_equal(node_core_fill_welcome(f->core, d, &welcome, NULL), MOB_ENOTFOUND);
    SAY(f, HEAD, job_started, .request = 1, .job = 9, .cpus = 2 * CPU);
    expect_effect(f, "start_zygote job=9");
    expect_effect(f, "welcome job=9 process=1");
    expect_no_effect(f);
    assert_int_equal(node_core_fill_welcome(f->core, d, &welcome, NULL), MOB_OK);
    assert_int_equal(welcome.job, 9);
    assert_int_equal(welcome.node, 5);
    assert_int_equal(welcome.arena_bytes, 1 << 20);
    assert_memory_equal(node_core_package(f->core, (struct mob_job){9})->program.data, "/bin/prog",
                        9);
    node_core_zygote_ready(f->core, (struct mob_job){9}, f->now_ms);
    fixture_settle(f);
    expect_effect(f, "fork_worker job=9 process=2");
    expect_effect(f, "fork_worker job=9 process=3");
    expect_no_effect(f);
    fixture_destroy(f);
}

/* A driver of another version, without a program, or above clients_max is refused with the reason.
 */
MOB_TEST(node_driver_is_refused)
{
    struct node_config config = fixture_config();
    config.clients_max = 3;
    struct fixture *f = fixture_create(&config);
    struct mob_err err;
    struct msg_client_hello hello = {.version = PROTOCOL_VERSION + 1, .program = view_of("p")};
    assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, &err).v, 0);
    assert_int_equal(err.code, MOB_EVERSION);
    hello = (struct msg_client_hello){.version = PROTOCOL_VERSION};
    assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, &err).v, 0);
    assert_int_equal(err.code, MOB_EINVAL);
    hello.program = (struct view){"a\0b", 3};
    assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, &err).v, 0);
    assert_int_equal(err.code, MOB_EINVAL);
    fixture_driver(f); /* with its two workers to come, the table is full */
    hello.program = view_of("p");
    assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, &err).v, 0);
    assert_int_equal(err.code, MOB_ELIMIT);
    fixture_settle(f);
    fixture_destroy(f);
}

/* More process ids are asked for once, in time; a driver that finds none is told to come again. */
MOB_TEST(node_ids_are_asked_for)
{
    struct node_config config = fixture_config();
    struct fixture *f = fixture_create(&config);
    node_core_welcomed(
        f->core,
        &(struct msg_node_welcome){.epoch = 1, .node = 6, .process_first = 1, .process_count = 4},
        0);
    const struct msg_client_hello hello = {.version = PROTOCOL_VERSION, .program = view_of("p")};
    struct mob_err err;
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, &err).v, i);
    assert_int_equal(node_core_ids_left(f->core), 0);
    assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, &err).v, 0);
    assert_int_equal(err.code, MOB_EAGAIN);
    fixture_settle(f);
    expect(f, HEAD, "node_load");
    for (int i = 0; i < 3; i++)
        expect(f, HEAD, "job_start");
    expect(f, HEAD, "process_block_want request=4");
    expect(f, HEAD, "job_start");
    expect_nothing(f, HEAD);
    SAY(f, HEAD, process_block, .request = 3, .first = 50, .count = 10);
    assert_int_equal(node_core_ids_left(f->core), 0);
    SAY(f, HEAD, process_block, .request = 4, .first = 0,
        .count = 0); /* none now: asked again later */
    expect_nothing(f, HEAD);
    fixture_wait(f, 1000);
    expect(f, HEAD, "process_block_want request=6");
    SAY(f, HEAD, process_block, .request = 6, .first = 60, .count = 10);
    SAY(f, HEAD, process_block, .request = 6, .first = 60, .count = 10);
    assert_int_equal(fixture_counts(f).refused_messages, 0);
    assert_int_equal(node_core_ids_left(f->core), 10);
    assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, &err).v, 60);
    fixture_settle(f);
    fixture_destroy(f);
}

/* A driver that leaves before the head has answered leaves a job that is ended as soon as it has an
 * id. */
MOB_TEST(node_driver_leaves_early)
{
    struct node_config config = fixture_config();
    struct fixture *f = fixture_create(&config);
    const struct msg_client_hello hello = {.version = PROTOCOL_VERSION, .program = view_of("p")};
    struct mob_process d = node_core_driver_hello(f->core, &hello, 0, 0, NULL);
    node_core_driver_gone(f->core, d, 0);
    fixture_settle(f);
    expect(f, HEAD, "job_start request=1");
    SAY(f, HEAD, job_started, .request = 1, .job = 9, .cpus = CPU);
    expect(f, HEAD, "job_end job=9");
    expect_no_effect(f);
    fixture_destroy(f);
}

/* When the head welcomes the node again, open questions are asked again under the same numbers, and
 * the ids that it has used stay used. */
MOB_TEST(node_asks_again_after_a_new_welcome)
{
    struct node_config config = fixture_config();
    struct fixture *f = fixture_create(&config);
    const struct msg_client_hello hello = {.version = PROTOCOL_VERSION, .program = view_of("p")};
    node_core_driver_hello(f->core, &hello, 0, 0, NULL);
    fixture_settle(f);
    expect(f, HEAD, "job_start request=1");
    node_core_welcomed(
        f->core, &(struct msg_node_welcome){.node = 5, .process_first = 1, .process_count = 1000},
        0);
    fixture_settle(f);
    expect(f, HEAD, "job_start request=1");
    SAY(f, HEAD, job_started, .request = 1, .job = 9, .cpus = CPU);
    SAY(f, HEAD, job_started, .request = 1, .job = 9, .cpus = CPU);
    assert_int_equal(fixture_counts(f).jobs, 1);
    assert_int_equal(node_core_driver_hello(f->core, &hello, 0, 0, NULL).v,
                     2); /* no id is given twice */
    fixture_destroy(f);
}

/* ---- ends ---- */

/* When a worker dies its submitter learns what was running, everybody else that it is gone, and the
 * head gets a row. */
MOB_TEST(node_worker_dies)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 1);
    forget_lines(f);
    const struct worker_exit crash = {.signal = 11,
                                      .running = {1, 42},
                                      .function = view_of("sum"),
                                      .tail = view_of("boo"),
                                      .code = MOB_EWORKERDIED};
    fixture_exit(f, A, &crash);
    expect(f, D,
           "lease_lost lease=1 worker=2 code=-41 signal=11 status=0 running=42 function=\"sum\" "
           "tail=\"boo\"");
    expect(f, D, "process_lost process=2");
    expect(f, D, "peer_open process=3");
    expect(f, D, "lease_grant lease=2 worker=3"); /* its wish still stands */
    expect(f, B, "process_lost process=2");
    expect_effect(f, "disconnect job=1 process=1 other=2");
    SAY(f, D, lease_return, .lease = 1); /* was under way */
    assert_int_equal(fixture_counts(f).refused_messages, 0);
    fixture_wait(f, 1);
    expect(f, HEAD, "directory_add workers=[] ended=[{ process=2 signal=11");
    fixture_exit(f, A, &killed); /* reported twice */
    fixture_destroy(f);
}

/* A worker that runs something for a submitter that has died is killed; until it is gone nothing of
 * it counts. */
MOB_TEST(node_submitter_dies)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    assert_int_equal(taken(f, A, "lease_grant lease=2 worker=3"), 1);
    forget_lines(f);
    fixture_exit(f, A, &killed);
    assert_int_equal(taken_effects(f, "kill job=1 process=3"), 1);
    expect_no(f, B, "lease");
    assert_int_equal(fixture_counts(f).leases, 0);
    SAY(f, B, lease_want, .count = 1);
    SAY(f, B, forward, .to = D.v, .body = {"x", 1});
    assert_int_equal(fixture_counts(f).refused_messages, 2);
    expect_no(f, D, "forwarded");
    assert_int_equal(fixture_counts(f).wanted_leases, 1); /* the driver's */
    fixture_exit(f, B, &killed);
    assert_int_equal(taken(f, D, "process_lost process=3"), 1);
    fixture_destroy(f);
}

/* What a worker sealed before it was killed stays: its submitter may have the result already. */
MOB_TEST(node_killed_worker_has_sealed)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, B, extent_want, .request = 1, .size = 1);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    fixture_exit(f, A, &killed);
    assert_int_equal(taken_effects(f, "kill job=1 process=3"), 1);
    SAY(f, B, object_sealed, .object = {D.v, 7}, .offset = 64, .size = 1000);
    assert_int_equal(fixture_counts(f).refused_messages, 0);
    fixture_exit(f, B, &killed);
    assert_int_equal(fixture_counts(f).store_used, 4096);
    fixture_destroy(f);
}

/* A worker that dies while it is blocked gives back nothing twice and keeps nothing. */
MOB_TEST(node_blocked_worker_dies)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, blocked, .count = 1);
    fixture_exit(f, A, &killed);
    assert_int_equal(fixture_counts(f).leased_cpus, 0);
    more_workers(f);
    assert_int_equal(fixture_counts(f).leased_cpus, CPU);
    fixture_destroy(f);
}

/* With its driver a job goes at once and as a whole: the head hears of it after the last row, the
 * shell once. */
MOB_TEST(node_driver_goes)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 2);
    SAY(f, A, lease_want, .count = 1, .depth = 1);
    SAY(f, D, extent_want, .request = 1, .size = 64);
    SAY(f, D, object_sealed, .object = {D.v, 1}, .offset = 0, .size = 64);
    forget_lines(f);
    struct peer *a = node_core_client(f->core, A);
    node_core_driver_gone(f->core, D, f->now_ms);
    struct buffer b = {0};
    assert_int_equal(msg_lease_want_pack(&b, &(struct msg_lease_want){.count = 4}), MOB_OK);
    /* What the shell had read before it took the effects is counted and ignored. */
    assert_int_equal(node_core_on_client(f->core, a, (struct view){b.data, b.end}, f->now_ms),
                     MOB_OK);
    buffer_fini(&b);
    assert_int_equal(fixture_counts(f).refused_messages, 1);
    fixture_settle(f);
    expect_effect(f, "job_gone job=1 process=1");
    expect_no_effect(f);
    expect(f, HEAD, "directory_add");
    expect(f, HEAD, "job_end job=1 code=-125");
    fixture_exit(f, A, &killed);
    assert_null(node_core_client(f->core, A));
    assert_int_equal(fixture_counts(f).workers, 0);
    assert_int_equal(fixture_counts(f).leased_cpus, 0);
    fixture_destroy(f);
}

/* A driver's goodbye ends its job with MOB_OK. */
MOB_TEST(node_driver_says_goodbye)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, goodbye, .code = MOB_OK);
    expect_effect(f, "job_gone job=1");
    assert_int_equal(taken(f, HEAD, "job_end job=1 code=0"), 1);
    fixture_destroy(f);
}

/* ---- store ---- */

/* Extents come at once or not at all, with the numbers. */
MOB_TEST(node_store_full)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, D, extent_want, .request = 1, .size = 1);
    expect(f, D, "extent_grant request=1 code=0 offset=0 size=65536");
    SAY(f, D, extent_want, .request = 2, .size = 2 << 20);
    expect(f, D,
           "extent_grant request=2 code=-80 offset=0 size=0 text=\"2097152 bytes are wanted; of "
           "the 1048576 bytes");
    SAY(f, A, extent_want, .request = 1, .size = 900000);
    expect(f, A, "extent_grant request=1 code=0 offset=65536 size=901120");
    assert_int_equal(fixture_counts(f).store_used, 65536 + 901120);
    fixture_exit(f, A, &killed);
    assert_int_equal(fixture_counts(f).store_used, 65536);
    fixture_destroy(f);
}

/* A sealed object gives a row, in one batch with its neighbours, and stays when its writer dies;
 * one that is not in the writer's own extent, not aligned, or of an owner of another job is
 * refused. */
MOB_TEST(node_seals_objects)
{
    struct fixture *f = cluster(1, 4);
    struct mob_process second = fixture_driver(f);
    SAY(f, A, extent_want, .request = 1, .size = 1);
    SAY(f, D, extent_want, .request = 1, .size = 1);
    fixture_wait(f, 1);
    forget_lines(f);
    SAY(f, A, object_sealed, .object = {D.v, 7}, .offset = 64, .size = 1000);
    SAY(f, A, object_sealed, .object = {A.v, 1}, .offset = 2048, .size = 500);
    expect_nothing(f, HEAD);
    fixture_wait(f, 1);
    expect(f, HEAD,
           "directory_add workers=[] ended=[] objects=[{ object=1.7 job=1 size=1000 }{ object=2.1 "
           "job=1 size=500");
    SAY(f, A, object_sealed, .object = {D.v, 8}, .offset = 65536, .size = 10);
    SAY(f, A, object_sealed, .object = {D.v, 8}, .offset = 100, .size = 10);
    SAY(f, A, object_sealed, .object = {second.v, 8}, .offset = 64, .size = 10);
    SAY(f, A, object_sealed, .object = {999, 8}, .offset = 64, .size = 10);
    SAY(f, A, object_sealed, .object = {D.v, 0}, .offset = 64, .size = 10);
    SAY(f, A, object_sealed, .object = {D.v, 9}, .offset = 65472, .size = 65);
    assert_int_equal(fixture_counts(f).refused_messages, 6);
    fixture_exit(f, A, &killed);
    assert_int_equal(fixture_counts(f).store_used, 65536 + 4096);
    SAY(f, D, goodbye, .code = MOB_OK);
    assert_int_equal(fixture_counts(f).store_used, 0);
    fixture_destroy(f);
}

/* ---- forwards and output ---- */

/* A forward reaches a client of the same job with the sender's own id; for one that is gone the
 * sender hears so. */
MOB_TEST(node_forwards_inside_a_job)
{
    struct fixture *f = cluster(2, 4);
    struct mob_process second = fixture_driver(f);
    forget_lines(f);
    SAY(f, A, forward, .to = B.v, .body = {"12345", 5});
    expect(f, B, "forwarded from=2 body=<5 bytes>");
    SAY(f, A, forward, .to = 99, .body = {"x", 1});
    expect(f, A, "process_lost process=99");
    assert_int_equal(fixture_counts(f).refused_messages, 0);
    SAY(f, A, forward, .to = second.v, .body = {"x", 1});
    expect(f, A, "process_lost");
    expect_nothing(f, second);
    SAY(f, A, forward, .to = A.v, .body = {"x", 1});
    assert_int_equal(fixture_counts(f).refused_messages, 2);
    fixture_destroy(f);
}

/* A client that leaves too much unread is ended; a driver that does not read output loses that, and
 * learns how much. */
MOB_TEST(node_bounds_backlogs)
{
    struct fixture *f = cluster(2, 4);
    struct view body = {calloc(1, 4 << 20), 4 << 20};
    struct buffer b = {0};
    assert_int_equal(msg_forward_pack(&b, &(struct msg_forward){.to = B.v, .body = body}), MOB_OK);
    struct peer *a = node_core_client(f->core, A);
    for (int i = 0; i < 17; i++)
        assert_int_equal(node_core_on_client(f->core, a, (struct view){b.data, b.end}, f->now_ms),
                         MOB_OK);
    fixture_settle(f);
    assert_int_equal(taken_effects(f, "kill job=1 process=3"), 1);
    buffer_clear(&b);
    assert_int_equal(
        msg_output_pack(&b, &(struct msg_output){.stream = 1, .lines = {body.data, 3 << 20}}),
        MOB_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(node_core_on_client(f->core, a, (struct view){b.data, b.end}, f->now_ms),
                         MOB_OK);
    fixture_settle(f);
    assert_int_equal(taken(f, D, "task_output"), 2);
    SAY(f, A, output, .stream = 2, .function = view_of("f"), .task = {1, 7},
        .lines = view_of("hi\n"));
    expect(f, D,
           "task_output stream=2 function=\"\" task=0.0 process=0 lines=\"6291456 bytes of output "
           "were dropped");
    expect(f, D, "task_output stream=2 function=\"f\" task=1.7 process=2 lines=\"hi\\x0a\"");
    buffer_fini(&b);
    free((void *)(uintptr_t)body.data);
    fixture_destroy(f);
}

/* ---- pairs, idleness, load ---- */

/* Beyond the aim the ring pair that was used least recently and has no lease is taken back, on both
 * sides. */
MOB_TEST(node_closes_old_pairs)
{
    struct node_config config = fixture_config();
    config.cpus = 70 * CPU;
    config.workers_max = 80;
    config.clients_max = 100;
    struct fixture *f = fixture_create(&config);
    fixture_driver(f);
    assert_int_equal(fixture_workers(f, 1), 70);
    forget_lines(f);
    SAY(f, D, lease_want, .count = 64);
    assert_int_equal(taken_effects(f, "connect"), 64);
    SAY(f, D, lease_want, .count = 70);
    assert_int_equal(taken_effects(f, "connect"), 6);   /* all have leases: none can be closed */
    fixture_exit(f, (struct mob_process){71}, &killed); /* its successor comes */
    fixture_workers(f, 1);
    SAY(f, D, lease_want, .count = 0);
    for (uint64_t lease = 1; lease <= 71; lease++)
        SAY(f, D, lease_return, .lease = lease);
    fixture_exit(f, (struct mob_process){72}, &killed);
    for (uint64_t worker = 2; worker <= 70; worker++)
        SAY(f, (struct mob_process){worker}, blocked, .count = 1);
    forget_lines(f);
    SAY(f, D, lease_want, .count = 1);
    fixture_workers(f, 1);
    for (uint64_t worker = 2; worker < 8; worker++) {
        char line[40];
        snprintf(line, sizeof line, "peer_close process=%d", (int)worker);
        expect(f, D, line);
        assert_int_equal(taken(f, (struct mob_process){worker}, "peer_close process=1"), 1);
    }
    expect(f, D, "peer_open process=73");
    expect(f, D, "lease_grant");
    fixture_destroy(f);
}

/* Idle workers beyond the cpus are asked to end, the longest idle first; one that stays is used
 * again. */
MOB_TEST(node_stops_idle_workers)
{
    struct fixture *f = cluster(1, 4);
    SAY(f, D, lease_want, .count = 2);
    SAY(f, A, blocked, .count = 1);
    more_workers(f);
    SAY(f, D, lease_want, .count = 0);
    SAY(f, D, lease_return, .lease = 2);
    SAY(f, A, unblocked, .count = 1);
    SAY(f, D, lease_return, .lease = 1);
    forget_lines(f);
    fixture_wait(f, 4000);
    expect_no(f, B, "worker_stop");
    fixture_wait(f, 1000);
    unsigned asked_a = taken(f, A, "worker_stop"), asked_b = taken(f, B, "worker_stop");
    assert_int_equal(asked_a + asked_b, 1);
    assert_int_equal(fixture_counts(f).idle_workers, 1);
    SAY(f, D, lease_want, .count = 1);
    assert_int_equal(
        taken(f, D, asked_b != 0 ? "lease_grant lease=3 worker=2" : "lease_grant lease=3 worker=3"),
        1);
    fixture_wait(f, 1000);
    assert_int_equal(fixture_counts(f).idle_workers, 1);
    fixture_exit(f, asked_b != 0 ? B : A, &(struct worker_exit){0});
    assert_int_equal(taken(f, D, "process_lost"), 1);
    fixture_destroy(f);
}

/* The load goes once per interval, and at once when work begins or ends. */
MOB_TEST(node_reports_load)
{
    struct fixture *f = cluster(2, 4);
    fixture_wait(f, 1);
    forget_lines(f);
    fixture_wait(f, 3000);
    assert_int_equal(taken(f, HEAD, "node_load leased_cpus=0 workers=2 waiting=0 store_used=0"), 3);
    fixture_wait(f, 100);
    SAY(f, D, lease_want, .count = 3);
    expect(f, HEAD, "node_load leased_cpus=20000 workers=2 waiting=1");
    fixture_wait(f, 900);
    expect_nothing(f, HEAD);
    fixture_destroy(f);
}

/* ---- refusals ---- */

/* What a client may not say, or says of others' things, has no effect and is counted; what is no
 * message of its channel ends it. */
MOB_TEST(node_refuses_what_is_not_the_senders)
{
    struct fixture *f = cluster(2, 4);
    SAY(f, D, lease_want, .count = 1);
    SAY(f, A, lease_return, .lease = 1);
    SAY(f, D, lease_return, .lease = 9);
    SAY(f, D, lease_return, .lease = 0);
    SAY(f, D, worker_ready, .functions = 1);
    SAY(f, A, worker_ready, .functions = 1);
    SAY(f, D, output, .stream = 1, .lines = view_of("x"));
    SAY(f, A, output, .stream = 3, .lines = view_of("x"));
    assert_int_equal(fixture_counts(f).refused_messages, 7);
    assert_int_equal(fixture_counts(f).leases, 1);
    SAY_FAILS(f, A, MOB_EPROTO, lease_grant, .lease = 1, .worker = 2);
    SAY_FAILS(f, A, MOB_EPROTO, client_hello, .version = 1);
    SAY_FAILS(f, A, MOB_EPROTO, job_end, .job = 1);
    SAY_FAILS(f, HEAD, MOB_EPROTO, job_end, .job = 1);
    struct buffer b = {0};
    assert_int_equal(buffer_append(&b, "\x93\x34\xc1", 3), MOB_OK);
    fixture_frame(f, A, &b, MOB_EPROTO);
    fixture_frame(f, HEAD, &b, MOB_EPROTO);
    buffer_fini(&b);
    fixture_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_driver_comes),
        cmocka_unit_test(node_driver_is_refused),
        cmocka_unit_test(node_ids_are_asked_for),
        cmocka_unit_test(node_driver_leaves_early),
        cmocka_unit_test(node_asks_again_after_a_new_welcome),
        cmocka_unit_test(node_worker_dies),
        cmocka_unit_test(node_submitter_dies),
        cmocka_unit_test(node_killed_worker_has_sealed),
        cmocka_unit_test(node_blocked_worker_dies),
        cmocka_unit_test(node_driver_goes),
        cmocka_unit_test(node_driver_says_goodbye),
        cmocka_unit_test(node_store_full),
        cmocka_unit_test(node_seals_objects),
        cmocka_unit_test(node_forwards_inside_a_job),
        cmocka_unit_test(node_bounds_backlogs),
        cmocka_unit_test(node_closes_old_pairs),
        cmocka_unit_test(node_stops_idle_workers),
        cmocka_unit_test(node_reports_load),
        cmocka_unit_test(node_refuses_what_is_not_the_senders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
