/*
 * show - see show.h.
 */
#include <stdio.h>
#include <string.h>

#include "worker/rest/codepoint.h"
#include "worker/rest/show.h"

/* Below a text that did not end by itself; the one with a blank takes the handler's words. */
static const char *const marks[] = {
	[END_ERROR] = "\u26a0 ",
	[END_STOPPED] = "\u23f9 stopped",
	[END_RESTARTING] = "\u23f3 restarting \u2026",
	[END_INTERRUPTED] = "\u26a0 interrupted",
};

bool
show_is_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr(" \t\r\n", s.p[i]) == NULL)
			return false;
	return true;
}

void
show_cut(struct stream *s)
{
	s->split_n = split_text(&s->split, buf_span(&s->text), s->end != END_NOT);
}

/* Of the text; not more than there may be messages. */
unsigned
show_pieces_n(const struct stream *s)
{
	return s->split_n > STREAM_MESSAGES_MAX ? STREAM_MESSAGES_MAX : (unsigned)s->split_n;
}

static void
render(const struct stream *s, unsigned piece, struct buf *out)
{
	split_render(&s->split, piece, buf_span(&s->text), out);
}

struct stream_message *
show_message(struct stream *s, unsigned piece)
{
	return &s->messages[s->map[piece]];
}

static bool
ends_with(struct span s, const char *tail)
{
	size_t	 n = strlen(tail);

	return s.n >= n && memcmp(s.p + s.n - n, tail, n) == 0;
}

/* What a message shows, without the mark that an earlier attempt left below it. */
static struct span
shown_text(const struct stream_message *m)
{
	struct span	 t = buf_span(&m->shown);

	for (int k = END_RESTARTING; k <= END_INTERRUPTED; k++)
		if (ends_with(t, marks[k])) {
			t.n -= strlen(marks[k]);
			if (ends_with(t, "\n"))
				t.n--;
		}
	return t;
}

/* A message that another one follows was full: nobody read it, but open text would shorten it. */
bool
show_shorter(const struct stream *s, unsigned piece, struct span want)
{
	const struct stream_message	*m = &s->messages[s->map[piece]];

	if (!m->known)
		return piece + 1 < s->map_n;
	return codepoint_utf16_len(want) < codepoint_utf16_len(shown_text(m));
}

/*
 * Cut short before it came to where an earlier attempt was: what is shown stays, only the mark goes
 * below it.
 */
static bool
behind(const struct stream *s)
{
	struct buf	 b = { 0 };
	unsigned	 n = show_pieces_n(s);
	bool		 yes = n < s->map_n;

	if (s->end < END_RESTARTING || s->map_n == 0)
		return false;
	if (n == s->map_n) {
		render(s, n - 1, &b);
		yes = show_shorter(s, n - 1, buf_span(&b));
		buf_fini(&b);
	}
	return yes;
}

static bool
fits(const struct stream *s, struct span text)
{
	return codepoint_utf16_len(text) + 1 + codepoint_utf16_len(span_of(s->note)) <= SPLIT_LIMIT_DISCORD;
}

/* The text of the last message, which the note goes below when it fits. */
static void
last_text(struct stream *s, bool is_behind, struct buf *out)
{
	if (is_behind)
		buf_add_span(out, shown_text(show_message(s, s->map_n - 1)));
	else
		render(s, show_pieces_n(s) - 1, out);
}

/* How many messages the text takes. */
unsigned
show_total(struct stream *s)
{
	bool		 is_behind = behind(s);
	unsigned	 n = is_behind ? s->map_n : show_pieces_n(s);
	struct buf	 b = { 0 };

	if (s->note[0] == '\0')
		return n;
	if (n > 0)
		last_text(s, is_behind, &b);
	if ((n == 0 || !fits(s, buf_span(&b))) && n < STREAM_MESSAGES_MAX)
		n++;
	buf_fini(&b);
	return n;
}

/* What message `piece` should show.  False: what it does. */
bool
show_want(struct stream *s, unsigned piece, struct buf *out)
{
	bool		 is_behind = behind(s);
	unsigned	 n = is_behind ? s->map_n : show_pieces_n(s);

	if (is_behind && (piece + 1 < n || (piece + 1 == n && !show_message(s, piece)->known)))
		return false;
	if (piece < n && piece + 1 < n)
		render(s, piece, out);
	else if (piece < n) {
		last_text(s, is_behind, out);
		if (s->note[0] != '\0' && fits(s, buf_span(out)))
			buf_printf(out, "%s%s", out->n > 0 ? "\n" : "", s->note);
	} else
		buf_printf(out, "%s", s->note);
	return true;
}

/* No more text will come for it. */
bool
show_closed(const struct stream *s, unsigned piece)
{
	return s->end != END_NOT || piece + 1 < s->split_n;
}

/* What goes below the text: the mark of its kind, or the handler's words. */
void
show_end(struct stream *s, enum stream_kind kind, struct span note)
{
	char	 text[STREAM_NOTE_MAX - 80];

	s->end = kind;
	span_copy(note, text, sizeof(text));
	if (kind == END_ERROR)
		snprintf(s->note, sizeof(s->note), "%s%s", marks[kind],
		    text[0] != '\0' ? text : "the answer could not be finished");
	else if (kind >= END_RESTARTING || (kind == END_STOPPED && text[0] == '\0'))
		strlcpy(s->note, marks[kind], sizeof(s->note));
	else
		strlcpy(s->note, text, sizeof(s->note));
	show_cut(s);
}
