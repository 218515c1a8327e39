/*
 * server - GET and HEAD over HTTP, one request a connection, everything bounded.
 *
 * A connection ends SERVER_ASK_MS after it came unless its request is whole, SERVER_ANSWER_MS after
 * that unless the answer is read: from the first byte on, not from the last, so that one byte now and
 * then does not keep it.  At SERVER_CONNS the oldest that has not asked yet makes room.  (evhttp of
 * libevent 2.1 has neither a bound of connections nor one of the time that a whole request takes.)
 *
 * Owner: struct web.
 */
#ifndef WORKER_WEB_SERVER_H
#define WORKER_WEB_SERVER_H

#include "common/address.h"
#include "common/loop.h"
#include "common/mem.h"

#define SERVER_CONNS		32
#define SERVER_ASK_MS		5000
#define SERVER_ANSWER_MS	10000
#define SERVER_LINGER_MS	1000	/* for the end of what the peer still sends */

struct server;

struct server_reply {
	unsigned	 status;	/* 200 unless changed */
	const char	*type;		/* text/plain unless changed */
	struct buf	 body;
};

/* Answer one GET; a path that is not there is 404 with a sentence as its body. */
typedef void	 server_fn(void *arg, struct span path, struct server_reply *);

/* NULL with a sentence: the address is taken, or not ours. */
struct server	*server_new(struct loop *, const struct address *, server_fn *, void *arg,
		    const char **why_r);
void		 server_free(struct server **);

#endif
