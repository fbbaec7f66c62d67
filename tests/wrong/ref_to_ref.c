/* A reference to a reference for a value. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}
MOB_TASK(double, mean, (double, a), (double, b))
{
    return (a + b) / 2;
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

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(keep, mob_remote(later)));
#else
    mob_drop(mob_remote(mean, mob_remote(later), 1.0)); /* wrong */
#endif
    return 0;
}
