/* typed.c: what the macros of mobula.h call: typed values on one side, the plain API on the other.
 *
 * A call encodes its arguments one after the other into one writer on the stack and hands the plain
 * API pieces of it, so a call with plain arguments allocates nothing here. An argument that cannot
 * be encoded does not stop the call: the plain API is told why (`refused`) and makes results that
 * give the error. */
#include <mobula.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "libclient/value.h"

enum {
    ARGS_MAX = 16, /* of MOB_TASK: 15 */
    REFS_ON_STACK = 32,
};

static int error_set(struct mob_error *out, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int error_set(struct mob_error *out, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    out->code = out->root_code = code;
    out->user_code = 0;
    vsnprintf(out->text, sizeof out->text, format, args);
    va_end(args);
    return code;
}

const struct mob_error *mob_last_error(void)
{
    return mob_last_error_slot();
}

int mob_version(void)
{
    return MOB_VERSION_NUMBER;
}

/* ---- Memory ---- */

void *mob_alloc_items(size_t count, size_t size)
{
    return size != 0 && count > SIZE_MAX / 2 / size ? NULL : mob_alloc(count * size);
}

char *mob_format(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    char *text = size < 0 ? NULL : mob_alloc((size_t)size + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

/* A block of what the arguments of a task needed; freed when it ends. */
struct block {
    struct block *next;
    max_align_t data[];
};

void *mob_memory_get(struct mob_memory *memory, size_t size)
{
    if (memory->ref.seq != 0)
        return mob_ref_scratch(memory->ref, size);
    if (size > SIZE_MAX / 2)
        return NULL;
    struct block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->next = memory->blocks;
    memory->blocks = block;
    return block->data;
}

static void memory_free(struct mob_memory *memory)
{
    struct block *block = memory->blocks;
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    memory->blocks = NULL;
}

/* ---- References in values ---- */

/* Whether it is worth looking. */
static bool has_refs(const struct mob_type *type)
{
    return type->kind == MOB_KIND_STRUCT || type->kind == MOB_KIND_REF ||
           type->kind == MOB_KIND_LIST;
}

static void share(struct mob_id id, void *user)
{
    int rc = mob_ref_share(id);
    if (rc != MOB_OK)
        *(int *)user = rc;
}

static void adopt(struct mob_id id, void *user)
{
    int rc = mob_ref_adopt(id);
    if (rc != MOB_OK)
        *(int *)user = rc;
}

/* Decode, and take the references that are inside. */
static int take_value(const struct mob_type *type, const struct mob_value *value, void *out,
                      struct mob_memory *memory, struct mob_err *err)
{
    int rc = value_decode(type, value->data, value->size, out, memory, err);
    if (rc == MOB_OK && has_refs(type)) {
        value_each_ref(type, out, adopt, &rc);
        if (rc != MOB_OK)
            mob_err_set(err, rc, "a reference inside the value cannot be held: %s",
                        mob_error_text(rc));
    }
    return rc;
}

static int give_value(struct mob_writer *w, const struct mob_type *type, const void *data, int how,
                      struct value_span *span, struct mob_err *err)
{
    int rc = value_encode(w, type, data, how, span, err);
    if (rc == MOB_OK && has_refs(type)) {
        value_each_ref(type, data, share, &rc);
        if (rc != MOB_OK)
            mob_err_set(err, rc, "a reference inside the value cannot be shared: %s",
                        mob_error_text(rc));
    }
    return rc;
}

/* ---- Calls ---- */

static int encode_arg(struct mob_writer *w, const struct mob_type *type, const struct mob_in *in,
                      struct mob_arg *arg, struct value_span *span, struct mob_err *err)
{
    *arg = (struct mob_arg){.kind = MOB_ARG_VALUE};
    bool refers = in->how == MOB_IN_REF || in->how == MOB_IN_MOVED;
    if (!refers && type->kind != MOB_KIND_REF)
        return give_value(w, type, in->data, in->how, span, err);
    const struct mob_reference *ref = in->data;
    if (ref->id.seq == 0)
        return mob_err_set(err, MOB_ENOOBJECT,
                           "it is no reference: it was never assigned, or mob_init failed");
    arg->kind = refers ? MOB_ARG_REF_VALUE : MOB_ARG_REF;
    arg->moved = in->how == MOB_IN_MOVED || in->how == MOB_IN_PASSED;
    arg->ref = ref->id;
    return MOB_OK;
}

/* One call while it is made: integers lie in `integers`, everything else in the writer. */
struct making {
    struct mob_arg args[ARGS_MAX];
    struct mob_piece pieces[2 * ARGS_MAX + 2 * VALUE_CUTS_MAX];
    uint32_t piece_count;
    uint8_t integers[ARGS_MAX][VALUE_INTEGER_MAX];
    struct value_span spans[ARGS_MAX];
    bool writes; /* the writer is in use */
    struct mob_writer w;
    struct mob_error refused;
};

static bool make_integer(struct making *m, const struct mob_type *type, const struct mob_in *in,
                         uint32_t i)
{
    if (in->how == MOB_IN_REF || in->how == MOB_IN_MOVED || in->how == MOB_IN_PASSED)
        return false;
    size_t size = value_integer(type, in->data, in->how, m->integers[i]);
    struct mob_piece *piece = &m->pieces[m->piece_count];
    *piece = (struct mob_piece){m->integers[i], size};
    m->args[i] = (struct mob_arg){.kind = MOB_ARG_VALUE, .pieces = piece, .piece_count = 1};
    m->piece_count += size != 0;
    return size != 0;
}

static void make_other(struct making *m, struct mob_call *call, const struct mob_in *in, uint32_t i)
{
    struct mob_err err;
    if (!m->writes)
        writer_init(&m->w);
    m->writes = true;
    int rc = encode_arg(&m->w, call->function->slots[i].type, in, &m->args[i], &m->spans[i], &err);
    if (rc != MOB_OK && call->refused == NULL) {
        error_set(&m->refused, rc, "argument %u of %s at %s:%d: %s", i + 1, call->function->name,
                  call->file, call->line, err.text);
        call->refused = &m->refused;
    }
}

/* The bytes of the writer do not move any more: point to them. */
static void make_pieces(struct making *m, const struct mob_call *call)
{
    for (uint32_t i = 0; i < call->arg_count && call->refused == NULL; i++) {
        struct mob_arg *a = &m->args[i];
        if (a->kind != MOB_ARG_VALUE || a->piece_count != 0)
            continue;
        a->pieces = &m->pieces[m->piece_count];
        a->piece_count = value_pieces(&m->w, &m->spans[i], &m->pieces[m->piece_count]);
        m->piece_count += a->piece_count;
    }
}

void mob_call_typed(const struct mob_function *function, const struct mob_options *options,
                    const struct mob_in *in, const char *file, int line,
                    struct mob_reference *results)
{
    struct making m; /* not cleared: this is on the way of every call */
    struct mob_id ids[ARGS_MAX];
    struct mob_call call = {.function = function,
                            .args = m.args,
                            .arg_count = function->arg_count,
                            .options = options,
                            .file = file,
                            .line = line};
    m.piece_count = 0;
    m.writes = false;
    for (uint32_t i = 0; i < call.arg_count; i++)
        if (!make_integer(&m, function->slots[i].type, &in[i], i))
            make_other(&m, &call, &in[i], i);
    if (m.writes)
        make_pieces(&m, &call);
    mob_submit(&call, ids, mob_last_error_slot());
    for (uint32_t i = 0; i < function->result_count; i++)
        results[i] = (struct mob_reference){ids[i], function->slots[call.arg_count + i].type};
    if (m.writes)
        writer_fini(&m.w);
}

static void put_refused(struct mob_error *last, struct mob_id *result)
{
    static const struct mob_function put = {.name = "mob_put", .result_count = 1};
    struct mob_error refused = *last;
    mob_submit(&(struct mob_call){.function = &put, .refused = &refused}, result, last);
}

void mob_put_typed(const struct mob_type *type, const struct mob_in *in,
                   struct mob_reference *result)
{
    struct mob_piece pieces[VALUE_PIECES_MAX];
    struct value_span span;
    struct mob_err err;
    struct mob_writer w;
    *result = (struct mob_reference){{0, 0}, type};
    writer_init(&w);
    struct mob_error *last = mob_last_error_slot();
    int rc = give_value(&w, type, in->data, in->how, &span, &err);
    if (rc != MOB_OK)
        error_set(last, rc, "mob_put: %s", err.text);
    else
        rc = mob_put_pieces(pieces, value_pieces(&w, &span, pieces), &result->id, last);
    if (rc != MOB_OK) /* like a call that is refused, so that the get gives the error */
        put_refused(last, &result->id);
    writer_fini(&w);
}

/* ---- Getting ---- */

static int get_one(const struct mob_reference *ref, const struct mob_value *value, void *out)
{
    struct mob_err err;
    struct mob_memory memory = {NULL, ref->id};
    if (ref->info->kind == MOB_KIND_VOID)
        return MOB_OK;
    int rc = take_value(ref->info, value, out, &memory, &err);
    return rc == MOB_OK ? MOB_OK : error_set(mob_last_error_slot(), rc, "the value %s", err.text);
}

/* Without a cluster there is nothing to make references of, so that comes first. */
static int none(void)
{
    struct mob_value value;
    struct mob_error *last = mob_last_error_slot();
    int rc = mob_get_value((struct mob_id){0, 0}, &value, 0, last);
    if (rc == MOB_ENOTINIT || rc == MOB_EFORKED || rc == MOB_ESHUTDOWN)
        return rc;
    return error_set(last, MOB_ENOOBJECT,
                     "this is no reference: it was never assigned, or making it failed");
}

static int get_many(const struct mob_reference *refs, size_t count, char *out, int64_t timeout_ms,
                    struct mob_id *ids, struct mob_value *values)
{
    for (size_t i = 0; i < count; i++) {
        if (refs[i].id.seq == 0)
            return none();
        ids[i] = refs[i].id;
    }
    int rc = mob_get_values(ids, count, values, timeout_ms, mob_last_error_slot());
    for (size_t i = 0; i < count && rc == MOB_OK; i++)
        rc = get_one(&refs[i], &values[i], out + i * refs[i].info->size);
    return rc;
}

int mob_get_typed(const struct mob_reference *refs, size_t count, void *out, int64_t timeout_ms)
{
    if (count == 1) {
        struct mob_value value;
        if (refs->id.seq == 0)
            return none();
        int rc = mob_get_value(refs->id, &value, timeout_ms, mob_last_error_slot());
        return rc == MOB_OK ? get_one(refs, &value, out) : rc;
    }
    if (count <= REFS_ON_STACK) {
        struct mob_id ids[REFS_ON_STACK];
        struct mob_value values[REFS_ON_STACK];
        return get_many(refs, count, out, timeout_ms, ids, values);
    }
    struct mob_id *ids = count > SIZE_MAX / 64 ? NULL : malloc(count * sizeof *ids);
    struct mob_value *values = ids == NULL ? NULL : malloc(count * sizeof *values);
    int rc = values != NULL ? get_many(refs, count, out, timeout_ms, ids, values)
                            : error_set(mob_last_error_slot(), MOB_ENOMEM,
                                        "no memory to get %zu values at once", count);
    free(values);
    free(ids);
    return rc;
}

int mob_take_typed(const struct mob_reference *ref, void *out, int64_t timeout_ms)
{
    int rc = mob_get_typed(ref, 1, out, timeout_ms);
    if (rc != MOB_ETIMEDOUT && rc != MOB_EAGAIN)
        mob_ref_drop(ref->id);
    return rc;
}

int mob_wait_typed(const struct mob_reference *refs, size_t count, size_t wanted,
                   int64_t timeout_ms, bool *ready)
{
    struct mob_id on_stack[REFS_ON_STACK];
    struct mob_id *ids = count <= REFS_ON_STACK  ? on_stack
                         : count > SIZE_MAX / 64 ? NULL
                                                 : malloc(count * sizeof *ids);
    if (ids == NULL)
        return error_set(mob_last_error_slot(), MOB_ENOMEM, "no memory to wait for %zu references",
                         count);
    size_t ready_count;
    int rc = MOB_OK;
    for (size_t i = 0; i < count && rc == MOB_OK; i++) {
        ids[i] = refs[i].id;
        rc = ids[i].seq == 0 ? none() : MOB_OK;
    }
    if (rc == MOB_OK)
        rc = mob_wait_refs(ids, count, wanted, timeout_ms, ready, &ready_count,
                           mob_last_error_slot());
    if (ids != on_stack)
        free(ids);
    return rc;
}

/* ---- Inside a task ---- */

static int open_arg(struct mob_task *task, uint32_t i, const struct mob_slot *slot, char *args,
                    struct mob_memory *memory)
{
    uint32_t kind;
    struct mob_value value;
    struct mob_id ref;
    struct mob_error error;
    struct mob_err err;
    int rc = mob_task_arg(task, i, &kind, &value, &ref, &error);
    if (rc != MOB_OK) {
        mob_fail_at(NULL, 0, rc, "argument %u: %s", i + 1, error.text);
        return rc;
    }
    void *out = args + slot->offset;
    if (kind == MOB_ARG_REF && slot->type->kind == MOB_KIND_REF) {
        struct mob_reference reference = {ref, slot->type->element};
        memcpy(out, &reference, sizeof reference);
        return MOB_OK;
    }
    if (kind == MOB_ARG_REF)
        rc = mob_err_set(&err, MOB_ETYPE, "is a reference, wanted %s", slot->type->name);
    else
        rc = take_value(slot->type, &value, out, memory, &err);
    if (rc != MOB_OK)
        mob_fail_at(NULL, 0, rc, "argument %u %s", i + 1, err.text);
    return rc;
}

int mob_task_open(struct mob_task *task, const struct mob_slot *slots, uint32_t count, void *args,
                  struct mob_memory *memory)
{
    int rc = MOB_OK;
    if (mob_task_arg_count(task) != count) {
        mob_fail_at(NULL, 0, MOB_EINVAL, "%u arguments came, %u are wanted",
                    mob_task_arg_count(task), count);
        rc = MOB_EINVAL;
    }
    for (uint32_t i = 0; i < count && rc == MOB_OK; i++)
        rc = open_arg(task, i, &slots[i], args, memory);
    return rc;
}

static int close_result(struct mob_task *task, uint32_t i, const struct mob_slot *slot,
                        const char *results)
{
    struct mob_piece pieces[VALUE_PIECES_MAX];
    struct mob_error error; /* not cleared: a kilobyte */
    struct value_span span;
    struct mob_err err;
    struct mob_writer w;
    error.code = MOB_OK;
    uint8_t integer[VALUE_INTEGER_MAX];
    size_t size = value_integer(slot->type, results + slot->offset, MOB_IN_VALUE, integer);
    if (size != 0)
        return mob_task_result(task, i, &(struct mob_piece){integer, size}, 1, &error);
    writer_init(&w);
    int rc = give_value(&w, slot->type, results + slot->offset, MOB_IN_VALUE, &span, &err);
    if (rc != MOB_OK)
        mob_fail_at(NULL, 0, rc, "result %u: %s", i + 1, err.text);
    else
        rc = mob_task_result(task, i, pieces, value_pieces(&w, &span, pieces), &error);
    if (error.code != MOB_OK)
        mob_fail_at(NULL, 0, rc, "result %u: %s", i + 1, error.text);
    writer_fini(&w);
    return rc;
}

int mob_task_close(struct mob_task *task, const struct mob_slot *slots, uint32_t count,
                   const void *results, struct mob_memory *memory, int rc)
{
    for (uint32_t i = 0; i < count && rc == MOB_OK && !mob_task_failed(task); i++)
        rc = close_result(task, i, &slots[i], results);
    memory_free(memory);
    return rc;
}
