/* waits.c: objects settle, and whoever waits for them goes on: threads, dependent tasks, readers in
 * other processes, the completion list. Settling only puts watches on a list; they are acted on at
 * the end of the step, one after the other, so a chain of a million dependents needs no stack. */
#include <assert.h>

#include "libclient/core_parts.h"
#include "protocol/memory.h"

/* An entry of the completion list; while its object is pending, `watch` is on the object. */
struct completion {
    struct watch watch; /* first */
    struct completion *next;
    struct mob_object id;
};

/* ---- handles ---- */

int handle_reserve(struct client *c, uint32_t count)
{
    if (c->current == NULL || c->obtained_capacity - c->obtained_count >= count)
        return MOB_OK;
    size_t kept = 0;
    for (size_t i = 0; i < c->obtained_count;
         i++) { /* forget those that the task has dropped by itself */
        struct object *o = objects_find(c->objects, c->obtained[i]);
        if (o != NULL && o->handles > 0)
            c->obtained[kept++] = c->obtained[i];
    }
    c->obtained_count = kept;
    size_t capacity = kept * 2 + count + 16;
    if (capacity <= c->obtained_capacity)
        return MOB_OK;
    struct mob_object *grown = memory_realloc(c->obtained, capacity * sizeof *grown);
    if (grown == NULL)
        return c->obtained_capacity - kept >= count ? MOB_OK : MOB_ENOMEM;
    c->obtained = grown;
    c->obtained_capacity = capacity;
    return MOB_OK;
}

void handle_obtained(struct client *c, struct object *o)
{
    if (c->current != NULL)
        c->obtained[c->obtained_count++] = o->id;
}

int client_hold(struct client *c, struct mob_object id)
{
    struct object *o = objects_find(c->objects, id);
    if (o == NULL || o->handles == 0)
        return MOB_ENOOBJECT;
    int rc = handle_reserve(c, 1);
    if (rc != MOB_OK)
        return rc;
    o->handles++;
    handle_obtained(c, o);
    return MOB_OK;
}

void client_drop(struct client *c, struct mob_object id)
{
    struct object *o = objects_find(c->objects, id);
    if (o == NULL || o->handles == 0)
        return;
    o->handles--;
    objects_release(c->objects, o);
}

void client_publish(struct client *c, struct mob_object id)
{
    struct object *o = objects_find(c->objects, id);
    if (o != NULL)
        o->published = true;
}

int client_borrow(struct client *c, struct mob_object id)
{
    if (id.seq == 0)
        return MOB_ENOOBJECT;
    int rc = handle_reserve(c, 1);
    if (rc != MOB_OK)
        return rc;
    struct object *o = objects_borrow(c->objects, id);
    if (o == NULL)
        return id.owner == c->config.self.v ? MOB_ENOOBJECT : MOB_ENOMEM;
    o->handles++;
    handle_obtained(c, o);
    return MOB_OK;
}

struct object *object_held(struct client *c, struct mob_object id)
{
    struct object *o = objects_find(c->objects, id);
    return o != NULL && o->handles > 0 ? o : NULL;
}

bool client_holds(struct client *c, struct mob_object id)
{
    return object_held(c, id) != NULL;
}

enum object_look client_look(struct client *c, struct mob_object id, struct value *out)
{
    struct object *o = objects_find(c->objects, id);
    if (o == NULL)
        return OBJECT_ABSENT;
    if (o->kind == 0)
        return OBJECT_PENDING;
    *out = (struct value){.kind = o->kind};
    if (o->kind == VALUE_INLINE)
        out->bytes = object_bytes(o);
    else if (o->kind == VALUE_STORED)
        out->offset = o->offset, out->size = o->size;
    else
        out->errors = o->failure->list;
    return OBJECT_SETTLED;
}

void *client_scratch(struct client *c, struct mob_object id, size_t size)
{
    struct object *o = objects_find(c->objects, id);
    return o != NULL ? object_scratch(o, size) : NULL;
}

/* ---- putting ---- */

static int object_make(struct client *c, struct mob_object *id, struct object **out)
{
    uint64_t seq;
    int rc = c->failed != MOB_OK ? c->failed : handle_reserve(c, 1);
    if (rc == MOB_OK)
        rc = objects_make(c->objects, 1, &seq);
    if (rc != MOB_OK)
        return rc;
    *id = (struct mob_object){c->config.self.v, seq};
    *out = objects_find(c->objects, *id);
    return MOB_OK;
}

static void object_handed(struct client *c, struct object *o)
{
    o->handles = 1;
    handle_obtained(c, o);
}

int client_put_inline(struct client *c, const struct view *pieces, uint32_t count,
                      struct mob_object *out)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += pieces[i].size;
    if (size > c->config.inline_max)
        return MOB_ETOOBIG;
    struct object *o;
    int rc = object_make(c, out, &o);
    if (rc != MOB_OK)
        return rc;
    uint8_t *at = object_room(o, size);
    if (at == NULL) {
        objects_release(c->objects, o);
        return MOB_ENOMEM;
    }
    for (uint32_t i = 0; i < count; at += pieces[i].size, i++)
        if (pieces[i].size != 0)
            memcpy(at, pieces[i].data, pieces[i].size);
    object_handed(c, o);
    return MOB_OK;
}

