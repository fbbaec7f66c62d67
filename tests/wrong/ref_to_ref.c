/* A reference to a reference for a value. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(keep, mob_remote(later)));
#else
    mob_drop(mob_remote(mean, mob_remote(later), 1.0)); /* wrong */
#endif
    return 0;
}
