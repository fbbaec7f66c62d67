/* recipes.c: from a seed to what a task does, and from there to what it gives. */
#include "tests/sim/recipes.h"

/* ---- values ---- */

static uint8_t filling(uint64_t hash, size_t i)
{
    return (uint8_t)((hash >> (8 * (i % 8))) ^ i);
}

void value_write(uint8_t *at, const struct outcome *o, struct mob_object inside)
{
    memcpy(at, &o->hash, 8);
    memcpy(at + 8, &inside.owner, 8);
    memcpy(at + 16, &inside.seq, 8);
    for (size_t i = VALUE_HEAD; i < o->size; i++)
        at[i] = filling(o->hash, i);
}

bool value_read(const uint8_t *bytes, size_t size, struct outcome *o, struct mob_object *inside)
{
    if (size < VALUE_HEAD)
        return false;
    *o = (struct outcome){.size = (uint32_t)size};
    memcpy(&o->hash, bytes, 8);
    memcpy(&inside->owner, bytes + 8, 8);
    memcpy(&inside->seq, bytes + 16, 8);
    for (size_t i = VALUE_HEAD; i < size; i++)
        if (bytes[i] != filling(o->hash, i))
            return false;
    return true;
}

uint64_t outcome_digest(const struct outcome *o)
{
    return o->code == MOB_OK ? o->hash
                             : mix((uint64_t)(int64_t)o->code, (uint64_t)(int64_t)o->user_code);
}

/* ---- plans ---- */

static uint32_t draw_size(struct random *r, const struct weather *w)
{
    if (random_chance(r, 60))
        return (uint32_t)random_between(r, w->inline_max + 1, w->inline_max + 6000);
    return (uint32_t)random_skewed(r, VALUE_HEAD, w->inline_max);
}

static void plan_fib(struct plan *plan, const struct recipe *r)
{
    plan->function = 20;
    plan->result_count = 1;
    plan->sizes[0] = VALUE_HEAD;
    if (r->depth < 2)
        return;
    plan->child_count = 2;
    plan->waits = true;
    for (uint32_t i = 0; i < 2; i++)
        plan->children[i] = (struct recipe){mix(r->seed, i), RECIPE_FIB, r->depth - 1 - i};
}

static void plan_children(struct plan *plan, const struct recipe *r, struct random *random)
{
    plan->child_count = 1 + (uint32_t)random_below(random, CHILDREN_MAX);
    plan->waits = random_chance(random, 850);
    for (uint32_t i = 0; i < plan->child_count; i++) {
        plan->child_uses[i] = (uint32_t)random_next(random) & (uint32_t)random_next(random);
        plan->children[i] = (struct recipe){mix(r->seed, i), RECIPE_LEAF, 0};
        if (r->depth > 1 && random_chance(random, 600))
            plan->children[i] = (struct recipe){mix(r->seed, i), RECIPE_NEST, r->depth - 1};
    }
}

void plan_make(struct plan *plan, const struct recipe *r, const struct weather *w)
{
    struct random random = {mix(r->seed, 3)};
    *plan = (struct plan){.function = 1 + random_below(&random, 4), .retries = -1};
    if (r->kind == RECIPE_FIB) {
        plan_fib(plan, r);
        return;
    }
    plan->result_count =
        random_chance(&random, 800) ? 1 : (uint32_t)random_below(&random, RESULTS_MAX + 1);
    for (uint32_t i = 0; i < plan->result_count; i++)
        plan->sizes[i] = draw_size(&random, w);
    plan->reads = random_chance(&random, 700);
    plan->puts = random_chance(&random, r->kind == RECIPE_NEST ? 500 : 50);
    plan->gives_ref = plan->puts && random_chance(&random, 500);
    if (random_chance(&random, 300))
        plan->retries = (int32_t)random_below(&random, 4);
    switch (random_below(&random, 25)) {
    case 0:
        plan->user_code = 1 + (int)random_below(&random, 100);
        break;
    case 1:
        plan->crashes = 1 + (uint32_t)random_below(&random, 2);
        break;
    case 2:
        plan->crashes = random_chance(&random, 300) ? UINT32_MAX : 0;
        break;
    case 3:
        plan->unknown = random_chance(&random, 300);
        break;
    default:
        break;
    }
    plan->crash_late = random_chance(&random, 500);
    if (r->kind == RECIPE_NEST) {
        plan->function = 10;
        plan_children(plan, r, &random);
    }
    if (w->program == PROGRAM_BURST) { /* short, simple and many */
        plan->puts = plan->gives_ref = false;
        plan->crashes = plan->crashes == UINT32_MAX ? 1 : 0;
    }
}

