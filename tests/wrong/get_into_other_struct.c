/* Getting a struct into another one. */
#include <mobula.h>

/* lint-allow: typedef: a struct as users have them */
typedef struct size {
    double x, y;
} size;
MOB_STRUCT(point, (double, x), (double, y));

int main(void)
{
    point p;
    size s;
    MOB_REF(point) r = mob_put(point, ((point){1, 2}));
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &p, 0);
    (void)s;
#else
    (void)p;
    rc = mob_get(r, &s, 0); /* wrong */
#endif
    return rc;
}
