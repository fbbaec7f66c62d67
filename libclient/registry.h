/* registry.h: the functions that this process can run as tasks.
 * Owns the copies that mob_function_register makes; the records of MOB_TASK are static in the
 * program. Bound: none but what the program defines. Runs on: any thread, and constructors, also
 * while a library is being opened. Touches: no I/O. Invariant: a record that is linked stays linked
 * and does not change, so readers need no lock. */
#ifndef MOB_LIBCLIENT_REGISTRY_H
#define MOB_LIBCLIENT_REGISTRY_H
#include <mobula.h>

#include "protocol/errors.h"

/* The function with that id, NULL if there is none (yet). One look into a table. */
const struct mob_function *registry_find(uint64_t id);
/* The function of that name, NULL if there is none. Looks at all of them. */
const struct mob_function *registry_find_name(const char *name);
/* All functions, last linked first: registry_next(NULL) is the first, after the last comes NULL. */
const struct mob_function *registry_next(const struct mob_function *after);
/* MOB_EDUPLICATE when two functions have one name, or two names one id; the text names both places.
 */
int registry_check(struct mob_err *err) MOB_MUST_CHECK;
/* The id of a function: the 64-bit FNV-1a hash of its name followed by its signature, as "area"
 * "(double)double". */
uint64_t registry_id(const char *name, const char *signature);
#endif
