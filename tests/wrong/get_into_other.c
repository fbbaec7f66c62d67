/* Getting a double into a float. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x = 0;
    float f = 0;
    MOB_REF(double) r = mob_remote(zero);
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &x, 0);
    (void)f;
#else
    (void)x;
    rc = mob_get(r, &f, 0); /* wrong */
#endif
    return rc;
}
