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

#include "worker/rest/codepoint.h"
#include "worker/rest/split.h"
#include "worker/rest/token.h"

#define NOWHERE		SIZE_MAX
#define GUARD		"\xe2\x80\x8b"
#define INDENT_MAX	3	/* CommonMark: four are an indented code block */
#define QUOTES_MAX	8

/* What a byte is in the notes of a walk: how good it is to cut before it, and flags. */
enum { CUT_NONE, CUT_LAST, CUT_GUARDED, CUT_ANY, CUT_CJK, CUT_SPACE, CUT_SENTENCE, CUT_LINE, CUT_BLANK };
#define NOTE_CUT	0x0f
#define NOTE_HALF	0x10	/* in the second half of the piece; above it those of token */

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

/* The rest of a line that starts with it may be read as a quote or a fence. */
static bool
is_mark(uint32_t cp)
{
	return cp == '`' || cp == '~' || cp == '>';
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
	w->gap_units += codepoint_utf16(cp);
	w->gap_indent += codepoint_utf16(cp);
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
	if (codepoint_extends(cp) || w->prev == CODEPOINT_JOINER ||
	    (codepoint_is_flag(cp) && w->flags % 2 == 1))
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
	if (w->cjk && !codepoint_is_cjk_punctuation(cp))
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
			cut |= TOKEN_CODE;
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
	w->flags = codepoint_is_flag(cp) ? w->flags + 1 : 0;
	if (codepoint_is_white(cp))
		return;
	if (!codepoint_is_closer(cp) || !w->sentence)
		w->sentence = codepoint_ends_sentence(cp);
	w->cjk = codepoint_is_cjk_punctuation(cp);
}

/* A code point of a line that is no fence line. */
static enum step
plain(struct split *s, struct split_walk *w, struct task *t, size_t at, uint32_t cp, size_t bytes)
{
	bool	 fenced = w->fence.marks != 0, newline = fenced && cp == '\n';

	if (!fenced && codepoint_is_white(cp)) {
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
	show(s, w, at, newline ? at : at + bytes, newline ? 0 : codepoint_utf16(cp), cp);
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
		n = codepoint_at(t->text, at, true, &cp);
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
	bool	 white = within ? cp == ' ' || cp == '\t' || cp == '\r' : codepoint_is_white(cp);

	if (white && w->phase != LEAD) {
		if (w->phase == MARKS) {
			if (w->marks < (within ? w->fence.marks : 3))
				return false;
			w->phase = within ? TRAIL : INFO;
		}
		w->held_white += codepoint_utf16(cp);
		return true;
	}
	if (w->held_units + w->held_white + codepoint_utf16(cp) > s->fence_max)
		return false;
	w->held_units += w->held_white + codepoint_utf16(cp);
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
		if ((n = codepoint_at(t->text, at, t->end, &cp)) == 0)
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
		if (rank > CUT_LAST && (note & TOKEN_PART) == 0)
			rank |= (note & TOKEN_INSIDE) != 0 ? 0x20 : 0x40;
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
	struct token_text	 tokens;
	enum step		 step;
	size_t			 at;

	t->notes = mem_array(t->past - w.start, 1);
	step = walk_on(s, &w, t);
	assert(step == STEP_FULL);
	w = s->first;
	tokens = (struct token_text){
		.text = span_make(t->text.p, t->past), .start = w.start, .notes = t->notes,
		.steps = &s->steps,
	};
	token_find(&tokens);
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
		n = codepoint_at(t, at, true, &cp);
		if (cp != CODEPOINT_REPLACEMENT)
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
