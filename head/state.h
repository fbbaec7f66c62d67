/* state.h: what the head knows for good: nodes, their blocks of process ids, jobs, workers, stored
 * objects, counters. Changed by records alone, when they are made and when they are replayed, so
 * that a restarted head holds the same. The core (head/core.c) decides which records to make. Owns
 * all of it. Bounds: the core's, checked before a record is made. Runs on: the head's loop.
 * Touches: no I/O. Invariants (state_check): a job that has not ended has a living node; workers
 * and objects belong to jobs that have not ended; no process id belongs to two blocks, and none
 * lies above the counter. */
#ifndef MOB_HEAD_STATE_H
#define MOB_HEAD_STATE_H
#include <stdlib.h>

#include "protocol/memory.h"

#define uthash_fatal(text)   abort()
#define uthash_malloc(size)  memory_alloc(size)
#define uthash_free(p, size) memory_free(p)
#include <uthash.h>

#include "head/records.h"

struct connection; /* head/core.c */

struct state_block {
    uint64_t request, first, count;
    struct state_block *next;
};

struct state_node {
    uint64_t node, incarnation,
        session; /* session: of the newest link; the one it joined over is durable */
    char *machine, *local;
    uint64_t cpus, store_bytes;
    uint64_t request; /* highest job_start that took effect */
    struct state_block *blocks;
    uint32_t block_count, job_count;
    UT_hash_handle hh;
    /* Soft: known from reports, not in the journal. */
    struct connection *connection; /* NULL while it is away */
    struct msg_node_load load;
    uint64_t seen_ms;
    bool lost;
};

struct state_worker {
    uint64_t process, job, node, pid;
    struct state_worker *prev, *next; /* of the job */
    UT_hash_handle hh;
};

struct state_object {
    struct mob_object id;
    uint64_t job, node, size;
    struct state_object *prev, *next; /* of the job */
    UT_hash_handle hh;
};

struct state_job {
    uint64_t job, node, request, driver, pid, uid;
    char *command;
    bool ended;
    int64_t code;
    struct state_worker *workers;
    struct state_object *objects;
    UT_hash_handle hh;
    uint64_t share; /* soft: cpus last told to the node */
};

/* In the order of their records, so a walk is the same in every run. */
struct state {
    uint64_t epoch, last_job, last_node, last_process;
    struct state_node *nodes;
    struct state_job *jobs;
    struct state_worker *workers;
    struct state_object *objects;
    uint32_t ended_count; /* jobs that are history */
};

void state_fini(struct state *s);
/* Make the change that the record says. MOB_EJOURNAL with `err`: it contradicts the state, which is
 * unchanged; a damaged database, or a bug. */
int state_apply(struct state *s, const struct record *r, struct mob_err *err) MOB_MUST_CHECK;

struct state_node *state_find_node(const struct state *s, uint64_t node);
/* The node of a place: machine and local socket. One without a socket is found by its incarnation:
 * there may be several on a machine. */
struct state_node *state_find_place(const struct state *s, struct view machine, struct view local,
                                    uint64_t incarnation);
struct state_job *state_find_job(const struct state *s, uint64_t job);
struct state_job *state_find_request(const struct state *s, uint64_t node, uint64_t request);
struct state_worker *state_find_worker(const struct state *s, uint64_t process);
struct state_object *state_find_object(const struct state *s, struct mob_object id);
/* Whether the process id lies in a block of the node. */
bool state_has_process(const struct state_node *node, uint64_t process);

/* The durable state as text, one line each, sorted by id: equal states give equal text. MOB_ENOMEM.
 */
int state_dump(const struct state *s, struct buffer *out) MOB_MUST_CHECK;
bool state_check(const struct state *s, struct mob_err *err);
#endif
