/* worker.c: the life of a worker: the zygote's fork hands over a connection, then tasks are run one
 * after the other on this thread until the node or the core says stop. The way of one task:
 *
 *     shell_next_run -> registry_find -> arguments are looked up in place -> function->run ->
 * results are packed
 *     -> client_run_done -> the answer is in the submitter's ring before the next task starts */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libclient/crash.h"
#include "libclient/output.h"
#include "libclient/process.h"
#include "libclient/registry.h"
#include "libclient/zygote.h"
#include "protocol/memory.h"

enum {
    ARGS_PLAIN = 16,              /* more arguments or results take memory from the heap */
    ALIGN = 8,                    /* of an argument's bytes */
    OUTPUT_BACKLOG_MAX = 1 << 20, /* bytes of output that may wait for the node; more goes through
                                     the pipes, which block */
};

struct task_arg {
    struct msg_arg arg;
    struct mob_value value;
};

struct task_result {
    uint32_t kind;           /* 0: not given */
    size_t at, size;         /* VALUE_INLINE: in mob_task.values */
    uint64_t offset, stored; /* VALUE_STORED: in the arena */
};

/* The task that runs. There is one at a time, so it and its buffers are used again and again. */
struct mob_task {
    struct shell *shell;
    struct run *run;
    const struct mob_function *function;
    struct task_arg *args, plain_args[ARGS_PLAIN];
    struct task_result *results, plain_results[ARGS_PLAIN];
    struct buffer values;  /* inline results, in the order in which they were given */
    struct buffer packed;  /* struct msg_result or msg_error_frame, as they are sent */
    struct buffer aligned; /* inline arguments that did not lie on a multiple of ALIGN */
    bool failed;
    struct mob_error error;
    char place[256];
};

static struct mob_task task;

bool mob_is_worker(void)
{
    return process.role == PROCESS_WORKER || zygote_fd() >= 0;
}

/* ---- what a task may ask ---- */

uint32_t mob_task_arg_count(const struct mob_task *t)
{
    return t->run->args.count;
}

int mob_task_arg(struct mob_task *t, uint32_t index, uint32_t *kind, struct mob_value *value,
                 struct mob_id *ref, struct mob_error *err)
{
    if (index >= t->run->args.count)
        return error_set(err, MOB_EINVAL, "argument %" PRIu32 " of %" PRIu32 " was asked for",
                         index + 1, t->run->args.count);
    const struct task_arg *a = &t->args[index];
    *kind = a->arg.kind == VALUE_REF ? MOB_ARG_REF : MOB_ARG_VALUE;
    *value = a->value;
    *ref = (struct mob_id){a->arg.object.owner, a->arg.object.seq};
    return MOB_OK;
}

void *mob_task_user(const struct mob_task *t)
{
    return t->function->user;
}

bool mob_task_failed(const struct mob_task *t)
{
    return t->failed;
}

void mob_fail_at(const char *file, int line, int user_code, const char *format, ...)
{
    if (process.role != PROCESS_WORKER || task.run == NULL || task.failed)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(task.error.text, sizeof task.error.text, format, args);
    va_end(args);
    /* A code below 0 is the library's own, of arguments and results that cannot be read or made. */
    task.error.code = user_code < 0 ? user_code : MOB_ETASKFAILED;
    task.error.user_code = user_code < 0 ? 0 : user_code;
    task.place[0] = '\0';
    if (file != NULL)
        snprintf(task.place, sizeof task.place, "%s:%d", file, line);
    task.failed = true;
}

static int result_store(struct mob_task *t, uint32_t index, const struct mob_piece *pieces,
                        uint32_t count, struct mob_error *err)
{
    struct mob_err why = {0};
    struct task_result *r = &t->results[index];
    struct mob_object id = {t->run->from.v, t->run->task + index};
    int rc = shell_store(t->shell, (const struct view *)(const void *)pieces, count, &r->offset,
                         &r->stored, &why);
    if (rc != MOB_OK)
        return error_from(err, &why);
    shell_lock(t->shell);
    rc = client_seal(t->shell->core, id, r->offset, r->stored);
    shell_unlock(t->shell);
    r->kind = VALUE_STORED;
    return rc == MOB_OK ? rc : error_set(err, rc, "no memory to seal a result");
}

int mob_task_result(struct mob_task *t, uint32_t index, const struct mob_piece *pieces,
                    uint32_t count, struct mob_error *err)
{
    if (index >= t->run->result_count)
        return error_set(err, MOB_EINVAL, "result %" PRIu32 " of %" PRIu32 " was given", index + 1,
                         t->run->result_count);
    struct task_result *r = &t->results[index];
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += pieces[i].size;
    if (size > t->shell->connection->welcome.inline_max)
        return result_store(t, index, pieces, count, err);
    r->at = t->values.end;
    r->size = size;
    for (uint32_t i = 0; i < count; i++)
        if (buffer_append(&t->values, pieces[i].data, pieces[i].size) != MOB_OK)
            return error_set(err, MOB_ENOMEM, "no memory for a result of %zu bytes", size);
    r->kind = VALUE_INLINE;
    return MOB_OK;
}

