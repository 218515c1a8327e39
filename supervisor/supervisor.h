/*
 * supervisor - the one struct of the process and what its rooms may ask of it.
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "common/cfg.h"
#include "common/clock.h"
#include "common/loop.h"
#include "common/resolve.h"
#include "supervisor/delivery/queue.h"
#include "supervisor/gateway/gateway.h"
#include "supervisor/journal/journal.h"
#include "supervisor/pool/pool.h"

struct calls;
struct fetchgap;
struct streams;
struct poolcalls;
struct control;
struct notify;
struct snapshot;
struct reload;
struct upgrade;
struct orphans;

enum sup_phase { SUP_STARTING, SUP_RUNNING, SUP_STOPPING, SUP_UPGRADING };

struct sup {
	/* as given */
	const char	*program;		/* our own path */
	const char	*conf;			/* configuration file */
	bool		 no_gateway, faults;
	int		 ready_fd;		/* --ready-fd, or -1 */
	/* parts, in the order of their making; freed in reverse */
	struct cfg	*cfg;
	struct loop	*loop;
	struct journal	*journal;
	struct resolve	*resolve;
	struct queue	*queue;
	struct calls	*calls;			/* supervisor/control/calls.h */
	struct streams	*streams;		/* supervisor/control/streams.h */
	struct poolcalls *poolcalls;		/* supervisor/control/poolcalls.h */
	struct pools	*pools;
	struct fetchgap	*fetchgap;		/* supervisor/delivery/fetchgap.h; NULL under --no-gateway */
	struct gateway	*gw;			/* NULL under --no-gateway */
	struct control	*control;
	struct snapshot	*snapshot;		/* supervisor/control/snapshot.h */
	struct reload	*reload;		/* supervisor/reload.h */
	struct upgrade	*upgrade;		/* supervisor/upgrade.h */
	struct notify	*notify;		/* NULL: no process manager listens */
	struct orphans	*orphans;		/* NULL: not pid 1 */
	/* facts for status */
	enum sup_phase	 phase;
	struct mono	 started;
	uint64_t	 started_wall_ms;
	char		 why_stopping[128];
	struct journal_report opened;		/* what the journal said at start */
};

/*
 * Begin the stop order; a second call hurries it.  why goes to log and status.
 *	final	Discord's session ends too, and is forgotten
 */
void	 sup_stop(struct sup *, const char *why, bool final);

#endif
