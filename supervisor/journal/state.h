/*
 * state - struct journal, and what the files of this room share.  Private to supervisor/journal/.
 *
 *	log.c		bytes: records, wrap, damage; knows nothing of what they mean
 *	record.c	a delivery to and from its record
 *	space.c		what is live, whether more fits, and the copying that makes room
 *	deliveries.c	the table of deliveries, and all that happens to one
 *	peers.c		gateway sessions, the identify budget, children
 *	channels.c	the last message of each channel, the gap of a lost session
 *	open.c		from a file to all of this, whatever became of it
 *	path.c		one delivery for `explain`
 */
#ifndef SUPERVISOR_JOURNAL_STATE_H
#define SUPERVISOR_JOURNAL_STATE_H

#include <sys/queue.h>

#include "supervisor/gateway/presence.h"
#include "supervisor/journal/journal.h"
#include "supervisor/journal/log.h"

#define SLACK_BYTES(cap)	((cap) / 16)	/* kept for what must always be written */
#define CLASSES_N	256			/* sizes in steps of at most an eighth */

/* A delivery whole; then pool, name, worker, report, effects with their routes, body. */
struct dlv_rec {
	uint64_t	 id, order, object, key, seq, session;
	uint64_t	 received_ms, given_ms, finished_ms;
	uint32_t	 shard, body_bytes;
	uint16_t	 effects_n, report_n;
	uint8_t		 attempt, charges, state, aside, flags, pool_n, name_n, worker_n;
	uint8_t		 zero[4];
};

struct effect_rec {
	uint64_t	 ordinal, asked_ms, status, id;
	uint32_t	 route_n, done;
};

/* What they say is whole, not "one more": a copy made just before may hold it already. */
struct given_rec { uint64_t id, now_ms, attempt; };	/* worker */
struct returned_rec { uint64_t id, charges; };
struct asked_rec { uint64_t id, ordinal, now_ms; };	/* route */
struct done_rec { uint64_t id, ordinal, status, object; };
struct aside_rec { uint64_t id, now_ms, aside; };	/* report */
struct retried_rec { uint64_t id, now_ms; };

struct identity {
	struct gw_identity	 id;
	uint64_t		 place, session;
};

struct child {
	struct journal_child	 child;
	uint64_t		 place;
};

TAILQ_HEAD(dlv_list, delivery);

struct channel {
	struct journal_channel	 is;
	uint64_t		 place;
	struct delivery		*newest;	/* says what is.last is; NULL: only the record does */
	struct channel		*next;		/* of its chain */
	bool			 stale;		/* its record is to be written after opening */
	TAILQ_ENTRY(channel)	 in_age;
};
TAILQ_HEAD(channel_list, channel);

struct channels {
	struct channel		*slot;		/* never freed while the journal is open */
	size_t			 used, n;
	struct channel		**chain;
	struct channel_list	 by_age;	/* most recently active first */
	struct channel_list	 spare;
	uint64_t		 forgotten;
};

/*
 * Most ids that are looked up are not there: that is seen without a wait for what is.
 *	marks	one of 64 for each delivery that it had since it was empty
 */
struct dlv_chain {
	struct delivery		*first;
	uint64_t		 marks;
};

struct journal {
	struct jlog		 log;
	struct dlv_chain	*by_id;		/* ids are hashes, their low bits will do */
	size_t			 by_id_n, chains;	/* chains: a power of two */
	struct dlv_list		 state[DLV_FINISHED + 1];
	struct dlv_list		 shed, spare;
	size_t			 spare_n;
	uint64_t		 n[DLV_FINISHED + 1];
	uint64_t		 bytes[DLV_FINISHED + 1];
	uint64_t		 live, home;
	uint32_t		 classes[CLASSES_N];
	unsigned		 class_top;	/* none above it is in use */
	uint64_t		 order;		/* of the newest */
	struct identity		*identity;
	size_t			 identity_n;
	struct child		*child;
	size_t			 child_n;
	struct gw_budget	 budget;
	uint64_t		 budget_place;
	char			 presence[PRESENCE_BYTES_MAX];
	size_t			 presence_n;
	uint64_t		 presence_place;
	struct channels		 channels;
	struct journal_gap	 gap;
	uint64_t		 gap_place, gap_next;	/* next: place in the order */
	bool			 reading;	/* the log may not be written yet */
	uint64_t		 copied, dropped, wraps_seen;
	struct buf		 mine, copy;	/* a record being made; a survivor being copied */
	struct journal_report	 opened;
	void			(*on_drop)(struct delivery *, void *);
	void			*drop_arg;
};

