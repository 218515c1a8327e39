/*
 * streams - every growing reply is kept until its final STREAM_STATE.
 *
 * From handlers to the active rest worker and back, under numbers of our own.  The handler keeps
 * the text, the rest worker the messages; here is who they are, and what the journal must know.
 *
 *  - Opened: asked (ordinal n, "STREAM /channels/C").  Message k of it has ordinal
 *    n + 64 * (k + 1) and route "POST /channels/C/messages": asked when the rest worker says so,
 *    which then hears the same STREAM_STATE back and posts; effect when it has the id.
 *  - n done in the journal: a redelivered STREAM_OPEN is answered at once, nothing is sent.
 *  - The rest worker dies or drains: opened again at the next one with what the journal holds; its
 *    STREAM_STATE open makes the handler send the text again.
 *  - The handler dies: kept as an orphan; the redelivery's STREAM_OPEN adopts it, in place when the
 *    rest worker still has it.  Not adopted in STREAMS_ORPHAN_MS: it ends as interrupted.
 *  - One whose text was complete is no orphan: it is finished without its handler.
 *  - Its delivery is set aside (poison, refused, stale ...), or too many rest workers died with it:
 *    nobody will go on, the last message is marked as interrupted, once.
 *
 * Owner: struct sup.
 */
#ifndef SUPERVISOR_STREAMS_H
#define SUPERVISOR_STREAMS_H

#include "common/msg.h"
#include "supervisor/delivery/queue.h"
#include "supervisor/pool/pool.h"

#define STREAMS_MAX		16384	/* open at once; above it ESERVICE */
#define STREAMS_ORPHAN_MS	30000

struct streams;

/*
 *	poison		deaths of rest workers that one stream may meet
 *	orphan_ms	STREAMS_ORPHAN_MS, but in tests
 */
struct streams	*streams_new(struct loop *, struct journal *, uint64_t poison, uint64_t orphan_ms);
/* After a reload. */
void		 streams_reconfigure(struct streams *, uint64_t poison);
void		 streams_free(struct streams **);

/* From a handler.  -1: it broke the protocol. */
int		 streams_open(struct streams *, struct child *, const struct msg_STREAM_OPEN *,
		    const char **why_r);
int		 streams_text(struct streams *, struct child *, const struct msg_STREAM_TEXT *,
		    const char **why_r);
int		 streams_end(struct streams *, struct child *, const struct msg_STREAM_END *,
		    const char **why_r);
/* From a rest worker.  -1: no such stream was ever open in it. */
int		 streams_state(struct streams *, struct child *, const struct msg_STREAM_STATE *,
		    const char **why_r);

/* Which rest worker is active now, NULL none.  Call after any change. */
void		 streams_active(struct streams *, struct child *);
/* A rest worker is dead: before streams_active.  asked: by an operator; no stream is charged. */
void		 streams_service_down(struct streams *, struct child *, bool asked);
/* A handler is dead. */
void		 streams_worker_down(struct streams *, struct child *);
/* A handler acked a delivery, or handed it back: what it left open is interrupted, or an orphan. */
void		 streams_delivery_over(struct streams *, struct child *, uint64_t delivery,
		    bool acked);
/* A delivery was set aside: what of it is visible says that it was interrupted. */
void		 streams_aside(struct streams *, const struct delivery *);
/* At a start, for those that were set aside before and not marked yet. */
void		 streams_recover(struct streams *);
/* Open ones of this worker, handler or rest; NULL: all. */
size_t		 streams_open_n(const struct streams *, const struct child *);

#endif
