/* core_kit.h: a client's core with nothing around it: calls and messages are said, and what comes
 * out is read as lines.
 *
 *     struct kit *k = kit_create(KIT_DRIVER);
 *     kit_worker(k, 20, 1);                                  the node connects worker 20 and grants
 * lease 1 struct mob_object r = kit_submit(k, &(struct kit_call){.results = 1}); kit_expect(k, 20,
 * "task_run task=1 attempt=0"); KIT_SAYS(k, 20, task_done, .task = 1, .results = kit_results(k,
 * "7")); kit_expect_value(k, r, "7");
 *
 * After every event the invariants are checked and all that came out is taken: messages per
 * receiver, effects apart. In a pattern * stands for anything, and so does what follows its end.
 * Peers are drained at once, unless `holds_drains`. Needs tests/support/test.h before it. */
#ifndef MOB_TEST_SUPPORT_CORE_KIT_H
#define MOB_TEST_SUPPORT_CORE_KIT_H
#include "libclient/core.h"

enum { KIT_NODE = 0, KIT_SELF = 7, KIT_INLINE_MAX = 1000, KIT_ARENA = 1 << 20 };
enum kit_role { KIT_DRIVER, KIT_WORKER };

struct kit_line {
    struct kit_line *next;
    uint64_t to;
    char text[500];
};

struct kit {
    struct client *core;
    struct client_config config;
    uint64_t now_ns;
    struct kit_line *lines, *effects; /* in order */
    bool holds_drains;                /* the test calls client_lost by itself */
    bool quiet;                       /* keep no lines */
    uint64_t fail_in;                 /* the core's n-th allocation from now fails; 0: none */
    bool fault_fired;                 /* it did */
    bool failed;                      /* CLIENT_FAILED came out */
    struct buffer packed[8];          /* what kit_results and others gave lately */
    unsigned packed_next;
    /* For programs of their own: called for each message that comes out. */
    void (*on_message)(void *ctx, uint64_t to, struct cursor *c, const struct message_head *head);
    void *ctx;
};

/* A node of two cpus; an unused lease goes back after 1 ms, and 1 ms of work may wait at a worker;
 * 2 retries. */
struct client_config kit_config(enum kit_role role);
struct kit *kit_create(enum kit_role role);
struct kit *kit_create_with(const struct client_config *config);
void kit_destroy(struct kit *k);
/* The invariants hold; take messages and effects out. */
void kit_settle(struct kit *k);
void kit_wait(struct kit *k, uint64_t ns); /* time passes, with a tick at its end */

/* Around a call of the core: its allocations count. */
void kit_enter(struct kit *k);
void kit_leave(struct kit *k);
#define KIT_CALL(k, call)                                                                          \
    do {                                                                                           \
        kit_enter(k);                                                                              \
        call;                                                                                      \
        kit_leave(k);                                                                              \
    } while (0)
/* Give a frame from a process, or from KIT_NODE. */
void kit_frame(struct kit *k, uint64_t from, const struct buffer *b);
/* The same, wrapped by the node. */
void kit_forwarded(struct kit *k, uint64_t from, const struct buffer *b);
#define KIT_PACK_AND(give, k, from, name, ...)                                                     \
    do {                                                                                           \
        struct buffer said_ = {0};                                                                 \
        assert_int_equal(msg_##name##_pack(&said_, (&(struct msg_##name){__VA_ARGS__})), MOB_OK);  \
        give((k), (from), &said_);                                                                 \
        buffer_fini(&said_);                                                                       \
    } while (0)
#define KIT_SAYS(k, from, name, ...)      KIT_PACK_AND(kit_frame, k, from, name, __VA_ARGS__)
#define KIT_FORWARDED(k, from, name, ...) KIT_PACK_AND(kit_forwarded, k, from, name, __VA_ARGS__)

/* The node opens the ring pair with the process; grants it as a worker, too. Lines are taken. */
void kit_peer(struct kit *k, uint64_t process);
void kit_worker(struct kit *k, uint64_t process, uint64_t lease);
/* The worker of the lease has died while it ran the task (0: none); the node says all that it says
 * then. Effects are taken, unless drains are held. */
void kit_worker_dies(struct kit *k, uint64_t process, uint64_t lease, uint64_t running);

/* A call; arguments are texts: "value", or one of KIT_AWAIT(o), KIT_REF(o). */
struct kit_call {
    uint32_t results;
    int32_t retries;   /* 0: the default; -1: none */
    uint64_t function; /* 0: 5 */
    uint32_t arg_count;
    struct kit_arg {
        enum submit_kind kind;
        struct mob_object object;
        bool moved;
        const char *text;
    } args[6];
};
#define KIT_VALUE(t)                                                                               \
    {                                                                                              \
        .kind = SUBMIT_VALUE, .text = (t)                                                          \
    }
#define KIT_AWAIT(o)                                                                               \
    {                                                                                              \
        .kind = SUBMIT_AWAIT, .object = (o)                                                        \
    }
#define KIT_REF(o)                                                                                 \
    {                                                                                              \
        .kind = SUBMIT_REF, .object = (o)                                                          \
    }
#define KIT_MOVED(o)                                                                               \
    {                                                                                              \
        .kind = SUBMIT_AWAIT, .object = (o), .moved = true                                         \
    }
int kit_submit_rc(struct kit *k, const struct kit_call *call, struct mob_object *first);
struct mob_object kit_submit(struct kit *k, const struct kit_call *call); /* must succeed */
struct mob_object kit_put(struct kit *k, const char *text);
struct mob_object kit_id(uint64_t owner, uint64_t seq);

/* Lists for messages; valid until eight more were made. */
struct msg_list kit_results(struct kit *k, const char *text); /* one, inline */
struct msg_list kit_two_results(struct kit *k, const char *a, const char *b);
struct msg_list kit_stored_result(struct kit *k, uint64_t offset, uint64_t size);
struct msg_list kit_error(struct kit *k, int code, const char *text);
struct msg_list kit_ref_args(struct kit *k, const struct mob_object *refs, uint32_t count);

/* What is known of an object. */
void kit_expect_value(struct kit *k, struct mob_object id, const char *text);
void kit_expect_stored(struct kit *k, struct mob_object id, uint64_t offset, uint64_t size);
/* It failed; its chain of causes matches, one pattern "CODE text" for each frame, ended by NULL. */
void kit_expect_failed(struct kit *k, struct mob_object id, ...) __attribute__((sentinel));
void kit_expect_pending(struct kit *k, struct mob_object id);
void kit_expect_absent(struct kit *k, struct mob_object id);

/* The next line for `to`, or the next effect, matches. */
void kit_expect(struct kit *k, uint64_t to, const char *pattern);
void kit_expect_effect(struct kit *k, const char *pattern);
void kit_expect_nothing(struct kit *k, uint64_t to);
void kit_expect_no_effect(struct kit *k);
/* How many lines for `to` match; they are taken out with all others for it. */
unsigned kit_taken(struct kit *k, uint64_t to, const char *pattern);
void kit_forget(struct kit *k);
struct client_counts kit_counts(const struct kit *k);
#endif
