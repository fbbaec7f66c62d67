/* main.c: the benchmark program: options, the parts in turn, the table and the JSON.
 *
 *     build/bench [--json FILE] [--quick] [--enforce] [--only FIGURE|PART] [--profile FIGURE
 * [--seconds N]] [--list]
 *
 * A worker of ours is this executable too: then mob_init, which does not return, is all that
 * happens here. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/clock.h"
#include "tests/bench/bench.h"

#include <mobula.h>

enum { REPORT_FD = 3, FIGURES_MAX = 64, ARGS_MAX = 16 };

struct options options = {.profile_s = 10};

static const struct part {
    const char *name;
    void (*run)(void);
    int timeout_s;
    const char *figures; /* between spaces */
} parts[] = {
    {"raw", part_raw, 60,
     " raw_zmq_ipc_round_trip raw_zmq_ipc_stream raw_futex_round_trip raw_ring_round_trip "
     "raw_ring_stream raw_memcpy "},
    {"tasks", part_tasks, 120,
     " single_client_tasks_sync single_client_tasks_async single_client_tasks_async_20k "
     "tasks_chain_link "
     "single_client_wait_1k_refs multi_client_tasks_async single_client_get_calls "
     "single_client_put_calls "
     "macro_call macro_submit "},
    {"queue", part_queue, 60, " tasks_queued_200k tasks_queued_bytes "},
    {"life", part_life, 60,
     " exec_to_first_result fork_to_ready_worker nested_call fib_18_one_cpu fib_18_workers "},
    {"store", part_store, 90, " get_256_mib put_256_mib "},
    {"rest", part_rest, 60, " pss_at_rest cpu_at_rest "},
};
enum { PARTS = sizeof parts / sizeof parts[0] };

static struct figure figures[FIGURES_MAX];
static unsigned figure_count;

static bool names(const char *list, const char *name)
{
    char word[NAME_MAX_BYTES + 2];
    snprintf(word, sizeof word, " %s ", name);
    return strstr(list, word) != NULL;
}

static const struct part *part_of(const char *figure)
{
    for (unsigned i = 0; i < PARTS; i++)
        if (names(parts[i].figures, figure) || strcmp(parts[i].name, figure) == 0)
            return &parts[i];
    return NULL;
}

bool wanted(const char *name)
{
    const char *only = options.profile != NULL ? options.profile : options.only;
    return only == NULL || strcmp(only, name) == 0 || strcmp(only, part_of(name)->name) == 0;
}

/* ---- a part, in a process of its own ---- */

