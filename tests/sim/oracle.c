/* oracle.c: the truth about every object and task of a run, and which errors the faults excuse. It
 * sees everything at once, as no process of the cluster could. */
#include <inttypes.h>
#include <stdlib.h>

#include "tests/sim/recipes.h"

struct oracle {
    struct spec **specs;
    uint32_t spec_count, spec_capacity;
    struct truth **slots; /* open addressing by id */
    uint32_t truth_count, slot_count;
};

void oracle_create(struct sim *s)
{
    s->oracle = calloc(1, sizeof *s->oracle);
    sim_need(s, s->oracle);
    s->oracle->slot_count = 256;
    s->oracle->slots = calloc(s->oracle->slot_count, sizeof(struct truth *));
    sim_need(s, s->oracle->slots);
}

void oracle_destroy(struct sim *s)
{
    struct oracle *o = s->oracle;
    for (uint32_t i = 0; i < o->spec_count; i++)
        free(o->specs[i]);
    for (uint32_t i = 0; i < o->slot_count; i++)
        free(o->slots[i]);
    free(o->specs);
    free(o->slots);
    free(o);
}

/* ---- truths ---- */

static struct truth **slot_of(struct truth **slots, uint32_t count, struct mob_object id)
{
    uint32_t at = (uint32_t)mix(id.owner, id.seq) & (count - 1);
    while (slots[at] != NULL && !mob_object_equal(slots[at]->id, id))
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static void slots_grow(struct sim *s)
{
    struct oracle *o = s->oracle;
    uint32_t count = 2 * o->slot_count;
    struct truth **grown = calloc(count, sizeof *grown);
    sim_need(s, grown);
    for (uint32_t i = 0; i < o->slot_count; i++)
        if (o->slots[i] != NULL)
            *slot_of(grown, count, o->slots[i]->id) = o->slots[i];
    free(o->slots);
    o->slots = grown;
    o->slot_count = count;
}

void oracle_learn(struct sim *s, struct mob_object id, const struct outcome *outcome, uint32_t spec)
{
    struct oracle *o = s->oracle;
    struct truth **slot = slot_of(o->slots, o->slot_count, id);
    if (*slot != NULL)
        sim_fail(s, "the object id %" PRIu64 ".%" PRIu64 " was given out twice", id.owner, id.seq);
    struct truth *t = calloc(1, sizeof *t);
    sim_need(s, t);
    *t = (struct truth){.id = id, .outcome = *outcome, .spec = spec};
    *slot = t;
    if (++o->truth_count * 2 > o->slot_count)
        slots_grow(s);
}

struct truth *oracle_truth(struct sim *s, struct mob_object id)
{
    struct truth *t = *slot_of(s->oracle->slots, s->oracle->slot_count, id);
    if (t == NULL)
        sim_fail(s, "no script ever made the object %" PRIu64 ".%" PRIu64, id.owner, id.seq);
    return t;
}

/* ---- specs ---- */

uint32_t oracle_spec(struct sim *s, const struct recipe *r, struct process *submitter,
                     const struct script_arg *args, uint32_t count)
{
    struct oracle *o = s->oracle;
    struct plan plan;
    if (o->spec_count == o->spec_capacity) {
        o->spec_capacity = o->spec_capacity != 0 ? 2 * o->spec_capacity : 64;
        o->specs = realloc(o->specs, o->spec_capacity * sizeof(struct spec *));
        sim_need(s, o->specs);
    }
    struct spec *spec = calloc(1, sizeof *spec);
    sim_need(s, spec);
    plan_make(&plan, r, &s->weather);
    *spec = (struct spec){.recipe = *r,
                          .submitter = submitter,
                          .result_count = plan.result_count,
                          .attempts_max = plan_attempts(&plan, &s->weather),
                          .arg_count = count};
    memcpy(spec->args, args, count * sizeof *args);
    o->specs[o->spec_count] = spec;
    return o->spec_count++;
}

struct spec *oracle_spec_at(struct sim *s, uint64_t index)
{
    return index < s->oracle->spec_count ? s->oracle->specs[index] : NULL;
}

uint32_t oracle_spec_count(const struct sim *s)
{
    return s->oracle->spec_count;
}

void oracle_death(struct sim *s, uint64_t owner, uint64_t seq)
{
    struct truth *t = oracle_truth(s, (struct mob_object){owner, seq});
    if (t->spec == 0)
        sim_fail(s, "a worker ran a task whose id %" PRIu64 ".%" PRIu64 " is that of a put", owner,
                 seq);
    s->oracle->specs[t->spec - 1]->deaths++;
}

/* ---- what the faults excuse ---- */

static bool owner_died(struct sim *s, const struct truth *t)
{
    const struct process *owner = process_find(s, t->id.owner);
    return owner != NULL && (owner->doomed || (!owner->alive && !owner->leaves));
}

/* Workers failed to start, or the head may have been out of reach for so long that the process ids
 * ran out. */
static bool starts_may_fail(const struct sim *s)
{
    const struct weather *w = &s->weather;
    return s->start_failures > 0 || w->lose != 0 || w->partition_every_ns != 0 ||
           w->freeze_every_ns != 0 || w->kill_node_every_ns != 0 || w->kill_head_every_ns != 0 ||
           w->disconnect_every_ns != 0;
}

/* All workers that a job, or the node, may have were there at some time. */
static bool workers_may_lack(const struct sim *s)
{
    const uint32_t starting =
        s->weather.cpus * s->drivers_made; /* may be counted before they are there */
    return s->workers_most >= s->weather.workers_max ||
           s->workers_most + s->drivers_made + starting >= s->weather.clients_max;
}

static bool owner_leaves(struct sim *s, const struct truth *t)
{
    const struct process *owner = process_find(s, t->id.owner);
    return owner != NULL && owner->leaves;
}

static bool may_fail(struct sim *s, const struct truth *t);

static bool argument_may_fail(struct sim *s, const struct spec *spec)
{
    for (uint32_t i = 0; i < spec->arg_count; i++)
        if (spec->args[i].kind == SUBMIT_AWAIT &&
            may_fail(s, oracle_truth(s, spec->args[i].object)))
            return true;
    return false;
}

static bool excused(struct sim *s, const struct truth *t, const struct outcome *o)
{
    const struct spec *spec = t->spec != 0 ? s->oracle->specs[t->spec - 1] : NULL;
    if (o->code == MOB_EOWNERDIED)
        return owner_died(s, t);
    if (o->code == MOB_ESHUTDOWN)
        return owner_leaves(s, t);
    if (spec == NULL)
        return false;
    switch (o->code) {
    case MOB_EWORKERDIED:
        return spec->deaths >= spec->attempts_max;
    case MOB_ETASKFAILED:
        return o->user_code == USER_CODE_EXCUSED && spec->excused;
    case MOB_EDEPENDENCY:
        return argument_may_fail(s, spec);
    case MOB_EWORKERSTART:
        return starts_may_fail(s);
    case MOB_EWORKERSMAX:
        return workers_may_lack(s);
    default:
        return false;
    }
}

static bool may_fail(struct sim *s, const struct truth *t)
{
    if (t->outcome.code != MOB_OK || (t->seen && t->first_seen.code != MOB_OK) ||
        owner_died(s, t) || owner_leaves(s, t))
        return true;
    if (t->spec == 0)
        return false;
    const struct spec *spec = s->oracle->specs[t->spec - 1];
    return spec->deaths >= spec->attempts_max || spec->excused || starts_may_fail(s) ||
           workers_may_lack(s) || argument_may_fail(s, spec);
}

/* ---- seeing ---- */

static void outcome_read(struct sim *s, const struct process *p, const struct value *v,
                         struct outcome *seen, struct mob_object *inside)
{
    *seen = (struct outcome){0};
    *inside = (struct mob_object){0};
    if (v->kind == VALUE_ERROR) {
        struct cursor at = cursor_of(v->errors.data, v->errors.size);
        struct msg_error_frame frame;
        if (v->errors.count == 0 || !msg_error_frame_unpack_item(&at, &frame) ||
            frame.code == MOB_OK)
            sim_fail(s, "%s was given an error without a code", p->name);
        *seen = (struct outcome){.code = (int)frame.code, .user_code = (int)frame.user_code};
        return;
    }
    struct view bytes = v->bytes;
    if (v->kind == VALUE_STORED) {
        if (v->size > p->arena_bytes || v->offset > p->arena_bytes - v->size)
            sim_fail(s, "%s was given a place outside the arena", p->name);
        bytes = (struct view){p->arena + v->offset, v->size};
    }
    if (bytes.size == 0)
        return;
    if (!value_read(bytes.data, bytes.size, seen, inside))
        sim_fail(s, "%s was given a %s value of %zu bytes that is damaged", p->name,
                 v->kind == VALUE_STORED ? "stored" : "inline", bytes.size);
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->code == b->code && a->user_code == b->user_code && a->hash == b->hash &&
           a->size == b->size;
}

bool oracle_see(struct sim *s, struct process *p, struct mob_object id, const struct value *v,
                struct outcome *seen, struct mob_object *inside)
{
    struct truth *t = oracle_truth(s, id);
    outcome_read(s, p, v, seen, inside);
    bool foreseen = same(seen, &t->outcome);
    if (!foreseen && !excused(s, t, seen))
        sim_fail(s,
                 "%s sees %" PRIu64 ".%" PRIu64 " as code=%s user=%d hash=%" PRIx64 " size=%" PRIu32
                 ", but its task must give code=%s user=%d hash=%" PRIx64 " size=%" PRIu32
                 ", and no fault excuses that",
                 p->name, id.owner, id.seq, mob_error_name(seen->code), seen->user_code, seen->hash,
                 seen->size, mob_error_name(t->outcome.code), t->outcome.user_code, t->outcome.hash,
                 t->outcome.size);
    bool owners_end =
        seen->code == MOB_EOWNERDIED || (t->seen && t->first_seen.code == MOB_EOWNERDIED);
    if (t->seen && !owners_end && !same(seen, &t->first_seen))
        sim_fail(s, "%s sees %" PRIu64 ".%" PRIu64 " with another end than it had before", p->name,
                 id.owner, id.seq);
    if (!t->seen) {
        t->seen = true;
        t->first_seen = *seen;
    }
    return foreseen;
}
