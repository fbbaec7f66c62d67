/* errors.h: the error numbers and the sentence that goes with one.
 * Owns nothing. Bound: MOB_ERR_TEXT_MAX bytes of text. Runs on: any thread. Touches: no I/O. */
#ifndef MOB_PROTOCOL_ERRORS_H
#define MOB_PROTOCOL_ERRORS_H
#include <stdbool.h>

#ifndef MOB_MUST_CHECK
#define MOB_MUST_CHECK __attribute__((warn_unused_result))
#endif
#define MOB_ERR_TEXT_MAX 512

#ifndef MOBULA_H /* the public header lists the same numbers; a unit test compares them */
enum mob_code {
    MOB_OK = 0,
#define ERROR(name, number, kind, text, advice) MOB_##name = (number),
#include "protocol/errors.def"
#undef ERROR
};
#endif

/* What failed, in one sentence: what, where, why, what to do. The caller's storage. */
struct mob_err {
    int code;
    char text[MOB_ERR_TEXT_MAX];
};

/* Fill `err` (may be NULL) and return `code`, so that `return mob_err_set(err, ...)` is one line.
 */
int mob_err_set(struct mob_err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As mob_err_set, for a failed system call: adds errno's name and text, returns MOB_ESYSTEM
 * (MOB_ENOMEM for ENOMEM). */
int mob_err_system(struct mob_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Put `context: ` before the text that is there; keeps the code. */
void mob_err_wrap(struct mob_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Static strings for a number: "MOB_EINVAL", "invalid argument", the advice. Unknown numbers have
 * texts too. Those that are public are exported. */
#pragma GCC visibility push(default)
#pragma GCC visibility push(default) /* mobula.h declares these, too */
const char *mob_error_name(int code);
const char *mob_error_text(int code);
const char *mob_error_advice(int code);
/* Whether the same call may succeed later. */
bool mob_error_retry(int code);
#pragma GCC visibility pop
#pragma GCC visibility pop
#endif
