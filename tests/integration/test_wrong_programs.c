/* test_wrong_programs.c: mobula.h as the four compilers see it. That they refuse wrong programs is
 * shown by tests/support/run-wrong, file by file; here is the other side: right programs compile
 * without a warning, quickly, and do in C++ what they do in C. */
#include "tests/support/test.h"

#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/program.h"
#include "tests/support/tempdir.h"

#define STRICT   "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Ilibclient/include -I. "
#define LIMIT_MS 60000

static const char *const compilers[][2] = {
    {"gcc", "gcc -std=gnu11 "},
    {"clang", "clang -std=gnu11 "},
    {"g++", "g++ -std=c++17 -x c++ "},
    {"clang++", "clang++ -std=c++17 -x c++ "},
};
enum { COMPILERS = sizeof compilers / sizeof compilers[0] };

/* Where this program was built, so that it finds the archives: build/tests/integration/.. */
static char build_dir[2048];
static const char *work_dir;

/* Run a line of shell; what it printed is shown if it fails. */
static int run(const char *line)
{
    const char *argv[] = {"sh", "-c", line, NULL};
    struct program *p = program_start(argv, NULL);
    int rc = program_wait(p, LIMIT_MS);
    if (rc != 0)
        print_message("%s\n%s%s\n", line, program_stdout(p), program_stderr(p));
    program_destroy(p);
    return rc;
}

static bool is_installed(const char *compiler)
{
    char line[256];
    snprintf(line, sizeof line, "command -v %s >/dev/null", compiler);
    const char *argv[] = {"sh", "-c", line, NULL};
    struct program *p = program_start(argv, NULL);
    bool found = program_wait(p, LIMIT_MS) == 0;
    program_destroy(p);
    if (!found)
        print_message("skipped: %s is not installed\n", compiler);
    return found;
}

/* What the archives of this build were compiled with. */
static const char *sanitizer(void)
{
    return strstr(build_dir, "address") != NULL    ? "-fsanitize=address,undefined "
           : strstr(build_dir, "thread") != NULL   ? "-fsanitize=thread "
           : strstr(build_dir, "coverage") != NULL ? "--coverage "
                                                   : "";
}

/* What users write compiles without a word under the warnings of a strict user. */
MOB_TEST(right_programs_have_no_warning)
{
    char line[1024];
    for (size_t i = 0; i < COMPILERS; i++) {
        if (!is_installed(compilers[i][0]))
            continue;
        snprintf(line, sizeof line,
                 "%s" STRICT "-O2 -c tests/integration/typed_user.c -o %s/user.o", compilers[i][1],
                 work_dir);
        assert_int_equal(run(line), 0);
    }
}

/* The program that the header begins with compiles as it stands there, and runs. */
MOB_TEST(example_of_the_header_works)
{
    char line[8192];
    snprintf(
        line, sizeof line,
        "sed -n '3,/^ [*] Build/{/Build/d;s/^ [*] *//p}' libclient/include/mobula.h >%s/example.c",
        work_dir);
    assert_int_equal(run(line), 0);
    for (size_t i = 0; i < COMPILERS; i++) {
        if (!is_installed(compilers[i][0]))
            continue;
        snprintf(line, sizeof line, "%s" STRICT "-c %s/example.c -o %s/example.o", compilers[i][1],
                 work_dir, work_dir);
        assert_int_equal(run(line), 0);
        /* A program has one sanitizer's runtime: that of the compiler that made the library. */
        char linker[2200];
        snprintf(linker, sizeof linker, "$(cut -d ' ' -f 1 %s/flags)", build_dir);
        snprintf(line, sizeof line,
                 "%s %s -o %s/example %s/example.o -L%s -lmobula -lstdc++ -Wl,-rpath,%s && test "
                 "\"$(%s/example)\" = 12.5664",
                 sanitizer()[0] != '\0' ? linker : compilers[i][0], sanitizer(), work_dir, work_dir,
                 build_dir, build_dir, work_dir);
        assert_int_equal(run(line), 0);
    }
}

static void nested_program(const char *path, unsigned depth)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("#include <mobula.h>\nMOB_TASK(double, mean, (double, a), (double, b)) { return (a + b) "
          "/ 2; }\n"
          "int main(void)\n{\n",
          f);
    if (depth > 0)
        fputs("MOB_REF(double) r = ", f);
    for (unsigned i = 0; i < depth; i++)
        fputs("mob_remote(mean, 2.0, ", f);
    if (depth > 0)
        fputs("unique_text", f);
    for (unsigned i = 0; i < depth; i++)
        fputs(")", f);
    fputs(depth > 0 ? "; mob_drop(r);\n}\n" : "}\n", f);
    assert_int_equal(fclose(f), 0);
}

