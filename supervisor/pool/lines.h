/*
 * lines - what a worker writes to stderr, taken apart into lines and without secrets.
 *
 * Pure but for common/secret.  A line longer than LINES_PIECE comes in pieces, and a secret that lies
 * across such a cut is masked as one elsewhere: before a piece is cut off, LINES_AHEAD bytes behind
 * it are there, or the end of the line.
 */
#ifndef SUPERVISOR_LINES_H
#define SUPERVISOR_LINES_H

#include <stddef.h>

#include "common/secret.h"
#include "common/span.h"

#define LINES_PIECE	480u
#define LINES_AHEAD	SECRET_LONGEST
#define LINES_BYTES	(2u * LINES_AHEAD)	/* so that a line without end is not moved for each piece */

struct lines {
	char	 text[LINES_BYTES];
	size_t	 n;			/* of a line whose end has not come */
};

/* fn gets each piece: borrowed, 1 to LINES_PIECE bytes, without the end of the line. */
void	 lines_add(struct lines *, const char *p, size_t n, void (*fn)(void *, struct span), void *arg);
/* Nothing more will come: the rest, if there is one. */
void	 lines_end(struct lines *, void (*fn)(void *, struct span), void *arg);

#endif
