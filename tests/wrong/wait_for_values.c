/* Waiting for what are no references. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    double x[1] = {0};
    bool ready[1];
    MOB_REF(double) r[1] = {mob_remote(zero)};
    int rc;
#ifdef RIGHT
    rc = mob_wait(r, 1, 1, 0, ready);
    (void)x;
#else
    (void)r;
    rc = mob_wait(x, 1, 1, 0, ready); /* wrong */
#endif
    return rc;
}
