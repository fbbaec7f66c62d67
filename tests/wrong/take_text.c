/* Taking text, whose view would end with the reference. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

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
