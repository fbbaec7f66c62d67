/* api.c: the plain API of mobula.h over the shell. Each call enters, takes the lock, asks the core,
 * and lets go; nothing else happens here. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libclient/process.h"
#include "protocol/memory.h"

enum { ARGS_MAX = 64, PIECES_MAX = 8 };

static_assert(sizeof(struct mob_piece) == sizeof(struct view), "pieces are passed on as views");
static_assert(sizeof(struct mob_id) == sizeof(struct mob_object), "ids are passed on as objects");

static struct mob_object object_of(struct mob_id id)
{
    return (struct mob_object){id.owner, id.seq};
}

static struct mob_id id_of(struct mob_object object)
{
    return (struct mob_id){object.owner, object.seq};
}

static const struct view *views_of(const struct mob_piece *pieces)
{
    return (const struct view *)(const void *)pieces;
}

static uint64_t deadline_of(int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return UINT64_MAX;
    uint64_t now = shell_now_ns();
    if ((uint64_t)timeout_ms > (UINT64_MAX - now) / 1000000)
        return UINT64_MAX;
    return now + (uint64_t)timeout_ms * 1000000;
}

/* ---- putting ---- */

static uint64_t pieces_size(const struct mob_piece *pieces, uint32_t count)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += pieces[i].size;
    return size;
}

/* A new object of the pieces: in memory when small, else in the arena. */
static int object_put(struct shell *s, const struct mob_piece *pieces, uint32_t count,
                      struct mob_object *out, struct mob_error *err)
{
    struct mob_err why = {0};
    uint64_t offset, size = pieces_size(pieces, count);
    bool stored = size > s->connection->welcome.inline_max;
    if (stored && shell_store(s, views_of(pieces), count, &offset, &size, &why) != MOB_OK)
        return error_from(err, &why);
    shell_lock(s);
    int rc = stored ? client_put_stored(s->core, offset, size, out)
                    : client_put_inline(s->core, views_of(pieces), count, out);
    shell_unlock(s);
    return rc == MOB_OK ? rc
                        : error_set(err, rc, "cannot put a value of %" PRIu64 " bytes: %s", size,
                                    mob_error_text(rc));
}

int mob_put_pieces(const struct mob_piece *pieces, uint32_t count, struct mob_id *out,
                   struct mob_error *err)
{
    *out = (struct mob_id){0, 0};
    struct shell *s = process_enter(err);
    if (s == NULL)
        return err != NULL ? err->code : MOB_ENOTINIT;
    struct mob_object object;
    int rc = object_put(s, pieces, count, &object, err);
    if (rc == MOB_OK)
        *out = id_of(object);
    return rc;
}

int mob_reserve(size_t size, struct mob_error *err)
{
    struct shell *s = process_enter(err);
    if (s == NULL)
        return err != NULL ? err->code : MOB_ENOTINIT;
    struct mob_err why = {0};
    int rc = shell_reserve(s, size, &why);
    return rc == MOB_OK ? rc : error_from(err, &why);
}

/* ---- submitting ---- */

/* Arguments above the inline limit become objects first, which the task then awaits. */
static int args_convert(struct shell *s, const struct mob_call *call, struct submit_arg *args,
                        struct mob_error *err)
{
    for (uint32_t i = 0; i < call->arg_count; i++) {
        const struct mob_arg *from = &call->args[i];
        struct submit_arg *to = &args[i];
        *to = (struct submit_arg){.object = object_of(from->ref), .moved = from->moved != 0};
        if (from->kind != MOB_ARG_VALUE) {
            to->kind = from->kind == MOB_ARG_REF ? SUBMIT_REF : SUBMIT_AWAIT;
        } else if (pieces_size(from->pieces, from->piece_count) <=
                   s->connection->welcome.inline_max) {
            to->kind = SUBMIT_VALUE;
            to->object = (struct mob_object){0, 0};
            to->pieces = views_of(from->pieces);
            to->piece_count = from->piece_count;
        } else {
            int rc = object_put(s, from->pieces, from->piece_count, &to->object, err);
            if (rc != MOB_OK)
                return rc;
            to->kind = SUBMIT_AWAIT;
            to->moved = true;
        }
    }
    return MOB_OK;
}

