/*
 * run - a running supervisor, as the files beside this one share it.  Private to them.
 *
 * main.c reads the options, then the life goes through start.c (lock ... gateway), the callbacks of
 * wiring.c and stop.c.  The rooms below know struct sup only.
 */
#ifndef SUPERVISOR_RUN_H
#define SUPERVISOR_RUN_H

#include <limits.h>

#include "supervisor/handover.h"
#include "supervisor/pool/privs.h"
#include "supervisor/supervisor.h"

#define STOP_KILLED_MAX	8
#define STREAM_END_CUT	4	/* messages.def, STREAM_END.kind: from here on it is not complete */

/* What a stop did; stop.c fills it. */
struct stop_report {
	struct mono	 begun, handlers, rest, gateway;	/* when each had ended */
	uint64_t	 held, waiting;		/* deliveries when it began */
	uint64_t	 acked, nacked, returned;	/* the counters then */
	size_t		 streams_n;		/* replies that were cut short */
	bool		 hurried;
	size_t		 killed_n;		/* and the first of them, with the reason */
	char		 killed[STOP_KILLED_MAX][400];
};

struct run {
	struct sup	 sup;		/* first: run_of */
	char		**argv;			/* of main */
	char		 exe[PATH_MAX];		/* our program, as it was called when we started */
	char		 worker[PATH_MAX];
	struct handover	 former;		/* from "": none; supervisor/handover.h */
	struct privs	 privs;			/* who we and our workers become */
	int		 lock_fd;
	int		 status;		/* exit status */
	struct timer	*patience;		/* start_patience: an API that was never reached */
	struct timer	*bound;			/* the stop is bounded, whatever hangs */
	struct timer	*due;			/* the queue's next deadline, and when it is */
	uint64_t	 due_ms;
	struct sigwatch	*signals[5];
	char		 last_api[160];		/* why GET /gateway/bot failed last */
	unsigned	 waiting;		/* parts of the stop order that have not ended */
	bool		 gw_stopping, final;
	struct stop_report report;
	bool		 paused;		/* the journal is tight, or a pool full */
	struct mono	 told_at;		/* when the log said so last */
};

static inline struct run *
run_of(struct sup *sup)
{
	return (struct run *)sup;
}

/* ---- start.c ---- */
/* exe, and worker: it lies beside bulkheadd, in the build tree as when installed.  -1 with errno. */
int	 run_find_worker(struct run *);
/* The start order.  0, or an exit status; run_free is due in both cases. */
int	 run_start(struct run *);
/* Undoes the start from the bottom up. */
void	 run_free(struct run *);

/* SUP_STARTING is over. */
void	 run_running(struct run *);

/* ---- wiring.c: what the rooms ask of each other; arg is the struct run ---- */
extern const struct gw_ops	run_gw_ops;
extern const struct pools_ops	run_pools_ops;
extern const struct queue_ops	run_queue_ops;
/* The loop's tail; the timer that wakes the loop for a deadline. */
void	 run_on_due(void *arg);
void	 run_tail(void *arg);
/* Streams go where calls go. */
void	 run_follow_active(void *run);

/* ---- stop.c ---- */
/* A part of the stop order has ended; with the last one the loop ends. */
void	 run_part_stopped(struct run *);
/* Close the connection, once; run_gateway_stopped follows. */
void	 run_stop_gateway(struct run *, bool final);
void	 run_gateway_stopped(struct run *);
/* For the report, from the wiring: a worker died; a handler ended a reply. */
void	 stop_note_death(struct run *, const char *tag, const struct obituary *);
void	 stop_note_stream(struct run *, uint64_t kind);

#endif
