/* A call of what is no task. */
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
    mob_drop(mob_remote(main)); /* wrong */
#endif
    return 0;
}
