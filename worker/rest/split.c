/*
 * split - see split.h.
 *
 * One walk goes over the text by code points and knows, at each, what the piece would look like if it
 * ended there; it always fits.  When one more does not, the piece is walked again with a note
 * of every place where it may be cut, the best is taken, a third walk stops there, and its state is what
 * the piece ends and the next one starts with.  So nothing is kept for each code point.
 *
 * A line that may be a fence line is held until that is decided; its state is a few numbers, its bytes
 * are read again from the text.
 */
#include <assert.h>
#include <stdlib.h>

#include "worker/rest/split.h"

#define NOWHERE		SIZE_MAX
#define REPLACEMENT	0xfffd
#define GUARD		"\xe2\x80\x8b"
#define INDENT_MAX	3	/* CommonMark: four are an indented code block */
#define QUOTES_MAX	8
#define MENTION_BYTES	128	/* </name sub sub:id> has three names of at most 32 */
#define BRACKETS_MAX	16
#define PARENS_MAX	3	/* nested in a link; more are taken for text */

/* What a byte is in the notes of a walk: how good it is to cut before it, and flags. */
enum { CUT_NONE, CUT_LAST, CUT_GUARDED, CUT_ANY, CUT_CJK, CUT_SPACE, CUT_SENTENCE, CUT_LINE, CUT_BLANK };
#define NOTE_CUT	0x0f
#define NOTE_HALF	0x10	/* in the second half of the piece */
#define NOTE_LINK	0x20	/* inside of something that should stay whole ... */
#define NOTE_WHOLE	0x40	/* ... and of a part of it that should, even if the rest cannot */
#define NOTE_FENCED	0x80

enum phase { LEAD, MARKS, INFO, TRAIL };

enum step {
	STEP_ON,
	STEP_FULL,	/* the item does not fit */
	STEP_STOP	/* came to task.stop */
};

struct task {
	struct span	 text;
	bool		 end;
	uint8_t		*notes;		/* NULL: none are taken; from walk.start on */
	size_t		 stop;		/* NOWHERE, or the item to stop before */
	size_t		 at, past;	/* out: the item that did not fit */
};

