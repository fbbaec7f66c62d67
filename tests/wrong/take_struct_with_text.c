/* Taking a struct with text inside. */
#include <mobula.h>

MOB_STRUCT(point, (double, x), (double, y));
MOB_STRUCT(label, (mob_text, text), (point, at));
MOB_TASK(label, move_label, (label, l))
{
    return l;
}

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
