/* A number for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(shout, "5"));
#else
    mob_drop(mob_remote(shout, 5)); /* wrong */
#endif
    return 0;
}
