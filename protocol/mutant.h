/* mutant.h: deliberate bugs, to prove that the simulation finds bugs: `if (MUTANT(node_lease_kept)) return;`
 * Owns one number that a test sets before anything runs. In every build that ships MUTANT is the constant false. */
#ifndef MOB_PROTOCOL_MUTANT_H
#define MOB_PROTOCOL_MUTANT_H

enum mutant {
    MUTANT_none,
#define BUG(name, what) MUTANT_##name,
#include "protocol/mutants.def"
#undef BUG
    MUTANT_COUNT
};

#ifdef MOB_MUTANTS
extern enum mutant mutant_active;
#define MUTANT(name) (mutant_active == MUTANT_##name)
#else
#define MUTANT(name) false
#endif
#endif
