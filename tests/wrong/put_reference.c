/* Putting a reference as its value. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    MOB_REF(double) r = mob_remote(zero);
#ifdef RIGHT
    mob_drop(mob_put(MOB_REF(double), r));
#else
    mob_drop(mob_put(double, r)); /* wrong */
#endif
    return 0;
}
