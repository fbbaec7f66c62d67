/* A reference to a narrower integer. */
#include "tasks.h"

int main(void)
{
    MOB_REF(int32_t) n = mob_remote(narrow, 1);
    MOB_REF(uint64_t) w = mob_remote(twice, 1);
#ifdef RIGHT
    mob_drop(mob_remote(twice, w));
    (void)n;
#else
    (void)w;
    mob_drop(mob_remote(twice, n)); /* wrong */
#endif
    return 0;
}
