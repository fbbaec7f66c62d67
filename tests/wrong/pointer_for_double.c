/* A pointer to a double for a double. */
#include "tasks.h"

int main(void)
{
    double x = 1;
#ifdef RIGHT
    mob_drop(mob_remote(mean, x, x));
#else
    mob_drop(mob_remote(mean, x, &x)); /* wrong */
#endif
    return 0;
}
