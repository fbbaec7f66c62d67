/* runs.c: tasks that this worker runs for others, one at a time, in the order in which they came.
 */
#include <assert.h>

#include "libclient/core_parts.h"
#include "protocol/memory.h"

void on_task_run(struct client *c, struct client_peer *from, const struct msg_task_run *m)
{
    c->stop_asked =
        c->stop_asked &&
        MUTANT(client_stays_stopped); /* it stayed for what it owns, and the node uses it again */
    struct run *r =
        c->config.worker && !c->stop_asked ? memory_alloc(sizeof *r + m->args.size) : NULL;
    if (r == NULL) { /* not a worker, or no memory: the submitter keeps it */
        if (peer_send(&from->peer, task_back, (&(struct msg_task_back){m->task, m->attempt})) !=
            MOB_OK)
            c->effect_lost = true; /* the submitter learns of it by this client's end */
        return;
    }
    *r = (struct run){.from = from->peer.process,
                      .task = m->task,
                      .attempt = m->attempt,
                      .depth = m->depth,
                      .function = m->function,
                      .result_count = m->results,
                      .args = {m->args.count, r + 1, m->args.size}};
    memcpy(r + 1, m->args.data, m->args.size);
    if (c->runs_last != NULL)
        c->runs_last->next = r;
    else
        c->runs_first = r;
    c->runs_last = r;
    c->run_count++;
}

/* The references among the arguments become handles that the run holds. */
static int args_borrow(struct client *c, const struct run *r)
{
    struct cursor at = cursor_of(r->args.data, r->args.size);
    struct msg_arg m;
    for (uint32_t i = 0; i < r->args.count && msg_arg_unpack_item(&at, &m); i++) {
        int rc = m.kind == VALUE_REF ? client_borrow(c, m.object) : MOB_OK;
        if (rc != MOB_OK &&
            rc != MOB_ENOOBJECT) /* none, or one that came home too late: using it says so */
            return rc;
    }
    return MOB_OK;
}

static void obtained_drop(struct client *c)
{
    for (size_t i = 0; i < c->obtained_count; i++)
        client_drop(c, c->obtained[i]);
    c->obtained_count = 0;
}

bool client_run_ready(const struct client *c)
{
    if (c->runs_first == NULL || c->current != NULL)
        return false;
    const struct client_peer *from = c->peers;
    while (from != NULL && from->peer.process.v != c->runs_first->from.v)
        from = from->next;
    return from == NULL || peer_backlog(&from->peer) == 0 || MUTANT(client_runs_too_early);
}

struct run *client_run_next(struct client *c, uint64_t now_ns)
{
    struct run *r = c->runs_first;
    if (!client_run_ready(c))
        return NULL;
    c->current = r; /* handles are noted as this run's */
    if (args_borrow(c, r) != MOB_OK) {
        obtained_drop(c);
        c->current = NULL;
        return NULL; /* no memory now: the next call tries again */
    }
    c->runs_first = r->next;
    if (c->runs_first == NULL)
        c->runs_last = NULL;
    c->run_count--;
    c->counts.runs++;
    c->run_long = false;
    step_end(c, now_ns);
    return r;
}

/* More than a message may hold: the task has failed. */
static int too_large_send(struct client *c, struct client_peer *to, struct msg_task_done *m)
{
    struct msg_error_frame frame = {
        .code = MOB_ETOOBIG,
        .text = view_of("the results are too large together: put some of them first"),
        .process = c->config.self.v};
    buffer_clear(&c->scratch);
    int rc = msg_error_frame_pack_item(&c->scratch, &frame);
    m->results = (struct msg_list){0};
    m->errors = (struct msg_list){1, buffer_head(&c->scratch), buffer_size(&c->scratch)};
    return rc == MOB_OK ? peer_send(&to->peer, task_done, m) : rc;
}

int client_run_done(struct client *c, struct run *run, const struct msg_list *results,
                    const struct msg_list *errors, uint64_t run_ns, uint64_t now_ns)
{
    assert(c->current == run && !c->blocked);
    struct client_peer *from = peer_find(c, run->from.v);
    if (from != NULL && !from->draining) {
        struct msg_task_done m = {.task = run->task, .attempt = run->attempt, .run_ns = run_ns};
        if (results != NULL)
            m.results = *results;
        if (errors != NULL)
            m.errors = *errors;
        int rc = m.results.size <= BODY_SIZE_MAX ? peer_send(&from->peer, task_done, &m)
                                                 : too_large_send(c, from, &m);
        if (rc != MOB_OK)
            return rc;
    }
    obtained_drop(c);
    c->current = NULL;
    c->run_long = false;
    memory_free(run);
    step_end(c, now_ns);
    return MOB_OK;
}

/* Give queued runs back, the newest first, so that the submitter can put each at the front of its
 * queue. */
static bool runs_give_back(struct client *c)
{
    while (c->runs_first != NULL) {
        struct run **at = &c->runs_first, *before = NULL;
        while ((*at)->next != NULL) {
            before = *at;
            at = &(*at)->next;
        }
        struct run *r = *at;
        struct client_peer *from = peer_find(c, r->from.v);
        if (from != NULL && peer_send(&from->peer, task_back,
                                      (&(struct msg_task_back){r->task, r->attempt})) != MOB_OK)
            return false; /* no memory: they stay queued */
        *at = NULL;
        c->runs_last = before;
        c->run_count--;
        memory_free(r);
    }
    return true;
}

void client_run_is_long(struct client *c)
{
    c->run_long = c->current != NULL;
    if (c->run_long && !runs_give_back(c))
        c->retry_at_ns = 0;
}

void client_blocked(struct client *c, uint64_t now_ns)
{
    assert(c->config.worker && !c->blocked);
    c->blocked = true;
    c->blocked_count++;
    step_end(c, now_ns);
}

void client_unblocked(struct client *c, uint64_t now_ns)
{
    assert(c->blocked);
    c->blocked = false;
    step_end(c, now_ns);
}

/* Tell the node whether this worker waits. A state, not an event: what found no memory is said at
 * the next step. */
bool runs_flush_state(struct client *c)
{
    bool all = (!c->run_long && !c->blocked) || runs_give_back(c);
    if (c->blocked && !c->blocked_sent && !MUTANT(client_blocked_not_sent)) {
        c->blocked_sent =
            peer_send(&c->node, blocked, &(struct msg_blocked){c->blocked_count}) == MOB_OK;
        all &= c->blocked_sent;
    } else if (!c->blocked && c->blocked_sent) {
        c->blocked_sent =
            peer_send(&c->node, unblocked, &(struct msg_unblocked){c->blocked_count}) != MOB_OK;
        all &= !c->blocked_sent;
    }
    return all;
}

void runs_drop_from(struct client *c, uint64_t process)
{
    struct run **at = &c->runs_first;
    c->runs_last = NULL;
    while (*at != NULL) {
        struct run *r = *at;
        if (r->from.v == process) {
            *at = r->next;
            c->run_count--;
            memory_free(r);
        } else {
            c->runs_last = r;
            at = &r->next;
        }
    }
}

bool client_runs_now(const struct client *c)
{
    return c->current != NULL;
}

uint32_t client_runs_queued(const struct client *c)
{
    return c->run_count;
}

void runs_free(struct client *c)
{
    for (struct run *r = c->runs_first, *next; r != NULL; r = next) {
        next = r->next;
        memory_free(r);
    }
    memory_free(c->current);
    memory_free(c->obtained);
}
