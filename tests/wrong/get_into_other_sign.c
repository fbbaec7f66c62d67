/* Getting an unsigned into a signed integer. */
#include <mobula.h>

MOB_TASK(uint64_t, twice, (uint64_t, n))
{
    return 2 * n;
}

int main(void)
{
    uint64_t u = 0;
    int64_t i = 0;
    MOB_REF(uint64_t) r = mob_remote(twice, 1);
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &u, 0);
    (void)i;
#else
    (void)u;
    rc = mob_get(r, &i, 0); /* wrong */
#endif
    return rc;
}
