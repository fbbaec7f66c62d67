/* recipes.h: what each task does and what it must give, known before it runs.
 * A recipe is a seed; all that a task does follows from it and from its arguments, in every
 * attempt, so the oracle can work out the right result without running anything. A value is a
 * checksum and a filling that follows from it.
 *
 * The oracle keeps the truth about every object that a script has made, and a record (spec) of
 * every submission. An error that the recipe does not foresee must be excused by a fault that did
 * happen. Owns: the oracle's tables. Bound: memory. Touches: no I/O. */
#ifndef MOB_SIM_RECIPES_H
#define MOB_SIM_RECIPES_H
#include "tests/sim/sim.h"

enum {
    CHILDREN_MAX = 3,
    RESULTS_MAX = 3,
    ARGS_MAX = 6,
    VALUE_HEAD = 24,         /* checksum and a reference */
    USER_CODE_EXCUSED = 7777 /* a task failed because a fault reached what it had asked for */
};

enum recipe_kind { RECIPE_LEAF, RECIPE_NEST, RECIPE_FIB };
struct recipe {
    uint64_t seed;
    enum recipe_kind kind;
    uint32_t depth; /* NEST: levels below; FIB: the number */
};

/* How something ends. */
struct outcome {
    int code; /* MOB_OK: a value */
    int user_code;
    uint64_t hash; /* of the value */
    uint32_t size;
};
uint64_t outcome_digest(const struct outcome *o);

/* Which of what the parent has goes to a child, bit by bit. */
enum child_use {
    USE_SIBLING_AWAIT = 1,
    USE_SIBLING_REF = 2,
    USE_OWN_PUT = 4,
    USE_PASSED_AWAIT = 8,
    USE_PASSED_REF = 16
};

struct plan {
    uint64_t function;
    uint32_t result_count, sizes[RESULTS_MAX];
    bool unknown;     /* the worker's program has no such function */
    int user_code;    /* it fails with it; 0: it does not */
    uint32_t crashes; /* so many attempts end their worker */
    bool crash_late;  /* after the children were submitted */
    int32_t retries;
    uint32_t child_count, child_uses[CHILDREN_MAX];
    struct recipe children[CHILDREN_MAX];
    bool waits;     /* for its children */
    bool puts;      /* an object of its own */
    bool reads;     /* the references among its arguments */
    bool gives_ref; /* result 0 holds a reference to its own put */
};
void plan_make(struct plan *plan, const struct recipe *r, const struct weather *w);
uint32_t plan_attempts(const struct plan *plan, const struct weather *w);
uint64_t put_hash(const struct recipe *r);
uint32_t put_size(const struct recipe *r, const struct weather *w);

/* An argument as the script gives it, or as the oracle thinks of it. */
struct script_arg {
    enum submit_kind kind;
    bool moved;
    struct mob_object object;
    struct outcome outcome; /* what it is or will be */
};
/* Arguments of child `i`. `siblings`, `put`, `passed` may lack objects when only outcomes matter.
 */
struct family {
    struct script_arg siblings[CHILDREN_MAX];
    struct script_arg put, passed;
    bool has_passed;
};
uint32_t child_args(const struct plan *plan, uint32_t i, const struct family *family,
                    struct script_arg *args);
void recipe_expect(const struct weather *w, const struct recipe *r, const struct script_arg *args,
                   uint32_t count, struct outcome *results);
struct outcome result_of(const struct plan *plan, uint64_t base, uint32_t i);

/* ---- values ---- */
void value_write(uint8_t *at, const struct outcome *o, struct mob_object inside);
bool value_read(const uint8_t *bytes, size_t size, struct outcome *o, struct mob_object *inside);

/* ---- the oracle ---- */
struct spec {
    struct recipe recipe;
    struct process *submitter;
    struct mob_object first;
    uint32_t result_count, starts, deaths, self_crashes, attempts_max;
    bool excused;
    uint32_t arg_count;
    struct script_arg args[ARGS_MAX];
};
struct truth {
    struct mob_object id;
    struct outcome outcome; /* foreseen */
    uint32_t spec;          /* index + 1; 0: a put */
    bool seen;
    struct outcome first_seen;
    uint32_t watched, completed;
};
void oracle_create(struct sim *s);
void oracle_destroy(struct sim *s);
uint32_t oracle_spec(struct sim *s, const struct recipe *r, struct process *submitter,
                     const struct script_arg *args, uint32_t count);
struct spec *oracle_spec_at(struct sim *s, uint64_t index); /* NULL: no such */
uint32_t oracle_spec_count(const struct sim *s);
struct truth *oracle_truth(struct sim *s, struct mob_object id);
void oracle_learn(struct sim *s, struct mob_object id, const struct outcome *o, uint32_t spec);
/* What `p` sees of a settled object: fails the run when it is neither right nor excused. True when
 * it is as foreseen. */
bool oracle_see(struct sim *s, struct process *p, struct mob_object id, const struct value *v,
                struct outcome *seen, struct mob_object *inside);
/* A worker ended while it ran the task `owner`, `seq`. */
void oracle_death(struct sim *s, uint64_t owner, uint64_t seq);
#endif
