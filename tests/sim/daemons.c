/* daemons.c: the head and the node around their cores: what head/shell.c and node/shell.c do. The
 * head's disk is a buffer; what was committed is replayed at the end and must give the same head.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "head/core.h"
#include "tests/sim/scripts.h"

enum { UID = 1000, PAGE = 4096, WELCOME_MS = 2000 };

/* A driver's hello that came while the node had no process ids. */
struct hello {
    struct hello *next;
    struct process *driver;
};

struct daemons {
    struct head_core *head;
    struct buffer journal;
    uint64_t commits;
    struct node_core *core;
    struct link link;
    uint64_t connection, sessions, incarnation;
    bool connected, welcomed;
    uint64_t session_ns;
    struct hello *hellos;
};

struct node_core *daemons_node_core(struct sim *s)
{
    return s->daemons->core;
}

static uint64_t ms(const struct sim *s)
{
    return s->now_ns / MS;
}

static void tick_schedule(struct sim *s, struct process *p, uint64_t at_ms,
                          void (*run)(struct sim *, const struct event *))
{
    uint64_t at = at_ms == UINT64_MAX ? UINT64_MAX : at_ms * MS;
    if (at >= p->tick_at)
        return;
    p->tick_at = at;
    sim_after(s, at > s->now_ns ? at - s->now_ns : 0,
              (struct event){.run = run, .process = p, .a = at});
}

uint8_t *arena_of(struct sim *s, struct mob_job job)
{
    for (struct arena *a = s->arenas; a != NULL; a = a->next)
        if (a->job == job.v)
            return a->bytes;
    struct arena *a = calloc(1, sizeof *a);
    sim_need(s, a);
    a->job = job.v;
    a->bytes = calloc(1, s->weather.store_bytes);
    sim_need(s, a->bytes);
    a->next = s->arenas;
    s->arenas = a;
    return a->bytes;
}

/* ---- the head ---- */

static void on_head_tick(struct sim *s, const struct event *e);
static void on_cut(struct sim *s, const struct event *e);

static void head_settle(struct sim *s)
{
    struct daemons *d = s->daemons;
    struct commit commit;
    struct head_effect effect;
    struct view frame;
    uint64_t connection;
    if (process_step(s, s->head))
        return;
    if (head_core_commit(d->head, &commit)) {
        if (commit.number != d->commits + 1)
            sim_fail(s, "the head commits %" PRIu64 " after %" PRIu64, commit.number, d->commits);
        d->commits = commit.number;
        if (buffer_append(&d->journal, commit.records.data, commit.records.size) != MOB_OK)
            sim_need(s, NULL);
        TRACE(s, s->head, "commits %" PRIu64 " with %" PRIu32 " records", commit.number,
              commit.count);
        head_core_committed(d->head, commit.number);
        s->head->frozen_until =
            s->now_ns + random_skewed(&s->random, 0, MS); /* the disk takes its time */
    }
    while (head_core_next_effect(d->head, &effect)) {
        TRACE(s, s->head, "%s", effect.kind == HEAD_CUT ? "cuts the connection" : effect.text);
        if (effect.kind == HEAD_CUT && s->node != NULL)
            sim_after(s, random_skewed(&s->random, 0, MS),
                      (struct event){.run = on_cut, .process = s->node, .a = effect.connection});
    }
    while (head_core_outgoing(d->head, ms(s), &connection, &frame))
        if (connection == d->connection && s->node != NULL)
            network_send(s, s->head, s->node, frame);
    tick_schedule(s, s->head, head_core_deadline(d->head), on_head_tick);
}

static void on_head_tick(struct sim *s, const struct event *e)
{
    if (s->head->tick_at != e->a)
        return;
    s->head->tick_at = UINT64_MAX;
    head_core_tick(s->daemons->head, ms(s));
    head_settle(s);
}

static void on_disconnected(struct sim *s, const struct event *e)
{
    head_core_disconnected(s->daemons->head, e->a, ms(s));
    head_settle(s);
}

