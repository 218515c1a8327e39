/*
 * halves - characters that a server has cut in two.
 *
 * Pure.  Lone surrogates are no text, and jansson refuses the document; but a server that cuts its
 * output by UTF-16 units sends one half at the end of a delta and the other at the start of the
 * next.  They go through jansson as characters of the last private plane and are joined behind it.
 *
 * Owner: embedded in a codec.  Spans are borrowed until the next call.
 */
#ifndef WORKER_CHAT_HALVES_H
#define WORKER_CHAT_HALVES_H

#include "common/mem.h"
#include "common/span.h"

/* Zeroed is new. */
struct halves {
	struct buf	 mended, plain;
	unsigned	 waiting;	/* a high surrogate that waits for its other half; 0 none */
	bool		 hidden;	/* some are in this document */
};

void		 halves_fini(struct halves *);
/* A document in which no surrogate stands alone. */
struct span	 halves_hide(struct halves *, struct span json);
/* Text of that document as it is meant: joined, also with one of the text before, without NUL. */
struct span	 halves_join(struct halves *, struct span text);
/* The same for text beside the other one: what waits there goes on waiting. */
struct span	 halves_join_alone(struct halves *, struct span text);
/* Nothing more will come: a mark for what still waits, or nothing. */
struct span	 halves_end(struct halves *);

#endif
