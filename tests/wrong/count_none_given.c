/* No argument for a task that takes one. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(twice, 1));
#else
    mob_drop(mob_remote(twice)); /* wrong */
#endif
    return 0;
}
