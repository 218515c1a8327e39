/*
 * token - see token.h.
 */
#include <string.h>

#include "worker/rest/codepoint.h"
#include "worker/rest/token.h"

#define MENTION_BYTES	128	/* </name sub sub:id> has three names of at most 32 */
#define BRACKETS_MAX	16
#define PARENS_MAX	3	/* nested in a link; more are taken for text */

static uint8_t
byte_at(const struct token_text *t, size_t at)
{
	return at < t->text.n ? (uint8_t)t->text.p[at] : 0;
}

static bool
is_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    c == '_';
}

/*
 * <@id> <@!id> <@&id> <#id> <:name:id> <a:name:id> <t:time:f> </name:id> <id:place>.
 * Its end, which is t->text.n when it may go on; 0: none.
 */
static size_t
mention_end(const struct token_text *t, size_t at)
{
	uint8_t	 c = byte_at(t, at + 1);
	size_t	 i;

	if (at + 1 < t->text.n && strchr("@#:ati/", c) == NULL)
		return 0;
	for (i = at + 1; i < t->text.n && i - at < MENTION_BYTES; i++) {
		uint8_t	 d = byte_at(t, i);

		if (d == '>')
			return i + 1;
		if (!is_word(d) && d < 0x80 && strchr("@#:!&/-", d) == NULL &&
		    !(d == ' ' && c == '/'))
			return 0;
		if (d == 0)
			return 0;
	}
	return i == t->text.n ? i : 0;
}

/* The end of a URL that starts here, which is t->text.n when it may go on; 0: none. */
static size_t
url_end(const struct token_text *t, size_t at, bool in_brackets)
{
	static const char *const	 schemes[] = { "https://", "http://" };
	size_t				 i, k, left = t->text.n - at;
	uint32_t			 cp;
	size_t				 n;

	if (t->text.p[at] != 'h' || (at > 0 && is_word((uint8_t)t->text.p[at - 1])))
		return 0;
	for (k = 0; k < 2; k++) {
		n = strlen(schemes[k]);
		if (memcmp(t->text.p + at, schemes[k], left < n ? left : n) == 0)
			break;
	}
	if (k == 2)
		return 0;
	for (i = at + (left < n ? left : n); i < t->text.n; i += n) {
		n = codepoint_at(t->text, i, true, &cp);
		++*t->steps;
		if (codepoint_is_white(cp) || codepoint_is_cjk_punctuation(cp) || cp == '<' ||
		    cp == '>' || cp == '"' || cp == '`' || (cp == ']' && (in_brackets || byte_at(t, i + 1) == '(')))
			break;
	}
	return i;
}

/* The end of "url)" that starts here, which is t->text.n when it may go on; 0: none. */
static size_t
target_end(const struct token_text *t, size_t at)
{
	unsigned	 parens = 0;
	uint8_t		 c;

	for (; at < t->text.n; at++) {
		++*t->steps;
		c = byte_at(t, at);
		if (c <= ' ')
			return 0;
		if (c == '(' && ++parens > PARENS_MAX)
			return 0;
		if (c == ')' && parens-- == 0)
			return at + 1;
	}
	return at;
}

static void
keep(const struct token_text *t, size_t from, size_t to, uint8_t note)
{
	size_t	 i;

	for (i = from + 1; i < to; i++)
		t->notes[i - t->start] |= note;
}

void
token_find(const struct token_text *t)
{
	size_t	 open[BRACKETS_MAX], depth = 0, i, end, link_past = 0;
	bool	 fenced;
	uint8_t	 c;

	for (i = t->start; i < t->text.n; i++) {
		++*t->steps;
		c = byte_at(t, i);
		fenced = (t->notes[i - t->start] & TOKEN_CODE) != 0;
		end = 0;
		if (c == '\n')
			depth = 0;
		else if (c == '\\' && !fenced && byte_at(t, i + 1) != '\n')
			i++;
		else if (c == '<') {
			if ((end = mention_end(t, i)) != 0)
				keep(t, i, end, TOKEN_PART);
			else if (i + 1 < t->text.n && (end = url_end(t, i + 1, depth > 0)) != 0)
				keep(t, i, end += byte_at(t, end) == '>', TOKEN_PART);
		} else if (c == 'h') {
			if ((end = url_end(t, i, depth > 0)) != 0) {
				if (i < link_past && end >= link_past &&
				    byte_at(t, link_past - 1) == ')')
					end = link_past - 1;
				keep(t, i, end, TOKEN_PART);
			}
		} else if (c == '[' && !fenced) {
			if (depth < BRACKETS_MAX)
				open[depth] = i;
			depth++;
		} else if (c == ']' && !fenced && depth > 0) {
			depth--;
			if (depth >= BRACKETS_MAX)
				continue;
			if (i + 1 == t->text.n)
				end = t->text.n;
			else if (byte_at(t, i + 1) == '(')
				end = target_end(t, i + 2);
			if (end != 0)
				keep(t, open[depth], link_past = end, TOKEN_INSIDE);
			end = 0;	/* a URL in it is found on the way */
		}
		if (end > i)
			i = end - 1;
	}
	if (depth > 0)
		keep(t, open[0], t->text.n, TOKEN_INSIDE);
}
