/* state.c: one function per record. An allocation that fails aborts: the head restarts and replays,
 * which is a tested path, and half a change never happens. */
#include "head/state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/memory.h"

#include <utlist.h>

static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static char *copy_text(struct view text)
{
    char *copy = must(memory_alloc(text.size + 1));
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return copy;
}

static bool same_text(const char *own, struct view text)
{
    return strlen(own) == text.size && memcmp(own, text.data, text.size) == 0;
}

/* ---- finding ---- */

struct state_node *state_find_node(const struct state *s, uint64_t node)
{
    struct state_node *found;
    HASH_FIND(hh, s->nodes, &node, sizeof node, found);
    return found;
}

struct state_node *state_find_place(const struct state *s, struct view machine, struct view local,
                                    uint64_t incarnation)
{
    for (struct state_node *n = s->nodes; n != NULL; n = n->hh.next)
        if (same_text(n->machine, machine) && same_text(n->local, local) &&
            (local.size != 0 || n->incarnation == incarnation))
            return n;
    return NULL;
}

struct state_job *state_find_job(const struct state *s, uint64_t job)
{
    struct state_job *found;
    HASH_FIND(hh, s->jobs, &job, sizeof job, found);
    return found;
}

struct state_job *state_find_request(const struct state *s, uint64_t node, uint64_t request)
{
    for (struct state_job *j = s->jobs; j != NULL; j = j->hh.next)
        if (j->node == node && j->request == request)
            return j;
    return NULL;
}

struct state_worker *state_find_worker(const struct state *s, uint64_t process)
{
    struct state_worker *found;
    HASH_FIND(hh, s->workers, &process, sizeof process, found);
    return found;
}

struct state_object *state_find_object(const struct state *s, struct mob_object id)
{
    struct state_object *found;
    HASH_FIND(hh, s->objects, &id, sizeof id, found);
    return found;
}

bool state_has_process(const struct state_node *node, uint64_t process)
{
    for (const struct state_block *b = node->blocks; b != NULL; b = b->next)
        if (process >= b->first && process - b->first < b->count)
            return true;
    return false;
}

/* ---- freeing ---- */

static void worker_free(struct state *s, struct state_job *job, struct state_worker *w)
{
    DL_DELETE(job->workers, w);
    HASH_DELETE(hh, s->workers, w);
    memory_free(w);
}

static void job_empty(struct state *s, struct state_job *job)
{
    while (job->workers != NULL)
        worker_free(s, job, job->workers);
    while (job->objects != NULL) {
        struct state_object *o = job->objects;
        DL_DELETE(job->objects, o);
        HASH_DELETE(hh, s->objects, o);
        memory_free(o);
    }
}

static void job_free(struct state *s, struct state_job *job)
{
    job_empty(s, job);
    HASH_DELETE(hh, s->jobs, job);
    memory_free(job->command);
    memory_free(job);
}

static void node_free(struct state *s, struct state_node *node)
{
    while (node->blocks != NULL) {
        struct state_block *b = node->blocks;
        node->blocks = b->next;
        memory_free(b);
    }
    HASH_DELETE(hh, s->nodes, node);
    memory_free(node->machine);
    memory_free(node->local);
    memory_free(node);
}

void state_fini(struct state *s)
{
    while (s->jobs != NULL)
        job_free(s, s->jobs);
    while (s->nodes != NULL)
        node_free(s, s->nodes);
    *s = (struct state){0};
}

/* ---- records ---- */

static const char *apply_counter_set(struct state *s, const struct record_counter_set *r)
{
    struct {
        const char *name;
        uint64_t *at;
    } counters[] = {{"epoch", &s->epoch},
                    {"job", &s->last_job},
                    {"node", &s->last_node},
                    {"process", &s->last_process}};
    for (unsigned i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        if (!same_text(counters[i].name, r->name))
            continue;
        if (r->value < *counters[i].at)
            return "the counter would go back";
        *counters[i].at = r->value;
        return NULL;
    }
    return "no such counter";
}

