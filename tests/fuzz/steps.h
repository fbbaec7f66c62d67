/* steps.h: fuzz input as a list of steps, each one byte what, two bytes size, and that many bytes.
 * A mutator of its own puts well-formed messages in, so that a fuzzer does not have to find out
 * what a message looks like. Included by one target each; FUZZ_CHANNEL says whose messages are put
 * in. Owns nothing. Runs on: one thread. */
#ifndef MOB_FUZZ_STEPS_H
#define MOB_FUZZ_STEPS_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/messages.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
    uint8_t what;
    uint8_t *bytes; /* a copy of its own, so that a read beyond it is seen */
    size_t size;
};

static inline bool step_next(const uint8_t **data, size_t *size, struct step *s)
{
    if (*size < 3)
        return false;
    size_t wanted = (size_t)(*data)[1] | (size_t)(*data)[2] << 8, left = *size - 3;
    s->what = (*data)[0];
    s->size = wanted < left ? wanted : left;
    s->bytes = malloc(s->size != 0 ? s->size : 1);
    if (s->bytes == NULL)
        abort();
    memcpy(s->bytes, *data + 3, s->size);
    *data += 3 + s->size;
    *size -= 3 + s->size;
    return true;
}

static inline struct view step_frame(const struct step *s)
{
    return (struct view){s->bytes, s->size};
}

static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 31) * 0x9e3779b97f4a7c15u;
    return v ^ v >> 29;
}

/* Append a step that holds one to three messages of the channel. */
static size_t step_append(uint8_t *data, size_t size, size_t size_max, uint64_t seed)
{
    struct buffer b = {0};
    unsigned count = 0, channel = 0;
    for (const uint32_t *number = message_numbers(); *number != 0; number++)
        channel += message_allowed(*number, FUZZ_CHANNEL);
    for (unsigned messages = 1 + (unsigned)(mix(seed) % 3); count < messages; count++) {
        uint64_t pick = mix(seed + count + 1) % channel;
        const uint32_t *number = message_numbers();
        while (!message_allowed(*number, FUZZ_CHANNEL) || pick-- > 0)
            number++;
        if (message_seed(&b, *number, mix(seed + count + 9)) != MOB_OK)
            abort();
    }
    size_t taken = buffer_size(&b);
    if (size + 3 + taken <= size_max && taken < 65536) {
        data[size] = (uint8_t)mix(seed + 17);
        data[size + 1] = (uint8_t)taken;
        data[size + 2] = (uint8_t)(taken >> 8);
        memcpy(data + size + 3, buffer_head(&b), taken);
        size += 3 + taken;
    }
    buffer_fini(&b);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed)
{
    return seed % 3 == 0 ? step_append(data, size, size_max, mix(seed))
                         : LLVMFuzzerMutate(data, size, size_max);
}
#endif