/* ---- the node's connection ---- */

static void on_unwelcome(struct sim *s, const struct event *e);

static void hello_make(struct sim *s, struct buffer *b)
{
    struct msg_node_hello m = {
        .version = PROTOCOL_VERSION,
        .incarnation = s->daemons->incarnation,
        .machine = view_of("machine"),
        .local = view_of("/run/node"),
        .cpus = (uint64_t)s->weather.cpus * CPU,
        .store_bytes = s->weather.store_bytes,
    };
    if (msg_node_hello_pack(b, &m) != MOB_OK)
        sim_need(s, NULL);
}

static void session_start(struct sim *s)
{
    struct daemons *d = s->daemons;
    struct buffer hello = {0};
    hello_make(s, &hello);
    struct view view = {buffer_head(&hello), buffer_size(&hello)};
    d->sessions++;
    int rc = d->link.session == 0 ? link_init(&d->link, d->sessions, view)
                                  : link_restart(&d->link, d->sessions, view);
    if (rc != MOB_OK)
        sim_need(s, NULL);
    d->connected = true;
    d->welcomed = false;
    d->session_ns = s->now_ns;
    sim_after(s, WELCOME_MS * MS,
              (struct event){.run = on_unwelcome, .process = s->node, .a = d->sessions});
    buffer_fini(&hello);
    TRACE(s, s->node, "says hello: connection=%" PRIu64 " session=%" PRIu64, d->connection,
          d->sessions);
    node_settle(s);
}

static void connect_now(struct sim *s)
{
    s->daemons->connection++;
    session_start(s);
}

void node_new_session(struct sim *s)
{
    if (s->daemons->connected)
        session_start(s);
}

/* As node/uplink.c: the head says nothing to a node that it holds for lost, so the node must speak
 * first. */
static void on_unwelcome(struct sim *s, const struct event *e)
{
    if (s->daemons->connected && !s->daemons->welcomed && e->a == s->daemons->sessions)
        node_disconnect(s);
}

static void on_connect(struct sim *s, const struct event *e)
{
    if (!s->daemons->connected && e->a == s->daemons->connection)
        connect_now(s);
}

/* The connection is no more: the head hears of it in its time, the node comes again. */
void node_disconnect(struct sim *s)
{
    struct daemons *d = s->daemons;
    if (!d->connected)
        return;
    d->connected = false;
    TRACE(s, s->node, "is disconnected");
    if (s->head != NULL)
        sim_after(s, random_skewed(&s->random, 0, 50 * MS),
                  (struct event){.run = on_disconnected, .process = s->head, .a = d->connection});
    sim_after(s, random_skewed(&s->random, MS, 50 * MS),
              (struct event){.run = on_connect, .process = s->node, .a = d->connection});
}

static void on_cut(struct sim *s, const struct event *e)
{
    if (e->a == s->daemons->connection)
        node_disconnect(s);
}

/* Messages of the head: a welcome is the shell's, all others are the core's. */
static void head_messages(struct sim *s, struct view messages)
{
    struct daemons *d = s->daemons;
    struct cursor c = cursor_of(messages.data, messages.size);
    struct message_head head;
    sim_trace_frame(s, s->node, "head1", messages);
    while (message_next(&c, &head)) {
        struct msg_node_welcome m;
        if (head.number == MSG_node_welcome) {
            if (!msg_node_welcome_unpack(&c, &head, &m))
                sim_fail(s, "the node's welcome is malformed");
            d->welcomed = true;
            node_core_welcomed(d->core, &m, ms(s));
            continue;
        }
        message_skip(&c, &head);
        struct view one = {head.start, (size_t)(c.at - head.start)};
        if (node_core_on_head(d->core, one, ms(s)) != MOB_OK)
            sim_fail(s, "the node refuses a message of the head: %s", message_name(head.number));
    }
}

static void hellos_retry(struct sim *s);

