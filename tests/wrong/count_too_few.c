/* A call with an argument too few. */
#include <mobula.h>

MOB_TASK(double, mean, (double, a), (double, b))
{
    return (a + b) / 2;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(mean, 1.0, 2.0));
#else
    mob_drop(mob_remote(mean, 1.0)); /* wrong */
#endif
    return 0;
}
