/* Polling with a growing pause: short enough that a test which succeeds at once costs nothing, long
 * enough that a test which waits seconds leaves the cpu to the processes it waits for. */
#include "tests/support/wait.h"

#include <stdlib.h>
#include <time.h>

#define NS_PER_MS      1000000u
#define NS_PER_S       1000000000u
#define PAUSE_FIRST_NS 100000u
#define PAUSE_MAX_NS   (20 * NS_PER_MS)

uint64_t wait_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int wait_scaled_ms(int ms)
{
    const char *text = getenv("MOBULA_TEST_SLOWER");
    long slower = text != NULL ? strtol(text, NULL, 10) : 1;
    return ms * (int)(slower < 1 ? 1 : slower);
}

struct wait wait_start(int timeout_ms)
{
    uint64_t timeout_ns = (uint64_t)wait_scaled_ms(timeout_ms) * NS_PER_MS;
    return (struct wait){.deadline_ns = wait_now_ns() + timeout_ns, .pause_ns = PAUSE_FIRST_NS};
}

bool wait_again(struct wait *wait)
{
    uint64_t now_ns = wait_now_ns();
    if (now_ns >= wait->deadline_ns)
        return false;
    uint64_t pause_ns = wait->pause_ns;
    if (pause_ns > wait->deadline_ns - now_ns)
        pause_ns = wait->deadline_ns - now_ns;
    struct timespec pause = {.tv_nsec = (long)pause_ns};
    nanosleep(&pause, NULL);
    wait->pause_ns = wait->pause_ns * 2 > PAUSE_MAX_NS ? PAUSE_MAX_NS : wait->pause_ns * 2;
    return true;
}