static const char *apply_node_added(struct state *s, const struct record_node_added *r)
{
    if (state_find_node(s, r->node) != NULL ||
        state_find_place(s, r->machine, r->local, r->incarnation) != NULL)
        return "the node is there";
    struct state_node *n = must(memory_zalloc(sizeof *n));
    n->node = r->node;
    n->incarnation = r->incarnation;
    n->session = r->session;
    n->machine = copy_text(r->machine);
    n->local = copy_text(r->local);
    n->cpus = r->cpus;
    n->store_bytes = r->store_bytes;
    HASH_ADD(hh, s->nodes, node, sizeof n->node, n);
    return NULL;
}

static const char *apply_node_request(struct state *s, const struct record_node_request *r)
{
    struct state_node *n = state_find_node(s, r->node);
    if (n == NULL)
        return "no such node";
    n->request = r->request;
    return NULL;
}

static const char *apply_node_ended(struct state *s, const struct record_node_ended *r)
{
    struct state_node *n = state_find_node(s, r->node);
    if (n == NULL)
        return "no such node";
    if (n->job_count != 0)
        return "the node has jobs";
    node_free(s, n);
    return NULL;
}

static const char *apply_block_given(struct state *s, const struct record_block_given *r)
{
    struct state_node *n = state_find_node(s, r->node);
    if (n == NULL)
        return "no such node";
    struct state_block *b = must(memory_zalloc(sizeof *b));
    *b = (struct state_block){r->request, r->first, r->count, NULL};
    LL_APPEND(n->blocks, b);
    n->block_count++;
    return NULL;
}

static const char *apply_job_started(struct state *s, const struct record_job_started *r)
{
    if (state_find_job(s, r->job) != NULL)
        return "the job is there";
    struct state_job *j = must(memory_zalloc(sizeof *j));
    j->job = r->job;
    j->node = r->node;
    j->request = r->request;
    j->driver = r->driver;
    j->pid = r->pid;
    j->uid = r->uid;
    j->command = copy_text(r->command);
    HASH_ADD(hh, s->jobs, job, sizeof j->job, j);
    /* An ended job of a node that is gone is loaded as started, then as ended. */
    struct state_node *n = state_find_node(s, r->node);
    if (n != NULL)
        n->job_count++;
    return NULL;
}

static const char *apply_job_ended(struct state *s, const struct record_job_ended *r)
{
    struct state_job *j = state_find_job(s, r->job);
    if (j == NULL || j->ended)
        return "no such job";
    job_empty(s, j);
    j->ended = true;
    j->code = r->code;
    s->ended_count++;
    struct state_node *n = state_find_node(s, j->node);
    if (n != NULL)
        n->job_count--;
    return NULL;
}

static const char *apply_job_forgotten(struct state *s, const struct record_job_forgotten *r)
{
    struct state_job *j = state_find_job(s, r->job);
    if (j == NULL || !j->ended)
        return "no such ended job";
    job_free(s, j);
    s->ended_count--;
    return NULL;
}

static const char *apply_worker_added(struct state *s, const struct record_worker_added *r)
{
    struct state_job *j = state_find_job(s, r->job);
    if (j == NULL || j->ended)
        return "no such job";
    if (state_find_worker(s, r->process) != NULL)
        return "the worker is there";
    struct state_worker *w = must(memory_zalloc(sizeof *w));
    w->process = r->process;
    w->job = r->job;
    w->node = r->node;
    w->pid = r->pid;
    HASH_ADD(hh, s->workers, process, sizeof w->process, w);
    DL_APPEND(j->workers, w);
    return NULL;
}

static const char *apply_worker_ended(struct state *s, const struct record_worker_ended *r)
{
    struct state_worker *w = state_find_worker(s, r->process);
    if (w == NULL)
        return "no such worker";
    worker_free(s, state_find_job(s, w->job), w);
    return NULL;
}

