/* A struct for a number. */
#include "tasks.h"

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