int client_seal(struct client *c, struct mob_object id, uint64_t offset, uint64_t size)
{
    struct msg_object_sealed m = {.object = id, .offset = offset, .size = size};
    return peer_send(&c->node, object_sealed, &m);
}

int client_put_stored(struct client *c, uint64_t offset, uint64_t size, struct mob_object *out)
{
    struct object *o;
    int rc = object_make(c, out, &o);
    if (rc != MOB_OK)
        return rc;
    rc = client_seal(c, *out, offset, size);
    if (rc != MOB_OK) {
        objects_release(c->objects, o);
        return rc;
    }
    o->kind = VALUE_STORED;
    o->offset = offset;
    o->size = size;
    o->published = true; /* the node has it: it lives until the job ends */
    object_handed(c, o);
    return MOB_OK;
}

/* ---- settling ---- */

void object_settled(struct client *c, struct object *o)
{
    while (o->watches != NULL) {
        struct watch *w = o->watches;
        o->watches = w->next;
        w->next = NULL;
        if (c->fired_last != NULL)
            c->fired_last->next = w;
        else
            c->fired_first = w;
        c->fired_last = w;
        o->pins++; /* until the watch has been acted on */
    }
    objects_release(c->objects, o);
}

void object_settle_failed(struct client *c, struct object *o, struct failure *f)
{
    f->holds++;
    o->kind = VALUE_ERROR;
    o->failure = f;
    object_settled(c, o);
}

void object_settle_text(struct client *c, struct object *o, int code, const char *text)
{
    struct msg_error_frame frame = {
        .code = code, .text = view_of(text), .process = c->config.self.v};
    struct failure *f = failure_chain(&frame, NULL);
    object_settle_failed(c, o, f != NULL ? f : c->no_memory);
    failure_drop(f);
}

int object_settle_inline(struct client *c, struct object *o, struct view bytes)
{
    uint8_t *room = object_room(o, bytes.size);
    if (room == NULL)
        return MOB_ENOMEM;
    if (bytes.size != 0)
        memcpy(room, bytes.data, bytes.size);
    object_settled(c, o);
    return MOB_OK;
}

void object_settle_stored(struct client *c, struct object *o, uint64_t offset, uint64_t size)
{
    o->kind = VALUE_STORED;
    o->offset = offset;
    o->size = size;
    object_settled(c, o);
}

/* Ask the owner for a borrowed object, once. */
int object_request(struct client *c, struct object *o)
{
    if (o->kind != 0 || !o->borrowed || o->requested)
        return MOB_OK;
    int rc = send_object_get(c, o->id.owner, &(struct msg_object_get){.object = o->id});
    o->requested = rc == MOB_OK;
    return rc;
}

/* ---- watches ---- */

static int remote_answer(struct client *c, const struct object *o, uint64_t process)
{
    struct msg_object_value m = {.object = o->id, .kind = o->kind};
    if (o->kind == VALUE_INLINE)
        m.value = object_bytes(o);
    else if (o->kind == VALUE_STORED)
        m.offset = o->offset, m.size = o->size;
    else
        m.errors = o->failure->list;
    return send_object_value(c, process, &m);
}

static void waiter_fired(struct client *c, struct waiter *w)
{
    if (w->needed == 0 || --w->needed > 0)
        return;
    w->done = true;
    w->woken_next = NULL;
    if (c->woken_last != NULL)
        c->woken_last->woken_next = w;
    else
        c->woken_first = w;
    c->woken_last = w;
}

static void completion_fired(struct client *c, struct completion *done)
{
    done->next = NULL;
    if (c->completions_last != NULL)
        c->completions_last->next = done;
    else
        c->completions_first = done;
    c->completions_last = done;
}

/* Act on one watch whose object has settled. The watch may be gone afterwards. */
static void watch_act(struct client *c, struct watch *w, struct object *o, uint64_t now_ns)
{
    switch (w->kind) {
    case WATCH_WAITER:
        waiter_fired(c, w->waiter);
        break;
    case WATCH_TASK:
        task_awaited(c, w->task, o, now_ns);
        break;
    case WATCH_COMPLETION:
        completion_fired(c, (struct completion *)w);
        break;
    case WATCH_REMOTE:
        if (remote_answer(c, o, w->process) == MOB_OK) {
            memory_free(w);
            break;
        }
        w->object = o; /* no memory: keep the object and try again at the next step */
        o->pins++;
        w->next = c->remote_unsent;
        c->remote_unsent = w;
    }
}

