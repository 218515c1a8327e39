/*
 * run - a running supervisor, as the files beside this one share it.  Private to them.
 *
 * main.c reads the options, then the life goes through start.c (lock ... gateway), the callbacks of
 * wiring.c and stop.c.  The rooms below know struct sup only.
 */
#ifndef SUPERVISOR_RUN_H
#define SUPERVISOR_RUN_H

#include <limits.h>

#include "supervisor/supervisor.h"

struct run {
	struct sup	 sup;		/* first: run_of */
	char		 worker[PATH_MAX];
	int		 lock_fd;
	int		 status;		/* exit status */
	struct timer	*patience;		/* start_patience: an API that was never reached */
	struct timer	*bound;			/* the stop is bounded, whatever hangs */
	struct timer	*due;			/* the queue's next deadline, and when it is */
	uint64_t	 due_ms;
	struct sigwatch	*signals[4];
	char		 last_api[160];		/* why GET /gateway/bot failed last */
	unsigned	 waiting;		/* parts of the stop order that have not ended */
	bool		 paused;		/* the journal is tight, or a pool full */
	struct mono	 told_at;		/* when the log said so last */
};

static inline struct run *
run_of(struct sup *sup)
{
	return (struct run *)sup;
}

/* ---- start.c ---- */
/* bulkhead-worker lies beside bulkheadd, in the build tree as when installed.  -1 with errno. */
int	 run_find_worker(char *dst, size_t bytes);
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
void	 run_follow_active(struct run *);

/* ---- stop.c ---- */
/* A part of the stop order has ended; with the last one the loop ends. */
void	 run_part_stopped(struct run *);

#endif
