/* A call of what is no task. */
/* refused by: the language */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(zero));
#else
    mob_drop(mob_remote(main)); /* wrong */
#endif
    return 0;
}
