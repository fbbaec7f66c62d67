/* scripts.c: the threads of a driver. Each does a number of operations drawn at random over the
 * references that it holds, then waits for all that is left, looks at every value and drops it. */
#include <inttypes.h>
#include <stdlib.h>

#include "tests/sim/scripts.h"

enum { REFS_FEW = 40, TRY_LONG_MS = 30 };

/* ---- what every script does ---- */

bool script_place(struct sim *s, struct process *p, const struct outcome *o,
                  struct mob_object inside, uint64_t *offset)
{
    if (!client_place(p->client, o->size, offset))
        return false;
    if (*offset % 64 != 0 || o->size > p->arena_bytes || *offset > p->arena_bytes - o->size)
        sim_fail(s, "%s was given the place %" PRIu64 " for %" PRIu32 " bytes", p->name, *offset,
                 o->size);
    value_write(p->arena + *offset, o, inside);
    return true;
}

struct mob_object script_put(struct sim *s, struct process *p, const struct outcome *o,
                             uint64_t offset)
{
    struct mob_object id;
    uint8_t bytes[8192];
    int rc;
    if (o->size > s->weather.inline_max) {
        rc = client_put_stored(p->client, offset, o->size, &id);
        p->published++;
    } else {
        value_write(bytes, o, (struct mob_object){0});
        rc = client_put_inline(p->client, &(struct view){bytes, o->size}, 1, &id);
    }
    if (rc != MOB_OK)
        sim_fail(s, "%s cannot put: %s", p->name, mob_error_name(rc));
    oracle_learn(s, id, o, 0);
    TRACE(s, p, "puts %" PRIu64 ".%" PRIu64 " size=%" PRIu32, id.owner, id.seq, o->size);
    return id;
}

struct mob_object script_submit(struct sim *s, struct process *p, const struct recipe *r,
                                const struct script_arg *args, uint32_t count, uint32_t *results)
{
    struct outcome outcomes[RESULTS_MAX];
    struct submit_arg to[ARGS_MAX + 1];
    struct view pieces[ARGS_MAX + 1];
    uint8_t bytes[ARGS_MAX][VALUE_HEAD];
    struct plan plan;
    struct mob_object first;
    struct mob_err err;
    uint64_t index = oracle_spec(s, r, p, args, count);
    plan_make(&plan, r, &s->weather);
    recipe_expect(&s->weather, r, args, count, outcomes);
    pieces[0] = (struct view){&index, sizeof index};
    to[0] = (struct submit_arg){.kind = SUBMIT_VALUE, .pieces = &pieces[0], .piece_count = 1};
    for (uint32_t i = 0; i < count; i++) {
        to[i + 1] = (struct submit_arg){
            .kind = args[i].kind, .object = args[i].object, .moved = args[i].moved};
        if (args[i].kind == SUBMIT_VALUE) {
            value_write(bytes[i], &args[i].outcome, (struct mob_object){0});
            pieces[i + 1] = (struct view){bytes[i], VALUE_HEAD};
            to[i + 1].pieces = &pieces[i + 1];
            to[i + 1].piece_count = 1;
        }
    }
    struct submit submit = {.function = plan.function,
                            .name = "task",
                            .file = "sim",
                            .retries = plan.retries,
                            .result_count = plan.result_count,
                            .arg_count = count + 1,
                            .args = to};
    if (client_submit(p->client, &submit, &first, s->now_ns, &err) != MOB_OK)
        sim_fail(s, "%s cannot submit: %s", p->name, err.text);
    oracle_spec_at(s, index)->first = first;
    *results = plan.result_count == 0 ? 1 : plan.result_count;
    for (uint32_t i = 0; i < *results; i++)
        oracle_learn(s, (struct mob_object){first.owner, first.seq + i}, &outcomes[i],
                     (uint32_t)index + 1);
    p->submitted++;
    TRACE(s, p,
          "submits %" PRIu64 ".%" PRIu64 " spec=%" PRIu64 " args=%" PRIu32 " results=%" PRIu32
          " expects=%s",
          first.owner, first.seq, index, count, plan.result_count,
          mob_error_name(outcomes[0].code));
    return first;
}

