/*
 * count - the counters of proto/counters.def.
 */
#include <assert.h>

#include "common/count.h"

static const struct {
	const char	*name, *unit, *help;
} rows[COUNT__N] = {
#define COUNTER(id, u, h) [COUNT_##id] = { #id, u, h },
#include "proto/counters.def"
#undef COUNTER
};

static uint64_t	 value[COUNT__N];
static uint64_t	 taken[COUNT__N];	/* what count_take_delta has reported; <= value */

void
count_add(enum counter c, uint64_t n)
{
	assert(c < COUNT__N);
	value[c] += n;
}

uint64_t
count_get(enum counter c)
{
	assert(c < COUNT__N);
	return value[c];
}

const char *
count_name(enum counter c)
{
	assert(c < COUNT__N);
	return rows[c].name;
}

const char *
count_unit(enum counter c)
{
	assert(c < COUNT__N);
	return rows[c].unit;
}

const char *
count_help(enum counter c)
{
	assert(c < COUNT__N);
	return rows[c].help;
}

bool
count_add_named(struct span name, uint64_t n)
{
	for (unsigned c = 0; c < COUNT__N; c++) {
		if (span_is(name, rows[c].name)) {
			value[c] += n;
			return true;
		}
	}
	return false;
}

uint64_t
count_take_delta(enum counter c)
{
	uint64_t	 delta;

	assert(c < COUNT__N);
	delta = value[c] - taken[c];
	taken[c] = value[c];
	return delta;
}
