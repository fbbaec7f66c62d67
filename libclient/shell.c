/* shell.c: opening and closing the client's shell, what the API does with its lock held, and the
 * arena. */
#include "libclient/shell.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BELLS_OWED_NS = 50000, OUTPUT_AWAIT_NS = 1000000000 };

/* ---- life ---- */

static int arena_map(struct shell *s, struct mob_err *err)
{
    uint64_t size = s->connection->welcome.arena_bytes;
    if (size == 0)
        return MOB_OK;
    void *p = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, s->connection->arena_fd, 0);
    if (p == MAP_FAILED)
        return mob_err_system(err,
                              "cannot map the object store of %zu bytes (raise ulimit -v, or set "
                              "store_bytes of struct mob_config)",
                              (size_t)size);
    s->arena = p;
    return MOB_OK;
}

/* The thread must not take the program's signals. */
static int thread_start(struct shell *s, struct mob_err *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&s->thread, NULL, seat_library_thread, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error != 0)
        return mob_err_set(err, MOB_ESYSTEM, "cannot start the library's thread: %s",
                           strerrordesc_np(error));
    return MOB_OK;
}

static void shell_unmap(struct shell *s)
{
    while (s->peers != NULL) {
        struct shell_peer *p = s->peers;
        s->peers = p->next;
        connection_peer_close(&p->link);
        buffer_fini(&p->in);
        free(p);
    }
    s->node_gone = true;
    buffer_fini(&s->in);
    for (struct shell_extent *e = s->extents; e < s->extents + SHELL_EXTENTS; e++) {
        if (e->memory != NULL)
            munmap(e->memory, e->size);
        *e = (struct shell_extent){0};
    }
    if (s->arena != NULL)
        munmap(s->arena, s->connection->welcome.arena_bytes);
    s->arena = NULL;
    if (s->completion_fd >= 0)
        close(s->completion_fd);
    s->completion_fd = -1;
}

int shell_open(struct shell *s, struct connection *connection, const struct client_config *config,
               struct mob_err *err)
{
    client_destroy(s->core); /* of an earlier time */
    *s = (struct shell){.connection = connection, .completion_fd = -1};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->left, NULL);
    int rc = client_create(&s->core, config, err);
    if (rc == MOB_OK)
        rc = arena_map(s, err);
    if (rc == MOB_OK)
        rc = thread_start(s, err);
    if (rc != MOB_OK)
        shell_unmap(s);
    return rc;
}

/* (locked) What the tasks wrote whose results are here comes by another way than the results, from
 * worker to node to us. Between two answers of the node it has read all rings, so what was in them
 * comes before the second. */
static void output_await(struct shell *s)
{
    uint64_t deadline_ns = shell_now_ns() + OUTPUT_AWAIT_NS;
    for (int i = 0; i < 2; i++) {
        struct waiter w;
        int rc = client_mark(s->core, &w);
        if (rc == MOB_OK)
            rc = shell_wait(s, &w, deadline_ns);
        client_unmark(s->core);
        if (rc != MOB_OK)
            return; /* it is as complete as it gets */
    }
}

void shell_close(struct shell *s)
{
    shell_lock(s);
    output_await(s);
    client_fail_all(s->core, MOB_ESHUTDOWN, "mob_shutdown was called", shell_now_ns());
    if (peer_send(client_node(s->core), goodbye, &(struct msg_goodbye){MOB_OK}) != MOB_OK)
        s->node_gone = true; /* no memory for it: the closed socket says the same */
    turn_flush(s, false);
    seat_wake_woken(s);
    while (s->inside > 0)
        pthread_cond_wait(&s->left, &s->lock);
    pthread_mutex_unlock(&s->lock);
    seat_thread_stop(s);
    shell_lock(s);
    shell_unmap(s);
    pthread_mutex_unlock(&s->lock);
}

/* ---- calls ---- */

void shell_unlock(struct shell *s)
{
    s->activity++;
    turn_flush(s, false);
    seat_wake_woken(s);
    pthread_mutex_unlock(&s->lock);
}

/* (locked) shell_close waits until nobody needs the rings and mappings any more. */
static void inside_leave(struct shell *s)
{
    if (--s->inside == 0)
        pthread_cond_signal(&s->left);
}

static bool waiter_done(struct shell *s, void *what)
{
    (void)s;
    return ((struct waiter *)what)->done;
}

int shell_wait(struct shell *s, struct waiter *w, uint64_t deadline_ns)
{
    struct sleeper self = {.word = 1};
    w->shell = &self;
    s->inside++;
    int rc = seat_wait(s, waiter_done, w, &self, deadline_ns);
    inside_leave(s);
    w->shell = NULL;
    return rc;
}

void shell_poll(struct shell *s)
{
    if (s->seat == SEAT_FREE && turn_read(s))
        seat_wake_woken(s);
}

/* ---- the worker's main thread ---- */

static bool run_queued(struct shell *s, void *what)
{
    (void)what;
    return client_run_ready(s->core);
}

struct run *shell_next_run(struct shell *s)
{
    shell_lock(s);
    for (;;) {
        struct run *r = client_run_next(s->core, s->run_clock_ns);
        if (r != NULL) {
            turn_mark_run(s, r);
            turn_flush(s, true); /* the bells of earlier answers may wait a little longer */
            seat_wake_woken(s);
            seat_unpark(s);
            pthread_mutex_unlock(&s->lock);
            return r;
        }
        struct sleeper self = {.word = 1};
        s->run_sleeper = &self;
        int rc = seat_wait(s, run_queued, NULL, &self, UINT64_MAX);
        (void)rc; /* it has no deadline */
        s->run_sleeper = NULL;
        s->run_clock_ns = shell_now_ns();
    }
}

