/* A reference to a type that Mobula does not know in C. */
/* refused by: the language */
#include <mobula.h>

MOB_STRUCT(point, (double, x), (double, y));
MOB_TASK(point, mirror, (point, p))
{
    return p;
}

int main(void)
{
#ifdef RIGHT
    MOB_REF(point) r = mob_remote(mirror, ((point){1, 2}));
    mob_drop(r);
#else
    MOB_REF(unheard_of) r = mob_remote(mirror, ((point){1, 2})); /* wrong */
#endif
    return 0;
}
