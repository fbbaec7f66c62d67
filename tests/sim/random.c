/* random.c: splitmix64: one word of state, so that a recipe's stream costs nothing to start. */
#include "tests/sim/sim.h"

uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_next(struct random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return mix(r->state, 0);
}

uint64_t random_below(struct random *r, uint64_t bound)
{
    return bound == 0 ? 0 : random_next(r) % bound;
}

uint64_t random_between(struct random *r, uint64_t low, uint64_t high)
{
    return low + random_below(r, high - low + 1);
}

bool random_chance(struct random *r, uint32_t per_mille)
{
    return random_below(r, 1000) < per_mille;
}

uint64_t random_skewed(struct random *r, uint64_t low, uint64_t high)
{
    uint64_t most = high > low ? high - low : 0;
    unsigned shift = (unsigned)random_below(r, 8);
    return low + random_below(r, (most >> shift) + 1);
}
