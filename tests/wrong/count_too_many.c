/* A call with an argument too many. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(twice, 1));
#else
    mob_drop(mob_remote(twice, 1, 2)); /* wrong */
#endif
    return 0;
}
