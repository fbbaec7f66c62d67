/* The head's core, driven as its shell drives it: events, one commit, then what is sent. Nodes are
 * links with a script. */
#include "head/core.h"
#include "head/records.h"
#include "tests/support/test.h"

#include <inttypes.h>

enum { OWN_UID = 1000, PROCESS_BLOCK = 100 };

static struct head_config config_default(void)
{
    return (struct head_config){
        .access = {.own_uid = OWN_UID},
        .connections_max = 8,
        .nodes_max = 3,
        .jobs_max = 4,
        .workers_max = 6,
        .history_max = 2,
        .objects_max = 6,
        .blocks_max = 3,
        .process_block = PROCESS_BLOCK,
        .node_lost_ms = 10000,
        .refused_ms = 1000,
    };
}

/* The head with everything it ever committed. */
struct head {
    struct head_core *core;
    struct buffer journal;
    uint64_t commits, now_ms;
    unsigned cuts;
    uint64_t cut_last;
};

static void head_open(struct head *h, const struct head_config *config)
{
    assert_int_equal(head_core_create(&h->core, config, NULL), MOB_OK);
    struct view records = {buffer_head(&h->journal), buffer_size(&h->journal)};
    assert_int_equal(head_core_replay(h->core, records, NULL), MOB_OK);
    head_core_start(h->core, h->commits, h->now_ms);
}

static struct head head_start(void)
{
    struct head h = {.now_ms = 1000};
    struct head_config config = config_default();
    head_open(&h, &config);
    return h;
}

static struct buffer dump_of(const struct head_core *core)
{
    struct buffer text = {0};
    assert_int_equal(head_core_dump(core, &text), MOB_OK);
    assert_int_equal(buffer_append(&text, "", 1), MOB_OK);
    return text;
}

static void head_commit(struct head *h)
{
    struct commit commit;
    struct mob_err err = {0};
    if (head_core_commit(h->core, &commit)) {
        uint64_t to;
        struct view frame;
        /* Nothing leaves while a commit is open. */
        assert_false(head_core_outgoing(h->core, h->now_ms, &to, &frame));
        assert_int_equal(commit.number, h->commits + 1);
        assert_int_equal(buffer_append(&h->journal, commit.records.data, commit.records.size),
                         MOB_OK);
        head_core_committed(h->core, ++h->commits);
    }
    struct head_effect effect;
    while (head_core_next_effect(h->core, &effect))
        if (effect.kind == HEAD_CUT)
            h->cuts++, h->cut_last = effect.connection;
    if (!head_core_check(h->core, &err))
        fail_msg("%s", err.text);
}

/* A replay of all that was committed gives the same state. */
static void head_check_replay(struct head *h)
{
    struct head_config config = config_default();
    struct head_core *again;
    assert_int_equal(head_core_create(&again, &config, NULL), MOB_OK);
    struct view records = {buffer_head(&h->journal), buffer_size(&h->journal)};
    struct mob_err err = {0};
    if (head_core_replay(again, records, &err) != MOB_OK)
        fail_msg("%s", err.text);
    struct buffer live = dump_of(h->core), replayed = dump_of(again);
    assert_string_equal((char *)live.data, (char *)replayed.data);
    buffer_fini(&live);
    buffer_fini(&replayed);
    head_core_destroy(again);
}

static void head_stop(struct head *h)
{
    head_commit(h);
    head_check_replay(h);
    head_core_destroy(h->core);
    buffer_fini(&h->journal);
}

/* The head dies, and with it what was not committed; it comes back from its journal. */
static void head_crash(struct head *h)
{
    struct head_config config = config_default();
    head_core_destroy(h->core);
    head_open(h, &config);
    head_commit(h);
}

static struct head_counts counts_of(const struct head *h)
{
    struct head_counts counts;
    head_core_counts(h->core, &counts);
    return counts;
}

/* A node, or anything that claims to be one. What the head sent last is kept, one message of each
 * kind. */
struct node {
    struct sender sender;
    uint64_t incarnation;
    const char *local;
    uint32_t version;
    struct view token;
    struct outbox outbox;
    struct peer peer;
    struct link link;
    uint64_t session;
    struct msg_node_welcome welcome;
    struct msg_job_started started;
    struct msg_process_block block;
    struct msg_job_share share;
    int refused;
    unsigned received[64];
};

