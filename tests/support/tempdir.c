/* Removal hangs on atexit, which runs after failed assertions as well, since cmocka returns from
 * them. A program that is killed cannot remove anything: tests/support/run-tests gives each program
 * a TMPDIR of its own and removes that. */
#include "tests/support/tempdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    char *paths[TEMPDIR_MAX];
    unsigned count;
    pid_t owner;
} made;

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)info;
    (void)kind;
    (void)position;
    return remove(path);
}

void tempdir_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_all(void)
{
    if (getpid() != made.owner)
        return;
    for (unsigned i = 0; i < made.count; i++) {
        tempdir_remove(made.paths[i]);
        free(made.paths[i]);
    }
    made.count = 0;
}

char *tempdir_path(const char *dir, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        abort();
    return path;
}

const char *tempdir_create(void)
{
    if (made.owner == 0) {
        made.owner = getpid();
        atexit(remove_all);
    }
    const char *top = getenv("TMPDIR");
    char *path = tempdir_path(top != NULL ? top : "/tmp", "mobula-test-XXXXXX");
    if (made.count == TEMPDIR_MAX || mkdtemp(path) == NULL) {
        perror("tempdir_create");
        abort();
    }
    made.paths[made.count++] = path;
    return path;
}
