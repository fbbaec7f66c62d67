/* A reference to a narrower integer. */
#include <mobula.h>

MOB_TASK(uint64_t, twice, (uint64_t, n))
{
    return 2 * n;
}
MOB_TASK(int32_t, narrow, (int32_t, n))
{
    return n;
}

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
