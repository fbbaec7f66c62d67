/* Taking a double into an integer. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x = 0;
    int64_t i = 0;
    MOB_REF(double) r = mob_remote(zero);
    int rc;
#ifdef RIGHT
    rc = mob_take(r, &x, 0);
    (void)i;
#else
    (void)x;
    rc = mob_take(r, &i, 0); /* wrong */
#endif
    return rc;
}
