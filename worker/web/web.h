/*
 * web - the role web: what the supervisor told last, as pages.
 *
 *	/metrics	for Prometheus		/healthz /readyz	for those who restart and route
 *	/		one page for people
 *
 * It holds no token, gets no events and asks for nothing: the supervisor sends a SNAPSHOT a second.
 *
 * Owner: main.
 */
#ifndef WORKER_WEB_H
#define WORKER_WEB_H

#include "common/loop.h"
#include "common/span.h"

struct web;

struct web_config {
	const char	*listen;	/* NULL: no pages */
	const char	*statsd;	/* NULL: no push */
	bool		 first;		/* the first web worker of its supervisor */
};

/* NULL with a sentence. */
struct web	*web_new(struct loop *, const struct web_config *, const char **why_r);
void		 web_free(struct web **);
void		 web_snapshot(struct web *, struct span json);

#endif