/* ---- references of a thread ---- */

static void ref_add(struct sim *s, struct thread *t, struct mob_object id)
{
    if (t->ref_count == t->ref_capacity) {
        t->ref_capacity = t->ref_capacity != 0 ? 2 * t->ref_capacity : 64;
        t->refs = realloc(t->refs, t->ref_capacity * sizeof *t->refs);
        sim_need(s, t->refs);
    }
    t->refs[t->ref_count++] = id;
}

static struct mob_object ref_pick(struct sim *s, const struct thread *t)
{
    return t->refs[random_below(&s->random, t->ref_count)];
}

static void ref_forget(struct thread *t, struct mob_object id)
{
    for (uint32_t i = 0; i < t->ref_count; i++)
        if (mob_object_equal(t->refs[i], id)) {
            t->refs[i] = t->refs[--t->ref_count];
            return;
        }
}

static void ref_drop(struct sim *s, struct thread *t, struct mob_object id)
{
    TRACE(s, t->process, "drops %" PRIu64 ".%" PRIu64, id.owner, id.seq);
    client_drop(t->process->client, id);
    ref_forget(t, id);
}

/* ---- operations ---- */

static void submit_recipe(struct sim *s, struct thread *t, const struct recipe *r)
{
    struct script_arg args[ARGS_MAX];
    uint32_t n = 0, results;
    if (r->kind != RECIPE_FIB && s->weather.program != PROGRAM_BURST)
        n = (uint32_t)random_below(&s->random, ARGS_MAX - 1);
    for (uint32_t i = 0; i < n; i++) {
        args[i] = (struct script_arg){
            .kind = SUBMIT_VALUE, .outcome = {.hash = random_next(&s->random), .size = VALUE_HEAD}};
        if (t->ref_count == 0 || random_chance(&s->random, 350))
            continue;
        args[i].kind = random_chance(&s->random, 650) ? SUBMIT_AWAIT : SUBMIT_REF;
        args[i].object = ref_pick(s, t);
        args[i].outcome = oracle_truth(s, args[i].object)->outcome;
        args[i].moved = random_chance(&s->random, 100);
        for (uint32_t j = 0; j < i; j++) /* one handle goes over once */
            args[i].moved = args[i].moved &&
                            !(args[j].moved && mob_object_equal(args[j].object, args[i].object));
    }
    struct mob_object first = script_submit(s, t->process, r, args, n, &results);
    for (uint32_t i = 0; i < n; i++) {
        if (args[i].moved)
            ref_forget(t, args[i].object);
        t->process->published += args[i].kind == SUBMIT_REF;
    }
    for (uint32_t i = 0; i < results; i++)
        ref_add(s, t, (struct mob_object){first.owner, first.seq + i});
}

static void op_submit(struct sim *s, struct thread *t)
{
    struct recipe r = {random_next(&s->random), RECIPE_LEAF, 0};
    if (s->weather.program == PROGRAM_NESTED && random_chance(&s->random, 700)) {
        r.kind = RECIPE_NEST;
        r.depth = (uint32_t)random_between(&s->random, 1, 3);
    } else if (s->weather.program == PROGRAM_FIB) {
        r.kind = RECIPE_FIB;
        r.depth = s->weather.fib;
        t->operations_left = 0;
    }
    submit_recipe(s, t, &r);
    if (s->weather.program != PROGRAM_BURST)
        return;
    for (uint64_t more = random_between(&s->random, 100, 1000); more > 0; more--) {
        r.seed = random_next(&s->random);
        submit_recipe(s, t, &r);
    }
    t->operations_left = t->operations_left > 20 ? 20 : t->operations_left;
}

static void put_now(struct sim *s, struct thread *t, uint64_t offset)
{
    ref_add(s, t, script_put(s, t->process, &t->putting, offset));
}

