/* Waiting with an array of int where bool is wanted. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    int numbers[1];
    bool ready[1];
    MOB_REF(double) r[1] = {mob_remote(zero)};
    int rc;
#ifdef RIGHT
    rc = mob_wait(r, 1, 1, 0, ready);
    (void)numbers;
#else
    (void)ready;
    rc = mob_wait(r, 1, 1, 0, numbers); /* wrong */
#endif
    return rc;
}