/* Marks, jamo, joiners, emoji modifiers, tags: what stays with the code point before it. */
static const uint32_t extends[][2] = {
	{ 0x300, 0x36f }, { 0x483, 0x489 }, { 0x591, 0x5bd }, { 0x5bf, 0x5bf }, { 0x5c1, 0x5c2 },
	{ 0x5c4, 0x5c5 }, { 0x5c7, 0x5c7 }, { 0x610, 0x61a }, { 0x64b, 0x65f }, { 0x670, 0x670 },
	{ 0x6d6, 0x6dc }, { 0x6df, 0x6e4 }, { 0x6e7, 0x6e8 }, { 0x6ea, 0x6ed }, { 0x711, 0x711 },
	{ 0x730, 0x74a }, { 0x7a6, 0x7b0 }, { 0x7eb, 0x7f3 }, { 0x7fd, 0x7fd }, { 0x816, 0x819 },
	{ 0x81b, 0x823 }, { 0x825, 0x827 }, { 0x829, 0x82d }, { 0x859, 0x85b }, { 0x898, 0x89f },
	{ 0x8ca, 0x8e1 }, { 0x8e3, 0x903 }, { 0x93a, 0x93c }, { 0x93e, 0x94f }, { 0x951, 0x957 },
	{ 0x962, 0x963 }, { 0x981, 0x983 }, { 0x9bc, 0x9bc }, { 0x9be, 0x9cd }, { 0x9d7, 0x9d7 },
	{ 0x9e2, 0x9e3 }, { 0x9fe, 0xa03 }, { 0xa3c, 0xa51 }, { 0xa70, 0xa71 }, { 0xa75, 0xa75 },
	{ 0xa81, 0xa83 }, { 0xabc, 0xabc }, { 0xabe, 0xacd }, { 0xae2, 0xae3 }, { 0xafa, 0xb03 },
	{ 0xb3c, 0xb3c }, { 0xb3e, 0xb57 }, { 0xb62, 0xb63 }, { 0xb82, 0xb82 }, { 0xbbe, 0xbcd },
	{ 0xbd7, 0xbd7 }, { 0xc00, 0xc04 }, { 0xc3c, 0xc3c }, { 0xc3e, 0xc56 }, { 0xc62, 0xc63 },
	{ 0xc81, 0xc83 }, { 0xcbc, 0xcbc }, { 0xcbe, 0xcd6 }, { 0xce2, 0xce3 }, { 0xd00, 0xd03 },
	{ 0xd3b, 0xd3c }, { 0xd3e, 0xd4d }, { 0xd57, 0xd57 }, { 0xd62, 0xd63 }, { 0xd81, 0xd83 },
	{ 0xdca, 0xddf }, { 0xdf2, 0xdf3 }, { 0xe31, 0xe31 }, { 0xe34, 0xe3a }, { 0xe47, 0xe4e },
	{ 0xeb1, 0xeb1 }, { 0xeb4, 0xebc }, { 0xec8, 0xecd }, { 0xf18, 0xf19 }, { 0xf35, 0xf35 },
	{ 0xf37, 0xf37 }, { 0xf39, 0xf39 }, { 0xf3e, 0xf3f }, { 0xf71, 0xf84 }, { 0xf86, 0xf87 },
	{ 0xf8d, 0xfbc }, { 0xfc6, 0xfc6 }, { 0x102b, 0x103e }, { 0x1056, 0x1059 },
	{ 0x105e, 0x1060 }, { 0x1062, 0x1064 }, { 0x1067, 0x106d }, { 0x1071, 0x1074 },
	{ 0x1082, 0x108d }, { 0x108f, 0x108f }, { 0x109a, 0x109d }, { 0x1160, 0x11ff },
	{ 0x135d, 0x135f }, { 0x1712, 0x1715 }, { 0x1732, 0x1734 }, { 0x1752, 0x1753 },
	{ 0x1772, 0x1773 }, { 0x17b4, 0x17d3 }, { 0x17dd, 0x17dd }, { 0x180b, 0x180d },
	{ 0x180f, 0x180f }, { 0x1885, 0x1886 }, { 0x18a9, 0x18a9 }, { 0x1920, 0x193b },
	{ 0x1a17, 0x1a1b }, { 0x1a55, 0x1a7f }, { 0x1ab0, 0x1b04 }, { 0x1b34, 0x1b44 },
	{ 0x1b6b, 0x1b73 }, { 0x1b80, 0x1b82 }, { 0x1ba1, 0x1bad }, { 0x1be6, 0x1bf3 },
	{ 0x1c24, 0x1c37 }, { 0x1cd0, 0x1cd2 }, { 0x1cd4, 0x1ce8 }, { 0x1ced, 0x1ced },
	{ 0x1cf4, 0x1cf4 }, { 0x1cf7, 0x1cf9 }, { 0x1dc0, 0x1dff }, { 0x200c, 0x200d },
	{ 0x20d0, 0x20f0 }, { 0x2cef, 0x2cf1 }, { 0x2d7f, 0x2d7f }, { 0x2de0, 0x2dff },
	{ 0x302a, 0x302f }, { 0x3099, 0x309a }, { 0xa66f, 0xa672 }, { 0xa674, 0xa67d },
	{ 0xa69e, 0xa69f }, { 0xa6f0, 0xa6f1 }, { 0xa802, 0xa802 }, { 0xa806, 0xa806 },
	{ 0xa80b, 0xa80b }, { 0xa823, 0xa827 }, { 0xa82c, 0xa82c }, { 0xa880, 0xa881 },
	{ 0xa8b4, 0xa8c5 }, { 0xa8e0, 0xa8f1 }, { 0xa8ff, 0xa8ff }, { 0xa926, 0xa92d },
	{ 0xa947, 0xa953 }, { 0xa980, 0xa983 }, { 0xa9b3, 0xa9c0 }, { 0xa9e5, 0xa9e5 },
	{ 0xaa29, 0xaa36 }, { 0xaa43, 0xaa43 }, { 0xaa4c, 0xaa4d }, { 0xaa7b, 0xaa7d },
	{ 0xaab0, 0xaab0 }, { 0xaab2, 0xaab4 }, { 0xaab7, 0xaab8 }, { 0xaabe, 0xaabf },
	{ 0xaac1, 0xaac1 }, { 0xaaeb, 0xaaef }, { 0xaaf5, 0xaaf6 }, { 0xabe3, 0xabea },
	{ 0xabec, 0xabed }, { 0xd7b0, 0xd7fb }, { 0xfb1e, 0xfb1e }, { 0xfe00, 0xfe0f },
	{ 0xfe20, 0xfe2f }, { 0x101fd, 0x101fd }, { 0x102e0, 0x102e0 }, { 0x10376, 0x1037a },
	{ 0x10a01, 0x10a0f }, { 0x10a38, 0x10a3f }, { 0x10ae5, 0x10ae6 }, { 0x10d24, 0x10d27 },
	{ 0x10eab, 0x10eac }, { 0x10f46, 0x10f50 }, { 0x10f82, 0x10f85 }, { 0x11000, 0x11002 },
	{ 0x11038, 0x11046 }, { 0x11070, 0x11070 }, { 0x11073, 0x11074 }, { 0x1107f, 0x11082 },
	{ 0x110b0, 0x110ba }, { 0x110c2, 0x110c2 }, { 0x11100, 0x11102 }, { 0x11127, 0x11134 },
	{ 0x11145, 0x11146 }, { 0x11173, 0x11173 }, { 0x11180, 0x11182 }, { 0x111b3, 0x111c0 },
	{ 0x111c9, 0x111cc }, { 0x111ce, 0x111cf }, { 0x1122c, 0x11237 }, { 0x1123e, 0x1123e },
	{ 0x112df, 0x112ea }, { 0x11300, 0x11303 }, { 0x1133b, 0x1133c }, { 0x1133e, 0x1134d },
	{ 0x11357, 0x11357 }, { 0x11362, 0x11374 }, { 0x11435, 0x11446 }, { 0x1145e, 0x1145e },
	{ 0x114b0, 0x114c3 }, { 0x115af, 0x115c0 }, { 0x115dc, 0x115dd }, { 0x11630, 0x11640 },
	{ 0x116ab, 0x116b7 }, { 0x1171d, 0x1172b }, { 0x1182c, 0x1183a }, { 0x11930, 0x1193e },
	{ 0x11940, 0x11940 }, { 0x11942, 0x11943 }, { 0x119d1, 0x119e0 }, { 0x119e4, 0x119e4 },
	{ 0x11a01, 0x11a0a }, { 0x11a33, 0x11a39 }, { 0x11a3b, 0x11a3e }, { 0x11a47, 0x11a47 },
	{ 0x11a51, 0x11a5b }, { 0x11a8a, 0x11a99 }, { 0x11c2f, 0x11c3f }, { 0x11c92, 0x11cb6 },
	{ 0x11d31, 0x11d45 }, { 0x11d47, 0x11d47 }, { 0x11d8a, 0x11d97 }, { 0x11ef3, 0x11ef6 },
	{ 0x16af0, 0x16af4 }, { 0x16b30, 0x16b36 }, { 0x16f4f, 0x16f4f }, { 0x16f51, 0x16f92 },
	{ 0x16fe4, 0x16ff1 }, { 0x1bc9d, 0x1bc9e }, { 0x1cf00, 0x1cf46 }, { 0x1d165, 0x1d169 },
	{ 0x1d16d, 0x1d172 }, { 0x1d17b, 0x1d182 }, { 0x1d185, 0x1d18b }, { 0x1d1aa, 0x1d1ad },
	{ 0x1d242, 0x1d244 }, { 0x1da00, 0x1da36 }, { 0x1da3b, 0x1da6c }, { 0x1da75, 0x1da75 },
	{ 0x1da84, 0x1da84 }, { 0x1da9b, 0x1daaf }, { 0x1e000, 0x1e02a }, { 0x1e130, 0x1e136 },
	{ 0x1e2ae, 0x1e2ae }, { 0x1e2ec, 0x1e2ef }, { 0x1e8d0, 0x1e8d6 }, { 0x1e944, 0x1e94a },
	{ 0x1f3fb, 0x1f3ff }, { 0xe0020, 0xe01ef },
};

