/*
 * gateway - the shard's connection: transport, inflate, envelope, session, identify put together.
 *
 * Owner: struct sup.  Everything given to it is borrowed for the call; everything it hands
 * out is valid during the callback.
 * Source: Discord docs, events/gateway.
 */
#ifndef SUPERVISOR_GATEWAY_H
#define SUPERVISOR_GATEWAY_H

#include "common/cfg.h"
#include "common/loop.h"
#include "common/resolve.h"
#include "supervisor/gateway/envelope.h"

#define GW_SESSION_ID_MAX	128
#define GW_URL_MAX		512

/* What a RESUME needs, and who we are; kept in the journal. */
struct gw_identity {
	uint32_t	shard, shards;
	char		session_id[GW_SESSION_ID_MAX];	/* "" none: IDENTIFY */
	char		resume_url[GW_URL_MAX];
	uint64_t	user_id, application_id;
	uint64_t	intents;
	uint64_t	seq;				/* newest that is journaled */
};

/* IDENTIFY budget that outlives the process. */
struct gw_budget {
	uint64_t	last_ms;			/* wall, of the last IDENTIFY; 0 none */
	uint64_t	day_ms;				/* wall, when the current count began */
	uint32_t	used;				/* in that day */
};

enum gw_fatal { GW_FATAL_TOKEN, GW_FATAL_INTENTS, GW_FATAL_GATEWAY };

struct gw_ops {
	/*
	 * One dispatch other than READY and RESUMED; its ids are not looked for yet, since most
	 * events are wanted by nobody.  It must be in the journal when this returns 0: only then
	 * its seq counts.  1: no room just now; it is held and nothing is read until gw_take_up
	 * brings it in.  -1: malformed; the connection is dropped and resumed, and a dispatch
	 * refused twice at the same seq is passed over with a warning.
	 * session_id belongs to the session that it came from; replayed: before RESUMED.
	 */
	int	(*on_dispatch)(void *arg, const struct envelope *, const char *session_id,
	    bool replayed);
	/* seq counted without a journal record of its own (unwanted, READY, RESUMED). */
	void	(*on_seq)(void *arg, uint64_t seq);
	/* READY: a new session.  Journal it.  Also called with session_id "" when one is lost. */
	void	(*on_identity)(void *arg, const struct gw_identity *);
	/* READY or RESUMED: the session is live. */
	void	(*on_live)(void *arg, bool resumed);
	/* An IDENTIFY is about to be sent; journal it first. */
	void	(*on_identify)(void *arg, const struct gw_budget *);
	/*
	 * Ask GET /gateway/bot; answer with gw_bot_answer, once, possibly later.  Only before an
	 * IDENTIFY or when no gateway URL is known.
	 */
	void	(*want_gateway_bot)(void *arg);
	/* A close that no retry mends.  The gateway is idle afterwards. */
	void	(*on_fatal)(void *arg, enum gw_fatal, const char *sentence);
	/* gw_stop has finished: the close frame was answered or timed out. */
	void	(*on_stopped)(void *arg);
};

struct gateway;

/* identity and budget are copied; either may be NULL. */
struct gateway	*gw_new(struct loop *, struct resolve *, const struct cfg *,
		    const struct gw_identity *, const struct gw_budget *, const struct gw_ops *,
		    void *arg);
void		 gw_free(struct gateway **);
/* After a reload: the times of its struct cfg, from the next attempt on. */
void		 gw_reconfigure(struct gateway *);
void		 gw_start(struct gateway *);
/*
 * The answer to want_gateway_bot: status is the HTTP status (0: no answer), body the JSON.
 * 401 is fatal (token); anything else but 200 is tried again with back-off.
 */
void		 gw_bot_answer(struct gateway *, unsigned status, struct span body);
/*
 * Close: resumable (4000) or, final, with 1000.  on_stopped follows within 2 s, also when it is not
 * connected.
 */
void		 gw_stop(struct gateway *, bool final);
/*
 * What the bot shows of itself from now on, as presence_make made it.  True: Discord was told; false:
 * it will be, when it is connected and its limits allow it, unless another one comes first.
 */
bool		 gw_presence(struct gateway *, struct span made);
/*
 * Give the session up, and IDENTIFY as soon as that is allowed.  What is said meanwhile is a gap.
 * -1: nothing was done (why_r).
 */
int		 gw_identify_anew(struct gateway *, const char **why_r);
/* Reading from Discord pauses while the journal has no room (heartbeats go on). */
void		 gw_pause(struct gateway *, bool);
/* There may be room again: offer what was refused, and read on when it is taken. */
void		 gw_take_up(struct gateway *);

/*
 * A guild that we are in: after long silence one is asked for a sign (gateway/deaf.h).  READY names
 * them too; a RESUME does not.
 */
void		 gw_know_guild(struct gateway *, uint64_t guild);

struct gw_status {
	const char	*state;			/* of enum sess_state */
	uint64_t	 state_ms;		/* for so long */
	uint64_t	 latency_us;		/* last heartbeat to its ACK; 0 unknown */
	uint64_t	 seq;
	uint64_t	 connects, identifies, resumes, zombies;
	uint64_t	 probes, deafs;		/* asked for a sign; given up without one */
	uint64_t	 identifies_left;	/* as GET /gateway/bot said; UINT64_MAX unknown */
	uint64_t	 identify_in_ms;	/* until one may be sent; 0 now */
	uint64_t	 dispatch_age_ms, ack_age_ms;	/* UINT64_MAX: never */
	/* Heartbeat jitter: written time minus due time. */
	uint64_t	 beat_jitter_max_us, beat_jitter_last_us, beats;
	const char	*session_id;		/* "" none */
	struct span	 presence;		/* JSON, borrowed; empty: never set */
	bool		 presence_due;		/* Discord was not told yet */
	char		 last_close[128];	/* "4000 unknown error", "connection reset" ... */
	uint64_t	 retry_in_ms;		/* in BACKOFF */
	bool		 live, ever_live;	/* now; since this process started */
};
void		 gw_status(struct gateway *, struct gw_status *);
const struct gw_identity *gw_identity(struct gateway *);

#endif
