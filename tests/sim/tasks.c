/* tasks.c: the bodies of tasks, as a worker runs them: spend time, put, submit children, read
 * references, wait, crash, fail, give results. Everything but the time follows from the recipe, in
 * every attempt. */
#include <inttypes.h>

#include "tests/sim/scripts.h"

/* ---- the start ---- */

static void starts_check(struct sim *s, struct thread *t)
{
    struct spec *spec = t->spec;
    struct run *run = t->run;
    if (run->from.v != spec->submitter->id.v || run->task != spec->first.seq)
        sim_fail(s, "%s runs %" PRIu64 ".%" PRIu64 " with the arguments of %" PRIu64 ".%" PRIu64,
                 t->process->name, run->from.v, run->task, spec->first.owner, spec->first.seq);
    if (++spec->starts > spec->attempts_max)
        sim_fail(s,
                 "%" PRIu64 ".%" PRIu64 " is started %" PRIu32
                 " times, more than 1 + retries = %" PRIu32,
                 run->from.v, run->task, spec->starts, spec->attempts_max);
    if (run->attempt >= spec->attempts_max)
        sim_fail(s, "%" PRIu64 ".%" PRIu64 " is run as attempt %" PRIu32 " of %" PRIu32,
                 run->from.v, run->task, run->attempt + 1, spec->attempts_max);
    if (run->result_count != spec->result_count || run->args.count != spec->arg_count + 1)
        sim_fail(s, "%" PRIu64 ".%" PRIu64 " comes with another number of arguments or results",
                 run->from.v, run->task);
    if (!spec->submitter->alive)
        TRACE(s, t->process, "runs %" PRIu64 ".%" PRIu64 " for %s, which has ended", run->from.v,
              run->task, spec->submitter->name);
}

static void argument_check(struct sim *s, struct thread *t, const struct msg_arg *m, uint32_t i)
{
    const struct script_arg *a = &t->spec->args[i];
    struct outcome seen = {0};
    struct mob_object inside;
    struct value v = {.kind = m->kind, .bytes = m->value, .offset = m->offset, .size = m->size};
    if (a->kind == SUBMIT_REF) {
        if (m->kind != VALUE_REF || !mob_object_equal(m->object, a->object))
            sim_fail(s, "%s got another reference than was passed as argument %" PRIu32,
                     t->process->name, i);
        if (t->plan.reads) {
            t->foreseen[t->read_count] = a->outcome;
            t->reads[t->read_count++] = a->object;
        }
        if (!t->family.has_passed) {
            t->family.has_passed = true;
            t->family.passed = *a;
        }
        return;
    }
    if (m->kind != VALUE_INLINE && m->kind != VALUE_STORED)
        sim_fail(s, "%s got no value as argument %" PRIu32, t->process->name, i);
    if (a->kind == SUBMIT_AWAIT) {
        oracle_see(s, t->process, a->object, &v, &seen, &inside);
        return;
    }
    if (!value_read(m->value.data, m->value.size, &seen, &inside) || seen.hash != a->outcome.hash)
        sim_fail(s, "%s got a damaged argument %" PRIu32, t->process->name, i);
}

/* Find the recipe by the first argument, and compare all others with what was passed. */
static void task_open(struct sim *s, struct thread *t)
{
    struct cursor at = cursor_of(t->run->args.data, t->run->args.size);
    struct msg_arg m;
    uint64_t index;
    if (!msg_arg_unpack_item(&at, &m) || m.value.size != sizeof index)
        sim_fail(s, "%s runs a task without its first argument", t->process->name);
    memcpy(&index, m.value.data, sizeof index);
    t->spec = oracle_spec_at(s, index);
    if (t->spec == NULL)
        sim_fail(s, "%s runs a task that nobody submitted", t->process->name);
    starts_check(s, t);
    plan_make(&t->plan, &t->spec->recipe, &s->weather);
    t->read_count = t->given = 0;
    t->family = (struct family){0};
    t->started_ns = s->now_ns;
    t->base = t->spec->recipe.seed;
    for (uint32_t i = 0; i < t->spec->arg_count; i++) {
        if (!msg_arg_unpack_item(&at, &m))
            sim_fail(s, "%s got too few arguments", t->process->name);
        argument_check(s, t, &m, i);
        if (t->spec->args[i].kind != SUBMIT_REF || t->plan.reads)
            t->base = mix(t->base, outcome_digest(&t->spec->args[i].outcome));
    }
    s->tasks_started++;
}

static uint64_t part_of_time(struct sim *s)
{
    uint64_t most = s->weather.task_us * US;
    return random_chance(&s->random, 300) ? 0 : random_skewed(&s->random, 0, most);
}

