/* ring.c: the byte-stream rings.
 *
 * Indices are free-running 64-bit byte counts, each on a line of its own with one writer. Each half
 * keeps its own index and the last good look at the other's in private memory: the shared copy of
 * our own index is write-only (a hostile peer that changes it confuses nobody but itself), and the
 * other's line is fetched only when the cached value does not suffice. A stream of bytes, not of
 * slots: a frame of any size passes through a ring of any size, and there is no bound on messages
 * here that the message layer would have to know.
 *
 * Space is announced by half a ring, so that a fast writer is not woken for every message that a
 * slow reader takes. The wait is Dekker's: the writer says that it waits, fences
 * (doorbell_prepare), looks at the reader's index and at its own flag (ring_pending); the reader
 * gives space back, fences, looks at the flag, and takes it back before it rings.
 * tests/model/doorbell.pml checks it.
 *
 * Rejected: reusing a revoked pair's memory (both sides' consent would have to be tracked; a fresh
 * memfd costs a few microseconds), and reading our own index back at open (a side is opened once,
 * so it is 0). */
#include "protocol/ring.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/fence.h"

#define RING_MAGIC   UINT64_C(0x676e697261626f6d) /* "mobaring" */
#define RING_VERSION UINT32_C(1)
#define RING_SEALS   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
/* Two lines, because processors fetch lines in pairs. */
#define RING_LINE_BYTES   128
#define RING_HEADER_BYTES ((size_t)4096)

struct ring_control {
    _Alignas(RING_LINE_BYTES) _Atomic uint64_t tail; /* written by the writer */
    _Alignas(RING_LINE_BYTES) _Atomic uint64_t head; /* written by the reader */
    _Alignas(RING_LINE_BYTES) _Atomic uint32_t writer_waits;
};

struct ring_mark {
    _Alignas(RING_LINE_BYTES) _Atomic uint64_t value;
};

struct ring_header {
    uint64_t magic;
    uint32_t version;
    uint32_t reserved;
    uint64_t size;
    _Alignas(RING_LINE_BYTES) _Atomic uint32_t revoked;
    struct ring_mark marks[2];
    struct ring_control controls[2]; /* controls[s]: the stream that side s writes */
};

static_assert(sizeof(struct ring_header) <= RING_HEADER_BYTES, "the header fits its page");
static_assert(offsetof(struct ring_header, revoked) == 128, "layout is shared");
static_assert(offsetof(struct ring_header, marks) == 256, "layout is shared");
static_assert(offsetof(struct ring_header, controls) == 512, "layout is shared");
static_assert(sizeof(struct ring_control) == 384, "layout is shared");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared words need no lock");

static bool size_valid(uint64_t size)
{
    return size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0;
}

static size_t pair_bytes(uint64_t size)
{
    return RING_HEADER_BYTES + 2 * (size_t)size;
}

