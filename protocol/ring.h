/* ring.h: two byte streams in shared memory between two processes, one each way.
 *
 * A pair is one memfd, sealed against shrinking and growing before anybody else sees it: a header
 * (size, `revoked`, one mark for each side) and two rings. The node creates it and passes the
 * descriptor; each side opens its end once. A stream is reliable and ordered until the pair is
 * revoked; what a writer wrote before it died stays readable. A pair is never used again for
 * others: its memory goes with its last mapping.
 *
 * Owns: an end owns its mapping; descriptors stay the caller's. Bound: the size given at creation,
 * each way. Runs on: one thread at a time for the writing half of an end, one (maybe another) for
 * the reading half. Touches: shared memory; memfd and mmap in create, open and close. Nothing here
 * blocks or rings a doorbell. Invariant: the other end may be hostile. Its indices are read once
 * into private memory and checked; an impossible one breaks this end for good (ring_broken), and no
 * access is ever outside the mapping. The bytes are whatever the other end put there: copy them
 * out, then check them.
 *
 * A turn of one who may sleep, so that no wake-up is lost:
 *     n = ring_read(...) until 0; if (ring_peer_wants_space(end)) ring the peer's doorbell;
 *     if (ring_write(...) > 0) ring the peer's doorbell;
 *     doorbell_prepare(db); if (ring_pending(end)) doorbell_cancel(db); else doorbell_sleep(db,
 * deadline_ns); */
#ifndef MOB_PROTOCOL_RING_H
#define MOB_PROTOCOL_RING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/errors.h"

#define RING_SIZE_DEFAULT ((size_t)64 * 1024)
#define RING_SIZE_MIN     ((size_t)4096)
#define RING_SIZE_MAX     ((size_t)64 * 1024 * 1024)

/* Who opens: side 0 or 1 reads and writes; an observer (the node, between two others) revokes and
 * reads marks. */
enum ring_side { RING_SIDE_0 = 0, RING_SIDE_1 = 1, RING_OBSERVER = 2 };

struct ring_header;
struct ring_control;

/* The writing half: private to this process, apart from what the pointers lead to. */
struct ring_out {
    struct ring_control *control;
    unsigned char *data;
    uint64_t tail;      /* ours: bytes written since the beginning */
    uint64_t peer_head; /* the last good look at the reader's index */
    bool waits;         /* the last write was short */
    bool broken;
};

/* The reading half, likewise. */
struct ring_in {
    struct ring_control *control;
    const unsigned char *data;
    uint64_t head;      /* ours: bytes read since the beginning */
    uint64_t peer_tail; /* the last good look at the writer's index */
    bool freed;         /* space was given back since the last ring_peer_wants_space */
    bool ended;         /* revoked and read to the end */
    bool broken;
};

/* One end of a pair, in the caller's storage. The halves are apart so that two threads do not share
 * a line. */
struct ring_end {
    struct ring_header *shared;
    size_t mapped_bytes;
    uint64_t size; /* of each stream's buffer, a power of two; the private copy counts */
    int side;
    _Alignas(128) struct ring_out out;
    _Alignas(128) struct ring_in in;
};

/* Make a pair with `size` bytes each way (a power of two from RING_SIZE_MIN to RING_SIZE_MAX) and
 * seal it.
 * `*fd` (close-on-exec) belongs to the caller. MOB_EINVAL, MOB_ESYSTEM, MOB_ENOMEM. */
int ring_pair_create(size_t size, int *fd, struct mob_err *err) MOB_MUST_CHECK;

/* Map `fd` as `side`. A side is opened once in the life of a pair. The descriptor stays the
 * caller's and may be closed at once. MOB_EPROTO when it is not a sealed pair of this version; then
 * `end` may still be closed. */
int ring_open(struct ring_end *end, int fd, int side, struct mob_err *err) MOB_MUST_CHECK;
/* Unmap. The other end notices nothing: revoke first to tell it. Closing twice, or a zeroed end, is
 * fine. */
void ring_close(struct ring_end *end);

/* Take what fits of `size` bytes and publish it. Returns the bytes taken: 0 when the ring is full,
 * revoked or broken. After a return above 0 the caller rings the reader's doorbell. After a short
 * return the reader will find that its peer wants space; the caller writes again or sleeps, and
 * sleeps only after ring_pending, asked behind doorbell_prepare, said no. */
size_t ring_write(struct ring_end *end, const void *bytes, size_t size) MOB_MUST_CHECK;
/* Copy out up to `size` bytes and give their space back. 0 when there is nothing (or never will be,
 * see ring_revoked and ring_broken). Before it sleeps, a reader reads until 0 and asks
 * ring_peer_wants_space. */
size_t ring_read(struct ring_end *end, void *bytes, size_t size) MOB_MUST_CHECK;
/* Whether the caller must now ring the writer's doorbell: it waits, and half the ring is free. Says
 * yes once per short write. To be asked after the last ring_read of a turn; costs one fence if
 * something was read. */
bool ring_peer_wants_space(struct ring_end *end) MOB_MUST_CHECK;

/* Bytes that ring_read would give now, and that ring_write would take. 0 when revoked (writing) or
 * broken. */
size_t ring_readable(struct ring_end *end);
size_t ring_writable(struct ring_end *end);
/* The recheck between doorbell_prepare and doorbell_sleep: whether there is something to do here:
 * bytes to read, space for a write that was short, or the end of the ring. A revoked or broken ring
 * is pending until closed. */
bool ring_pending(struct ring_end *end);

/* End both streams. What was written stays readable; new writes take nothing; a write that runs at
 * this very moment may still be taken and never be read. Once ring_read has returned 0 on a revoked
 * ring it always will. Any end or observer, any thread, any number of times. The caller rings both
 * sides' doorbells. */
void ring_revoke(struct ring_end *end);
bool ring_revoked(const struct ring_end *end);
/* Whether the other end wrote impossible indices (MOB_EPROTO). Final: this end reads and writes
 * nothing more. */
bool ring_broken(const struct ring_end *end);

/* A word that a side sets at any time for one plain store (the task that it runs), and that anybody
 * with the pair can read, also after that side has died. It is that side's claim and nothing more.
 */
void ring_mark_set(struct ring_end *end, uint64_t mark);
uint64_t ring_mark_get(const struct ring_end *end, int side);
#endif
