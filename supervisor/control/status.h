/*
 * status - what `status` and `show` print, as JSON.
 */
#ifndef SUPERVISOR_STATUS_H
#define SUPERVISOR_STATUS_H

#include "common/mem.h"
#include "supervisor/supervisor.h"

/* One line for a process manager: "degraded: 1 of 4 workers not ready; 3 waiting". */
void	 status_line(struct sup *, char *dst, size_t bytes);
/*
 * health: "ok"; "degraded" with reasons (a worker not READY, gateway not live, lines dropped,
 * journal damaged or not on tmpfs, dead letters); "down" when nothing can be answered (no rest
 * worker, or gateway not live for 60 s).
 */
void	 status_json(struct sup *, struct buf *out);
void	 status_pools(struct sup *, struct buf *out);
void	 status_workers(struct sup *, struct buf *out);
/* With obituaries; false: no such worker. */
bool	 status_worker(struct sup *, const char *name, struct buf *out);
/* Waiting, given, aside; at most 1,000. */
void	 status_deliveries(struct sup *, struct buf *out);
/* The newest dead letters as an array, at most max; the newest last. */
void	 status_letters(struct sup *, size_t max, struct buf *out);
/* Gateway session, rest sessions as last reported. */
void	 status_sessions(struct sup *, struct buf *out);
/* What lost sessions left, and the channels that would be asked after the next one. */
void	 status_gaps(struct sup *, struct buf *out);
void	 status_counters(struct sup *, struct buf *out);

#endif