/* Not to be changed inside but by what ends the loop. */
#define EACH_DELIVERY(j, d)							\
	for (size_t chain_ = 0; chain_ < (j)->chains; chain_++)			\
		for (d = (j)->by_id[chain_].first; d != NULL; d = d->next)

/* deliveries.c: the table. */
struct delivery	*dlv_find(const struct journal *, uint64_t id);
void		 dlv_insert(struct journal *, struct delivery *);
void		 dlv_remove(struct journal *, struct delivery *);
void		 dlv_forget(struct journal *, struct delivery *);

/*
 * channels.c.  said: d is a new delivery of a message.  keep: before d is forgotten.  What is read
 * goes through replay, then rebuilt, and settle when the log goes on; move writes all of it into an
 * empty log.
 */
struct channel	*channel_find(struct journal *, uint64_t id);
void		 channels_init(struct journal *);
void		 channels_fini(struct journal *);
void		 channels_said(struct journal *, const struct journal_event *, struct delivery *,
		    uint64_t now_ms);
void		 channels_keep(struct journal *, struct delivery *);
bool		 channels_replay(struct journal *, enum jlog_kind, struct span in, uint64_t off);
void		 channels_rebuilt(struct journal *);
void		 channels_settle(struct journal *);
void		 channels_move(struct journal *, struct jlog *to);
uint64_t	 channels_home_bytes(const struct journal *);

/*
 * record.c: a delivery as one record, its effects, what a payload is made of.  Takers shorten *in
 * and are false when it is too short.
 */
uint64_t	 dlv_bytes(const struct delivery *);
void		 dlv_clear(struct delivery *);
struct effect	*effect_add(struct delivery *, uint64_t ordinal, uint64_t asked_ms,
		    struct span route);
struct span	 effect_route(struct span route, char *scratch, size_t scratch_bytes);
void		 dlv_encode(const struct delivery *, struct buf *out);
bool		 rec_take(struct span *in, void *v, size_t n);
bool		 rec_has_nul(struct span s);
bool		 dlv_decode(struct span in, struct delivery *);

/*
 * space.c: the books and the ring.  Sizes are those of whole records, see jlog_size.  unaccount
 * before what counts is changed, account after it.
 */
uint64_t	 space_largest(struct journal *, uint64_t n);
uint64_t	 space_home_bytes(const struct journal *, uint64_t place);
void		 space_unaccount(struct journal *, struct delivery *);
void		 space_account(struct journal *, struct delivery *, bool first);
uint64_t	 space_copy(struct journal *, struct jlog *, uint64_t off,
		    const struct delivery *);
uint64_t	 space_capacity(const struct journal *);
bool		 space_fits(struct journal *, uint64_t n, uint64_t growth, uint64_t slack);
bool		 space_room(struct journal *, uint64_t n, uint64_t growth, uint64_t slack);
void		 space_count_dropped(struct journal *, const char *what, const char *pool,
		    const char *name, uint64_t id, uint64_t object);
void		 space_let_go(struct journal *, struct delivery *);
void		 space_drop(struct journal *, struct delivery *, const char *what);
void		 space_write_dropped(struct journal *, uint64_t id);
bool		 space_must_room(struct journal *, uint64_t n, const struct delivery *keep);
void		 space_must_append(struct journal *, enum jlog_kind kind, const void *rec,
		    size_t rec_n, struct span more, const struct delivery *keep);
void		 space_expire(struct journal *);
bool		 space_under_way(const struct journal *);
void		 space_replace(struct journal *, enum jlog_kind kind, const void *rec,
		    size_t rec_n, uint64_t *place);
void		 space_small_add(struct journal *, uint64_t place);
void		 space_small_gone(struct journal *, uint64_t place);

/* peers.c: the gateway sessions and the children that are known; NULL when it is not. */
struct identity	*peers_identity(struct journal *, uint32_t shard);
struct child	*peers_child(struct journal *, pid_t pid);
struct identity	*peers_identity_set(struct journal *, const struct gw_identity *id);
struct child	*peers_child_set(struct journal *, const struct journal_child *c);

#endif
