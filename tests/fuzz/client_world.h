/* client_world.h: a client's core with tasks, leases, borrowed objects and runs, for the targets
 * that say something to it. Included by one target each. Runs on: one thread. */
#ifndef MOB_FUZZ_CLIENT_WORLD_H
#define MOB_FUZZ_CLIENT_WORLD_H
#include <stdio.h>

#include "libclient/core.h"
#include "tests/fuzz/steps.h"

enum { SELF = 7, WORKER_1 = 20, WORKER_2 = 21, OTHER = 30 };

struct client_world {
    struct client *core;
    uint64_t now_ns;
    struct run *run;
    bool blocked;
    struct waiter waiters[4], extent_waiter;
    struct watch watches[4];
};

static inline void world_settle(struct client_world *w)
{
    struct mob_err err = {0};
    struct client_effect e;
    while (client_next_effect(w->core, &e)) {
        if (e.kind == CLIENT_DRAIN_PEER)
            client_lost(w->core, e.process, w->now_ns);
        if (e.kind == CLIENT_FAILED)
            client_fail_all(w->core, e.code, "failed", w->now_ns);
    }
    while (client_next_woken(w->core) != NULL)
        continue;
    for (struct peer *p; (p = outbox_take(client_outbox(w->core))) != NULL;)
        peer_gone(p, peer_backlog(p));
    if (!client_check(w->core, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

#define WORLD_NODE_SAYS(w, name, ...)                                                              \
    do {                                                                                           \
        struct buffer said_ = {0};                                                                 \
        if (msg_##name##_pack(&said_, (&(struct msg_##name){__VA_ARGS__})) != MOB_OK)              \
            abort();                                                                               \
        client_on_node((w)->core, (struct view){buffer_head(&said_), buffer_size(&said_)},         \
                       (w)->now_ns);                                                               \
        buffer_fini(&said_);                                                                       \
        world_settle(w);                                                                           \
    } while (0)

static inline void world_submit(struct client_world *w, uint32_t results, struct mob_object arg)
{
    struct submit_arg args[2] = {{.kind = SUBMIT_AWAIT, .object = arg},
                                 {.kind = SUBMIT_REF, .object = arg}};
    struct submit s = {.function = 3,
                       .name = "f",
                       .file = "f.c",
                       .retries = 1,
                       .result_count = results,
                       .arg_count = arg.seq != 0 ? 2 : 0,
                       .args = args};
    struct mob_object first;
    if (client_submit(w->core, &s, &first, w->now_ns, NULL) == MOB_OK &&
        client_borrow(w->core, (struct mob_object){OTHER, first.seq}) != MOB_OK)
        abort();
    world_settle(w);
}

/* Small numbers everywhere, so that what is made up may hit what is there: tasks and objects 1..,
 * leases 1 and 2. */
static inline void world_start(struct client_world *w, bool worker)
{
    const struct client_config config = {.worker = worker,
                                         .self = {SELF},
                                         .inline_max = 1000,
                                         .arena_bytes = 1 << 20,
                                         .cpus = 20000,
                                         .retries = 2,
                                         .lease_idle_ns = 1000,
                                         .window_ns = 1000000};
    *w = (struct client_world){.now_ns = 1};
    if (client_create(&w->core, &config, NULL) != MOB_OK)
        abort();
    const uint64_t peers[] = {WORKER_1, WORKER_2, OTHER};
    for (unsigned i = 0; i < 3; i++)
        WORLD_NODE_SAYS(w, peer_open, .process = peers[i]);
    WORLD_NODE_SAYS(w, lease_grant, .lease = 1, .worker = WORKER_1);
    WORLD_NODE_SAYS(w, lease_grant, .lease = 2, .worker = WORKER_2);
    for (uint32_t i = 0; i < 3; i++)
        world_submit(w, i, (struct mob_object){0});
    world_submit(w, 1, (struct mob_object){SELF, 1});
    world_submit(w, 1, (struct mob_object){OTHER, 1});
    for (unsigned i = 0; i < 4; i++) {
        w->waiters[i].needed = 1;
        struct mob_object id = {i < 2 ? SELF : OTHER, i % 2 + 1};
        if (client_watch(w->core, id, &w->watches[i], &w->waiters[i], w->now_ns) != MOB_OK)
            abort();
    }
    if (client_extent_want(w->core, 100, &w->extent_waiter) != MOB_OK)
        abort();
    world_settle(w);
}

static inline void world_run(struct client_world *w)
{
    if (w->run == NULL) {
        w->run = client_run_next(w->core, w->now_ns);
    } else if (w->blocked) {
        client_unblocked(w->core, w->now_ns);
        w->blocked = false;
    } else if (w->now_ns % 3 == 0) {
        client_blocked(w->core, w->now_ns);
        w->blocked = true;
    } else {
        struct msg_list none = {0};
        if (client_run_done(w->core, w->run, &none, NULL, 1, w->now_ns) != MOB_OK)
            abort();
        w->run = NULL;
    }
    world_settle(w);
}

/* What a step does besides saying something. */
static inline void world_step(struct client_world *w, unsigned what)
{
    w->now_ns += what;
    switch (what % 4) {
    case 0:
        client_tick(w->core, w->now_ns);
        break;
    case 1:
        world_submit(w, what % 3, (struct mob_object){SELF, what});
        break;
    default:
        world_run(w);
    }
    world_settle(w);
}

static inline void world_end(struct client_world *w)
{
    client_destroy(w->core);
}
#endif
