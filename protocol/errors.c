/* errors.c: texts come from errors.def; nothing else knows a number. */
#include "protocol/errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum error_kind { RETRY, FATAL, STATE };

static const struct error_row {
    int code;
    enum error_kind kind;
    const char *name, *text, *advice;
} rows[] = {
    {MOB_OK, STATE, "MOB_OK", "success", ""},
#define ERROR(name, number, kind, text, advice) {number, kind, "MOB_" #name, text, advice},
#include "protocol/errors.def"
#undef ERROR
};

static const struct error_row *row_find(int code)
{
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

int mob_err_set(struct mob_err *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

int mob_err_system(struct mob_err *err, const char *format, ...)
{
    int saved = errno;
    int code = saved == ENOMEM ? MOB_ENOMEM : MOB_ESYSTEM;
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        char reason[64];
        snprintf(err->text + used, sizeof err->text - used, ": %s",
                 strerror_r(saved, reason, sizeof reason));
    }
    return code;
}

void mob_err_wrap(struct mob_err *err, const char *format, ...)
{
    if (err == NULL)
        return;
    char inner[MOB_ERR_TEXT_MAX];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
}

const char *mob_error_name(int code)
{
    const struct error_row *row = row_find(code);
    return row != NULL ? row->name : code > 0 ? "user code" : "unknown error";
}

const char *mob_error_text(int code)
{
    const struct error_row *row = row_find(code);
    return row != NULL ? row->text : code > 0 ? "the task's own code" : "unknown error";
}

const char *mob_error_advice(int code)
{
    const struct error_row *row = row_find(code);
    return row != NULL ? row->advice : "";
}

bool mob_error_retry(int code)
{
    const struct error_row *row = row_find(code);
    return row != NULL && row->kind == RETRY;
}
