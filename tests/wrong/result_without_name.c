/* A reference to one of several results that does not exist. */
/* refused by: the language */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(zero));
#else
    mob_drop(mob_remote(zero).first); /* wrong */
#endif
    return 0;
}
