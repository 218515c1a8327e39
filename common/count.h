/*
 * count - the counters of proto/counters.def.
 */
#ifndef COMMON_COUNT_H
#define COMMON_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/span.h"

enum counter {
#define COUNTER(name, unit, help) COUNT_##name,
#include "proto/counters.def"
#undef COUNTER
	COUNT__N
};

void		 count_add(enum counter, uint64_t n);
#define COUNT(name)	count_add(COUNT_##name, 1)
uint64_t	 count_get(enum counter);
const char	*count_name(enum counter);
const char	*count_unit(enum counter);
const char	*count_help(enum counter);
/* Add n to the counter of that name; false when there is none. */
bool		 count_add_named(struct span name, uint64_t n);
/* What counter c gained since the last call for it: for COUNT messages. */
uint64_t	 count_take_delta(enum counter);

#endif
