/* crash.h: what a worker notes when user code crashes: signal, address and the name of the
 * innermost user function, in its report (protocol/report.h), which its node reads after its death.
 *
 * Only in workers, and only for signals for which the program has no handler of its own (a
 * sanitizer's counts as one). The process still dies of the signal, with its core file if cores are
 * on. Owns: an alternate stack for each thread that installs. Runs on: crash_install on the thread
 * that runs user code; the handler on whichever crashes. Touches: signals, the program's own files,
 * read-only. */
#ifndef MOB_CRASH_H
#define MOB_CRASH_H
#include "protocol/report.h"

/* Zygote, before it forks: do once what must not be done for the first time in a handler. Cheap. */
void crash_prepare(void);
/* Worker: install. `dump` (may be NULL) is called in the handler, to save output that is still in a
 * buffer; it may only do what a signal handler may. Failing to install is no error: the death is
 * then reported without a name. */
void crash_install(struct report *report, void (*dump)(void));
#endif
