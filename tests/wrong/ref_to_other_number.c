/* A reference to an integer for a double. */
#include <mobula.h>

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

int main(void)
{
    MOB_REF(uint64_t) n = mob_remote(twice, 1);
    MOB_REF(double) d = mob_remote(zero);
#ifdef RIGHT
    mob_drop(mob_remote(mean, d, d));
    (void)n;
#else
    (void)d;
    mob_drop(mob_remote(mean, n, 1)); /* wrong */
#endif
    return 0;
}
