/* race.h: two functions at the same moment, again and again, on two threads.
 * Owns nothing. Bound: as many rounds as asked. Runs on: the caller's thread and one more. Touches:
 * threads. For what must hold between two short pieces of code whatever their timing: a stress test
 * of whole programs meets the few dangerous nanoseconds too seldom. */
#ifndef MOB_TEST_SUPPORT_RACE_H
#define MOB_TEST_SUPPORT_RACE_H
#include <stdint.h>

struct race {
    void (*left)(void *context);  /* on the caller's thread */
    void (*right)(void *context); /* on the other, at the same moment */
    /* On the caller's thread, after both. NULL, or what does not hold; that ends the race. */
    const char *(*judge)(void *context);
    void *context;
};

/* NULL when all rounds were right. What one side wrote before, the other sees after the round. */
const char *race_run(const struct race *race, uint32_t rounds);
#endif
