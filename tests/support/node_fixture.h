/* node_fixture.h: a node's core with nothing around it: events are said, and what comes out is read
 * as lines.
 *
 *     struct fixture *f = fixture_create(&(struct node_config){.cpus = 2 * CPU, ...});
 *     struct mob_process driver = fixture_driver(f);
 *     SAY(f, driver, lease_want, .count = 1);
 *     expect(f, driver, "lease_grant lease=1 worker=3");
 *
 * After every event the invariants are checked and all that came out is taken: messages per
 * receiver, effects apart. Needs tests/support/test.h before it. */
#ifndef MOB_TEST_SUPPORT_NODE_FIXTURE_H
#define MOB_TEST_SUPPORT_NODE_FIXTURE_H
#include "node/core.h"

struct fixture {
    struct node_core *core;
    struct node_config config;
    uint64_t now_ms;
    struct fixture_line *lines, *effects; /* in order */
    uint64_t jobs;                        /* that the fixture has given ids to */
    bool quiet;                           /* keep no lines, give none back */
    /* For programs of their own: called for each effect, and for each message before it becomes a
     * line. */
    void (*on_effect)(void *ctx, const struct node_effect *e);
    void (*on_message)(void *ctx, struct mob_process to, struct cursor *c,
                       const struct message_head *head);
    void *ctx;
};

/* The head in expect() and say. */
#define HEAD ((struct mob_process){0})

/* Two cpus, a store of 1 MiB, workers_max 4; change what the test is about. */
struct node_config fixture_config(void);
/* A core that the head has welcomed with process ids from 1. */
struct fixture *fixture_create(const struct node_config *config);
void fixture_destroy(struct fixture *f);
/* The invariants hold; take messages and effects out. */
void fixture_settle(struct fixture *f);
void fixture_wait(struct fixture *f, uint64_t ms); /* time passes, with a tick at each deadline */

/* A driver whose job the head made durable; its job's id is fixture_job_of. Its messages so far are
 * taken. */
struct mob_process fixture_driver(struct fixture *f);
/* The head's answer to the newest job_start of `driver`. */
void fixture_job_started(struct fixture *f, uint64_t request, uint64_t job, uint64_t cpus);
/* The zygote is ready and all workers that were wanted come; returns the number. Their lines are
 * taken. */
unsigned fixture_workers(struct fixture *f, uint64_t job);
void fixture_ready(struct fixture *f, struct mob_process worker);
void fixture_exit(struct fixture *f, struct mob_process worker, const struct worker_exit *exit);
/* Give a frame from a client, or from HEAD; the core returns `rc`. */
void fixture_frame(struct fixture *f, struct mob_process from, const struct buffer *b, int rc);

/* The next line for `to`, or the next effect, begins with this text. */
void expect(struct fixture *f, struct mob_process to, const char *line);
void expect_effect(struct fixture *f, const char *line);
/* There is no line for `to` any more, or none that begins with `start`. */
void expect_nothing(struct fixture *f, struct mob_process to);
void expect_no(struct fixture *f, struct mob_process to, const char *start);
void expect_no_effect(struct fixture *f);
/* How many lines for `to`, or effects, begin so; they are taken out with all before them. */
unsigned taken(struct fixture *f, struct mob_process to, const char *start);
unsigned taken_effects(struct fixture *f, const char *start);
void forget_lines(struct fixture *f);
struct node_counts fixture_counts(const struct fixture *f);

/* The process (or HEAD) sends one message; the core returns MOB_OK, or `rc`. */
#define SAY(f, from, name, ...) SAY_FAILS(f, from, MOB_OK, name, __VA_ARGS__)
#define SAY_FAILS(f, from, rc, name, ...)                                                          \
    do {                                                                                           \
        struct buffer said_ = {0};                                                                 \
        assert_int_equal(msg_##name##_pack(&said_, (&(struct msg_##name){__VA_ARGS__})), MOB_OK);  \
        fixture_frame((f), (from), &said_, (rc));                                                  \
        buffer_fini(&said_);                                                                       \
    } while (0)
#endif
