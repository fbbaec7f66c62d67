/* Copying what is no reference. */
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
    r = mob_copy(r);
    (void)x;
#else
    (void)r;
    (void)mob_copy(x); /* wrong */
#endif
    return 0;
}