static struct node node_of(uint64_t connection, uint64_t incarnation, const char *local)
{
    return (struct node){.sender = {connection, OWN_UID},
                         .incarnation = incarnation,
                         .local = local,
                         .version = PROTOCOL_VERSION};
}

static void node_close(struct node *n)
{
    peer_fini(&n->peer);
    link_fini(&n->link);
}

static void node_on_message(struct node *n, struct cursor *c, const struct message_head *head)
{
    if (head->number < 64)
        n->received[head->number]++;
    struct msg_refuse refuse;
    switch (head->number) {
    case MSG_node_welcome:
        assert_true(msg_node_welcome_unpack(c, head, &n->welcome));
        break;
    case MSG_job_started:
        assert_true(msg_job_started_unpack(c, head, &n->started));
        break;
    case MSG_process_block:
        assert_true(msg_process_block_unpack(c, head, &n->block));
        break;
    case MSG_job_share:
        assert_true(msg_job_share_unpack(c, head, &n->share));
        break;
    case MSG_refuse:
        assert_true(msg_refuse_unpack(c, head, &refuse));
        n->refused = (int)refuse.code;
        break;
    default:
        fail_msg("the head sent %s", message_name(head->number));
    }
}

static void node_on_frame(struct node *n, struct view frame, uint64_t now_ms)
{
    struct msg_link link;
    struct view messages = frame;
    bool linked = link_peek(frame, &link, &messages);
    if (linked) {
        assert_int_equal(link_on_frame(&n->link, frame, now_ms), MOB_OK);
        if (!link_next(&n->link, &messages))
            return;
    }
    do {
        struct cursor c = cursor_of(messages.data, messages.size);
        struct message_head head;
        while (message_next(&c, &head))
            node_on_message(n, &c, &head);
        assert_false(c.failed);
    } while (linked && link_next(&n->link, &messages));
}

/* Carry frames both ways until neither side has more to say now. */
static void talk(struct head *h, struct node *nodes[], unsigned count)
{
    for (bool busy = true; busy;) {
        busy = false;
        struct view frame;
        for (unsigned i = 0; i < count; i++)
            while (link_outgoing(&nodes[i]->link, &nodes[i]->peer, h->now_ms, &frame)) {
                head_core_on_frame(h->core, &nodes[i]->sender, frame, h->now_ms);
                busy = true;
            }
        head_commit(h);
        uint64_t to;
        while (head_core_outgoing(h->core, h->now_ms, &to, &frame))
            for (unsigned i = 0; i < count; i++)
                if (nodes[i]->sender.connection == to)
                    node_on_frame(nodes[i], frame, h->now_ms), busy = true;
    }
}

static void talk_one(struct head *h, struct node *n)
{
    talk(h, (struct node *[]){n}, 1);
}

/* A new session with its hello; waits for nothing. */
static void node_hello(struct node *n, uint64_t session)
{
    struct buffer b = {0};
    struct msg_node_hello m = {.version = n->version,
                               .incarnation = n->incarnation,
                               .token = n->token,
                               .machine = view_of("boot"),
                               .local = view_of(n->local),
                               .cpus = 4 * HEAD_CPU,
                               .store_bytes = 1 << 20};
    assert_int_equal(msg_node_hello_pack(&b, &m), MOB_OK);
    struct view hello = {buffer_head(&b), buffer_size(&b)};
    n->refused = MOB_OK;
    n->session = session;
    node_close(n);
    peer_init(&n->peer, &n->outbox, (struct mob_process){0});
    assert_int_equal(link_init(&n->link, session, hello), MOB_OK);
    buffer_fini(&b);
}

static void node_join(struct head *h, struct node *n, uint64_t session)
{
    unsigned before = n->received[MSG_node_welcome];
    node_hello(n, session);
    talk_one(h, n);
    assert_int_equal(n->refused, MOB_OK);
    assert_int_equal(n->received[MSG_node_welcome], before + 1);
}

static uint64_t node_job(struct head *h, struct node *n, uint64_t request, uint64_t driver)
{
    struct msg_job_start m = {request, driver, 77, OWN_UID, view_of("./program a b")};
    n->started = (struct msg_job_started){0};
    assert_int_equal(peer_send(&n->peer, job_start, &m), MOB_OK);
    talk_one(h, n);
    return n->started.job;
}