/* ---- running one ---- */

/* Find each argument's bytes: in the arena, or in the run's record, moved only if they are not
 * aligned. */
static int args_open(struct mob_task *t)
{
    const struct run *r = t->run;
    if (r->args.count > ARGS_PLAIN &&
        (t->args = memory_alloc(r->args.count * sizeof *t->args)) == NULL)
        return MOB_ENOMEM;
    buffer_clear(&t->aligned);
    int rc = buffer_reserve(&t->aligned, r->args.size + r->args.count * (size_t)ALIGN);
    struct cursor at = cursor_of(r->args.data, r->args.size);
    for (uint32_t i = 0; i < r->args.count && rc == MOB_OK; i++) {
        struct task_arg *a = &t->args[i];
        if (!msg_arg_unpack_item(&at, &a->arg))
            return MOB_EPROTO;
        a->value = (struct mob_value){a->arg.value.data, a->arg.value.size};
        if (a->arg.kind == VALUE_STORED) {
            a->value =
                (struct mob_value){shell_arena(t->shell, a->arg.offset, a->arg.size), a->arg.size};
            rc = a->value.data != NULL ? MOB_OK : MOB_EPROTO;
        } else if ((uintptr_t)a->value.data % ALIGN != 0) {
            t->aligned.end = (t->aligned.end + ALIGN - 1) / ALIGN * ALIGN;
            a->value.data = t->aligned.data + t->aligned.end;
            buffer_put(&t->aligned, a->arg.value.data, a->arg.value.size);
        }
    }
    return rc;
}

static int results_open(struct mob_task *t)
{
    uint32_t count = t->run->result_count;
    if (count > ARGS_PLAIN && (t->results = memory_alloc(count * sizeof *t->results)) == NULL)
        return MOB_ENOMEM;
    memset(t->results, 0, count * sizeof *t->results);
    buffer_clear(&t->values);
    return MOB_OK;
}

static int results_pack(struct mob_task *t, struct msg_list *out)
{
    int rc = MOB_OK;
    buffer_clear(&t->packed);
    for (uint32_t i = 0; i < t->run->result_count && rc == MOB_OK; i++) {
        const struct task_result *r = &t->results[i];
        struct msg_result m = {.kind = r->kind, .offset = r->offset, .size = r->stored};
        if (r->kind == VALUE_INLINE)
            m.value = (struct view){t->values.data + r->at, r->size};
        rc = r->kind != 0 ? msg_result_pack_item(&t->packed, &m) : MOB_EINVAL;
    }
    *out = (struct msg_list){t->run->result_count, t->packed.data, buffer_size(&t->packed)};
    return rc;
}

static void error_pack(struct mob_task *t, struct msg_list *out)
{
    struct msg_error_frame m = {.code = t->error.code,
                                .user_code = t->error.user_code,
                                .text = view_of(t->error.text),
                                .function = view_of(t->function != NULL ? t->function->name : ""),
                                .place = view_of(t->place),
                                .process = t->shell->connection->welcome.process};
    buffer_clear(&t->packed);
    while (msg_error_frame_pack_item(&t->packed, &m) != MOB_OK)
        continue; /* a kilobyte: it is tried until there is memory, since the submitter must hear of
                     the end */
    *out = (struct msg_list){1, t->packed.data, buffer_size(&t->packed)};
}

static void function_missing(struct mob_task *t)
{
    struct mob_error *e = &t->error;
    size_t at = (size_t)snprintf(
        e->text, sizeof e->text,
        "the worker's program has no task with this name and these types; it has:");
    for (const struct mob_function *f = registry_next(NULL); f != NULL && at < sizeof e->text;
         f = registry_next(f))
        at += (size_t)snprintf(e->text + at, sizeof e->text - at, " %s", f->name);
    e->code = MOB_ENOFUNCTION;
    t->failed = true;
}

static void task_fails(struct mob_task *t, int code, const char *what)
{
    if (t->failed)
        return;
    t->failed = true;
    t->error.code = code;
    const struct mob_error *last = mob_last_error();
    snprintf(t->error.text, sizeof t->error.text, "%s: %.900s", what,
             last->code == code ? last->text : mob_error_text(code));
}

/* Run the function. The clock is looked at once for each task: the end of one is the start of the
 * next. */
