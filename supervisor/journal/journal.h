/*
 * journal - what must outlive the process: one mapped file, a ring of checksummed records.
 *
 * Which file here does what stands in state.h.  No clock: wall time comes in.
 * Owner: struct sup, which closes it last.
 *
 * The file has a fixed size.  Records are appended; when the ring comes round, records that still
 * matter (survivors) are copied forward.  Nothing here waits for a disk: the file belongs on tmpfs.
 * A process killed at any instruction leaves at worst one torn record at the end, which was never
 * acted upon and is dropped silently.  Anything else that does not check is damage: see
 * journal_report.
 */
#ifndef SUPERVISOR_JOURNAL_H
#define SUPERVISOR_JOURNAL_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <sys/types.h>
#include "common/mem.h"
#include "common/span.h"
#include "supervisor/gateway/gateway.h"

#define JOURNAL_ROUTE_MAX	256	/* longer routes are kept as their hash */
/*
 * Finished ids that are remembered, as far as a quarter of the journal holds them.  Time plays no
 * part: a wall clock that jumps must not make one forget what was answered.
 */
#define JOURNAL_FINISHED_MAX	16384
#define JOURNAL_LETTERS_MAX	4096	/* dead letters; they take an eighth of the journal at most */
#define JOURNAL_REPORT_MAX	1024	/* crash report of a dead letter */
#define JOURNAL_CHANNELS_MAX	4096	/* whose last message is remembered; fewer in a small one */
#define JOURNAL_GAP_ROWS	200	/* channels of one back-fill */
#define JOURNAL_GAP_ORDERS	(1u << 20)	/* places in the order kept free for it */

struct journal;

/* One changing call of a delivery. */
struct effect {
	uint64_t	 ordinal;
	char		*route;		/* "POST /channels/1/messages" */
	uint64_t	 asked_ms;	/* wall */
	bool		 done;
	uint64_t	 status, id;	/* when done */
};

enum dlv_state {
	DLV_WAITING,		/* for credit or for its turn */
	DLV_GIVEN,		/* a worker has it */
	DLV_ASIDE,		/* dead letter: see enum dlv_aside */
	DLV_FINISHED		/* acked; kept for deduplication and explain */
};

/* In the journal as numbers: new ones at the end. */
enum dlv_aside {
	ASIDE_POISON, ASIDE_DOUBT, ASIDE_REFUSED, ASIDE_TOOBIG,
	ASIDE_STALE,		/* an unfinished answer that is too old to go on with */
	ASIDE_DEADLINE,		/* it was not finished in time */
	ASIDE__KINDS
};

/* How one ends that is not set aside. */
enum dlv_ending {
	ENDS_ACKED,
	ENDS_CANCELLED,		/* what it is about was deleted; set before it is finished */
	ENDS_DROPPED		/* a dead letter that was let go */
};

struct qkey;
struct qworker;
struct channel;

/*
 * One delivery: an event for one pool.  Owned by the journal; the part below the line belongs
 * to delivery/queue.
 */
struct delivery {
	/*
	 * The journal's own, and what it looks at when an old one is let go: in one place, since it
	 * is long out of every cache.
	 */
	uint64_t	 id;
	struct delivery	*next;		/* of its chain of the table by id */
	TAILQ_ENTRY(delivery) in_state;	/* journal's list per state, in order */
	uint64_t	 place;		/* of the record that holds it whole */
	uint64_t	 live_bytes;	/* most that this record can take when it is copied */
	uint64_t	 home_bytes;	/* what it takes now: changes with place */
	uint64_t	 finished_ms;	/* wall; before that: of its return from the dead letters, or 0 */
	uint32_t	 body_bytes;
	enum dlv_state	 state;
	size_t		 effects_n;
	struct effect	*effects;
	char		*report;	/* when DLV_ASIDE: why */
	struct channel	*channel;	/* whose message it is; NULL: none, or not known */
	bool		 shed;

	/* rises with arrival, survives restarts; sorts redeliveries */
	uint64_t	 order;
	uint64_t	 object;	/* id of the object, for explain; 0 */
	uint64_t	 key;
	uint64_t	 seq;
	uint32_t	 shard;
	char		 pool[33];
	char		 name[65];
	uint8_t		 pool_n, name_n, worker_n;	/* how long these are: asked several times an event */
	uint8_t		 attempt;	/* times given */
	uint8_t		 charges;	/* deaths it is charged with */
	bool		 replayed, control;
	enum dlv_aside	 aside;		/* when DLV_ASIDE */
	enum dlv_ending	 ending;
	uint64_t	 received_ms, given_ms;	/* wall */
	uint64_t	 session;	/* hash of the gateway session it came from */
	char		 worker[64];	/* tag of the last worker it was given to */
	TAILQ_ENTRY(delivery) in_shed;	/* while it waits */
	/* ---- delivery/queue ---- */
	TAILQ_ENTRY(delivery) in_key;
	TAILQ_ENTRY(delivery) in_worker;	/* while it waits: among those that may be shed */
	RB_ENTRY(delivery) by_due;
	uint64_t	 due_ms;	/* monotonic: its deadline; 0 none */
	uint64_t	 alarm_ms;	/* when the queue looks at it again; 0: not in the tree */
	struct qkey	*qkey;
	struct qworker	*qworker;
	uint8_t		 kind;		/* of its line */
	bool		 suspect;	/* redelivered alone */
	bool		 told;		/* its worker was told to cancel it */
	bool		 leads;		/* its EVENT said that nothing of its key is before it */
	bool		 overdue;	/* its worker is killed for not doing so */
};