static void thread_soon(struct sim *s, struct thread *t, uint64_t ns)
{
    if (ns == 0)
        task_step(s, t);
    else
        thread_after(s, t, ns);
}

static void on_long(struct sim *s, const struct event *e)
{
    struct thread *t = e->object;
    if (t->run == NULL || t->run->task != e->a || t->started_ns != e->b)
        return;
    TRACE(s, t->process, "runs for long");
    client_run_is_long(t->process->client);
    client_settle(s, t->process);
}

/* Take the next task; false when there is none. */
static bool task_take(struct sim *s, struct thread *t)
{
    struct process *p = t->process;
    t->run = client_run_next(p->client, s->now_ns);
    if (t->run == NULL)
        return false;
    p->mark = t->run->task;
    p->mark_owner = t->run->from.v;
    TRACE(s, p, "starts %" PRIu64 ".%" PRIu64 " attempt=%" PRIu32 " depth=%" PRIu32, t->run->from.v,
          t->run->task, t->run->attempt, t->run->depth);
    task_open(s, t);
    t->state = TASK_BODY;
    uint64_t ns = part_of_time(s);
    if (s->weather.task_us > 500)
        sim_after(
            s, MS,
            (struct event){
                .run = on_long, .process = p, .object = t, .a = t->run->task, .b = t->started_ns});
    thread_soon(s, t, ns);
    return true;
}

static void on_work(struct sim *s, const struct event *e)
{
    struct thread *t = e->object;
    t->work_coming = false;
    if (t->run == NULL)
        task_take(s, t);
    if (t->process->alive)
        client_settle(s, t->process);
}

static void on_strike(struct sim *s, const struct event *e)
{
    process_die(s, e->process, 9);
}

void worker_work(struct sim *s, struct process *p)
{
    struct thread *t = p->threads[0];
    if (t->run != NULL || t->work_coming || !client_run_ready(p->client))
        return;
    t->work_coming = true;
    if (!faults_over(s) &&
        random_chance(&s->random,
                      s->weather.kill_queued)) /* with a task in hand, not yet started */
        sim_after(s, 0, (struct event){.run = on_strike, .process = p});
    sim_after(s, random_skewed(&s->random, 0, 5 * US),
              (struct event){.run = on_work, .process = p, .object = t});
}

/* ---- the end ---- */

static void task_close(struct sim *s, struct thread *t, const struct msg_list *results,
                       const struct msg_list *errors)
{
    struct process *p = t->process;
    if (client_run_done(p->client, t->run, results, errors, s->now_ns - t->started_ns, s->now_ns) !=
        MOB_OK)
        sim_fail(s, "%s cannot end its task", p->name);
    t->run = NULL;
    t->spec = NULL;
    t->state = TASK_IDLE;
    s->tasks_ended++;
    buffer_clear(&t->results);
    client_settle(s, p); /* a fault may come before the answer has gone: the mark still stands */
    if (!p->alive)
        return;
    worker_work(s, p);
}

static void task_end(struct sim *s, struct thread *t, int code, int user_code, const char *text)
{
    struct buffer b = {0};
    struct msg_error_frame frame = {
        .code = code, .user_code = user_code, .text = view_of(text), .process = t->process->id.v};
    if (msg_error_frame_pack_item(&b, &frame) != MOB_OK)
        sim_need(s, NULL);
    struct msg_list errors = {1, buffer_head(&b), buffer_size(&b)};
    TRACE(s, t->process, "fails with %s %d", mob_error_name(code), user_code);
    task_close(s, t, NULL, &errors);
    buffer_fini(&b);
}

/* Add results until all are there or one needs room in the store. */
static void task_give(struct sim *s, struct thread *t)
{
    struct process *p = t->process;
    if (t->given == 0)
        buffer_clear(&t->results);
    for (; t->given < t->plan.result_count; t->given++) {
        struct outcome o = result_of(&t->plan, t->base, t->given);
        struct mob_object inside = {0};
        struct msg_result m = {.kind = VALUE_INLINE};
        uint8_t bytes[8192];
        if (t->given == 0 && t->plan.gives_ref) {
            inside = t->family.put.object;
            client_publish(p->client, inside);
        }
        if (o.size > s->weather.inline_max) {
            m = (struct msg_result){.kind = VALUE_STORED, .size = o.size};
            if (!script_place(s, p, &o, inside, &m.offset)) {
                thread_wait_room(s, t, o.size);
                return;
            }
            struct mob_object id = {t->run->from.v, t->run->task + t->given};
            if (client_seal(p->client, id, m.offset, o.size) != MOB_OK)
                sim_need(s, NULL);
        } else {
            value_write(bytes, &o, inside);
            m.value = (struct view){bytes, o.size};
        }
        if (msg_result_pack_item(&t->results, &m) != MOB_OK)
            sim_need(s, NULL);
    }
    struct msg_list results = {t->given, buffer_head(&t->results), buffer_size(&t->results)};
    TRACE(s, p, "gives %" PRIu32 " results", t->given);
    task_close(s, t, &results, NULL);
}