static bool
is_extending(uint32_t cp)
{
	size_t	 lo = 0, hi = sizeof(extends) / sizeof(extends[0]), mid;

	if (cp < extends[0][0])
		return false;
	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (cp > extends[mid][1])
			lo = mid + 1;
		else if (cp < extends[mid][0])
			hi = mid;
		else
			return true;
	}
	return false;
}

static bool
is_flag(uint32_t cp)
{
	return cp >= 0x1f1e6 && cp <= 0x1f1ff;
}

/* What Discord trims; not the spaces that glue. */
static bool
is_white(uint32_t cp)
{
	return cp == ' ' || (cp >= '\t' && cp <= '\r') || cp == 0x85 || cp == 0x1680 ||
	    (cp >= 0x2000 && cp <= 0x200a && cp != 0x2007) || cp == 0x2028 || cp == 0x2029 ||
	    cp == 0x205f || cp == 0x3000;
}

static bool
is_cjk_punctuation(uint32_t cp)
{
	switch (cp) {
	case 0x3001: case 0x3002:				/* comma, full stop */
	case 0xff0c: case 0xff0e: case 0xff1a: case 0xff1b: case 0xff01: case 0xff1f:
	case 0x3009: case 0x300b: case 0x300d: case 0x300f: case 0x3011: case 0xff09:
		return true;
	default:
		return false;
	}
}

static bool
ends_sentence(uint32_t cp)
{
	return cp == '.' || cp == '!' || cp == '?' || cp == 0x2026 || cp == 0x3002 || cp == 0xff0e ||
	    cp == 0xff01 || cp == 0xff1f;
}

