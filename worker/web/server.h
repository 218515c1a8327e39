/*
 * server - GET and HEAD over HTTP, one request a connection, everything bounded.
 *
 * A connection ends ask_ms after it came unless its request is whole, answer_ms after that unless the
 * answer is read: from the first byte on, not from the last, so that one byte now and then does not
 * keep it.  At the bound of connections the oldest that has not asked yet makes room; when all are
 * being answered, the next waits.  (evhttp of
 * libevent 2.1 has neither a bound of connections nor one of the time that a whole request takes.)
 *
 * Owner: struct web.
 */
#ifndef WORKER_WEB_SERVER_H
#define WORKER_WEB_SERVER_H

#include "common/address.h"
#include "common/loop.h"
#include "common/mem.h"

struct server_bounds {
	size_t		 conns;
	uint64_t	 ask_ms, answer_ms;
	uint64_t	 linger_ms;	/* for the end of what the peer still sends */
};

struct server;

struct server_reply {
	unsigned	 status;	/* 200 unless changed */
	const char	*type;		/* text/plain unless changed */
	struct buf	 body;
};

/*
 * NULL with a sentence: the address is taken, or not ours.
 *	fn	answers one GET; a path that is not there is 404 with a sentence as its body
 */
struct server	*server_new(struct loop *, const struct address *, const struct server_bounds *,
		    void (*fn)(void *arg, struct span path, struct server_reply *), void *arg,
		    const char **why_r);
void		 server_free(struct server **);

#endif