static void node_add_rows(struct node *n, uint64_t job, uint64_t worker, struct mob_object object)
{
    struct buffer workers = {0}, objects = {0};
    struct msg_worker_row w = {worker, job, 4711};
    struct msg_object_row o = {object, job, 1 << 20};
    struct msg_directory_add m = {0};
    assert_int_equal(msg_worker_row_pack_item(&workers, &w), MOB_OK);
    assert_int_equal(msg_object_row_pack_item(&objects, &o), MOB_OK);
    m.workers = (struct msg_list){worker != 0, buffer_head(&workers),
                                  worker != 0 ? buffer_size(&workers) : 0};
    m.objects = (struct msg_list){object.seq != 0, buffer_head(&objects),
                                  object.seq != 0 ? buffer_size(&objects) : 0};
    assert_int_equal(peer_send(&n->peer, directory_add, &m), MOB_OK);
    buffer_fini(&workers);
    buffer_fini(&objects);
}

static struct buffer driver_ask(struct head *h, uint64_t connection, const char *machine)
{
    struct buffer b = {0}, answer = {0};
    struct msg_driver_hello m = {PROTOCOL_VERSION, 3, {0}, view_of(machine)};
    assert_int_equal(msg_driver_hello_pack(&b, &m), MOB_OK);
    struct sender sender = {connection, OWN_UID};
    head_core_on_frame(h->core, &sender, (struct view){buffer_head(&b), buffer_size(&b)},
                       h->now_ms);
    head_commit(h);
    uint64_t to;
    struct view frame;
    while (head_core_outgoing(h->core, h->now_ms, &to, &frame))
        if (to == connection)
            assert_int_equal(buffer_append(&answer, frame.data, frame.size), MOB_OK);
    buffer_fini(&b);
    return answer;
}

/* Two nodes get ids and blocks of their own. */
MOB_TEST(nodes_join)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a"), b = node_of(2, 12, "/b");
    node_join(&h, &a, 1);
    node_join(&h, &b, 1);
    assert_int_equal(a.welcome.epoch, 1);
    assert_int_not_equal(a.welcome.node, b.welcome.node);
    assert_int_equal(a.welcome.process_count, PROCESS_BLOCK);
    assert_true(b.welcome.process_first >= a.welcome.process_first + PROCESS_BLOCK);
    assert_int_equal(counts_of(&h).nodes, 2);
    node_close(&a);
    node_close(&b);
    head_stop(&h);
}

/* Nodes without a local socket do not take each other's place, and no driver is sent to one. */
MOB_TEST(nameless_nodes_are_told_apart)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, ""), b = node_of(2, 12, "");
    node_join(&h, &a, 1);
    node_join(&h, &b, 1);
    assert_int_equal(counts_of(&h).nodes, 2);
    head_core_disconnected(h.core, 1, h.now_ms);
    uint64_t node = a.welcome.node;
    a.sender.connection = 3;
    node_join(&h, &a, 2);
    assert_int_equal(a.welcome.node, node);
    struct msg_refuse refuse = {0};
    struct message_head head;
    struct buffer answer = driver_ask(&h, 7, "boot");
    struct cursor c = cursor_of(buffer_head(&answer), buffer_size(&answer));
    assert_true(message_next(&c, &head) && msg_refuse_unpack(&c, &head, &refuse));
    assert_int_equal(refuse.code, MOB_ENONODE);
    buffer_fini(&answer);
    node_close(&a);
    node_close(&b);
    head_stop(&h);
}

/* A job_start takes effect once, also when the node repeats it after a reconnection or the head has
 * restarted. */
MOB_TEST(job_start_takes_effect_once)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    uint64_t job = node_job(&h, &a, 5, a.welcome.process_first);
    assert_int_not_equal(job, 0);
    assert_int_equal(node_job(&h, &a, 5, a.welcome.process_first), job);
    head_core_disconnected(h.core, 1, h.now_ms);
    a.sender.connection = 2;
    node_join(&h, &a, 2);
    assert_int_equal(node_job(&h, &a, 5, a.welcome.process_first), job);
    head_crash(&h);
    a.sender.connection = 3;
    node_join(&h, &a, 3);
    assert_int_equal(a.welcome.epoch, 2);
    assert_int_equal(node_job(&h, &a, 5, a.welcome.process_first), job);
    assert_int_equal(counts_of(&h).jobs, 1);
    node_close(&a);
    head_stop(&h);
}

