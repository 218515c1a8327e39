/*
 * fault - named points where a build can be told to misbehave.
 *
 * In every build; armed only by BULKHEAD_FAULTS in the environment ("name=spec;name=spec", each
 * name once)
 * or, when the supervisor runs under --faults, by `bulkheadctl fault`.  An unarmed point
 * costs one load and a branch.
 *
 * spec: words joined by commas
 *	always		each time (the default when only other words stand there)
 *	after=N		from the (N+1)th hit on
 *	for=M		for M hits, then disarmed
 *	pct=P		P per cent of hits, by a generator seeded with
 *	seed=S		(logged when armed)
 *	match=TEXT	only hits whose subject contains TEXT
 *	slot=TAG	only in the worker whose name (pool.slot) is TAG
 *	arg=V		a number for the point, e.g. milliseconds
 */
#ifndef COMMON_FAULT_H
#define COMMON_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include "common/span.h"

enum fault_point {
#define FAULT_POINT(id, name, help) FAULT_##id,
#include "proto/faults.def"
#undef FAULT_POINT
	FAULT__N
};

/*
 * Arm from the environment; who is "pool.slot" or "supervisor".  A name that is not known, or that
 * stands there twice: -1, why_r says which.
 */
int		 fault_init(const char *who, const char *specs, const char **why_r);
/* Arm or (empty spec) disarm one.  0, or -1 with a sentence. */
int		 fault_set(struct span name, struct span spec, const char **why_r);
/* Does it strike now?  subject may be SPAN_NONE.  Logs each strike. */
bool		 fault_hits(enum fault_point, struct span subject);
/* The same, where the supervisor strikes for a worker: slot= is compared with who ("pool.slot"). */
bool		 fault_hits_for(enum fault_point, const char *who, struct span subject);
uint64_t	 fault_arg(enum fault_point, uint64_t fallback);
bool		 fault_armed_any(void);
/* All armed specs as "name=spec;...", for children; borrowed until the next change. */
const char	*fault_specs(void);

#endif
