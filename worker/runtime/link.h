/*
 * link - the worker's end of fd 3: frames to checked messages and back.
 *
 * Answers PING, passes the log up as LOG messages once link_log is on, wipes HELLO (it may carry
 * the token).
 *
 * Owner: main.
 */
#ifndef WORKER_LINK_H
#define WORKER_LINK_H

#include "common/loop.h"
#include "common/msg.h"

#define LINK_LOG_QUEUE_MAX	(1u << 20)	/* above so much unsent output LOG lines are dropped and counted */

struct link;

struct link_ops {
	/* One message that a supervisor may send; valid during the call. */
	void	(*on_msg)(void *arg, const struct msg_in *);
	/* The supervisor is gone. */
	void	(*on_gone)(void *arg, const char *why);
	/* It broke the protocol; nothing more is read. */
	void	(*on_bad)(void *arg, const char *why);
};

struct link	*link_new(struct loop *, int fd, const struct link_ops *, void *arg);
void		 link_free(struct link **);
/* A field out of its range is our own fault: logged, not sent.  After on_gone nothing is sent. */
void		 link_send(struct link *, enum msg_type, const void *src);
/* The log goes up the link from now on. */
void		 link_log(struct link *);
/* Write what is queued, waiting for the peer at most so long. */
void		 link_flush(struct link *, uint64_t ms);

#endif