/* May stand between the end of a sentence and the white space. */
static bool
is_closer(uint32_t cp)
{
	return cp == '"' || cp == '\'' || cp == ')' || cp == ']' || cp == '*' || cp == '_' ||
	    cp == 0x2019 || cp == 0x201d || cp == 0x300d || cp == 0x300f || cp == 0x3011 || cp == 0xff09;
}

/* The rest of a line that starts with it may be read as a quote or a fence. */
static bool
is_mark(uint32_t cp)
{
	return cp == '`' || cp == '~' || cp == '>';
}

static unsigned
utf16(uint32_t cp)
{
	return cp > 0xffff ? 2 : 1;
}

/*
 * One code point, or the maximal part of one that is invalid, which is U+FFFD.  Its bytes;
 * 0 when it is cut short by the end of a text that may grow.
 */
static size_t
decode(struct span t, size_t at, bool end, uint32_t *cp_r)
{
	const unsigned char	*p = (const unsigned char *)t.p + at;
	size_t			 left = t.n - at, need, i;
	unsigned char		 low = 0x80, high = 0xbf;
	uint32_t		 cp;

	if (p[0] < 0x80) {
		*cp_r = p[0];
		return 1;
	}
	*cp_r = REPLACEMENT;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 1;
	need = p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
	cp = p[0] & (0x3f >> need);
	/* No overlong forms, no surrogates, nothing above U+10FFFF. */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	for (i = 1; i <= need; i++) {
		if (i == left)
			return end ? i : 0;
		if (p[i] < low || p[i] > high)
			return i;
		cp = cp << 6 | (p[i] & 0x3f);
		low = 0x80;
		high = 0xbf;
	}
	*cp_r = cp;
	return need + 1;
}

size_t
split_utf16_len(struct span t)
{
	size_t		 at, units = 0;
	uint32_t	 cp;

	for (at = 0; at < t.n; units += utf16(cp))
		at += decode(t, at, true, &cp);
	return units;
}

/* ---- the walk ---- */

static size_t
closing_units(const struct split_fence *f)
{
	return f->marks == 0 ? 0 : 1 + (size_t)f->quote_n + f->marks;
}

static bool
is_over(const struct split *s, const struct split_walk *w)
{
	return w->units + closing_units(&w->fence) > s->limit ||
	    (s->max_lines != 0 && w->lines + 1 + (w->fence.marks != 0) > s->max_lines);
}

static void
next_line(struct split_walk *w, size_t at)
{
	w->line = at;
	w->held = true;
	w->phase = LEAD;
	w->quotes = w->spaces = 0;
	w->quoted = false;
	w->marks = w->quote_n = 0;
	w->held_units = w->held_white = 0;
	w->held_end = at;
	w->danger = 0;
}

static void
add_gap(struct split_walk *w, uint32_t cp, size_t past)
{
	w->gap_units += utf16(cp);
	w->gap_indent += utf16(cp);
	if (cp == '\n') {
		w->gap_lines++;
		w->gap_line = past;
		w->gap_indent = 0;
		next_line(w, past);
	}
}

/* How good is a cut before this item? */
static uint8_t
grade(const struct split_walk *w, const struct task *t, size_t at, uint32_t cp)
{
	bool	 inside = w->fence.marks != 0 ? at != w->line : w->gap_line == NOWHERE;

	if (!w->shown)
		return CUT_NONE;
	if (inside && at <= w->line + w->quote_n)
		return CUT_NONE;
	/* Two marks are no fence yet.  All else may be more white space than a piece has room for. */
	if (inside && w->danger != 0 && w->p.to <= w->danger)
		return at == w->mark_at + 2 ? CUT_LAST : CUT_NONE;
	if (is_extending(cp) || w->prev == 0x200d || (is_flag(cp) && w->flags % 2 == 1))
		return CUT_NONE;
	if (!inside) {
		if (w->fence.marks == 0)
			return w->gap_lines > 1 ? CUT_BLANK : CUT_LINE;
		if (w->opened)
			return CUT_NONE;
		if (cp == '\n')
			return CUT_ANY;
		return t->text.p[at - 2] == '\n' ? CUT_BLANK : CUT_LINE;
	}
	if (is_mark(cp) || (w->fence.marks != 0 && (cp == ' ' || cp == '\n' || cp == '\r')))
		return CUT_GUARDED;
	if (w->fence.marks != 0)
		return w->prev == ' ' || w->prev == '\t' ? CUT_SPACE : CUT_ANY;
	if (w->gap_units > 0)
		return w->sentence ? CUT_SENTENCE : CUT_SPACE;
	if (w->cjk && !is_cjk_punctuation(cp))
		return w->sentence ? CUT_SENTENCE : CUT_CJK;
	return CUT_ANY;
}

