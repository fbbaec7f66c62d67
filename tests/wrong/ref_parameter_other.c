/* A reference to another type for a parameter that is a reference. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(keep, mob_remote(zero)));
#else
    mob_drop(mob_remote(keep, mob_remote(twice, 1))); /* wrong */
#endif
    return 0;
}
