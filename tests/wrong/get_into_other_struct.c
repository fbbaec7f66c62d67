/* Getting a struct into another one. */
#include "tasks.h"

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