static int options_apply(const struct mob_options *o, struct submit *submit, struct mob_error *err)
{
    if (o == NULL)
        return MOB_OK;
    if ((o->cpus != 0 && o->cpus != 10000) || o->timeout_ms != 0 || o->memory_bytes != 0)
        return error_set(err, MOB_EUNSUPPORTED,
                         "options of %s: only name and retries are supported by this version; "
                         "cpus, timeout_ms and "
                         "memory_bytes are not",
                         submit->name);
    if (o->name != NULL)
        submit->name = o->name;
    if (o->retries != 0)
        submit->retries = o->retries < 0 ? 0 : o->retries;
    return MOB_OK;
}

static int call_submit(struct shell *s, const struct mob_call *call, struct mob_object *first,
                       struct mob_error *err)
{
    const struct mob_function *f = call->function;
    struct submit_arg stack[ARGS_MAX], *args = stack;
    struct submit submit = {.function = f->id,
                            .name = f->name,
                            .file = call->file,
                            .line = call->line,
                            .retries = -1,
                            .result_count = f->result_count,
                            .arg_count = call->arg_count};
    struct mob_err why;
    int rc = options_apply(f->options, &submit, err);
    if (rc == MOB_OK)
        rc = options_apply(call->options, &submit, err);
    if (rc != MOB_OK)
        return rc;
    if (call->arg_count > ARGS_MAX && (args = memory_alloc(call->arg_count * sizeof *args)) == NULL)
        return error_set(err, MOB_ENOMEM, "no memory to submit %s", f->name);
    rc = args_convert(s, call, args, err);
    if (rc == MOB_OK) {
        submit.args = args;
        shell_lock(s);
        rc = client_submit(s->core, &submit, first, shell_coarse_ns(), &why);
        shell_unlock(s);
        if (rc != MOB_OK)
            error_from(err, &why);
    }
    if (args != stack)
        memory_free(args);
    return rc;
}

/* Results that only carry the error, so that every call gives references. */
static int call_refused(struct shell *s, const struct mob_call *call, struct mob_object *first,
                        const struct mob_error *why)
{
    char place[256] = "";
    if (call->file != NULL)
        snprintf(place, sizeof place, "%s:%d", call->file, call->line);
    struct msg_error_frame frame = {.code = why->code,
                                    .user_code = why->user_code,
                                    .text = view_of(why->text),
                                    .function = view_of(call->function->name),
                                    .place = view_of(place),
                                    .process = s->connection->welcome.process};
    uint32_t count = call->function->result_count == 0 ? 1 : call->function->result_count;
    shell_lock(s);
    for (uint32_t i = 0; i < call->arg_count; i++)
        if (call->args[i].kind != MOB_ARG_VALUE && call->args[i].moved != 0)
            client_drop(s->core, object_of(call->args[i].ref));
    int rc = client_make_failed(s->core, count, &frame, first);
    shell_unlock(s);
    return rc;
}

int mob_submit(const struct mob_call *call, struct mob_id *results, struct mob_error *err)
{
    uint32_t count = call->function->result_count == 0 ? 1 : call->function->result_count;
    struct mob_error why; /* a kilobyte that is written only when something fails */
    struct mob_object first = {0, 0};
    struct shell *s = process_enter(&why);
    int rc = s == NULL               ? why.code
             : call->refused != NULL ? call->refused->code
                                     : call_submit(s, call, &first, &why);
    if (s != NULL && rc != MOB_OK &&
        call_refused(s, call, &first, call->refused != NULL ? call->refused : &why) != MOB_OK)
        first = (struct mob_object){0, 0};
    for (uint32_t i = 0; i < count; i++)
        results[i] =
            first.seq == 0 ? (struct mob_id){0, 0} : (struct mob_id){first.owner, first.seq + i};
    if (rc != MOB_OK && err != NULL)
        *err = call->refused != NULL && s != NULL ? *call->refused : why;
    return rc;
}

/* ---- waiting ---- */

