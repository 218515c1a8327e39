/*
 * think - tells an answer's text from the thoughts in it.
 *
 * Pure.  Inline <think> at the very beginning is reasoning; later it is text.  Where a template
 * writes the opening tag itself, only the closing one arrives, at the end of a line: what came
 * before it was reasoning too, and is taken back.  Who knows a model that does so says that it
 * expects it; then nothing is handed out before it is known.
 *
 * Owner: embedded in a codec.
 */
#ifndef WORKER_CHAT_THINK_H
#define WORKER_CHAT_THINK_H

#include "common/mem.h"
#include "common/span.h"

/* Any may be NULL.  Spans are borrowed for the call, never empty. */
struct think_ops {
	void	(*text)(void *arg, struct span);
	void	(*retract)(void *arg);		/* all text so far was reasoning; at most once */
	void	(*reasoning)(void *arg, struct span);
};

/*
 * GUESS: as thoughts, because the caller expects some; text after all when a whole answer has
 * nothing that closes them.
 * SPEAKS: text, in which a lone </think> may still tell that it was none.  OUT: text, to the end.
 */
enum think_state { THINK_START, THINK_IN, THINK_AFTER, THINK_GUESS, THINK_SPEAKS, THINK_OUT };

struct think {
	struct think_ops	 ops;
	void			*arg;
	enum think_state	 state;
	unsigned		 depth;		/* of <think> inside <think> */
	bool			 closed;	/* one </think> was seen inside */
	bool			 expected;	/* thoughts without an opening tag */
	bool			 lone;		/* a </think> closed what nothing had opened */
	bool			 spoke;		/* text was handed out that was not taken back */
	char			 before;	/* the byte of the text before what is held */
	struct buf		 held;		/* may be the beginning of a tag */
	struct buf		 spare;		/* after the first of several </think> */
};

void	 think_init(struct think *, const struct think_ops *, void *arg);	/* ops are copied */
void	 think_fini(struct think *);
/* Before the first text: it begins with thoughts that only a closing tag ends. */
void	 think_expect(struct think *);
void	 think_take(struct think *, struct span text);		/* whole UTF-8 */
/* Thoughts that have a field of their own: none are to be expected in the text. */
void	 think_apart(struct think *, struct span thoughts);
/*
 * Nothing more will come: what was held back is what it looks like.
 *	whole	the answer came to an end of its own; what is expected to be thoughts, and nothing
 *		has closed, is text only then
 */
void	 think_end(struct think *, bool whole);

#endif
