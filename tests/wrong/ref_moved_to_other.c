/* A moved reference to another type. */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(twice, mob_move(mob_remote(twice, 1))));
#else
    mob_drop(mob_remote(twice, mob_move(mob_remote(zero)))); /* wrong */
#endif
    return 0;
}
