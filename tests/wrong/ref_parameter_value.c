/* A value for a parameter that is a reference. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(keep, mob_put(double, 1)));
#else
    mob_drop(mob_remote(keep, 1.0)); /* wrong */
#endif
    return 0;
}
