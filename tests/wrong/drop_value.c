/* Dropping what is no reference. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x = 0;
    MOB_REF(double) r = mob_remote(zero);
#ifdef RIGHT
    mob_drop(r);
    (void)x;
#else
    (void)r;
    mob_drop(x); /* wrong */
#endif
    return 0;
}
