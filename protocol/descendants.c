/* descendants.c: children are found by reading the parent of every process, since the kernel's list
 * of children
 * (/proc/PID/task/TID/children) is an option that many kernels leave out. It is read only when
 * something has died.
 *
 * Rejected: cgroups, which need root or a delegation; a guard process for each worker, which
 * doubles their number; workers as subreapers, which would find the user's waitpid(-1) full of
 * strangers. */
#include "protocol/descendants.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t size, off_t offset)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = pread(fd, text, size, offset);
    close(fd);
    return got;
}

/* The parent and the state of `pid`. "pid (name) state ppid ...": the name may hold anything, so
 * its end is looked for from behind. */
static pid_t parent_of(pid_t pid, char *state)
{
    char text[512];
    ssize_t got = read_proc(pid, "stat", text, sizeof text - 1, 0);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    const char *end = strrchr(text, ')');
    int parent;
    if (end == NULL || sscanf(end, ") %c %d", state, &parent) != 2)
        return -1;
    return parent;
}

unsigned descendants_kill(bool (*spare)(pid_t pid, void *context), void *context)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    unsigned dying = 0;
    pid_t self = getpid();
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        char state = '?';
        if (*end != '\0' || pid <= 0 || parent_of((pid_t)pid, &state) != self ||
            spare((pid_t)pid, context))
            continue;
        if (state == 'Z' || state == 'X')
            continue;
        kill((pid_t)pid, SIGKILL);
        dying++;
    }
    closedir(proc);
    return dying;
}

uint64_t descendants_mark(pid_t pid)
{
    static const char name[] = DESCENDANTS_MARK "=";
    enum { NAME_SIZE = sizeof name - 1, WHOLE_SIZE = NAME_SIZE + DESCENDANTS_MARK_DIGITS };
    char text[4096 + 1];
    off_t offset = 0;
    for (;;) {
        ssize_t got = read_proc(pid, "environ", text, sizeof text - 1, offset);
        if (got < WHOLE_SIZE)
            return 0;
        const char *at = memmem(text, (size_t)got, name, NAME_SIZE);
        if (at != NULL && at + WHOLE_SIZE <= text + got) {
            char digits[DESCENDANTS_MARK_DIGITS + 1] = {0};
            memcpy(digits, at + NAME_SIZE, DESCENDANTS_MARK_DIGITS);
            return strtoull(digits, NULL, 10);
        }
        /* Overlap, so that a mark across two pieces is found. */
        offset += got - WHOLE_SIZE + 1;
    }
}

void descendants_mark_own(uint64_t process)
{
    char *at = getenv(DESCENDANTS_MARK);
    if (at == NULL || strlen(at) != DESCENDANTS_MARK_DIGITS)
        return;
    char digits[DESCENDANTS_MARK_DIGITS + 1];
    snprintf(digits, sizeof digits, "%0*" PRIu64, (int)DESCENDANTS_MARK_DIGITS, process);
    memcpy(at, digits, DESCENDANTS_MARK_DIGITS);
}
