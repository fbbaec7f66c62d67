/* objects.c: our own objects have consecutive numbers, so they stand in pages of consecutive slots
 * and are found without hashing the object; pages come and go with their objects. Borrowed ones are
 * few and stand in a hash table. */
#include "libclient/objects.h"

#include "protocol/memory.h"

#define HASH_NONFATAL_OOM    1
#define uthash_malloc(size)  memory_alloc(size)
#define uthash_free(p, size) memory_free(p)
#include <uthash.h>

enum { PAGE_OBJECTS = 64, PAGES_MIN = 64 };

struct page {
    uint64_t number; /* of objects numbered number * PAGE_OBJECTS and up */
    uint32_t used;
    struct object slots[PAGE_OBJECTS];
};

struct borrowed {
    struct object object; /* first: a pointer to it is a pointer to the record */
    UT_hash_handle hh;
};

struct scratch {
    struct scratch *next;
    _Alignas(16) uint8_t bytes[];
};

struct objects {
    uint64_t self, next_seq, count;
    struct page **pages; /* open addressing by number; NULL = free */
    size_t capacity, page_count;
    struct page *newest;
    struct borrowed *borrowed;
};

int objects_create(struct objects **out, uint64_t self)
{
    struct objects *t = memory_zalloc(sizeof *t);
    if (t == NULL)
        return MOB_ENOMEM;
    t->pages = memory_zalloc(PAGES_MIN * sizeof *t->pages);
    if (t->pages == NULL) {
        memory_free(t);
        return MOB_ENOMEM;
    }
    t->capacity = PAGES_MIN;
    t->self = self;
    t->next_seq = 1;
    *out = t;
    return MOB_OK;
}

uint64_t objects_count(const struct objects *t)
{
    return t->count;
}

/* ---- values ---- */

static void object_fini(struct object *o)
{
    if (o->kind == VALUE_INLINE && o->size > OBJECT_SMALL_MAX)
        memory_free(o->bytes);
    else if (o->kind == VALUE_ERROR)
        failure_drop(o->failure);
    while (o->scratch != NULL) {
        struct scratch *s = o->scratch;
        o->scratch = s->next;
        memory_free(s);
    }
}

uint8_t *object_room(struct object *o, size_t size)
{
    uint8_t *room = size <= OBJECT_SMALL_MAX ? o->small : memory_alloc(size);
    if (room == NULL)
        return NULL;
    if (size > OBJECT_SMALL_MAX)
        o->bytes = room;
    o->size = size;
    o->kind = VALUE_INLINE;
    return room;
}

struct view object_bytes(const struct object *o)
{
    return (struct view){o->size <= OBJECT_SMALL_MAX ? o->small : o->bytes, o->size};
}

void *object_scratch(struct object *o, size_t size)
{
    struct scratch *s = memory_alloc(sizeof *s + size);
    if (s == NULL)
        return NULL;
    s->next = o->scratch;
    o->scratch = s;
    return s->bytes;
}

struct failure *failure_create(const struct msg_list *list)
{
    struct failure *f = memory_alloc(sizeof *f + list->size);
    if (f == NULL)
        return NULL;
    f->holds = 1;
    memcpy(f->bytes, list->data, list->size);
    f->list = (struct msg_list){list->count, f->bytes, list->size};
    return f;
}

struct failure *failure_chain(const struct msg_error_frame *frame, const struct failure *cause)
{
    struct buffer b = {0};
    uint32_t count = 1;
    int rc = msg_error_frame_pack_item(&b, frame);
    if (cause != NULL) {
        struct cursor c = cursor_of(cause->list.data, cause->list.size);
        struct msg_error_frame inner;
        /* The last frame is the root: when the chain is full, those before it are left out. */
        for (uint32_t i = 0; i < cause->list.count && rc == MOB_OK; i++) {
            if (!msg_error_frame_unpack_item(&c, &inner))
                break;
            if (count < FAILURE_FRAMES_MAX - 1 || i + 1 == cause->list.count) {
                rc = msg_error_frame_pack_item(&b, &inner);
                count++;
            }
        }
    }
    struct failure *f = NULL;
    if (rc == MOB_OK)
        f = failure_create(&(struct msg_list){count, b.data, buffer_size(&b)});
    buffer_fini(&b);
    return f;
}

void failure_drop(struct failure *f)
{
    if (f != NULL && --f->holds == 0)
        memory_free(f);
}

/* ---- our own: pages ---- */

static size_t page_slot(const struct objects *t, uint64_t number)
{
    size_t i = (size_t)(number * 0x9e3779b97f4a7c15u >> 20) & (t->capacity - 1);
    while (t->pages[i] != NULL && t->pages[i]->number != number)
        i = (i + 1) & (t->capacity - 1);
    return i;
}

static int pages_grow(struct objects *t)
{
    struct page **old = t->pages;
    size_t old_capacity = t->capacity;
    struct page **pages = memory_zalloc(old_capacity * 2 * sizeof *pages);
    if (pages == NULL)
        return MOB_ENOMEM;
    t->pages = pages;
    t->capacity = old_capacity * 2;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i] != NULL)
            pages[page_slot(t, old[i]->number)] = old[i];
    memory_free(old);
    return MOB_OK;
}