static const char *apply_object_added(struct state *s, const struct record_object_added *r)
{
    struct state_job *j = state_find_job(s, r->job);
    if (j == NULL || j->ended)
        return "no such job";
    if (state_find_object(s, r->object) != NULL)
        return "the object is there";
    struct state_object *o = must(memory_zalloc(sizeof *o));
    o->id = r->object;
    o->job = r->job;
    o->node = r->node;
    o->size = r->size;
    HASH_ADD(hh, s->objects, id, sizeof o->id, o);
    DL_APPEND(j->objects, o);
    return NULL;
}

int state_apply(struct state *s, const struct record *r, struct mob_err *err)
{
    const char *wrong = "unknown record";
    switch (r->kind) {
#define RECORD(name, number, doc, fields, apply, load)                                             \
    case number:                                                                                   \
        wrong = apply_##name(s, &r->name);                                                         \
        break;
#include "head/records.def"
#undef RECORD
    }
    if (wrong == NULL)
        return MOB_OK;
    char text[256];
    record_print(r, text, sizeof text);
    return mob_err_set(err, MOB_EJOURNAL, "%s: %s", text, wrong);
}

/* ---- looking in ---- */

static int by_id(const void *a, const void *b)
{
    /* Every element starts with its 64-bit id, objects with two. */
    const uint64_t *const *x = a, *const *y = b;
    return **x < **y ? -1 : **x > **y;
}

static int by_object(const void *a, const void *b)
{
    const struct state_object *const *x = a, *const *y = b;
    if ((*x)->id.owner != (*y)->id.owner)
        return (*x)->id.owner < (*y)->id.owner ? -1 : 1;
    return (*x)->id.seq < (*y)->id.seq ? -1 : (*x)->id.seq > (*y)->id.seq;
}

