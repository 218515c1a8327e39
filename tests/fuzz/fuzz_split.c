/*
 * split: the properties of its header, for any text and any way of arrival.
 *
 * The first three bytes choose limit, lines and how the text arrives (and is repeated); the rest is the text.
 * What is checked is computed here by other means: by lines, with the whole text at hand.
 */
#include <stdint.h>
#include <stdlib.h>

#include "worker/rest/codepoint.h"
#include "worker/rest/split.h"

#define TEXT_MAX	(256 * 1024)

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
require(bool ok)
{
	if (!ok)
		abort();
}

static bool
in(const char *set, char c)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* The UTF-8 decoder of the WHATWG encoding standard.  All of t, with U+FFFD; code points to *units_r. */
static void
clean(struct span t, struct buf *out, size_t *units_r)
{
	unsigned	 low = 0x80, high = 0xbf, needed = 0, c;
	size_t		 i, from = 0;

	*units_r = 0;
	for (i = 0; i <= t.n; i++) {
		c = i < t.n ? (unsigned char)t.p[i] : 0x100;
		if (needed > 0) {
			if (c >= low && c <= high) {
				low = 0x80;
				high = 0xbf;
				if (--needed == 0) {
					buf_add(out, t.p + from, i + 1 - from);
					*units_r += i + 1 - from == 4 ? 2 : 1;
				}
				continue;
			}
			buf_add_span(out, SPAN("\xef\xbf\xbd"));
			++*units_r;
			needed = 0;
			low = 0x80;
			high = 0xbf;
		}
		if (c == 0x100)
			break;
		from = i;
		if (c < 0x80) {
			buf_add(out, t.p + i, 1);
			++*units_r;
		} else if (c >= 0xc2 && c <= 0xdf)
			needed = 1;
		else if (c >= 0xe0 && c <= 0xef) {
			needed = 2;
			if (c == 0xe0)
				low = 0xa0;
			if (c == 0xed)
				high = 0x9f;
		} else if (c >= 0xf0 && c <= 0xf4) {
			needed = 3;
			if (c == 0xf0)
				low = 0x90;
			if (c == 0xf4)
				high = 0x8f;
		} else {
			buf_add_span(out, SPAN("\xef\xbf\xbd"));
			++*units_r;
		}
	}
}

static bool
is_blank(struct span t)
{
	static const char *const	 wide[] = {
		"\xc2\x85", "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83",
		"\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a",
		"\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x81\x9f", "\xe3\x80\x80",
	};
	size_t	 i, k, n;

	for (i = 0; i < t.n; i += n) {
		n = 1;
		if (t.p[i] == ' ' || (t.p[i] >= '\t' && t.p[i] <= '\r'))
			continue;
		for (k = 0; k < sizeof(wide) / sizeof(wide[0]); k++) {
			n = strlen(wide[k]);
			if (t.n - i >= n && memcmp(t.p + i, wide[k], n) == 0)
				break;
		}
		if (k == sizeof(wide) / sizeof(wide[0]))
			return false;
	}
	return true;
}

struct fence {
	unsigned	 quotes;
	size_t		 marks;		/* 0: none is open */
	char		 mark;
};

static void
read_line(struct fence *f, struct span line, size_t longest)
{
	unsigned	 quotes = 0, most = f->marks != 0 ? f->quotes : 8;
	struct buf	 b = { 0 };
	size_t		 i = 0, k, marks, units;
	char		 mark;

	for (;;) {
		for (k = 0; i + k < line.n && line.p[i + k] == ' '; k++)
			;
		if (k > 3 || quotes == most || i + k == line.n || line.p[i + k] != '>')
			break;
		i += k + 1;
		quotes++;
		if (i < line.n && line.p[i] == ' ')
			i++;
	}
	if (f->marks != 0 && quotes < f->quotes)
		f->marks = 0;
	if (k > 3 || i + k == line.n)
		return;
	i += k;
	mark = line.p[i];
	if (mark != '`' && mark != '~')
		return;
	for (marks = 0; i < line.n && line.p[i] == mark; i++)
		marks++;
	/* Unicode white space behind an opening line, ASCII behind a closing one. */
	for (k = 1; k <= 3 && k <= line.n - i; k++) {
		if (f->marks == 0 ? is_blank(span_make(line.p + line.n - k, k)) :
		    in(" \t\r", line.p[line.n - 1])) {
			line.n -= k;
			k = 0;
		}
	}
	clean(line, &b, &units);
	buf_fini(&b);
	if (units > longest)
		return;
	if (f->marks != 0) {
		if (mark == f->mark && marks >= f->marks && i == line.n)
			f->marks = 0;
	} else if (marks >= 3 && (mark == '~' || memchr(line.p + i, '`', line.n - i) == NULL))
		*f = (struct fence){ quotes, marks, mark };
}

