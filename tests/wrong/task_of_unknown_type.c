/* A parameter of a type that was not described. */
#include <mobula.h>

/* lint-allow: typedef: a struct as users have them */
typedef struct size {
    double x, y;
} size;

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
MOB_TASK(double, area, (size, s))
{
    return s.x * s.y;
}
#else
MOB_TASK(double, area, (size, s)) /* wrong */
{
    return s.x * s.y;
}
#endif

int main(void)
{
    return 0;
}
