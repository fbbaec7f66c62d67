/* measure.c: rounds in turn, so that a figure and its limit meet the same weather, and what is made
 * of them. The ratio to a limit is the median of the rounds' ratios: a slow minute slows both
 * halves of a round and leaves their ratio alone. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/clock.h"
#include "tests/bench/bench.h"

static FILE *out;

void report_to(FILE *stream)
{
    out = stream;
}

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}

static double round_checked(struct series *s)
{
    double value = s->round(s->context);
    if (!(value >= 0))
        fail("%s: a round failed", s->name);
    return value;
}

static void profile(struct series *s)
{
    uint64_t start = clock_now_ns();
    unsigned rounds = 0;
    do {
        s->values[rounds % ROUNDS_MAX] = round_checked(s);
        s->count = ++rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    } while (seconds_between(start, clock_now_ns()) < options.profile_s);
    printf("%s: median of %u rounds %.4g %s\n", s->name, s->count, series_median(s), s->unit);
    exit(0);
}

void measure(const struct group *group)
{
    unsigned rounds = group->rounds != 0 ? group->rounds : options.rounds;
    for (unsigned i = 0; options.profile != NULL && i < GROUP_MAX && group->series[i] != NULL; i++)
        if (strcmp(group->series[i]->name, options.profile) == 0)
            profile(group->series[i]);
    if (options.profile != NULL)
        return;
    unsigned count = 0;
    while (count < GROUP_MAX && group->series[count] != NULL)
        count++;
    for (unsigned i = 0; i < count && !group->no_warm_up; i++)
        round_checked(group->series[i]);
    for (unsigned r = 0; r < rounds; r++)
        for (unsigned i = 0; i < count; i++) {
            struct series *s = group->series[group->fixed_order || r % 2 == 0 ? i : count - 1 - i];
            s->values[s->count++] = round_checked(s);
        }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const double *values, unsigned count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, by_value);
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double series_median(const struct series *s)
{
    return s->count > 0 ? median_of(s->values, s->count) : NAN;
}

static double deviation_of(const struct series *s)
{
    double mean = 0, squares = 0;
    for (unsigned i = 0; i < s->count; i++)
        mean += s->values[i] / s->count;
    for (unsigned i = 0; i < s->count; i++)
        squares += (s->values[i] - mean) * (s->values[i] - mean) / s->count;
    return sqrt(squares);
}

static double ratio_of(const struct series *s, const struct series *limit)
{
    if (s->count != limit->count)
        return series_median(s) / series_median(limit);
    double ratios[ROUNDS_MAX];
    for (unsigned i = 0; i < s->count; i++)
        ratios[i] = s->values[i] / limit->values[i];
    return median_of(ratios, s->count);
}

/* How much of the baseline machine's speed this one has now: 1 at most. */
static double weather_of(const struct floor *floor)
{
    if (floor->weather == NULL || floor->of == OF_RATIO)
        return 1;
    double now = series_median(floor->weather);
    double speed = floor->weather_is_rate ? now / floor->baseline : floor->baseline / now;
    return speed < 1 ? speed : 1;
}

static void send(const struct series *s, const struct floor *floor, const struct series *limit,
                 const struct series *beside, const char *note)
{
    static const struct floor none = {.kind = NO_FLOOR};
    if (options.profile != NULL || out == NULL)
        return;
    const struct floor *f = floor != NULL ? floor : &none;
    double value = series_median(s), ratio = limit != NULL ? ratio_of(s, limit) : NAN;
    double speed = weather_of(f), held = f->of == OF_RATIO ? ratio : value;
    double bound = f->kind == AT_MOST ? f->value / speed : f->value * speed;
    bool missed = f->kind == AT_MOST ? !(held <= bound) : f->kind == AT_LEAST && !(held >= bound);
    fprintf(out, "%s\t%s\t%.9g\t%.9g\t%s\t%.9g\t%.9g\t%s\t%.9g\t%.9g\t%d\t%d\t%.9g\t%d\t%s\n",
            s->name, s->unit, value, deviation_of(s), limit != NULL ? limit->name : "",
            limit != NULL ? series_median(limit) : NAN, ratio, beside != NULL ? beside->name : "",
            beside != NULL ? series_median(beside) : NAN,
            beside != NULL ? ratio_of(s, beside) : NAN, (int)f->kind, (int)f->of, bound,
            (int)missed, note);
    fflush(out);
}

void report(const struct series *s, const struct floor *floor, const struct series *limit,
            const struct series *beside)
{
    send(s, floor, limit, beside, "");
}

void report_noted(const struct series *s, const struct floor *floor, const struct series *limit,
                  const struct series *beside, const char *format, ...)
{
    char note[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(note, sizeof note, format, args);
    va_end(args);
    send(s, floor, limit, beside, note);
}

static void text_field(char **line, char *text, size_t size)
{
    const char *field = strsep(line, "\t\n");
    snprintf(text, size, "%s", field != NULL ? field : "");
}

static double number_field(char **line)
{
    const char *field = strsep(line, "\t\n");
    return field != NULL ? strtod(field, NULL) : NAN;
}

bool figure_parse(struct figure *f, char *line)
{
    *f = (struct figure){0};
    text_field(&line, f->name, sizeof f->name);
    text_field(&line, f->unit, sizeof f->unit);
    f->value = number_field(&line);
    f->deviation = number_field(&line);
    text_field(&line, f->limit_name, sizeof f->limit_name);
    f->limit = number_field(&line);
    f->ratio = number_field(&line);
    text_field(&line, f->beside_name, sizeof f->beside_name);
    f->beside = number_field(&line);
    f->beside_ratio = number_field(&line);
    f->kind = (int)number_field(&line);
    f->of = (int)number_field(&line);
    f->floor = number_field(&line);
    f->missed = number_field(&line) > 0;
    if (line == NULL)
        return false;
    text_field(&line, f->note, sizeof f->note);
    return true;
}
