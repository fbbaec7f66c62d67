/* Frames of anybody at the head: the input is cut into frames of three connections, whose links
 * start sessions, join as nodes and ask for things, or are nonsense. Whatever comes, the head's
 * invariants hold, and its journal rebuilds it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "head/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct head_config config = {
    .access = {.own_uid = 1},
    .connections_max = 4,
    .nodes_max = 2,
    .jobs_max = 3,
    .workers_max = 4,
    .history_max = 1,
    .objects_max = 4,
    .blocks_max = 2,
    .process_block = 16,
    .node_lost_ms = 100,
    .refused_ms = 10,
};

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static void settle(struct head_core *core, struct buffer *journal, uint64_t now_ms)
{
    struct commit commit;
    struct head_effect effect;
    struct mob_err err;
    struct view frame;
    uint64_t connection;
    if (head_core_commit(core, &commit)) {
        if (buffer_append(journal, commit.records.data, commit.records.size) != MOB_OK)
            abort();
        head_core_committed(core, commit.number);
    }
    while (head_core_next_effect(core, &effect))
        ;
    while (head_core_outgoing(core, now_ms, &connection, &frame))
        ;
    if (!head_core_check(core, &err))
        fail(err.text);
}

static void replay(struct head_core *core, const struct buffer *journal)
{
    struct head_core *again;
    struct buffer is = {0}, was = {0};
    struct mob_err err;
    if (head_core_create(&again, &config, NULL) != MOB_OK)
        abort();
    if (head_core_replay(again, (struct view){buffer_head(journal), buffer_size(journal)}, &err) !=
        MOB_OK)
        fail(err.text);
    if (head_core_dump(core, &is) != MOB_OK || head_core_dump(again, &was) != MOB_OK)
        abort();
    if (buffer_size(&is) != buffer_size(&was) ||
        memcmp(buffer_head(&is), buffer_head(&was), buffer_size(&is)) != 0)
        fail("the journal gives another state");
    buffer_fini(&is);
    buffer_fini(&was);
    head_core_destroy(again);
}

/* A frame that begins as the input says: whole, or with a `link` message in front whose number is
 * near what the head expects, or with a hello as well; mutation alone would rarely get there. */
static void frame_make(struct buffer *b, uint8_t kind, uint64_t number, struct view rest)
{
    struct msg_link link = {1 + (kind >> 6), number, 0};
    struct msg_node_hello hello = {.version = PROTOCOL_VERSION,
                                   .incarnation = kind >> 4 & 1,
                                   .machine = view_of("m"),
                                   .local = view_of(kind & 32 ? "/a" : "/b"),
                                   .cpus = 20000};
    buffer_clear(b);
    if ((kind & 3) != 0 && msg_link_pack(b, &link) != MOB_OK)
        abort();
    if ((kind & 3) == 2 && msg_node_hello_pack(b, &hello) != MOB_OK)
        abort();
    if (buffer_append(b, rest.data, rest.size) != MOB_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head_core *core;
    struct buffer journal = {0}, frame = {0};
    uint64_t now_ms = 1, numbers[4] = {0};
    if (head_core_create(&core, &config, NULL) != MOB_OK)
        abort();
    head_core_start(core, 0, now_ms);
    settle(core, &journal, now_ms);
    while (size >= 3) {
        uint8_t who = data[0] & 3, kind = data[1];
        size_t length = data[2] < size - 3 ? data[2] : size - 3;
        struct sender sender = {1 + who, data[0] & 4 ? 2 : 1};
        if (data[0] & 8) {
            head_core_disconnected(core, sender.connection, now_ms);
            numbers[who] = 0;
        }
        if ((kind & 3) == 2)
            numbers[who] = 0;
        frame_make(&frame, kind, ++numbers[who], (struct view){data + 3, length});
        head_core_on_frame(core, &sender, (struct view){buffer_head(&frame), buffer_size(&frame)},
                           now_ms);
        settle(core, &journal, now_ms);
        now_ms += data[0] >> 4;
        head_core_tick(core, now_ms);
        settle(core, &journal, now_ms);
        data += 3 + length;
        size -= 3 + length;
    }
    replay(core, &journal);
    head_core_destroy(core);
    buffer_fini(&journal);
    buffer_fini(&frame);
    return 0;
}