/* Bytes go out at once, so that they survive this process; the bell waits while more answers are
 * near. */
void shell_unlock_answered(struct shell *s)
{
    uint64_t now = s->run_clock_ns;
    if (s->bells_owed_since_ns == 0)
        s->bells_owed_since_ns = now;
    bool more = client_runs_queued(s->core) > 0;
    turn_flush(s, more && now - s->bells_owed_since_ns < BELLS_OWED_NS);
    seat_wake_woken(s);
    s->activity++;
    pthread_mutex_unlock(&s->lock);
}

/* ---- the arena ---- */

const void *shell_arena(const struct shell *s, uint64_t offset, uint64_t size)
{
    uint64_t bytes = s->connection->welcome.arena_bytes;
    return s->arena != NULL && size <= bytes && offset <= bytes - size ? s->arena + offset : NULL;
}

/* (locked) The writable mapping of the extent that has `offset`; made on first use. Held until
 * writing_end. */
static struct shell_extent *writing_begin(struct shell *s, uint64_t offset, struct mob_err *err)
{
    struct shell_extent *unused = NULL;
    for (struct shell_extent *e = s->extents; e < s->extents + SHELL_EXTENTS; e++) {
        if (e->memory != NULL && offset >= e->offset && offset < e->offset + e->size) {
            e->writers++;
            s->inside++;
            return e;
        }
        if (e->writers == 0 && (unused == NULL || e->memory == NULL))
            unused = e;
    }
    uint64_t start, size;
    if (unused == NULL || !client_extent_of(s->core, offset, &start, &size)) {
        mob_err_set(err, MOB_ELIMIT, "more than %d threads write large values at once",
                    SHELL_EXTENTS);
        return NULL;
    }
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->connection->arena_fd, (off_t)start);
    if (p == MAP_FAILED) {
        mob_err_system(err, "cannot map %zu bytes of the object store for writing", (size_t)size);
        return NULL;
    }
    if (unused->memory != NULL)
        munmap(unused->memory, unused->size);
    *unused = (struct shell_extent){p, start, size, 1};
    s->inside++;
    return unused;
}

/* (locked) */
static void writing_end(struct shell *s, struct shell_extent *e)
{
    e->writers--;
    inside_leave(s);
}

/* (locked) A place for `size` bytes; waits until the node has given room or said that there is
 * none. */
static int place_find(struct shell *s, uint64_t size, uint64_t *offset, struct mob_err *err)
{
    while (!client_place(s->core, size, offset)) {
        struct waiter w = {0};
        int rc = client_extent_want(s->core, size, &w);
        if (rc == MOB_OK)
            rc = shell_wait(s, &w, UINT64_MAX);
        if (rc != MOB_OK)
            return mob_err_set(err, rc, "no room was asked for %zu bytes: %s", (size_t)size,
                               mob_error_text(rc));
        rc = client_extent_result(s->core, size, err);
        if (rc != MOB_OK)
            return rc;
    }
    return MOB_OK;
}

int shell_store(struct shell *s, const struct view *pieces, uint32_t count, uint64_t *offset,
                uint64_t *size, struct mob_err *err)
{
    *size = 0;
    for (uint32_t i = 0; i < count; i++)
        *size += pieces[i].size;
    shell_lock(s);
    int rc = place_find(s, *size, offset, err);
    struct shell_extent *e = rc == MOB_OK ? writing_begin(s, *offset, err) : NULL;
    shell_unlock(s);
    if (e == NULL)
        return rc != MOB_OK ? rc : MOB_ESYSTEM;
    uint8_t *at = (uint8_t *)e->memory + (*offset - e->offset);
    for (uint32_t i = 0; i < count; at += pieces[i].size, i++)
        if (pieces[i].size != 0)
            memcpy(at, pieces[i].data, pieces[i].size);
    shell_lock(s);
    writing_end(s, e);
    shell_unlock(s);
    return MOB_OK;
}

/* The room is placed and given up again at once: the next value of that size finds it in this
 * process's extents. */
int shell_reserve(struct shell *s, uint64_t size, struct mob_err *err)
{
    uint64_t offset;
    shell_lock(s);
    int rc = place_find(s, size, &offset, err);
    struct shell_extent *e = rc == MOB_OK ? writing_begin(s, offset, err) : NULL;
    if (rc == MOB_OK)
        client_unplace(s->core, offset);
    shell_unlock(s);
    if (e == NULL)
        return rc != MOB_OK ? rc : MOB_ESYSTEM;
    uint8_t *memory = (uint8_t *)e->memory + (offset - e->offset);
    uint64_t before = (uintptr_t)memory % (uintptr_t)sysconf(_SC_PAGESIZE);
    if (madvise(memory - before, size + before, MADV_POPULATE_WRITE) != 0)
        rc = mob_err_system(err, "cannot populate %zu bytes of the object store", (size_t)size);
    /* Readers of this process see the pages without faulting one by one. */
    madvise(s->arena + offset - before, size + before, MADV_POPULATE_READ);
    shell_lock(s);
    writing_end(s, e);
    shell_unlock(s);
    return rc;
}
