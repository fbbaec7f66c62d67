/* plain_fake.c: the plain API of mobula.h within one process, so that the macros can be tested
 * without a cluster: a task runs at once, where it is submitted. Included by a test or linked to it
 * instead of the library's own. Counts handles. */
#include <mobula.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS_MAX = 4096, RESULTS_MAX = 16, FAKE_OWNER = 7 };

struct object {
    void *data;
    size_t size;
    int handles;
    struct mob_error error;
    void *scratch[16];
    int scratch_count;
};

struct mob_task {
    const struct mob_call *call;
    struct mob_error error;
    struct mob_value args[RESULTS_MAX];
    struct object results[RESULTS_MAX];
    struct mob_id adopted[RESULTS_MAX]; /* dropped when it ends */
    uint32_t adopted_count;
    struct mob_task *outer;
};

static struct object objects[OBJECTS_MAX];
static uint64_t objects_used = 1;
static struct mob_task *running;
static struct mob_error last_error;
static void *allocated[256];
static size_t allocated_count;
static size_t in_place; /* results that were passed on without a copy, had this been a store */
static size_t shift;    /* how far views are from 64-byte alignment */

int fake_handles(void);
size_t fake_in_place(void);
void fake_shift(size_t bytes);
const struct mob_options *fake_options(void);
static struct mob_options last_options; /* of the last call; size 0: it had none */

/* All handles that are still open. */
int fake_handles(void)
{
    int sum = 0;
    for (uint64_t i = 1; i < objects_used; i++)
        sum += objects[i].handles;
    return sum;
}

size_t fake_in_place(void)
{
    return in_place;
}

void fake_shift(size_t bytes)
{
    shift = bytes;
}

const struct mob_options *fake_options(void)
{
    return &last_options;
}

static struct object *object_of(struct mob_id id)
{
    return id.owner == FAKE_OWNER && id.seq > 0 && id.seq < objects_used ? &objects[id.seq] : NULL;
}

static void object_join(struct object *o, const struct mob_piece *pieces, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += pieces[i].size;
    char *data = aligned_alloc(64, (size + shift) / 64 * 64 + 64);
    if (data == NULL)
        abort();
    o->data = data;
    o->size = size;
    data += shift;
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < allocated_count; k++)
            in_place += pieces[i].data == allocated[k];
        memcpy(data, pieces[i].data, pieces[i].size);
        data += pieces[i].size;
    }
}

static struct mob_value object_value(const struct object *o)
{
    return (struct mob_value){(char *)o->data + shift, o->size};
}

static struct mob_id object_add(struct object o)
{
    if (objects_used == OBJECTS_MAX)
        abort();
    o.handles = 1;
    objects[objects_used] = o;
    return (struct mob_id){FAKE_OWNER, objects_used++};
}

static int fail_into(struct mob_error *err, const struct mob_error *why)
{
    if (err != NULL)
        *err = *why;
    return why->code;
}

static struct mob_error error_of(int code, const char *text)
{
    struct mob_error e = {.code = code, .root_code = code};
    snprintf(e.text, sizeof e.text, "%s", text);
    return e;
}

/* Why the task cannot run, or nothing. */
static struct mob_error task_args(struct mob_task *task)
{
    const struct mob_call *call = task->call;
    if (call->refused != NULL)
        return *call->refused;
    for (uint32_t i = 0; i < call->arg_count; i++) {
        const struct mob_arg *arg = &call->args[i];
        if (arg->kind == MOB_ARG_REF_VALUE) {
            const struct object *o = object_of(arg->ref);
            if (o == NULL)
                return error_of(MOB_ENOOBJECT, "no such object");
            if (o->error.code != MOB_OK)
                return error_of(MOB_EDEPENDENCY, o->error.text);
            task->args[i] = object_value(o);
        } else if (arg->kind == MOB_ARG_VALUE) {
            struct object joined = {0};
            object_join(&joined, arg->pieces, arg->piece_count);
            task->args[i] = object_value(&joined);
        }
    }
    return error_of(MOB_OK, "");
}

int mob_submit(const struct mob_call *call, struct mob_id *results, struct mob_error *err)
{
    struct mob_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        abort();
    task->call = call;
    task->outer = running;
    task->error = task_args(task);
    const struct mob_options *options =
        call->options != NULL ? call->options : call->function->options;
    last_options = options != NULL ? *options : (struct mob_options){0};
    if (task->error.code == MOB_OK) {
        size_t before = allocated_count;
        running = task;
        int rc = call->function->run(task);
        running = task->outer;
        if (rc != MOB_OK && task->error.code == MOB_OK)
            task->error = error_of(rc, "the function failed");
        while (allocated_count > before)
            free((char *)allocated[--allocated_count] - 64);
    }
    while (task->adopted_count > 0)
        mob_ref_drop(task->adopted[--task->adopted_count]);
    for (uint32_t i = 0; i < call->arg_count; i++) {
        if (call->args[i].moved)
            mob_ref_drop(call->args[i].ref);
        if (call->args[i].kind == MOB_ARG_VALUE && task->args[i].data != NULL)
            free((char *)(uintptr_t)task->args[i].data - shift);
    }
    for (uint32_t i = 0; i < call->function->result_count; i++) {
        task->results[i].error = task->error;
        results[i] = object_add(task->results[i]);
    }
    free(task);
    if (call->refused != NULL)
        return fail_into(err, call->refused);
    return MOB_OK;
}

