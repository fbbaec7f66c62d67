/* Any bytes as a frame of messages: each is read, packed, read again and printed; stepping over it
 * comes to the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/messages.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields)                                                \
    static bool twice_##name(struct cursor *c, const struct message_head *head)                    \
    {                                                                                              \
        struct msg_##name m, again;                                                                \
        if (!msg_##name##_unpack(c, head, &m))                                                     \
            return false;                                                                          \
        struct buffer b = {0}, b2 = {0};                                                           \
        if (msg_##name##_pack(&b, &m) != MOB_OK)                                                   \
            abort();                                                                               \
        struct cursor c2 = cursor_of(buffer_head(&b), buffer_size(&b));                            \
        struct message_head head2;                                                                 \
        if (!message_next(&c2, &head2) || !msg_##name##_unpack(&c2, &head2, &again) ||             \
            cursor_left(&c2) != 0 || msg_##name##_pack(&b2, &again) != MOB_OK)                     \
            abort();                                                                               \
        if (buffer_size(&b) != buffer_size(&b2) ||                                                 \
            memcmp(buffer_head(&b), buffer_head(&b2), buffer_size(&b)) != 0)                       \
            abort();                                                                               \
        buffer_fini(&b);                                                                           \
        buffer_fini(&b2);                                                                          \
        return true;                                                                               \
    }
#include "protocol/messages.def"
#undef MESSAGE

static bool read_twice(struct cursor *c, const struct message_head *head)
{
    switch (head->number) {
#define MESSAGE(name, number, channel, doc, fields)                                                \
    case number:                                                                                   \
        return twice_##name(c, head);
#include "protocol/messages.def"
#undef MESSAGE
    default:
        message_skip(c, head);
        return !c->failed;
    }
}
#undef STRUCT

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(data, size);
    struct message_head head;
    char text[200];
    while (message_next(&c, &head)) {
        struct cursor skipped = c;
        if (message_print(&c, &head, text, sizeof text) >= sizeof text)
            abort();
        message_skip(&skipped, &head);
        /* Nested deeper than the bound is the one thing that only stepping over refuses: unknown
         * fields alone. */
        if (read_twice(&c, &head) && (skipped.failed || skipped.at != c.at))
            abort();
    }
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed)
{
    const uint32_t *numbers = message_numbers();
    size_t count = 0;
    while (numbers[count] != 0)
        count++;
    if (seed % 3 != 0)
        return LLVMFuzzerMutate(data, size, size_max);
    struct buffer b = {0};
    if (message_seed(&b, numbers[seed / 3 % count], seed) != MOB_OK)
        abort();
    if (size + buffer_size(&b) <= size_max) {
        memcpy(data + size, buffer_head(&b), buffer_size(&b));
        size += buffer_size(&b);
    }
    buffer_fini(&b);
    return size;
}
