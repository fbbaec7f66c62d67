/* What tasks print reaches the driver. The program is tests/programs/api_output.c. */
#include "tests/support/test.h"

#include "tests/support/user.h"

enum { LINES = 50, TASKS = 4 };

/* The lines that have `middle` after "(chatter, worker PID) ", and nothing else in them. */
static int count_lines(const char *text, const char *format)
{
    int found = 0, pid, which, i, end;
    for (const char *line = text; line != NULL && *line != '\0';
         line = strchr(line, '\n'), line += line != NULL) {
        end = 0;
        if (sscanf(line, format, &pid, &which, &i, &end) >= 2 && end > 0 && line[end] == '\n')
            found++;
    }
    return found;
}

static int line_count(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* Every line of a task is there, whole, with the task in front, on the stream that it was written
 * to. */
MOB_TEST(whole_lines_with_the_task_in_front)
{
    struct program *p = user_start("api_output", "shown", NULL);
    assert_int_equal(program_wait(p, 30000), 0);
    const char *shown = program_stdout(p), *complaints = program_stderr(p);
    int out = count_lines(shown, "(chatter, worker %d) task %d line %d%n");
    int err = count_lines(complaints, "(chatter, worker %d) problem %d of %d%n");
    int rest = 0, which;
    for (const char *at = shown; (at = strstr(at, "no line end")) != NULL; at++)
        rest += sscanf(at, "no line end %d", &which);
    const char *row = strstr(shown, "abcdefgh");
    if (out != TASKS * LINES || err != TASKS * LINES || rest != TASKS)
        print_error("%d, %d, %d lines; stdout:\n%s\nstderr:\n%s", out, err, rest, shown,
                    complaints);
    assert_int_equal(out, TASKS * LINES);
    assert_int_equal(err, TASKS * LINES);
    assert_int_equal(rest, TASKS);
    assert_non_null(row);
    assert_true(strcspn(row, "\n") >= 3000);
    assert_true(row > shown + 2 && row[-1] == ' ' && row[-2] == ')');
    const char *raw = strstr(shown, ") raw\n");
    assert_non_null(raw);
    while (raw > shown && raw[-1] != '\n')
        raw--;
    assert_int_equal(strncmp(raw, "(long_line, worker ", strlen("(long_line, worker ")), 0);
    assert_int_equal(line_count(shown), TASKS * (LINES + 1) + 2);
    user_ends(p, 0);
}

/* With quiet nothing is shown. */
MOB_TEST(quiet_shows_nothing)
{
    struct program *p = user_start("api_output", "quiet", NULL);
    assert_int_equal(program_wait(p, 30000), 0);
    assert_string_equal(program_stdout(p), "");
    assert_string_equal(program_stderr(p), "");
    user_ends(p, 0);
}

/* The callback gets every line with task, stream and process, and nothing is printed. */
MOB_TEST(output_callback)
{
    struct program *p = user_start("api_output", "callback", NULL);
    assert_int_equal(program_wait(p, 30000), 0);
    assert_string_equal(program_stdout(p), "");
    user_ends(p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_lines_with_the_task_in_front),
        cmocka_unit_test(quiet_shows_nothing),
        cmocka_unit_test(output_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
