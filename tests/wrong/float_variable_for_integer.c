/* A float variable for an integer. */
#include "tasks.h"

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
