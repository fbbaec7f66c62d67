/* A call of a function that returns nothing as an argument. */
/* refused by: the language */
#include <mobula.h>

MOB_TASK(double, mean, (double, a), (double, b))
{
    return (a + b) / 2;
}

int main(void)
{
    double x = 1;
#ifdef RIGHT
    mob_drop(mob_remote(mean, x, x));
#else
    mob_drop(mob_remote(mean, x, mob_shutdown())); /* wrong */
#endif
    return 0;
}
