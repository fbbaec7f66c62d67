/* A long double, which is no type of Mobula. */
#include <mobula.h>

MOB_TASK(double, mean, (double, a), (double, b))
{
    return (a + b) / 2;
}

int main(void)
{
    long double wide = 1;
#ifdef RIGHT
    mob_drop(mob_remote(mean, (double)wide, 1));
#else
    mob_drop(mob_remote(mean, wide, 1)); /* wrong */
#endif
    return 0;
}
