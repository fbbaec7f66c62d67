/* Getting from what is no reference. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x = 0;
    MOB_REF(double) r = mob_remote(zero);
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &x, 0);
#else
    (void)r;
    rc = mob_get(x, &x, 0); /* wrong */
#endif
    return rc;
}