/* Before an item is shown.  True: stop here. */
static bool
arrive(const struct split *s, const struct split_walk *w, const struct task *t, size_t at, uint8_t cut)
{
	if (t->notes != NULL) {
		if (2 * w->units >= s->limit || (s->max_lines != 0 && 2 * (w->lines + 1) >= s->max_lines))
			cut |= NOTE_HALF;
		if (w->fence.marks != 0)
			cut |= NOTE_FENCED;
		t->notes[at - w->start] |= cut;
	}
	return at == t->stop;
}

static void
show(const struct split *s, struct split_walk *w, size_t at, size_t past, size_t units, uint32_t cp)
{
	if (w->shown || w->p.open.marks != 0) {
		w->units += w->gap_units;
		w->lines += w->gap_lines;
	} else if (w->gap_line != NOWHERE && w->gap_indent <= s->fence_max) {
		w->p.from = w->gap_line;
		w->units += w->gap_indent;
	} else {
		w->p.from = at;
		if (w->gap_units > 0 && is_mark(cp)) {
			w->p.guard = true;
			w->units++;
		}
	}
	w->gap_units = w->gap_lines = w->gap_indent = 0;
	w->gap_line = NOWHERE;
	w->units += units;
	w->p.to = past;
	w->shown = true;
	w->opened = false;
	w->ended.marks = 0;
}

static enum step
full(struct task *t, size_t at, size_t past)
{
	t->at = at;
	t->past = past;
	return STEP_FULL;
}

static void
remember(struct split_walk *w, uint32_t cp)
{
	w->prev = cp;
	w->flags = is_flag(cp) ? w->flags + 1 : 0;
	if (is_white(cp))
		return;
	if (!is_closer(cp) || !w->sentence)
		w->sentence = ends_sentence(cp);
	w->cjk = is_cjk_punctuation(cp);
}

/* A code point of a line that is no fence line. */
static enum step
plain(struct split *s, struct split_walk *w, struct task *t, size_t at, uint32_t cp, size_t bytes)
{
	bool	 fenced = w->fence.marks != 0, newline = fenced && cp == '\n';

	if (!fenced && is_white(cp)) {
		add_gap(w, cp, at + bytes);
		remember(w, cp);
		return STEP_ON;
	}
	/* In a fence the last newline waits: the closing line brings one, too. */
	if (newline && w->gap_lines == 0 && (w->gap_units == 0 || w->opened)) {
		add_gap(w, cp, at + bytes);
		remember(w, cp);
		return STEP_ON;
	}
	if (arrive(s, w, t, at, t->notes == NULL ? CUT_NONE : grade(w, t, at, cp)))
		return STEP_STOP;
	show(s, w, at, newline ? at : at + bytes, newline ? 0 : utf16(cp), cp);
	if (is_over(s, w))
		return full(t, at, at + bytes);
	if (newline)
		add_gap(w, cp, at + bytes);
	remember(w, cp);
	return STEP_ON;
}

/* The held line, read up to `upto`, is no fence line. */
static enum step
flush(struct split *s, struct split_walk *w, struct task *t, size_t upto)
{
	enum step	 step;
	uint32_t	 cp;
	size_t		 at, n;

	w->held = false;
	if (w->fence.marks != 0 && w->quotes < w->fence.quotes) {
		w->ended = w->fence;
		w->fence.marks = 0;
	}
	if (w->marks >= 3)
		w->danger = upto;
	for (at = w->line; at < upto; at += n) {
		s->steps++;
		n = decode(t->text, at, true, &cp);
		if ((step = plain(s, w, t, at, cp, n)) != STEP_ON)
			return step;
	}
	return STEP_ON;
}

static void
behind_fence_line(struct split_walk *w)
{
	w->held = false;
	w->gap_units = w->held_white;
	w->prev = 0;
	w->flags = 0;
	w->sentence = w->cjk = false;
}

static enum step
opening_line(struct split *s, struct split_walk *w, struct task *t, size_t past)
{
	struct split_fence	 f = {
		.at = w->line,
		.line_n = (uint32_t)(w->held_end - w->line),
		.line_units = (uint32_t)w->held_units,
		.quote_n = w->quote_n,
		.marks = w->marks,
		.quotes = w->quotes,
		.mark = w->mark,
	};

	if (w->fence.marks != 0) {	/* which was in a quote that does not go on */
		w->ended = w->fence;
		w->fence.marks = 0;
	}
	if (arrive(s, w, t, w->line, t->notes == NULL ? CUT_NONE : grade(w, t, w->line, 0)))
		return STEP_STOP;
	show(s, w, w->line, w->held_end, w->held_units, 0);
	w->fence = f;
	if (is_over(s, w))
		return full(t, w->line, past);
	behind_fence_line(w);
	w->opened = true;
	return STEP_ON;
}

