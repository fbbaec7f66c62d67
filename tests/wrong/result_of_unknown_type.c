/* A result of a type that was not described. */
#include <mobula.h>

/* lint-allow: typedef: a struct as users have them */
typedef struct size {
    double x, y;
} size;

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
MOB_TASK(size, unit)
{
    size s = {1, 1};
    return s;
}
#else
MOB_TASK(size, unit) /* wrong */
{
    size s = {1, 1};
    return s;
}
#endif

int main(void)
{
    return 0;
}
