/* Taking a struct with text inside. */
#include "tasks.h"

int main(void)
{
    label l;
    MOB_REF(label) r = mob_remote(move_label, ((label){"a", {1, 2}}));
    int rc;
#ifdef RIGHT
    rc = mob_get(r, &l, 0);
#else
    rc = mob_take(r, &l, 0); /* wrong */
#endif
    return rc;
}
