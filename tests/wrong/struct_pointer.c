/* A pointer to a struct for the struct. */
#include <mobula.h>

MOB_STRUCT(point, (double, x), (double, y));
MOB_TASK(point, mirror, (point, p))
{
    return p;
}

int main(void)
{
    point p = {1, 2};
#ifdef RIGHT
    mob_drop(mob_remote(mirror, p));
#else
    mob_drop(mob_remote(mirror, &p)); /* wrong */
#endif
    return 0;
}
