/*
 * queue - which delivery goes to which worker, when.
 *
 * Knows no sockets and no clock: workers are handles with credit, giving is a callback.
 * The journal is the memory; this is the order.  Owner: struct sup.
 *
 * Rules (design: order within a conversation, parallel across):
 *  - A key's deliveries start in order, on one worker at a time: a key with deliveries outstanding
 *    stays where they are; an idle key is placed by rendezvous hash over the pool's live workers
 *    (route.h).
 *  - At most 4 of a key are out to a SERIAL role, 64 to an OPEN one; keys take turns for credit.
 *  - CONTROL deliveries skip their key's line and own an eighth of the credit; INTERACTION ones go
 *    ahead of them and own another eighth.  Both go to a draining worker while it has something of
 *    their key, so that they find what they speak about.
 *  - A dead worker's deliveries return ahead of newer ones, in their old order.  So do those that are
 *    handed back: a serial worker hands back with a failed one what it has behind it, unbegun and
 *    uncharged (NACK 5), and what is on its way there until an EVENT is flagged again (8).  Once such
 *    a one is back, work of its key waits until all is, so that nothing younger goes first.
 *  - The first EVENT of a key on another worker than the last one carries the flag fresh.
 *  - Of a dead worker's deliveries only the one that was running is charged; when none can be
 *    named, they are suspects and are redelivered one at a time.  Charged `poison` times: set aside.
 *  - A pool's queue is bounded.  At its bound what may be shed is dropped, oldest first; what may not
 *    is kept as long as the journal has room; when that alone reaches the bound the pool is full:
 *    reading should pause.
 *  - What is not finished at its deadline is cancelled and set aside, given or not.  A worker that
 *    does not end it even then is overdue.
 *  - When a message is deleted, what waits or is out about it is cancelled.
 */
#ifndef SUPERVISOR_QUEUE_H
#define SUPERVISOR_QUEUE_H

#include "common/cfg.h"
#include "common/msg.h"
#include "supervisor/journal/journal.h"

struct queue;
struct qpool;

struct queue_ops {
	/* Send one EVENT to the worker behind peer.  Body and effects are borrowed for the call. */
	void	(*give)(void *peer, const struct msg_EVENT *);
	/* Wall time in ms, for the journal's stamps. */
	uint64_t (*now_ms)(void *arg);
	/* A delivery was set aside: log and alarm. */
	void	(*on_aside)(void *arg, const struct delivery *);
	/* Monotonic time in ms, for deadlines. */
	uint64_t (*mono_ms)(void *arg);
	/* Tell the worker behind peer to end it. */
	void	(*cancel)(void *peer, uint64_t delivery);
	/* It did not, for too long: the worker must go; the delivery is set aside with its death. */
	void	(*overdue)(void *peer, const struct delivery *);
	/* Send one NEWS; -1: it has too much unread, and misses this one. */
	int	(*news)(void *peer, const struct msg_NEWS *);
};

struct queue	*queue_new(struct journal *, const struct queue_ops *, void *arg, uint64_t poison);
void		 queue_free(struct queue **);
struct qpool	*queue_pool_add(struct queue *, const struct cfg_pool *);
struct qpool	*queue_pool(struct queue *, const char *name);
/*
 * READY of a worker named these events; an empty list names all.  From here on the pool gets what
 * is configured and named: the newest READY decides, and the log says so.  What waits is still
 * given.
 *	events	rows of READY.events
 *	tag	of the worker, for the log
 */
void		 queue_pool_narrow(struct qpool *, struct msg_list events, const char *tag);
/* The options queue, queue_bytes and deadline, as they are from now on. */
void		 queue_pool_bounds(struct qpool *, const struct cfg_pool *);
/* T2: what a worker has after CANCEL; two seconds more and it is overdue. */
void		 queue_last_word(struct queue *, uint64_t ms);
/* After a reload: what pools want, credit, bounds, `poison`.  A pool that is not in it wants nothing. */
void		 queue_reconfigure(struct queue *, const struct cfg *);
/* Its last worker is gone: what waits for it is set aside (refused).  Number of those. */
size_t		 queue_pool_remove(struct queue *, const char *name);

