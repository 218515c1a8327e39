/*
 * state - struct queue, and what the files of this room share.  Private to supervisor/delivery/.
 *
 *	keys.c		a key: its lines, and on which worker it is
 *	workers.c	what is out to a worker, and how it comes back
 *	give.c		credit, turns, suspects: who gets what next
 *	due.c		deadlines and cancels: what ends a delivery before its worker does
 *	bound.c		how many may wait for a pool, and what is shed
 *	letters.c	dead letters that go back or are let go
 *	queue.c		pools, the way in, and what the rest of the program asks
 */
#ifndef SUPERVISOR_DELIVERY_STATE_H
#define SUPERVISOR_DELIVERY_STATE_H

#include <sys/queue.h>

#include "common/tree.h"
#include "supervisor/delivery/queue.h"

enum { WORK, CONTROL, INTERACTION, LINES_N };

RB_HEAD(key_tree, qkey);
RB_HEAD(due_tree, delivery);
TAILQ_HEAD(dlv_list, delivery);
TAILQ_HEAD(turn_list, qline);
TAILQ_HEAD(key_list, qkey);
TAILQ_HEAD(worker_list, qworker);

/*
 * The deliveries of one key of one kind.  In a turn list exactly when its first one may be given
 * for all that the key knows.
 */
struct qline {
	struct dlv_list		 waiting;	/* by order */
	uint64_t		 newest;	/* no order in waiting is above it */
	unsigned		 out;
	bool			 alone;		/* its suspect is out: nothing follows it */
	struct qkey		*key;
	struct turn_list	*turn;		/* the list it is in, or NULL */
	TAILQ_ENTRY(qline)	 in_turn;
};

struct qkey {
	uint64_t		 key;
	struct qline		 line[LINES_N];
	struct qworker *at; /* fixed while anything is out; else where it is placed */
	uint64_t		 last;		/* serial of the worker that had it last */
	uint64_t		 gate;		/* work from this order on waits; 0 open */
	bool			 again;		/* the next EVENT of its work says so */
	bool			 behind;	/* its worker hands back: no work while some is out, then again */
	bool			 idle;		/* in the pool's list of idle keys */
	RB_ENTRY(qkey)		 by_key;
	TAILQ_ENTRY(qkey)	 in_idle;
};

struct qworker {
	struct qpool		*pool;
	uint64_t		 serial;	/* never used again: tells generations apart */
	uint32_t		 slot;
	char			 tag[64];
	void			*peer;
	bool			 draining;
	bool			 closed;	/* draining, and takes no control events either */
	struct turn_list	 turn[LINES_N];
	struct dlv_list		 out;
	uint64_t		 out_n[LINES_N], out_bytes[LINES_N];
	TAILQ_ENTRY(qworker)	 in_pool;
};

struct qpool {
	struct queue		*queue;
	char			 name[33];
	bool			*configured;	/* by row of events.def */
	bool			*wants;		/* of them; see queue_pool_narrow */
	bool			*states;	/* every worker is told of them */
	bool			 open;		/* its role starts all of a key at once: hands nothing back */
	unsigned		 out_max;	/* of a line */
	uint64_t		 credit[LINES_N], credit_bytes[LINES_N];
	struct key_tree		 keys;
	uint64_t		 keys_n, idle_n, waiting_n, given_n, waiting_bytes;
	uint64_t		 waiting_max, waiting_bytes_max; /* 0 none */
	bool			 full;		/* above them, and not yet well below */
	struct dlv_list		 sheddable;	/* waiting ones that may be shed, oldest first */
	uint64_t		 sheddable_n, sheddable_bytes;
	uint64_t		 shed_n, shed_told_n, shed_told_ms;
	uint64_t		 deadline_ms;	/* 0 none */
	struct key_list		 idle;		/* longest idle first */
	struct worker_list	 workers;
	struct qworker		**live;		/* not draining; slots[] beside it */
	uint32_t		*slots;
	size_t			 live_n;
	struct turn_list	 homeless;	/* no live worker */
	struct turn_list	 suspects;	/* lines whose first delivery is a suspect */
	struct delivery		*alone;		/* the suspect that is out */
	TAILQ_ENTRY(qpool)	 in_queue;
};

/* See queue_gate. */
struct gate {
	uint64_t		 key, order;
};

struct queue {
	struct journal		*journal;
	const struct queue_ops	*ops;
	void			*arg;
	uint64_t		 poison, serial;
	const struct event_row	*message;	/* what says something in a channel */
	bool			 held;
	struct buf		 effects;
	struct gate		*gates;
	size_t			 gates_n;
	struct due_tree		 dues;
	uint64_t		 grace_ms;	/* from CANCEL to the end of patience */
	const struct event_row	*delete, *delete_bulk;
	TAILQ_HEAD(, qpool)	 pools;
};

static inline int
delivery_kind(const struct delivery *d)
{
	return d->kind;
}

/* keys.c */
struct qkey	*key_find(struct qpool *, uint64_t key, bool make);
unsigned	 key_out(const struct qkey *);
/*
 * After any change of k: where it is, and in which turn lists its lines stand.  May free k when it
 * is idle.
 */
void		 key_update(struct qpool *, struct qkey *);
struct qline	*line_of(const struct delivery *);
/* NULL: it stands in no turn list. */
void		 line_to(struct qline *, struct turn_list *);
/*
 * d goes into its line where its order says: behind the older ones, of which there are few when it
 * comes back.
 */
void		 line_up(struct qpool *, struct qkey *, struct delivery *);
/* A waiting delivery leaves its line; the caller updates the key. */
void		 line_leave(struct qpool *, struct delivery *);
/*
 * The set of live workers changed: keys that are free to go are placed anew.  Costs the number of
 * keys; workers come and go far more seldom than events.
 */
void		 keys_placed_anew(struct qpool *);
void		 keys_free(struct qpool *);

/* queue.c: what a waiting delivery is to the queue; then line_up. */
void		 queue_take_in(struct qpool *, struct delivery *);

/* queue.c: what a pool wants, and how much of it at once. */
void		 qpool_configure(struct qpool *, const struct cfg_pool *);

/* change.c */
void		 qpool_free(struct qpool *);

/* workers.c */
void		 queue_set_aside(struct queue *, struct delivery *, enum dlv_aside,
		    const char *report);
/* d is neither waiting nor out: it ends as ENDS_CANCELLED. */
void		 queue_end_cancelled(struct queue *, struct delivery *);
/* For qsort of struct delivery *. */
int		 delivery_by_order(const void *, const void *);

/* bound.c */
void		 bound_keep(struct qpool *, uint64_t now_ms);	/* after one was lined up */

/* due.c */
void		 due_init(struct queue *);
/* Its deadline, from when it came or went back. */
void		 due_set(struct qpool *, struct delivery *);
void		 due_waits(struct queue *, struct delivery *);
void		 due_given(struct queue *, struct delivery *);
void		 due_over(struct queue *, struct delivery *);	/* it has ended, or is set aside */
/* To end that are due. */
void		 due_run(struct queue *);
/* MESSAGE_DELETE and MESSAGE_DELETE_BULK end what waits or is given of these messages. */
void		 due_deleted(struct queue *, const struct envelope *);

#endif
