/* No argument for a task that takes one. */
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
    mob_drop(mob_remote(twice)); /* wrong */
#endif
    return 0;
}