static void op_put(struct sim *s, struct thread *t, bool stored)
{
    uint64_t limit = s->weather.inline_max, offset = 0;
    t->putting = (struct outcome){.hash = random_next(&s->random)};
    t->putting.size = stored ? (uint32_t)random_between(&s->random, limit + 1, limit + 4000)
                             : (uint32_t)random_skewed(&s->random, VALUE_HEAD, limit);
    if (stored && !script_place(s, t->process, &t->putting, (struct mob_object){0}, &offset)) {
        t->state = DRIVER_STORE;
        thread_wait_room(s, t, t->putting.size);
        return;
    }
    put_now(s, t, offset);
}

static void store_again(struct sim *s, struct thread *t)
{
    uint64_t offset;
    if (thread_room_refused(s, t)) {
        t->state = DRIVER_NEXT;
        thread_after(s, t, 0);
    } else if (script_place(s, t->process, &t->putting, (struct mob_object){0}, &offset)) {
        t->state = DRIVER_NEXT;
        put_now(s, t, offset);
        thread_after(s, t, 0);
    } else {
        thread_wait_room(s, t, t->putting.size);
    }
}

static uint64_t draw_timeout(struct sim *s)
{
    switch (random_below(&s->random, 4)) {
    case 0:
        return 0;
    case 1:
        return random_skewed(&s->random, 1, TRY_LONG_MS * MS);
    default:
        return UINT64_MAX;
    }
}

static void op_wait(struct sim *s, struct thread *t, uint32_t most)
{
    struct mob_object ids[WAITS_MAX];
    uint32_t n = (uint32_t)random_between(&s->random, 1, most);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = ref_pick(s, t);
    t->state = DRIVER_LOOK;
    uint32_t needed =
        random_chance(&s->random, 500) ? n : (uint32_t)random_below(&s->random, n + 1);
    thread_wait(s, t, ids, n, needed, draw_timeout(s));
}

static void op_copy(struct sim *s, struct thread *t)
{
    struct mob_object id = ref_pick(s, t);
    struct process *p = t->process;
    if (client_hold(p->client, id) != MOB_OK)
        sim_fail(s, "%s cannot copy a reference that it holds", p->name);
    struct thread *other = p->threads[random_below(&s->random, p->thread_count)];
    ref_add(s, other->state == DRIVER_FINISHED ? t : other, id);
    TRACE(s, p, "copies %" PRIu64 ".%" PRIu64, id.owner, id.seq);
}

static void completions_take(struct sim *s, struct process *p)
{
    struct mob_object id;
    while (client_completion_take(p->client, &id)) {
        struct truth *truth = oracle_truth(s, id);
        TRACE(s, p, "completion of %" PRIu64 ".%" PRIu64, id.owner, id.seq);
        if (++truth->completed > truth->watched)
            sim_fail(s,
                     "%" PRIu64 ".%" PRIu64 " completes %" PRIu32 " times and was watched %" PRIu32
                     " times",
                     id.owner, id.seq, truth->completed, truth->watched);
    }
}

static void op_completion(struct sim *s, struct thread *t)
{
    struct mob_object id = ref_pick(s, t);
    if (client_completion_watch(t->process->client, id, s->now_ns) != MOB_OK)
        sim_fail(s, "%s cannot watch for a completion", t->process->name);
    oracle_truth(s, id)->watched++;
}

static void operation(struct sim *s, struct thread *t)
{
    uint64_t choice = random_below(&s->random, 100);
    if (t->ref_count == 0 || s->weather.program == PROGRAM_FIB)
        choice = s->weather.program == PROGRAM_FIB ? 0 : choice % 45;
    if (t->ref_count > REFS_FEW && choice < 45)
        choice = 60 + choice % 30;
    if (choice < 30)
        op_submit(s, t);
    else if (choice < 45)
        op_put(s, t, choice < 35);
    else if (choice < 60)
        op_wait(s, t, 1);
    else if (choice < 70)
        op_wait(s, t, WAITS_MAX / 2);
    else if (choice < 82)
        ref_drop(s, t, ref_pick(s, t));
    else if (choice < 90)
        op_copy(s, t);
    else if (choice < 95)
        op_completion(s, t);
    else
        completions_take(s, t->process);
}

/* ---- looking ---- */

