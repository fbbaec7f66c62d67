/* A result of a type that was not described. */
#include "tasks.h"

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
MOB_TASK(size, unit) { size s = {1, 1}; return s; }
#else
MOB_TASK(size, unit) { size s = {1, 1}; return s; } /* wrong */
#endif

int main(void)
{
    return 0;
}
