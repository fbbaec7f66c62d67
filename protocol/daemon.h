/* daemon.h: what head and node do alike as processes: their descriptors, signals, whose life they
 * follow, and whom they tell that they serve. Owns the signal descriptor and the two inherited
 * ones. Runs on: the main thread, before any other is made. Touches: descriptors, signals. */
#ifndef MOB_PROTOCOL_DAEMON_H
#define MOB_PROTOCOL_DAEMON_H
#include "protocol/cursor.h"
#include "protocol/errors.h"
#include "protocol/settings.h"

enum { DAEMON_TOKEN_MAX = 256 };

struct daemon {
    int signal_fd; /* readable when SIGTERM or SIGINT came */
    int life_fd;   /* readable when the process whose life is followed has ended; -1: none */
    int ready_fd;  /* -1: nobody waits, or was told */
};

/* First of all in main: descriptors 0 to 2 exist, so that no socket or database becomes stdout; all
 * others close at exec; small processes stay small. */
void daemon_begin(void);
/* Block the signals, check the inherited descriptors (-1: none). MOB_EOPTION when one is not open.
 */
int daemon_open(struct daemon *d, int life_fd, int ready_fd, struct mob_err *err) MOB_MUST_CHECK;
/* Close what is open. */
void daemon_close(struct daemon *d);
/* Tell whoever waits, once: "ready <where>", or the error. */
void daemon_ready(struct daemon *d, const char *where);
void daemon_failed(struct daemon *d, const struct mob_err *err);
/* Read the secret to its end and close `fd`. -1 gives an empty one. MOB_ETOOBIG, MOB_ESYSTEM. */
int daemon_read_token(int fd, uint8_t token[DAEMON_TOKEN_MAX], struct view *out,
                      struct mob_err *err) MOB_MUST_CHECK;

/* What head and node differ in. */
struct daemon_kind {
    const char *name, *usage; /* "head": the program is mobula-head */
    enum settings_role role;
    int (*run)(const struct settings *settings, struct daemon *daemon, struct mob_err *err);
};
/* The whole of main: settings, --help, log, run, and the error said where it is looked for. Returns
 * the exit status: 0, 1 for a failure, 2 for a bad option. */
int daemon_main(const struct daemon_kind *kind, char **argv);
#endif
