/*
 * call - one CALL that is open, and where it is found.  Private to calls.c.
 *
 * A call lives in up to four places: the line of all open calls in order of arrival, the index by
 * its number on the service's link, the index by deadline, and - while a worker waits for it - the
 * index by the worker's own number. Changing calls of a delivery are also found by (delivery,
 * ordinal): that is how the CALL of a redelivery meets the request of the attempt before it that is
 * still on the wire, instead of becoming a second request.
 *
 * A call is WAITING until a rest worker has it, then SENT.  Nobody waits for a call whose worker
 * died: unsent it is dropped, sent it stays until its RESULT, whose effect must still be journaled.
 */
#ifndef SUPERVISOR_CALL_H
#define SUPERVISOR_CALL_H

#include <sys/queue.h>
#include <sys/tree.h>

#include "common/request.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/succession.h"

#define ROUTE_BYTES	(REQUEST_METHOD_MAX + 1 + REQUEST_PATH_MAX + 1)

enum call_state { CALL_WAITING, CALL_SENT };

struct call {
	uint64_t		 wire;		/* its number on the service's link */
	enum call_state		 state;
	/* Who waits: a worker, or somebody inside, or nobody any more. */
	struct child		*from;
	uint64_t		 number;	/* as from calls it */
	void			(*fn)(void *, const struct msg_RESULT *);
	void			*arg;
	uint64_t		 delivery, ordinal, lane;
	uint64_t		 first_ms;	/* wall, first given to a service; 0 not yet */
	uint64_t		 deaths;	/* of rest workers that had it */
	enum error		 refused;	/* it ends with this as soon as the timer runs */
	bool			 changes, kept, timed;
	bool			 again;		/* SENT, and not for the first time */
	struct child		*service;	/* when SENT */
	struct mono		 due;
	struct span		 method, path, route;	/* into data, as is body */
	struct span		 body;		/* empty when it is not kept */
	TAILQ_ENTRY(call)	 in_line;
	RB_ENTRY(call)		 by_wire, by_due, by_number, by_ordinal;
	char			 data[];
};
RB_HEAD(wires, call);
RB_HEAD(dues, call);
RB_HEAD(numbers, call);
RB_HEAD(ordinals, call);

struct calls {
	struct loop		*loop;
	const struct cfg	*cfg;
	struct journal		*journal;
	struct timer		*timer;
	struct mono		 armed;		/* never: it is not */
	bool			 gate;
	/* a call waits for room in the journal, or for a suspect or one before it that has ended */
	bool			 roomless;
	struct call		*alone;		/* the suspect that is out */
	uint64_t		 wire;		/* the last one used */
	size_t			 open;
	TAILQ_HEAD(, call)	 line;
	struct succession	*services;
	void			(*follow)(void *);	/* the active one changed */
	void			*follow_arg;
	struct wires		 wires;
	struct dues		 dues;
	struct numbers		 numbers;
	struct ordinals		 ordinals;
};

/* What the journal remembers of a call: "POST /channels/1/messages".  dst of ROUTE_BYTES. */
struct span	 call_route(struct span method, struct span path, char *dst);

/* Its strings are copied, and a body that is not above PROTO_CALL_KEEP_MAX. */
struct call	*call_new(struct calls *, struct span method, struct span path, struct span body,
		    uint64_t delivery, uint64_t ordinal);
/* Out of everything, and freed.  Nobody is told. */
void		 call_drop(struct calls *, struct call *);

/* NULL: there is none. */
struct call	*call_by_wire(struct calls *, uint64_t wire);
struct call	*call_by_number(struct calls *, struct child *from, uint64_t number);
struct call	*call_by_ordinal(struct calls *, uint64_t delivery, uint64_t ordinal);
struct call	*call_first_due(struct calls *);

/* A worker waits for it. */
void		 call_owned(struct calls *, struct call *, struct child *from, uint64_t number);
/* Does anybody wait for it? */
bool		 call_wanted(const struct call *);
/* Nobody waits for it from here on. */
void		 call_disown(struct calls *, struct call *);
void		 call_due(struct calls *, struct call *, struct mono due);
/* The timer runs at due, or earlier. */
void		 call_timer(struct calls *, struct mono due);

/* Tell whoever waits; the call itself stays. */
void		 call_answer(struct calls *, struct call *, const struct msg_RESULT *);
struct msg_RESULT call_refusal(enum error);
/*
 * The end of a call without a RESULT.  Whoever asked is told by the timer: a callback may ask,
 * forget or stop everything, and must not find us in the middle of a walk.
 */
void		 call_fail(struct calls *, struct call *, enum error);

#endif
