/* race.c: the two meet at a counter before and after each round, and start with a little skew that
 * changes from round to round, so that over many rounds each instruction of one meets each of the
 * other. */
#include "tests/support/race.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/support/test.h"

#define SKEW_MAX 64

struct course {
    const struct race *race;
    _Atomic uint32_t left_at, right_at; /* how many meetings each has come to */
    _Atomic uint32_t over;
};

static void meet(_Atomic uint32_t *mine, _Atomic uint32_t *other)
{
    uint32_t here = atomic_fetch_add(mine, 1) + 1;
    for (uint32_t tries = 0; (int32_t)(atomic_load(other) - here) < 0; tries++)
        if (tries > 200)
            sched_yield();
}

static void skew(uint32_t round, uint32_t period)
{
    for (volatile uint32_t i = round % period; i > 0; i--)
        continue;
}

static void *course_right(void *argument)
{
    struct course *course = argument;
    for (uint32_t round = 0;; round++) {
        meet(&course->right_at, &course->left_at);
        if (atomic_load(&course->over))
            return NULL;
        skew(round, SKEW_MAX - 1);
        course->race->right(course->race->context);
        meet(&course->right_at, &course->left_at);
    }
}

const char *race_run(const struct race *race, uint32_t rounds)
{
    struct course course = {.race = race};
    const char *wrong = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, course_right, &course), 0);
    for (uint32_t round = 0; round < rounds && wrong == NULL; round++) {
        meet(&course.left_at, &course.right_at);
        skew(round, SKEW_MAX);
        race->left(race->context);
        meet(&course.left_at, &course.right_at);
        wrong = race->judge(race->context);
    }
    atomic_store(&course.over, 1);
    meet(&course.left_at, &course.right_at);
    pthread_join(thread, NULL);
    return wrong;
}
