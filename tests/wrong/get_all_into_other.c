/* Getting an array of doubles into one of floats. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x[2];
    float f[2];
    MOB_REF(double) r[2] = {mob_remote(zero), mob_remote(zero)};
    int rc;
#ifdef RIGHT
    rc = mob_get_all(r, 2, x, 0);
    (void)f;
#else
    (void)x;
    rc = mob_get_all(r, 2, f, 0); /* wrong */
#endif
    return rc;
}