/* ---- in between ---- */

static bool task_crashes(struct sim *s, struct thread *t, bool late)
{
    if (t->plan.crash_late != late || t->spec->self_crashes >= t->plan.crashes)
        return false;
    t->spec->self_crashes++;
    TRACE(s, t->process, "crashes in its task");
    process_die(s, t->process, 11);
    return true;
}

/* Room for the task's own object, when it is a stored one; false while it waits. */
static bool task_puts(struct sim *s, struct thread *t)
{
    const struct recipe *r = &t->spec->recipe;
    struct outcome o = {.hash = put_hash(r), .size = put_size(r, &s->weather)};
    uint64_t offset = 0;
    if (!t->plan.puts || t->family.put.object.seq != 0)
        return true;
    if (o.size > s->weather.inline_max &&
        !script_place(s, t->process, &o, (struct mob_object){0}, &offset)) {
        thread_wait_room(s, t, o.size);
        return false;
    }
    t->family.put =
        (struct script_arg){.object = script_put(s, t->process, &o, offset), .outcome = o};
    return true;
}

static void task_submits(struct sim *s, struct thread *t)
{
    struct script_arg args[ARGS_MAX];
    for (uint32_t i = 0; i < t->plan.child_count; i++) {
        uint32_t n = child_args(&t->plan, i, &t->family, args), results;
        struct mob_object first =
            script_submit(s, t->process, &t->plan.children[i], args, n, &results);
        t->family.siblings[i] =
            (struct script_arg){.object = first, .outcome = oracle_truth(s, first)->outcome};
        if (t->plan.waits) {
            t->foreseen[t->read_count] = t->family.siblings[i].outcome;
            t->reads[t->read_count++] = first;
        }
    }
}

static void task_body(struct sim *s, struct thread *t)
{
    if (t->plan.unknown) {
        task_end(s, t, MOB_ENOFUNCTION, 0, "no such function");
        return;
    }
    if (task_crashes(s, t, false) || !task_puts(s, t))
        return;
    uint32_t passed = t->read_count;
    task_submits(s, t);
    for (uint32_t i = passed; i < t->read_count; i++)
        t->base = mix(t->base, outcome_digest(&t->foreseen[i]));
    if (t->plan.child_count > 0)
        client_settle(s, t->process);
    if (!t->process->alive || task_crashes(s, t, true))
        return;
    t->state = TASK_READ;
    if (t->read_count > 0)
        thread_wait(s, t, t->reads, t->read_count, t->read_count, UINT64_MAX);
    else
        thread_soon(s, t, part_of_time(s));
}

/* What was read must be as foreseen; a fault that it shows excuses the task. */
static void task_reads(struct sim *s, struct thread *t)
{
    struct value v;
    struct outcome seen;
    struct mob_object inside;
    for (uint32_t i = 0; i < t->read_count; i++) {
        if (client_look(t->process->client, t->reads[i], &v) != OBJECT_SETTLED)
            sim_fail(s, "%s waited for %" PRIu64 ".%" PRIu64 ", which is not settled",
                     t->process->name, t->reads[i].owner, t->reads[i].seq);
        if (!oracle_see(s, t->process, t->reads[i], &v, &seen, &inside)) {
            t->spec->excused = true;
            task_end(s, t, MOB_ETASKFAILED, USER_CODE_EXCUSED,
                     "a fault reached what the task asked for");
            return;
        }
        if (random_chance(&s->random, 300))
            client_drop(t->process->client, t->reads[i]);
    }
    t->read_count = 0;
    t->state = TASK_GIVE;
    thread_after(s, t, part_of_time(s));
}

void task_step(struct sim *s, struct thread *t)
{
    if (thread_room_refused(s, t)) {
        t->spec->excused = true;
        task_end(s, t, MOB_ETASKFAILED, USER_CODE_EXCUSED, "the store is full");
        return;
    }
    switch (t->state) {
    case TASK_BODY:
        task_body(s, t);
        break;
    case TASK_READ:
        if (t->read_count > 0) {
            task_reads(s, t);
            break;
        }
        t->state = TASK_GIVE; /* nothing was read */
        /* fall through */
    case TASK_GIVE:
        if (t->plan.user_code != 0)
            task_end(s, t, MOB_ETASKFAILED, t->plan.user_code, "as the recipe says");
        else
            task_give(s, t);
        break;
    default:
        break;
    }
}
