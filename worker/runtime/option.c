/*
 * option - see option.h.
 */
#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/runtime/option.h"

bool
option_next(struct msg_list_iter *it, const char *name, struct span *word_r)
{
	struct span	 n;

	while (msg_list_more(it) && msg_list_next_str(it, &n) && msg_list_next_str(it, word_r))
		if (span_is(n, name) && word_r->n > 0)
			return true;
	return false;
}

char *
option_text(const struct msg_HELLO *h, const char *name)
{
	struct msg_list_iter	 it = { h->options.raw, 0 };
	struct span		 v;

	return option_next(&it, name, &v) ? mem_spandup(v) : NULL;
}

uint64_t
option_u64(const struct msg_HELLO *h, const char *name, uint64_t fallback)
{
	char		*text = option_text(h, name);
	uint64_t	 v = fallback;

	if (text != NULL && !span_u64(span_of(text), &v))
		log_warnx("option %s is no number: %s", name, text);
	free(text);
	return v;
}
