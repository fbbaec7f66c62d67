/* Text for bytes. */
#include <mobula.h>

MOB_TASK(mob_bytes, pass, (mob_bytes, b))
{
    return b;
}

int main(void)
{
#ifdef RIGHT
    mob_drop(mob_remote(pass, mob_bytes_of("a", 1)));
#else
    mob_drop(mob_remote(pass, "a")); /* wrong */
#endif
    return 0;
}
