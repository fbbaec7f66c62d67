/* tempdir.h: temporary directories that go away when the test program ends, whatever its tests did.
 * Owns the directories it made and all in them. Bound: TEMPDIR_MAX. Runs on: the test's main
 * thread. */
#ifndef MOB_TEST_SUPPORT_TEMPDIR_H
#define MOB_TEST_SUPPORT_TEMPDIR_H

#define TEMPDIR_MAX 64

/* Make a directory below TMPDIR; its path stays valid until the program ends. Aborts when it
 * cannot. A forked child that exits removes nothing. */
const char *tempdir_create(void);

/* The path of `name` inside `dir`, allocated; the caller frees it. */
char *tempdir_path(const char *dir, const char *name);

/* Remove `path` and all below it; one that does not exist is fine. */
void tempdir_remove(const char *path);

#endif
