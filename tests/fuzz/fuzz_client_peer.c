/* What another client of the job may say to a driver or a worker, through its ring or through the
 * node. */
#define FUZZ_CHANNEL CHANNEL_CLIENT_CLIENT
#include "tests/fuzz/client_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t peers[] = {WORKER_1, WORKER_2, OTHER, 31};
    struct client_world w;
    struct step s;
    if (size == 0)
        return 0;
    world_start(&w, data[0] % 2 != 0);
    data++, size--;
    while (step_next(&data, &size, &s)) {
        struct mob_process from = {peers[s.what % 4]};
        struct peer *p = client_peer(w.core, from);
        if (p != NULL) {
            client_on_peer(w.core, p, step_frame(&s), w.now_ns);
            world_settle(&w);
        } else {
            WORLD_NODE_SAYS(&w, forwarded, .from = from.v, .body = step_frame(&s));
        }
        if (s.what >= 128)
            world_step(&w, s.what / 4);
        free(s.bytes);
    }
    world_end(&w);
    return 0;
}