static pid_t part_start(const struct part *part, int argc, char **argv, int *out)
{
    char *args[ARGS_MAX + 3];
    int ends[2];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    for (int i = 0; i < argc; i++)
        args[i] = argv[i];
    args[argc] = "--part";
    args[argc + 1] = (char *)(uintptr_t)part->name;
    args[argc + 2] = NULL;
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("pipe2: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], REPORT_FD);
    int error = posix_spawn(&pid, own_path(), &actions, NULL, args, environ);
    if (error != 0)
        fail("starting part %s: %s", part->name, strerror(error));
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *out = ends[0];
    return pid;
}

/* Read figures until the part has ended; false when it failed or took too long. */
static bool part_finish(const struct part *part, pid_t pid, int out)
{
    uint64_t deadline = clock_now_ms() + (uint64_t)part->timeout_s * 1000;
    char bytes[16 * 1024];
    size_t have = 0;
    ssize_t got = 1;
    while (got > 0) {
        uint64_t now = clock_now_ms();
        if (now >= deadline ||
            poll(&(struct pollfd){out, POLLIN, 0}, 1, (int)(deadline - now)) == 0) {
            fprintf(stderr, "bench: part %s is not done after %d s\n", part->name, part->timeout_s);
            kill(pid, SIGKILL);
            break;
        }
        got = read(out, bytes + have, sizeof bytes - 1 - have);
        have += got > 0 ? (size_t)got : 0;
    }
    bytes[have] = '\0';
    close(out);
    char *rest = bytes, *line;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0' && figure_count < FIGURES_MAX &&
            figure_parse(&figures[figure_count], line))
            snprintf(figures[figure_count++].part, sizeof figures[0].part, "%s", part->name);
    int status;
    waitpid(pid, &status, 0);
    return got == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int part_play(const char *name)
{
    end_with_parent();
    fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
    report_to(fdopen(REPORT_FD, "w"));
    part_of(name)->run();
    return 0;
}

/* ---- the table ---- */

static const char *number(double value, char text[24])
{
    if (isnan(value))
        return "-";
    int digits = fabs(value) >= 1000 ? 0 : fabs(value) >= 100 ? 1 : fabs(value) >= 1 ? 2 : 4;
    snprintf(text, 24, "%.*f", digits, value);
    return text;
}

static void table_head(void)
{
    printf("%-30s %12s %-6s %10s %8s  %-26s %9s  %s\n", "figure", "median", "unit", "deviation",
           "ratio", "limit", "", "floor");
}

static void table_row(const struct figure *f)
{
    char a[24], b[24], c[24], d[24], e[24];
    printf("%-30s %12s %-6s %10s %8s  %-26s %9s  ", f->name, number(f->value, a), f->unit,
           number(f->deviation, b), number(f->ratio, c), f->limit_name,
           f->limit_name[0] != '\0' ? number(f->limit, d) : "");
    if (f->kind != NO_FLOOR)
        printf("%s %s %s%s", f->missed ? "FAIL" : "pass",
               f->kind == AT_MOST ? "<=" : ">=", f->of == OF_RATIO ? "ratio " : "",
               number(f->floor, e));
    putchar('\n');
    if (f->beside_name[0] != '\0')
        printf("%-30s %12s %-6s %10s %8s  %-26s %9s\n", "", "", "", "", number(f->beside_ratio, c),
               f->beside_name, number(f->beside, d));
    if (f->note[0] != '\0')
        printf("    %s\n", f->note);
    fflush(stdout);
}

/* ---- JSON ---- */

static void json_number(FILE *file, const char *key, double value)
{
    if (isnan(value))
        fprintf(file, ", \"%s\": null", key);
    else
        fprintf(file, ", \"%s\": %.9g", key, value);
}

static void json_text(FILE *file, const char *key, const char *text)
{
    fprintf(file, ", \"%s\": \"", key);
    for (; *text != '\0'; text++)
        if ((unsigned char)*text >= ' ')
            fprintf(file, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fputc('"', file);
}

static void json_figure(FILE *file, const struct figure *f)
{
    fprintf(file, "  {\"name\": \"%s\"", f->name);
    json_number(file, "value", f->value);
    json_text(file, "unit", f->unit);
    json_number(file, "deviation", f->deviation);
    json_number(file, "limit", f->limit);
    json_number(file, "ratio", f->ratio);
    if (f->limit_name[0] != '\0')
        json_text(file, "limit_name", f->limit_name);
    if (f->beside_name[0] != '\0') {
        json_text(file, "beside_name", f->beside_name);
        json_number(file, "beside", f->beside);
        json_number(file, "beside_ratio", f->beside_ratio);
    }
    if (f->kind != NO_FLOOR) {
        json_number(file, f->kind == AT_MOST ? "at_most" : "at_least", f->floor);
        json_text(file, "floor_of", f->of == OF_RATIO ? "ratio" : "value");
        fprintf(file, ", \"pass\": %s", f->missed ? "false" : "true");
    }
    if (f->note[0] != '\0')
        json_text(file, "note", f->note);
    fputc('}', file);
}

static void json_write(const char *path, const double load[3])
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        fail("%s: %s", path, strerror(errno));
    fprintf(file,
            "{\"version\": \"%s\", \"unix_time\": %lld, \"quick\": %s, \"rounds\": %u, \"cpus\": "
            "%ld,\n",
            MOB_VERSION_TEXT, (long long)time(NULL), options.quick ? "true" : "false",
            options.rounds, sysconf(_SC_NPROCESSORS_ONLN));
    double after[3] = {0};
    getloadavg(after, 3);
    fprintf(file, " \"load_before\": [%.2f, %.2f, %.2f], \"load_after\": [%.2f, %.2f, %.2f],\n",
            load[0], load[1], load[2], after[0], after[1], after[2]);
    fputs(" \"results\": [\n", file);
    for (unsigned i = 0; i < figure_count; i++) {
        json_figure(file, &figures[i]);
        fputs(i + 1 < figure_count ? ",\n" : "\n", file);
    }
    fputs(" ]}\n", file);
    if (fclose(file) != 0)
        fail("%s: %s", path, strerror(errno));
}

/* ---- options ---- */

static void usage(void)
{
    fputs("usage: bench [--json FILE] [--quick] [--enforce] [--only FIGURE|PART] [--list]\n"
          "       bench --profile FIGURE [--seconds N]      run one figure again and again, in "
          "this process\n",
          stderr);
    exit(2);
}

static void list(void)
{
    for (unsigned i = 0; i < PARTS; i++)
        printf("%-6s%s\n", parts[i].name, parts[i].figures);
    exit(0);
}

static const char *options_read(int argc, char **argv)
{
    const char *part = NULL;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = argv[i + 1]; /* argv ends with NULL */
        if (strcmp(name, "--quick") == 0)
            options.quick = true;
        else if (strcmp(name, "--enforce") == 0)
            options.enforce = true;
        else if (strcmp(name, "--list") == 0)
            list();
        else if (value == NULL)
            usage();
        else if (strcmp(name, "--json") == 0)
            options.json = argv[++i];
        else if (strcmp(name, "--only") == 0)
            options.only = argv[++i];
        else if (strcmp(name, "--profile") == 0)
            options.profile = argv[++i];
        else if (strcmp(name, "--seconds") == 0)
            options.profile_s = strtod(argv[++i], NULL);
        else if (strcmp(name, "--part") == 0)
            part = argv[++i];
        else
            usage();
    }
    const char *one = options.profile != NULL ? options.profile : options.only;
    if (argc > ARGS_MAX || (one != NULL && part_of(one) == NULL)) {
        fprintf(stderr, "bench: there is no figure %s; --list names them\n",
                one != NULL ? one : "");
        exit(2);
    }
    options.rounds = options.quick ? 5 : 7;
    options.round_s = options.quick ? 0.025 : 0.3;
    return part;
}