/* Processor time of all that was run so far: the machine may be busy with other things. */
static double used_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* The shortest of several compilations, since a busy machine is a slow one. */
static double compile_ms(const char *compiler, const char *path)
{
    char line[1024];
    double best = 1e9;
    snprintf(line, sizeof line, "%s-Ilibclient/include -Dunique_text=1.0 -c %s -o %s/nested.o",
             compiler, path, work_dir);
    for (unsigned i = 0; i < 5; i++) {
        double start = used_ms();
        assert_int_equal(run(line), 0);
        double took = used_ms() - start;
        best = took < best ? took : best;
    }
    return best;
}

/* A call nested twelve deep adds less than 0.2 s to a program without calls. */
MOB_TEST(nested_calls_compile_quickly)
{
    char deep[256], none[256];
    snprintf(deep, sizeof deep, "%s/deep.c", work_dir);
    snprintf(none, sizeof none, "%s/none.c", work_dir);
    nested_program(deep, 12);
    nested_program(none, 0);
    for (size_t i = 0; i < COMPILERS; i++) {
        if (!is_installed(compilers[i][0]))
            continue;
        double empty = compile_ms(compilers[i][1], none),
               nested = compile_ms(compilers[i][1], deep);
        print_message("%s: depth 12 in %.0f ms, no call in %.0f ms\n", compilers[i][0], nested,
                      empty);
        assert_true(nested - empty < 200);
    }
}

static size_t preprocessed_bytes(const char *compiler, const char *path, unsigned *uses)
{
    char line[1024];
    size_t size = 0;
    snprintf(line, sizeof line, "%s-E -P -Ilibclient/include %s", compiler, path);
    const char *argv[] = {"sh", "-c", line, NULL};
    struct program *p = program_start(argv, NULL);
    assert_int_equal(program_wait(p, LIMIT_MS), 0);
    const char *text = program_stdout(p);
    size = strlen(text);
    *uses = 0;
    for (const char *at = strstr(text, "unique_text"); at != NULL;
         at = strstr(at + 1, "unique_text"))
        ++*uses;
    program_destroy(p);
    return size;
}

/* The text of an argument is there once after all macros, however deep, so each level adds the same
 * to the program. */
MOB_TEST(arguments_are_expanded_once)
{
    char path[3][256];
    for (size_t k = 0; k < 3; k++) {
        snprintf(path[k], sizeof path[k], "%s/depth%zu.c", work_dir, k);
        nested_program(path[k], (unsigned)(k * 6));
    }
    for (size_t i = 0; i < COMPILERS; i++) {
        if (!is_installed(compilers[i][0]))
            continue;
        unsigned uses[3];
        size_t size[3];
        for (size_t k = 0; k < 3; k++)
            size[k] = preprocessed_bytes(compilers[i][1], path[k], &uses[k]);
        assert_int_equal(uses[1], 1);
        assert_int_equal(uses[2], 1);
        size_t first = size[1] - size[0], second = size[2] - size[1];
        print_message("%s: six calls add %zu bytes, six more %zu\n", compilers[i][0], first,
                      second);
        assert_true(second < first + first / 10);
    }
}

/* In C++ every type goes through a task and comes back as in C, and what only C++ has works. */
MOB_TEST(cxx_programs_run)
{
    char line[8192];
    const char *flags = sanitizer();
    snprintf(line, sizeof line,
             "gcc -std=gnu11 %s-D_GNU_SOURCE -I. -Ilibclient/include -c tests/unit/plain_fake.c -o "
             "%s/fake.o",
             flags, work_dir);
    assert_int_equal(run(line), 0);
    for (size_t i = 2; i < COMPILERS; i++) {
        if (!is_installed(compilers[i][0]))
            continue;
        snprintf(line, sizeof line, "%s" STRICT "-c tests/unit/typed_values.cc -o %s/values.o",
                 compilers[i][1], work_dir);
        assert_int_equal(run(line), 0);
        snprintf(line, sizeof line,
                 "g++ %s-o %s/values %s/values.o %s/fake.o %s/libclient.a %s/libprotocol.a "
                 "$(pkg-config --libs msgpack) "
                 "-pthread && %s/values",
                 flags, work_dir, work_dir, work_dir, build_dir, build_dir, work_dir);
        assert_int_equal(run(line), 0);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    char *here = realpath(argv[0], NULL);
    if (here == NULL)
        return 1;
    int size = snprintf(build_dir, sizeof build_dir, "%s", here);
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
        cmocka_unit_test(right_programs_have_no_warning),
        cmocka_unit_test(example_of_the_header_works),
        cmocka_unit_test(nested_calls_compile_quickly),
        cmocka_unit_test(arguments_are_expanded_once),
        cmocka_unit_test(cxx_programs_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