static void look_at(struct sim *s, struct thread *t, struct mob_object id)
{
    struct process *p = t->process;
    struct value v;
    struct outcome seen;
    struct mob_object inside;
    oracle_see(s, p, id, (client_look(p->client, id, &v), &v), &seen, &inside);
    if (inside.seq == 0 || t->ref_count > 2 * REFS_FEW || t->state == DRIVER_FINISH ||
        random_chance(&s->random, 500))
        return;
    TRACE(s, p, "borrows %" PRIu64 ".%" PRIu64, inside.owner, inside.seq);
    if (client_borrow(p->client, inside) != MOB_OK)
        sim_fail(s, "%s cannot borrow %" PRIu64 ".%" PRIu64, p->name, inside.owner, inside.seq);
    ref_add(s, t, inside);
}

/* After a wait: what has settled must be right, and enough must have settled unless the time is
 * over. */
static void looks(struct sim *s, struct thread *t)
{
    uint32_t settled = 0;
    for (uint32_t i = 0; i < t->waited_count; i++) {
        struct value v;
        enum object_look look = client_look(t->process->client, t->waited[i], &v);
        if (look == OBJECT_ABSENT)
            sim_fail(s, "%s holds %" PRIu64 ".%" PRIu64 ", which is gone", t->process->name,
                     t->waited[i].owner, t->waited[i].seq);
        if (look == OBJECT_SETTLED) {
            settled++;
            look_at(s, t, t->waited[i]);
        }
    }
    if (!t->timed_out && t->waiter.needed > settled)
        sim_fail(s, "%s was woken and only %" PRIu32 " objects have settled", t->process->name,
                 settled);
}

/* ---- the thread ---- */

static void finish(struct sim *s, struct thread *t)
{
    if (t->waited_count > 0) { /* the last round's */
        looks(s, t);
        for (uint32_t i = 0; i < t->waited_count; i++)
            ref_drop(s, t, t->waited[i]);
        t->waited_count = 0;
    }
    uint32_t n = t->ref_count < WAITS_MAX ? t->ref_count : WAITS_MAX;
    if (n > 0) {
        struct mob_object ids[WAITS_MAX];
        memcpy(ids, t->refs + t->ref_count - n, n * sizeof *ids);
        thread_wait(s, t, ids, n, n, UINT64_MAX);
        return;
    }
    struct process *p = t->process;
    t->state = DRIVER_FINISHED;
    TRACE(s, p, "a thread has finished");
    completions_take(s, p);
    if (++p->threads_done == p->thread_count)
        check_driver_done(s, p);
}

/* mob_shutdown with work under way: whatever waits must end. */
static void leave_early(struct sim *s, struct process *p)
{
    struct client_counts n;
    TRACE(s, p, "shuts down with work under way");
    client_fail_all(p->client, MOB_ESHUTDOWN, "the program shuts down", s->now_ns);
    for (uint32_t i = 0; i < p->thread_count; i++)
        if (p->threads[i]->waiting && p->threads[i]->waiter.needed > 0 &&
            !p->threads[i]->waiter.done)
            sim_fail(s, "a thread of %s waits on after the shutdown", p->name);
    client_counts(p->client, &n);
    if (n.tasks != 0)
        sim_fail(s, "%s has %" PRIu64 " tasks after its shutdown", p->name, n.tasks);
    process_leave(s, p);
}

void driver_step(struct sim *s, struct thread *t)
{
    struct process *p = t->process;
    if (p->leaves)
        return;
    switch (t->state) {
    case DRIVER_LOOK:
        looks(s, t);
        t->waited_count = 0;
        t->state = DRIVER_NEXT;
        /* fall through */
    case DRIVER_NEXT:
        if (t->operations_left == 0) {
            if (random_chance(&s->random, 60)) {
                leave_early(s, p);
                return;
            }
            t->state = DRIVER_FINISH;
            finish(s, t);
            return;
        }
        t->operations_left--;
        operation(s, t);
        if (t->state == DRIVER_NEXT)
            thread_after(
                s, t, random_chance(&s->random, 600) ? 0 : random_skewed(&s->random, 0, 20 * MS));
        return;
    case DRIVER_STORE:
        store_again(s, t);
        return;
    case DRIVER_FINISH:
        finish(s, t);
        return;
    default:
        return;
    }
}
