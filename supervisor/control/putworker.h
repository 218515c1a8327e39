/*
 * putworker - workers in the documents of `status` and `show`: what they are, do, hold, died of.
 */
#ifndef SUPERVISOR_PUTWORKER_H
#define SUPERVISOR_PUTWORKER_H

#include "common/json.h"
#include "supervisor/supervisor.h"

/* "workers", "beside": each in short.  pool NULL: of all. */
void	 putworker_all(struct sup *, struct json_out *, const char *pool);
/* One with its obituaries, a whole document; false: there is none of that name, nothing is put. */
bool	 putworker_one(struct sup *, struct json_out *, const char *name);
/* "sessions": the typed HTTP sessions, as their workers reported them last. */
void	 putworker_sessions(struct sup *, struct json_out *);
/* "timers": how late those of a process fired, because its loop was busy with something else. */
void	 putworker_late(struct json_out *, uint64_t timers, uint64_t p50_us, uint64_t p99_us,
	    uint64_t max_us);

#endif
