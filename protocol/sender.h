/* sender.h: who sent a message, as the transport found out, and who may.
 * Handlers never take an identity from a body: a body can say anything. Owns nothing. Runs on: any
 * thread. Touches: no I/O. */
#ifndef MOB_PROTOCOL_SENDER_H
#define MOB_PROTOCOL_SENDER_H
#include "protocol/cursor.h"
#include "protocol/errors.h"

/* Attached by the transport to each frame. */
struct sender {
    uint64_t connection; /* unique within one life of the transport, never 0 */
    uint64_t uid;        /* of the other process; UINT64_MAX over tcp, where it is not known */
};

/* Who may say hello. Lent by the caller for as long as it is used. */
struct access {
    uint64_t own_uid; /* it and root are always allowed */
    const uint64_t *uids;
    size_t uid_count;
    struct view token; /* empty = none: then only local senders are allowed */
};

/* Whether the sender, whose hello carried `token`, may come in. MOB_EDENIED with the reason, which
 * tells nothing about the secret. Takes the same time for every wrong token of one length. */
int access_check(const struct access *access, const struct sender *sender, struct view token,
                 struct mob_err *err) MOB_MUST_CHECK;
#endif
