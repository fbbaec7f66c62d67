/* fence.h: the one full barrier that sleeping on shared memory needs.
 * Owns nothing. Runs on: any thread. Touches: no I/O. */
#ifndef MOB_PROTOCOL_FENCE_H
#define MOB_PROTOCOL_FENCE_H
#include <stdatomic.h>

/* Orders every store before it against every load after it: "I published, now is the other asleep?"
 * against "I say that I sleep, now is there anything?". Release and acquire do not give that order,
 * on x86 neither. */
static inline void fence_full(void)
{
    /* gcc notes that its thread sanitizer does not model fences. It need not: data passes from
     * thread to thread under release and acquire alone, the fence only decides who sees whose flag.
     */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    atomic_thread_fence(memory_order_seq_cst);
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}
#endif
