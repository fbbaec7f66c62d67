/* objects.h: the objects that this process knows: its own, found by sequence number, and borrowed
 * ones, found by id. Owns every struct object, its value, and the list of those who wait for it.
 * Bound: memory. Runs on: inside the client core. Touches: no I/O. Invariant: an object is freed as
 * soon as it is settled and has no handle, no pin, no watch and is not published. */
#ifndef MOB_CLIENT_OBJECTS_H
#define MOB_CLIENT_OBJECTS_H
#include "libclient/core.h"

/* Why an object has no value; shared by the results of a task and by its dependents' chains. */
struct failure {
    uint32_t holds;
    struct msg_list list; /* struct msg_error_frame, outermost first; points into bytes */
    uint8_t bytes[];
};

enum { OBJECT_SMALL_MAX = 16 }; /* a number needs no memory of its own */

struct object {
    struct mob_object id; /* seq 0: the slot is free */
    uint32_t handles;     /* the user's */
    uint32_t pins;        /* tasks that have it as an argument */
    uint8_t kind;         /* enum value_kind; 0 = pending */
    bool borrowed, published, requested;
    struct task *task; /* pending and ours: what will make it */
    struct watch *watches;
    union {
        uint8_t *bytes;                  /* VALUE_INLINE */
        uint8_t small[OBJECT_SMALL_MAX]; /* VALUE_INLINE, when size fits */
        uint64_t offset;                 /* VALUE_STORED */
        struct failure *failure;         /* VALUE_ERROR */
    };
    uint64_t size;
    struct scratch *scratch;
};

struct objects;
int objects_create(struct objects **out, uint64_t self) MOB_MUST_CHECK;
void objects_destroy(struct objects *t);
uint64_t objects_count(const struct objects *t);

struct object *objects_find(const struct objects *t, struct mob_object id);
/* `count` new pending objects of ours in a row; the first one's sequence number. MOB_ENOMEM makes
 * none. */
int objects_make(struct objects *t, uint32_t count, uint64_t *first) MOB_MUST_CHECK;
/* Find or make the record of another process's object. NULL: no memory. */
struct object *objects_borrow(struct objects *t, struct mob_object id);
/* Free the record if nothing needs it any more. */
void objects_release(struct objects *t, struct object *o);
/* Call `each` for every object; it may settle but not release. */
void objects_each(struct objects *t, void (*each)(void *ctx, struct object *o), void *ctx);

struct failure *failure_create(const struct msg_list *list);
/* `frame` before the frames of `cause` (may be NULL), at most FAILURE_FRAMES_MAX in all. */
struct failure *failure_chain(const struct msg_error_frame *frame, const struct failure *cause);
void failure_drop(struct failure *f);
enum { FAILURE_FRAMES_MAX = 16 };

/* Room for an inline value of `size` bytes, to be filled. NULL: no memory. */
uint8_t *object_room(struct object *o, size_t size);
/* Its inline value. */
struct view object_bytes(const struct object *o);
/* Memory that is freed with the object's record. NULL: none. */
void *object_scratch(struct object *o, size_t size);
#endif
