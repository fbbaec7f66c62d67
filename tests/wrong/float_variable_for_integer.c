/* A float variable for an integer. */
#include <mobula.h>

MOB_TASK(int32_t, narrow, (int32_t, n))
{
    return n;
}

int main(void)
{
    float f = 1;
#ifdef RIGHT
    mob_drop(mob_remote(narrow, (int)f));
#else
    mob_drop(mob_remote(narrow, f)); /* wrong */
#endif
    return 0;
}
