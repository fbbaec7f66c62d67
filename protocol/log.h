/* log.h: lines for people and machines: `<time> <level> <event> key=value ...` on stderr.
 * error = someone must act, warn = degraded, info = life cycle, debug = off. Each place in the code
 * writes at most LOG_BURST lines per second; the next line after a pause says how many were left
 * out. Owns one level and one name. Thread-safe after log_start. Touches: stderr, the clock. */
#ifndef MOB_PROTOCOL_LOG_H
#define MOB_PROTOCOL_LOG_H
#include <stdatomic.h>
#include <stdint.h>

enum { LOG_BURST = 20, LOG_LINE_MAX = 1024 };
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* One per place. */
struct log_place {
    _Atomic uint64_t second;
    _Atomic uint32_t count;
};

/* `name` stands in each line (head, node). Lines above `level` are not written. */
void log_start(const char *name, enum log_level level);
/* error, warn, info or debug; -1 for anything else. */
int log_level_of(const char *name);
void log_write(struct log_place *place, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* log_at(LOG_INFO, "node.joined node=%" PRIu64, id): event first, then key=value. */
#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        static struct log_place place_;                                                            \
        log_write(&place_, level, __VA_ARGS__);                                                    \
    } while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#endif
