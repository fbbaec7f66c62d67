/* A reference to a type that Mobula does not know in C. */
/* refused by: the language */
#include "tasks.h"

int main(void)
{
#ifdef RIGHT
    MOB_REF(point) r = mob_remote(mirror, ((point){1, 2}));
    mob_drop(r);
#else
    MOB_REF(unheard_of) r = mob_remote(mirror, ((point){1, 2})); /* wrong */
#endif
    return 0;
}
