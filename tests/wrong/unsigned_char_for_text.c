/* A pointer to unsigned char for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

int main(void)
{
    unsigned char raw[2] = "a";
#ifdef RIGHT
    mob_drop(mob_remote(shout, (char *)raw));
#else
    mob_drop(mob_remote(shout, raw)); /* wrong */
#endif
    return 0;
}