/* (locked) In a worker the cpu is given back while a thread of the task waits, whichever: that one
 * which computes beside it has more than its share is better than a cpu kept for one that only
 * joins those that wait for a cpu. */
static int wait_blocked(struct shell *s, struct waiter *w, uint64_t deadline_ns)
{
    bool gives = client_runs_now(s->core);
    uint64_t run = s->run_number;
    if (gives && s->run_waits++ == 0) {
        client_blocked(s->core, shell_now_ns());
        turn_flush(s, false);
    }
    int rc = shell_wait(s, w, deadline_ns);
    if (gives && run == s->run_number && --s->run_waits == 0)
        client_unblocked(s->core, shell_now_ns());
    return rc;
}

static int unknown_ref(struct mob_error *err, struct mob_id ref)
{
    if (ref.seq == 0)
        return error_set(
            err, MOB_ENOOBJECT,
            "this is no reference: making it failed for lack of memory, or it was never made");
    return error_set(err, MOB_ENOOBJECT,
                     "reference %" PRIu64 ".%" PRIu64 " was dropped or never valid", ref.owner,
                     ref.seq);
}

/* (locked) Wait until the object has settled. *deadline_ns is 0 until somebody has to wait: the
 * time-out counts from then, and a get of what is here needs no clock. */
static int object_wait(struct shell *s, struct mob_id ref, struct value *value, int64_t timeout_ms,
                       uint64_t *deadline_ns, struct mob_error *err)
{
    if (!client_holds(s->core, object_of(ref)))
        return unknown_ref(err, ref);
    enum object_look look = client_look(s->core, object_of(ref), value);
    if (look == OBJECT_PENDING) {
        shell_poll(s);
        look = client_look(s->core, object_of(ref), value);
    }
    if (look == OBJECT_PENDING && *deadline_ns == 0)
        *deadline_ns = deadline_of(timeout_ms);
    while (look == OBJECT_PENDING) {
        struct waiter waiter = {.needed = 1};
        struct watch watch;
        int rc = client_watch(s->core, object_of(ref), &watch, &waiter, shell_now_ns());
        if (rc != MOB_OK)
            return error_set(err, rc, "cannot wait for %" PRIu64 ".%" PRIu64 ": %s", ref.owner,
                             ref.seq, mob_error_text(rc));
        rc = wait_blocked(s, &waiter, *deadline_ns);
        client_unwatch(s->core, &watch);
        if (rc != MOB_OK)
            return error_set(err, rc, "no result of %" PRIu64 ".%" PRIu64 " within the time-out",
                             ref.owner, ref.seq);
        look = client_look(s->core, object_of(ref), value);
    }
    return look == OBJECT_SETTLED ? MOB_OK : unknown_ref(err, ref);
}

/* (locked) The view of a settled value, or its error. */
static int value_view(struct shell *s, const struct value *value, struct mob_value *out,
                      struct mob_error *err)
{
    if (value->kind == VALUE_ERROR)
        return error_from_frames(err, &value->errors);
    if (value->kind == VALUE_INLINE) {
        *out = (struct mob_value){value->bytes.data, value->bytes.size};
        return MOB_OK;
    }
    const void *data = shell_arena(s, value->offset, value->size);
    if (data == NULL)
        return error_set(err, MOB_EPROTO, "the value is said to be outside the object store");
    *out = (struct mob_value){data, value->size};
    return MOB_OK;
}

int mob_get_values(const struct mob_id *refs, size_t count, struct mob_value *out,
                   int64_t timeout_ms, struct mob_error *err)
{
    struct mob_error why; /* a kilobyte that is written only when something fails */
    struct shell *s = process_enter(err != NULL ? err : &why);
    if (s == NULL)
        return err != NULL ? err->code : why.code;
    uint64_t deadline = 0;
    int first = MOB_OK;
    shell_lock(s);
    for (size_t i = 0; i < count; i++) {
        struct value value;
        int rc = object_wait(s, refs[i], &value, timeout_ms, &deadline, &why);
        if (rc == MOB_OK)
            rc = value_view(s, &value, &out[i], &why);
        if (rc != MOB_OK && (first == MOB_OK || first == MOB_ETIMEDOUT)) {
            first = rc;
            if (err != NULL)
                *err = why;
        }
    }
    shell_unlock(s);
    return first;
}

