/* wait.h: waiting for something to become true in other processes, instead of sleeping.
 * Owns nothing. Runs on: any thread of a test. Touches: the clock. */
#ifndef MOB_TEST_SUPPORT_WAIT_H
#define MOB_TEST_SUPPORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* Evaluate `condition` again and again until it holds or `timeout_ms` have passed; true when it
 * held. The time is multiplied by MOBULA_TEST_SLOWER. `condition` is any expression, evaluated at
 * least once: assert_true(wait_until(processes_count(pid) == 0, 2000)); */
#define wait_until(condition, timeout_ms)                                                          \
    __extension__({                                                                                \
        struct wait wait_state_ = wait_start(timeout_ms);                                          \
        bool wait_held_ = false;                                                                   \
        do                                                                                         \
            wait_held_ = (condition);                                                              \
        while (!wait_held_ && wait_again(&wait_state_));                                           \
        wait_held_;                                                                                \
    })

struct wait {
    uint64_t deadline_ns;
    uint64_t pause_ns;
};

struct wait wait_start(int timeout_ms);

/* Pause for a moment, longer each time up to 20 ms. False, at once, when the time is over. */
bool wait_again(struct wait *wait);

/* Monotonic time. */
uint64_t wait_now_ns(void);

/* `ms` times MOBULA_TEST_SLOWER, which the sanitizer targets set. */
int wait_scaled_ms(int ms);

#endif
