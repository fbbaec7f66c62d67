/* output.h: what user code in a worker prints through stdio, gathered into whole lines without a
 * system call. stdout and stderr become streams of our own whose bytes go to `emit`; raw writes to
 * descriptors 1 and 2 still go through the pipes to the node. The last bytes of stderr are also
 * kept in the worker's report at once, where its node finds them however the worker ends.
 *
 * Owns the two streams for the life of the process. Bound: OUTPUT_BYTES_MAX for each stream. Runs
 * on: any thread; stdio's lock of the stream protects each. Touches: stdio. `emit` is called with
 * that lock held, from the thread that printed or flushed: it must not print, and nobody may flush
 * while holding a lock that `emit` takes, but with output_flush_free. */
#ifndef MOB_OUTPUT_H
#define MOB_OUTPUT_H
#include <stddef.h>

#include "protocol/errors.h"
#include "protocol/report.h"

enum { OUTPUT_BYTES_MAX = 16 << 10 };

/* `stream` is 1 or 2; the bytes are whole lines, but for the last line of a task that ends without
 * a newline and for lines longer than OUTPUT_BYTES_MAX. */
typedef void output_emit(int stream, const char *bytes, size_t size, void *context);

/* Worker, once, before user code runs. `report` may be NULL. MOB_ENOMEM. */
int output_install(output_emit *emit, void *context, struct report *report,
                   struct mob_err *err) MOB_MUST_CHECK;
/* The end of a task: emit all that there is, an unfinished line too. Costs two loads when there is
 * nothing. */
void output_flush(void);
/* A task that runs long: emit the whole lines of a stream that nobody is just printing to; never
 * waits. */
void output_flush_free(void);
/* A signal handler: write what was not emitted to descriptors 1 and 2. For crash_install. */
void output_dump(void);
#endif
