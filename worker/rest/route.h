/*
 * route - what a method and a path mean: template, bucket, lane, how doubt is settled.
 *
 * Pure.  Source: proto/routes.def and the rule that stands there.
 */
#ifndef WORKER_ROUTE_H
#define WORKER_ROUTE_H

#include "common/span.h"
#include "worker/worker.h"

#define ROUTE_PATH_MAX	2048
#define ROUTE_SHOWN_MAX	256

enum settle { SETTLE_REPEAT, SETTLE_NONCE, SETTLE_DOUBT, SETTLE_CODE };

struct route {
	uint64_t	 route;		/* hash of METHOD and template: what Discord names by X-RateLimit-Bucket */
	uint64_t	 major;		/* hash of the top-level resource, 0 none */
	enum lane	 lane;
	enum settle	 settle;
	unsigned	 code;		/* SETTLE_CODE: JSON code that means "the first one took effect" */
	bool		 reads;		/* GET or HEAD */
	bool		 ordered;	/* POST: one at a time per (route, major), in the order asked */
	bool		 interaction;	/* its token is in the path: no Authorization, no global limit */
};

/*
 * NULL, or a sentence: method not one of GET HEAD POST PUT PATCH DELETE; path not an absolute path
 * of visible ASCII, longer than ROUTE_PATH_MAX, with "." or ".." segments or a fragment.
 */
const char	*route_check(struct span method, struct span path);
/* After route_check. */
void		 route_of(struct span method, struct span path, struct route *r);
/*
 * METHOD and path for logs and reports: tokens of webhooks and interactions are masked, cut to fit.
 */
void		 route_shown(struct span method, struct span path, char dst[ROUTE_SHOWN_MAX]);

#endif
