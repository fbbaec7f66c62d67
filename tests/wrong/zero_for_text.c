/* The literal 0, which in C would be a null pointer, for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(shout, (mob_text)NULL));
#else
    mob_drop(mob_remote(shout, 0)); /* wrong */
#endif
    return 0;
}
