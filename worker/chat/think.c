/*
 * think - see think.h.
 */
#include <string.h>

#include "worker/chat/field.h"
#include "worker/chat/think.h"

#define LEAD_MAX	4096	/* blanks before a <think>; more are text */

static void
give_text(struct think *k, struct span s)
{
	if (s.n == 0)
		return;
	k->spoke = true;
	if (k->ops.text != NULL)
		k->ops.text(k->arg, s);
}

static void
give_reasoning(struct think *k, struct span s)
{
	if (s.n > 0 && k->ops.reasoning != NULL)
		k->ops.reasoning(k->arg, s);
}

/* 1 it begins with tag, 0 it may with more bytes, -1 never. */
static int
begins_with(struct span s, const char *tag)
{
	size_t	 tag_n = strlen(tag), n = s.n < tag_n ? s.n : tag_n;

	if (n > 0 && memcmp(s.p, tag, n) != 0)
		return -1;
	return n == tag_n;
}

static void
think_start(struct think *k)
{
	struct span	 s = buf_span(&k->held), seen;
	size_t		 n = field_blanks(s);
	int		 opens, closes;

	seen = span_make(s.p + n, s.n - n);
	opens = begins_with(seen, "<think>");
	closes = begins_with(seen, "</think>");		/* the template held the opening one */
	if (opens == 1) {
		buf_drop(&k->held, n + 7);
		k->state = THINK_IN;
		k->depth = 1;
	} else if (closes == 1) {
		buf_drop(&k->held, n + 8);
		k->state = THINK_AFTER;
	} else if ((opens < 0 && closes < 0) || s.n > LEAD_MAX)
		k->state = k->expected ? THINK_GUESS : THINK_SPEAKS;
}

/* Bytes before the next tag or what may become one. */
static size_t
before_tag(struct span s, int *opens_r, int *closes_r)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '<')
			continue;
		*opens_r = begins_with(span_make(s.p + i, s.n - i), "<think>");
		*closes_r = begins_with(span_make(s.p + i, s.n - i), "</think>");
		if (*opens_r >= 0 || *closes_r >= 0)
			return i;
	}
	*opens_r = *closes_r = -1;
	return s.n;
}

/* False: more bytes are needed. */
static bool
think_in(struct think *k)
{
	struct span	 s = buf_span(&k->held);
	int		 opens, closes;
	size_t		 n = before_tag(s, &opens, &closes), tag_n;

	give_reasoning(k, span_make(s.p, n));
	if (k->closed)
		buf_add(&k->spare, s.p, n);
	tag_n = opens == 1 ? 7 : closes == 1 ? 8 : 0;
	if (tag_n > 0 && k->closed)
		buf_add(&k->spare, s.p + n, tag_n);
	buf_drop(&k->held, n + tag_n);
	if (opens == 1)
		k->depth++;
	else if (closes == 1) {
		k->closed = true;
		if (--k->depth == 0)
			k->state = THINK_AFTER;
	}
	return tag_n > 0;
}

/*
 * Whether the </think> at the front of s ends thoughts that the template had opened: it stands at
 * the end of its line, and not in code.  1 yes, 0 perhaps, -1 no.
 */
static int
ends_thoughts(char before, struct span s)
{
	if (before == '`')
		return -1;
	return s.n == 8 ? 0 : s.p[8] == '\n' || s.p[8] == '\r' ? 1 : -1;
}

/* The lone </think> at the front of what is held: all before it was thoughts. */
static void
take_back(struct think *k)
{
	buf_drop(&k->held, 8);
	k->lone = true;
	k->state = THINK_AFTER;
	if (k->spare.n > 0) {
		give_reasoning(k, buf_span(&k->spare));
		buf_reset(&k->spare);
	} else if (k->spoke) {
		k->spoke = false;
		if (k->ops.retract != NULL)
			k->ops.retract(k->arg);
	}
}

