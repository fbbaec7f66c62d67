/* The examples give right answers: the word count against a count of this file's own, the others
 * against what they must print. */
#include "tests/support/test.h"

#include "tests/support/tempdir.h"
#include "tests/support/user.h"

enum { BIG = 3 << 20, WORDS = 5 };

static struct program *example(const char *name, const char *a, const char *b)
{
    char path[64];
    snprintf(path, sizeof path, "examples/%s", name);
    char *full = user_path(path);
    struct program *p =
        program_start((const char *const[]){full, a, a != NULL ? b : NULL, NULL}, NULL);
    free(full);
    return p;
}

static void write_file(const char *dir, const char *name, const char *text, size_t size)
{
    char *path = tempdir_path(dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
    free(path);
}

/* Fill `text` with words of a few letters drawn by a fixed seed, and count those called w0 ... w4.
 */
static void make_text(char *text, size_t size, unsigned seed, unsigned *counts)
{
    size_t at = 0;
    while (at + 16 < size) {
        unsigned word = (unsigned)rand_r(&seed) % 1000;
        if (word < WORDS)
            counts[word]++;
        at +=
            (size_t)snprintf(text + at, 16, "w%u%c", word, " \n.;-("[(unsigned)rand_r(&seed) % 6]);
    }
    memset(text + at, ' ', size - at);
}

/* Files of all sizes, one larger than a chunk, one without a line end, one empty, one of bytes that
 * are no text: the count of each word is right, and --check finds the same. */
MOB_TEST(wordcount_is_right)
{
    const char *dir = tempdir_create();
    unsigned counts[WORDS] = {0};
    char *text = malloc(BIG), name[32];
    assert_non_null(text);
    make_text(text, BIG, 1, counts);
    write_file(dir, "big", text, BIG);
    for (unsigned i = 0; i < 50; i++) {
        make_text(text, 1000u + i * 997u, i + 2, counts);
        snprintf(name, sizeof name, "file%u", i);
        write_file(dir, name, text, 1000u + i * 997u);
    }
    write_file(dir, "zz", "w0", 2);
    write_file(dir, "zzz", "w0 w1", 5);
    counts[0] += 2, counts[1]++;
    write_file(dir, "empty", "", 0);
    write_file(dir, "bytes", "\0\1\377w2\0w2\200", 9);
    counts[2] += 2;
    free(text);
    struct program *p = example("wordcount", "--check", dir);
    assert_int_equal(program_wait(p, 60000), 0);
    assert_non_null(strstr(program_stdout(p), "a plain count in this process: the same"));
    user_ends(p, 0);
    /* The most frequent are printed: make these five the most frequent. */
    text = malloc(BIG);
    assert_non_null(text);
    size_t at = 0;
    for (unsigned w = 0; w < WORDS; w++)
        for (unsigned i = 0; i < 5000 + w; i++, counts[w]++)
            at += (size_t)snprintf(text + at, 16, "w%u\n", w);
    write_file(dir, "more", text, at);
    free(text);
    p = example("wordcount", dir, NULL);
    assert_int_equal(program_wait(p, 60000), 0);
    for (unsigned w = 0; w < WORDS; w++) {
        char line[64];
        snprintf(line, sizeof line, "%10u  w%u\n", counts[w], w);
        if (strstr(program_stdout(p), line) == NULL)
            fail_msg("no line \"%s\" in:\n%s", line, program_stdout(p));
    }
    user_ends(p, 0);
}

/* A directory that is not there is an error that names it, and leaves nothing behind. */
MOB_TEST(wordcount_without_files)
{
    struct program *p = example("wordcount", "/nowhere/at/all", NULL);
    assert_int_equal(program_wait(p, 20000), 1);
    assert_non_null(strstr(program_stderr(p), "/nowhere/at/all"));
    user_ends(p, 1);
}

/* Pi comes close, with the same darts each time. */
MOB_TEST(pi_comes_close)
{
    struct program *p = example("pi", "10", "100000");
    double pi = 0;
    assert_int_equal(program_wait(p, 20000), 0);
    assert_int_equal(sscanf(program_stdout(p), "pi is about %lf", &pi), 1);
    assert_true(pi > 3.13 && pi < 3.15);
    user_ends(p, 0);
}

/* A chain and a diamond come to what they must. */
MOB_TEST(graph_is_right)
{
    struct program *p = example("graph", NULL, NULL);
    assert_int_equal(program_wait(p, 20000), 0);
    assert_string_equal(
        program_stdout(p),
        "a chain of 1000 tasks counted to 1000\na diamond of 200 tasks came to 5050\n");
    user_ends(p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wordcount_is_right),
        cmocka_unit_test(wordcount_without_files),
        cmocka_unit_test(pi_comes_close),
        cmocka_unit_test(graph_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
