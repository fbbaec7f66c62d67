/* mutant.h: deliberate bugs, switched on one at a time, that prove what the simulation finds.
 *
 *     if (worker->state == CLIENT_IDLE || MUTANT(n_two_leases))
 *
 * In the normal build MUTANT is false and nothing of it is left. With -DMOB_MUTANTS the bug whose
 * number is in mutant_on is alive; 0 = none. Owns mutant_on. Runs on: any thread; it is set before
 * the others start. Touches: no I/O. */
#ifndef MOB_PROTOCOL_MUTANT_H
#define MOB_PROTOCOL_MUTANT_H
#include <stdbool.h>

#ifdef MOB_MUTANTS
#define MUTANT(name, what) MUTANT_##name,
enum mutant {
    MUTANT_NONE,
#include "protocol/mutants.def"
    MUTANT_COUNT
};
#undef MUTANT
#define MUTANT(name) (mutant_on == MUTANT_##name)
extern int mutant_on;
/* Static strings for 1 <= mutant < MUTANT_COUNT: the name and what it breaks. */
const char *mutant_name(int mutant);
const char *mutant_text(int mutant);
#else
#define MUTANT(name) false
#endif
#endif
