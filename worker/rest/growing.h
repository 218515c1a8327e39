/*
 * growing - the streams of this rest worker: messages in, requests out.
 *
 * One struct stream for each; what it asks becomes requests of rest, so that lanes and limits are
 * those of everything else.  First and last texts go in the lane CREATE, others in EDIT, typing in
 * SOFT.
 *
 * Owner: main; freed before rest.
 */
#ifndef WORKER_GROWING_H
#define WORKER_GROWING_H

#include "worker/rest/rest.h"

#define GROWING_FORBIDDEN_MS	300000	/* a channel that refused one refuses the next */

struct growing;

struct growing	*growing_new(struct loop *, struct rest *,
		    void (*send)(void *arg, enum msg_type, const void *src), void *arg);
void		 growing_free(struct growing **);	/* without a word */
void		 growing_open(struct growing *, const struct msg_STREAM_OPEN *);
void		 growing_text(struct growing *, const struct msg_STREAM_TEXT *);
void		 growing_end(struct growing *, const struct msg_STREAM_END *);
void		 growing_state(struct growing *, const struct msg_STREAM_STATE *);
/* Who the bot is: its own messages are looked for. */
void		 growing_self(struct growing *, uint64_t user);
/* Before rest_drain: what has a request on its way waits for it, then all are let go (ERETRY). */
void		 growing_drain(struct growing *);
/* Another one takes over, after growing_drain: what only waits to be sent is let go, too. */
void		 growing_hand_over(struct growing *);
/* Before rest_orphaned: nobody listens any more, nothing new is asked. */
void		 growing_orphaned(struct growing *);

#endif
