/*
 * session - one Discord gateway session as a state machine.
 *
 * Pure: no sockets, no libevent, no clock.  It is fed events with the time and calls back
 * through struct sess_ops, so tests drive it with a fake and a made-up time.
 *
 * Owner: struct gateway owns the only one.
 * Source: Discord docs, events/gateway, connection life cycle; the waits are ours, chosen so that
 * the 1000 IDENTIFYs of a day cannot be used up: see session.c.
 */
#ifndef SUPERVISOR_SESSION_H
#define SUPERVISOR_SESSION_H

#include "common/clock.h"

#define SESS_STATES(X)									\
	X(IDLE)			/* not started, or stopped */				\
	X(ASKING)		/* GET /gateway/bot is on its way */			\
	X(SLOT)			/* the next IDENTIFY is not due yet */			\
	X(CONNECTING)		/* name, TCP, TLS, upgrade */				\
	X(HELLO)		/* open; Discord speaks first */			\
	X(IDENTIFYING)		/* IDENTIFY is sent, READY is not here */		\
	X(RESUMING)		/* RESUME is sent, missed events come, then RESUMED */	\
	X(READY)		/* live */						\
	X(BACKOFF)		/* waiting before the next attempt */			\
	X(STOPPING)		/* the close frame is out */				\
	X(FATAL)		/* no retry mends it */

#define SESS_EVENTS(X)									\
	X(START) X(STOP) X(STOP_FINAL)							\
	X(FORGET)		/* the session is given up, whatever it is worth */	\
	X(BOT_OK)		/* GET /gateway/bot: url and limits are known */	\
	X(BOT_FAILED) X(BOT_DENIED)							\
	X(OPEN)			/* the WebSocket is open */				\
	X(DIAL_FAILED)		/* it never was */					\
	X(GONE_RESUME) X(GONE_FRESH)	/* it was and is gone: closecodes.def */	\
	X(GONE_TOKEN) X(GONE_INTENTS) X(GONE_FATAL)					\
	X(BROKEN)		/* what came cannot be used: drop and resume */		\
	X(RX_HELLO) X(RX_READY) X(RX_RESUMED) X(RX_BEAT) X(RX_ACK) X(RX_RECONNECT)	\
	X(RX_INVALID_KEEP) X(RX_INVALID_LOST)	/* op 9 true, false */			\
	X(T_PHASE) X(T_BEAT) X(T_RETRY) X(T_SLOT) X(T_STOP)

enum sess_state {
#define X(name) SESS_##name,
	SESS_STATES(X)
#undef X
	SESS__STATES
};

enum sess_event {
#define X(name) SEV_##name,
	SESS_EVENTS(X)
#undef X
	SEV__EVENTS
};

/* One timer each: PHASE bounds the state we are in. */
enum sess_timer { SESS_PHASE, SESS_BEAT, SESS_RETRY, SESS_SLOTS, SESS_STOPS, SESS__TIMERS };

enum sess_fatal { SESS_FATAL_TOKEN, SESS_FATAL_INTENTS, SESS_FATAL_OTHER };

/* Close codes that we send.  Anything but 1000 and 1001 leaves the session resumable. */
#define SESS_CLOSE_FINAL	1000
#define SESS_CLOSE_STOP		4000
#define SESS_CLOSE_DROP		4900

struct session;

struct sess_ops {			/* what it asks of the world */
	void	(*moved)(void *, enum sess_state from,
	    enum sess_event why);	/* the new state is in place */
	void	(*unexpected)(void *, enum sess_event);
	void	(*ask_bot)(void *);
	void	(*dial)(void *, bool resume_url);	/* a new generation begins */
	void	(*hangup)(void *,
	    unsigned code);	/* nothing of this generation counts any more */
	void	(*send_identify)(void *);
	void	(*send_resume)(void *);
	void	(*send_beat)(void *, struct mono due);
	void	(*arm)(void *, enum sess_timer, struct mono when);
	void	(*stop)(void *, enum sess_timer);
	uint64_t (*slot_ms)(void *);			/* until an IDENTIFY may be sent */
	void	(*lost)(void *);			/* session id,
	    seq and resume URL are void */
	void	(*live)(void *, bool resumed);
	void	(*zombie)(void *);
	void	(*fatal)(void *, enum sess_fatal);
	void	(*stopped)(void *);
	uint64_t (*random)(void *, uint64_t below);
};

struct sess_conf {
	uint64_t	 dial_ms;		/* bound of one dial, all addresses */
	uint64_t	 hello_ms;		/* to HELLO,
	    and from IDENTIFY or RESUME to its answer */
	uint64_t	 backoff_max_ms;
};

struct session {
	const struct sess_ops	*ops;
	void			*arg;
	struct sess_conf	 conf;

	enum sess_state	 state;
	struct mono	 since;			/* in this state */
	struct mono	 now;			/* of the event that is being handled */
	uint32_t	 generation;		/* of the connection; see sess_conn_event */

	bool		 has_session;		/* RESUME is possible: id, seq are known */
	bool		 has_resume_url, has_url;
	bool		 other_url;		/* the resume URL failed last */

	uint64_t	 interval_ms;		/* of heartbeats, from HELLO */
	struct mono	 beat_due, beat_sent;	/* of the periodic one */
	bool		 ack_due;		/* the last periodic beat has no ACK yet */
	bool		 paused;		/* we do not read: no ACK can be seen */
	struct mono	 frame_at, dispatch_at;	/* last received */
	struct mono	 live_at;		/* never: not since the last loss */
	struct mono	 retry_at;		/* in BACKOFF */

	unsigned	 losses;		/* connections lost since the last healthy spell */
	/* RESUMEs sent since the last RESUMED or new event */
	unsigned	 resumes;
	unsigned	 identifies;		/* IDENTIFYs since the last long healthy spell */
};

void	 sess_init(struct session *, const struct sess_conf *, const struct sess_ops *, void *arg);
/*
 * Feed one event.  A pair with no row in the table is the peer's fault or a stale timer:
 * ops->unexpected is told and nothing changes.  True when a row matched.
 */
bool	 sess_event(struct session *, struct mono now, enum sess_event);
/*
 * The same for an event of a connection: refused (false) when it is not of the current
 * generation.
 */
bool	 sess_conn_event(struct session *, uint32_t generation, struct mono now, enum sess_event);
/* HELLO: interval first, then SEV_RX_HELLO. */
void	 sess_interval(struct session *, uint64_t ms);
/* Reading stops or goes on: a beat whose ACK we could not read is not held against the peer. */
void	 sess_pause(struct session *, bool);
/* Any frame has come. */
static inline void
sess_frame(struct session *s, struct mono now)
{
	s->frame_at = now;
}
/*
 * A new event was taken: a RESUME that brings the session forward was not in vain, however it ends.
 */
static inline void
sess_progress(struct session *s)
{
	s->resumes = 0;
}
static inline void
sess_dispatch(struct session *s, struct mono now)
{
	s->dispatch_at = now;
}
/* Which event a close code is (0: none came).  sentence_r (may be NULL): of closecodes.def. */
enum sess_event sess_close_event(unsigned code, const char **sentence_r);

const char *sess_state_name(enum sess_state);
const char *sess_event_name(enum sess_event);

#endif