static enum step
closing_line(struct split *s, struct split_walk *w, struct task *t, size_t past)
{
	/* Not a good place: the next piece would be an empty block. */
	if (arrive(s, w, t, w->line, CUT_NONE))
		return STEP_STOP;
	show(s, w, w->line, w->held_end, w->held_units, 0);
	w->fence.marks = 0;
	if (is_over(s, w))
		return full(t, w->line, past);
	behind_fence_line(w);
	return STEP_ON;
}

/* A held line that ends.  What ends it is not part of it. */
static enum step
end_held(struct split *s, struct split_walk *w, struct task *t, size_t at, size_t past)
{
	bool	 within = w->fence.marks != 0 && w->quotes >= w->fence.quotes;

	if (w->phase == LEAD || w->marks < (within ? w->fence.marks : 3))
		return flush(s, w, t, at);
	return within ? closing_line(s, w, t, past) : opening_line(s, w, t, past);
}

/* Does the held line stay one that may become a fence line? */
static bool
holds(const struct split *s, struct split_walk *w, size_t at, uint32_t cp, size_t bytes)
{
	bool	 within = w->fence.marks != 0 && w->quotes >= w->fence.quotes;
	/* Behind an opening line it is what a piece loses at its end. */
	bool	 white = within ? cp == ' ' || cp == '\t' || cp == '\r' : is_white(cp);

	if (white && w->phase != LEAD) {
		if (w->phase == MARKS) {
			if (w->marks < (within ? w->fence.marks : 3))
				return false;
			w->phase = within ? TRAIL : INFO;
		}
		w->held_white += utf16(cp);
		return true;
	}
	if (w->held_units + w->held_white + utf16(cp) > s->fence_max)
		return false;
	w->held_units += w->held_white + utf16(cp);
	w->held_white = 0;
	w->held_end = at + bytes;
	switch (w->phase) {
	case LEAD:
		if (cp == '>' && !within && w->quotes < QUOTES_MAX) {
			w->quotes++;
			w->spaces = 0;
			w->quoted = true;
			w->quote_n = (uint32_t)(at + 1 - w->line);
			return true;
		}
		if (cp == ' ') {
			if (w->quoted)
				w->quote_n++;
			else if (++w->spaces > INDENT_MAX)
				return false;
			w->quoted = false;
			return true;
		}
		if ((cp != '`' && cp != '~') || (within && (char)cp != w->fence.mark))
			return false;
		w->phase = MARKS;
		w->mark = (char)cp;
		w->mark_at = at;
		w->marks = 1;
		return true;
	case MARKS:
		if (cp == (unsigned char)w->mark) {
			w->marks++;
			return true;
		}
		if (within || w->marks < 3)
			return false;
		w->phase = INFO;
		return true;
	case INFO:
		return cp != '`' || w->mark != '`';
	default:
		return false;
	}
}

static enum step
walk_on(struct split *s, struct split_walk *w, struct task *t)
{
	enum step	 step;
	uint32_t	 cp;
	size_t		 at, n;

	while (w->pos < t->text.n) {
		at = w->pos;
		if ((n = decode(t->text, at, t->end, &cp)) == 0)
			return STEP_ON;
		s->steps++;
		if (w->held) {
			if (cp != '\n') {
				if (holds(s, w, at, cp, n)) {
					w->pos += n;
					continue;
				}
				step = flush(s, w, t, at);
			} else
				step = end_held(s, w, t, at, at + 1);
			if (step != STEP_ON)
				return step;
		}
		if ((step = plain(s, w, t, at, cp, n)) != STEP_ON)
			return step;
		w->pos = at + n;
	}
	if (t->end && w->held)
		return end_held(s, w, t, t->text.n, t->text.n);
	return STEP_ON;
}

/* ---- what should stay whole ---- */

static uint8_t
byte_at(const struct task *t, size_t at)
{
	return at < t->past ? (uint8_t)t->text.p[at] : 0;
}

static bool
is_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/*
 * <@id> <@!id> <@&id> <#id> <:name:id> <a:name:id> <t:time:f> </name:id> <id:place>.
 * Its end, which is t->past when it may go on; 0: none.
 */
static size_t
mention_end(const struct task *t, size_t at)
{
	uint8_t	 c = byte_at(t, at + 1);
	size_t	 i;

	if (at + 1 < t->past && strchr("@#:ati/", c) == NULL)
		return 0;
	for (i = at + 1; i < t->past && i - at < MENTION_BYTES; i++) {
		uint8_t	 d = byte_at(t, i);

		if (d == '>')
			return i + 1;
		if (!is_word(d) && d < 0x80 && strchr("@#:!&/-", d) == NULL && !(d == ' ' && c == '/'))
			return 0;
		if (d == 0)
			return 0;
	}
	return i == t->past ? i : 0;
}

