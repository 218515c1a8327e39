/*
 * histo - how often which value came: counts in steps of a quarter, no allocation.
 *
 * A value is told apart from one an eighth larger or smaller at best; the largest is kept as it is.
 */
#ifndef COMMON_HISTO_H
#define COMMON_HISTO_H

#include <stdint.h>

#define HISTO_BINS	160	/* four for each power of two up to 2^40; the last takes the rest */

struct histo {
	uint64_t	 n, max;
	uint32_t	 bins[HISTO_BINS];
};

void	 histo_add(struct histo *, uint64_t v);
/* The value that permille of all do not exceed, to the end of its step; 0 when there is none. */
uint64_t histo_quantile(const struct histo *, unsigned permille);

#endif
