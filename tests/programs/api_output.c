/* api_output.c: what tasks print, as the driver's user and its callback see it. */
#include "tests/programs/check.h"

enum { LINES = 50, TASKS = 4 };

/* Lines in pieces: two tasks that run at once would mix theirs if anybody let them. */
MOB_TASK(int, chatter, (int, which))
{
    for (int i = 0; i < LINES; i++) {
        printf("task %d ", which);
        fflush(stdout);
        printf("line %d\n", i);
        fprintf(stderr, "problem %d ", which);
        fprintf(stderr, "of %d\n", i);
    }
    printf("no line end %d", which);
    return getpid();
}

MOB_TASK(int, long_line, (int, size))
{
    for (int i = 0; i < size; i++)
        putchar('a' + i % 26);
    putchar('\n');
    fflush(stdout);
    return (int)write(STDOUT_FILENO, "raw\n", 4);
}

static void talk(void)
{
    MOB_REF(int) refs[TASKS];
    int pids[TASKS];
    for (int i = 0; i < TASKS; i++)
        refs[i] = mob_remote(chatter, i);
    CHECK(mob_get_all(refs, TASKS, pids, SOON) == MOB_OK);
}

static void shown(void)
{
    START(.cpus = 2);
    talk();
    int n;
    CHECK(mob_take(mob_remote(long_line, 3000), &n, SOON) == MOB_OK && n == 4);
}

static void quiet(void)
{
    START(.cpus = 2, .quiet = 1);
    talk();
}

static int lines[3];
static bool wrong;

static void taken(const struct mob_output *o, void *user)
{
    bool whole = memchr(o->text, '\n', o->text_size) == NULL && o->text_size > 0;
    bool named =
        o->stream == 0 || (o->task != NULL && strcmp(o->task, "chatter") == 0 && o->process > 0);
    if (user != &wrong || o->size != sizeof *o || o->stream < 0 || o->stream > 2 || !whole ||
        !named)
        wrong = true;
    else
        lines[o->stream]++;
}

/* All lines of tasks have come when mob_shutdown has returned. */
static void callback(void)
{
    START(.cpus = 2, .output = taken, .output_user = &wrong);
    talk();
    mob_shutdown();
    CHECK(!wrong);
    if (lines[1] != TASKS * (LINES + 1) || lines[2] != TASKS * LINES)
        fprintf(stderr, "%d and %d lines\n", lines[1], lines[2]), exit(1);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        {"shown", shown}, {"quiet", quiet}, {"callback", callback}, {NULL, NULL}};
    return check_main(&argc, &argv, cases);
}
