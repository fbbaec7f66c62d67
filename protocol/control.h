/* control.h: packets with descriptors between the processes of one machine.
 * A control socket is a SOCK_SEQPACKET unix socket that a process and its node keep for as long as
 * both live. One packet carries one message as messages.def packs it, without a frame head, and the
 * descriptors that belong to it. It is used to hand over descriptors and to notice death, never for
 * work.
 *
 * A message too large for a packet (a long environment) goes in a memfd, as the packet's first
 * descriptor; receivers do not see the difference.
 *
 * Owns: a received packet owns its bytes and descriptors until they are taken. Bound:
 * CONTROL_SIZE_MAX bytes and CONTROL_FDS_MAX descriptors. Runs on: any thread, one at a time for
 * each socket and direction. Touches: sockets, memfd. All descriptors are close-on-exec. */
#ifndef MOB_PROTOCOL_CONTROL_H
#define MOB_PROTOCOL_CONTROL_H
#include <sys/types.h>

#include "protocol/messages.h"

enum { CONTROL_FDS_MAX = 16, CONTROL_SIZE_MAX = 4 << 20 };

struct control_packet {
    struct buffer bytes; /* of one message */
    int fds[CONTROL_FDS_MAX];
    unsigned fd_count;
};

/* Who is at the other end, as the kernel noted it when the two were joined. */
struct control_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

/* A pair that is joined already: one end to be inherited or passed on. MOB_ESYSTEM. */
int control_pair(int fds[2], struct mob_err *err) MOB_MUST_CHECK;
int control_peer_of(int fd, struct control_peer *out, struct mob_err *err) MOB_MUST_CHECK;

/* Send one packet; the descriptors stay the caller's. Never blocks: MOB_EAGAIN when the other side
 * does not read, MOB_EPEERDIED when it has gone, MOB_ETOOBIG, MOB_ESYSTEM. Nothing was sent then.
 */
int control_send(int fd, struct view message, const int *fds, unsigned fd_count,
                 struct mob_err *err) MOB_MUST_CHECK;

/* Wait up to `timeout_ms` (0 polls, -1 for ever) for a packet. `packet` is zeroed or was used
 * before; what was left in it is closed. MOB_ETIMEDOUT, MOB_EPEERDIED, MOB_EPROTO (too many
 * descriptors, too long), MOB_ESYSTEM. */
int control_receive(int fd, struct control_packet *packet, int timeout_ms,
                    struct mob_err *err) MOB_MUST_CHECK;
/* Hand out descriptor `index`: it is the caller's from now on; -1 if there is none. */
int control_packet_take(struct control_packet *packet, unsigned index);
/* Close what was not taken. A zeroed packet is fine. */
void control_packet_fini(struct control_packet *packet);
/* The message: its head, and a cursor at its fields. False if there is none or it is malformed. */
bool control_packet_read(const struct control_packet *packet, struct cursor *c,
                         struct message_head *head);
#endif
