/*
 * msg - the messages of proto/messages.def as C.
 *
 * On the wire a message is one flat msgpack array [type, fields...].  Every field is checked
 * against its row; nothing may follow the last.  Pure.
 */
#ifndef COMMON_MSG_H
#define COMMON_MSG_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/mem.h"
#include "common/span.h"

/* A LIST field: rows * arity scalars in one bin; see msg_list_* below. */
struct msg_list {
	struct span	 raw;		/* the msgpack sequence; checked by msg_unpack */
};

#define MSG_RESERVED(name, number)
#define MSG_BEGIN(name, number, sender, help)	struct msg_##name {
#define U64(field, min, max, help)			uint64_t field;
#define STR(field, min, max, help)			struct span field;
#define BIN(field, min, max, help)			struct span field;
#define LIST(field, arity, max, help)			struct msg_list field;
#define MSG_END(name)				};
#include "proto/messages.def"
#undef MSG_RESERVED
#undef MSG_BEGIN
#undef U64
#undef STR
#undef BIN
#undef LIST
#undef MSG_END

enum msg_type {
#define MSG_RESERVED(name, number)		MSG_##name = number,
#define MSG_BEGIN(name, number, sender, help)	MSG_##name = number,
#define U64(field, min, max, help)
#define STR(field, min, max, help)
#define BIN(field, min, max, help)
#define LIST(field, arity, max, help)
#define MSG_END(name)
#include "proto/messages.def"
#undef MSG_RESERVED
#undef MSG_BEGIN
#undef U64
#undef STR
#undef BIN
#undef LIST
#undef MSG_END
};

enum msg_kind { MSG_KIND_U64, MSG_KIND_STR, MSG_KIND_BIN, MSG_KIND_LIST };

/* Who may send it; a message from the wrong side is refused by the receiver. */
enum msg_sender { MSG_FROM_SUPERVISOR, MSG_FROM_WORKER, MSG_FROM_EITHER, MSG_FROM_CTL,
    MSG_FROM_CTLD, MSG_FROM_CONFIG };

struct msg_field {
	const char	*name;
	enum msg_kind	 kind;
	size_t		 offset;	/* in the message's struct */
	uint64_t	 min;		/* LIST: arity */
	uint64_t	 max;		/* LIST: rows */
	const char	*help;
};

struct msg_def {
	enum msg_type		 type;
	const char		*name;
	enum msg_sender		 sender;
	const char		*help;
	const struct msg_field	*fields;	/* NULL for a reserved number */
	size_t			 fields_n;
};

const struct msg_def	*msg_def(unsigned type);	/* NULL when there is no such number */
const struct msg_def	*msg_defs(size_t *n_r);		/* all, in the order of the table */
const char		*msg_name(unsigned type);	/* "?" when unknown */

struct msg_in {
	enum msg_type	 type;
	/* after a failure: names message and field; static storage, next call overwrites */
	const char	*why;
	union {
#define MSG_RESERVED(name, number)
#define MSG_BEGIN(name, number, sender, help)	struct msg_##name name;
#define U64(field, min, max, help)
#define STR(field, min, max, help)
#define BIN(field, min, max, help)
#define LIST(field, arity, max, help)
#define MSG_END(name)
#include "proto/messages.def"
#undef MSG_RESERVED
#undef MSG_BEGIN
#undef U64
#undef STR
#undef BIN
#undef LIST
#undef MSG_END
	};
};

/*
 * Decode one frame.
 *	frame	borrowed; spans in in_r point into it and live as long
 *	zone	scratch for msgpack; the caller clears it when done
 * 0, or -1 for a frame this build does not accept (in_r->why).  Never logs, never exits.
 */
int	 msg_unpack(struct span frame, msgpack_zone *zone, struct msg_in *in_r);

/*
 * Append the payload of one message to out.  src is the struct of that type.
 * 0, or -1 with out unchanged when a field is out of range: a fault of the caller (*why_r may be
 * NULL).
 */
int	 msg_pack(struct buf *out, enum msg_type, const void *src, const char **why_r);

/*
 * Lists.  Build: a zeroed buf, msg_list_u64/str per scalar in column order, msg_list_of(&buf).
 * Read: struct msg_list_iter it = { list.raw, 0 }; per row read arity scalars.  After msg_unpack
 * a list is known to be whole rows of scalars; a column of the wrong kind reads as false.
 */
struct msg_list_iter {
	struct span	 raw;
	size_t		 off;
};
void	 msg_list_u64(struct buf *, uint64_t);
void	 msg_list_str(struct buf *, struct span);
struct msg_list msg_list_of(const struct buf *);
bool	 msg_list_more(const struct msg_list_iter *);
bool	 msg_list_next_u64(struct msg_list_iter *, uint64_t *v_r);
bool	 msg_list_next_str(struct msg_list_iter *, struct span *v_r);

/* The protocol as markdown, made from the table: `bulkheadd -x proto`. */
void	 msg_document(struct buf *out);

#endif