static void node_packet(struct sim *s, struct view packet)
{
    struct daemons *d = s->daemons;
    struct msg_link link;
    struct view messages;
    if (!d->connected)
        return;
    if (!link_peek(packet, &link, &messages)) {
        sim_trace_frame(s, s->node, "head1", packet);
        node_disconnect(s); /* refused: come again */
        return;
    }
    TRACE(s, s->node, "<- head1: link session=%" PRIu64 " number=%" PRIu64 " ack=%" PRIu64,
          link.session, link.number, link.ack);
    if (link_on_frame(&d->link, packet, ms(s)) != MOB_OK)
        sim_fail(s, "the node gets a malformed frame of the link");
    while (link_next(&d->link, &messages))
        head_messages(s, messages);
    hellos_retry(s);
    node_settle(s);
}

void daemons_packet(struct sim *s, struct process *to, struct process *from, uint64_t connection,
                    struct view packet)
{
    struct msg_link link;
    struct view messages;
    if (to->kind == PROCESS_NODE) {
        /* libzmq hands out what an old connection brought even when a new one is there already
         * (protocol/transport.h): the link tells the sessions apart. */
        node_packet(s, packet);
        return;
    }
    struct sender sender = {.connection = connection, .uid = UID};
    if (link_peek(packet, &link, &messages)) {
        TRACE(s, to, "<- %s: link session=%" PRIu64 " number=%" PRIu64 " ack=%" PRIu64, from->name,
              link.session, link.number, link.ack);
        sim_trace_frame(s, to, from->name, messages);
    }
    head_core_on_frame(s->daemons->head, &sender, packet, ms(s));
    head_settle(s);
}

uint64_t daemons_connection(const struct sim *s)
{
    return s->daemons->connection;
}

/* ---- processes of the node ---- */

static void on_zygote(struct sim *s, const struct event *e)
{
    struct mob_job job = {e->a};
    if (e->b != 0) {
        s->start_failures++;
        TRACE(s, s->node, "the zygote of job %" PRIu64 " ended", job.v);
        node_core_zygote_gone(s->daemons->core, job, "the program ended before mob_init", ms(s));
    } else {
        TRACE(s, s->node, "the zygote of job %" PRIu64 " is ready", job.v);
        node_core_zygote_ready(s->daemons->core, job, ms(s));
    }
    node_settle(s);
}

/* The workers of a zygote die with it. */
void zygote_kill(struct sim *s, struct mob_job job)
{
    TRACE(s, s->node, "the zygote of job %" PRIu64 " is killed", job.v);
    for (struct process *p = s->processes; p != NULL; p = p->next)
        if (p->alive && p->kind == PROCESS_WORKER && p->job.v == job.v)
            process_die(s, p, 9);
    sim_after(s, random_skewed(&s->random, 0, 3 * MS),
              (struct event){.run = on_zygote, .process = s->node, .a = job.v, .b = 1});
}

static void on_welcome(struct sim *s, const struct event *e)
{
    struct process *p = e->process;
    const struct msg_client_welcome *m = e->owned;
    client_start(s, p, m);
}

/* A welcome on its way to a driver or, through the zygote, to a worker. */
static void welcome_send(struct sim *s, struct process *p, uint64_t delay)
{
    struct mob_err err;
    struct msg_client_welcome *m = calloc(1, sizeof *m);
    sim_need(s, m);
    if (node_core_fill_welcome(s->daemons->core, p->id, m, &err) != MOB_OK)
        sim_fail(s, "the node has no welcome for %s: %s", p->name, err.text);
    p->job = (struct mob_job){m->job};
    p->node_ring = ring_pair_make(s, s->node, (struct mob_process){0}, p, p->id);
    ring_bind(s, &p->node_ring->half[0], node_core_client(s->daemons->core, p->id));
    sim_after(s, delay, (struct event){.run = on_welcome, .process = p, .owned = m});
}

static void on_forked(struct sim *s, const struct event *e)
{
    struct process *p = e->object;
    node_core_worker_forked(s->daemons->core, p->id, p->number, ms(s));
    node_settle(s);
}

