/* shell.h: the node's process around its core: sockets, rings, shared memory, programs, and the
 * loop that drives it all.
 *
 *   shell.c    the loop: wait, take what came, do the core's effects, move its bytes out
 *   members.c  drivers and workers: set up, joined by ring pairs, their output, their end
 *   sites.c    what a job has here: its program, zygote and arena; ending process trees
 *   local.c    the local socket and the greeting of drivers
 *   uplink.c   the head
 *
 * Owns everything below it. Bounds: struct node_config. Runs on: the main thread. */
#ifndef MOB_NODE_SHELL_H
#define MOB_NODE_SHELL_H
#include "node/core.h"
#include "protocol/daemon.h"
#include "protocol/sender.h"

struct shell_config {
    struct node_config core;
    const char *head;        /* endpoint */
    const char *local;       /* path or @name of the local socket; NULL: none */
    int driver_fd;           /* control socket of a private driver, or -1 */
    struct access access;    /* who may use the node; its token also opens the head */
    uint64_t populate_bytes; /* of each arena, ahead of use */
};

/* Run until told to stop. Returns MOB_OK after a clean end (SIGTERM, SIGINT, the end of whom it
 * follows), when no process that the node started is left; otherwise what failed. */
int node_shell_run(const struct shell_config *config, struct daemon *daemon,
                   struct mob_err *err) MOB_MUST_CHECK;
#endif
