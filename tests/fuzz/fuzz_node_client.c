/* What drivers and workers may say to their node. */
#define FUZZ_CHANNEL CHANNEL_CLIENT_NODE
#include <stdio.h>

#include "node/core.h"
#include "tests/fuzz/steps.h"

enum { WORKERS = 3, CLIENTS_MAX = 32 };

struct node_world {
    struct node_core *core;
    uint64_t now_ms, jobs;
    struct mob_process clients[CLIENTS_MAX]; /* those that were introduced, drivers among them */
    bool driver[CLIENTS_MAX];
    unsigned count;
};

static void settle(struct node_world *w);

static void head_says_job_started(struct node_world *w, uint64_t request)
{
    struct buffer b = {0};
    struct msg_job_started m = {.request = request, .job = ++w->jobs, .cpus = 2 * CPU};
    if (msg_job_started_pack(&b, &m) != MOB_OK)
        abort();
    if (node_core_on_head(w->core, (struct view){buffer_head(&b), buffer_size(&b)}, w->now_ms) !=
        MOB_OK)
        abort();
    buffer_fini(&b);
}

static void hear_head(struct node_world *w, struct view frame)
{
    struct cursor c = cursor_of(frame.data, frame.size);
    struct message_head head;
    while (message_next(&c, &head)) {
        struct msg_job_start m;
        if (head.number == MSG_job_start && msg_job_start_unpack(&c, &head, &m))
            head_says_job_started(w, m.request);
        else
            message_skip(&c, &head);
    }
}

static void client_add(struct node_world *w, struct mob_process process, bool driver)
{
    if (w->count < CLIENTS_MAX) {
        w->clients[w->count] = process;
        w->driver[w->count++] = driver;
    }
}

static void ready(struct node_world *w, struct mob_process process)
{
    struct buffer b = {0};
    struct peer *p = node_core_client(w->core, process);
    node_core_worker_forked(w->core, process, 100 + process.v, w->now_ms);
    if (p == NULL || msg_worker_ready_pack(&b, &(struct msg_worker_ready){1}) != MOB_OK)
        abort();
    if (node_core_on_client(w->core, p, (struct view){buffer_head(&b), buffer_size(&b)},
                            w->now_ms) != MOB_OK)
        abort();
    buffer_fini(&b);
}

/* Do what the shell would, until there is nothing more to do. */
static void settle(struct node_world *w)
{
    struct mob_err err = {0};
    struct mob_process forked[CLIENTS_MAX], killed[CLIENTS_MAX];
    unsigned forks = 0, kills = 0;
    if (!node_core_check(w->core, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    struct node_effect e;
    while (node_core_next_effect(w->core, &e)) {
        if (e.kind == NODE_WELCOME)
            client_add(w, e.process, true);
        if (e.kind == NODE_START_ZYGOTE)
            node_core_zygote_ready(w->core, e.job, w->now_ms);
        if (e.kind == NODE_FORK_WORKER && forks < CLIENTS_MAX)
            forked[forks++] = e.process;
        if (e.kind == NODE_KILL && kills < CLIENTS_MAX)
            killed[kills++] = e.process;
    }
    for (struct peer *p; (p = outbox_take(node_core_outbox(w->core))) != NULL;) {
        struct view frame;
        while (peer_first_frame(p, &frame)) {
            if (p == node_core_head(w->core))
                hear_head(w, frame);
            peer_gone(p, FRAME_HEAD_SIZE + frame.size);
        }
    }
    for (unsigned i = 0; i < forks; i++)
        if (node_core_client(w->core, forked[i]) != NULL) {
            client_add(w, forked[i], false);
            ready(w, forked[i]);
        }
    for (unsigned i = 0; i < kills; i++)
        node_core_worker_exited(w->core, killed[i],
                                &(struct worker_exit){.signal = 9, .code = MOB_EWORKERDIED},
                                w->now_ms);
    if (forks + kills > 0)
        settle(w);
}

static void start(struct node_world *w)
{
    const struct node_config config = {.cpus = 2 * CPU,
                                       .store_bytes = 1 << 20,
                                       .page_bytes = 4096,
                                       .extent_bytes = 64 << 10,
                                       .workers_max = WORKERS,
                                       .clients_max = 8,
                                       .inline_max = 1000,
                                       .retries = 3,
                                       .idle_worker_ms = 100,
                                       .load_ms = 1000,
                                       .start_worker_ms = 1000};
    *w = (struct node_world){.now_ms = 1000};
    if (node_core_create(&w->core, &config, NULL) != MOB_OK)
        abort();
    node_core_welcomed(w->core,
                       &(struct msg_node_welcome){
                           .epoch = 1, .node = 5, .process_first = 1, .process_count = 1000},
                       w->now_ms);
    for (unsigned i = 0; i < 2; i++) {
        const struct msg_client_hello hello = {
            .version = PROTOCOL_VERSION, .pid = 7, .program = view_of("/bin/p")};
        if (node_core_driver_hello(w->core, &hello, 1000, w->now_ms, NULL).v == 0)
            abort();
        settle(w);
        settle(w);
    }
    struct buffer b = {0};
    struct peer *p = node_core_client(w->core, w->clients[0]);
    if (p == NULL || msg_lease_want_pack(&b, &(struct msg_lease_want){.count = 2}) != MOB_OK ||
        node_core_on_client(w->core, p, (struct view){buffer_head(&b), buffer_size(&b)},
                            w->now_ms) != MOB_OK)
        abort();
    buffer_fini(&b);
    settle(w);
}

static void broken(struct node_world *w, unsigned i)
{
    if (w->driver[i])
        node_core_driver_gone(w->core, w->clients[i], w->now_ms);
    else
        node_core_worker_exited(w->core, w->clients[i],
                                &(struct worker_exit){.signal = 9, .code = MOB_EWORKERDIED},
                                w->now_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct node_world w;
    struct step s;
    start(&w);
    while (step_next(&data, &size, &s)) {
        unsigned i = s.what % w.count;
        struct peer *p = node_core_client(w.core, w.clients[i]);
        if (p != NULL && node_core_on_client(w.core, p, step_frame(&s), w.now_ms) != MOB_OK)
            broken(&w, i);
        settle(&w);
        if (s.what >= 128) {
            w.now_ms += s.what;
            node_core_tick(w.core, w.now_ms);
            settle(&w);
        }
        free(s.bytes);
    }
    node_core_destroy(w.core);
    return 0;
}