static void
is_sound(struct span piece, uint32_t limit, uint32_t max_lines)
{
	struct fence	 f = { 0 };
	struct buf	 b = { 0 };
	size_t		 units, lines = 0, at, next;
	const char	*nl;

	clean(piece, &b, &units);
	require(span_eq(buf_span(&b), piece));		/* it was clean */
	buf_fini(&b);
	require(units > 0 && units <= limit && codepoint_utf16_len(piece) == units);
	require(!is_blank(piece));
	for (at = 0; at <= piece.n; at = next) {
		nl = at < piece.n ? memchr(piece.p + at, '\n', piece.n - at) : NULL;
		next = nl == NULL ? piece.n + 1 : (size_t)(nl - piece.p) + 1;
		read_line(&f, span_make(piece.p + at, next - 1 - at), limit / 6);
		lines++;
	}
	require(f.marks == 0);
	require(max_lines == 0 || lines <= max_lines);
}

/* The piece is its source between what was inserted, which is what the text has. */
static void
is_from(struct span text, const struct split_piece *p, struct span piece)
{
	struct buf	 b = { 0 };
	size_t		 units;

	if (p->open.marks != 0) {
		clean(span_make(text.p + p->open.at, p->open.line_n), &b, &units);
		require(p->open.at == 0 || text.p[p->open.at - 1] == '\n');
		buf_add(&b, "\n", 1);
	}
	buf_add(&b, text.p + p->quote_at, p->quote_n);
	if (p->guard)
		buf_add_span(&b, SPAN("\xe2\x80\x8b"));
	clean(span_make(text.p + p->from, p->to - p->from), &b, &units);
	if (p->close.marks != 0) {
		buf_add(&b, "\n", 1);
		buf_add(&b, text.p + p->close.at, p->close.quote_n);
		for (units = 0; units < p->close.marks; units++)
			buf_add(&b, &p->close.mark, 1);
	}
	require(span_eq(buf_span(&b), piece));
	buf_fini(&b);
}

