/* mutant.c: the switch and the table; empty in the normal build. */
#include "protocol/mutant.h"

#ifdef MOB_MUTANTS
#undef MUTANT
int mutant_on;

#define MUTANT(name, what) {#name, what},
static const struct {
    const char *name, *text;
} rows[] = {
    {"none", "nothing"},
#include "protocol/mutants.def"
};

const char *mutant_name(int mutant)
{
    return rows[mutant].name;
}

const char *mutant_text(int mutant)
{
    return rows[mutant].text;
}
#else
_Static_assert(!MUTANT(any), "the normal build has no deliberate bugs");
#endif
