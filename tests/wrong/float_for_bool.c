/* A floating value for a bool. */
#include <mobula.h>

MOB_TASK(bool, invert, (bool, b))
{
    return !b;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(invert, true));
#else
    mob_drop(mob_remote(invert, 1.0)); /* wrong */
#endif
    return 0;
}
