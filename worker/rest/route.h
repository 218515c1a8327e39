/*
 * route - which limit a request counts against, and what it may be called in a log.
 *
 * Pure.  Source: Discord docs, topics/rate-limits; lane and settling come from common/request.
 */
#ifndef WORKER_ROUTE_H
#define WORKER_ROUTE_H

#include "common/request.h"

#define ROUTE_SHOWN_MAX	256

struct route {
	/* hash of METHOD and template: what Discord names by X-RateLimit-Bucket */
	uint64_t	 route;
	uint64_t	 major;		/* hash of the top-level resource, 0 none */
	struct request_rule rule;	/* of routes.def */
	bool		 changes;	/* neither GET nor HEAD */
	/* POST: one at a time per (route, major), in the order asked */
	bool		 ordered;
	/* its token is in the path: no Authorization, no global limit */
	bool		 interaction;
};

/* After request_check. */
void		 route_of(struct span method, struct span path, struct route *r);
/*
 * METHOD and path for logs and reports: tokens of webhooks and interactions are masked, cut to fit.
 */
void		 route_shown(struct span method, struct span path, char dst[ROUTE_SHOWN_MAX]);
/* The same for all requests of one limit: parameters but the top-level ones are {}. */
void		 route_named(struct span method, struct span path, char dst[ROUTE_SHOWN_MAX]);

#endif
