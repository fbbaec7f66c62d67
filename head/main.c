/* main.c: mobula-head. Reads the settings and runs the shell. */
#include <unistd.h>

#include "head/shell.h"

static struct head_shell_config config_of(const struct settings *s, struct view token)
{
    return (struct head_shell_config){
        .core = {.access = {.own_uid = geteuid(),
                            .uids = s->uid.list,
                            .uid_count = s->uid.count,
                            .token = token},
                 .connections_max = (uint32_t)s->connections_max,
                 .nodes_max = (uint32_t)s->nodes_max,
                 .jobs_max = (uint32_t)s->jobs_max,
                 .workers_max = (uint32_t)s->directory_workers_max,
                 .history_max = (uint32_t)s->history_max,
                 .objects_max = s->directory_objects_max,
                 .blocks_max = 4096,
                 .process_block = s->process_block,
                 .node_lost_ms = s->node_lost_ms,
                 .refused_ms = 1000},
        .listen = s->listen,
        .data = *s->data != 0 ? s->data : NULL,
        .fault_commit = s->fault_commit,
    };
}

static int run(const struct settings *s, struct daemon *daemon, struct mob_err *err)
{
    uint8_t token_bytes[DAEMON_TOKEN_MAX];
    struct view token;
    int rc = daemon_read_token(s->token_fd, token_bytes, &token, err);
    if (rc == MOB_OK && *s->listen == 0)
        rc = mob_err_set(
            err, MOB_EOPTION,
            "--listen is missing: say where to listen, such as ipc:///run/mobula/head.sock");
    if (rc != MOB_OK)
        return rc;
    struct head_shell_config config = config_of(s, token);
    return head_shell_run(&config, daemon, err);
}

int main(int argc, char **argv)
{
    static const struct daemon_kind kind = {
        .name = "head",
        .usage = "--listen ENDPOINT [--data DIR] [options]: keep a cluster together",
        .role = ROLE_HEAD,
        .run = run};
    (void)argc;
    return daemon_main(&kind, argv);
}
