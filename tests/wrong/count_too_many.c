/* A call with an argument too many. */
#include <mobula.h>

MOB_TASK(uint64_t, twice, (uint64_t, n))
{
    return 2 * n;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(twice, 1));
#else
    mob_drop(mob_remote(twice, 1, 2)); /* wrong */
#endif
    return 0;
}
