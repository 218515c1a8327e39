/*
 * recite - see recite.h.
 *
 * Two things are open at a time: the reply and, until the last word, one timer.  Whichever ends
 * last frees what they share.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "worker/echo/recite.h"

#define TICK_MS		50
#define WORDS_MAX	20000
#define RATE		20	/* words per second */
#define RATE_MAX	2000

struct recital {
	struct reply	*reply;		/* NULL: it is over */
	unsigned	 words, said;
	unsigned	 rate, owed;	/* owed: thousandths of a word */
	bool		 ticking;
};

static void
leave(struct recital *r)
{
	if (r->reply == NULL && !r->ticking)
		free(r);
}

static void
tick(struct scope *s, enum error error, void *arg)
{
	struct recital	*r = arg;
	char		 word[24];

	r->ticking = false;
	if (error == ERR_OK && r->reply != NULL) {
		r->owed += r->rate * TICK_MS;
		for (; r->owed >= 1000 && r->said < r->words; r->owed -= 1000) {
			snprintf(word, sizeof(word), "%sword%u", r->said == 0 ? "" : " ",
			    r->said + 1);
			r->said++;
			scope_stream_append(r->reply, span_of(word));
		}
		if (r->said == r->words)
			scope_stream_end(r->reply, 1, NULL);
		else
			r->ticking = scope_timer(s, TICK_MS, tick, r);
	}
	leave(r);
}

static void
told(struct scope *s, const struct msg_STREAM_STATE *m, void *arg)
{
	struct recital		*r = arg;
	struct msg_RESULT	 res = { .error = m->error, .why = m->why };

	if (m->state < 5)
		return;
	if (m->state == 7)
		scope_finish(s, &res);
	r->reply = NULL;
	leave(r);
}

bool
recite(struct scope *s, uint64_t channel, uint64_t message, const char *content)
{
	unsigned	 words = 0, rate = RATE;
	struct recital	*r;

	if (sscanf(content, " !stream %5u %4u", &words, &rate) < 1 || words == 0 ||
	    words > WORDS_MAX || rate == 0 || rate > RATE_MAX)
		return false;
	r = mem_alloc(sizeof(*r));
	r->words = words;
	r->rate = rate;
	r->reply = scope_stream_open(s, channel, message, 1, told, r);
	r->ticking = r->reply != NULL && scope_timer(s, TICK_MS, tick, r);
	leave(r);
	return true;
}