static void dump_line(struct buffer *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void dump_line(struct buffer *out, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    assert(size >= 0);
    if (buffer_reserve(out, (size_t)size + 1) != MOB_OK)
        abort();
    vsnprintf((char *)out->data + out->end, (size_t)size + 1, format, again);
    out->end += (size_t)size;
    va_end(again);
    va_end(args);
}

static void dump_node(struct buffer *out, const struct state_node *n)
{
    dump_line(out,
              "node %" PRIu64 " incarnation=%" PRIx64 " place=%s:%s cpus=%" PRIu64 " store=%" PRIu64
              " request=%" PRIu64,
              n->node, n->incarnation, n->machine, n->local, n->cpus, n->store_bytes, n->request);
    for (const struct state_block *b = n->blocks; b != NULL; b = b->next)
        dump_line(out, " block=%" PRIu64 "+%" PRIu64 "@%" PRIu64, b->first, b->count, b->request);
    dump_line(out, "\n");
}

static void dump_job(struct buffer *out, const struct state_job *j)
{
    dump_line(out,
              "job %" PRIu64 " node=%" PRIu64 " request=%" PRIu64 " driver=%" PRIu64 " pid=%" PRIu64
              " uid=%" PRIu64,
              j->job, j->node, j->request, j->driver, j->pid, j->uid);
    dump_line(out, " ended=%d code=%" PRId64 " command=%s\n", j->ended, j->code, j->command);
}

static void dump_worker(struct buffer *out, const struct state_worker *w)
{
    dump_line(out, "worker %" PRIu64 " job=%" PRIu64 " node=%" PRIu64 " pid=%" PRIu64 "\n",
              w->process, w->job, w->node, w->pid);
}

static void dump_object(struct buffer *out, const struct state_object *o)
{
    dump_line(out,
              "object %" PRIu64 ".%" PRIu64 " job=%" PRIu64 " node=%" PRIu64 " size=%" PRIu64 "\n",
              o->id.owner, o->id.seq, o->job, o->node, o->size);
}

/* Each table in the order of its ids: live and replayed states inserted in different orders. */
#define DUMP_TABLE(type, first, compare, print)                                                    \
    do {                                                                                           \
        unsigned count = HASH_COUNT(first), n = 0;                                                 \
        const struct type **rows = must(memory_alloc((count + 1) * sizeof *rows));                 \
        for (const struct type *row = (first); row != NULL; row = row->hh.next)                    \
            rows[n++] = row;                                                                       \
        qsort(rows, count, sizeof *rows, compare);                                                 \
        for (unsigned i = 0; i < count; i++)                                                       \
            print(out, rows[i]);                                                                   \
        memory_free(rows);                                                                         \
    } while (0)

int state_dump(const struct state *s, struct buffer *out)
{
    dump_line(out, "epoch %" PRIu64 " job %" PRIu64 " node %" PRIu64 " process %" PRIu64 "\n",
              s->epoch, s->last_job, s->last_node, s->last_process);
    DUMP_TABLE(state_node, s->nodes, by_id, dump_node);
    DUMP_TABLE(state_job, s->jobs, by_id, dump_job);
    DUMP_TABLE(state_worker, s->workers, by_id, dump_worker);
    DUMP_TABLE(state_object, s->objects, by_object, dump_object);
    return MOB_OK;
}

static bool blocks_overlap(const struct state_block *a, const struct state_block *b)
{
    return a != b && a->first < b->first + b->count && b->first < a->first + a->count;
}

static bool check_blocks(const struct state *s, const struct state_node *n, struct mob_err *err)
{
    for (const struct state_block *b = n->blocks; b != NULL; b = b->next) {
        if (b->first + b->count - 1 > s->last_process)
            return mob_err_set(err, MOB_EBUG, "block %" PRIu64 " lies above the counter", b->first),
                   false;
        for (const struct state_node *m = s->nodes; m != NULL; m = m->hh.next)
            for (const struct state_block *o = m->blocks; o != NULL; o = o->next)
                if (blocks_overlap(b, o))
                    return mob_err_set(err, MOB_EBUG,
                                       "process ids from %" PRIu64 " were given twice", b->first),
                           false;
    }
    return true;
}

static bool check_job(const struct state *s, const struct state_job *j, struct mob_err *err)
{
    if (j->ended)
        return (j->workers == NULL && j->objects == NULL) ||
               (mob_err_set(err, MOB_EBUG, "ended job %" PRIu64 " has workers or objects", j->job),
                false);
    if (state_find_node(s, j->node) == NULL)
        return mob_err_set(err, MOB_EBUG, "job %" PRIu64 " has no node", j->job), false;
    for (const struct state_job *other = j->hh.next; other != NULL; other = other->hh.next)
        if (!other->ended && other->node == j->node &&
            (other->request == j->request || other->driver == j->driver))
            return mob_err_set(err, MOB_EBUG,
                               "jobs %" PRIu64 " and %" PRIu64 " come of one request", j->job,
                               other->job),
                   false;
    return true;
}

bool state_check(const struct state *s, struct mob_err *err)
{
    uint32_t ended = 0, active = 0, counted = 0;
    for (const struct state_node *n = s->nodes; n != NULL; n = n->hh.next) {
        counted += n->job_count;
        if (n->node > s->last_node || !check_blocks(s, n, err))
            return false;
    }
    for (const struct state_job *j = s->jobs; j != NULL; j = j->hh.next) {
        *(j->ended ? &ended : &active) += 1;
        if (!check_job(s, j, err))
            return false;
    }
    if (ended != s->ended_count || active != counted)
        return mob_err_set(err, MOB_EBUG, "jobs are miscounted"), false;
    for (const struct state_worker *w = s->workers; w != NULL; w = w->hh.next) {
        const struct state_job *j = state_find_job(s, w->job);
        if (j == NULL || j->ended || j->node != w->node)
            return mob_err_set(err, MOB_EBUG, "worker %" PRIu64 " has no job", w->process), false;
    }
    return true;
}
