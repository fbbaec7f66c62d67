/* A pointer to void for text. */
#include "tasks.h"

int main(void)
{
    char text[2] = "a";
    void *p = text;
#ifdef RIGHT
    mob_drop(mob_remote(shout, (char *)p));
#else
    mob_drop(mob_remote(shout, p)); /* wrong */
#endif
    return 0;
}
