/* log.c: each line is one write, so lines of several processes on one stderr do not mix. */
#include "protocol/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/clock.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *log_name = "mobula";
static enum log_level log_level = LOG_INFO;

void log_start(const char *name, enum log_level level)
{
    log_name = name;
    log_level = level;
}

int log_level_of(const char *name)
{
    for (int i = 0; i <= LOG_DEBUG; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

/* Whether this line may be written; `*left_out`: how many were not, in the last second that had too
 * many. */
static int place_admits(struct log_place *place, uint64_t second, uint32_t *left_out)
{
    *left_out = 0;
    if (atomic_load(&place->second) != second) {
        uint32_t count = atomic_exchange(&place->count, 0);
        atomic_store(&place->second, second);
        *left_out = count > LOG_BURST ? count - LOG_BURST : 0;
    }
    return atomic_fetch_add(&place->count, 1) < LOG_BURST;
}

void log_write(struct log_place *place, enum log_level level, const char *format, ...)
{
    if (level > log_level)
        return;
    uint64_t now_ms = clock_real_ms();
    uint32_t left_out;
    if (!place_admits(place, now_ms / 1000, &left_out))
        return;
    char line[LOG_LINE_MAX];
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm when;
    gmtime_r(&seconds, &when);
    size_t used = strftime(line, sizeof line, "%FT%T", &when);
    used += (size_t)snprintf(line + used, sizeof line - used, ".%03uZ %s %s ",
                             (unsigned)(now_ms % 1000), level_names[level], log_name);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + used, sizeof line - used, format, args);
    va_end(args);
    used = n < 0 ? used : used + (size_t)n;
    if (left_out > 0 && used < sizeof line)
        used += (size_t)snprintf(line + used, sizeof line - used, " left_out=%" PRIu32, left_out);
    if (used > sizeof line - 1)
        used = sizeof line - 1;
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* There is nobody to tell. */
}