/* A request below one that took effect, whose job is forgotten, makes no second job. */
MOB_TEST(stale_job_start_is_ignored)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    for (uint64_t request = 1; request <= 4; request++) {
        struct msg_job_end end = {node_job(&h, &a, request, a.welcome.process_first + request),
                                  MOB_OK};
        assert_int_equal(peer_send(&a.peer, job_end, &end), MOB_OK);
        talk_one(&h, &a);
    }
    assert_int_equal(node_job(&h, &a, 1, a.welcome.process_first + 1), 0);
    assert_int_equal(counts_of(&h).jobs, 0);
    assert_int_equal(counts_of(&h).stale, 1);
    node_close(&a);
    head_stop(&h);
}

/* A block of process ids answers one request, however often that is asked, and no id is given
 * twice. */
MOB_TEST(process_blocks_are_given_once)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    struct msg_process_block_want want = {9};
    assert_int_equal(peer_send(&a.peer, process_block_want, &want), MOB_OK);
    talk_one(&h, &a);
    uint64_t first = a.block.first;
    assert_true(first >= a.welcome.process_first + PROCESS_BLOCK);
    head_crash(&h);
    a.sender.connection = 2;
    node_join(&h, &a, 2);
    assert_int_equal(peer_send(&a.peer, process_block_want, &want), MOB_OK);
    talk_one(&h, &a);
    assert_int_equal(a.block.first, first);
    want.request = 10;
    assert_int_equal(peer_send(&a.peer, process_block_want, &want), MOB_OK);
    talk_one(&h, &a);
    assert_true(a.block.first >= first + PROCESS_BLOCK);
    want.request = 11; /* beyond blocks_max */
    assert_int_equal(peer_send(&a.peer, process_block_want, &want), MOB_OK);
    talk_one(&h, &a);
    assert_int_equal(a.block.count, 0);
    node_close(&a);
    head_stop(&h);
}

/* What was promised to a node was committed before: a head that crashes before its commit has sent
 * nothing. */
MOB_TEST(replies_wait_for_the_commit)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    struct msg_job_start m = {1, a.welcome.process_first, 77, OWN_UID, view_of("p")};
    assert_int_equal(peer_send(&a.peer, job_start, &m), MOB_OK);
    struct view frame;
    assert_true(link_outgoing(&a.link, &a.peer, h.now_ms, &frame));
    head_core_on_frame(h.core, &a.sender, frame, h.now_ms);
    uint64_t to;
    assert_false(head_core_outgoing(h.core, h.now_ms, &to, &frame));
    head_crash(&h);
    assert_int_equal(counts_of(&h).jobs, 0);
    node_close(&a);
    head_stop(&h);
}

/* A node that comes back as another incarnation starts afresh: its old jobs, workers and objects
 * have ended. */
MOB_TEST(other_incarnation_ends_the_old_one)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a"), again = node_of(2, 12, "/a");
    node_join(&h, &a, 1);
    uint64_t first = a.welcome.process_first, job = node_job(&h, &a, 1, first);
    node_add_rows(&a, job, first + 1, (struct mob_object){first, 1});
    talk_one(&h, &a);
    assert_int_equal(counts_of(&h).workers, 1);
    assert_int_equal(counts_of(&h).objects, 1);
    head_core_disconnected(h.core, 1, h.now_ms);
    node_join(&h, &again, 2);
    assert_int_not_equal(again.welcome.node, a.welcome.node);
    assert_true(again.welcome.process_first > first);
    struct head_counts counts = counts_of(&h);
    assert_int_equal(counts.nodes, 1);
    assert_int_equal(counts.jobs + counts.workers + counts.objects, 0);
    struct buffer text = dump_of(h.core);
    char line[32];
    snprintf(line, sizeof line, "ended=1 code=%d", MOB_ENODEDIED);
    assert_non_null(strstr((char *)text.data, line));
    buffer_fini(&text);
    node_close(&a);
    node_close(&again);
    head_stop(&h);
}

