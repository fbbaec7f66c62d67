/* An argument for a task that takes none. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(zero));
#else
    mob_drop(mob_remote(zero, 1)); /* wrong */
#endif
    return 0;
}
