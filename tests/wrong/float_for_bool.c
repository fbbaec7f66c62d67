/* A floating value for a bool. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(invert, true));
#else
    mob_drop(mob_remote(invert, 1.0)); /* wrong */
#endif
    return 0;
}
