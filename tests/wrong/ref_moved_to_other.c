/* A moved reference to another type. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}
MOB_TASK(uint64_t, twice, (uint64_t, n))
{
    return 2 * n;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(twice, mob_move(mob_remote(twice, 1))));
#else
    mob_drop(mob_remote(twice, mob_move(mob_remote(zero)))); /* wrong */
#endif
    return 0;
}
