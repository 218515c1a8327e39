/*
 * fetchgap - after a lost session: ask Discord for what was said meanwhile, and count what is gone.
 *
 * The plan is delivery/backfill, its memory the journal's gap record: a supervisor that dies in the
 * middle is followed by one that goes on.  Messages become deliveries as if they had come live,
 * with the same ids, so that what comes both ways is dropped once.  A channel's live messages wait
 * for its back-fill (queue_gate), at most backfill_wait; then they go on and it counts as failed.
 * Owner: struct sup.  Bounded: BACKFILL_AT_ONCE requests open, their pages kept while the journal
 * has no room; the last GAPS_KEPT gaps are remembered.
 */
#ifndef SUPERVISOR_FETCHGAP_H
#define SUPERVISOR_FETCHGAP_H

#include "common/json.h"
#include "common/loop.h"
#include "supervisor/delivery/queue.h"

#define GAPS_KEPT	8

struct calls;
struct fetchgap;

struct fetchgap	*fetchgap_new(struct loop *, const struct cfg *, struct journal *, struct queue *,
		    struct calls *);
void		 fetchgap_free(struct fetchgap **);
/*
 * At start, before anything is given: take up what is owed.  session: one is there to be resumed;
 * without it, and with channels known, it was lost while nobody was here.
 */
void		 fetchgap_start(struct fetchgap *, bool session);
/* The session is lost.  from_ms: wall time of the last sign of it; 0 not known. */
void		 fetchgap_lost(struct fetchgap *, uint64_t from_ms);
/* A session is live, an old one or a new one. */
void		 fetchgap_live(struct fetchgap *);
/* Ask no more; what is owed stays owed. */
void		 fetchgap_stop(struct fetchgap *);

/* The newest gap as an object, null when there was none. */
void		 fetchgap_json(struct fetchgap *, struct json_out *);
/* All that are remembered, newest first, as an array. */
void		 fetchgap_all_json(struct fetchgap *, struct json_out *);
/* What a person should know within an hour of the newest gap; false: nothing. */
bool		 fetchgap_why(struct fetchgap *, char *dst, size_t dst_bytes);

#endif
