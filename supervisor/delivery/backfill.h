/*
 * backfill - which channels are asked for what was said while no session was there, and what
 * becomes of each.  Pure: no sockets, no clock, no journal.
 *
 * A plan is the gap's own record (struct journal_gap): one row per channel, the most recently active
 * first, and counts.  It may be written down after each step and taken up by another process.
 *
 *  - Direct messages, and channels of guilds that were active within a day.
 *  - At most so many requests in all; a page is 100 messages, a full one is followed by another.
 *  - Nothing older than age is asked for: an id says when it was made.
 * Source: Discord docs, resources/message (get channel messages: after, limit 1 to 100, newest
 * first); reference (snowflakes: an id for a time is valid in pagination).
 */
#ifndef SUPERVISOR_BACKFILL_H
#define SUPERVISOR_BACKFILL_H

#include "common/mem.h"
#include "supervisor/journal/journal.h"

#define BACKFILL_PAGE		100
#define BACKFILL_AT_ONCE	4		/* requests under way */
#define BACKFILL_ACTIVE_MS	(24 * 60 * 60 * 1000ull)
#define BACKFILL_PATH_BYTES	96

enum backfill_state {			/* struct journal_gap_row.state; in journals */
	BACKFILL_DUE,
	BACKFILL_ASKED,
	BACKFILL_FILLED,
	BACKFILL_REFUSED,		/* Discord does not show it to us: 403, 404 */
	BACKFILL_FAILED,		/* no answer in time, or another one */
	BACKFILL_SKIPPED		/* beyond the bound of requests */
};

struct backfill_limits {
	uint64_t	 requests, age_ms;
	size_t		 rows;		/* at most JOURNAL_GAP_ROWS */
};

/* Of a plan that is done: the rows of what was filled go, who was not stays to be named. */
void	 backfill_leave_missing(struct journal_gap *g);
/*
 * A new plan in g.
 *	known	most recently active first
 *	old	a gap that was not done when this one began, or NULL: what it still owed is asked from
 *		where it stood, and its messages and requests count on
 *	from_ms, now_ms		wall
 */
void	 backfill_plan(struct journal_gap *g, const struct journal_channel *known, size_t n,
	    const struct journal_gap *old, const struct backfill_limits *, uint64_t from_ms,
	    uint64_t now_ms);
/* The new session is live: what is older than age by now is not asked for. */
void	 backfill_live(struct journal_gap *g, const struct backfill_limits *, uint64_t now_ms);
/* What a dead process, or a lost session, had asked is due again. */
void	 backfill_again(struct journal_gap *g);
/*
 * The row to be asked next, which is ASKED then, and its path; -1: none now.  What the bound of
 * requests leaves over is SKIPPED.
 */
int	 backfill_next(struct journal_gap *g, const struct backfill_limits *, uint64_t now_ms,
	    char path[BACKFILL_PATH_BYTES]);
/* A page was taken: messages in it, the newest id.  True: the row is due for another one. */
bool	 backfill_page_taken(struct journal_gap *g, size_t row, size_t messages, uint64_t newest);
/* An answer that was none; status: of HTTP, 0 none. */
void	 backfill_not_answered(struct journal_gap *g, size_t row, uint64_t status);
/* The time is up: what is due or asked has failed. */
void	 backfill_give_up(struct journal_gap *g);
/* Is every row settled? */
bool	 backfill_done(const struct journal_gap *g);
/* Did it give all that can be asked for? */
bool	 backfill_whole(const struct journal_gap *g);

struct backfill_message {
	uint64_t	 id;
	struct span	 text;		/* the object, borrowed from the page */
};
/* The messages of a page, oldest first; -1: it is no list of at most 100 messages. */
int	 backfill_page(struct span page, struct backfill_message v[BACKFILL_PAGE]);
/*
 * The body of the MESSAGE_CREATE that did not come: REST leaves out guild_id (and member and
 * channel_type, which nobody can make up).
 */
void	 backfill_body(struct span message, uint64_t guild, struct buf *out);

#endif
