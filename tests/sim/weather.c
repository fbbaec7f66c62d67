/* weather.c: what is drawn from the seed before anything runs: sizes, speeds, programs and faults.
 * Some seeds are calm, so that nothing excuses an error there. */
#include "tests/sim/sim.h"

#include <inttypes.h>

static uint64_t pick(struct random *r, const uint64_t *choices, size_t count)
{
    return choices[random_below(r, count)];
}
#define PICK(r, ...)                                                                               \
    pick((r), (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_faults(struct weather *w, struct random *r)
{
    w->calm = random_chance(r, 200);
    w->faults_end_ns = random_between(r, 100, 3000) * MS;
    w->lose = w->calm ? 0 : (uint32_t)PICK(r, 0, 10, 50, 200, 400);
    w->repeat = w->calm ? 0 : (uint32_t)PICK(r, 0, 10, 100, 300);
    w->packet_delay_ns = PICK(r, 200 * US, 2 * MS, 50 * MS);
    if (w->calm)
        return;
    w->partition_every_ns = PICK(r, 0, 0, 300 * MS, 1000 * MS);
    w->partition_ns = PICK(r, 20 * MS, 200 * MS, 1000 * MS);
    w->kill_worker_every_ns = PICK(r, 0, 2 * MS, 10 * MS, 40 * MS, 200 * MS);
    w->kill_driver_every_ns = PICK(r, 0, 0, 100 * MS, 500 * MS);
    w->kill_node_every_ns = PICK(r, 0, 0, 0, 0, 800 * MS);
    w->kill_head_every_ns = PICK(r, 0, 0, 0, 200 * MS);
    w->kill_zygote_every_ns = PICK(r, 0, 0, 0, 100 * MS);
    w->freeze_every_ns = PICK(r, 0, 0, 20 * MS, 200 * MS);
    w->lie_every_ns = PICK(r, 0, 5 * MS, 50 * MS);
    w->kill_queued = (uint32_t)PICK(r, 0, 0, 10, 100);
    w->kill_hasty = (uint32_t)PICK(r, 0, 0, 300);
    w->disconnect_every_ns = PICK(r, 0, 0, 50 * MS, 300 * MS);
    w->start_fails = (uint32_t)PICK(r, 0, 0, 0, 20, 200);
    w->start_hangs = (uint32_t)PICK(r, 0, 0, 0, 20);
}

static void draw_program(struct weather *w, struct random *r)
{
    static const uint8_t programs[] = {PROGRAM_GRAPH,  PROGRAM_GRAPH, PROGRAM_GRAPH, PROGRAM_NESTED,
                                       PROGRAM_NESTED, PROGRAM_FIB,   PROGRAM_BURST};
    w->program = programs[random_below(r, sizeof programs)];
    w->drivers = (uint32_t)random_between(r, 1, 4);
    w->threads = (uint32_t)random_between(r, 1, THREADS_MAX);
    w->operations = (uint32_t)random_between(r, 5, random_chance(r, 300) ? 400 : 80);
    w->task_us = (uint32_t)PICK(r, 0, 20, 200, 3000, 30000);
    if (w->program == PROGRAM_FIB) {
        w->drivers = 1;
        w->threads = 1;
        w->fib = random_chance(r, 50) ? 15 : (uint32_t)random_between(r, 3, 11);
    }
    if (w->program == PROGRAM_BURST) {
        w->drivers = (uint32_t)random_between(r, 1, 2);
        w->task_us = (uint32_t)PICK(r, 0, 5, 50);
    }
}

void weather_draw(struct weather *w, struct random *r)
{
    draw_faults(w, r);
    draw_program(w, r);
    w->ring_delay_ns = PICK(r, 5 * US, 50 * US, 1 * MS);
    w->ring_parts = (uint32_t)PICK(r, 0, 100, 700);
    w->ring_bytes = (size_t)PICK(r, 512, 4096, 65536, 65536);
    w->cpus = (uint32_t)random_between(r, 1, 4);
    w->workers_max = (uint32_t)PICK(r, 8, 32, 64, 128);
    w->clients_max = (uint32_t)PICK(r, 6, 16, 256, 256);
    w->process_block = PICK(r, 4, 16, 64, 1000);
    w->retries = (uint32_t)random_below(r, 5);
    w->window_ns = PICK(r, 0, 50 * US, 500 * US, 2 * MS);
    w->inline_max = PICK(r, 48, 200, 4096);
    w->store_bytes = PICK(r, 64, 256, 1024) * 1024;
    w->extent_bytes = PICK(r, 4096, 8192, 32768);
    w->lease_idle_ns = PICK(r, 1 * MS, 20 * MS, 500 * MS);
    w->idle_worker_ms = PICK(r, 5, 100, 2000);
    w->load_ms = PICK(r, 50, 200, 1000);
    w->start_worker_ms = PICK(r, 50, 500);
    if (w->program == PROGRAM_FIB && w->calm) { /* nothing may stand in its way */
        w->workers_max = 64;
        w->clients_max = 256;
    }
    w->check_every = w->program == PROGRAM_BURST ? 61 : (uint32_t)PICK(r, 1, 3, 7);
}

void weather_trace(struct sim *s)
{
    const struct weather *w = &s->weather;
    TRACE(s, NULL,
          "seed=%" PRIu64 " calm=%d program=%" PRIu32 " fib=%" PRIu32 " drivers=%" PRIu32
          " threads=%" PRIu32 " operations=%" PRIu32 " cpus=%" PRIu32 " workers_max=%" PRIu32
          " retries=%" PRIu32 " window_us=%" PRIu64 " inline_max=%" PRIu64 " store=%" PRIu64
          " faults_end_ms=%" PRIu64,
          s->seed, w->calm, w->program, w->fib, w->drivers, w->threads, w->operations, w->cpus,
          w->workers_max, w->retries, w->window_ns / US, w->inline_max, w->store_bytes,
          w->faults_end_ns / MS);
    TRACE(s, NULL,
          "lose=%" PRIu32 " repeat=%" PRIu32 " packet_delay_us=%" PRIu64 " start_fails=%" PRIu32
          " start_hangs=%" PRIu32 " kill_queued=%" PRIu32 " kill_hasty=%" PRIu32 " task_us=%" PRIu32
          " ring_delay_us=%" PRIu64 " ring_parts=%" PRIu32 " ring_bytes=%zu",
          w->lose, w->repeat, w->packet_delay_ns / US, w->start_fails, w->start_hangs,
          w->kill_queued, w->kill_hasty, w->task_us, w->ring_delay_ns / US, w->ring_parts,
          w->ring_bytes);
    TRACE(s, NULL,
          "every ms: cut=%" PRIu64 " disconnect=%" PRIu64 " kill_worker=%" PRIu64
          " kill_driver=%" PRIu64 " kill_node=%" PRIu64 " kill_head=%" PRIu64
          " kill_zygote=%" PRIu64 " freeze=%" PRIu64 " lie=%" PRIu64,
          w->partition_every_ns / MS, w->disconnect_every_ns / MS, w->kill_worker_every_ns / MS,
          w->kill_driver_every_ns / MS, w->kill_node_every_ns / MS, w->kill_head_every_ns / MS,
          w->kill_zygote_every_ns / MS, w->freeze_every_ns / MS, w->lie_every_ns / MS);
}