/* A second connection that claims the place, incarnation and a higher session of a node that is
 * alive gets nothing, and the node goes on. */
MOB_TEST(claimed_identity_has_no_effect)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a"), liar = node_of(2, 11, "/a");
    node_join(&h, &a, 1);
    uint64_t job = node_job(&h, &a, 1, a.welcome.process_first);
    struct buffer before = dump_of(h.core);
    node_hello(&liar, 99);
    talk_one(&h, &liar);
    assert_int_equal(liar.refused, MOB_EAGAIN);
    /* In the session of the node, too: its connection is not the liar's. */
    struct buffer b = {0};
    struct msg_link link = {a.session, a.link.sent + 1, 0};
    struct msg_job_end end = {job, MOB_OK};
    assert_int_equal(msg_link_pack(&b, &link), MOB_OK);
    assert_int_equal(msg_job_end_pack(&b, &end), MOB_OK);
    struct sender third = {3, OWN_UID};
    head_core_on_frame(h.core, &third, (struct view){buffer_head(&b), buffer_size(&b)}, h.now_ms);
    head_commit(&h);
    struct buffer after = dump_of(h.core);
    assert_string_equal((char *)before.data, (char *)after.data);
    assert_int_equal(counts_of(&h).identity, 1);
    assert_int_equal(counts_of(&h).before_hello, 1);
    assert_int_not_equal(node_job(&h, &a, 2, a.welcome.process_first + 1), 0);
    buffer_fini(&b);
    buffer_fini(&before);
    buffer_fini(&after);
    node_close(&a);
    node_close(&liar);
    head_stop(&h);
}

/* A hello that was delayed until its node had said a later one is refused. */
MOB_TEST(old_hello_is_refused)
{
    struct head h = head_start();
    struct node old = node_of(1, 11, "/a"), young = node_of(2, 12, "/a"),
                late = node_of(3, 11, "/a");
    node_join(&h, &old, 1);
    head_core_disconnected(h.core, 1, h.now_ms);
    node_join(&h, &young, 2);
    head_core_disconnected(h.core, 2, h.now_ms);
    head_crash(&h);
    node_hello(&late, 1);
    talk_one(&h, &late);
    assert_int_equal(late.refused, MOB_EAGAIN);
    assert_int_equal(counts_of(&h).nodes, 1);
    node_close(&old);
    node_close(&young);
    node_close(&late);
    head_stop(&h);
}

/* Names in a body that belong to another node are refused and counted. */
MOB_TEST(foreign_names_have_no_effect)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a"), b = node_of(2, 12, "/b");
    node_join(&h, &a, 1);
    node_join(&h, &b, 1);
    uint64_t first = a.welcome.process_first, job = node_job(&h, &a, 1, first);
    struct msg_job_end end = {job, MOB_OK};
    assert_int_equal(peer_send(&b.peer, job_end, &end), MOB_OK);
    node_add_rows(&b, job, b.welcome.process_first,
                  (struct mob_object){b.welcome.process_first, 1});
    node_add_rows(&a, job, b.welcome.process_first,
                  (struct mob_object){b.welcome.process_first, 1});
    struct node *both[] = {&a, &b};
    talk(&h, both, 2);
    assert_int_equal(node_job(&h, &b, 1, first), 0);
    struct head_counts counts = counts_of(&h);
    assert_int_equal(counts.foreign, 6);
    assert_int_equal(counts.jobs, 1);
    assert_int_equal(counts.workers + counts.objects, 0);
    node_close(&a);
    node_close(&b);
    head_stop(&h);
}

