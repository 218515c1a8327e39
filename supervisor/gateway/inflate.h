/*
 * inflate - Discord's zlib-stream and zstd-stream: one stream over the whole connection, cut into
 * messages.
 *
 * zlib: the two header bytes are checked and the rest is inflated raw, which saves the checksum
 * that nobody could verify (the stream has no end).  A message ends where a WebSocket message ends
 * with 00 00 ff ff.
 * zstd: each WebSocket message is flushed whole and is one message.  What was cut off in it shows
 * as JSON that is none.  A window above INFLATE_ZSTD_WINDOW_LOG is refused before memory is taken
 * for it.
 * One context per connection: never reused, never reset.
 *
 * Owner: the connection.  Pure but for memory.
 * Source: Discord docs, events/gateway, transport compression.
 */
#ifndef SUPERVISOR_INFLATE_H
#define SUPERVISOR_INFLATE_H

#include "common/span.h"

enum inflate_result {
	INFLATE_BROKEN = -1,	/* no zlib stream,
	    or a bomb: the connection is lost; see inflate_why */
	INFLATE_MORE,		/* the message goes on */
	INFLATE_MESSAGE,	/* *message_r is whole */
	INFLATE_OVERSIZED,	/* it was longer than the cap and is gone; the context is intact */
};

/* Longer than so many caps a message counts as a bomb: time is bounded too. */
#define INFLATE_BOMB_CAPS	16
#define INFLATE_ZSTD_WINDOW_LOG	23	/* 8 MiB, what every decoder has to take (RFC 8878) */

enum inflate_codec { INFLATE_NONE, INFLATE_ZLIB, INFLATE_ZSTD };

struct inflate;

/* The codec is one of the two. */
struct inflate	*inflate_new(enum inflate_codec, size_t message_max_bytes);
void		 inflate_free(struct inflate **);
/*
 * Feed a part of a WebSocket message.
 *	last		the WebSocket message ends here
 *	message_r	set with INFLATE_MESSAGE; valid until the next call
 */
enum inflate_result inflate_feed(struct inflate *, struct span part, bool last,
    struct span *message_r);
/* Why it is broken; static text. */
const char	*inflate_why(const struct inflate *);
/* Bytes that the output buffer holds now. */
size_t		 inflate_held_bytes(const struct inflate *);
/* Length of the message that is being put together, or was last. */
uint64_t	 inflate_message_bytes(const struct inflate *);

#endif