/* What was asked under this ordinal; NULL nothing. */
static inline struct effect *
delivery_effect(const struct delivery *d, uint64_t ordinal)
{
	for (size_t i = 0; i < d->effects_n; i++)
		if (d->effects[i].ordinal == ordinal)
			return &d->effects[i];
	return NULL;
}

struct journal_report {
	bool		 created;	/* there was no file, or one of another size or version */
	bool		 damaged;
	uint64_t	 records_n, damaged_n;	/* good ones; places that did not check */
	uint64_t	 unfinished_n, doubt_n, finished_n, aside_n;
	bool		 tmpfs;		/* false: one warning is due */
	char		 text[256];	/* the sentence for log and status when damaged */
};

/*
 * Open or create, check every record, rebuild the table.
 *	bytes	size of the file; a file of another size is emptied only when it is not a journal; a
 *		journal of another size is read, and its survivors are written into the new one
 *	now_ms	wall
 * NULL with why_r for what the file system refuses.  Damage is never a failure.
 */
struct journal	*journal_open(const char *path, uint64_t bytes, uint64_t now_ms,
		    struct journal_report *report_r, const char **why_r);
void		 journal_close(struct journal **);
/* Would this build read it?  Looks at how it begins.  0, or -1 with why; no file is fine. */
int		 journal_readable(const char *path, const char **why_r);

struct journal_event {
	uint64_t	 delivery, object, key, seq;
	uint32_t	 shard;
	struct span	 pool, name, body;
	bool		 replayed, control, shed;	/* shed: may be dropped at the bound */
	/*
	 * said: the object is a message, key its channel, which is remembered with guild (0: a
	 * direct message).
	 */
	bool		 said;
	uint64_t	 guild;
	uint64_t	 order;		/* of journal_gap_order; 0: the newest */
};
/*
 * Record an event for a pool.
 * 1 it is new (d_r); 0 it is known, whatever its state (d_r); -1 no room even after
 * dropping what may be shed: nothing was written.  A body above an eighth of the journal is set
 * aside by name (1, state DLV_ASIDE, ASIDE_TOOBIG).
 */
int	 journal_event(struct journal *, const struct journal_event *, uint64_t now_ms,
	    struct delivery **d_r);
/* Told of each waiting delivery that is dropped at the bound, before it is gone. */
void	 journal_on_drop(struct journal *, void (*fn)(struct delivery *, void *arg), void *arg);
struct delivery *journal_find(struct journal *, uint64_t delivery);
/* The body; borrowed until the next write to the journal. */
struct span journal_body(struct journal *, const struct delivery *);

/* It is DLV_GIVEN, with one more attempt. */
void	 journal_given(struct journal *, struct delivery *, const char *worker, uint64_t now_ms);
void	 journal_returned(struct journal *, struct delivery *, bool charged);	/* DLV_WAITING */
/*
 * An ordinal that was asked before: 0 and the effect as it stands in *e_r; 1 newly recorded; -1
 * above PROTO_EFFECTS_MAX or without room.
 */
int	 journal_asked(struct journal *, struct delivery *, uint64_t ordinal, struct span route,
	    uint64_t now_ms, struct effect **e_r);
/* The last asking of this ordinal certainly had no effect: the next one is the first. */
void	 journal_unasked(struct journal *, struct delivery *, uint64_t ordinal);
/* Is it the same route?  Long ones are compared by their hash. */
bool	 journal_effect_is(const struct effect *, struct span route);
void	 journal_effect(struct journal *, struct delivery *, uint64_t ordinal, uint64_t status,
	    uint64_t id);
/* Its body is dropped. */
void	 journal_finished(struct journal *, struct delivery *, uint64_t now_ms);
void	 journal_aside(struct journal *, struct delivery *, enum dlv_aside, const char *report,
	    uint64_t now_ms);
/* It is not wanted any more: ENDS_CANCELLED from here on, whatever becomes of us. */
void	 journal_cancelled(struct journal *, struct delivery *);
/*
 * A dead letter goes back: DLV_WAITING, without charges, with all that was asked and done.  False:
 * its body was never kept.
 */
