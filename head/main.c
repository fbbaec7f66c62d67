/* main.c: mobula-head. Reads the settings and runs the shell. */
#include <stdio.h>
#include <unistd.h>

#include "head/shell.h"
#include "protocol/log.h"
#include "protocol/settings.h"

static int print_help(void)
{
    char text[8192];
    settings_usage(ROLE_HEAD, text, sizeof text);
    printf("mobula-head --listen ENDPOINT [--data DIR] [options]\n%s"
           "Each --name is also read from MOBULA_NAME in the environment.\n",
           text);
    return 0;
}

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
    struct settings settings;
    struct daemon daemon;
    struct mob_err err = {0};
    (void)argc;
    daemon_begin();
    int rc = settings_read(&settings, ROLE_HEAD, argv, environ, &err);
    if (rc == MOB_OK && settings.help)
        return print_help();
    int opened =
        daemon_open(&daemon, settings.life_fd, settings.ready_fd, rc == MOB_OK ? &err : NULL);
    log_start("head", (enum log_level)log_level_of(settings.log_level));
    if (rc == MOB_OK && settings.unknown != NULL)
        log_warn("settings.unknown variable=\"%.80s\"", settings.unknown);
    if (rc == MOB_OK)
        rc = opened;
    if (rc == MOB_OK)
        rc = run(&settings, &daemon, &err);
    if (rc != MOB_OK) {
        log_error("head.failed code=%s text=\"%s\"", mob_error_name(rc), err.text);
        daemon_failed(&daemon, &err);
    }
    daemon_close(&daemon);
    return rc == MOB_OK ? 0 : rc == MOB_EOPTION ? 2 : 1;
}
