/* A reference to a double kept as one to a float. */
/* refused by: the language */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
#ifdef RIGHT
    MOB_REF(double) r = mob_remote(zero);
    mob_drop(r);
#else
    MOB_REF(float) r = mob_remote(zero); /* wrong */
#endif
    return 0;
}
