/* Two tasks of one name in a file. */
/* refused by: the language */
#include "tasks.h"

#ifdef RIGHT
MOB_TASK(double, another) { return 1; }
#else
MOB_TASK(double, zero) { return 1; } /* wrong */
#endif

int main(void)
{
    return 0;
}