int mob_get_value(struct mob_id ref, struct mob_value *out, int64_t timeout_ms,
                  struct mob_error *err)
{
    return mob_get_values(&ref, 1, out, timeout_ms, err);
}

static size_t refs_look(struct shell *s, const struct mob_id *refs, size_t count, bool *ready,
                        struct mob_error *err)
{
    size_t settled = 0;
    for (size_t i = 0; i < count; i++) {
        struct value value;
        enum object_look look = client_look(s->core, object_of(refs[i]), &value);
        if (look == OBJECT_ABSENT || !client_holds(s->core, object_of(refs[i]))) {
            unknown_ref(err, refs[i]);
            return SIZE_MAX;
        }
        ready[i] = look == OBJECT_SETTLED;
        settled += ready[i];
    }
    return settled;
}

/* (locked) Watch those that are not ready, wait until `missing` of them are. */
static int refs_wait(struct shell *s, const struct mob_id *refs, size_t count, size_t missing,
                     uint64_t deadline_ns, const bool *ready, struct mob_error *err)
{
    struct watch *watches = memory_zalloc(count * sizeof *watches);
    if (watches == NULL)
        return error_set(err, MOB_ENOMEM, "no memory to wait for %zu references", count);
    struct waiter waiter = {.needed = (uint32_t)missing};
    int rc = MOB_OK;
    for (size_t i = 0; i < count && rc == MOB_OK && !waiter.done; i++)
        if (!ready[i])
            rc = client_watch(s->core, object_of(refs[i]), &watches[i], &waiter, shell_now_ns());
    if (rc == MOB_OK) /* also when it is done: then the core still has it on its list */
        rc = wait_blocked(s, &waiter, deadline_ns);
    for (size_t i = 0; i < count; i++)
        client_unwatch(s->core, &watches[i]);
    memory_free(watches);
    if (rc == MOB_ETIMEDOUT)
        error_set(err, rc, "%zu more of %zu results did not come within the time-out", missing,
                  count);
    else if (rc != MOB_OK)
        error_set(err, rc, "cannot wait for %zu references: %s", count, mob_error_text(rc));
    return rc;
}

int mob_wait_refs(const struct mob_id *refs, size_t count, size_t wanted, int64_t timeout_ms,
                  bool *ready, size_t *ready_count, struct mob_error *err)
{
    struct mob_error why = {0};
    struct shell *s = process_enter(err != NULL ? err : &why);
    if (s == NULL)
        return err != NULL ? err->code : why.code;
    if (wanted > count || count > UINT32_MAX)
        return error_set(err, MOB_EINVAL, "waiting for %zu of %zu references can never end", wanted,
                         count);
    int rc = MOB_OK;
    shell_lock(s);
    size_t settled = refs_look(s, refs, count, ready, err);
    if (settled < wanted) {
        shell_poll(s);
        settled = refs_look(s, refs, count, ready, err);
    }
    if (settled < wanted) {
        rc = refs_wait(s, refs, count, wanted - settled, deadline_of(timeout_ms), ready, err);
        settled = refs_look(s, refs, count, ready, rc == MOB_OK ? err : NULL);
    }
    shell_unlock(s);
    if (settled == SIZE_MAX)
        return MOB_ENOOBJECT;
    *ready_count = settled;
    return settled >= wanted ? MOB_OK : rc;
}

/* ---- references ---- */

int mob_ref_hold(struct mob_id ref)
{
    struct shell *s = process_enter(NULL);
    if (s == NULL)
        return MOB_ENOTINIT;
    shell_lock(s);
    int rc = client_hold(s->core, object_of(ref));
    shell_unlock(s);
    return rc;
}

void mob_ref_drop(struct mob_id ref)
{
    struct shell *s = process_enter(NULL);
    if (s == NULL)
        return;
    shell_lock(s);
    client_drop(s->core, object_of(ref));
    shell_unlock(s);
}

