/* settings.c: a table from settings.def, walked by name; there are some thirty, read once. */
#include "protocol/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_number, KIND_text, KIND_level, KIND_fd, KIND_uids };

static const struct row {
    const char *name;
    enum kind kind;
    unsigned roles;
    uint64_t least, most;
    size_t offset;
    const char *initial, *unit, *text;
} rows[] = {
#define SETTING(name, kind, roles, initial, least, most, unit, text)                               \
    {#name, KIND_##kind, roles, least, most, offsetof(struct settings, name), #initial, unit, text},
#include "protocol/settings.def"
#undef SETTING
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0], NAME_MAX_SIZE = 64 };

static void set_defaults(struct settings *s)
{
#define INITIAL_number(v) (v)
#define INITIAL_text(v)   (v)
#define INITIAL_level(v)  (v)
#define INITIAL_fd(v)     (v)
#define INITIAL_uids(v)   (struct settings_uids){0}
    *s = (struct settings){0};
#define SETTING(name, kind, roles, initial, least, most, unit, text)                               \
    s->name = INITIAL_##kind(initial);
#include "protocol/settings.def"
#undef SETTING
}

/* "jobs-max" and "JOBS_MAX" are jobs_max. */
static char name_letter(char c)
{
    if (c == '-')
        return '_';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static const struct row *row_find(const char *name, size_t size)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        size_t at = 0;
        while (at < size && rows[i].name[at] != 0 && name_letter(name[at]) == rows[i].name[at])
            at++;
        if (at == size && rows[i].name[at] == 0)
            return &rows[i];
    }
    return NULL;
}

static void flag_name(const struct row *row, char *out)
{
    size_t i = 0;
    for (; i < NAME_MAX_SIZE - 1 && row->name[i] != 0; i++)
        out[i] = row->name[i] == '_' ? '-' : row->name[i];
    out[i] = 0;
}

static int unknown_flag(const char *argument, unsigned role, struct mob_err *err)
{
    char list[400], flag[NAME_MAX_SIZE];
    size_t used = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if ((rows[i].roles & role) == 0)
            continue;
        flag_name(&rows[i], flag);
        int n = snprintf(list + used, sizeof list - used, " --%s", flag);
        used = n > 0 && (size_t)n < sizeof list - used ? used + (size_t)n : used;
    }
    return mob_err_set(err, MOB_EOPTION, "%.60s: no such option; there are%s", argument, list);
}

static bool parse_number(const char *text, uint64_t *out)
{
    static const char suffixes[] = "kmg";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *suffix = *end != 0 ? strchr(suffixes, name_letter(*end)) : NULL;
    unsigned shift = suffix != NULL ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if (!digit(text[0]) || errno != 0 || end[suffix != NULL] != 0 || value > UINT64_MAX >> shift)
        return false;
    *out = value << shift;
    return true;
}

/* `where` is what the user wrote: --name or MOBULA_NAME. */
static int bad_value(const struct row *row, const char *where, const char *value,
                     struct mob_err *err)
{
    if (row->kind == KIND_level)
        return mob_err_set(err, MOB_EOPTION, "%s %.60s: give error, warn, info or debug", where,
                           value);
    return mob_err_set(err, MOB_EOPTION,
                       "%s %.60s: give a number from %" PRIu64 " to %" PRIu64 "%s%s", where, value,
                       row->least, row->most, *row->unit != 0 ? ", in " : "", row->unit);
}

static bool set_uids(struct settings_uids *uids, const struct row *row, const char *value)
{
    while (*value != 0) {
        char one[24];
        size_t size = strcspn(value, ",");
        uint64_t uid;
        if (size >= sizeof one || uids->count == SETTINGS_UIDS_MAX)
            return false;
        memcpy(one, value, size);
        one[size] = 0;
        if (!parse_number(one, &uid) || uid > row->most)
            return false;
        uids->list[uids->count++] = uid;
        value += size + (value[size] == ',');
    }
    return true;
}

static bool level_known(const char *value)
{
    return strcmp(value, "error") == 0 || strcmp(value, "warn") == 0 ||
           strcmp(value, "info") == 0 || strcmp(value, "debug") == 0;
}