/* Another version, another uid, a wrong token: refused with the reason, and cut a moment later. */
MOB_TEST(hello_is_checked)
{
    struct head h = {.now_ms = 1000};
    struct head_config config = config_default();
    config.access.token = view_of("secret");
    head_open(&h, &config);
    head_commit(&h);
    struct node version = node_of(1, 1, "/a"), uid = node_of(2, 1, "/a"),
                token = node_of(3, 1, "/a"), good = node_of(4, 1, "/a");
    version.version = 7;
    version.token = uid.token = good.token = view_of("secret");
    uid.sender.uid = 4242;
    token.token = view_of("secreT");
    struct node *all[] = {&version, &uid, &token};
    for (int i = 0; i < 3; i++) {
        node_hello(all[i], 1);
        talk_one(&h, all[i]);
    }
    assert_int_equal(version.refused, MOB_EVERSION);
    assert_int_equal(uid.refused, MOB_EDENIED);
    assert_int_equal(token.refused, MOB_EDENIED);
    assert_int_equal(counts_of(&h).denied, 3);
    assert_int_equal(head_core_deadline(h.core), h.now_ms + 1000);
    h.now_ms += 1000;
    head_core_tick(h.core, h.now_ms);
    head_commit(&h);
    assert_int_equal(h.cuts, 3);
    assert_int_equal(counts_of(&h).connections, 0);
    node_join(&h, &good, 1);
    for (int i = 0; i < 3; i++)
        node_close(all[i]);
    node_close(&good);
    head_stop(&h);
}

/* Texts that are kept have a bound: a longer place is refused, a longer command is cut. */
MOB_TEST(texts_are_bounded)
{
    struct head h = head_start();
    char text[10000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    struct node far = node_of(1, 11, text), a = node_of(2, 12, "/a");
    node_hello(&far, 1);
    talk_one(&h, &far);
    assert_int_equal(far.refused, MOB_EPROTO);
    node_join(&h, &a, 1);
    struct msg_job_start m = {1, a.welcome.process_first, 77, OWN_UID, view_of(text)};
    assert_int_equal(peer_send(&a.peer, job_start, &m), MOB_OK);
    talk_one(&h, &a);
    assert_int_not_equal(a.started.job, 0);
    struct buffer dump = dump_of(h.core);
    assert_true(buffer_size(&dump) < 6000);
    buffer_fini(&dump);
    node_close(&far);
    node_close(&a);
    head_stop(&h);
}

/* Malformed bytes end the connection, not the node: it may come back. */
MOB_TEST(malformed_frame_ends_the_connection)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    assert_int_equal(peer_begin(&a.peer), MOB_OK);
    assert_int_equal(buffer_append(&a.peer.out, "\xc1", 1), MOB_OK);
    peer_end(&a.peer);
    talk_one(&h, &a);
    assert_int_equal(a.refused, MOB_EPROTO);
    assert_int_equal(counts_of(&h).malformed, 1);
    a.sender.connection = 2;
    uint64_t node = a.welcome.node;
    node_join(&h, &a, 2);
    assert_int_equal(a.welcome.node, node);
    node_close(&a);
    head_stop(&h);
}

/* The node's cpus are divided among its jobs, whole ones; jobs whose share changes are told. */
MOB_TEST(shares_follow_the_jobs)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    uint64_t first = a.welcome.process_first, one = node_job(&h, &a, 1, first);
    assert_int_equal(a.started.cpus, 4 * HEAD_CPU);
    node_job(&h, &a, 2, first + 1);
    assert_int_equal(a.started.cpus, 2 * HEAD_CPU);
    assert_int_equal(a.share.job, one);
    assert_int_equal(a.share.cpus, 2 * HEAD_CPU);
    node_job(&h, &a, 3, first + 2);
    assert_int_equal(a.started.cpus, 1 * HEAD_CPU);
    struct msg_job_end end = {one, MOB_OK};
    assert_int_equal(peer_send(&a.peer, job_end, &end), MOB_OK);
    talk_one(&h, &a);
    assert_int_equal(a.share.cpus, 2 * HEAD_CPU);
    node_close(&a);
    head_stop(&h);
}

/* A silent node is lost after 10 s and back with its next frame. */
MOB_TEST(silent_node_is_lost_and_comes_back)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    h.now_ms += 5;
    talk_one(&h, &a);
    h.now_ms += 20;
    talk_one(&h, &a);
    uint64_t lost_ms = head_core_deadline(h.core);
    assert_true(lost_ms > h.now_ms && lost_ms <= h.now_ms + 10000);
    head_core_tick(h.core, lost_ms - 1);
    assert_int_equal(counts_of(&h).nodes_lost, 0);
    h.now_ms = lost_ms;
    head_core_tick(h.core, h.now_ms);
    assert_int_equal(counts_of(&h).nodes_lost, 1);
    assert_int_equal(head_core_deadline(h.core), UINT64_MAX);
    struct msg_node_load load = {.workers = 3};
    assert_int_equal(peer_send(&a.peer, node_load, &load), MOB_OK);
    talk_one(&h, &a);
    assert_int_equal(counts_of(&h).nodes_lost, 0);
    node_close(&a);
    head_stop(&h);
}

