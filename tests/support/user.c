/* user.c: see user.h. A failure shows what the program wrote, since that is where it says what was
 * wrong. */
#include "tests/support/user.h"

#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <unistd.h>

#include "tests/support/processes.h"
#include "tests/support/test.h"
#include "tests/support/wait.h"

enum { END_MS = 60000, GONE_MS = 2000, PIDS_MAX = 256 };

char *user_path(const char *name)
{
    char own[PATH_MAX], *path = NULL;
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    assert_true(n > 0);
    own[n] = '\0';
    assert_true(asprintf(&path, "%s/../../%s", dirname(own), name) >
                0); /* of tests/integration/test_x */
    return path;
}

struct program *user_start_with(const char *program, const char *what, const char *more,
                                const char *const env[])
{
    char name[128];
    snprintf(name, sizeof name, "tests/programs/%s", program);
    char *path = user_path(name);
    struct program *p =
        program_start((const char *const[]){path, what, what != NULL ? more : NULL, NULL}, env);
    free(path);
    return p;
}

struct program *user_start(const char *program, const char *what, const char *more)
{
    return user_start_with(program, what, more, NULL);
}

/* What the program left out is in this test's output too. */
static void repeat_skipped(struct program *p)
{
    const char *line = program_stdout(p);
    for (; (line = strstr(line, "skipped: ")) != NULL; line += strcspn(line, "\n"))
        print_message("%.*s\n", (int)strcspn(line, "\n"), line);
}

void user_ends(struct program *p, int status)
{
    pid_t pid = program_pid(p);
    int got = program_wait(p, END_MS);
    bool gone = wait_until(program_others(p) == 0 && user_left_nothing(pid), GONE_MS);
    if (got != status || !gone)
        print_error("status %d, %u processes left; stdout:\n%sstderr:\n%s", got, program_others(p),
                    program_stdout(p), program_stderr(p));
    repeat_skipped(p);
    program_destroy(p);
    assert_int_equal(got, status);
    assert_true(gone);
}

void user_runs(const char *program, const char *what)
{
    user_ends(user_start(program, what, NULL), 0);
}

/* Name and parent of a process; false if it is gone. */
static bool process_read(pid_t pid, char name[32], pid_t *parent)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    bool got = file != NULL && fgets(line, sizeof line, file) != NULL;
    if (file != NULL)
        fclose(file);
    char *open = got ? strchr(line, '(') : NULL, *close = got ? strrchr(line, ')') : NULL;
    if (open == NULL || close == NULL)
        return false;
    snprintf(name, 32, "%.*s", (int)(close - open - 1), open + 1);
    return sscanf(close + 1, " %*c %d", parent) == 1;
}

unsigned user_workers(const struct program *driver, pid_t *pids, unsigned pids_max)
{
    pid_t all[PIDS_MAX], parent, above;
    char own[32], name[32], parent_name[32];
    unsigned n = processes_descendants(program_pid(driver), all, PIDS_MAX), found = 0;
    if (!process_read(program_pid(driver), own, &above))
        return 0;
    for (unsigned i = 0; i < n && i < PIDS_MAX && found < pids_max; i++)
        if (process_read(all[i], name, &parent) && strcmp(name, own) == 0 &&
            parent != program_pid(driver) && process_read(parent, parent_name, &above) &&
            strcmp(parent_name, own) == 0)
            pids[found++] = all[i];
    return found;
}

bool user_worker_ignores(pid_t worker, int number)
{
    char path[64], line[256];
    unsigned long long ignored = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)worker);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "SigIgn: %llx", &ignored) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return (ignored >> (number - 1) & 1) != 0;
}

static bool directory_has(const char *path, const char *start)
{
    DIR *directory = opendir(path);
    bool found = false;
    for (struct dirent *entry; directory != NULL && !found && (entry = readdir(directory)) != NULL;)
        found = strncmp(entry->d_name, start, strlen(start)) == 0;
    if (directory != NULL)
        closedir(directory);
    return found;
}

bool user_left_nothing(pid_t driver)
{
    char socket[64], line[512];
    bool found = false;
    snprintf(socket, sizeof socket, "mobula-%d-", (int)driver);
    FILE *sockets = fopen("/proc/net/unix", "re");
    while (sockets != NULL && !found && fgets(line, sizeof line, sockets) != NULL)
        found = strstr(line, socket) != NULL;
    if (sockets != NULL)
        fclose(sockets);
    const char *temp = getenv("TMPDIR");
    return !found && !directory_has("/dev/shm", "mobula") &&
           !directory_has(temp != NULL ? temp : "/tmp", socket);
}
