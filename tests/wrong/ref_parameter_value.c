/* A value for a parameter that is a reference. */
#include <mobula.h>

MOB_TASK(double, keep, (MOB_REF(double), r))
{
    mob_drop(r);
    return 0;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(keep, mob_put(double, 1)));
#else
    mob_drop(mob_remote(keep, 1.0)); /* wrong */
#endif
    return 0;
}
