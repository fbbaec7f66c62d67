/* An array of integers for an integer. */
#include <mobula.h>

MOB_TASK(int32_t, narrow, (int32_t, n))
{
    return n;
}

int main(void)
{
    int32_t x[2] = {1, 2};
#ifdef RIGHT
    mob_drop(mob_remote(narrow, x[1]));
#else
    mob_drop(mob_remote(narrow, x)); /* wrong */
#endif
    return 0;
}
