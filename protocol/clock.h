/* clock.h: the time, for shells. Cores are told it.
 * Owns nothing. Any thread. Touches: the clock. */
#ifndef MOB_PROTOCOL_CLOCK_H
#define MOB_PROTOCOL_CLOCK_H
#include <stdint.h>

/* Monotonic: never steps back while the machine runs, the same for all its processes. */
uint64_t clock_now_ns(void);
uint64_t clock_now_ms(void);
/* Of the calendar, for people and log lines. */
uint64_t clock_real_ms(void);
#endif
