/* A field that has another type than its struct. */
#include "tasks.h"

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
#else
MOB_FIELDS(size, (double, x), (float, y)); /* wrong */
#endif

int main(void)
{
    return 0;
}
