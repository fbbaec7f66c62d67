/* A pointer to void for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

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
