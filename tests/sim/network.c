/* network.c: the way between a node and the head. Packets are lost, repeated, delayed and thereby
 * reordered, and for a time cut off in one or both directions. After the last fault nothing is lost
 * any more, only delayed. */
#include "tests/sim/sim.h"

#include <stdlib.h>

struct packet {
    struct process *from;
    uint64_t connection;
    size_t size;
    uint8_t bytes[];
};

static void on_packet(struct sim *s, const struct event *e)
{
    const struct packet *p = e->owned;
    daemons_packet(s, e->process, p->from, p->connection, (struct view){p->bytes, p->size});
}

static void packet_post(struct sim *s, struct process *from, struct process *to, struct view bytes)
{
    struct packet *p = calloc(1, sizeof *p + bytes.size);
    sim_need(s, p);
    p->from = from;
    p->connection = daemons_connection(s);
    p->size = bytes.size;
    if (bytes.size != 0)
        memcpy(p->bytes, bytes.data, bytes.size);
    uint64_t delay = random_skewed(&s->random, 20 * US, s->weather.packet_delay_ns);
    sim_after(s, delay, (struct event){.run = on_packet, .process = to, .owned = p});
}

void network_send(struct sim *s, struct process *from, struct process *to, struct view packet)
{
    int way = from->kind == PROCESS_NODE ? 0 : 1;
    if (!to->alive || s->cut_until[way] > s->now_ns) {
        TRACE(s, from, "packet of %zu bytes to %s is cut off", packet.size, to->name);
        return;
    }
    bool faults = !faults_over(s);
    if (faults && random_chance(&s->random, s->weather.lose)) {
        TRACE(s, from, "packet of %zu bytes to %s is lost", packet.size, to->name);
        return;
    }
    packet_post(s, from, to, packet);
    while (faults && random_chance(&s->random, s->weather.repeat)) {
        TRACE(s, from, "packet of %zu bytes to %s is repeated", packet.size, to->name);
        packet_post(s, from, to, packet);
    }
}
