/*
 * words - a command line cut into words, quoted as for a shell, and nothing else of a shell.
 *
 * Blanks part words.  'text' stands for itself; in "text" a backslash takes the meaning from the
 * quote or backslash behind it; outside of quotes from any character.  Nothing is expanded: $ * ~
 * ; | & are letters like others.
 *
 * Pure.  Owner: who called words_split, until words_fini.
 */
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

#include "common/span.h"

#define WORDS_MAX	256

struct words {
	char	**v;		/* v[n] is NULL, as exec wants it */
	size_t	  n;
};

/* 0, or -1 with a sentence and nothing to free. */
int	 words_split(const char *text, struct words *, const char **why_r);
void	 words_fini(struct words *);	/* wipes; zeroed is valid */

#endif
