/*
 * client - one peer of the control socket, and what it waits for.  Private to this room.
 *
 * One client asks one thing at a time; what has to wait (restart, call) is a struct pending that
 * outlives its client when it must, so that a callback never finds a client that is gone.
 */
#ifndef SUPERVISOR_CONTROL_CLIENT_H
#define SUPERVISOR_CONTROL_CLIENT_H

#include <sys/queue.h>

#include "common/chan.h"
#include "common/msg.h"
#include "supervisor/supervisor.h"

#define WORDS_MAX	64

struct client;

/*
 * Something that ends later.  Owned by whoever will call it back; the list is for the stop order.
 */
struct pending {
	struct control		*control;	/* NULL: it was freed */
	struct client		*client;	/* NULL: gone, or told already */
	bool			 is_call;	/* calls_forget can take it back */
	bool			 is_poolcall;	/* poolcalls_forget can */
	bool			 till_live;	/* nobody calls it back: control_live ends it */
	char			 name[64];
	char			 done[96];	/* of a change: what it is then */
	TAILQ_ENTRY(pending)	 next;
};

struct client {
	struct control		*control;
	struct chan		*chan;
	struct timer		*idle;
	struct pending		*pending;
	char			 tag[64];
	bool			 may_change;
	bool			 follows;	/* monitor: gets each life-cycle event */
	bool			 stays;		/* asked for the stop: kept until we are gone */
	TAILQ_ENTRY(client)	 next;
};

struct control {
	struct sup		*sup;
	char			*path;
	int			 fd;
	struct watch		*watch;
	struct timer		*again;
	msgpack_zone		*zone;
	struct buf		 doc;		/* the answer being made */
	TAILQ_HEAD(, client)	 clients;
	TAILQ_HEAD(, pending)	 pendings;
	size_t			 clients_n;
	uint64_t		 made;		/* clients so far, for tags */
	struct mono		 complained;	/* of accept, the last time; never since it works */
	uint64_t		 unsaid;	/* failures of accept since then */
	const char		*stopping;	/* why nothing may be changed now; NULL */
};

/* What a client asks; borrowed for the call. */
struct ask {
	struct span	 words[WORDS_MAX];	/* without the verb */
	size_t		 words_n;
	struct span	 body;
	bool		 wait;
};

/* Each ends what was asked: CTL_EXIT_*, and a sentence that may be empty. */
void		 client_end(struct client *, unsigned status, const char *why);
void		 client_endf(struct client *, unsigned status, const char *fmt, ...)
		    __attribute__((format(printf, 3, 4)));
/* The document goes first. */
void		 client_answer(struct client *, unsigned status, const char *why);
/* An empty document to write the answer into; good until the loop's next turn. */
struct buf	*client_doc(struct client *);

/* Close and free it.  Not inside its own callbacks, but as their last step. */
void		 client_drop(struct client *, const char *why);

/* name: for the sentences when it ends. */
struct pending	*pending_new(struct client *, struct span name, bool is_call);
/* The callback came, or never will.  The client that still waits for it, or NULL. */
struct client	*pending_free(struct pending *);

void		 verbs_run(struct client *, struct span verb, const struct ask *);

#endif
