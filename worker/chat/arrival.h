/*
 * arrival - what comes back of one request to a model, on its way to the codec.
 *
 * Bytes are taken where curl hands them out, and understood later, in the loop's tail.  Status,
 * type and first byte tell what they are: a stream of events, a whole answer from a server that does
 * not stream, or a refusal, whose body says why.
 *
 * Pure.  Owner: one attempt of a model_ask.
 */
#ifndef WORKER_CHAT_ARRIVAL_H
#define WORKER_CHAT_ARRIVAL_H

#include "worker/chat/codec.h"

#define ARRIVAL_ERROR_MAX	(64u << 10)	/* bytes of an error's body that are read */
#define ARRIVAL_ID_BYTES		65

enum arrival_shape { ARRIVAL_UNKNOWN, ARRIVAL_STREAM, ARRIVAL_WHOLE, ARRIVAL_REFUSAL };

struct arrival {
	struct codec		*codec;
	enum arrival_shape	 shape;
	unsigned		 status;	/* 0: none came */
	struct failure		 failure;	/* found here or by the owner; class NONE: none */
	bool			 flooded;	/* more came in one turn than is taken */
	struct buf		 head;
	struct buf		 in;		/* not understood yet */
	struct buf		 raw;		/* of what is no stream */
	struct sse		 sse;
	const char		*secret;
};

/* ops as for codec_new, secret too; in is zeroed or was ended by arrival_fini. */
void		 arrival_init(struct arrival *in, const struct codec_ops *, void *arg,
		    const char *secret);
void		 arrival_fini(struct arrival *);
/* The first one counts. */
void		 arrival_head(struct arrival *, unsigned status, struct span head);
/* False: it is too much. */
bool		 arrival_take(struct arrival *, struct span data);
/*
 * Understands what was taken; the codec calls back.  True: the answer has come on, by a data event
 * or a byte of what is no stream.
 */
bool		 arrival_digest(struct arrival *);
/* Nothing more will come; eof: since the body has ended. */
void		 arrival_end(struct arrival *, bool eof);
/* Is there something that ends the attempt?  Also a refusal that has said enough. */
bool		 arrival_failed(const struct arrival *);
/* Value of a header; empty: it did not come. */
struct span	 arrival_header(const struct arrival *, const char *name);
/* What the provider calls the request; "" unknown. */
void		 arrival_id(const struct arrival *, char id_r[ARRIVAL_ID_BYTES]);

#endif
