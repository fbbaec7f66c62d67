/* A pointer for a bool. */
#include "tasks.h"

int main(void)
{
    int x = 1;
#ifdef RIGHT
    mob_drop(mob_remote(invert, &x != NULL));
#else
    mob_drop(mob_remote(invert, &x)); /* wrong */
#endif
    return 0;
}
