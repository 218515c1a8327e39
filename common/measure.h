/*
 * measure - how long things take: the histograms of proto/histograms.def.
 *
 * Like the counters they belong to the process, only rise, and come up from the rest worker as what
 * was gained (MEASURE).  Pools are few; what is measured for more than MEASURE_POOLS goes into a row
 * named MEASURE_OTHERS, so that memory and the length of /metrics are bounded.
 */
#ifndef COMMON_MEASURE_H
#define COMMON_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/span.h"

enum measure {
#define HISTOGRAM(name, of, help) MEASURE_##name,
#include "proto/histograms.def"
#undef HISTOGRAM
	MEASURE__N
};

enum measure_step {
#define STEP(us, le) MEASURE_STEP_##us,
#include "proto/histograms.def"
#undef STEP
	MEASURE_ABOVE,			/* all of the steps */
	MEASURE_STEPS
};

#define MEASURE_POOLS	64
#define MEASURE_OTHERS	"(others)"

struct measured {
	char		 pool[33];	/* "": the whole */
	uint64_t	 n, sum_us;
	uint64_t	 steps[MEASURE_STEPS];	/* each its own, not what is below it */
};

const char	*measure_name(enum measure);
const char	*measure_help(enum measure);
bool		 measure_of_pools(enum measure);
/* End of a step in us; UINT64_MAX of the last. */
uint64_t	 measure_step_us(size_t step);
const char	*measure_step_text(size_t step);	/* in seconds, "+Inf" */

/* pool is for those of pools only; else NULL. */
void		 measure_add(enum measure, const char *pool, uint64_t us);
/* The i-th row that has any; false: there are no more. */
bool		 measure_row(enum measure, size_t i, const struct measured **row_r);
/*
 * Of those of the whole: what it gained since the last call for it.  False: nothing.
 */
bool		 measure_take(enum measure, struct measured *delta_r);
/* Add what another process gained; false: no such histogram, or not of the whole, or no such step. */
bool		 measure_gain(struct span name, size_t step, uint64_t n);
bool		 measure_gain_sum(struct span name, uint64_t us);

#endif
