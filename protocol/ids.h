/* ids.h: who is who and what is what. Typed one-member structs by value: mixing two kinds does not
 * compile.
 *
 *   process  8 bytes: from a durable block counter of the head, never used again; 0 = none
 *   object  16 bytes: | owner's process id (8) | sequence number (8) |; sequence numbers start at 1
 *   task    16 bytes: the id of its first result; every task has at least one
 *   job, node, lease 8 bytes; 0 = none. A lease id never comes back within one life of its node.
 * Ids are no secrets: what a message names is checked against its sender's job. */
#ifndef MOB_PROTOCOL_IDS_H
#define MOB_PROTOCOL_IDS_H
#include <stdbool.h>
#include <stdint.h>

struct mob_process {
    uint64_t v;
};
struct mob_job {
    uint64_t v;
};
struct mob_node {
    uint64_t v;
};
struct mob_lease {
    uint64_t v;
};
struct mob_object {
    uint64_t owner;
    uint64_t seq;
};

static inline bool mob_object_equal(struct mob_object a, struct mob_object b)
{
    return a.seq == b.seq && a.owner == b.owner;
}
#endif
