/* ring_stress.h: one side of a conversation over a ring pair that sleeps on its doorbell whenever
 * it can. Owns nothing. Bound: rounds and burst sizes as given. Runs on: the calling thread, one
 * for each side; the two sides are threads or processes. Touches: rings, doorbells, the clock. */
#ifndef MOB_TEST_SUPPORT_RING_STRESS_H
#define MOB_TEST_SUPPORT_RING_STRESS_H
#include <stdint.h>

#include "protocol/doorbell.h"
#include "protocol/ring.h"

/* What both sides agree on. In a conversation a side sends its next burst only when the peer's last
 * one has come whole, so that each waits for the other all the time. In a stream side 0 sends all
 * bursts without waiting and side 1 sends none. */
struct ring_stress_plan {
    uint64_t seed;
    uint32_t rounds;
    uint32_t burst_max; /* bytes in a burst: random from 1 */
    uint32_t chunk_max; /* bytes in one call of ring_write or ring_read: random from 1 */
    uint32_t
        pause_max; /* processor pauses between steps: random from 0, to shift the races about */
    bool stream;
};

/* The time that a wake-up may take before it counts as lost, unscaled. Long against any honest
 * delay, since nothing but a lost wake-up makes a sleep last. */
#define RING_STRESS_LOST_MS 10000

struct ring_stress_side {
    struct ring_end *end;
    struct doorbell *own;
    struct doorbell_peer *peer;
    const struct ring_stress_plan *plan;
    /* Results. */
    uint64_t sent, received, sleeps, rings;
};

/* Play one side to its end. NULL when every byte was as it had to be and no sleep needed its
 * deadline; otherwise what went wrong, a static string. */
const char *ring_stress_run(struct ring_stress_side *side);

/* Two sides with a ring pair and a doorbell each, made in one process: for threads, or before a
 * fork. Making it fails the test when it cannot. */
struct ring_stress_pair {
    struct ring_end ends[2];
    struct doorbell bells[2];
    struct doorbell_peer peers[2]; /* peers[s] rings the bell of side 1 - s */
};
void ring_stress_pair_open(struct ring_stress_pair *pair, size_t ring_size,
                           enum doorbell_kind kind);
void ring_stress_pair_close(struct ring_stress_pair *pair);

/* The seed of this run: MOBULA_TEST_SEED if set, otherwise a fresh one; printed with `what`. */
uint64_t ring_stress_seed(const char *what);

/* The next of a stream of pseudo-random numbers; `state` must not be 0. */
uint64_t ring_stress_random(uint64_t *state);
/* The byte at `position` of the reference stream of `side`. */
unsigned char ring_stress_byte(uint64_t seed, int side, uint64_t position);
#endif
