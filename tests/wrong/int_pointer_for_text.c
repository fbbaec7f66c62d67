/* A pointer to int for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

int main(void)
{
    int i[2] = {1, 0};
#ifdef RIGHT
    mob_drop(mob_remote(shout, (char *)i));
#else
    mob_drop(mob_remote(shout, i)); /* wrong */
#endif
    return 0;
}
