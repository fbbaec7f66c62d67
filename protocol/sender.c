/* sender.c: the uid is checked first, since it cannot be forged; the token only narrows it further.
 */
#include "protocol/sender.h"

#include <inttypes.h>

static bool uid_allowed(const struct access *access, uint64_t uid)
{
    if (uid == 0 || uid == access->own_uid)
        return true;
    for (size_t i = 0; i < access->uid_count; i++)
        if (uid == access->uids[i])
            return true;
    return false;
}

/* Every byte is looked at, whatever the first ones say. */
static bool token_equal(struct view a, struct view b)
{
    const volatile uint8_t *x = a.data, *y = b.data;
    unsigned differ = a.size != b.size;
    for (size_t i = 0; i < a.size && i < b.size; i++)
        differ |= (unsigned)(x[i] ^ y[i]);
    return differ == 0;
}

int access_check(const struct access *access, const struct sender *sender, struct view token,
                 struct mob_err *err)
{
    bool remote = sender->uid == UINT64_MAX;
    if (remote && access->token.size == 0)
        return mob_err_set(
            err, MOB_EDENIED,
            "a connection that is not local needs a token, and this process has none");
    if (!remote && !uid_allowed(access, sender->uid))
        return mob_err_set(err, MOB_EDENIED,
                           "uid %" PRIu64 " may not connect; start with --uid %" PRIu64
                           " to allow it",
                           sender->uid, sender->uid);
    if (access->token.size != 0 && !token_equal(access->token, token))
        return mob_err_set(err, MOB_EDENIED, "the token is missing or wrong");
    return MOB_OK;
}
