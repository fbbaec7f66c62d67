/* toy.h: a client made by hand, for tests of a real node: it speaks the messages and decides
 * nothing. Owns what it opens. Runs on: one thread. Touches: processes, sockets, shared memory.
 * Failing to do what is asked fails the test, or ends the worker with status 99. */
#ifndef MOB_TEST_SUPPORT_TOY_H
#define MOB_TEST_SUPPORT_TOY_H

#include "libclient/connection.h"
#include "protocol/outbox.h"

enum { TOY_PEERS_MAX = 32, TOY_MESSAGES_MAX = 256 };

#define TOY_ANY UINT64_MAX

/* One message that has come, copied. */
struct toy_message {
    uint32_t number;
    uint64_t from; /* 0: the node, else the process at the other end of the pair */
    struct buffer bytes;
};

struct toy_peer {
    struct connection_peer link;
    struct peer out;
    struct buffer in;
};

struct toy {
    struct connection connection;
    struct outbox outbox;
    struct peer node;
    struct buffer in;
    struct toy_peer *peers[TOY_PEERS_MAX];
    unsigned peer_count;
    struct toy_message messages[TOY_MESSAGES_MAX];
    unsigned message_count;
    uint64_t from; /* of the message that was taken last */
};

/* A hello that names this very program as the job's. `arguments` is NULL-terminated. Its lists live
 * until the next. */
struct msg_client_hello toy_hello(const char *const arguments[]);
/* Say hello on the node's local socket and wait for the answer; the code, and the text in `err`. */
int toy_greet(struct toy *toy, const char *local, const struct msg_client_hello *hello,
              struct mob_err *err) MOB_MUST_CHECK;
/* After zygote_run filled toy->connection. */
void toy_begin(struct toy *toy);
void toy_close(struct toy *toy);

/* toy_send(toy, &toy->node, lease_want, &m) */
#define toy_send(toy, peer, name, m) toy_sent((toy), (peer), peer_send((peer), name, (m)))
void toy_sent(struct toy *toy, struct peer *peer, int rc);
/* The other end of the pair with `process`; waits for its descriptors. */
struct toy_peer *toy_peer(struct toy *toy, uint64_t process);
/* Wait for the next message `number`, from the node (0), a process or TOY_ANY, and take it. False
 * after `timeout_ms`. `out` is valid until the next call. */
bool toy_take(struct toy *toy, uint32_t number, uint64_t from, int timeout_ms, struct cursor *c,
              struct message_head *head);

#endif