static struct page *page_make(struct objects *t, uint64_t number)
{
    if (t->page_count * 2 >= t->capacity && pages_grow(t) != MOB_OK)
        return NULL;
    struct page *p = memory_zalloc(sizeof *p);
    if (p == NULL)
        return NULL;
    p->number = number;
    t->pages[page_slot(t, number)] = p;
    t->page_count++;
    t->newest = p;
    return p;
}

/* Remove the page; those after it in the probe run move up. */
static void page_free(struct objects *t, struct page *p)
{
    size_t hole = page_slot(t, p->number);
    t->pages[hole] = NULL;
    for (size_t i = (hole + 1) & (t->capacity - 1); t->pages[i] != NULL;
         i = (i + 1) & (t->capacity - 1)) {
        struct page *moved = t->pages[i];
        t->pages[i] = NULL;
        t->pages[page_slot(t, moved->number)] = moved;
    }
    t->page_count--;
    if (t->newest == p)
        t->newest = NULL;
    memory_free(p);
}

static struct page *page_find(const struct objects *t, uint64_t number)
{
    if (t->newest != NULL && t->newest->number == number)
        return t->newest;
    return t->pages[page_slot(t, number)];
}

int objects_make(struct objects *t, uint32_t count, uint64_t *first)
{
    uint64_t seq = t->next_seq;
    for (uint32_t i = 0; i < count; i++, seq++) {
        struct page *p = page_find(t, seq / PAGE_OBJECTS);
        if (p == NULL)
            p = page_make(t, seq / PAGE_OBJECTS);
        if (p == NULL) {
            while (seq-- > t->next_seq)
                objects_release(t, objects_find(t, (struct mob_object){t->self, seq}));
            return MOB_ENOMEM;
        }
        struct object *o = &p->slots[seq % PAGE_OBJECTS];
        *o = (struct object){.id = {t->self, seq}};
        p->used++;
        t->count++;
    }
    *first = t->next_seq;
    t->next_seq = seq;
    return MOB_OK;
}

/* ---- both ---- */

struct object *objects_find(const struct objects *t, struct mob_object id)
{
    if (id.owner == t->self) {
        struct page *p = page_find(t, id.seq / PAGE_OBJECTS);
        if (p == NULL || p->slots[id.seq % PAGE_OBJECTS].id.seq != id.seq || id.seq == 0)
            return NULL;
        return &p->slots[id.seq % PAGE_OBJECTS];
    }
    struct borrowed *b;
    HASH_FIND(hh, t->borrowed, &id, sizeof id, b);
    return b != NULL ? &b->object : NULL;
}

struct object *objects_borrow(struct objects *t, struct mob_object id)
{
    struct object *o = objects_find(t, id);
    if (o != NULL || id.owner == t->self)
        return o;
    struct borrowed *b = memory_zalloc(sizeof *b);
    if (b == NULL)
        return NULL;
    b->object.id = id;
    b->object.borrowed = true;
    HASH_ADD(hh, t->borrowed, object.id, sizeof id, b);
    if (b->hh.tbl == NULL) { /* uthash had no memory for its table */
        memory_free(b);
        return NULL;
    }
    t->count++;
    return &b->object;
}

void objects_release(struct objects *t, struct object *o)
{
    if (o->handles != 0 || o->pins != 0 || o->watches != NULL || o->task != NULL || o->published)
        return;
    object_fini(o);
    t->count--;
    if (o->borrowed) {
        struct borrowed *b = (struct borrowed *)o;
        HASH_DEL(t->borrowed, b);
        memory_free(b);
        return;
    }
    struct page *p = page_find(t, o->id.seq / PAGE_OBJECTS);
    o->id.seq = 0;
    o->kind = 0;
    if (--p->used == 0)
        page_free(t, p);
}

void objects_each(struct objects *t, void (*each)(void *ctx, struct object *o), void *ctx)
{
    for (size_t i = 0; i < t->capacity; i++)
        for (unsigned j = 0; t->pages[i] != NULL && j < PAGE_OBJECTS; j++)
            if (t->pages[i]->slots[j].id.seq != 0)
                each(ctx, &t->pages[i]->slots[j]);
    struct borrowed *b, *next;
    HASH_ITER(hh, t->borrowed, b, next) each(ctx, &b->object);
}

static void fini_one(void *ctx, struct object *o)
{
    (void)ctx;
    object_fini(o);
}

void objects_destroy(struct objects *t)
{
    if (t == NULL)
        return;
    objects_each(t, fini_one, NULL);
    for (size_t i = 0; i < t->capacity; i++)
        memory_free(t->pages[i]);
    struct borrowed *b, *next;
    HASH_ITER(hh, t->borrowed, b, next)
    {
        HASH_DEL(t->borrowed, b);
        memory_free(b);
    }
    memory_free(t->pages);
    memory_free(t);
}