/* A node whose hello was acknowledged and whose welcome is lost says nothing more: the head goes on
 * repeating the welcome, also when the node counts as lost. */
MOB_TEST(welcome_reaches_a_node_that_waits_for_it)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    struct view frame;
    uint64_t to;
    node_hello(&a, 1);
    assert_true(link_outgoing(&a.link, &a.peer, h.now_ms, &frame));
    head_core_on_frame(h.core, &a.sender, frame, h.now_ms);
    head_commit(&h);
    while (counts_of(&h).nodes_lost == 0) {
        while (head_core_outgoing(h.core, h.now_ms, &to, &frame))
            ; /* on its way, and lost */
        h.now_ms = head_core_deadline(h.core);
        head_core_tick(h.core, h.now_ms);
    }
    while (a.received[MSG_node_welcome] == 0) {
        h.now_ms = head_core_deadline(h.core);
        head_core_tick(h.core, h.now_ms);
        talk_one(&h, &a);
    }
    node_close(&a);
    head_stop(&h);
}

/* Full tables refuse and count: nodes, jobs, workers, objects. */
MOB_TEST(tables_are_bounded)
{
    struct head h = head_start();
    struct node n[4] = {node_of(1, 1, "/a"), node_of(2, 2, "/b"), node_of(3, 3, "/c"),
                        node_of(4, 4, "/d")};
    for (int i = 0; i < 3; i++)
        node_join(&h, &n[i], 1);
    node_hello(&n[3], 1);
    talk_one(&h, &n[3]);
    assert_int_equal(n[3].refused, MOB_ELIMIT);
    uint64_t first = n[0].welcome.process_first, job = 0;
    for (uint64_t i = 1; i <= 4; i++)
        job = node_job(&h, &n[0], i, first + i);
    assert_int_not_equal(job, 0);
    assert_int_equal(node_job(&h, &n[0], 5, first + 5), 0);
    for (uint64_t i = 0; i < 10; i++)
        node_add_rows(&n[0], job, first + 20 + i, (struct mob_object){first, 1 + i});
    talk_one(&h, &n[0]);
    struct head_counts counts = counts_of(&h);
    assert_int_equal(counts.workers, 6);
    assert_int_equal(counts.objects, 6);
    assert_int_equal(counts.full, 1 + 1 + 4 + 4);
    for (int i = 0; i < 4; i++)
        node_close(&n[i]);
    head_stop(&h);
}

/* Rows that come twice, as they may after a reconnection, are taken once. */
MOB_TEST(rows_are_idempotent)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    uint64_t first = a.welcome.process_first, job = node_job(&h, &a, 1, first);
    for (int i = 0; i < 2; i++)
        node_add_rows(&a, job, first + 1, (struct mob_object){first, 1});
    talk_one(&h, &a);
    assert_int_equal(counts_of(&h).workers, 1);
    assert_int_equal(counts_of(&h).objects, 1);
    assert_int_equal(counts_of(&h).foreign, 0);
    uint64_t commits = h.commits;
    node_add_rows(&a, job, first + 1, (struct mob_object){first, 1});
    talk_one(&h, &a);
    assert_int_equal(h.commits, commits);
    node_close(&a);
    head_stop(&h);
}

/* Goodbye ends the node at once. */
MOB_TEST(goodbye_ends_the_node)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    node_job(&h, &a, 1, a.welcome.process_first);
    struct msg_node_goodbye m = {MOB_OK};
    assert_int_equal(peer_send(&a.peer, node_goodbye, &m), MOB_OK);
    talk_one(&h, &a);
    assert_int_equal(counts_of(&h).nodes, 0);
    assert_int_equal(counts_of(&h).jobs, 0);
    head_core_tick(h.core, h.now_ms);
    head_commit(&h);
    assert_int_equal(h.cuts, 1);
    node_close(&a);
    head_stop(&h);
}

/* A driver is told its home node, at any time and again; before a node has joined it is told to
 * come again. */