static void worker_fork(struct sim *s, struct mob_process id)
{
    struct process *p = process_create(s, PROCESS_WORKER);
    uint64_t delay = random_skewed(&s->random, 100 * US, 3 * MS);
    p->id = id;
    s->workers_alive++;
    if (s->workers_alive > s->workers_most)
        s->workers_most = s->workers_alive;
    bool faults = !faults_over(s);
    if (faults && random_chance(&s->random, s->weather.start_fails)) {
        TRACE(s, p, "will not start");
        s->start_failures++;
        welcome_send(s, p, UINT32_MAX);
        process_die(s, p, 0);
        return;
    }
    bool hangs = faults && random_chance(&s->random, s->weather.start_hangs);
    if (hangs)
        s->start_failures++;
    welcome_send(s, p, hangs ? 3600 * SECOND : delay + random_skewed(&s->random, 0, 5 * MS));
    sim_after(s, delay, (struct event){.run = on_forked, .process = s->node, .object = p});
}

static void on_kill(struct sim *s, const struct event *e)
{
    process_die(s, e->process, 9);
}

/* ---- the end of local processes ---- */

static void on_ended(struct sim *s, const struct event *e)
{
    struct daemons *d = s->daemons;
    struct process *p = e->object;
    if (p->node_ring != NULL)
        ring_drain(s, &p->node_ring->half[0]);
    TRACE(s, s->node, "hears of the end of %s", p->name);
    if (p->kind == PROCESS_DRIVER) {
        if (p->id.v != 0)
            node_core_driver_gone(d->core, p->id, ms(s));
    } else {
        struct worker_exit exit = {.signal = p->exit_signal,
                                   .running = {p->mark_owner, p->mark},
                                   .function = view_of(p->exit_signal == 11 ? "boom" : ""),
                                   .tail = view_of(p->exit_signal == 11 ? "about to crash\n" : ""),
                                   .code = p->was_ready ? MOB_EWORKERDIED : MOB_EWORKERSTART};
        node_core_worker_exited(d->core, p->id, &exit, ms(s));
    }
    p->reaped = true;
    node_settle(s);
}

void node_process_ended(struct sim *s, struct process *p)
{
    if (p->kind == PROCESS_WORKER) {
        s->workers_alive--;
        if (!p->was_ready)
            s->start_failures++;
    }
    if (s->node != NULL)
        sim_after(s, random_skewed(&s->random, 0, 3 * MS),
                  (struct event){.run = on_ended, .process = s->node, .object = p});
}

static void job_gone(struct sim *s, const struct node_effect *e)
{
    struct process *driver = process_find(s, e->process.v);
    if (driver != NULL && driver->alive && !driver->leaves)
        sim_fail(s, "the node ends the job of %s, which lives", driver->name);
    if (driver != NULL)
        process_die(s, driver, 9);
    for (struct process *p = s->processes; p != NULL; p = p->next)
        if (p->alive && p->kind == PROCESS_WORKER && p->job.v == e->job.v)
            process_die(s, p, 9);
}

/* ---- drivers ---- */

static void driver_refused(struct sim *s, struct process *p, const char *why)
{
    TRACE(s, p, "is refused: %s", why);
    p->leaves = true;
    process_die(s, p, 0);
}

static void hello_give(struct sim *s, struct process *p)
{
    struct daemons *d = s->daemons;
    struct mob_err err;
    struct msg_client_hello m = {.version = PROTOCOL_VERSION,
                                 .pid = p->number,
                                 .program = view_of("/bin/sim"),
                                 .directory = view_of("/")};
    p->id = node_core_driver_hello(d->core, &m, UID, ms(s), &err);
    TRACE(s, s->node, "the hello of %s gives process=%" PRIu64 " %s", p->name, p->id.v,
          p->id.v == 0 ? err.text : "");
    if (p->id.v == 0 && err.code == MOB_EAGAIN) {
        struct hello *h = calloc(1, sizeof *h), **at = &d->hellos;
        sim_need(s, h);
        h->driver = p;
        while (*at != NULL)
            at = &(*at)->next;
        *at = h;
    } else if (p->id.v != 0) {
        if (!faults_over(s) && random_chance(&s->random, s->weather.kill_hasty))
            sim_after(s, random_skewed(&s->random, 0, 60 * MS),
                      (struct event){.run = on_kill, .process = p});
    } else if (err.code == MOB_ELIMIT) {
        driver_refused(s, p, err.text);
    } else {
        sim_fail(s, "the node refuses a driver: %s", err.text);
    }
}

