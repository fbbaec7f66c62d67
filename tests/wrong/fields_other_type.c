/* A field that has another type than its struct. */
#include <mobula.h>

/* lint-allow: typedef: a struct as users have them */
typedef struct size {
    double x, y;
} size;

#ifdef RIGHT
MOB_FIELDS(size, (double, x), (double, y));
#else
MOB_FIELDS(size, (double, x), (float, y)); /* wrong */
#endif

int main(void)
{
    return 0;
}
