/* Another struct with the same members. */
#include <mobula.h>

/* lint-allow: typedef: a struct as users have them */
typedef struct size {
    double x, y;
} size;
MOB_STRUCT(point, (double, x), (double, y));
MOB_TASK(point, mirror, (point, p))
{
    return p;
}

int main(void)
{
    size s = {1, 2};
    point p = {s.x, s.y};
#ifdef RIGHT
    mob_drop(mob_remote(mirror, p));
#else
    (void)p;
    mob_drop(mob_remote(mirror, s)); /* wrong */
#endif
    return 0;
}
