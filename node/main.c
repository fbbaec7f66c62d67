/* main.c: mobula-node. Reads the settings and runs the shell. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "node/shell.h"

static uint64_t cpus_of_machine(void)
{
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (uint64_t)CPU_COUNT(&cpus) : 1;
}

static uint64_t store_of_machine(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit / 10 * 3 : 64 << 20;
}

/* A node that was started by hand without one takes drivers too. */
static const char *local_of(const struct settings *s)
{
    static char name[64];
    if (*s->local != 0 || s->driver_fd >= 0)
        return *s->local != 0 ? s->local : NULL;
    snprintf(name, sizeof name, "@mobula-node-%d", (int)getpid());
    return name;
}

static struct shell_config config_of(const struct settings *s, struct view token)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t store = s->store != 0 ? s->store : store_of_machine();
    return (struct shell_config){
        .core = {.cpus = (s->cpus != 0 ? s->cpus : cpus_of_machine()) * CPU,
                 .store_bytes = (store + page - 1) / page * page,
                 .page_bytes = page,
                 .extent_bytes = (s->extent + page - 1) / page * page,
                 .workers_max = (uint32_t)s->workers_max,
                 .clients_max = (uint32_t)s->clients_max,
                 .inline_max = s->inline_max,
                 .retries = (uint32_t)s->retries,
                 .idle_worker_ms = s->idle_worker_ms,
                 .load_ms = s->load_ms,
                 .start_worker_ms = s->start_worker_ms},
        .head = s->head,
        .local = local_of(s),
        .driver_fd = s->driver_fd,
        .access = {.own_uid = geteuid(),
                   .uids = s->uid.list,
                   .uid_count = s->uid.count,
                   .token = token},
        .populate_bytes = s->populate,
    };
}

static int run(const struct settings *s, struct daemon *daemon, struct mob_err *err)
{
    uint8_t token_bytes[DAEMON_TOKEN_MAX];
    struct view token;
    int rc = daemon_read_token(s->token_fd, token_bytes, &token, err);
    if (rc == MOB_OK && *s->head == 0)
        rc = mob_err_set(err, MOB_EOPTION,
                         "--head is missing: say where the head listens, such as "
                         "ipc:///run/mobula/head.sock");
    if (rc == MOB_OK && s->driver_fd >= 0 && fcntl(s->driver_fd, F_SETFD, FD_CLOEXEC) != 0)
        rc = mob_err_set(err, MOB_EOPTION, "--driver-fd %d: this descriptor is not open",
                         s->driver_fd);
    if (rc != MOB_OK)
        return rc;
    struct shell_config config = config_of(s, token);
    return node_shell_run(&config, daemon, err);
}

int main(int argc, char **argv)
{
    static const struct daemon_kind kind = {
        .name = "node",
        .usage = "--head ENDPOINT [options]: run tasks on this machine",
        .role = ROLE_NODE,
        .run = run};
    (void)argc;
    return daemon_main(&kind, argv);
}
