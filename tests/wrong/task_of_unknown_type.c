/* A parameter of a type that was not described. */
#include "tasks.h"

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
MOB_TASK(double, area, (size, s)) { return s.x * s.y; }
#else
MOB_TASK(double, area, (size, s)) { return s.x * s.y; } /* wrong */
#endif

int main(void)
{
    return 0;
}
