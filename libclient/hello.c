/* hello.c: the job package: the program that runs now, its arguments, folder and environment. The
 * node starts the same program again through /proc/PID/exe, which works when the file was replaced
 * or deleted. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libclient/cluster.h"
#include "protocol/buffer.h"

extern char **environ;

static int list_add(struct buffer *b, struct msg_list *list, const char *text)
{
    int rc = msg_string_pack_item(b, &(struct msg_string){view_of(text)});
    list->count += rc == MOB_OK;
    return rc;
}

static int list_of(struct buffer *b, struct msg_list *list, char **texts)
{
    int rc = MOB_OK;
    *list = (struct msg_list){0, NULL, 0};
    for (; texts != NULL && *texts != NULL && rc == MOB_OK; texts++)
        rc = list_add(b, list, *texts);
    list->data = b->data;
    list->size = buffer_size(b);
    return rc;
}

/* The arguments as the kernel has them, for programs that did not hand theirs to mob_init. */
static int list_of_proc(struct buffer *b, struct msg_list *list, struct mob_err *err)
{
    char bytes[64 << 10];
    *list = (struct msg_list){0, NULL, 0};
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, bytes, sizeof bytes - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return mob_err_system(err, "cannot read /proc/self/cmdline");
    bytes[n] = '\0';
    int rc = MOB_OK;
    for (char *at = bytes; at < bytes + n && rc == MOB_OK; at += strlen(at) + 1)
        rc = list_add(b, list, at);
    list->data = b->data;
    list->size = buffer_size(b);
    return rc;
}

int cluster_greet(const struct cluster_want *want, int control_fd, struct connection *out,
                  struct mob_err *err)
{
    struct buffer arguments = {0}, environment = {0};
    char program[4096] = "";
    /* One that this user may not enter is as good as none. */
    char *directory = faccessat(AT_FDCWD, ".", X_OK, AT_EACCESS) == 0 ? getcwd(NULL, 0) : NULL;
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        program[0] = '\0'; /* for people only: the node opens /proc/PID/exe */
    struct msg_client_hello hello = {
        .version = PROTOCOL_VERSION,
        .pid = (uint64_t)getpid(),
        .program = view_of(program),
        .directory = view_of(directory != NULL ? directory : "/"),
    };
    int rc = want->argv != NULL ? list_of(&arguments, &hello.arguments, want->argv)
                                : list_of_proc(&arguments, &hello.arguments, err);
    if (rc == MOB_OK)
        rc = list_of(&environment, &hello.environment, environ);
    if (rc == MOB_ENOMEM)
        mob_err_set(err, rc, "no memory to describe this program to its node");
    if (rc == MOB_OK)
        rc = connection_greet(out, control_fd, &hello, want->timeout_ms, err);
    buffer_fini(&arguments);
    buffer_fini(&environment);
    free(directory);
    return rc;
}
