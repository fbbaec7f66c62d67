/* Getting all of what are no references. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x[2] = {0, 0};
    MOB_REF(double) r[2] = {mob_remote(zero), mob_remote(zero)};
    int rc;
#ifdef RIGHT
    rc = mob_get_all(r, 2, x, 0);
#else
    (void)r;
    rc = mob_get_all(x, 2, x, 0); /* wrong */
#endif
    return rc;
}