int mob_put_pieces(const struct mob_piece *pieces, uint32_t count, struct mob_id *out,
                   struct mob_error *err)
{
    (void)err;
    struct object o = {0};
    object_join(&o, pieces, count);
    *out = object_add(o);
    return MOB_OK;
}

int mob_get_value(struct mob_id ref, struct mob_value *out, int64_t timeout_ms,
                  struct mob_error *err)
{
    (void)timeout_ms;
    const struct object *o = object_of(ref);
    struct mob_error none = error_of(MOB_ENOOBJECT, "no such object");
    if (o == NULL || o->handles == 0)
        return fail_into(err, &none);
    if (o->error.code != MOB_OK)
        return fail_into(err, &o->error);
    *out = object_value(o);
    return MOB_OK;
}

int mob_get_values(const struct mob_id *refs, size_t count, struct mob_value *out,
                   int64_t timeout_ms, struct mob_error *err)
{
    int rc = MOB_OK;
    for (size_t i = 0; i < count && rc == MOB_OK; i++)
        rc = mob_get_value(refs[i], &out[i], timeout_ms, err);
    return rc;
}

int mob_wait_refs(const struct mob_id *refs, size_t count, size_t wanted, int64_t timeout_ms,
                  bool *ready, size_t *ready_count, struct mob_error *err)
{
    (void)refs, (void)wanted, (void)timeout_ms, (void)err;
    for (size_t i = 0; i < count; i++)
        ready[i] = true;
    *ready_count = count;
    return MOB_OK;
}

int mob_ref_hold(struct mob_id ref)
{
    if (object_of(ref) == NULL)
        return MOB_ENOOBJECT;
    object_of(ref)->handles++;
    return MOB_OK;
}

void mob_ref_drop(struct mob_id ref)
{
    struct object *o = object_of(ref);
    if (o == NULL || o->handles == 0 || --o->handles > 0)
        return;
    free(o->data);
    o->data = NULL;
    while (o->scratch_count > 0)
        free(o->scratch[--o->scratch_count]);
}

int mob_ref_share(struct mob_id ref)
{
    return object_of(ref) != NULL ? MOB_OK : MOB_ENOOBJECT;
}

int mob_ref_adopt(struct mob_id ref)
{
    if (running != NULL && running->adopted_count < RESULTS_MAX)
        running->adopted[running->adopted_count++] = ref;
    return mob_ref_hold(ref);
}

void *mob_ref_scratch(struct mob_id ref, size_t size)
{
    struct object *o = object_of(ref);
    return o->scratch_count == 16 ? NULL : (o->scratch[o->scratch_count++] = malloc(size));
}

uint32_t mob_task_arg_count(const struct mob_task *task)
{
    return task->call->arg_count;
}

int mob_task_arg(struct mob_task *task, uint32_t i, uint32_t *kind, struct mob_value *value,
                 struct mob_id *ref, struct mob_error *err)
{
    (void)err;
    *kind = task->call->args[i].kind == MOB_ARG_REF ? MOB_ARG_REF : MOB_ARG_VALUE;
    *value = task->args[i];
    *ref = task->call->args[i].ref;
    return MOB_OK;
}

int mob_task_result(struct mob_task *task, uint32_t i, const struct mob_piece *pieces,
                    uint32_t count, struct mob_error *err)
{
    (void)err;
    object_join(&task->results[i], pieces, count);
    return MOB_OK;
}

void *mob_task_user(const struct mob_task *task)
{
    return task->call->function->user;
}

bool mob_task_failed(const struct mob_task *task)
{
    return task->error.code != MOB_OK;
}

void mob_fail_at(const char *file, int line, int user_code, const char *format, ...)
{
    (void)file, (void)line;
    if (running == NULL || running->error.code != MOB_OK)
        return;
    va_list args;
    va_start(args, format);
    running->error = error_of(user_code > 0 ? MOB_ETASKFAILED : user_code, "");
    running->error.user_code = user_code > 0 ? user_code : 0;
    vsnprintf(running->error.text, sizeof running->error.text, format, args);
    va_end(args);
}

void *mob_alloc(size_t size)
{
    if (allocated_count == sizeof allocated / sizeof allocated[0])
        return NULL;
    char *memory = aligned_alloc(64, (size + 63) / 64 * 64 + 64);
    return memory == NULL ? NULL : (allocated[allocated_count++] = memory + 64);
}

void mob_free(void *memory)
{
    for (size_t i = 0; i < allocated_count; i++)
        if (allocated[i] == memory) {
            free((char *)memory - 64);
            allocated[i] = allocated[--allocated_count];
            return;
        }
}

struct mob_error *mob_last_error_slot(void)
{
    return &last_error;
}