bool	 journal_retried(struct journal *, struct delivery *, uint64_t now_ms);
/* A dead letter is let go: finished, as ENDS_DROPPED. */
void	 journal_let_go(struct journal *, struct delivery *, uint64_t now_ms);
/* A waiting one that may be shed is forgotten; the caller says so. */
void	 journal_shed(struct journal *, struct delivery *);
/*
 * First of a state; follow in_state.  In order of arrival, but: those given in the order of giving,
 * those returned since the start ahead of the other waiting ones, finished and aside in the order
 * of becoming so.
 */
struct delivery *journal_first(struct journal *, enum dlv_state);
uint64_t journal_count(struct journal *, enum dlv_state);

/* Gateway. */
void	 journal_identity(struct journal *, const struct gw_identity *);
/* Goes into the header page, without a record. */
void	 journal_seq(struct journal *, uint32_t shard, uint64_t seq);
void	 journal_budget(struct journal *, const struct gw_budget *);
bool	 journal_identity_get(struct journal *, uint32_t shard, struct gw_identity *);
bool	 journal_budget_get(struct journal *, struct gw_budget *);
/* What the bot shows of itself, as presence_make made it; borrowed, empty when it never was set. */
void	 journal_presence(struct journal *, struct span);
struct span journal_presence_get(const struct journal *);

/* The channels whose last message is known. */
struct journal_channel {
	uint64_t	 id, guild;	/* guild 0: direct messages */
	uint64_t	 last;		/* id of the newest message that was journaled */
	uint64_t	 last_ms;	/* wall, when that was */
};
/* Most recently active first; how many. */
size_t	 journal_channels(struct journal *, struct journal_channel *, size_t max);

/*
 * What a lost session left: which channels are asked for what was said meanwhile, from where, and
 * what came of it.  One record, the newest gap's; kept when it is done, for status.
 */
struct journal_gap_row {
	uint64_t	 channel, guild, after;
	uint32_t	 state;		/* of delivery/backfill.h */
	uint32_t	 recovered;
};
struct gap_counts {
	uint64_t	 requests;
	uint64_t	 channels;	/* that should be asked */
	uint64_t	 filled, refused, failed, skipped;	/* of them */
	uint64_t	 recovered, known;	/* messages: new ones, those it had already */
	uint64_t	 unasked_ms;	/* of the gap: too long ago */
};
struct journal_gap {
	uint64_t	 from_ms, lost_ms;	/* wall: last sign of the old session; its loss */
	uint64_t	 live_ms, done_ms;	/* wall: the next one was live; the end; 0 not yet */
	uint64_t	 order;			/* first of JOURNAL_GAP_ORDERS */
	struct gap_counts counts;
	bool		 due;			/* not done yet */
	size_t		 rows_n;
	struct journal_gap_row rows[JOURNAL_GAP_ROWS];
};
/* How many rows a journal of this size takes. */
size_t	 journal_gap_rows(struct journal *);
/* A new gap: what is journaled from here on comes behind what fills it.  Sets order. */
void	 journal_gap_open(struct journal *, struct journal_gap *);
void	 journal_gap_put(struct journal *, const struct journal_gap *);
bool	 journal_gap_get(struct journal *, struct journal_gap *);
/* The next place in the order of the open gap; taken when an event is journaled with it. */
uint64_t journal_gap_order(struct journal *);

/* Children, so that a successor can find them. starttime: field 22 of /proc/PID/stat. */
struct journal_child {
	pid_t		 pid;
	uint64_t	 starttime;
	bool		 rest;
	char		 tag[64];
};
void	 journal_child(struct journal *, const struct journal_child *);
void	 journal_child_gone(struct journal *, pid_t);
/* Those without a gone record; index from 0; false past the end. */
bool	 journal_child_at(struct journal *, size_t i, struct journal_child *);

struct journal_usage {
	uint64_t	 bytes, live_bytes, records, wraps, copied, dropped;
	uint64_t	 channels, channels_forgotten;	/* known; let go at the bound */
	bool		 tmpfs;
	const struct journal_report *opened;
};
void	 journal_usage(struct journal *, struct journal_usage *);
/* Free room below a quarter: the gateway should pause reading until deliveries finish. */
bool	 journal_tight(struct journal *);

/*
 * The stamped path of every delivery of this object, as a JSON array into out.  Number of
 * deliveries.
 */
size_t	 journal_explain(struct journal *, uint64_t object, struct buf *out);
/* One row of it. */
void	 journal_path(const struct delivery *, struct buf *out);

const char *dlv_state_name(const struct delivery *);	/* of a finished one: how */
const char *dlv_aside_name(enum dlv_aside);

#endif
