/*
 * snapshot - what the web worker shows: status, counters, histograms, the last dead letters, once a
 * second.
 *
 * Made only while that worker is READY and has read the one before: a slow one costs neither time nor
 * memory here, and says by itself how old its news is.
 *
 * Owner: struct sup.
 */
#ifndef SUPERVISOR_SNAPSHOT_H
#define SUPERVISOR_SNAPSHOT_H

#include "supervisor/supervisor.h"

#define SNAPSHOT_MS	1000
#define SNAPSHOT_LETTERS	20

struct snapshot;

struct snapshot	*snapshot_new(struct sup *, uint64_t every_ms);
void		 snapshot_free(struct snapshot **);
/* The web worker is READY: the first one goes at once. */
void		 snapshot_up(struct snapshot *, struct child *);
/* It drains, or is dead; one that was replaced already is not missed. */
void		 snapshot_down(struct snapshot *, const struct child *);

#endif
