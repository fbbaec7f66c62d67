/* messages.h: the messages of messages.def as C: structs, packers, bounded unpackers, printers.
 * Owns nothing: views in an unpacked message point into the frame. Runs on: any thread. Touches: no
 * I/O. A frame is a run of messages. Reading one: struct cursor c = cursor_of(data, size); while
 * (message_next(&c, &head)) { switch (head.number) ... msg_x_unpack(&c, &head, &m) ... } */
#ifndef MOB_PROTOCOL_MESSAGES_H
#define MOB_PROTOCOL_MESSAGES_H
#include "protocol/buffer.h"
#include "protocol/cursor.h"
#include "protocol/ids.h"

enum {
    PROTOCOL_VERSION = 1,
    MESSAGE_SIZE_MAX = 8 << 20, /* one message, and so one frame, on any transport */
    FRAME_SIZE_AIM = 16 << 10,  /* a frame is closed when it has grown past this */
};

enum value_kind {
    VALUE_INLINE = 1, /* the encoded value is in the message */
    VALUE_STORED,     /* in the arena: offset and size */
    VALUE_REF,        /* an argument that is the reference itself */
    VALUE_ERROR,      /* no value: the errors say why */
};

/* Who sends to whom. A message on another channel is refused before it is decoded. */
enum message_channel {
    CHANNEL_LINK,
    CHANNEL_REFUSE,
    CHANNEL_NODE_HEAD,
    CHANNEL_HEAD_NODE,
    CHANNEL_DRIVER_HEAD,
    CHANNEL_HEAD_DRIVER,
    CHANNEL_CLIENT_NODE,
    CHANNEL_NODE_CLIENT,
    CHANNEL_CLIENT_CLIENT,
    CHANNEL_ZYGOTE_NODE,
    CHANNEL_NODE_ZYGOTE,
};

/* `count` encoded items, one after the other; read them with msg_<item>_unpack_item on a cursor
 * over data. */
struct msg_list {
    uint32_t count;
    const void *data;
    size_t size;
};

/* The C type of each kind of field. */
#define FIELD_u64     uint64_t
#define FIELD_u32     uint32_t
#define FIELD_i64     int64_t
#define FIELD_boolean bool
#define FIELD_text    struct view
#define FIELD_bytes   struct view
#define FIELD_object  struct mob_object

#define F(kind, name, doc) FIELD_##kind name;
#define L(item, name, doc) struct msg_list name;
#define STRUCT(name, doc, fields)                                                                  \
    struct msg_##name {                                                                            \
        fields                                                                                     \
    };
#define MESSAGE(name, number, channel, doc, fields) STRUCT(name, doc, fields)
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE
#undef F
#undef L

#define STRUCT(name, doc, fields)
#define MESSAGE(name, number, channel, doc, fields) MSG_##name = (number),
enum message_number {
#include "protocol/messages.def"
};
#undef STRUCT
#undef MESSAGE

struct message_head {
    uint32_t number;
    uint32_t field_count; /* after the number */
    const uint8_t *start; /* first byte of the message */
};

/* Read the head of the next message; the one before was unpacked or skipped. False at the end of
 * the frame and on malformed bytes (c->failed tells). */
bool message_next(struct cursor *c, struct message_head *head);
/* Step over the body of a message that is not wanted. */
void message_skip(struct cursor *c, const struct message_head *head);
const char *message_name(uint32_t number); /* NULL for an unknown number */
bool message_allowed(uint32_t number,
                     enum message_channel channel); /* is it declared for that channel */

/* Append to `b`. MOB_ENOMEM appends nothing. */
#define STRUCT(name, doc, fields)                                                                  \
    int msg_##name##_pack_item(struct buffer *b, const struct msg_##name *m) MOB_MUST_CHECK;       \
    bool msg_##name##_unpack_item(struct cursor *c, struct msg_##name *m);
/* Unpack: false and c->failed on malformed bytes; unknown later fields are skipped. Print: one line
 * of text. */
#define MESSAGE(name, number, channel, doc, fields)                                                \
    int msg_##name##_pack(struct buffer *b, const struct msg_##name *m) MOB_MUST_CHECK;            \
    bool msg_##name##_unpack(struct cursor *c, const struct message_head *head,                    \
                             struct msg_##name *m);
#include "protocol/messages.def"
#undef STRUCT
#undef MESSAGE

/* One line about the message at `c` (its head was read), for traces: `task_run task=7 attempt=0
 * ...`. Returns the length, cut at size - 1. Does not move `c`. */
size_t message_print(const struct cursor *c, const struct message_head *head, char *text,
                     size_t size);
/* Append one well-formed message of each kind, fields filled from `seed`: seeds for fuzzing and for
 * tests. */
int message_seed(struct buffer *b, uint32_t number, uint64_t seed) MOB_MUST_CHECK;
/* The numbers in order: message_numbers()[i], ended by 0. */
const uint32_t *message_numbers(void);

static inline struct view view_of(const char *text)
{
    return (struct view){text, strlen(text)};
}
#endif