/* The end of a URL that starts here, which is t->past when it may go on; 0: none. */
static size_t
url_end(struct split *s, const struct task *t, size_t at, bool in_brackets)
{
	static const char *const	 schemes[] = { "https://", "http://" };
	size_t				 i, k, left = t->past - at;
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
	for (i = at + (left < n ? left : n); i < t->past; i += n) {
		n = decode(span_make(t->text.p, t->past), i, true, &cp);
		s->steps++;
		if (is_white(cp) || cp == '<' || cp == '>' || cp == '"' || cp == '`' || is_cjk_punctuation(cp) ||
		    (cp == ']' && (in_brackets || byte_at(t, i + 1) == '(')))
			break;
	}
	return i;
}

/* The end of "url)" that starts here, which is t->past when it may go on; 0: none. */
static size_t
target_end(struct split *s, const struct task *t, size_t at)
{
	unsigned	 parens = 0;
	uint8_t		 c;

	for (; at < t->past; at++) {
		s->steps++;
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
keep(const struct split_walk *w, struct task *t, size_t from, size_t to, uint8_t note)
{
	size_t	 i;

	for (i = from + 1; i < to; i++)
		t->notes[i - w->start] |= note;
}

/* What is unfinished at the end of the notes counts as whole: more of the text may finish it. */
static void
find_tokens(struct split *s, const struct split_walk *w, struct task *t)
{
	size_t	 open[BRACKETS_MAX], depth = 0, i, end, link_past = 0;
	bool	 fenced;
	uint8_t	 c;

	for (i = w->start; i < t->past; i++) {
		s->steps++;
		c = byte_at(t, i);
		fenced = (t->notes[i - w->start] & NOTE_FENCED) != 0;
		end = 0;
		if (c == '\n')
			depth = 0;
		else if (c == '\\' && !fenced && byte_at(t, i + 1) != '\n')
			i++;
		else if (c == '<') {
			if ((end = mention_end(t, i)) != 0)
				keep(w, t, i, end, NOTE_WHOLE);
			else if (i + 1 < t->past && (end = url_end(s, t, i + 1, depth > 0)) != 0)
				keep(w, t, i, end += byte_at(t, end) == '>', NOTE_WHOLE);
		} else if (c == 'h') {
			if ((end = url_end(s, t, i, depth > 0)) != 0) {
				if (i < link_past && end >= link_past && byte_at(t, link_past - 1) == ')')
					end = link_past - 1;
				keep(w, t, i, end, NOTE_WHOLE);
			}
		} else if (c == '[' && !fenced) {
			if (depth < BRACKETS_MAX)
				open[depth] = i;
			depth++;
		} else if (c == ']' && !fenced && depth > 0) {
			depth--;
			if (depth >= BRACKETS_MAX)
				continue;
			if (i + 1 == t->past)
				end = t->past;
			else if (byte_at(t, i + 1) == '(')
				end = target_end(s, t, i + 2);
			if (end != 0)
				keep(w, t, open[depth], link_past = end, NOTE_LINK);
			end = 0;	/* a URL in it is found on the way */
		}
		if (end > i)
			i = end - 1;
	}
	if (depth > 0)
		keep(w, t, open[0], t->past, NOTE_LINK);
}

/* ---- the cut ---- */

/* The place to cut: of the best, the last.  NOWHERE: there is none. */
static size_t
best_cut(const struct split_walk *w, const struct task *t)
{
	size_t	 i, at = NOWHERE;
	unsigned	 best = 0, note, rank;

	for (i = 0; i < t->past - w->start; i++) {
		note = t->notes[i];
		if ((rank = note & NOTE_CUT) == CUT_NONE)
			continue;
		if (rank > CUT_ANY && (note & NOTE_HALF) != 0)
			rank |= 0x10;
		if (rank > CUT_LAST && (note & NOTE_WHOLE) == 0)
			rank |= (note & NOTE_LINK) != 0 ? 0x20 : 0x40;
		if (rank >= best) {
			best = rank;
			at = w->start + i;
		}
	}
	return at;
}

/* The walk over the piece after a cut.  w: the walk that stopped there. */
static void
start_next(struct split *s, const struct split_walk *w, const struct task *t, size_t at)
{
	struct split_walk	*n = &s->first;
	uint8_t			 c = (uint8_t)t->text.p[at];
	bool			 inside;

	*n = (struct split_walk){ .gap_line = NOWHERE };
	if (w->fence.marks != 0) {
		inside = at != w->line;
		n->p.open = n->fence = w->fence;
		n->units = w->fence.line_units + 1;
		n->lines = 1;
		if (inside) {
			n->p.quote_at = w->fence.at;
			n->p.quote_n = w->fence.quote_n;
			n->p.guard = is_mark(c) || c == ' ';
		}
	} else if (w->gap_line != NOWHERE && w->gap_indent <= s->fence_max) {
		inside = false;
		at = n->gap_line = w->gap_line;
	} else {
		inside = true;
		n->p.guard = is_mark(c);
		if (w->gap_line == NOWHERE) {
			n->p.quote_at = w->line;
			n->p.quote_n = w->quote_n;
		}
	}
	n->units += n->p.quote_n + n->p.guard;
	n->start = n->pos = n->p.from = n->p.to = at;
	if (inside) {
		n->line = w->line;
		n->quote_n = w->quote_n;
	} else
		next_line(n, at);
}

/* As the piece would be if the text ended here. */
static struct split_piece
piece_now(const struct split_walk *w)
{
	struct split_piece	 p = w->p;

	p.close = w->ended.marks != 0 ? w->ended : w->fence;
	return p;
}

/* The growing piece is full: the item from t->at to t->past does not fit. */
static void
cut(struct split *s, struct task *t)
{
	struct split_walk	 w = s->first;
	enum step		 step;
	size_t			 at;

	t->notes = mem_array(t->past - w.start, 1);
	step = walk_on(s, &w, t);
	assert(step == STEP_FULL);
	w = s->first;
	find_tokens(s, &w, t);
	if ((at = best_cut(&w, t)) == NOWHERE)
		at = t->at;
	free(t->notes);
	t->notes = NULL;
	t->stop = at;
	step = walk_on(s, &w, t);
	t->stop = NOWHERE;
	assert(step == STEP_STOP && w.shown);

	if (s->final_n == s->final_cap) {
		s->final_cap = s->final_cap == 0 ? 4 : 2 * s->final_cap;
		s->final = mem_grow(s->final, s->final_cap, sizeof(*s->final));
	}
	s->final[s->final_n++] = piece_now(&w);
	start_next(s, &w, t, at);
	s->walk = s->first;
}

void
split_init(struct split *s, uint32_t limit, uint32_t max_lines)
{
	assert(limit >= SPLIT_LIMIT_MIN && (max_lines == 0 || max_lines >= SPLIT_LINES_MIN));
	*s = (struct split){ .limit = limit, .max_lines = max_lines, .fence_max = limit / 6 };
	next_line(&s->first, 0);
	s->walk = s->first;
}

void
split_fini(struct split *s)
{
	free(s->final);
	*s = (struct split){ 0 };
}

size_t
split_text(struct split *s, struct span text, bool end)
{
	struct task	 t = { .text = text, .end = end, .stop = NOWHERE };

	assert(text.n >= s->text_n && (!s->ended || (end && text.n == s->text_n)));
	s->text_n = text.n;
	s->ended = end;
	while (walk_on(s, &s->walk, &t) == STEP_FULL)
		cut(s, &t);
	return s->final_n + s->walk.shown;
}

struct split_piece
split_piece(const struct split *s, size_t i)
{
	assert(i < s->final_n + s->walk.shown);
	return i < s->final_n ? s->final[i] : piece_now(&s->walk);
}

static void
add_clean(struct buf *out, struct span t)
{
	size_t		 at, n, good = 0;
	uint32_t	 cp;

	for (at = 0; at < t.n; at += n) {
		n = decode(t, at, true, &cp);
		if (cp != REPLACEMENT)
			continue;
		buf_add(out, t.p + good, at - good);
		buf_add_span(out, SPAN("\xef\xbf\xbd"));
		good = at + n;
	}
	buf_add(out, t.p + good, t.n - good);
}

void
split_render(const struct split *s, size_t i, struct span text, struct buf *out)
{
	struct split_piece	 p = split_piece(s, i);
	uint32_t		 k;

	assert(text.n == s->text_n);
	if (p.open.marks != 0) {
		add_clean(out, span_make(text.p + p.open.at, p.open.line_n));
		buf_add(out, "\n", 1);
	}
	buf_add(out, text.p + p.quote_at, p.quote_n);
	if (p.guard)
		buf_add_span(out, SPAN(GUARD));
	add_clean(out, span_make(text.p + p.from, p.to - p.from));
	if (p.close.marks != 0) {
		buf_add(out, "\n", 1);
		buf_add(out, text.p + p.close.at, p.close.quote_n);
		for (k = 0; k < p.close.marks; k++)
			buf_add(out, &p.close.mark, 1);
	}
}
