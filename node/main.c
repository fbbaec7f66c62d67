/* main.c: mobula-node's command line. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "node/shell.h"
#include "protocol/log.h"

enum { UIDS_MAX = 64, TOKEN_MAX = 256 };

static const char usage[] =
    "mobula-node --head ENDPOINT [options]: run tasks on this machine for the head at ENDPOINT\n"
    "  --head ENDPOINT        ipc:///path, ipc://@name or tcp://127.0.0.1:port\n"
    "  --local PATH           socket on which drivers of this machine come in; @name is abstract\n"
    "  --cpus N               how many tasks may run at once (default: cpus of this machine)\n"
    "  --store BYTES          shared memory for the objects of each job (default: 30 % of memory)\n"
    "  --populate BYTES       of it, touched before it is used (default: 0)\n"
    "  --workers-max N        worker processes of one job, those that wait included (default: "
    "256)\n"
    "  --clients-max N        drivers and workers of all jobs (default: 4096)\n"
    "  --inline-max BYTES     values above it go through the store (default: 100K)\n"
    "  --retries N            how often a task is run again when its worker dies (default: 3)\n"
    "  --extent BYTES         least room that a process is given to write objects (default: 1M)\n"
    "  --idle-worker-ms MS    a worker that was idle for so long may end (default: 10000)\n"
    "  --start-worker-ms MS   a worker must be ready in this time (default: 30000)\n"
    "  --load-ms MS           interval of the reports to the head (default: 1000)\n"
    "  --uid UID              let this user's drivers in, besides root and our own; may be "
    "repeated\n"
    "  --log LEVEL            error, warn, info or debug (default: info)\n"
    "Inherited descriptors, for whoever starts a node:\n"
    "  --token-fd N           read the cluster's secret from it\n"
    "  --driver-fd N          the control socket of one driver\n"
    "  --life-fd N            a pidfd: the node ends with that process\n"
    "  --ready-fd N           gets the line \"ready\", or what went wrong\n";

struct setup {
    struct shell_config shell;
    uint64_t uids[UIDS_MAX];
    uint8_t token[TOKEN_MAX];
    int token_fd;
    enum log_level log;
};

enum option_name {
    HEAD = 1,
    LOCAL,
    CPUS,
    STORE,
    POPULATE,
    WORKERS_MAX,
    CLIENTS_MAX,
    INLINE_MAX,
    RETRIES,
    EXTENT,
    IDLE_WORKER_MS,
    START_WORKER_MS,
    LOAD_MS,
    UID,
    LOG,
    TOKEN_FD,
    DRIVER_FD,
    LIFE_FD,
    READY_FD,
    HELP,
};

static const struct option options[] = {
    {"head", required_argument, NULL, HEAD},
    {"local", required_argument, NULL, LOCAL},
    {"cpus", required_argument, NULL, CPUS},
    {"store", required_argument, NULL, STORE},
    {"populate", required_argument, NULL, POPULATE},
    {"workers-max", required_argument, NULL, WORKERS_MAX},
    {"clients-max", required_argument, NULL, CLIENTS_MAX},
    {"inline-max", required_argument, NULL, INLINE_MAX},
    {"retries", required_argument, NULL, RETRIES},
    {"extent", required_argument, NULL, EXTENT},
    {"idle-worker-ms", required_argument, NULL, IDLE_WORKER_MS},
    {"start-worker-ms", required_argument, NULL, START_WORKER_MS},
    {"load-ms", required_argument, NULL, LOAD_MS},
    {"uid", required_argument, NULL, UID},
    {"log", required_argument, NULL, LOG},
    {"token-fd", required_argument, NULL, TOKEN_FD},
    {"driver-fd", required_argument, NULL, DRIVER_FD},
    {"life-fd", required_argument, NULL, LIFE_FD},
    {"ready-fd", required_argument, NULL, READY_FD},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* A number, with K, M or G for powers of 1024. Ends the program when it is none or out of bounds.
 */
static uint64_t number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    static const char suffixes[] = "KMG";
    const char *suffix = *end != '\0' ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    unsigned shift = suffix != NULL ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if (suffix != NULL)
        end++;
    if (end == text || *end != '\0' || errno != 0 || text[0] == '-' || value > most >> shift ||
        value << shift < least) {
        fprintf(stderr, "mobula-node: --%s %s: give a number from %" PRIu64 " to %" PRIu64 "\n",
                name, text, least, most);
        exit(2);
    }
    return value << shift;
}

/* Inherited: it must be open, and no program of a job may inherit it. */
static int descriptor(const char *name, const char *text)
{
    int fd = (int)number(name, text, 0, 1 << 20);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        fprintf(stderr, "mobula-node: --%s %d: this descriptor is not open\n", name, fd);
        exit(2);
    }
    return fd;
}

