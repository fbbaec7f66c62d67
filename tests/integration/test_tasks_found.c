/* test_tasks_found.c: tasks are found wherever they are defined: in the program, in a static
 * archive, in a shared library, in one that was opened by dlopen; and a name that is defined twice
 * is an error that names both places. */
#include "tests/support/test.h"

#include <unistd.h>

#include "tests/support/program.h"
#include "tests/support/tempdir.h"

static char build_dir[2048];
static const char *work_dir;

/* Run a line of shell with B and W for the two folders, F for the flags of a sanitizer. */
static struct program *shell(const char *line)
{
    char b[2100], w[2100], f[64];
    snprintf(b, sizeof b, "B=%s", build_dir);
    snprintf(w, sizeof w, "W=%s", work_dir);
    snprintf(f, sizeof f, "F=%s",
             strstr(build_dir, "address") != NULL  ? "-fsanitize=address,undefined"
             : strstr(build_dir, "thread") != NULL ? "-fsanitize=thread"
                                                   : "");
    const char *argv[] = {"sh", "-c", line, NULL}, *env[] = {b, w, f, NULL};
    return program_start(argv, env);
}

static void build(const char *line)
{
    struct program *p = shell(line);
    int rc = program_wait(p, 60000);
    if (rc != 0)
        print_message("%s\n%s\n", line, program_stderr(p));
    program_destroy(p);
    assert_int_equal(rc, 0);
}

#define COMPILE "gcc $F -std=gnu11 -fPIC -I. -Ilibclient/include "
#define SOURCES "tests/integration/found/"

static int build_all(void **state)
{
    (void)state;
    build(COMPILE "-c " SOURCES "archive.c -o $W/archive.o && ar rcs $W/libarchive.a $W/archive.o");
    build(COMPILE "-shared " SOURCES "library.c -o $W/library.so -L$B -lmobula");
    build(COMPILE "-shared " SOURCES "plugin.c -o $W/plugin.so -L$B -lmobula");
    build(COMPILE "-shared -DTWICE " SOURCES "plugin.c -o $W/twice.so -L$B -lmobula");
    build(COMPILE SOURCES
          "program.c -o $W/program $W/libarchive.a $W/library.so -L$B -lmobula -ldl -Wl,-rpath,$B");
    return 0;
}

/* A chain of four tasks, one from each place, runs on workers. */
MOB_TEST(tasks_of_all_places_run)
{
    struct program *p = shell("$W/program $W/plugin.so");
    int rc = program_wait(p, 60000);
    if (rc != 0)
        print_message("%s\n", program_stderr(p));
    assert_int_equal(rc, 0);
    assert_string_equal(program_stdout(p), "1111\n");
    program_destroy(p);
}

/* mob_init refuses two tasks of one name and says where both are. */
MOB_TEST(one_name_twice_is_an_error)
{
    struct program *p = shell("$W/program $W/twice.so");
    assert_int_equal(program_wait(p, 60000), 1);
    const char *text = program_stderr(p);
    assert_non_null(strstr(text, "in_program"));
    assert_non_null(strstr(text, "found/program.c:"));
    assert_non_null(strstr(text, "found/plugin.c:"));
    program_destroy(p);
}

int main(int argc, char **argv)
{
    (void)argc;
    char *here = realpath(argv[0], NULL);
    int size = here != NULL ? snprintf(build_dir, sizeof build_dir, "%s", here) : -1;
    free(here);
    if (size < 0 || (size_t)size >= sizeof build_dir)
        return 1;
    for (unsigned i = 0; i < 3; i++) { /* the program's name, integration, tests */
        char *slash = strrchr(build_dir, '/');
        if (slash == NULL)
            return 1;
        *slash = '\0';
    }
    work_dir = tempdir_create();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_of_all_places_run),
        cmocka_unit_test(one_name_twice_is_an_error),
    };
    return cmocka_run_group_tests(tests, build_all, NULL);
}
