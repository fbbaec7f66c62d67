/* A pointer to text for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

int main(void)
{
    const char *list[2] = {"a", "b"};
#ifdef RIGHT
    mob_drop(mob_remote(shout, list[0]));
#else
    mob_drop(mob_remote(shout, list)); /* wrong */
#endif
    return 0;
}
