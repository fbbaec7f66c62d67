/* Getting into a pointer to void. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x = 0;
    void *p = &x;
    MOB_REF(double) r = mob_remote(zero);
    int rc;
#ifdef RIGHT
    rc = mob_get(r, (double *)p, 0);
#else
    rc = mob_get(r, p, 0); /* wrong */
#endif
    return rc;
}