static void hellos_retry(struct sim *s)
{
    struct daemons *d = s->daemons;
    while (d->hellos != NULL && node_core_ids_left(d->core) > 0) {
        struct hello *h = d->hellos;
        struct process *p = h->driver;
        d->hellos = h->next;
        free(h);
        if (p->alive)
            hello_give(s, p);
    }
}

static void on_hello(struct sim *s, const struct event *e)
{
    struct process *p = e->object;
    if (!p->alive)
        return;
    hello_give(s, p);
    node_settle(s);
}

void node_driver_connects(struct sim *s, struct process *driver)
{
    sim_after(s, random_skewed(&s->random, 10 * US, MS),
              (struct event){.run = on_hello, .process = s->node, .object = driver});
}

/* ---- after each step of the node ---- */

static void effect_do(struct sim *s, const struct node_effect *e)
{
    static const char *const names[] = {"start zygote", "fork worker", "connect", "disconnect",
                                        "welcome",      "refuse",      "kill",    "job gone"};
    struct process *p = process_find(s, e->process.v), *other = process_find(s, e->other.v);
    TRACE(s, s->node, "effect: %s job=%" PRIu64 " process=%" PRIu64 " other=%" PRIu64,
          names[e->kind], e->job.v, e->process.v, e->other.v);
    bool faults = !faults_over(s);
    switch (e->kind) {
    case NODE_START_ZYGOTE:
        sim_after(
            s, random_skewed(&s->random, MS, 20 * MS),
            (struct event){.run = on_zygote,
                           .process = s->node,
                           .a = e->job.v,
                           .b = faults && random_chance(&s->random, s->weather.start_fails / 2)});
        break;
    case NODE_FORK_WORKER:
        if (p != NULL)
            sim_fail(s, "the process id %" PRIu64 " is given to a second process", e->process.v);
        worker_fork(s, e->process);
        break;
    case NODE_CONNECT:
        if (p == NULL || other == NULL || p->job.v != other->job.v)
            sim_fail(s, "the node connects processes that are not of one job");
        ring_pair_make(s, p, p->id, other, other->id);
        break;
    case NODE_DISCONNECT:
        ring_revoke(s, e->process, e->other);
        break;
    case NODE_WELCOME:
        welcome_send(s, p, random_skewed(&s->random, 10 * US, MS));
        break;
    case NODE_REFUSE:
        if (p->alive)
            driver_refused(s, p, e->text);
        break;
    case NODE_KILL:
        if (s->deaths == 0 && s->start_failures == 0 && s->weather.freeze_every_ns == 0)
            sim_fail(s, "the node has %s killed, and nobody has died", p->name);
        p->doomed = true;
        if (p->alive)
            sim_after(s, random_skewed(&s->random, 0, MS),
                      (struct event){.run = on_kill, .process = p});
        break;
    case NODE_JOB_GONE:
        job_gone(s, e);
        break;
    }
}

static void on_node_tick(struct sim *s, const struct event *e)
{
    if (s->node->tick_at != e->a)
        return;
    s->node->tick_at = UINT64_MAX;
    node_core_tick(s->daemons->core, ms(s));
    node_settle(s);
}

