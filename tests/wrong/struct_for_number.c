/* A struct for a number. */
#include <mobula.h>

MOB_STRUCT(point, (double, x), (double, y));
MOB_TASK(double, mean, (double, a), (double, b))
{
    return (a + b) / 2;
}

int main(void)
{
    point p = {1, 2};
#ifdef RIGHT
    mob_drop(mob_remote(mean, p.x, p.y));
#else
    mob_drop(mob_remote(mean, p, 1)); /* wrong */
#endif
    return 0;
}