static void remote_retry(struct client *c)
{
    struct watch *w = c->remote_unsent;
    c->remote_unsent = NULL;
    while (w != NULL) {
        struct watch *next = w->next;
        struct object *o = w->object;
        if (remote_answer(c, o, w->process) == MOB_OK) {
            memory_free(w);
            o->pins--;
            objects_release(c->objects, o);
        } else {
            w->next = c->remote_unsent;
            c->remote_unsent = w;
        }
        w = next;
    }
}

bool watches_fire(struct client *c, uint64_t now_ns)
{
    remote_retry(c);
    while (c->fired_first != NULL) {
        struct watch *w = c->fired_first;
        c->fired_first = w->next;
        if (c->fired_first == NULL)
            c->fired_last = NULL;
        struct object *o = w->object;
        w->object = NULL;
        w->next = NULL;
        if (w->kind == WATCH_TASK && MUTANT(client_dependents_forgotten)) {
            o->pins--;
            continue;
        }
        watch_act(c, w, o, now_ns);
        o->pins--;
        objects_release(c->objects, o);
    }
    return c->remote_unsent == NULL;
}

/* Whether the object can settle, and is asked for where it must be. */
static int object_expect(struct client *c, struct object *o)
{
    if (o == NULL)
        return MOB_ENOOBJECT;
    return o->kind == 0 && c->failed != MOB_OK ? c->failed : object_request(c, o);
}

static void watch_add(struct object *o, struct watch *w)
{
    w->object = o;
    w->next = o->watches;
    o->watches = w;
}

int client_watch(struct client *c, struct mob_object id, struct watch *w, struct waiter *waiter,
                 uint64_t now_ns)
{
    *w = (struct watch){.kind = WATCH_WAITER, .waiter = waiter};
    struct object *o = object_held(c, id);
    int rc = object_expect(c, o);
    if (rc != MOB_OK)
        return rc;
    if (o->kind != 0)
        waiter_fired(c, waiter);
    else
        watch_add(o, w);
    step_end(c, now_ns);
    return MOB_OK;
}

void client_unwatch(struct client *c, struct watch *w)
{
    struct object *o = w->object;
    if (o == NULL)
        return;
    w->object = NULL;
    for (struct watch **at = &o->watches; *at != NULL; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            objects_release(c->objects, o);
            return;
        }
    /* It has fired and waits for the end of the step: take it off that list. */
    struct watch *before = NULL;
    for (struct watch *at = c->fired_first; at != NULL; before = at, at = at->next)
        if (at == w) {
            *(before != NULL ? &before->next : &c->fired_first) = w->next;
            if (c->fired_last == w)
                c->fired_last = before;
            o->pins--;
            objects_release(c->objects, o);
            return;
        }
}

struct waiter *client_next_woken(struct client *c)
{
    struct waiter *w = c->woken_first;
    if (w == NULL)
        return NULL;
    c->woken_first = w->woken_next;
    if (c->woken_first == NULL)
        c->woken_last = NULL;
    return w;
}

int remote_watch_add(struct client *c, struct object *o, uint64_t process, uint64_t now_ns)
{
    (void)now_ns;
    struct watch *w = memory_alloc(sizeof *w);
    if (w == NULL)
        return MOB_ENOMEM;
    *w = (struct watch){.kind = WATCH_REMOTE, .process = process};
    watch_add(o, w);
    if (o->kind != 0)
        object_settled(c, o);
    return MOB_OK;
}

/* ---- completions ---- */

int client_completion_watch(struct client *c, struct mob_object id, uint64_t now_ns)
{
    struct object *o = object_held(c, id);
    int rc = object_expect(c, o);
    if (rc != MOB_OK)
        return rc;
    struct completion *done = memory_zalloc(sizeof *done);
    if (done == NULL)
        return MOB_ENOMEM;
    done->id = id;
    done->watch.kind = WATCH_COMPLETION;
    watch_add(o, &done->watch);
    if (o->kind != 0)
        object_settled(c, o);
    step_end(c, now_ns);
    return MOB_OK;
}

bool client_completion_take(struct client *c, struct mob_object *out)
{
    struct completion *done = c->completions_first;
    if (done == NULL)
        return false;
    c->completions_first = done->next;
    if (c->completions_first == NULL)
        c->completions_last = NULL;
    *out = done->id;
    memory_free(done);
    return true;
}

bool client_completion_waits(const struct client *c)
{
    return c->completions_first != NULL;
}

static void watches_free(void *ctx, struct object *o)
{
    (void)ctx;
    while (o->watches != NULL) {
        struct watch *w = o->watches;
        o->watches = w->next;
        w->object = NULL;
        if (w->kind == WATCH_REMOTE || w->kind == WATCH_COMPLETION)
            memory_free(w);
    }
}

void completions_free(struct client *c)
{
    struct mob_object id;
    while (client_completion_take(c, &id))
        continue;
    while (c->remote_unsent != NULL) {
        struct watch *w = c->remote_unsent;
        c->remote_unsent = w->next;
        memory_free(w);
    }
    objects_each(c->objects, watches_free, NULL);
}