uint32_t plan_attempts(const struct plan *plan, const struct weather *w)
{
    return 1 + (plan->retries < 0 ? w->retries : (uint32_t)plan->retries);
}

uint64_t put_hash(const struct recipe *r)
{
    return mix(r->seed, 77);
}

uint32_t put_size(const struct recipe *r, const struct weather *w)
{
    struct random random = {mix(r->seed, 78)};
    return draw_size(&random, w);
}

struct outcome result_of(const struct plan *plan, uint64_t base, uint32_t i)
{
    return (struct outcome){.hash = mix(base, i), .size = plan->sizes[i]};
}

/* ---- what a task gives ---- */

static struct script_arg argument_as(const struct script_arg *of, enum submit_kind kind)
{
    return (struct script_arg){.kind = kind, .object = of->object, .outcome = of->outcome};
}

uint32_t child_args(const struct plan *plan, uint32_t i, const struct family *family,
                    struct script_arg *args)
{
    uint32_t uses = plan->child_uses[i], n = 0;
    args[n++] = (struct script_arg){
        .kind = SUBMIT_VALUE,
        .outcome = {.hash = mix(plan->children[i].seed, 9), .size = VALUE_HEAD}};
    if (i > 0 && (uses & USE_SIBLING_AWAIT) != 0)
        args[n++] = argument_as(&family->siblings[i - 1], SUBMIT_AWAIT);
    if (i > 0 && (uses & USE_SIBLING_REF) != 0)
        args[n++] = argument_as(&family->siblings[i - 1], SUBMIT_REF);
    if (plan->puts && (uses & USE_OWN_PUT) != 0)
        args[n++] = argument_as(&family->put, SUBMIT_REF);
    if (family->has_passed && (uses & USE_PASSED_AWAIT) != 0)
        args[n++] = argument_as(&family->passed, SUBMIT_AWAIT);
    if (family->has_passed && (uses & USE_PASSED_REF) != 0)
        args[n++] = argument_as(&family->passed, SUBMIT_REF);
    return n;
}

static void fail_all(struct outcome *results, int code, int user_code)
{
    for (uint32_t i = 0; i < RESULTS_MAX; i++)
        results[i] = (struct outcome){.code = code, .user_code = user_code};
}

/* What its own children add. */
static uint64_t expect_children(const struct weather *w, const struct recipe *r,
                                const struct plan *plan, uint64_t base, struct family *family)
{
    struct script_arg args[ARGS_MAX];
    struct outcome results[RESULTS_MAX];
    family->put = (struct script_arg){.outcome = {.hash = put_hash(r), .size = put_size(r, w)}};
    for (uint32_t i = 0; i < plan->child_count; i++) {
        uint32_t n = child_args(plan, i, family, args);
        recipe_expect(w, &plan->children[i], args, n, results);
        family->siblings[i].outcome = results[0];
        if (plan->waits)
            base = mix(base, outcome_digest(&results[0]));
    }
    return base;
}

void recipe_expect(const struct weather *w, const struct recipe *r, const struct script_arg *args,
                   uint32_t count, struct outcome *results)
{
    struct plan plan;
    struct family family = {0};
    uint64_t base = r->seed;
    plan_make(&plan, r, w);
    for (uint32_t i = 0; i < count; i++)
        if (args[i].kind == SUBMIT_AWAIT && args[i].outcome.code != MOB_OK) {
            fail_all(results, MOB_EDEPENDENCY, 0);
            return;
        }
    for (uint32_t i = 0; i < count; i++) {
        if (args[i].kind != SUBMIT_REF || plan.reads)
            base = mix(base, outcome_digest(&args[i].outcome));
        if (args[i].kind == SUBMIT_REF && !family.has_passed) {
            family.has_passed = true;
            family.passed = args[i];
        }
    }
    if (plan.unknown) {
        fail_all(results, MOB_ENOFUNCTION, 0);
        return;
    }
    if (plan.crashes >= plan_attempts(&plan, w)) {
        fail_all(results, MOB_EWORKERDIED, 0);
        return;
    }
    if (plan.child_count > 0 && plan.waits)
        base = expect_children(w, r, &plan, base, &family);
    if (plan.user_code != 0) {
        fail_all(results, MOB_ETASKFAILED, plan.user_code);
        return;
    }
    fail_all(results, MOB_OK, 0);
    for (uint32_t i = 0; i < plan.result_count; i++)
        results[i] = result_of(&plan, base, i);
    if (plan.result_count == 0)
        results[0] = (struct outcome){0};
}
