/*
 * limit - when may a request to Discord go.
 *
 * Pure: no sockets, no clock.  Time and the headers of answers come in, verdicts go out.
 *
 *  - Buckets are learnt from headers: a route (METHOD + template) has a hash, a bucket is hash +
 *    top-level resource.  Before the hash is known, requests of one (route, resource) go one at a
 *    time.
 *  - Never more requests of a bucket in flight than `remaining` allows; Reset-After is added to
 *    monotonic time.
 *  - A sliding window for the global limit, held before Discord has to say so.  Routes of
 *    interactions are outside.
 *  - 429 is classified: Cloudflare (everything stops), global, sub-limit (only this request waits),
 *    bucket.
 *  - 401, 403 and 429 are counted over ten minutes; from LIMIT_INVALID_LINE on one request a second
 *    goes.
 *  - 401 of a request that carried the token locks everything for good.
 *
 * Owner: rest.  A ticket belongs to its request and must not die between limit_sent and
 * limit_answer or limit_lost.
 * Source: Discord docs, topics/rate-limits; the observations behind each rule are in limit.c.
 */
#ifndef WORKER_LIMIT_H
#define WORKER_LIMIT_H

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/span.h"

#define LIMIT_INVALID_LINE	9000		/* of 10,000 in 10 minutes, where Cloudflare bans the address */
#define LIMIT_BUCKETS_MAX	16384		/* idle ones beyond it are forgotten */
#define LIMIT_ROUTES_MAX	4096
#define LIMIT_IDLE_MS		300000		/* a bucket unused for so long is forgotten */
#define LIMIT_SLACK_MS		50		/* added to what Discord says: answers take time to travel */
#define LIMIT_NAME_MAX		64		/* bytes */
#define LIMIT_SHOWN_MAX		500		/* buckets */

struct limit;
struct bucket;

struct limit_ticket {
	uint64_t	 route;		/* hash of METHOD and template */
	uint64_t	 major;		/* hash of the top-level resource, 0 none */
	bool		 outside;	/* not bound by the global limit */
	bool		 authorized;	/* carries the token */
	struct mono	 not_before;	/* this request alone waits: sub-limit or back-off */
	struct bucket	*bucket;	/* while in flight */
	/* Then, when not outside: its place in the global window, and what stands there. */
	uint32_t	 place;
	struct mono	 counted;
};

enum limit_verdict {
	LIMIT_GO,
	LIMIT_WAIT,		/* this bucket: until *until_r */
	LIMIT_BUSY,		/* this bucket: until an answer comes back */
	/* every request inside the global limit, or all of them: until *until_r */
	LIMIT_STOP,
	LIMIT_LOCKED		/* the token is dead */
};

/* What an answer says about limits; absent numbers are negative. */
struct limit_answer {
	unsigned	 status;
	struct span	 hash;		/* X-RateLimit-Bucket */
	double		 limit, remaining, reset_after_s;
	double		 retry_after_s;		/* of a 429: from the body, else the header */
	bool		 body_is_discord;	/* of a 429: a JSON object with retry_after */
	bool		 global;		/* X-RateLimit-Global, or "global": true */
	bool		 shared;		/* X-RateLimit-Scope: shared */
	bool		 user;			/* X-RateLimit-Scope: user */
};

/* What a 429 was, for the log; LIMITED_NOT for other answers. */
enum limited { LIMITED_NOT, LIMITED_CLOUDFLARE, LIMITED_GLOBAL, LIMITED_SUB, LIMITED_BUCKET };

/* per_second: Discord's global limit. */
struct limit		*limit_new(uint32_t per_second);
void			 limit_free(struct limit **);

/* May it go now?  until_r is set for WAIT and STOP.  Changes nothing but windows that are over. */
enum limit_verdict	 limit_ask(struct limit *, const struct limit_ticket *, struct mono now,
			    struct mono *until_r);
/* It goes: after LIMIT_GO only. */
void			 limit_sent(struct limit *, struct limit_ticket *, struct mono now);
/*
 * Its answer.  A 429 leaves the wait in the bucket, the global hold or ticket->not_before: ask
 * again.
 */
enum limited		 limit_answer(struct limit *, struct limit_ticket *,
		    const struct limit_answer *, struct mono now);
/* No answer will come. */
void			 limit_lost(struct limit *, struct limit_ticket *, struct mono now);

/*
 * How people call the bucket of a request in flight; the first name stays.  A successor process does
 * not know it.
 */
bool			 limit_is_named(const struct limit_ticket *);
void			 limit_name(struct limit_ticket *, const char *);
/* What is known, as members of an object; the buckets used last, at most LIMIT_SHOWN_MAX. */
void			 limit_show(struct limit *, struct json_out *, struct mono now);

bool			 limit_locked(const struct limit *);
uint32_t		 limit_invalid_n(struct limit *, struct mono now);
uint32_t		 limit_buckets_n(const struct limit *);

/* ---- what the next process must know (limitstate.c) ---- */
/*
 * A state is a series of parts, each what limit_tell or limit_tell_all appended; later ones count.
 * Its times are of CLOCK_MONOTONIC: it is for a process of the same machine, soon.  Requests in
 * flight are in it: whether Discord has counted them nobody can say, so that they count.
 */
#define LIMIT_STATE_MAX		65536
#define LIMIT_STATE_ALL_MAX	49152	/* of limit_tell_all: there is room for parts after it */

/* Is there something that was not told? */
bool			 limit_has_news(const struct limit *);
/* What changed since the last call of either. */
void			 limit_tell(struct limit *, struct buf *out);
/* All that matters, the most recent first where it is too much. */
void			 limit_tell_all(struct limit *, struct buf *out, struct mono now);
/*
 * Take over what another process told.  What is known here of the same window stays when it allows
 * less.  -1: it is damaged or of another version (*why_r), and nothing was taken.
 */
int			 limit_hear(struct limit *, struct span state, struct mono now,
			    const char **why_r);

#endif
