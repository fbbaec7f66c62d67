/* core.h: what the head decides: who is a member, which jobs run, which process ids are whose, what
 * is where. A pure core: events and the time go in; records to commit, frames to send and effects
 * come out. The shell (head/shell.c) owns sockets, the journal and the clock.
 *
 * One turn, in the shell as in the simulation:
 *     for each event that waits: head_core_on_frame, _disconnected, _tick
 *     if (head_core_commit(core, &commit)) { make it durable; head_core_committed(core,
 * commit.number); } while (head_core_next_effect(...)) do it while (head_core_outgoing(...)) send
 * it Nothing is sent while records are not committed, so nothing is promised that a crash could
 * take back.
 *
 * A node is known by its place, its machine's boot id and the path of its local socket, and by its
 * incarnation; one without a socket (of a private cluster) by its incarnation alone, and no driver
 * is sent to it. It speaks over one connection at a time; a hello that claims the place of a node
 * whose connection is alive is refused (MOB_EAGAIN: come again when that connection has ended). A
 * hello with another incarnation ends what was there.
 *
 * Owns the connections, their links, and the state (head/state.h). Bounds: struct head_config. Runs
 * on: the head's loop. Touches: no I/O. Invariants: head_core_check. */
#ifndef MOB_HEAD_CORE_H
#define MOB_HEAD_CORE_H
#include "protocol/link.h"
#include "protocol/sender.h"

enum { HEAD_CPU = 10000 }; /* one cpu, in the unit of every cpu figure */

struct head_config {
    struct access access;
    uint32_t connections_max, nodes_max, jobs_max, workers_max;
    uint32_t history_max; /* ended jobs that are remembered */
    uint64_t objects_max;
    uint32_t blocks_max;    /* blocks of process ids, per node */
    uint64_t process_block; /* process ids in a block */
    uint64_t node_lost_ms;  /* a node that is silent for this long counts as lost */
    uint64_t
        refused_ms; /* a refused connection is cut after this: time for the refusal to arrive */
};

/* Records that must be durable before anything else is sent. Valid until head_core_committed. */
struct commit {
    uint64_t number; /* the last one's + 1 */
    uint32_t count;
    struct view records;
};

enum head_effect_kind {
    HEAD_CUT,  /* connection: end it; the core has forgotten it */
    HEAD_NOTE, /* text: a line for the log, event first */
};

struct head_effect {
    enum head_effect_kind kind;
    uint64_t connection;
    bool warn;
    char text[256];
};

struct head_counts {
    uint64_t nodes, nodes_away, nodes_lost, jobs, workers, objects, connections;
    uint64_t frames;       /* that arrived */
    uint64_t before_hello; /* refused: the sender has not said hello */
    uint64_t denied;       /* refused: uid, token or version */
    uint64_t identity;  /* refused: claims to be a node that speaks over another connection, or did
                           later */
    uint64_t malformed; /* refused: ended the connection */
    uint64_t channel;   /* refused: a message that its sender's role may not send */
    uint64_t foreign;   /* refused: names a job, process or object that is not its sender's */
    uint64_t stale;     /* ignored: a request below one that took effect */
    uint64_t full;      /* refused: a table is full */
    uint64_t other_session; /* ignored by links */
    uint64_t messages[64];  /* taken, by number */
};

struct head_core;

int head_core_create(struct head_core **out, const struct head_config *config,
                     struct mob_err *err) MOB_MUST_CHECK;
void head_core_destroy(struct head_core *core);
/* Rebuild from records; any number of times before head_core_start. MOB_EJOURNAL: they contradict
 * each other. */
int head_core_replay(struct head_core *core, struct view records,
                     struct mob_err *err) MOB_MUST_CHECK;
/* Serve: a new epoch begins, which is the first record to commit. */
void head_core_start(struct head_core *core, uint64_t last_commit, uint64_t now_ms);

/* ---- events ---- */
/* A frame arrived. `frame` is needed only during the call. */
void head_core_on_frame(struct head_core *core, const struct sender *sender, struct view frame,
                        uint64_t now_ms);
/* The connection has ended; unknown ones are fine. */
void head_core_disconnected(struct head_core *core, uint64_t connection, uint64_t now_ms);
void head_core_tick(struct head_core *core, uint64_t now_ms);
/* The next time at which head_core_tick wants to be called; UINT64_MAX = none. */
uint64_t head_core_deadline(const struct head_core *core);

/* ---- what comes out ---- */
bool head_core_commit(const struct head_core *core, struct commit *out);
void head_core_committed(struct head_core *core, uint64_t number);
bool head_core_next_effect(struct head_core *core, struct head_effect *out);
/* The next frame to send; false when there is none, or while a commit is open. Valid until the next
 * call. One that the transport does not take counts as lost: links repeat, drivers ask again. */
bool head_core_outgoing(struct head_core *core, uint64_t now_ms, uint64_t *connection,
                        struct view *frame);

/* ---- looking in ---- */
void head_core_counts(const struct head_core *core, struct head_counts *out);
/* The durable state as text (head/state.h), appended. */
int head_core_dump(const struct head_core *core, struct buffer *out) MOB_MUST_CHECK;
bool head_core_check(const struct head_core *core, struct mob_err *err);
uint64_t head_core_epoch(const struct head_core *core);
#endif