/* Plain mentions, URLs and links between spaces: the end of one that starts here, or 0. */
static size_t
token_at(struct span t, size_t at)
{
	static const char	 word[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t			 i = at;

	if (at > 0 && t.p[at - 1] != ' ' && t.p[at - 1] != '\n')
		return 0;
	if (t.n - at > 3 && memcmp(t.p + at, "<@", 2) == 0) {
		for (i += 2; i < t.n && in("0123456789", t.p[i]) && i - at < 30; i++)
			;
		if (i == at + 2 || i == t.n || t.p[i++] != '>')
			return 0;
	} else if (t.n - at > 8 && memcmp(t.p + at, "https://", 8) == 0) {
		for (i += 8; i < t.n && (in(word, t.p[i]) || in("./", t.p[i])); i++)
			;
	} else if (t.p[at] == '[') {
		for (i++; i < t.n && (in(word, t.p[i]) || t.p[i] == ' '); i++)
			;
		if (t.n - i < 2 || memcmp(t.p + i, "](", 2) != 0)
			return 0;
		for (i += 2; i < t.n && (in(word, t.p[i]) || in(":./", t.p[i])); i++)
			;
		if (i == t.n || t.p[i++] != ')')
			return 0;
	} else
		return 0;
	if (i == t.n || (t.n - i > 1 && t.p[i] == ' ' && in(word, t.p[i + 1])))
		return i;
	return 0;
}

/* Which bytes lie strictly inside of tokens that fit, or of what one must not cut. */
static uint8_t *
uncuttable(struct span t, uint32_t limit)
{
	uint8_t	*no = mem_alloc(t.n + 1);
	bool	 link_line = false;
	size_t	 i, end;

	for (i = 0; i < t.n; i++) {
		/* Brackets that may become a link, and bytes of fences, make other rules. */
		if (i == 0 || t.p[i - 1] == '\n')
			link_line = false;
		if (in("[]`~\\", t.p[i]) && t.p[i] != '[')
			link_line = true;
		if ((end = token_at(t, i)) != 0 && end - i <= limit / 3 && !(t.p[i] == '[' && link_line)) {
			for (i++; i < end; i++)
				no[i] = 1;
			i--;
		} else if (t.p[i] == '[')
			link_line = true;
	}
	return no;
}

static void
is_whole(struct split *s, struct span text, size_t n, bool end)
{
	uint8_t			*no = uncuttable(text, s->limit);
	struct split_piece	 p, last = { 0 };
	struct span		 gap;
	struct buf		 all = { 0 }, whole = { 0 }, one = { 0 };
	size_t			 i, k, units, newlines;

	for (i = 0; i <= n; i++) {
		if (i < n)
			p = split_piece(s, i);
		else
			p = (struct split_piece){ .from = text.n, .to = text.n };
		require(p.from >= last.to && p.to >= p.from && p.to <= text.n);
		gap = span_make(text.p + last.to, p.from - last.to);
		if (i < n || end)
			require(is_blank(gap));
		if (p.open.marks != 0) {
			require(p.open.at == last.close.at && p.open.marks == last.close.marks);
			for (newlines = k = 0; k < gap.n; k++)
				newlines += gap.p[k] == '\n';
			require(newlines <= 1);
		}
		if (i > 0 && i < n)
			require(!no[last.to] && !no[p.from]);
		clean(gap, &all, &units);
		clean(span_make(text.p + p.from, p.to - p.from), &all, &units);
		if (i < n) {
			buf_reset(&one);
			split_render(s, i, text, &one);
			is_from(text, &p, buf_span(&one));
			is_sound(buf_span(&one), s->limit, s->max_lines);
		}
		last = p;
	}
	clean(text, &whole, &units);
	if (end)
		require(span_eq(buf_span(&all), buf_span(&whole)));
	buf_fini(&all);
	buf_fini(&whole);
	buf_fini(&one);
	free(no);
}

static void
is_same(struct split *a, struct split *b, size_t i, struct span text_a, struct span text_b)
{
	struct split_piece	 p = split_piece(a, i), q = split_piece(b, i);
	struct buf		 one = { 0 }, two = { 0 };

	require(p.from == q.from && p.to == q.to);
	split_render(a, i, text_a, &one);
	split_render(b, i, text_b, &two);
	require(span_eq(buf_span(&one), buf_span(&two)));
	buf_fini(&one);
	buf_fini(&two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct split	 batch, grown;
	struct buf	 text = { 0 }, one = { 0 };
	struct span	 t, sofar;
	uint32_t	 limit, max_lines, dice, looks = 0;
	size_t		 pieces, now, before, at = 0, i, step, repeat;

	if (n < 3)
		return 0;
	limit = data[0] < 224 ? 64 + data[0] % 112 : 2000;
	max_lines = data[1] % 32 < 4 ? 0 : data[1] % 32;
	repeat = data[1] >= 252 ? 1 + data[2] % 16 : 1;
	dice = data[2] + 1u;
	for (i = 0; i < repeat && text.n + n - 3 <= TEXT_MAX; i++)
		buf_add(&text, data + 3, n - 3);
	t = buf_span(&text);

	split_init(&batch, limit, max_lines);
	pieces = split_text(&batch, t, true);
	require(batch.steps <= 128 * (t.n + (uint64_t)limit));	/* not by its square */
	if (t.n > 0)
		is_whole(&batch, t, pieces, true);

	split_init(&grown, limit, max_lines);
	for (before = 0; at < t.n; before = now) {
		dice = dice * 1103515245 + 12345;
		step = data[2] % 4 == 0 ? 1 : 1 + (dice >> 16) % (data[2] % 4 == 1 ? 7 : 300);
		at += step < t.n - at ? step : t.n - at;
		sofar = span_make(t.p, at);
		now = split_text(&grown, sofar, false);
		require(now >= before);
		for (i = before == 0 ? 0 : before - 1; i + 1 < now; i++)
			is_same(&grown, &batch, i, sofar, t);	/* final: now and ever */
		if (now > 0 && looks++ < 16) {
			buf_reset(&one);
			split_render(&grown, now - 1, sofar, &one);
			is_sound(buf_span(&one), limit, max_lines);
		}
	}
	now = split_text(&grown, t, true);
	require(now == pieces && grown.steps <= batch.steps + 2);
	for (i = 0; i < pieces; i++)
		is_same(&grown, &batch, i, t, t);
	require(split_text(&grown, t, true) == pieces);

	split_fini(&batch);
	split_fini(&grown);
	buf_fini(&text);
	buf_fini(&one);
	return 0;
}