static void function_call(struct mob_task *t)
{
    static const struct mob_function *last;
    struct report *report = t->shell->connection->report;
    if (last != t->function && report != NULL)
        report_task(report, t->function->name);
    last = t->function;
    mob_last_error_slot()->code = MOB_OK;
    int rc = t->function->run(t);
    if (process_forked()) /* two would write into one ring */
        _exit(0);
    if (rc != MOB_OK)
        task_fails(t, rc, "the task did not end well");
}

/* (locked) Threads that still wait when their task ends lend no cpu any more. */
static void waits_end(struct shell *s, uint64_t now_ns)
{
    if (s->run_waits > 0)
        client_unblocked(s->core, now_ns);
    s->run_waits = 0;
    s->run_number++;
}

static void task_run_one(struct mob_task *t, struct run *run)
{
    t->run = run;
    t->failed = false;
    t->error.user_code = 0;
    t->place[0] = '\0';
    t->args = t->plain_args;
    t->results = t->plain_results;
    t->function = registry_find(run->function);
    int rc = args_open(t);
    if (rc == MOB_OK)
        rc = results_open(t);
    if (rc != MOB_OK)
        task_fails(t, rc, "the arguments cannot be used");
    else if (t->function == NULL || t->function->run == NULL)
        function_missing(t);
    else
        function_call(t);
    output_flush();
    worker_free_blocks();
    struct msg_list list;
    if (!t->failed && (rc = results_pack(t, &list)) != MOB_OK)
        task_fails(t, rc, "the results cannot be sent");
    if (t->failed)
        error_pack(t, &list);
    struct shell *s = t->shell;
    uint64_t now = shell_now_ns(), took = now - s->run_clock_ns;
    shell_lock(s);
    s->run_clock_ns = now;
    waits_end(s, now);
    while (client_run_done(s->core, run, t->failed ? NULL : &list, t->failed ? &list : NULL, took,
                           now) != MOB_OK)
        continue; /* as in error_pack */
    t->run = NULL;
    shell_unlock_answered(s);
    if (t->args != t->plain_args)
        memory_free(t->args);
    if (t->results != t->plain_results)
        memory_free(t->results);
}

/* ---- output ---- */

/* Whole lines that user code printed, with stdio's lock of that stream held. */
static void output_send(int stream, const char *bytes, size_t size, void *context)
{
    struct shell *s = context;
    shell_lock(s);
    struct msg_output m = {.stream = (uint32_t)stream, .lines = {bytes, size}};
    if (task.run != NULL) {
        m.task = (struct mob_object){task.run->from.v, task.run->task};
        m.function = view_of(task.function != NULL ? task.function->name : "");
    }
    bool full = peer_backlog(client_node(s->core)) > OUTPUT_BACKLOG_MAX;
    bool sent = !full && peer_send(client_node(s->core), output, &m) == MOB_OK;
    shell_unlock(s);
    for (size_t at = 0; !sent && at < size;) {
        ssize_t n = write(stream, bytes + at, size - at);
        if (n <= 0)
            break; /* the node is gone: nobody reads */
        at += (size_t)n;
    }
}

/* ---- life ---- */

static void worker_stopped(void)
{
    _exit(0);
}

/* Without this thread the process would live on and never answer. */
static void thread_left(void *context)
{
    (void)context;
    output_flush();
    dprintf(STDERR_FILENO, "mobula: the task ended its thread (pthread_exit, pthread_cancel) "
                           "instead of returning\n");
    _exit(1);
}

static void serve(struct shell *s)
{
    pthread_cleanup_push(thread_left, NULL);
    for (;;)
        task_run_one(&task, shell_next_run(s));
    pthread_cleanup_pop(0);
}

_Noreturn void worker_main(int control_fd)
{
    struct mob_err err = {0};
    uint64_t functions = 0;
    for (const struct mob_function *f = registry_next(NULL); f != NULL; f = registry_next(f))
        functions++;
    struct shell *s = &process.shell;
    int rc = zygote_run(control_fd, functions, output_dump, &process.connection, &err);
    if (rc == MOB_OK) {
        struct client_config config = process_client_config(&process.connection.welcome, true);
        rc = shell_open(s, &process.connection, &config, &err);
    }
    if (rc == MOB_OK)
        rc = output_install(output_send, s, process.connection.report, &err);
    if (rc != MOB_OK) {
        dprintf(STDERR_FILENO, "mobula: the worker cannot start: %s\n", err.text);
        _exit(127);
    }
    s->stopped = worker_stopped;
    s->run_clock_ns = shell_now_ns();
    task.shell = s;
    process_begin(PROCESS_WORKER);
    shell_lock(s);
    if (peer_send(client_node(s->core), worker_ready, &(struct msg_worker_ready){functions}) !=
        MOB_OK)
        _exit(127);
    shell_unlock(s);
    serve(s);
    abort();
}
