/* Getting into what is const. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x = 0;
    const double c = 0;
    MOB_REF(double) r = mob_remote(zero);
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &x, 0);
    (void)c;
#else
    (void)x;
    rc = mob_get(r, &c, 0); /* wrong */
#endif
    return rc;
}
