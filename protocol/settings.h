/* settings.h: the settings of settings.def as one struct, read from command line, environment and
 * defaults. Owns nothing: texts point into argv and the environment. Runs on: the main thread.
 * Touches: no I/O. */
#ifndef MOB_PROTOCOL_SETTINGS_H
#define MOB_PROTOCOL_SETTINGS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/errors.h"

enum settings_role { ROLE_HEAD = 1, ROLE_NODE = 2, ROLE_CLIENT = 4 };
enum { SETTINGS_UIDS_MAX = 64 };

struct settings_uids {
    size_t count;
    uint64_t list[SETTINGS_UIDS_MAX];
};

typedef uint64_t setting_number;
typedef const char *setting_text;  /* "" when unset */
typedef const char *setting_level; /* a name that log_level_of knows */
typedef int setting_fd;            /* -1 when unset */
#define setting_uids struct settings_uids

struct settings {
#define SETTING(name, kind, roles, initial, least, most, unit, text) setting_##kind name;
#include "protocol/settings.def"
#undef SETTING
    bool help;           /* --help was given: nothing else was checked */
    const char *unknown; /* a variable MOBULA_... that is no setting, "NAME=value"; NULL when there
                            is none */
};

/* Fill `s` for one role: --name VALUE and --name=VALUE over MOBULA_NAME over the defaults.
 * MOB_EOPTION with a text that names the setting, what is wrong, and what is right. */
int settings_read(struct settings *s, enum settings_role role, char *const argv[],
                  char *const environment[], struct mob_err *err) MOB_MUST_CHECK;
/* One line for each setting of the role: flag, unit, default, text. Returns the length, cut at size
 * - 1. */
size_t settings_usage(enum settings_role role, char *text, size_t size);
#endif