void node_settle(struct sim *s)
{
    struct daemons *d = s->daemons;
    struct node_effect e;
    struct peer *peer;
    struct view frame;
    if (process_step(s, s->node))
        return;
    while (node_core_next_effect(d->core, &e))
        effect_do(s, &e);
    while ((peer = outbox_take(node_core_outbox(d->core))) != NULL)
        if (peer != node_core_head(d->core))
            ring_flush(s, peer);
    struct peer *head = d->welcomed ? node_core_head(d->core) : NULL;
    while (d->connected && link_outgoing(&d->link, head, ms(s), &frame))
        if (s->head != NULL)
            network_send(s, s->node, s->head, frame);
    uint64_t at = node_core_deadline(d->core),
             link_at = d->connected ? link_deadline(&d->link) : UINT64_MAX;
    tick_schedule(s, s->node, at < link_at ? at : link_at, on_node_tick);
}

void node_on_frame(struct sim *s, struct peer *from, struct view frame)
{
    if (node_core_on_client(s->daemons->core, from, frame, ms(s)) != MOB_OK)
        sim_fail(s, "the node finds a frame of process %" PRIu64 " malformed", from->process.v);
}

/* ---- life ---- */

static void node_start(struct sim *s)
{
    struct daemons *d = s->daemons;
    struct mob_err err;
    struct node_config config = {
        .cpus = (uint64_t)s->weather.cpus * CPU,
        .store_bytes = s->weather.store_bytes,
        .page_bytes = PAGE,
        .extent_bytes = s->weather.extent_bytes,
        .workers_max = s->weather.workers_max,
        .clients_max = s->weather.clients_max,
        .inline_max = s->weather.inline_max,
        .retries = s->weather.retries,
        .idle_worker_ms = s->weather.idle_worker_ms,
        .load_ms = s->weather.load_ms,
        .start_worker_ms = s->weather.start_worker_ms,
    };
    s->node = process_create(s, PROCESS_NODE);
    d->incarnation = random_next(&s->random);
    if (node_core_create(&d->core, &config, &err) != MOB_OK)
        sim_fail(s, "the node cannot be created: %s", err.text);
    connect_now(s);
}

static void node_free(struct sim *s)
{
    struct daemons *d = s->daemons;
    for (struct hello *h = d->hellos, *next; h != NULL; h = next) {
        next = h->next;
        free(h);
    }
    d->hellos = NULL;
    link_fini(&d->link);
    d->link.session = 0;
    node_core_destroy(d->core);
    d->core = NULL;
}

static void on_node_start(struct sim *s, const struct event *e)
{
    (void)e;
    node_start(s);
}

/* With the node go all its local processes. */
void node_kill(struct sim *s)
{
    struct process *node = s->node;
    if (node == NULL)
        return;
    TRACE(s, node, "is killed, with all local processes");
    if (s->daemons->connected && s->head != NULL)
        sim_after(s, random_skewed(&s->random, 0, 100 * MS),
                  (struct event){
                      .run = on_disconnected, .process = s->head, .a = s->daemons->connection});
    s->daemons->connected = false;
    node->alive = false;
    s->node = NULL;
    for (struct process *p = s->processes; p != NULL; p = p->next)
        if (p->alive && (p->kind == PROCESS_DRIVER || p->kind == PROCESS_WORKER))
            process_die(s, p, 9);
    node_free(s);
    sim_after(s, random_skewed(&s->random, MS, 100 * MS), (struct event){.run = on_node_start});
}

/* A head from what the disk has. */
static struct head_core *head_make(struct sim *s)
{
    struct daemons *d = s->daemons;
    struct mob_err err;
    struct head_core *core;
    struct head_config config = {
        .access = {.own_uid = UID},
        .connections_max = 64,
        .nodes_max = 8,
        .jobs_max = 16,
        .workers_max = 4096,
        .history_max = 4,
        .objects_max = 100000,
        .blocks_max = 1000,
        .process_block = s->weather.process_block,
        .node_lost_ms = 4 * s->weather.load_ms,
        .refused_ms = 20,
    };
    if (head_core_create(&core, &config, &err) != MOB_OK ||
        head_core_replay(core, (struct view){buffer_head(&d->journal), buffer_size(&d->journal)},
                         &err) != MOB_OK)
        sim_fail(s, "the head cannot be made from its journal: %s", err.text);
    return core;
}

