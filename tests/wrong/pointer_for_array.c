/* A pointer to doubles for an array of doubles, which knows its length. */
#include <mobula.h>

MOB_TASK(mob_doubles, sort, (mob_doubles, d))
{
    return d;
}

int main(void)
{
    double data[1] = {1};
#ifdef RIGHT
    mob_drop(mob_remote(sort, mob_doubles_of(data, 1)));
#else
    mob_drop(mob_remote(sort, data)); /* wrong */
#endif
    return 0;
}
