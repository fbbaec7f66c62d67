/* sanitizer.h: whether this build watches itself, for what a sanitizer changes: memory and time of
 * its own, which checks that measure them would measure. Such a check is left out with a line
 *
 *     skipped: what, and why
 *
 * on stdout, which the runner shows. Owns nothing. Touches: the environment. */
#ifndef MOB_TEST_SUPPORT_SANITIZER_H
#define MOB_TEST_SUPPORT_SANITIZER_H

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Whether a check that measures memory or time can be made; if not, says that `what` is skipped. */
static inline int sanitizer_lets_measure(const char *what)
{
    if (SANITIZED)
        printf("skipped: %s: a sanitizer's own memory and time would be measured\n", what);
    return !SANITIZED;
}

/* From here on the programs that this one starts die of their signals as in a plain build: the
 * sanitizers leave crashes to the handlers that the programs have. */
static inline void sanitizer_leave_signals(void)
{
    static const char *const variables[] = {"ASAN_OPTIONS", "TSAN_OPTIONS"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *before = getenv(variables[i]);
        char text[4096];
        snprintf(text, sizeof text,
                 "%s:handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0",
                 before != NULL ? before : "");
        setenv(variables[i], text, 1);
    }
}

#endif
