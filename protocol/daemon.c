/* daemon.c: signals become a descriptor in the loop, since libzmq, SQLite and a handler do not mix.
 */
#include "protocol/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/log.h"

void daemon_begin(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            abort();
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    /* libzmq's I/O thread would get an arena of its own, and freed pages would stay. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 64 << 10);
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
}

static int check_open(int fd, const char *flag, struct mob_err *err)
{
    if (fd >= 0 && fcntl(fd, F_GETFD) < 0)
        return mob_err_set(err, MOB_EOPTION, "%s %d: this descriptor is not open", flag, fd);
    return MOB_OK;
}

int daemon_open(struct daemon *d, int life_fd, int ready_fd, struct mob_err *err)
{
    *d = (struct daemon){-1, -1, -1};
    int rc = check_open(ready_fd, "--ready-fd", err);
    if (rc != MOB_OK)
        return rc;
    d->ready_fd = ready_fd;
    rc = check_open(life_fd, "--life-fd", err);
    if (rc != MOB_OK)
        return rc;
    d->life_fd = life_fd;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGPIPE);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return mob_err_system(err, "cannot block signals");
    sigdelset(&signals, SIGPIPE);
    d->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return d->signal_fd >= 0 ? MOB_OK : mob_err_system(err, "cannot make a signal descriptor");
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void daemon_close(struct daemon *d)
{
    close_fd(&d->signal_fd);
    close_fd(&d->life_fd);
    close_fd(&d->ready_fd);
}

static void tell(struct daemon *d, const char *what, const char *text)
{
    if (d->ready_fd < 0)
        return;
    char line[MOB_ERR_TEXT_MAX + 64];
    int n = snprintf(line, sizeof line, "%s %s", what, text);
    size_t size = n < 0 ? 0 : (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
    for (size_t i = 0; i < size; i++)
        if (line[i] == '\n')
            line[i] = ' ';
    line[size++] = '\n';
    /* Whoever asked may have gone; then the daemon learns of it by its life descriptor. */
    ssize_t written = write(d->ready_fd, line, size);
    (void)written;
    close_fd(&d->ready_fd);
}

void daemon_ready(struct daemon *d, const char *where)
{
    tell(d, "ready", where);
}

void daemon_failed(struct daemon *d, const struct mob_err *err)
{
    tell(d, mob_error_name(err->code), err->text);
}

int daemon_read_token(int fd, uint8_t token[DAEMON_TOKEN_MAX], struct view *out,
                      struct mob_err *err)
{
    size_t size = 0;
    ssize_t got = 0;
    *out = (struct view){token, 0};
    if (fd < 0)
        return MOB_OK;
    while (size < DAEMON_TOKEN_MAX &&
           ((got = read(fd, token + size, DAEMON_TOKEN_MAX - size)) > 0 ||
            (got < 0 && errno == EINTR)))
        size += got > 0 ? (size_t)got : 0;
    int rc = got < 0 ? mob_err_system(err, "cannot read the token from descriptor %d", fd) : MOB_OK;
    if (rc == MOB_OK && size == DAEMON_TOKEN_MAX)
        rc = mob_err_set(err, MOB_ETOOBIG, "the token has %d bytes or more", DAEMON_TOKEN_MAX);
    if (rc == MOB_OK && size == 0)
        rc = mob_err_set(err, MOB_EOPTION, "the token at descriptor %d is empty", fd);
    close(fd);
    *out = (struct view){token, size};
    return rc;
}

static int print_help(const struct daemon_kind *kind)
{
    char text[8192];
    settings_usage(kind->role, text, sizeof text);
    printf("mobula-%s %s\n%s"
           "Each --name is also read from MOBULA_NAME in the environment.\n",
           kind->name, kind->usage, text);
    return 0;
}

int daemon_main(const struct daemon_kind *kind, char **argv)
{
    struct settings settings;
    struct daemon daemon;
    struct mob_err err = {0};
    daemon_begin();
    int rc = settings_read(&settings, kind->role, argv, environ, &err);
    if (rc == MOB_OK && settings.help)
        return print_help(kind);
    int opened =
        daemon_open(&daemon, settings.life_fd, settings.ready_fd, rc == MOB_OK ? &err : NULL);
    log_start(kind->name, (enum log_level)log_level_of(settings.log_level));
    if (rc == MOB_OK && settings.unknown != NULL)
        log_warn("settings.unknown variable=\"%.80s\"", settings.unknown);
    if (rc == MOB_OK)
        rc = opened;
    if (rc == MOB_OK)
        rc = kind->run(&settings, &daemon, &err);
    if (rc != MOB_OK) {
        log_error("%s.failed code=%s text=\"%s\"", kind->name, mob_error_name(rc), err.text);
        daemon_failed(&daemon, &err);
    }
    daemon_close(&daemon);
    return rc == MOB_OK ? 0 : rc == MOB_EOPTION ? 2 : 1;
}
