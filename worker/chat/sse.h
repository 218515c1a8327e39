/*
 * sse - server-sent events, piece by piece.
 *
 * Pure.  Fed any split of the bytes it gives the same events.  Lines end with LF, CR or CRLF; a BOM
 * at the start, comments, id, retry and unknown fields are passed over; data lines are joined with
 * LF.  What it hands out is UTF-8: bytes that are none are replaced by U+FFFD.
 *
 * Unlike the standard it also hands out the last event when its blank line never came, marked
 * `cut`: some servers leave the line out, others died in the middle of it.
 *
 * Source: WHATWG HTML, server-sent events, 9.2.6.
 */
#ifndef WORKER_CHAT_SSE_H
#define WORKER_CHAT_SSE_H

#include "common/mem.h"
#include "common/span.h"

#define SSE_LINE_MAX	(1u << 20)	/* bytes, without its end */
#define SSE_EVENT_MAX	(4u << 20)	/* bytes of its data */
#define SSE_TOTAL_MAX	(32u << 20)	/* bytes of the stream */

enum sse_error { SSE_OK, SSE_ELINE, SSE_EEVENT, SSE_ETOTAL };

struct sse_event {
	struct span	 name;		/* empty: none was given */
	struct span	 data;
	bool		 cut;		/* the stream ended before its blank line */
};

struct sse {
	void		(*fn)(const struct sse_event *, void *arg);
	void		*arg;
	struct buf	 line, name, data;
	struct buf	 mended_name, mended_data;
	size_t		 total_bytes;
	size_t		 events_n, comments_n;
	unsigned	 bom_n;		/* bytes of the BOM seen; SSE_BOM_DONE: past it */
	bool		 after_cr;	/* an LF now belongs to the line before */
	bool		 has_data;
	enum sse_error	 error;		/* sticky: nothing is handed out after it */
};

/* fn may not feed; the event is borrowed for the call. */
void		 sse_init(struct sse *, void (*fn)(const struct sse_event *, void *arg), void *arg);
void		 sse_fini(struct sse *);
enum sse_error	 sse_feed(struct sse *, struct span);
enum sse_error	 sse_end(struct sse *);		/* no more bytes will come */
const char	*sse_error_text(enum sse_error);

/* in as UTF-8: into out (emptied first) when something had to be replaced, else in itself. */
struct span	 sse_mend(struct span in, struct buf *out);

#endif