/*
 * After all pools were added: take up what the journal holds unfinished.  Deliveries of unknown
 * pools are set aside (refused).
 */
void		 queue_recover(struct queue *);

/*
 * One dispatch: which pools want it, delivery ids, journal, line up.
 * 0; 1 the journal has no room just now; -1 d is no JSON: its seq must not count.  *wanted_r (may
 * be NULL): by how many pools.
 */
int		 queue_dispatch(struct queue *, const struct envelope *, const char *session_id,
		    uint32_t shard, bool replayed, unsigned *wanted_r);

/*
 * The same for a message that was asked from Discord after a lost session: flagged replayed, at
 * this place of the order.  *new_r: by how many pools it was not known; *order_r: where it stands
 * now, which is another place when it was known.
 */
int		 queue_backfill(struct queue *, const struct envelope *, uint32_t shard,
		    uint64_t order, unsigned *new_r, uint64_t *order_r);
/* Does any pool want this event? */
bool		 queue_wants(struct queue *, const char *event);
/*
 * Work of this key from this order on waits, in every pool, until the gate is opened (order 0):
 * what stands before it in the order is not here yet.  Control events pass: a Stop button may not
 * wait, and what they speak of is asked for in its newest form.
 */
void		 queue_gate(struct queue *, uint64_t key, uint64_t order);
size_t		 queue_gates_n(const struct queue *);

/* A worker is READY.  peer is what give() gets.  credit 0: the pool's. */
struct qworker	*queue_worker_up(struct qpool *, uint32_t slot, const char *tag, void *peer);
/*
 * Nothing new goes to it; idle keys are placed elsewhere, keys with deliveries outstanding stay
 * until they end.
 */
void		 queue_worker_drain(struct qworker *);
/*
 * It is dead.  running: what its scoreboard named, 0 none.
 *	charge	false: nobody is charged or suspected (obituary_blames)
 *	report	the obituary in one line, for dead letters
 */
void		 queue_worker_down(struct qworker **, uint64_t running, bool charge,
		    const char *report);
size_t		 queue_worker_open(const struct qworker *);	/* deliveries out */
uint64_t	 queue_worker_bytes(const struct qworker *);

/* From the worker; -1 when it does not hold this delivery (a protocol error of the worker). */
int		 queue_ack(struct qworker *, uint64_t delivery);
int		 queue_nack(struct qworker *, uint64_t delivery, unsigned reason, struct span why);
/* The delivery when it is out to this worker, else NULL. */
struct delivery	*queue_held(struct qworker *, uint64_t delivery);
/* What is out to it, in the order of giving, until fn says false. */
void		 queue_each_held(const struct qworker *,
		    bool (*fn)(void *arg, const struct delivery *), void *arg);

/* Give what credit allows.  Call at the loop tail and after any change. */
void		 queue_run(struct queue *);
/* When queue_run has something to do though nothing happens: mono_ms; UINT64_MAX never. */
uint64_t	 queue_due_ms(const struct queue *);
/* The first pool that has too much waiting: reading should pause.  NULL: none. */
const char	*queue_full(struct queue *);
/* A dead letter goes back into its line: NULL, or why it cannot. */
const char	*queue_retry(struct queue *, struct delivery *);
/* A dead letter is let go. */
void		 queue_let_go(struct queue *, struct delivery *);
/* Stop or go on giving (stop order, intake off). */
void		 queue_hold(struct queue *, bool);

struct queue_usage {
	uint64_t	waiting, given, keys, waiting_bytes;
	uint64_t	 waiting_max, waiting_bytes_max;	/* 0 none */
	uint64_t	 shed;
	bool		 full;
	uint64_t	oldest_ms;		/* wall time of the oldest waiting; 0 none */
};
void		 queue_pool_usage(struct qpool *, struct queue_usage *);

#endif
