/* pi.c: Monte Carlo pi. Each task throws darts at a square and counts those that hit the circle in
 * it.
 *
 *     pi [tasks] [darts for each]              default: 100 tasks of 1,000,000 */
#include <mobula.h>

#include <math.h>
#include <stdlib.h>

enum { TASKS_MAX = 10000 };

static double dart(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

MOB_TASK(uint64_t, hits, (uint64_t, seed), (uint64_t, darts))
{
    uint64_t inside = 0, state = seed * 0x9e3779b97f4a7c15u;
    for (uint64_t i = 0; i < darts; i++) {
        double x = dart(&state), y = dart(&state);
        inside += x * x + y * y < 1.0;
    }
    return inside;
}

int main(int argc, char **argv)
{
    if (mob_init(&argc, &argv, NULL) != MOB_OK)
        return mob_print_error(stderr), 1;
    size_t tasks = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    uint64_t darts = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000, inside = 0;
    static MOB_REF(uint64_t) refs[TASKS_MAX];
    static uint64_t results[TASKS_MAX];
    if (tasks < 1 || tasks > TASKS_MAX || darts < 1)
        return fprintf(stderr, "usage: pi [tasks, up to %d] [darts for each]\n", TASKS_MAX), 1;

    for (size_t i = 0; i < tasks; i++)
        refs[i] = mob_remote(hits, i + 1, darts);
    if (mob_get_all(refs, tasks, results, MOB_FOREVER) != MOB_OK)
        return mob_print_error(stderr), 1;
    for (size_t i = 0; i < tasks; i++) {
        inside += results[i];
        mob_drop(refs[i]);
    }

    double pi = 4.0 * (double)inside / ((double)tasks * (double)darts);
    printf("pi is about %.6f, off by %.6f, after %zu tasks\n", pi, fabs(pi - M_PI), tasks);
    mob_shutdown();
    return 0;
}
