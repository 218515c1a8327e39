/*
 * intake - which dispatch of a session counts: each once, in order, none lost for want of room.
 *
 * Within a session s only rises; what is not above the newest that counts was here.  The newest is
 * ident.seq: a RESUME asks for what comes after it.
 *
 *  - No room: the dispatch is held, nothing else may be offered (reading stops) until it is taken.
 *    Its seq does not count, so a resume brings it again should the connection be lost.
 *  - Refused: the first time the connection is at fault, the second time at the same seq it is the
 *    dispatch, and it is passed over.
 * Pure: whoever takes dispatches is behind a callback.
 *
 * Owner: the gateway.
 */
#ifndef SUPERVISOR_INTAKE_H
#define SUPERVISOR_INTAKE_H

#include "common/mem.h"
#include "supervisor/gateway/gateway.h"

struct intake {
	struct gw_identity	*ident;		/* the gateway's */
	const struct gw_ops	*ops;		/* on_dispatch and on_seq of these are called */
	void			*arg;
	struct buf		 held;		/* the message that there was no room for */
	bool			 held_replayed;
	struct {
		bool		 is;
		uint64_t	 seq;
	} refused, bad;				/* the last one, and where */
};

enum intake_verdict {
	INTAKE_KNOWN,			/* was here */
	INTAKE_TAKEN,			/* its seq counts */
	INTAKE_HELD,			/* stop reading */
	INTAKE_REFUSED,			/* drop the connection */
	INTAKE_PASSED			/* refused again: its seq counts, it is gone */
};

/* All borrowed for life. */
void	 intake_init(struct intake *, struct gw_identity *, const struct gw_ops *, void *arg);
void	 intake_fini(struct intake *);
/* Another session: nothing was refused in it. */
void	 intake_forget(struct intake *);

/* A dispatch with s and t; message is the whole of it.  Not while one is held. */
enum intake_verdict intake_offer(struct intake *, const struct envelope *, struct span message,
    bool replayed);
/* One that is no event for anybody (RESUMED): its seq counts. */
void	 intake_count(struct intake *, uint64_t seq);
/* Something that cannot be read came after ident.seq.  True the second time there: pass it over. */
bool	 intake_bad(struct intake *);

bool	 intake_is_holding(const struct intake *);
/* There may be room now: true when it is taken and nothing is held any more. */
bool	 intake_take_up(struct intake *);
/* Let go of it: how many bytes it had, 0 when none was held. */
size_t	 intake_drop_held(struct intake *);

#endif
