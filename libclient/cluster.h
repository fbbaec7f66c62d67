/* cluster.h: how a driver gets its connection: by joining a cluster or by starting one of its own.
 * Owns the private cluster's processes. Runs on: the thread that calls mob_init or mob_shutdown. */
#ifndef MOB_CLIENT_CLUSTER_H
#define MOB_CLIENT_CLUSTER_H
#include <mobula.h>

#include "libclient/connection.h"

struct cluster_want {
    const struct mob_config *config;
    char **argv;         /* of main, or NULL: read from /proc */
    const char *address; /* "ipc:///path" or a loopback "tcp://127.0.0.1:port"; NULL for a private
                            cluster */
    int timeout_ms;
};

/* private.c: start head and node, whose life follows this process, and connect. */
int cluster_start(const struct cluster_want *want, struct connection *out,
                  struct mob_err *err) MOB_MUST_CHECK;
/* Wait until a private cluster is gone; nothing to do for one that was joined. The connection is
 * closed already. */
void cluster_stop(void);
/* join.c: ask the head at `address` for this machine's node, and connect. */
int cluster_join(const struct cluster_want *want, struct connection *out,
                 struct mob_err *err) MOB_MUST_CHECK;
/* hello.c: what this process tells its node: itself as a package that workers are made of. */
int cluster_greet(const struct cluster_want *want, int control_fd, struct connection *out,
                  struct mob_err *err) MOB_MUST_CHECK;
#endif
