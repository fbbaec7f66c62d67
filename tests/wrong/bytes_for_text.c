/* Bytes for text. */
#include <mobula.h>

MOB_TASK(mob_text, shout, (mob_text, s))
{
    return s;
}

int main(void)
{
    mob_bytes b = mob_bytes_of("a", 2);
#ifdef RIGHT
    mob_drop(mob_remote(shout, (const char *)b.data));
#else
    mob_drop(mob_remote(shout, b)); /* wrong */
#endif
    return 0;
}
