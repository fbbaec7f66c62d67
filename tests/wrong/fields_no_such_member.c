/* A field that its struct does not have. */
/* refused by: the language */
#include "tasks.h"

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
#else
MOB_FIELDS(size, (double, x), (double, z)); /* wrong */
#endif

int main(void)
{
    return 0;
}
