/* A reference to another struct. */
#include <mobula.h>

MOB_STRUCT(point, (double, x), (double, y));
MOB_STRUCT(label, (mob_text, text), (point, at));
MOB_TASK(point, mirror, (point, p))
{
    return p;
}
MOB_TASK(label, move_label, (label, l))
{
    return l;
}

int main(void)
{
    MOB_REF(point) p = mob_put(point, ((point){1, 2}));
    MOB_REF(label) l = mob_remote(move_label, ((label){"a", {1, 2}}));
#ifdef RIGHT
    mob_drop(mob_remote(mirror, p));
    (void)l;
#else
    (void)p;
    mob_drop(mob_remote(mirror, l)); /* wrong */
#endif
    return 0;
}
