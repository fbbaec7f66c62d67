/* registry.c: constructors run before main, before this library's own, and inside dlopen on any
 * thread; nothing may fail there and nobody may wait. So a record brings its own links, and is
 * pushed with one compare-and-swap onto the list of all and onto one of a fixed number of buckets.
 * A table that grows was rejected: it would need memory or a lock. With a thousand tasks a bucket
 * holds one. A record is published after its id is set and is never taken out. */
#include "libclient/registry.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

static struct mob_function *all;
static struct mob_function *buckets[BUCKETS];

static const uint64_t hash_start = 0xcbf29ce484222325u;

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_type(uint64_t hash, const struct mob_type *type)
{
    for (; type->kind == MOB_KIND_REF; type = type->element)
        hash = hash_text(hash, "*");
    return hash_text(hash, type->name);
}

uint64_t registry_id(const char *name, const char *signature)
{
    return hash_text(hash_text(hash_start, name), signature);
}

/* As if the signature were written out: "(double,*point)text". */
static uint64_t hash_slots(const struct mob_function *f)
{
    uint64_t hash = hash_text(hash_text(hash_start, f->name), "(");
    for (uint32_t i = 0; i < f->arg_count + f->result_count; i++) {
        if (i == f->arg_count)
            hash = hash_text(hash, ")");
        else if (i > 0)
            hash = hash_text(hash, ",");
        hash = hash_type(hash, f->slots[i].type);
    }
    return hash;
}

static void push(struct mob_function **list, struct mob_function *f, struct mob_function **link)
{
    struct mob_function *first = __atomic_load_n(list, __ATOMIC_RELAXED);
    do {
        *link = first;
    } while (
        !__atomic_compare_exchange_n(list, &first, f, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

void mob_function_link(struct mob_function *f)
{
    f->id = f->slots != NULL ? hash_slots(f) : registry_id(f->name, f->signature);
    push(&buckets[f->id % BUCKETS], f, &f->next_same);
    push(&all, f, &f->next);
}

const struct mob_function *registry_find(uint64_t id)
{
    const struct mob_function *f = __atomic_load_n(&buckets[id % BUCKETS], __ATOMIC_ACQUIRE);
    while (f != NULL && f->id != id)
        f = f->next_same;
    return f;
}

const struct mob_function *registry_next(const struct mob_function *after)
{
    return after == NULL ? __atomic_load_n(&all, __ATOMIC_ACQUIRE) : after->next;
}

const struct mob_function *registry_find_name(const char *name)
{
    const struct mob_function *f = registry_next(NULL);
    while (f != NULL && strcmp(f->name, name) != 0)
        f = f->next;
    return f;
}

static int by_name(const void *a, const void *b)
{
    const struct mob_function *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int by_id(const void *a, const void *b)
{
    const struct mob_function *const *left = a, *const *right = b;
    return ((*left)->id > (*right)->id) - ((*left)->id < (*right)->id);
}

static int duplicate(const struct mob_function *a, const struct mob_function *b,
                     struct mob_err *err)
{
    if (strcmp(a->name, b->name) == 0)
        return mob_err_set(err, MOB_EDUPLICATE,
                           "two tasks are named %s: at %s:%d and at %s:%d; rename one of them",
                           a->name, a->file, a->line, b->file, b->line);
    return mob_err_set(
        err, MOB_EDUPLICATE,
        "the tasks %s at %s:%d and %s at %s:%d have one id by chance; rename one of them", a->name,
        a->file, a->line, b->name, b->file, b->line);
}

int registry_check(struct mob_err *err)
{
    const struct mob_function *first = registry_next(NULL);
    size_t count = 0;
    for (const struct mob_function *f = first; f != NULL; f = f->next)
        count++;
    const struct mob_function **sorted = malloc((count + 1) * sizeof(const struct mob_function *));
    if (sorted == NULL)
        return mob_err_set(err, MOB_ENOMEM, "no memory to compare %zu tasks", count);
    size_t i = 0;
    for (const struct mob_function *f = first; f != NULL; f = f->next)
        sorted[i++] = f;
    int rc = MOB_OK;
    qsort(sorted, count, sizeof sorted[0], by_name);
    for (i = 1; i < count && rc == MOB_OK; i++)
        if (by_name(&sorted[i - 1], &sorted[i]) == 0)
            rc = duplicate(sorted[i - 1], sorted[i], err);
    qsort(sorted, count, sizeof sorted[0], by_id);
    for (i = 1; i < count && rc == MOB_OK; i++)
        if (by_id(&sorted[i - 1], &sorted[i]) == 0)
            rc = duplicate(sorted[i - 1], sorted[i], err);
    free(sorted);
    return rc;
}

static const struct mob_function *refused(struct mob_error *err, int code, const char *what,
                                          const char *name)
{
    if (err != NULL) {
        *err = (struct mob_error){.code = code, .root_code = code};
        snprintf(err->text, sizeof err->text, "the function %s was not registered: %s", name, what);
    }
    return NULL;
}

const struct mob_function *mob_function_register(const char *name, const char *signature,
                                                 uint32_t arg_count, uint32_t result_count,
                                                 int (*run)(struct mob_task *), void *user,
                                                 struct mob_error *err)
{
    if (name == NULL || name[0] == '\0' || signature == NULL)
        return refused(err, MOB_EINVAL, "it has no name or no signature",
                       name != NULL ? name : "(null)");
    if (result_count == 0)
        return refused(err, MOB_EINVAL, "every task has at least one result", name);
    if (registry_find_name(name) != NULL)
        return refused(err, MOB_EDUPLICATE, "there is one of that name", name);
    size_t name_size = strlen(name) + 1, signature_size = strlen(signature) + 1;
    struct mob_function *f = calloc(1, sizeof *f + name_size + signature_size);
    if (f == NULL)
        return refused(err, MOB_ENOMEM, "no memory", name);
    char *texts = (char *)(f + 1);
    memcpy(texts, name, name_size);
    memcpy(texts + name_size, signature, signature_size);
    f->name = texts;
    f->signature = texts + name_size;
    f->file = "mob_function_register";
    f->arg_count = arg_count;
    f->result_count = result_count;
    f->run = run;
    f->user = user;
    mob_function_link(f);
    return f;
}
