/* What is no struct mob_options as options. */
#include <mobula.h>

MOB_TASK(double, zero)
{
    return 0;
}

int main(void)
{
    struct mob_options options = MOB_OPTIONS_INIT;
#ifdef RIGHT
    mob_drop(mob_remote_with(&options, zero));
#else
    (void)options;
    mob_drop(mob_remote_with("retries=3", zero)); /* wrong */
#endif
    return 0;
}
