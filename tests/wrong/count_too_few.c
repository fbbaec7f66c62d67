/* A call with an argument too few. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(mean, 1.0, 2.0));
#else
    mob_drop(mob_remote(mean, 1.0)); /* wrong */
#endif
    return 0;
}
