/* A reference to another type for a parameter that is a reference. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}
MOB_TASK(uint64_t, twice, (uint64_t, n))
{
    return 2 * n;
}
MOB_TASK(double, keep, (MOB_REF(double), r))
{
    mob_drop(r);
    return 0;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(keep, mob_remote(zero)));
#else
    mob_drop(mob_remote(keep, mob_remote(twice, 1))); /* wrong */
#endif
    return 0;
}
