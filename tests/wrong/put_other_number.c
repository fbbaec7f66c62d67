/* Putting a floating value as an integer. */
#include <mobula.h>

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_put(int64_t, 1));
#else
    mob_drop(mob_put(int64_t, 1.5)); /* wrong */
#endif
    return 0;
}
