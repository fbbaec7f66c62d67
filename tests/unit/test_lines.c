/* Bytes of a pipe become whole lines. */
#include "tests/support/test.h"

#include <unistd.h>

#include "node/lines.h"

struct sunk {
    char text[64 << 10];
    size_t size;
    unsigned calls;
};

static void sink(void *context, int stream, struct view lines)
{
    struct sunk *s = context;
    assert_int_equal(stream, 2);
    assert_true(s->size + lines.size <= sizeof s->text);
    memcpy(s->text + s->size, lines.data, lines.size);
    s->size += lines.size;
    s->calls++;
}

struct fixture {
    struct lines lines;
    struct sunk sunk;
    int out;
};

static void begin(struct fixture *f)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    memset(f, 0, sizeof *f);
    f->out = fds[1];
    lines_init(&f->lines, fds[0], 2, sink, &f->sunk);
}

static void end(struct fixture *f)
{
    lines_fini(&f->lines);
    if (f->out >= 0)
        close(f->out);
}

static void put(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->out, text, strlen(text)), strlen(text));
    assert_true(lines_read(&f->lines, 1000));
}

static bool sunk_is(const struct fixture *f, const char *text)
{
    return f->sunk.size == strlen(text) && memcmp(f->sunk.text, text, f->sunk.size) == 0;
}

/* What is not a whole line waits for its end, or for its time. */
MOB_TEST(lines_are_whole)
{
    struct fixture f;
    begin(&f);
    put(&f, "one\ntw");
    assert_true(sunk_is(&f, "one\n"));
    put(&f, "o\nthree\nfo");
    assert_true(sunk_is(&f, "one\ntwo\nthree\n"));
    assert_int_equal(f.lines.due_ms, 1000 + LINES_WAIT_MS);
    lines_tick(&f.lines, 1000 + LINES_WAIT_MS - 1);
    assert_true(sunk_is(&f, "one\ntwo\nthree\n"));
    lines_tick(&f.lines, 1000 + LINES_WAIT_MS);
    assert_true(sunk_is(&f, "one\ntwo\nthree\nfo"));
    assert_true(f.lines.due_ms == UINT64_MAX);
    end(&f);
}

/* A line without end is cut, and nothing of it is lost. */
MOB_TEST(long_line_is_cut)
{
    static struct fixture f;
    static char text[3 * LINES_SIZE_MAX];
    begin(&f);
    memset(text, 'x', sizeof text - 1);
    put(&f, text);
    assert_int_equal(f.sunk.calls, 2);
    assert_int_equal(f.sunk.size, 2 * LINES_SIZE_MAX);
    assert_true(buffer_size(&f.lines.rest) < LINES_SIZE_MAX);
    close(f.out);
    f.out = -1;
    assert_false(lines_read(&f.lines, 1000));
    lines_finish(&f.lines);
    assert_int_equal(f.sunk.size, sizeof text - 1);
    end(&f);
}

/* After the writer's death its last bytes are read, though others still hold the pipe. */
MOB_TEST(finish_reads_the_rest)
{
    struct fixture f;
    begin(&f);
    assert_int_equal(write(f.out, "a\nb", 3), 3);
    lines_finish(&f.lines);
    assert_true(sunk_is(&f, "a\nb"));
    end(&f);
}

/* The tail starts at a line, ends before what is to be skipped, and is bounded. */
MOB_TEST(tail_is_of_lines)
{
    static struct fixture f;
    char tail[LINES_TAIL_MAX];
    begin(&f);
    put(&f, "first\nsecond\n");
    assert_int_equal(lines_tail(&f.lines, 0, tail, sizeof tail), 13);
    assert_int_equal(lines_tail(&f.lines, 7, tail, sizeof tail), 6);
    assert_memory_equal(tail, "first\n", 6);
    assert_int_equal(lines_tail(&f.lines, 0, tail, 10), 7);
    assert_memory_equal(tail, "second\n", 7);
    assert_int_equal(lines_tail(&f.lines, 100, tail, sizeof tail), 0);
    for (int i = 0; i < 1000; i++)
        put(&f, "another\n");
    assert_int_equal(lines_tail(&f.lines, 0, tail, sizeof tail) % 8, 0);
    assert_memory_equal(tail, "another\n", 8);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_whole),
        cmocka_unit_test(long_line_is_cut),
        cmocka_unit_test(finish_reads_the_rest),
        cmocka_unit_test(tail_is_of_lines),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