static int set_value(struct settings *s, const struct row *row, const char *where,
                     const char *value, struct mob_err *err)
{
    void *at = (char *)s + row->offset;
    uint64_t number = 0;
    bool in_range = parse_number(value, &number) && number >= row->least && number <= row->most;
    switch (row->kind) {
    case KIND_number:
        *(uint64_t *)at = number;
        break;
    case KIND_fd:
        *(int *)at = (int)number;
        break;
    case KIND_uids:
        in_range = set_uids(at, row, value);
        break;
    case KIND_level:
        in_range = level_known(value);
        *(const char **)at = value;
        break;
    case KIND_text:
        in_range = true;
        *(const char **)at = value;
        break;
    }
    return in_range ? MOB_OK : bad_value(row, where, value, err);
}

static int read_environment(struct settings *s, unsigned role, char *const environment[],
                            struct mob_err *err)
{
    static const char prefix[] = "MOBULA_", test[] = "MOBULA_TEST_";
    int rc = MOB_OK;
    for (; rc == MOB_OK && environment != NULL && *environment != NULL; environment++) {
        const char *variable = *environment, *value = strchr(variable, '=');
        if (value == NULL || strncmp(variable, prefix, sizeof prefix - 1) != 0)
            continue;
        const char *name = variable + sizeof prefix - 1;
        const struct row *row = row_find(name, (size_t)(value - name));
        char where[NAME_MAX_SIZE];
        snprintf(where, sizeof where, "%.*s", (int)(value - variable), variable);
        if (row != NULL && (row->roles & role) != 0 && row->kind != KIND_fd)
            rc = set_value(s, row, where, value + 1, err);
        else if (row == NULL && strncmp(variable, test, sizeof test - 1) != 0)
            s->unknown = variable;
    }
    return rc;
}

static int read_arguments(struct settings *s, unsigned role, char *const argv[],
                          struct mob_err *err)
{
    bool given[ROW_COUNT] = {false};
    int rc = MOB_OK;
    for (unsigned i = 1; rc == MOB_OK && argv[i] != NULL; i++) {
        const char *flag = argv[i], *value = strchr(flag, '=');
        size_t size = value != NULL ? (size_t)(value - flag) : strlen(flag);
        const struct row *row = strncmp(flag, "--", 2) == 0 ? row_find(flag + 2, size - 2) : NULL;
        if (row == NULL || (row->roles & role) == 0)
            return unknown_flag(flag, role, err);
        char where[NAME_MAX_SIZE];
        snprintf(where, sizeof where, "%.*s", (int)size, flag);
        if (value == NULL && argv[i + 1] == NULL)
            return mob_err_set(err, MOB_EOPTION, "%s: give a value: %s", where, row->text);
        /* A list on the command line replaces one in the environment. */
        if (row->kind == KIND_uids && !given[row - rows])
            memset((char *)s + row->offset, 0, sizeof(struct settings_uids));
        given[row - rows] = true;
        rc = set_value(s, row, where, value != NULL ? value + 1 : argv[++i], err);
    }
    return rc;
}

int settings_read(struct settings *s, enum settings_role role, char *const argv[],
                  char *const environment[], struct mob_err *err)
{
    set_defaults(s);
    for (unsigned i = 1; argv[0] != NULL && argv[i] != NULL; i++)
        if (strcmp(argv[i], "--help") == 0)
            s->help = true;
    if (s->help || argv[0] == NULL)
        return MOB_OK;
    int rc = read_environment(s, role, environment, err);
    return rc == MOB_OK ? read_arguments(s, role, argv, err) : rc;
}

size_t settings_usage(enum settings_role role, char *text, size_t size)
{
    size_t used = 0;
    char flag[NAME_MAX_SIZE];
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        if ((row->roles & (unsigned)role) == 0)
            continue;
        flag_name(row, flag);
        bool set = row->kind == KIND_number || row->kind == KIND_level;
        int n = snprintf(text + used, size - used, "  --%-24s %s%s%s%s%s\n", flag, row->text,
                         set ? " (default " : "", set ? row->initial : "",
                         set && *row->unit != 0 ? " " : "",
                         set ? *row->unit != 0 ? row->unit : "" : "");
        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
        if (set && used + 1 < size) {
            text[used - 1] = ')';
            text[used++] = '\n';
            text[used] = 0;
        }
    }
    return used;
}
