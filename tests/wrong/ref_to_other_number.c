/* A reference to an integer for a double. */
#include "tasks.h"

int main(void)
{
    MOB_REF(uint64_t) n = mob_remote(twice, 1);
    MOB_REF(double) d = mob_remote(zero);
#ifdef RIGHT
    mob_drop(mob_remote(mean, d, d));
    (void)n;
#else
    (void)d;
    mob_drop(mob_remote(mean, n, 1)); /* wrong */
#endif
    return 0;
}
