/* ring_stress.c: the stream that is sent is a function of seed, side and position, so that the
 * receiver checks every byte without a second channel. All sleeps have one long deadline: needing
 * it is the failure. */
#include "tests/support/ring_stress.h"

#include <unistd.h>

#include "tests/support/test.h"
#include "tests/support/wait.h"

#define CHUNK_MAX 16384

uint64_t ring_stress_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ (x >> 29);
}

unsigned char ring_stress_byte(uint64_t seed, int side, uint64_t position)
{
    uint64_t word = mix(seed + (uint64_t)side + (position >> 3) * UINT64_C(0xd1342543de82ef95));
    return (unsigned char)(word >> (8 * (position & 7)));
}

uint64_t ring_stress_seed(const char *what)
{
    const char *given = getenv("MOBULA_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : wait_now_ns();
    seed |= 1;
    print_message("%s: MOBULA_TEST_SEED=%llu\n", what, (unsigned long long)seed);
    return seed;
}

struct play {
    struct ring_stress_side *side;
    uint64_t random;    /* sizes of chunks and pauses: differ between the sides */
    uint64_t bursts[2]; /* the random streams that give each side's burst sizes: the same at both */
    uint64_t send_until;    /* the end of the burst that may go now */
    uint64_t receive_until; /* the end of the burst that must come now */
    uint32_t rounds_sent, rounds_received;
};

static uint32_t random_up_to(uint64_t *state, uint32_t max)
{
    return (uint32_t)((ring_stress_random(state) >> 16) % max) + 1;
}

static void play_pause(struct play *play)
{
    uint32_t pauses = random_up_to(&play->random, play->side->plan->pause_max + 1) - 1;
    for (volatile uint32_t i = 0; i < pauses; i++)
        continue;
}

/* Begin the next burst each way, when the one before is through. */
static void play_turn(struct play *play)
{
    const struct ring_stress_plan *plan = play->side->plan;
    struct ring_stress_side *side = play->side;
    int me = side->end->side;
    bool sends = !plan->stream || me == 0, receives = !plan->stream || me == 1;
    while (receives && play->rounds_received < plan->rounds &&
           side->received >= play->receive_until) {
        play->receive_until += random_up_to(&play->bursts[1 - me], plan->burst_max);
        play->rounds_received++;
    }
    /* In a conversation side 0 begins; side 1 answers burst n with burst n. */
    uint32_t whole = play->rounds_received - (side->received < play->receive_until);
    uint32_t allowed = plan->stream ? plan->rounds : me == 0 ? whole + 1 : whole;
    if (allowed > plan->rounds)
        allowed = plan->rounds;
    if (sends && side->sent == play->send_until && play->rounds_sent < allowed) {
        play->send_until += random_up_to(&play->bursts[me], plan->burst_max);
        play->rounds_sent++;
    }
}

static bool play_done(const struct play *play)
{
    const struct ring_stress_plan *plan = play->side->plan;
    int me = play->side->end->side;
    bool sends = !plan->stream || me == 0, receives = !plan->stream || me == 1;
    return (!sends ||
            (play->rounds_sent == plan->rounds && play->side->sent == play->send_until)) &&
           (!receives ||
            (play->rounds_received == plan->rounds && play->side->received == play->receive_until));
}

/* Send one chunk of the burst; true if something went. */
static bool play_send(struct play *play)
{
    struct ring_stress_side *side = play->side;
    unsigned char bytes[CHUNK_MAX];
    uint64_t left = play->send_until - side->sent;
    if (left == 0)
        return false;
    uint32_t chunk = random_up_to(&play->random, side->plan->chunk_max);
    uint32_t count = left < chunk ? (uint32_t)left : chunk;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = ring_stress_byte(side->plan->seed, side->end->side, side->sent + i);
    size_t taken = ring_write(side->end, bytes, count);
    side->sent += taken;
    play_pause(play);
    if (taken > 0)
        side->rings += doorbell_ring(side->peer);
    return taken > 0;
}

/* Receive all that is there; true if something came. `*wrong` when it is not what was sent. */
static bool play_receive(struct play *play, bool *wrong)
{
    struct ring_stress_side *side = play->side;
    unsigned char bytes[CHUNK_MAX];
    uint64_t before = side->received;
    size_t got;
    while ((got = ring_read(side->end, bytes, random_up_to(&play->random, side->plan->chunk_max))) >
           0) {
        for (size_t i = 0; i < got; i++)
            *wrong |= bytes[i] !=
                      ring_stress_byte(side->plan->seed, 1 - side->end->side, side->received + i);
        side->received += got;
    }
    play_pause(play);
    if (ring_peer_wants_space(side->end))
        side->rings += doorbell_ring(side->peer);
    return side->received > before;
}

static const char *play_sleep(struct play *play)
{
    struct ring_stress_side *side = play->side;
    doorbell_prepare(side->own);
    play_pause(play);
    if (ring_pending(side->end)) {
        doorbell_cancel(side->own);
        return NULL;
    }
    side->sleeps++;
    uint64_t patience_ns = (uint64_t)wait_scaled_ms(RING_STRESS_LOST_MS) * 1000000u;
    if (doorbell_sleep(side->own, wait_now_ns() + patience_ns) != MOB_OK)
        return "a sleep lasted to its deadline: a wake-up was lost";
    return NULL;
}

const char *ring_stress_run(struct ring_stress_side *side)
{
    const struct ring_stress_plan *plan = side->plan;
    uint64_t seed = plan->seed | 1;
    struct play play = {.side = side,
                        .random = mix(seed + 11 + (uint64_t)side->end->side) | 1,
                        .bursts = {mix(seed + 101) | 1, mix(seed + 103) | 1}};
    bool wrong = false;
    assert_true(plan->chunk_max <= CHUNK_MAX);
    for (;;) {
        play_turn(&play);
        if (play_done(&play))
            return NULL;
        bool moved = play_receive(&play, &wrong);
        play_turn(&play);
        moved |= play_send(&play);
        if (wrong)
            return "a byte is not the one that was sent";
        if (ring_broken(side->end))
            return "the ring is broken";
        if (side->received > play.receive_until && !plan->stream)
            return "more came than was sent";
        if (moved)
            continue;
        const char *lost = play_sleep(&play);
        if (lost != NULL)
            return lost;
    }
}

void ring_stress_pair_open(struct ring_stress_pair *pair, size_t ring_size, enum doorbell_kind kind)
{
    int fd = -1, page_fd = -1, event_fd = -1;
    assert_int_equal(ring_pair_create(ring_size, &fd, NULL), MOB_OK);
    for (int side = 0; side < 2; side++) {
        assert_int_equal(ring_open(&pair->ends[side], fd, side, NULL), MOB_OK);
        assert_int_equal(doorbell_create(&pair->bells[side], kind, &page_fd, &event_fd, NULL),
                         MOB_OK);
        assert_int_equal(doorbell_peer_open(&pair->peers[1 - side], kind, page_fd, event_fd, NULL),
                         MOB_OK);
    }
    close(fd);
}

void ring_stress_pair_close(struct ring_stress_pair *pair)
{
    for (int side = 0; side < 2; side++) {
        ring_close(&pair->ends[side]);
        doorbell_close(&pair->bells[side]);
        doorbell_peer_close(&pair->peers[side]);
    }
}
