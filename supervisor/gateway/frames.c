/*
 * frames - parts of WebSocket messages in, whole messages out.
 */
#include <string.h>

#include "supervisor/gateway/frames.h"

#define GATHER_KEEP_BYTES	(1u << 20)

void
frames_init(struct frames *f, size_t message_max_bytes)
{
	memset(f, 0, sizeof(*f));
	f->max_bytes = message_max_bytes;
}

static void
forget_gathered(struct frames *f)
{
	buf_reset(&f->gather);
	buf_shrink(&f->gather, GATHER_KEEP_BYTES);
	f->bytes = 0;
	f->whole = false;
}

void
frames_fini(struct frames *f)
{
	inflate_free(&f->inflate);
	buf_fini(&f->gather);
}

void
frames_begin(struct frames *f, enum inflate_codec codec)
{
	inflate_free(&f->inflate);
	if (codec != INFLATE_NONE)
		f->inflate = inflate_new(codec, f->max_bytes);
	forget_gathered(f);
	f->packed = false;
}

static enum inflate_result
feed_plain(struct frames *f, struct span part, bool last, struct span *message_r)
{
	bool	 alone;

	if (f->whole)
		forget_gathered(f);
	alone = last && f->bytes == 0;
	f->bytes += part.n;
	f->whole = last;
	if (f->bytes > f->max_bytes) {
		buf_reset(&f->gather);
		return last ? INFLATE_OVERSIZED : INFLATE_MORE;
	}
	if (!alone)
		buf_add_span(&f->gather, part);
	if (!last)
		return INFLATE_MORE;
	*message_r = alone ? part : buf_span(&f->gather);
	return INFLATE_MESSAGE;
}

enum inflate_result
frames_feed(struct frames *f, struct span part, bool last, bool binary, struct span *message_r)
{
	f->packed = binary && f->inflate != NULL;
	return f->packed ? inflate_feed(f->inflate, part, last, message_r) :
	    feed_plain(f, part, last, message_r);
}

uint64_t
frames_message_bytes(const struct frames *f)
{
	return f->packed ? inflate_message_bytes(f->inflate) : f->bytes;
}

const char *
frames_why(const struct frames *f)
{
	return inflate_why(f->inflate);
}
