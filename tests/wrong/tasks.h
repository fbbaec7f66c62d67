/* tasks.h: what the wrong programs call. */
#ifndef MOB_TESTS_WRONG_TASKS_H
#define MOB_TESTS_WRONG_TASKS_H
#include <mobula.h>

MOB_STRUCT(point, (double, x), (double, y));
MOB_STRUCT(label, (mob_text, text), (point, at));
typedef struct size {
    double x, y;
} size;

MOB_TASK(double, zero)
{
    return 0;
}
MOB_TASK(double, mean, (double, a), (double, b))
{
    return (a + b) / 2;
}
MOB_TASK(uint64_t, twice, (uint64_t, n))
{
    return 2 * n;
}
MOB_TASK(int32_t, narrow, (int32_t, n))
{
    return n;
}
MOB_TASK(bool, invert, (bool, b))
{
    return !b;
}
MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}
MOB_TASK(mob_bytes, pass, (mob_bytes, b))
{
    return b;
}
MOB_TASK(mob_doubles, sort, (mob_doubles, d))
{
    return d;
}
MOB_TASK(point, mirror, (point, p))
{
    return p;
}
MOB_TASK(label, move_label, (label, l))
{
    return l;
}
MOB_TASK(double, keep, (MOB_REF(double), r))
{
    mob_drop(r);
    return 0;
}
MOB_TASK(MOB_REF(double), later)
{
    return mob_remote(zero);
}
#endif
