/*
 * token - what should stay whole when a text is cut: mentions, URLs, [text](url).
 *
 * Pure.  What is unfinished at the end counts as whole: more of the text may finish it.
 * Source: Discord docs, reference, message formatting.
 */
#ifndef WORKER_TOKEN_H
#define WORKER_TOKEN_H

#include "common/span.h"

/* Of one byte in the notes of a text. */
#define TOKEN_INSIDE	0x20	/* inside of something that should stay whole ... */
#define TOKEN_PART	0x40	/* ... and of a part of it that should, even if the rest cannot */
#define TOKEN_CODE	0x80	/* given: it is in a code fence, where there are no links */

struct token_text {
	struct span	 text;		/* as far as it is looked at */
	size_t		 start;		/* from here on */
	uint8_t		*notes;		/* of text.p[start] and what follows */
	uint64_t	*steps;		/* += bytes and code points looked at */
};

/* Adds TOKEN_INSIDE and TOKEN_PART to the notes of each byte before which a token would be cut. */
void	 token_find(const struct token_text *);

#endif