/* Text, or in THINK_GUESS what is kept until it is known.  False: more bytes are needed. */
static bool
think_speaks(struct think *k)
{
	struct span	 s = buf_span(&k->held);
	int		 opens, closes, ends = -1;
	size_t		 n = before_tag(s, &opens, &closes);

	if (n > 0)
		k->before = s.p[n - 1];
	if (closes == 1)
		ends = ends_thoughts(k->before, span_make(s.p + n, s.n - n));
	if (k->state == THINK_GUESS)
		buf_add(&k->spare, s.p, n);
	else
		give_text(k, span_make(s.p, n));
	buf_drop(&k->held, n);
	if (ends == 1)
		take_back(k);
	else if (opens == 1 || (closes == 1 && ends < 0)) {
		/* A tag that is spoken of. */
		give_text(k, buf_span(&k->spare));
		buf_reset(&k->spare);
		k->state = THINK_OUT;
	} else
		return false;
	return true;
}

void
think_take(struct think *k, struct span in)
{
	bool	 more = true;

	if (in.n > 0 && k->state == THINK_SPEAKS && k->held.n == 0 &&
	    memchr(in.p, '<', in.n) == NULL) {		/* nearly always */
		k->before = in.p[in.n - 1];
		give_text(k, in);
		return;
	}
	if (k->state == THINK_OUT && k->held.n == 0) {
		give_text(k, in);
		return;
	}
	buf_add_span(&k->held, in);
	while (more && k->held.n > 0) {
		enum think_state	 before = k->state;

		if (before == THINK_START)
			think_start(k);
		else if (before == THINK_AFTER) {
			buf_drop(&k->held, field_blanks(buf_span(&k->held)));
			if (k->held.n > 0)
				k->state = THINK_OUT;
		} else if (before == THINK_OUT) {
			give_text(k, buf_span(&k->held));
			buf_fini(&k->held);
		}
		if (before == THINK_IN)
			more = think_in(k);
		else if (before == THINK_GUESS || before == THINK_SPEAKS)
			more = think_speaks(k);
		else
			more = k->state != before;
	}
}

void
think_end(struct think *k, bool whole)
{
	struct span	 rest;
	size_t		 lead;

	if (k->state == THINK_GUESS && span_is(buf_span(&k->held), "</think>") && k->before != '`')
		take_back(k);		/* the end of the text is the end of a line */
	if (k->state == THINK_GUESS && !whole) {
		give_reasoning(k, buf_span(&k->spare));
		give_reasoning(k, buf_span(&k->held));
	} else if (k->state == THINK_IN)
		give_reasoning(k, buf_span(&k->held));
	else if (k->state == THINK_START && field_blanks(buf_span(&k->held)) < k->held.n)
		give_text(k, buf_span(&k->held));
	else if (k->state == THINK_GUESS || k->state == THINK_SPEAKS) {
		give_text(k, buf_span(&k->spare));
		give_text(k, buf_span(&k->held));
	}
	/* A <think> in the thoughts was no tag: after the first </think> came the answer. */
	if (k->state == THINK_IN && k->closed) {
		rest = buf_span(&k->spare);
		lead = field_blanks(rest);
		if (rest.n > 0)
			give_text(k, span_make(rest.p + lead, rest.n - lead));
		give_text(k, buf_span(&k->held));
	}
	buf_reset(&k->held);
	buf_reset(&k->spare);
}

void
think_apart(struct think *k, struct span thoughts)
{
	if (thoughts.n == 0)
		return;
	k->expected = false;
	give_reasoning(k, thoughts);
}

void
think_expect(struct think *k)
{
	k->expected = true;
}

void
think_init(struct think *k, const struct think_ops *ops, void *arg)
{
	*k = (struct think){ .ops = *ops, .arg = arg };
}

void
think_fini(struct think *k)
{
	buf_fini(&k->held);
	buf_fini(&k->spare);
}
