/*
 * frames - parts of WebSocket messages in, whole messages out.
 *
 * Binary ones belong to the compressed stream where there is one; all others are plain.  A plain message
 * in one piece is handed on where it lies.  Pure but for memory.
 *
 * Owner: the connection; one life for each.
 */
#ifndef SUPERVISOR_FRAMES_H
#define SUPERVISOR_FRAMES_H

#include "common/mem.h"
#include "supervisor/gateway/inflate.h"

struct frames {
	size_t		 max_bytes;
	struct inflate	*inflate;	/* NULL: the connection is not compressed */
	struct buf	 gather;	/* a plain message in parts */
	uint64_t	 bytes;		/* of that message so far, kept or not */
	bool		 whole;		/* the message in gather has been handed out */
	bool		 packed;	/* the last part was of the compressed stream */
};

void	 frames_init(struct frames *, size_t message_max_bytes);
void	 frames_fini(struct frames *);
/* A connection begins: a new stream, nothing half gathered. */
void	 frames_begin(struct frames *, enum inflate_codec);
/*
 * One part.  message_r: with INFLATE_MESSAGE; valid until the next part and the next begin, of a
 * plain message in one piece as long as part is.
 */
enum inflate_result frames_feed(struct frames *, struct span part, bool last, bool binary,
    struct span *message_r);
/* Length of the message that was the last to be whole or oversized. */
uint64_t frames_message_bytes(const struct frames *);
/* After INFLATE_BROKEN: why; static text. */
const char *frames_why(const struct frames *);

#endif
