/*
 * state - struct gateway, and what the files of its owner share.  Private to gateway.c, receive.c.
 *
 *	gateway.c	what the session asks for, and what the supervisor asks of the gateway
 *	receive.c	what comes from Discord, and from the wire
 */
#ifndef SUPERVISOR_GATEWAY_STATE_H
#define SUPERVISOR_GATEWAY_STATE_H

#include "supervisor/gateway/deaf.h"
#include "supervisor/gateway/gateway.h"
#include "supervisor/gateway/identify.h"
#include "supervisor/gateway/intake.h"
#include "supervisor/gateway/presence.h"
#include "supervisor/gateway/session.h"
#include "supervisor/gateway/wire.h"

#define GUILDS_KEPT		8u
/* With each text that is sent; any other is when a periodic beat was due. */
#define COOKIE_NOT_A_BEAT	0u
#define COOKIE_ASKED		1u

struct gw_timer {
	struct gateway	*gw;
	struct timer	*timer;
	enum sess_event	 ev;
};

struct gateway {
	struct loop		*loop;
	const struct cfg	*cfg;
	const struct gw_ops	*ops;
	void			*arg;

	struct gw_identity	 ident;		/* seq: newest that counts */
	struct identify		 identify;
	struct session		 sess;
	struct gw_timer		 timers[SESS__TIMERS];
	char			 tag[16];
	char			 url[GW_URL_MAX];	/* general, from GET /gateway/bot */

	struct wire		*wire;
	uint32_t		 generation;	/* of its attempt */
	unsigned		 unsent;
	bool			 paused;	/* the owner asked for it */
	struct intake		 intake;

	struct buf		 payload;	/* what we send */
	struct mono		 beat_written, ack_at, dispatch_at;
	struct deaf		 deaf;
	struct presence		 presence;
	struct timer		*tell;		/* when it may be told */
	uint64_t		 guilds[GUILDS_KEPT];	/* that may be asked for a sign */
	size_t			 guilds_n;
	struct gw_status	 st;		/* counters and what else survives a connection */
	char			 fatal[512];
};

/* gateway.c */
void	 gw_feed(struct gateway *, enum sess_event);
/* What became of the connection, for status; it may hold what a peer wrote. */
void	 gw_set_last_close(struct gateway *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* receive.c */
extern const struct wire_ops	 gw_wire_ops;
/* Reading follows the owner's wish, and whether a dispatch is held. */
void	 gw_mind_reading(struct gateway *);

static inline struct mono
gw_now(const struct gateway *g)
{
	return loop_now(g->loop);
}

#endif
