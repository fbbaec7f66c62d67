/* A wrong argument five calls deep. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(twice, mob_remote(twice, mob_remote(twice, mob_remote(twice, mob_remote(twice, 1))))));
#else
    mob_drop(mob_remote(twice, mob_remote(twice, mob_remote(twice, mob_remote(twice, mob_remote(twice, 1.5)))))); /* wrong */
#endif
    return 0;
}
