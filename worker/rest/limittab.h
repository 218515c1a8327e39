/*
 * limittab - what a limiter knows.  Private to limit.c, which decides, and limitstate.c, which
 * tells it to the next process.
 */
#ifndef WORKER_LIMITTAB_H
#define WORKER_LIMITTAB_H

#include <sys/queue.h>

#include "common/tree.h"
#include "worker/rest/limit.h"

#define LIMIT_COUNTED_MS	500	/* a request takes to Discord, when nothing is known */
#define LIMIT_WAIT_MAX_S	86400.0	/* more than a day is an error in transit, not a limit */
#define LIMIT_SAME_WINDOW_MS	100	/* resets closer than this name one window */
#define INVALID_SLOTS		60
#define INVALID_SLOT_MS		10000

struct bucket {
	RB_ENTRY(bucket)	 by_key;
	TAILQ_ENTRY(bucket)	 by_use;	/* least recently used first */
	/* hash of X-RateLimit-Bucket, or the route while that is unknown */
	uint64_t		 id;
	uint64_t		 major;
	/* limit, remaining and reset hold numbers from a header */
	bool			 known;
	bool			 unlimited;	/* answers carried no limit headers */
	uint32_t		 limit, remaining;
	uint32_t		 in_flight;
	struct mono		 reset, used;
	uint64_t		 period_ms;	/* the longest reset that was named: its window */
	bool			 changed;	/* in limit.bucket_news */
	TAILQ_ENTRY(bucket)	 news;
	uint64_t		 heard;		/* the limit_hear that made it what it is */
	char			 shown[LIMIT_NAME_MAX];	/* a route of it, for people; "" not known */
};

/* What a route's hash is. */
struct learnt {
	RB_ENTRY(learnt)	 by_route;
	TAILQ_ENTRY(learnt)	 by_use;
	uint64_t		 route, id;
	bool			 changed;
	TAILQ_ENTRY(learnt)	 news;
};

RB_HEAD(buckets, bucket);
RB_HEAD(routes, learnt);
TAILQ_HEAD(bucket_list, bucket);
TAILQ_HEAD(learnt_list, learnt);

struct limit {
	struct buckets		 buckets;
	struct bucket_list	 bucket_use;
	uint32_t		 buckets_n;
	struct routes		 routes;
	struct learnt_list	 route_use;
	uint32_t		 routes_n;

	/*
	 * The last window_n requests inside the global limit: when Discord had counted each.  It did
	 * when it answered; without an answer it is assumed to have after LIMIT_COUNTED_MS.  Each
	 * place is used again a second later, so no second can hold more, however long a request
	 * travels.
	 */
	struct mono		*window;
	uint32_t		 window_n, window_at;
	struct mono		 global_until;	/* a 429 with global: not for interactions */
	struct mono		 all_until;	/* Cloudflare: for everything */
	struct mono		 last_sent;
	bool			 locked;

	uint32_t		 invalid[INVALID_SLOTS];
	uint64_t		 invalid_slot;	/* number of the newest slot, counted from boot */

	/* What changed since it was told (limitstate.c). */
	struct bucket_list	 bucket_news;
	struct learnt_list	 route_news;
	uint32_t		 window_news;	/* places before window_at */
	bool			 holds_news;	/* global_until, all_until, last_sent, locked */
	bool			 invalid_news;	/* the newest slot */
	uint64_t		 hearing;	/* counts limit_hear */
};

/* ---- limit.c ---- */
/* Found or made; it is the one that was used last, now. */
struct bucket	*limit_bucket(struct limit *, uint64_t id, uint64_t major, struct mono now);
void		 limit_learn(struct limit *, uint64_t route, uint64_t id);
/* Slots that are over are empty. */
void		 limit_invalid_advance(struct limit *, struct mono now);

#endif
