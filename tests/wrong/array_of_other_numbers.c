/* An array of floats for one of doubles. */
#include <mobula.h>

MOB_TASK(mob_doubles, sort, (mob_doubles, d))
{
    return d;
}

int main(void)
{
    float data[1] = {1};
    double wide[1] = {(double)data[0]};
#ifdef RIGHT
    mob_drop(mob_remote(sort, mob_doubles_of(wide, 1)));
    (void)data;
#else
    (void)wide;
    mob_drop(mob_remote(sort, mob_floats_of(data, 1))); /* wrong */
#endif
    return 0;
}
