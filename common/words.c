/*
 * words - see words.h.
 */
#include <stdlib.h>

#include "common/mem.h"
#include "common/words.h"

void
words_fini(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		mem_wipe_free(&w->v[i]);
	free(w->v);
	*w = (struct words){ NULL, 0 };
}

/* One word from *at on, without its quotes.  dst has room for all of the text. */
static const char *
take_word(const char **at, char *dst, size_t *n_r)
{
	const char	*p = *at;
	char		 quote = '\0';
	size_t		 n = 0;

	for (; *p != '\0' && (quote != '\0' || (*p != ' ' && *p != '\t')); p++) {
		if (quote == '\0' && (*p == '\'' || *p == '"')) {
			quote = *p;
		} else if (*p == quote) {
			quote = '\0';
		} else if (*p == '\\' && (quote == '\0' ||
		    (quote == '"' && (p[1] == '"' || p[1] == '\\')))) {
			if (*++p == '\0')
				return "ends with a backslash";
			dst[n++] = *p;
		} else {
			dst[n++] = *p;
		}
	}
	*at = p;
	*n_r = n;
	return quote == '\0' ? NULL : quote == '\'' ? "has a ' that is not closed" :
	    "has a \" that is not closed";
}

int
words_split(const char *text, struct words *w, const char **why_r)
{
	char		*word = mem_alloc(strlen(text) + 1);
	const char	*why = NULL;
	size_t		 n;

	*w = (struct words){ mem_array(1, sizeof(*w->v)), 0 };
	for (text += strspn(text, " \t"); *text != '\0' && why == NULL;
	     text += strspn(text, " \t")) {
		if (w->n == WORDS_MAX)
			why = "has too many words";
		else if ((why = take_word(&text, word, &n)) == NULL) {
			w->v = mem_grow(w->v, w->n + 2, sizeof(*w->v));
			w->v[w->n++] = mem_spandup(span_make(word, n));
			w->v[w->n] = NULL;
		}
	}
	mem_wipe_free(&word);
	if (why == NULL)
		return 0;
	words_fini(w);
	*why_r = why;
	return -1;
}
