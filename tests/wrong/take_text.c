/* Taking text, whose view would end with the reference. */
#include "tasks.h"

int main(void)
{
    mob_text s = NULL;
    MOB_REF(mob_text) r = mob_remote(shout, "a");
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &s, 0);
#else
    rc = mob_take(r, &s, 0); /* wrong */
#endif
    return rc;
}
