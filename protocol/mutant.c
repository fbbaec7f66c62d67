/* mutant.c: which deliberate bug is switched on. */
#include "protocol/mutant.h"

#ifdef MOB_MUTANTS
enum mutant mutant_active = MUTANT_none;
#else
_Static_assert(MUTANT_none == 0, "no bug is switched on");
#endif
