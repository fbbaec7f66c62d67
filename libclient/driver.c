/* driver.c: mob_init and mob_shutdown. The same executable is driver and worker: a process that the
 * node has started never returns from mob_init. A driver joins the cluster at its address
 * (libclient/join.c), or starts a private one (libclient/private.c), and ends up with one
 * connection to one node either way. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libclient/cluster.h"
#include "libclient/process.h"
#include "libclient/registry.h"
#include "libclient/zygote.h"

/* ---- output of tasks ---- */

static void line_show(const struct mob_output *o)
{
    FILE *stream = o->stream == 1 ? stdout : stderr;
    flockfile(stream);
    if (o->stream == 0)
        fputs("mobula: ", stream);
    else if (o->task != NULL)
        fprintf(stream, "(%s, worker %d) ", o->task, o->process);
    else
        fprintf(stream, "(worker %d) ", o->process);
    fwrite(o->text, 1, o->text_size, stream);
    fputc('\n', stream);
    fflush(stream);
    funlockfile(stream);
}

static void line_emit(const struct mob_output *o)
{
    if (process.config.output != NULL)
        process.config.output(o, process.config.output_user);
    else if (process.config.quiet == 0)
        line_show(o);
}

/* Lines of a task, with the lock of the shell held. */
static void output_take(void *ctx, const struct msg_task_output *m)
{
    (void)ctx;
    char task[128];
    size_t size = m->function.size < sizeof task ? m->function.size : sizeof task - 1;
    memcpy(task, m->function.data, size);
    task[size] = '\0';
    const char *at = m->lines.data, *end = at + m->lines.size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop != NULL ? stop : end) - at);
        struct mob_output o = {.size = sizeof o,
                               .stream = (int)m->stream,
                               .process = (int)m->process,
                               .task = size > 0 ? task : NULL,
                               .text = at,
                               .text_size = length};
        line_emit(&o);
        at += length + (stop != NULL);
    }
}

/* ---- config ---- */

static int config_take(const struct mob_config *config, struct mob_err *err)
{
    process.config = (struct mob_config)MOB_CONFIG_INIT;
    if (config == NULL)
        return MOB_OK;
    if (config->size < offsetof(struct mob_config, address) + sizeof config->address ||
        config->size > 4096)
        return mob_err_set(err, MOB_EINVAL, "mob_config.size is %zu: begin with MOB_CONFIG_INIT",
                           config->size);
    size_t size = config->size < sizeof process.config ? config->size : sizeof process.config;
    const uint8_t *bytes = (const uint8_t *)config;
    for (size_t i = sizeof process.config; i < config->size; i++)
        if (bytes[i] != 0)
            return mob_err_set(
                err, MOB_EOPTION,
                "mob_config sets a member that this version of the library does not know");
    memcpy(&process.config, config, size);
    process.config.size = sizeof process.config;
    return MOB_OK;
}

/* ---- init ---- */

static int driver_begin(char **argv, struct mob_err *err)
{
    struct cluster_want want = {
        .config = &process.config,
        .argv = argv,
        .address =
            process.config.address != NULL ? process.config.address : getenv("MOBULA_ADDRESS"),
        .timeout_ms = process.config.start_timeout_ms > 0 ? process.config.start_timeout_ms : 30000,
    };
    bool joins = want.address != NULL && want.address[0] != '\0';
    int rc = joins ? cluster_join(&want, &process.connection, err)
                   : cluster_start(&want, &process.connection, err);
    if (rc != MOB_OK)
        return rc;
    struct client_config config = process_client_config(&process.connection.welcome, false);
    config.output = output_take;
    rc = shell_open(&process.shell, &process.connection, &config, err);
    if (rc != MOB_OK) {
        connection_close(&process.connection);
        cluster_stop();
        return rc;
    }
    process_begin(PROCESS_DRIVER);
    return MOB_OK;
}

int mob_init(int *argc, char ***argv, const struct mob_config *config)
{
    (void)argc;
    struct mob_error *last = mob_last_error_slot();
    struct mob_err err = {0};
    if (process.role == PROCESS_DRIVER || process.role == PROCESS_WORKER)
        return process_enter(last) == NULL
                   ? last->code
                   : error_set(last, MOB_EALREADY, "mob_init was called before in this process");
    int fd = zygote_fd();
    if (fd >= 0)
        worker_main(fd);
    int rc = config_take(config, &err);
    if (rc == MOB_OK)
        rc = registry_check(&err);
    if (rc == MOB_OK)
        rc = driver_begin(argv != NULL ? *argv : NULL, &err);
    return rc == MOB_OK ? rc : error_from(last, &err);
}

void mob_shutdown(void)
{
    enum process_role role = PROCESS_DRIVER;
    if (process_enter(NULL) == NULL ||
        !atomic_compare_exchange_strong(&process.role, &role, PROCESS_CLOSED))
        return;
    shell_close(&process.shell);
    connection_close(&process.connection);
    cluster_stop();
}
