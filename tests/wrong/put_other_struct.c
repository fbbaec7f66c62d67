/* Putting another struct. */
#include "tasks.h"

int main(void)
{
    size s = {1, 2};
    point p = {s.x, s.y};
#ifdef RIGHT
    mob_drop(mob_put(point, p));
#else
    (void)p;
    mob_drop(mob_put(point, s)); /* wrong */
#endif
    return 0;
}