int ring_pair_create(size_t size, int *fd, struct mob_err *err)
{
    if (!size_valid(size))
        return mob_err_set(err, MOB_EINVAL,
                           "ring size %zu: give a power of two from %zu to %zu bytes", size,
                           RING_SIZE_MIN, RING_SIZE_MAX);
    const struct ring_header header = {.magic = RING_MAGIC, .version = RING_VERSION, .size = size};
    int rc;
    int made = memfd_create("mobula-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0)
        return mob_err_system(err, "creating a ring of %zu bytes: memfd_create", size);
    if (ftruncate(made, (off_t)pair_bytes(size)) != 0) {
        rc = mob_err_system(err, "creating a ring of %zu bytes: ftruncate", size);
        goto fail;
    }
    if (pwrite(made, &header, sizeof header, 0) != (ssize_t)sizeof header) {
        rc = mob_err_system(err, "creating a ring of %zu bytes: writing its header", size);
        goto fail;
    }
    if (fcntl(made, F_ADD_SEALS, RING_SEALS) != 0) {
        rc = mob_err_system(err, "creating a ring of %zu bytes: sealing", size);
        goto fail;
    }
    *fd = made;
    return MOB_OK;
fail:
    close(made);
    return rc;
}

/* The pair's ring size by its file size, or 0: the file size is the one number that nobody can
 * change any more. */
static uint64_t size_by_file(off_t file_bytes)
{
    if (file_bytes < (off_t)pair_bytes(RING_SIZE_MIN) ||
        file_bytes > (off_t)pair_bytes(RING_SIZE_MAX))
        return 0;
    uint64_t size = ((uint64_t)file_bytes - RING_HEADER_BYTES) / 2;
    return size_valid(size) && (off_t)pair_bytes(size) == file_bytes ? size : 0;
}

int ring_open(struct ring_end *end, int fd, int side, struct mob_err *err)
{
    memset(end, 0, sizeof *end);
    if (side != RING_SIDE_0 && side != RING_SIDE_1 && side != RING_OBSERVER)
        return mob_err_set(err, MOB_EINVAL, "opening a ring: there is no side %d", side);
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    if (seals < 0 || fstat(fd, &st) != 0)
        return mob_err_set(err, MOB_EPROTO, "opening a ring: descriptor %d is no memfd", fd);
    if ((seals & RING_SEALS) != RING_SEALS)
        return mob_err_set(err, MOB_EPROTO, "opening a ring: not sealed (seals 0x%x)",
                           (unsigned)seals);
    uint64_t size = size_by_file(st.st_size);
    if (size == 0)
        return mob_err_set(err, MOB_EPROTO, "opening a ring: %lld bytes is no ring's size",
                           (long long)st.st_size);
    void *map = mmap(NULL, pair_bytes(size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return mob_err_system(err, "opening a ring of %llu bytes: mmap", (unsigned long long)size);
    struct ring_header header;
    memcpy(&header, map, offsetof(struct ring_header, revoked));
    if (header.magic != RING_MAGIC || header.version != RING_VERSION || header.size != size) {
        munmap(map, pair_bytes(size));
        return mob_err_set(err, MOB_EPROTO, "opening a ring: header of another kind or version %u",
                           header.version);
    }
    end->shared = map;
    end->mapped_bytes = pair_bytes(size);
    end->size = size;
    end->side = side;
    if (side != RING_OBSERVER) {
        unsigned char *data = (unsigned char *)map + RING_HEADER_BYTES;
        int peer = 1 - side;
        end->out.control = &end->shared->controls[side];
        end->out.data = data + (size_t)side * size;
        end->in.control = &end->shared->controls[peer];
        end->in.data = data + (size_t)peer * size;
    }
    return MOB_OK;
}

void ring_close(struct ring_end *end)
{
    if (end->shared != NULL)
        munmap(end->shared, end->mapped_bytes);
    memset(end, 0, sizeof *end);
}

/* Free bytes, as of a fresh look at the reader's index; it only moves forward, and never past our
 * tail. */
static uint64_t out_free_now(struct ring_out *out, uint64_t size)
{
    uint64_t head = atomic_load_explicit(&out->control->head, memory_order_acquire);
    if (out->broken || head - out->peer_head > out->tail - out->peer_head) {
        out->broken = true;
        return 0;
    }
    out->peer_head = head;
    return size - (out->tail - head);
}

/* Readable bytes, as of a fresh look at the writer's index: never less than before, never more than
 * the ring. */
static uint64_t in_used_now(struct ring_in *in, uint64_t size)
{
    uint64_t tail = atomic_load_explicit(&in->control->tail, memory_order_acquire);
    uint64_t used = tail - in->head;
    if (in->broken || used > size || used < in->peer_tail - in->head) {
        in->broken = true;
        return 0;
    }
    in->peer_tail = tail;
    return used;
}

/* One attempt: copy in what fits and publish it. */
static size_t out_put(struct ring_out *out, uint64_t size, const unsigned char *bytes, size_t count)
{
    uint64_t free_bytes = size - (out->tail - out->peer_head);
    if (free_bytes < count)
        free_bytes = out_free_now(out, size);
    size_t taken = count < free_bytes ? count : (size_t)free_bytes;
    if (taken == 0)
        return 0;
    size_t at = (size_t)(out->tail & (size - 1));
    size_t first = taken < size - at ? taken : (size_t)size - at;
    memcpy(out->data + at, bytes, first);
    memcpy(out->data, bytes + first, taken - first);
    out->tail += taken;
    atomic_store_explicit(&out->control->tail, out->tail, memory_order_release);
    return taken;
}

size_t ring_write(struct ring_end *end, const void *bytes, size_t size)
{
    struct ring_out *out = &end->out;
    assert(out->control != NULL);
    if (size == 0 || out->broken || ring_revoked(end))
        return 0;
    size_t taken = out_put(out, end->size, bytes, size);
    if (taken < size || out->waits) {
        /* No fence and no second look here: who sleeps passes the fence of doorbell_prepare and the
         * look of ring_pending, and who does not sleep tries again. */
        out->waits = taken < size;
        atomic_store_explicit(&out->control->writer_waits, out->waits, memory_order_relaxed);
    }
    return taken;
}

size_t ring_read(struct ring_end *end, void *bytes, size_t size)
{
    struct ring_in *in = &end->in;
    assert(in->control != NULL);
    if (size == 0 || in->broken || in->ended)
        return 0;
    /* Before the index: what was published before the revocation is then seen below. */
    bool revoked = ring_revoked(end);
    uint64_t used = in->peer_tail - in->head;
    if (used < size)
        used = in_used_now(in, end->size);
    if (used == 0) {
        in->ended = revoked;
        return 0;
    }
    size_t given = size < used ? size : (size_t)used;
    size_t at = (size_t)(in->head & (end->size - 1));
    size_t first = given < end->size - at ? given : (size_t)end->size - at;
    memcpy(bytes, in->data + at, first);
    memcpy((unsigned char *)bytes + first, in->data, given - first);
    in->head += given;
    in->freed = true;
    atomic_store_explicit(&in->control->head, in->head, memory_order_release);
    return given;
}

bool ring_peer_wants_space(struct ring_end *end)
{
    struct ring_in *in = &end->in;
    if (!in->freed)
        return false;
    in->freed = false;
    fence_full();
    if (atomic_load_explicit(&in->control->writer_waits, memory_order_relaxed) == 0)
        return false;
    /* An old look at the tail only makes this earlier, never later; and while more than half is
     * unread, the reader has yet to come here again. */
    if (in->peer_tail - in->head > end->size / 2)
        return false;
    return atomic_exchange_explicit(&in->control->writer_waits, 0, memory_order_acq_rel) != 0;
}

size_t ring_readable(struct ring_end *end)
{
    return end->in.ended ? 0 : (size_t)in_used_now(&end->in, end->size);
}

size_t ring_writable(struct ring_end *end)
{
    return ring_revoked(end) ? 0 : (size_t)out_free_now(&end->out, end->size);
}

/* A writer that was short may sleep only while its flag stands. It is not enough that the ring is
 * full: the reader may have taken the flag back for space that a later write has used since. */
static bool out_pending(struct ring_end *end)
{
    struct ring_out *out = &end->out;
    return out->waits &&
           (atomic_load_explicit(&out->control->writer_waits, memory_order_relaxed) == 0 ||
            ring_writable(end) > 0);
}

bool ring_pending(struct ring_end *end)
{
    return ring_revoked(end) || ring_readable(end) > 0 || out_pending(end) || ring_broken(end);
}

void ring_revoke(struct ring_end *end)
{
    atomic_store_explicit(&end->shared->revoked, 1, memory_order_release);
}

bool ring_revoked(const struct ring_end *end)
{
    return atomic_load_explicit(&end->shared->revoked, memory_order_acquire) != 0;
}

bool ring_broken(const struct ring_end *end)
{
    return end->out.broken || end->in.broken;
}

void ring_mark_set(struct ring_end *end, uint64_t mark)
{
    assert(end->side == RING_SIDE_0 || end->side == RING_SIDE_1);
    atomic_store_explicit(&end->shared->marks[end->side].value, mark, memory_order_release);
}

uint64_t ring_mark_get(const struct ring_end *end, int side)
{
    assert(side == RING_SIDE_0 || side == RING_SIDE_1);
    return atomic_load_explicit(&end->shared->marks[side].value, memory_order_acquire);
}
