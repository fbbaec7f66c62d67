/* A pointer as a time-out. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x;
    MOB_REF(double) r = mob_remote(zero);
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &x, 500);
#else
    rc = mob_get(r, &x, &x); /* wrong */
#endif
    return rc;
}