int mob_ref_share(struct mob_id ref)
{
    struct shell *s = process_enter(NULL);
    struct value value;
    if (s == NULL)
        return MOB_ENOTINIT;
    shell_lock(s);
    bool known = client_look(s->core, object_of(ref), &value) != OBJECT_ABSENT;
    client_publish(s->core, object_of(ref));
    shell_unlock(s);
    return known ? MOB_OK : MOB_ENOOBJECT;
}

int mob_ref_adopt(struct mob_id ref)
{
    struct shell *s = process_enter(NULL);
    if (s == NULL)
        return MOB_ENOTINIT;
    shell_lock(s);
    int rc = client_borrow(s->core, object_of(ref));
    shell_unlock(s);
    return rc;
}

void *mob_ref_scratch(struct mob_id ref, size_t size)
{
    struct shell *s = process_enter(NULL);
    if (s == NULL)
        return NULL;
    shell_lock(s);
    void *memory = client_scratch(s->core, object_of(ref), size);
    shell_unlock(s);
    return memory;
}

/* ---- completions ---- */

int mob_completion_fd(struct mob_error *err)
{
    struct shell *s = process_enter(err);
    if (s == NULL)
        return err != NULL ? err->code : MOB_ENOTINIT;
    shell_lock(s);
    if (s->completion_fd < 0)
        s->completion_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fd = s->completion_fd;
    shell_unlock(s);
    return fd >= 0 ? fd
                   : error_set(err, MOB_ESYSTEM,
                               "cannot make an eventfd: too many descriptors are open");
}

int mob_completion_watch(struct mob_id ref, struct mob_error *err)
{
    struct shell *s = process_enter(err);
    if (s == NULL)
        return err != NULL ? err->code : MOB_ENOTINIT;
    shell_lock(s);
    int rc = client_completion_watch(s->core, object_of(ref), shell_now_ns());
    shell_unlock(s);
    return rc == MOB_OK          ? rc
           : rc == MOB_ENOOBJECT ? unknown_ref(err, ref)
                                 : error_set(err, rc, "%s", mob_error_text(rc));
}

size_t mob_completion_take(struct mob_id *out, size_t max)
{
    struct shell *s = process_enter(NULL);
    struct mob_object object;
    size_t count = 0;
    if (s == NULL)
        return 0;
    shell_lock(s);
    while (count < max && client_completion_take(s->core, &object))
        out[count++] = id_of(object);
    uint64_t value;
    if (s->completion_fd >= 0 && read(s->completion_fd, &value, sizeof value) < 0)
        value = 0;   /* it was not readable */
    shell_unlock(s); /* rings again when completions are left */
    return count;
}

/* ---- memory ---- */

/* In front of what the caller sees lie the list's links and room for a value's header. */
struct block {
    _Alignas(64) struct block *next, *prev;
    uint8_t header_room[64] __attribute__((aligned(64)));
    uint8_t bytes[] __attribute__((aligned(64)));
};

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks; /* of the task that runs here */

void *mob_alloc(size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    struct block *b = memory_aligned(_Alignof(struct block), sizeof *b + size);
    if (b == NULL)
        return NULL;
    *b = (struct block){0};
    if (process.role == PROCESS_WORKER) {
        pthread_mutex_lock(&blocks_lock);
        b->next = blocks;
        if (blocks != NULL)
            blocks->prev = b;
        blocks = b;
        pthread_mutex_unlock(&blocks_lock);
    }
    return b->bytes;
}

void mob_free(void *memory)
{
    if (memory == NULL)
        return;
    struct block *b = (struct block *)((uint8_t *)memory - offsetof(struct block, bytes));
    pthread_mutex_lock(&blocks_lock);
    if (b->next != NULL)
        b->next->prev = b->prev;
    if (b->prev != NULL)
        b->prev->next = b->next;
    else if (blocks == b)
        blocks = b->next;
    pthread_mutex_unlock(&blocks_lock);
    memory_free(b);
}

void worker_free_blocks(void)
{
    for (struct block *b;;) {
        pthread_mutex_lock(&blocks_lock);
        b = blocks;
        pthread_mutex_unlock(&blocks_lock);
        if (b == NULL)
            return;
        mob_free(b->bytes);
    }
}