static void set_defaults(struct setup *setup)
{
    struct sysinfo info;
    cpu_set_t cpus;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t memory = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 1 << 30;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    *setup = (struct setup){.token_fd = -1, .log = LOG_INFO};
    setup->shell = (struct shell_config){
        .driver_fd = -1,
        .life_fd = -1,
        .ready_fd = -1,
        .access = {.own_uid = geteuid(), .uids = setup->uids},
        .core = {.cpus = (uint64_t)count * CPU,
                 .store_bytes = memory / 10 * 3 / page * page,
                 .page_bytes = page,
                 .extent_bytes = 1 << 20,
                 .workers_max = 256,
                 .clients_max = 4096,
                 .inline_max = 100 << 10,
                 .retries = 3,
                 .idle_worker_ms = 10000,
                 .load_ms = 1000,
                 .start_worker_ms = 30000},
    };
}

static void set_number(struct setup *setup, int option, const char *name, const char *text)
{
    struct node_config *core = &setup->shell.core;
    const uint64_t most = UINT64_C(1) << 50;
    uint64_t page = core->page_bytes;
    switch (option) {
    case CPUS:
        core->cpus = number(name, text, 1, 4096) * CPU;
        break;
    case STORE:
        core->store_bytes = (number(name, text, 0, most) + page - 1) / page * page;
        break;
    case POPULATE:
        setup->shell.populate_bytes = number(name, text, 0, most);
        break;
    case WORKERS_MAX:
        core->workers_max = (uint32_t)number(name, text, 1, 100000);
        break;
    case CLIENTS_MAX:
        core->clients_max = (uint32_t)number(name, text, 2, 100000);
        break;
    case INLINE_MAX:
        core->inline_max = number(name, text, 64, MESSAGE_SIZE_MAX / 2);
        break;
    case RETRIES:
        core->retries = (uint32_t)number(name, text, 0, 1000000);
        break;
    case EXTENT:
        core->extent_bytes = number(name, text, page, most);
        break;
    case IDLE_WORKER_MS:
        core->idle_worker_ms = number(name, text, 1, most);
        break;
    case START_WORKER_MS:
        core->start_worker_ms = number(name, text, 1, most);
        break;
    case LOAD_MS:
        core->load_ms = number(name, text, 1, most);
        break;
    default:
        break;
    }
}

static void add_uid(struct setup *setup, const char *name, const char *text)
{
    struct access *access = &setup->shell.access;
    if (access->uid_count == UIDS_MAX) {
        fprintf(stderr, "mobula-node: --uid: at most %d\n", UIDS_MAX);
        exit(2);
    }
    setup->uids[access->uid_count++] = number(name, text, 0, UINT32_MAX);
}

static void set_option(struct setup *setup, int option, const char *name, const char *text)
{
    int level;
    switch (option) {
    case HEAD:
        setup->shell.head = text;
        break;
    case LOCAL:
        setup->shell.local = text;
        break;
    case UID:
        add_uid(setup, name, text);
        break;
    case LOG:
        if ((level = log_level_of(text)) < 0) {
            fprintf(stderr, "mobula-node: --log %s: give error, warn, info or debug\n", text);
            exit(2);
        }
        setup->log = (enum log_level)level;
        break;
    case TOKEN_FD:
        setup->token_fd = descriptor(name, text);
        break;
    case DRIVER_FD:
        setup->shell.driver_fd = descriptor(name, text);
        break;
    case LIFE_FD:
        setup->shell.life_fd = descriptor(name, text);
        break;
    case READY_FD:
        setup->shell.ready_fd = descriptor(name, text);
        break;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        set_number(setup, option, name, text);
    }
}

static void read_token(struct setup *setup)
{
    size_t size = 0;
    ssize_t got;
    if (setup->token_fd < 0)
        return;
    while (size < sizeof setup->token &&
           (got = read(setup->token_fd, setup->token + size, sizeof setup->token - size)) > 0)
        size += (size_t)got;
    close(setup->token_fd);
    setup->shell.access.token = (struct view){setup->token, size};
}

int main(int argc, char **argv)
{
    static struct setup setup;
    set_defaults(&setup);
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (option == '?')
            return 2;
        set_option(&setup, option, options[index].name, optarg);
    }
    if (setup.shell.head == NULL || optind != argc) {
        fprintf(stderr, "mobula-node: %s; see mobula-node --help\n",
                setup.shell.head == NULL ? "--head is missing" : "too many arguments");
        return 2;
    }
    log_start("node", setup.log);
    read_token(&setup);
    struct mob_err err = {0};
    int rc = node_shell_run(&setup.shell, &err);
    if (rc == MOB_OK)
        return 0;
    fprintf(stderr, "mobula-node: %s\n", err.text);
    return 1;
}