static bool part_wanted(const struct part *part)
{
    return options.only == NULL || part_of(options.only) == part;
}

int main(int argc, char **argv)
{
    if (mob_is_worker())
        return mob_init(&argc, &argv, NULL) == MOB_OK ? 0 : 1;
    int status;
    if (role_play(argc, argv, &status))
        return status;
    const char *part = options_read(argc, argv);
    if (options.profile != NULL)
        return part_of(options.profile)->run(), 0;
    if (part != NULL)
        return part_play(part);

    double load[3] = {0};
    unsigned broken = 0, missed = 0, floors = 0;
    getloadavg(load, 3);
    printf("%ld cpus, load %.2f %.2f %.2f; medians of %u rounds or more\n",
           sysconf(_SC_NPROCESSORS_ONLN), load[0], load[1], load[2], options.rounds);
    table_head();
    fflush(stdout);
    for (unsigned i = 0; i < PARTS; i++) {
        if (!part_wanted(&parts[i]))
            continue;
        int out;
        unsigned before = figure_count;
        pid_t pid = part_start(&parts[i], argc, argv, &out);
        bool good = part_finish(&parts[i], pid, out);
        for (unsigned k = before; k < figure_count; k++) {
            table_row(&figures[k]);
            missed += figures[k].missed;
            floors += figures[k].kind != NO_FLOOR;
        }
        if (!good) {
            printf("%s: DID NOT END WELL\n", parts[i].name);
            broken++;
        }
    }
    if (options.json != NULL)
        json_write(options.json, load);
    printf("%u of %u floors reached%s\n", floors - missed, floors,
           broken > 0 ? "; some figures are missing" : "");
    return broken > 0 || (options.enforce && missed > 0) ? 1 : 0;
}