static void head_start(struct sim *s)
{
    struct daemons *d = s->daemons;
    s->head = process_create(s, PROCESS_HEAD);
    d->head = head_make(s);
    head_core_start(d->head, d->commits, ms(s));
    head_settle(s);
}

static void on_head_start(struct sim *s, const struct event *e)
{
    (void)e;
    head_start(s);
}

/* What was not committed is lost, and nothing of it was told to anybody. */
void head_kill(struct sim *s)
{
    if (s->head == NULL)
        return;
    TRACE(s, s->head, "is killed");
    s->head->alive = false;
    s->head = NULL;
    head_core_destroy(s->daemons->head);
    s->daemons->head = NULL;
    if (s->node != NULL)
        node_disconnect(s);
    sim_after(s, random_skewed(&s->random, MS, 100 * MS), (struct event){.run = on_head_start});
}

void daemons_create(struct sim *s)
{
    s->daemons = calloc(1, sizeof *s->daemons);
    sim_need(s, s->daemons);
    head_start(s);
    node_start(s);
}

void daemons_destroy(struct sim *s)
{
    if (s->node != NULL)
        node_free(s);
    head_core_destroy(s->daemons->head);
    buffer_fini(&s->daemons->journal);
    free(s->daemons);
}

/* ---- looking in ---- */

bool daemons_at_rest(struct sim *s, char *what, size_t size)
{
    struct node_counts n;
    struct head_counts h;
    if (s->head == NULL || s->node == NULL || !s->daemons->connected) {
        snprintf(what, size, "the node is not connected");
        return false;
    }
    node_core_counts(s->daemons->core, &n);
    head_core_counts(s->daemons->head, &h);
    snprintf(what, size,
             "node: jobs=%" PRIu64 " drivers=%" PRIu64 " workers=%" PRIu64 " leases=%" PRIu64
             " blocked=%" PRIu64 " wanted=%" PRIu64 " leased_cpus=%" PRIu64 " store_used=%" PRIu64
             "; head: nodes=%" PRIu64 " jobs=%" PRIu64 " workers=%" PRIu64 " objects=%" PRIu64,
             n.jobs, n.drivers, n.workers, n.leases, n.blocked_workers, n.wanted_leases,
             n.leased_cpus, n.store_used, h.nodes, h.jobs, h.workers, h.objects);
    return n.jobs + n.drivers + n.workers + n.leases + n.blocked_workers + n.wanted_leases +
                   n.leased_cpus + n.store_used ==
               0 &&
           h.jobs + h.workers + h.objects == 0 && h.nodes == 1;
}

void daemons_check(struct sim *s)
{
    struct mob_err err;
    if (s->node != NULL && !node_core_check(s->daemons->core, &err))
        sim_fail(s, "node_core_check: %s", err.text);
    if (s->head != NULL && !head_core_check(s->daemons->head, &err))
        sim_fail(s, "head_core_check: %s", err.text);
}

/* The head that its journal gives is the head that is. */
void daemons_replay(struct sim *s)
{
    struct daemons *d = s->daemons;
    struct head_core *again = head_make(s);
    struct buffer is = {0}, was = {0};
    if (head_core_dump(d->head, &is) != MOB_OK || head_core_dump(again, &was) != MOB_OK)
        sim_need(s, NULL);
    if (buffer_size(&is) != buffer_size(&was) ||
        memcmp(buffer_head(&is), buffer_head(&was), buffer_size(&is)) != 0)
        sim_fail(s, "the head's journal gives another head:\n%.*s\nthan there is:\n%.*s",
                 (int)buffer_size(&was), (const char *)buffer_head(&was), (int)buffer_size(&is),
                 (const char *)buffer_head(&is));
    buffer_fini(&is);
    buffer_fini(&was);
    head_core_destroy(again);
}
