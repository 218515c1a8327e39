/*
 * split - a growing text cut into Discord messages.
 *
 * Pure: no sockets, no clock.  The text only grows; every piece but the last is final and never changes.
 * Work is amortised O(1) for each added byte: each code point is looked at once while it arrives and
 * a few times more when the piece that it is in is cut.  The result depends on the bytes alone,
 * not on how they arrived.
 *
 *  - A piece has at most `limit` UTF-16 units and `max_lines` lines, inserted text included.
 *  - A code fence that is open at the end of a piece is closed there, and opened again in the next one
 *    by its opening line (quote prefix, indent, marker, info string).
 *  - The last of the best breaks in the second half of a piece is taken, else in the first half:
 *    blank line, newline, end of a sentence, white space, CJK punctuation; else any code point.
 *  - Never inside a grapheme, a mention, a URL or [text](url), if it fits into a piece by itself.
 *  - White space around pieces belongs to none, because Discord trims it and refuses blank messages;
 *    the indent of a first line stays.  In a fence one newline at the most is dropped.
 *  - A quoted line that is cut goes on behind its quote prefix.  Where the rest of a line would be read
 *    as a fence, and nothing else can be done, U+200B goes before it.
 *  - Invalid UTF-8 is U+FFFD, one for each maximal part (as the WHATWG encoding standard has it).
 *  - While the text may still grow, what is undecided at its end is not shown: trailing white
 *    space, half a code point, the start of a line that may become a fence.
 *
 * Fences are those of CommonMark, except that an opening or closing line longer than limit / 6 units,
 * white space behind it not counted, is none.
 *
 * Owner: the stream, which also keeps the text.  Offsets are in bytes of that text, absolute.
 * Source: CommonMark 0.31 section 4.5; Discord docs, resources/message (2000); those of codepoint and
 * token.
 */
#ifndef WORKER_REST_SPLIT_H
#define WORKER_REST_SPLIT_H

#include "common/mem.h"
#include "common/span.h"

#define SPLIT_LIMIT_MIN		64
#define SPLIT_LINES_MIN		4
#define SPLIT_LIMIT_DISCORD	2000
#define SPLIT_LINES_DISCORD	17	/* taller messages are folded by clients */

/* A code fence, by its opening line.  marks 0: none. */
struct split_fence {
	size_t		 at;		/* of the opening line */
	uint32_t	 line_n;	/* its bytes, without white space at the end */
	uint32_t	 line_units;
	uint32_t	 quote_n;	/* of line_n: quote prefix */
	uint32_t	 marks;
	uint8_t		 quotes;	/* depth */
	char		 mark;		/* '`' or '~' */
};

/* Shown as: opening line of `open`, quote prefix, guard, source [from, to), closing line of `close`. */
struct split_piece {
	size_t			 from, to;
	struct split_fence	 open, close;
	size_t			 quote_at;	/* in the text; quote_n 0: none */
	uint32_t		 quote_n;
	bool			 guard;
};

/* One walk over a piece: split.c only. */
struct split_walk {
	struct split_piece	 p;
	bool			 shown;		/* the piece has content */
	size_t			 start, pos;
	size_t			 units;		/* of all that goes before `to` */
	size_t			 lines;		/* newlines in it */
	size_t			 gap_units, gap_lines;	/* seen, but not yet in the piece */
	size_t			 gap_line;	/* start of the line that the gap ends in */
	size_t			 gap_indent;	/* units from there */

	struct split_fence	 fence;		/* that is open */
	struct split_fence	 ended;		/* that the end of its quote closed, until more is shown */
	bool			 opened;	/* nothing yet behind the opening line */

	size_t			 line;		/* start of this line */
	bool			 held;		/* it may still become a fence line */
	uint8_t			 phase, quotes, spaces;
	bool			 quoted;	/* the byte before is a quote mark */
	char			 mark;
	uint32_t		 marks, quote_n;
	size_t			 held_units, held_end;	/* up to its last visible code point */
	size_t			 held_white;	/* units behind that */
	size_t			 mark_at;	/* the first of the marks */
	size_t			 danger;	/* a piece that ends before it would end in a fence line; 0 none */

	uint32_t		 prev, flags;	/* code point before; of them in a row, when they make flags */
	bool			 sentence, cjk;	/* what the last visible code point ended */
};

struct split {
	uint32_t		 limit, max_lines, fence_max;
	struct split_piece	*final;		/* owned */
	size_t			 final_n, final_cap;
	struct split_walk	 walk;		/* over the piece that still grows */
	struct split_walk	 first;		/* the same before its first byte */
	size_t			 text_n;
	bool			 ended;
	uint64_t		 steps;		/* code points and bytes looked at, repetitions included: for tests */
};

/*
 * A new text.
 *	limit		UTF-16 units, from SPLIT_LIMIT_MIN; what the owner will append to a piece must be left out of it
 *	max_lines	0 none, else from SPLIT_LINES_MIN
 */
void	 split_init(struct split *, uint32_t limit, uint32_t max_lines);
void	 split_fini(struct split *);

/*
 * The text so far: what was given before, and more behind it.
 *	text	borrowed for the call; may have moved
 *	end	nothing follows; after it the text must not grow
 * Number of pieces; all but the last are final (with `end`, all).  None while the text is blank.
 */
size_t	 split_text(struct split *, struct span text, bool end);

/* One of those that split_text counted. */
struct split_piece split_piece(const struct split *, size_t i);

/* Appends piece i, valid UTF-8, to out.  text: as in the last split_text. */
void	 split_render(const struct split *, size_t i, struct span text, struct buf *out);

#endif
