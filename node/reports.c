/* reports.c: what the head is told: directory rows in batches, and the load.
 * Rows wait until there are ROWS_MAX of them or the first is ROWS_MS old, and go before a job_end,
 * so that the head never gets a row of a job that has ended. The load goes every load_ms, and
 * sooner (at most once in LOAD_GAP_MS) when the node begins or ceases to work, or clients begin or
 * cease to wait. */
#include "node/state.h"

static void row_added(struct node_core *core, uint32_t *count)
{
    *count += 1;
    if (core->rows_workers_count + core->rows_ended_count + core->rows_objects_count >= ROWS_MAX) {
        node_report_flush(core);
        return;
    }
    if (core->rows_ms == UINT64_MAX)
        core->rows_ms = core->now_ms + ROWS_MS;
    node_arm(core, core->rows_ms);
}

void node_report_worker(struct node_core *core, const struct client *c, uint64_t pid)
{
    const struct msg_worker_row row = {
        .process = c->peer.process.v, .job = c->job->id.v, .pid = pid};
    must(msg_worker_row_pack_item(&core->rows_workers, &row));
    row_added(core, &core->rows_workers_count);
}

void node_report_worker_end(struct node_core *core, const struct client *c, uint32_t signal,
                            uint32_t status)
{
    const struct msg_worker_end_row row = {
        .process = c->peer.process.v, .signal = signal, .status = status};
    must(msg_worker_end_row_pack_item(&core->rows_ended, &row));
    row_added(core, &core->rows_ended_count);
}

void node_report_object(struct node_core *core, const struct job *job, struct mob_object object,
                        uint64_t size)
{
    const struct msg_object_row row = {.object = object, .job = job->id.v, .size = size};
    must(msg_object_row_pack_item(&core->rows_objects, &row));
    row_added(core, &core->rows_objects_count);
}

static struct msg_list list_of(const struct buffer *rows, uint32_t count)
{
    return (struct msg_list){count, count != 0 ? buffer_head(rows) : NULL, buffer_size(rows)};
}

void node_report_flush(struct node_core *core)
{
    core->rows_ms = UINT64_MAX;
    if (core->rows_workers_count + core->rows_ended_count + core->rows_objects_count == 0)
        return;
    SEND_HEAD(core, directory_add,
              .workers = list_of(&core->rows_workers, core->rows_workers_count),
              .ended = list_of(&core->rows_ended, core->rows_ended_count),
              .objects = list_of(&core->rows_objects, core->rows_objects_count));
    buffer_clear(&core->rows_workers);
    buffer_clear(&core->rows_ended);
    buffer_clear(&core->rows_objects);
    core->rows_workers_count = core->rows_ended_count = core->rows_objects_count = 0;
}

void node_report_load(struct node_core *core, bool due)
{
    bool waiting = core->waiting != 0, running = core->running != 0;
    bool changed = waiting != core->load_waiting || running != core->load_running;
    if (!core->welcomed || (!due && !changed))
        return;
    if (!due && core->now_ms - core->load_last_ms < LOAD_GAP_MS) {
        node_arm(core, core->load_last_ms + LOAD_GAP_MS);
        return;
    }
    core->load_waiting = waiting;
    core->load_running = running;
    core->load_last_ms = core->now_ms;
    core->load_ms = core->now_ms + core->config.load_ms;
    if (peer_backlog(&core->head) > HEAD_BACKLOG_MAX)
        return;
    struct node_counts counts;
    node_core_counts(core, &counts);
    SEND_HEAD(core, node_load, .leased_cpus = counts.leased_cpus, .workers = counts.workers,
              .waiting = counts.wanted_leases, .store_used = counts.store_used);
}

void node_reports_tick(struct node_core *core)
{
    if (core->rows_ms <= core->now_ms)
        node_report_flush(core);
    node_arm(core, core->rows_ms);
    if (!core->welcomed)
        return;
    node_report_load(core, core->now_ms >= core->load_ms);
    node_arm(core, core->load_ms);
}
