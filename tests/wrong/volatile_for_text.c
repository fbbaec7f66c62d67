/* A pointer to volatile char for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

int main(void)
{
    volatile char text[2] = "a";
#ifdef RIGHT
    mob_drop(mob_remote(shout, (char *)text));
#else
    mob_drop(mob_remote(shout, text)); /* wrong */
#endif
    return 0;
}