MOB_TEST(driver_finds_its_home)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    struct message_head head;
    struct msg_refuse refuse;
    struct msg_driver_welcome welcome;
    struct buffer answer = driver_ask(&h, 7, "boot");
    struct cursor c = cursor_of(buffer_head(&answer), buffer_size(&answer));
    assert_true(message_next(&c, &head) && msg_refuse_unpack(&c, &head, &refuse));
    assert_int_equal(refuse.code, MOB_ENONODE);
    buffer_fini(&answer);
    node_join(&h, &a, 1);
    for (int i = 0; i < 2; i++) {
        answer = driver_ask(&h, 7, i == 0 ? "boot" : "elsewhere");
        c = cursor_of(buffer_head(&answer), buffer_size(&answer));
        assert_true(message_next(&c, &head) && msg_driver_welcome_unpack(&c, &head, &welcome));
        assert_int_equal(welcome.request, 3);
        assert_int_equal(welcome.node, a.welcome.node);
        assert_memory_equal(welcome.local.data, "/a", 2);
        buffer_fini(&answer);
    }
    node_close(&a);
    head_stop(&h);
}

/* A frame that was sent in an old session of the same connection changes nothing. */
MOB_TEST(frames_of_an_old_session_are_ignored)
{
    struct head h = head_start();
    struct node a = node_of(1, 11, "/a");
    node_join(&h, &a, 1);
    uint64_t job = node_job(&h, &a, 1, a.welcome.process_first);
    struct buffer b = {0};
    struct msg_link link = {1, a.link.sent + 1, 0};
    struct msg_job_end end = {job, MOB_OK};
    assert_int_equal(msg_link_pack(&b, &link), MOB_OK);
    assert_int_equal(msg_job_end_pack(&b, &end), MOB_OK);
    node_join(&h, &a, 2);
    struct view frame = {buffer_head(&b), buffer_size(&b)};
    head_core_on_frame(h.core, &a.sender, frame, h.now_ms);
    assert_int_equal(counts_of(&h).jobs, 1);
    assert_int_equal(counts_of(&h).other_session, 1);
    buffer_fini(&b);
    node_close(&a);
    head_stop(&h);
}

/* Every record survives its encoding, and a cut one is refused. */
MOB_TEST(records_round_trip)
{
    for (const enum record_number *n = record_numbers(); *n != 0; n++)
        for (uint64_t seed = 1; seed < 50; seed++) {
            struct record in, out;
            struct buffer b = {0};
            char a[512], z[512];
            record_seed(&in, *n, seed);
            assert_int_equal(record_pack(&b, &in), MOB_OK);
            struct cursor c = cursor_of(buffer_head(&b), buffer_size(&b));
            assert_true(record_next(&c, &out));
            record_print(&in, a, sizeof a);
            record_print(&out, z, sizeof z);
            assert_string_equal(a, z);
            assert_false(record_next(&c, &out));
            assert_false(c.failed);
            c = cursor_of(buffer_head(&b), buffer_size(&b) - 1);
            assert_false(record_next(&c, &out));
            assert_true(c.failed);
            buffer_fini(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_join),
        cmocka_unit_test(nameless_nodes_are_told_apart),
        cmocka_unit_test(job_start_takes_effect_once),
        cmocka_unit_test(stale_job_start_is_ignored),
        cmocka_unit_test(process_blocks_are_given_once),
        cmocka_unit_test(replies_wait_for_the_commit),
        cmocka_unit_test(other_incarnation_ends_the_old_one),
        cmocka_unit_test(claimed_identity_has_no_effect),
        cmocka_unit_test(old_hello_is_refused),
        cmocka_unit_test(foreign_names_have_no_effect),
        cmocka_unit_test(hello_is_checked),
        cmocka_unit_test(texts_are_bounded),
        cmocka_unit_test(malformed_frame_ends_the_connection),
        cmocka_unit_test(shares_follow_the_jobs),
        cmocka_unit_test(silent_node_is_lost_and_comes_back),
        cmocka_unit_test(welcome_reaches_a_node_that_waits_for_it),
        cmocka_unit_test(tables_are_bounded),
        cmocka_unit_test(rows_are_idempotent),
        cmocka_unit_test(goodbye_ends_the_node),
        cmocka_unit_test(driver_finds_its_home),
        cmocka_unit_test(frames_of_an_old_session_are_ignored),
        cmocka_unit_test(records_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
