/*
 * lanes - the requests that wait: which one is next.
 *
 * Pure.  One first-in-first-out queue for each (key, lane), key being route and top-level resource.
 * Queues of a more urgent lane are asked first, queues of one lane take turns; a queue that may not
 * go sleeps and blocks no other.  An ordered item (POST) holds its queue until it is done: what was
 * asked first in a channel is sent first and answered first, retries included.
 *
 * Owner: rest owns items, lanes the queues.  An item is in lanes from lanes_put to lanes_done or
 * lanes_remove.
 */
#ifndef WORKER_LANES_H
#define WORKER_LANES_H

#include <sys/queue.h>

#include "common/tree.h"
#include "worker/worker.h"

struct lanes;
struct lane_queue;

enum lane_item_state { LANE_ITEM_OUT, LANE_ITEM_QUEUED, LANE_ITEM_ASIDE, LANE_ITEM_FLYING };

struct lane_item {
	uint64_t		 key;		/* by the owner, before lanes_put */
	enum lane		 lane;
	bool			 ordered;
	/* private */
	enum lane_item_state	 state;
	struct lane_queue	*queue;		/* QUEUED; FLYING and ordered */
	TAILQ_ENTRY(lane_item)	 entry;
	RB_ENTRY(lane_item)	 by_wake;	/* ASIDE */
	struct mono		 wake;
};

enum lane_verdict {
	LANE_GO,
	LANE_WAIT,		/* its queue waits until *until_r */
	/* this item alone waits until *until_r; an ordered one holds its queue */
	LANE_ASIDE,
	LANE_BUSY,		/* its queue waits until some request is done */
	LANE_STOP,		/* nothing goes until *until_r */
	LANE_DROP		/* taken out; its owner knows why */
};

struct lanes_ops {
	enum lane_verdict	(*ask)(void *arg, struct lane_item *, struct mono now,
	    struct mono *until_r);
	/* After LANE_GO: send it.  Must not call back into lanes. */
	void			(*go)(void *arg, struct lane_item *);
};

struct lanes	*lanes_new(const struct lanes_ops *, void *arg);
void		 lanes_free(struct lanes **);		/* empty */
void		 lanes_put(struct lanes *, struct lane_item *);
/*
 * Everything that may go goes.  Returns when to call again if nothing else happens; MONO_NEVER: no
 * such time.
 */
struct mono	 lanes_run(struct lanes *, struct mono now);
/* A flying item is to be sent again: it is the first of its queue. */
void		 lanes_put_back(struct lanes *, struct lane_item *);
/* A flying item has its answer. */
void		 lanes_done(struct lanes *, struct lane_item *);
/* In whatever state: cancelled, deadline. */
void		 lanes_remove(struct lanes *, struct lane_item *);
size_t		 lanes_waiting_n(const struct lanes *);	/* queued or aside */

#endif
