/* A pointer for a bool. */
#include <mobula.h>

MOB_TASK(bool, invert, (bool, b))
{
    return !b;
}

int main(void)
{
    int x = 1;
#ifdef RIGHT
    mob_drop(mob_remote(invert, &x != NULL));
#else
    mob_drop(mob_remote(invert, &x)); /* wrong */
#endif
    return 0;
}
