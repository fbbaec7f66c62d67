/* What a node may say to a driver or a worker. */
#define FUZZ_CHANNEL CHANNEL_NODE_CLIENT
#include "tests/fuzz/client_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_world w;
    struct step s;
    if (size == 0)
        return 0;
    world_start(&w, data[0] % 2 != 0);
    data++, size--;
    while (step_next(&data, &size, &s)) {
        client_on_node(w.core, step_frame(&s), w.now_ns);
        world_settle(&w);
        if (s.what >= 128)
            world_step(&w, s.what);
        free(s.bytes);
    }
    world_end(&w);
    return 0;
}
