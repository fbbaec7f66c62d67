/* Every message of messages.def: packed and read back, longer than known, cut, damaged, printed. */
#include "tests/support/test.h"

#include "protocol/memory.h"
#include "protocol/messages.h"

enum { SEEDS = 50 };

/* Read one message and pack what was read: false when it is refused. */
#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields)                                                \
    static bool repack_##name(struct cursor *c, const struct message_head *head, struct buffer *b) \
    {                                                                                              \
        struct msg_##name m;                                                                       \
        if (!msg_##name##_unpack(c, head, &m))                                                     \
            return false;                                                                          \
        assert_int_equal(msg_##name##_pack(b, &m), MOB_OK);                                        \
        return true;                                                                               \
    }
#include "protocol/messages.def"
#undef MESSAGE

static bool repack(struct cursor *c, struct buffer *b)
{
    struct message_head head;
    if (!message_next(c, &head))
        return false;
    switch (head.number) {
#define MESSAGE(name, number, channel, doc, fields)                                                \
    case number:                                                                                   \
        return repack_##name(c, &head, b);
#include "protocol/messages.def"
#undef MESSAGE
    default:
        return false;
    }
}
#undef STRUCT

static struct buffer seed_of(uint32_t number, uint64_t seed)
{
    struct buffer b = {0};
    assert_int_equal(message_seed(&b, number, seed), MOB_OK);
    return b;
}

#define FOR_EACH_SEED(number, seed)                                                                \
    for (const uint32_t *number##_at = message_numbers(); *number##_at != 0; number##_at++)        \
        for (uint64_t seed = 0, number = *number##_at; seed < SEEDS; seed++)

/* What is packed is read back field by field: packed again, it is the same bytes. */
MOB_TEST(messages_come_back)
{
    FOR_EACH_SEED(number, seed)
    {
        struct buffer b = seed_of((uint32_t)number, seed), again = {0};
        struct cursor c = cursor_of(buffer_head(&b), buffer_size(&b));
        assert_true(repack(&c, &again));
        assert_int_equal(cursor_left(&c), 0);
        assert_int_equal(buffer_size(&b), buffer_size(&again));
        assert_memory_equal(buffer_head(&b), buffer_head(&again), buffer_size(&b));
        buffer_fini(&b);
        buffer_fini(&again);
    }
}

/* A struct comes back as it went in, with extreme numbers, empty texts, and lists. */
MOB_TEST(fields_come_back)
{
    struct buffer list = {0}, b = {0};
    struct msg_result in[2] = {{.kind = VALUE_INLINE, .value = view_of("abc")},
                               {.kind = VALUE_STORED, .offset = UINT64_MAX, .size = 1}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(msg_result_pack_item(&list, &in[i]), MOB_OK);
    const struct msg_task_done m = {.task = UINT64_MAX,
                                    .attempt = UINT32_MAX,
                                    .run_ns = 0,
                                    .results = {2, buffer_head(&list), buffer_size(&list)}};
    assert_int_equal(msg_task_done_pack(&b, &m), MOB_OK);
    const struct msg_refuse refuse = {.code = INT64_MIN, .text = {"", 0}};
    assert_int_equal(msg_refuse_pack(&b, &refuse), MOB_OK);
    struct cursor c = cursor_of(buffer_head(&b), buffer_size(&b));
    struct message_head head;
    struct msg_task_done out;
    assert_true(message_next(&c, &head));
    assert_int_equal(head.number, MSG_task_done);
    assert_ptr_equal(head.start, buffer_head(&b));
    assert_true(msg_task_done_unpack(&c, &head, &out));
    assert_true(out.task == UINT64_MAX && out.attempt == UINT32_MAX && out.run_ns == 0);
    assert_int_equal(out.results.count, 2);
    assert_int_equal(out.errors.count, 0);
    struct cursor items = cursor_of(out.results.data, out.results.size);
    struct msg_result r;
    assert_true(msg_result_unpack_item(&items, &r));
    assert_int_equal(r.kind, VALUE_INLINE);
    assert_int_equal(r.value.size, 3);
    assert_memory_equal(r.value.data, "abc", 3);
    assert_true(msg_result_unpack_item(&items, &r));
    assert_true(r.offset == UINT64_MAX && r.size == 1);
    assert_int_equal(cursor_left(&items), 0);
    struct msg_refuse back;
    assert_true(message_next(&c, &head));
    assert_true(msg_refuse_unpack(&c, &head, &back));
    assert_true(back.code == INT64_MIN);
    assert_int_equal(back.text.size, 0);
    assert_false(message_next(&c, &head));
    assert_false(c.failed);
    buffer_fini(&b);
    buffer_fini(&list);
}

/* The head of a message is a short array: its count can be changed in place. */
static void count_change(struct buffer *b, int by)
{
    uint8_t *head = buffer_head(b);
    assert_int_equal(*head & 0xf0, 0x90);
    assert_in_range((*head & 0x0f) + by, 0, 15);
    *head = (uint8_t)(*head + by);
}

/* Fields that a later version has appended are stepped over, whatever they hold; the next message
 * is found. */
MOB_TEST(later_fields_are_skipped)
{
    FOR_EACH_SEED(number, seed)
    {
        struct buffer b = seed_of((uint32_t)number, seed), known = seed_of((uint32_t)number, seed),
                      again = {0};
        count_change(&b, 2);
        assert_int_equal(
            buffer_append(&b, "\x93\xa1x\x81\x01\xc0\xc4\x01y\xcf\1\2\3\4\5\6\7\x8", 18), MOB_OK);
        assert_int_equal(msg_goodbye_pack(&b, &(struct msg_goodbye){-3}), MOB_OK);
        struct cursor c = cursor_of(buffer_head(&b), buffer_size(&b));
        assert_true(repack(&c, &again));
        assert_int_equal(buffer_size(&known), buffer_size(&again));
        assert_memory_equal(buffer_head(&known), buffer_head(&again), buffer_size(&known));
        struct message_head head;
        struct msg_goodbye bye;
        assert_true(message_next(&c, &head));
        assert_true(msg_goodbye_unpack(&c, &head, &bye));
        assert_int_equal(bye.code, -3);
        buffer_fini(&b);
        buffer_fini(&known);
        buffer_fini(&again);
    }
}

/* The same holds for the items of lists. */
MOB_TEST(later_fields_of_items_are_skipped)
{
    struct buffer list = {0}, b = {0};
    for (unsigned i = 0; i < 3; i++) {
        struct buffer item = {0};
        assert_int_equal(
            msg_object_row_pack_item(
                &item, &(struct msg_object_row){.object = {1, i}, .job = 9, .size = i}),
            MOB_OK);
        count_change(&item, 1);
        assert_int_equal(buffer_append(&item, "\x92\xc0\xa2hi", 5), MOB_OK);
        assert_int_equal(buffer_append(&list, buffer_head(&item), buffer_size(&item)), MOB_OK);
        buffer_fini(&item);
    }
    struct msg_directory_add m = {.objects = {3, buffer_head(&list), buffer_size(&list)}};
    assert_int_equal(msg_directory_add_pack(&b, &m), MOB_OK);
    struct cursor c = cursor_of(buffer_head(&b), buffer_size(&b));
    struct message_head head;
    assert_true(message_next(&c, &head));
    assert_true(msg_directory_add_unpack(&c, &head, &m));
    struct cursor items = cursor_of(m.objects.data, m.objects.size);
    for (unsigned i = 0; i < 3; i++) {
        struct msg_object_row row;
        assert_true(msg_object_row_unpack_item(&items, &row));
        assert_int_equal(row.object.seq, i);
        assert_int_equal(row.size, i);
    }
    buffer_fini(&b);
    buffer_fini(&list);
}

/* A message with a field too few is refused. */
MOB_TEST(missing_fields_are_refused)
{
    FOR_EACH_SEED(number, seed)
    {
        struct buffer b = seed_of((uint32_t)number, seed), again = {0};
        count_change(&b, -1);
        struct cursor c = cursor_of(buffer_head(&b), buffer_size(&b));
        assert_false(repack(&c, &again));
        assert_true(c.failed);
        buffer_fini(&b);
        buffer_fini(&again);
    }
}

/* A message that is cut anywhere is refused; nothing beyond its end is read. */
MOB_TEST(cut_messages_are_refused)
{
    FOR_EACH_SEED(number, seed)
    {
        struct buffer b = seed_of((uint32_t)number, seed);
        for (size_t size = 1; size < buffer_size(&b); size++) {
            uint8_t *cut =
                malloc(size); /* alone on the heap, where the sanitizer watches its end */
            struct buffer again = {0};
            assert_non_null(cut);
            memcpy(cut, buffer_head(&b), size);
            struct cursor c = cursor_of(cut, size);
            assert_false(repack(&c, &again));
            assert_true(c.failed);
            buffer_fini(&again);
            free(cut);
        }
        buffer_fini(&b);
    }
}

/* Damaged bytes are read as something or refused; what is read can be packed and printed. */
MOB_TEST(damaged_messages_do_no_harm)
{
    uint64_t random = 12345;
    unsigned read = 0, refused = 0;
    FOR_EACH_SEED(number, seed)
    {
        struct buffer b = seed_of((uint32_t)number, seed);
        for (unsigned round = 0; round < 40; round++) {
            uint8_t *damaged = malloc(buffer_size(&b));
            struct buffer again = {0};
            assert_non_null(damaged);
            memcpy(damaged, buffer_head(&b), buffer_size(&b));
            for (unsigned i = 0; i <= round % 4; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                damaged[(random >> 20) % buffer_size(&b)] = (uint8_t)(random >> 50);
            }
            struct cursor c = cursor_of(damaged, buffer_size(&b));
            struct message_head head;
            char text[300];
            if (message_next(&c, &head))
                assert_in_range(message_print(&c, &head, text, sizeof text), 1, sizeof text - 1);
            c = cursor_of(damaged, buffer_size(&b));
            if (repack(&c, &again))
                read++;
            else
                refused++;
            buffer_fini(&again);
            free(damaged);
        }
        buffer_fini(&b);
    }
    assert_true(read > 1000 && refused > 1000);
}

/* Numbers are unique, ascending, and in the range of their channel, which leaves room for what is
 * to come. */
MOB_TEST(numbers_stand_in_their_ranges)
{
    static const struct {
        enum message_channel channel;
        uint32_t first, last;
    } ranges[] = {
        {CHANNEL_LINK, 1, 19},
        {CHANNEL_REFUSE, 1, 19},
        {CHANNEL_DRIVER_HEAD, 1, 19},
        {CHANNEL_HEAD_DRIVER, 1, 19},
        {CHANNEL_NODE_HEAD, 3, 49},
        {CHANNEL_HEAD_NODE, 3, 49},
        {CHANNEL_CLIENT_NODE, 50, 99},
        {CHANNEL_NODE_CLIENT, 50, 99},
        {CHANNEL_CLIENT_CLIENT, 100, 129},
        {CHANNEL_ZYGOTE_NODE, 130, 149},
        {CHANNEL_NODE_ZYGOTE, 130, 149},
    };
    uint32_t before = 0;
    for (const uint32_t *number = message_numbers(); *number != 0; before = *number++) {
        assert_true(*number > before);
        assert_non_null(message_name(*number));
        unsigned channels = 0;
        for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
            if (message_allowed(*number, ranges[i].channel)) {
                assert_in_range(*number, ranges[i].first, ranges[i].last);
                channels++;
            }
        assert_int_equal(channels, 1);
    }
    assert_null(message_name(0));
    assert_null(message_name(19999));
    assert_false(message_allowed(19999, CHANNEL_LINK));
}

/* A frame is read message by message, known or not; number 0, an empty array and what is no array
 * end it. */
MOB_TEST(frames_are_walked)
{
    struct buffer b = {0};
    struct message_head head;
    assert_int_equal(msg_goodbye_pack(&b, &(struct msg_goodbye){1}), MOB_OK);
    assert_int_equal(buffer_append(&b, "\x93\xcd\x4e\x1f\x91\xc0\xa1?", 8),
                     MOB_OK); /* number 19999 */
    assert_int_equal(msg_goodbye_pack(&b, &(struct msg_goodbye){2}), MOB_OK);
    struct cursor c = cursor_of(buffer_head(&b), buffer_size(&b));
    assert_true(message_next(&c, &head));
    assert_int_equal(head.number, MSG_goodbye);
    message_skip(&c, &head);
    assert_true(message_next(&c, &head));
    assert_int_equal(head.number, 19999);
    assert_int_equal(head.field_count, 2);
    char text[40];
    message_print(&c, &head, text, sizeof text);
    assert_string_equal(text, "unknown number=19999");
    message_skip(&c, &head);
    assert_true(message_next(&c, &head));
    assert_int_equal(head.number, MSG_goodbye);
    message_skip(&c, &head);
    assert_false(message_next(&c, &head));
    assert_false(c.failed);
    buffer_fini(&b);
    const char *const bad[] = {"\x91", "\x90", "\xc0", "\x01", "\x91\xc0", "\x91\xff"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        c = cursor_of(bad[i], strlen(bad[i]));
        assert_false(message_next(&c, &head));
        assert_true(c.failed);
    }
    c = cursor_of("\x91\x00", 2);
    assert_false(message_next(&c, &head));
    assert_true(c.failed);
}

static size_t print(const struct buffer *b, char *text, size_t size)
{
    struct cursor c = cursor_of(buffer_head(b), buffer_size(b));
    struct message_head head;
    assert_true(message_next(&c, &head));
    return message_print(&c, &head, text, size);
}

/* A message prints as one line of plain characters, the same each time, cut where the room ends. */
MOB_TEST(messages_print)
{
    struct buffer args = {0}, b = {0};
    char text[400];
    assert_int_equal(
        msg_arg_pack_item(&args, &(struct msg_arg){.kind = VALUE_REF, .object = {3, 4}}), MOB_OK);
    struct msg_task_run m = {.task = 7,
                             .attempt = 1,
                             .function = UINT64_MAX,
                             .results = 2,
                             .args = {1, buffer_head(&args), buffer_size(&args)}};
    assert_int_equal(msg_task_run_pack(&b, &m), MOB_OK);
    size_t length = print(&b, text, sizeof text);
    assert_string_equal(text,
                        "task_run task=7 attempt=1 depth=0 function=18446744073709551615 results=2 "
                        "args=[{ kind=3 value=<0 bytes> object=3.4 offset=0 size=0 }]");
    assert_int_equal(length, strlen(text));
    for (size_t size = 0; size <= length + 1; size++) {
        char cut[400];
        memset(cut, '#', sizeof cut);
        size_t printed = print(&b, cut, size);
        assert_int_equal(printed, size == 0 ? 0 : size - 1 < length ? size - 1 : length);
        assert_memory_equal(cut, text, printed);
        assert_int_equal(cut[size], '#');
    }
    buffer_clear(&b);
    assert_int_equal(msg_refuse_pack(&b, &(struct msg_refuse){-5, view_of("a \"b\"\n\x7f")}),
                     MOB_OK);
    print(&b, text, sizeof text);
    assert_string_equal(text, "refuse code=-5 text=\"a \\x22b\\x22\\x0a\\x7f\"");
    buffer_clear(&b);
    assert_int_equal(buffer_append(&b, "\x92\x46\xa1x", 4), MOB_OK);
    print(&b, text, sizeof text);
    assert_string_equal(text, "goodbye malformed");
    buffer_fini(&b);
    buffer_fini(&args);
}

/* A packer asks for all the room that it fills, wherever in a buffer it begins. */
MOB_TEST(packers_ask_for_enough)
{
    for (const uint32_t *number = message_numbers(); *number != 0; number++) {
        struct buffer b = {0};
        for (uint64_t seed = 0; seed < 2000; seed++) {
            assert_int_equal(message_seed(&b, *number, seed), MOB_OK);
            assert_true(b.end <= b.capacity);
        }
        buffer_fini(&b);
    }
    struct buffer b = {0}; /* each byte of the worst case */
    for (unsigned i = 0; i < 1000; i++) {
        const struct msg_object_sealed m = {
            .object = {UINT64_MAX, UINT64_MAX}, .offset = UINT64_MAX, .size = UINT64_MAX};
        assert_int_equal(msg_object_sealed_pack(&b, &m), MOB_OK);
        assert_true(b.end <= b.capacity);
        if (b.capacity - b.end > 64) /* up to the edge */
            assert_int_equal(buffer_append(&b, "", i % 2), MOB_OK);
    }
    buffer_fini(&b);
}

/* Without memory a packer says so and has appended nothing; then it works. */
MOB_TEST(packing_without_memory)
{
    for (const uint32_t *number = message_numbers(); *number != 0; number++) {
        struct buffer whole = seed_of(*number, 3);
        for (uint64_t n = 1;; n++) {
            struct buffer b = {0};
            memory_fail_at(n);
            int rc = message_seed(&b, *number, 3);
            memory_fail_at(0);
            if (rc == MOB_OK) {
                buffer_fini(&b);
                break;
            }
            assert_int_equal(rc, MOB_ENOMEM);
            assert_int_equal(buffer_size(&b), 0);
            assert_int_equal(message_seed(&b, *number, 3), MOB_OK);
            assert_memory_equal(buffer_head(&b), buffer_head(&whole), buffer_size(&whole));
            buffer_fini(&b);
        }
        buffer_fini(&whole);
    }
}

/* No message is so large, nor nests so deep, that reading it costs more than its length. */
MOB_TEST(hostile_lists_cost_little)
{
    enum { SIZE = 4 << 20 };
    uint8_t *bytes = malloc(SIZE);
    assert_non_null(bytes);
    memset(bytes, 0x91, SIZE);
    struct buffer again = {0};
    struct cursor c = cursor_of(bytes, SIZE);
    assert_false(repack(&c, &again));
    /* A frame of object_value whose list claims four million items. */
    const uint8_t head[] = {0x97, 104, 0x92, 1, 2, 1, 0xc4, 0, 0, 0, 0xdd, 0, 0x3f, 0xff, 0};
    memset(bytes, 0x90, SIZE);
    memcpy(bytes, head, sizeof head);
    c = cursor_of(bytes, SIZE);
    assert_false(repack(&c, &again));
    buffer_fini(&again);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back),
        cmocka_unit_test(fields_come_back),
        cmocka_unit_test(later_fields_are_skipped),
        cmocka_unit_test(later_fields_of_items_are_skipped),
        cmocka_unit_test(missing_fields_are_refused),
        cmocka_unit_test(cut_messages_are_refused),
        cmocka_unit_test(damaged_messages_do_no_harm),
        cmocka_unit_test(numbers_stand_in_their_ranges),
        cmocka_unit_test(frames_are_walked),
        cmocka_unit_test(messages_print),
        cmocka_unit_test(packers_ask_for_enough),
        cmocka_unit_test(packing_without_memory),
        cmocka_unit_test(hostile_lists_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
