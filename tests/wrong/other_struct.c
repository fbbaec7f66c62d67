/* Another struct with the same members. */
#include "tasks.h"

int main(void)
{
    size s = {1, 2};
    point p = {s.x, s.y};
#ifdef RIGHT
    mob_drop(mob_remote(mirror, p));
#else
    (void)p;
    mob_drop(mob_remote(mirror, s)); /* wrong */
#endif
    return 0;
}
