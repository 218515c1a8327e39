/*
 * measure - see measure.h.
 */
#include <assert.h>

#include "common/measure.h"
#include "common/mem.h"

/* The words of the table. */
enum { WHOLE = 0, POOL = 1 };

static const struct {
	const char	*name, *help;
	bool		 pools;
} rows[MEASURE__N] = {
#define HISTOGRAM(name, of, help) [MEASURE_##name] = { #name, help, of },
#include "proto/histograms.def"
#undef HISTOGRAM
};

static const struct {
	uint64_t	 us;
	const char	*text;
} steps[MEASURE_STEPS] = {
#define STEP(us, le) [MEASURE_STEP_##us] = { us, le },
#include "proto/histograms.def"
#undef STEP
	[MEASURE_ABOVE] = { UINT64_MAX, "+Inf" },
};

static struct measured	*value[MEASURE__N][MEASURE_POOLS + 1];	/* the last: MEASURE_OTHERS */
static struct measured	 taken[MEASURE__N];	/* what measure_take has reported */

const char *
measure_name(enum measure m)
{
	assert(m < MEASURE__N);
	return rows[m].name;
}

const char *
measure_help(enum measure m)
{
	assert(m < MEASURE__N);
	return rows[m].help;
}

bool
measure_of_pools(enum measure m)
{
	assert(m < MEASURE__N);
	return rows[m].pools;
}

uint64_t
measure_step_us(size_t step)
{
	assert(step < MEASURE_STEPS);
	return steps[step].us;
}

const char *
measure_step_text(size_t step)
{
	assert(step < MEASURE_STEPS);
	return steps[step].text;
}

static struct measured *
row_for(enum measure m, const char *pool)
{
	struct measured	**at = value[m];
	size_t		  i;

	for (i = 0; i < MEASURE_POOLS && at[i] != NULL; i++)
		if (strcmp(at[i]->pool, pool) == 0)
			return at[i];
	if (i == MEASURE_POOLS)
		pool = MEASURE_OTHERS;
	if (at[i] == NULL) {
		at[i] = mem_alloc(sizeof(**at));
		(void)span_copy(span_of(pool), at[i]->pool, sizeof(at[i]->pool));
	}
	return at[i];
}

void
measure_add(enum measure m, const char *pool, uint64_t us)
{
	struct measured	*row;
	size_t		 step = 0;

	assert(m < MEASURE__N && rows[m].pools == (pool != NULL));
	row = row_for(m, pool == NULL ? "" : pool);
	while (us > steps[step].us)
		step++;
	row->steps[step]++;
	row->sum_us += us;
	row->n++;
}

bool
measure_row(enum measure m, size_t i, const struct measured **row_r)
{
	assert(m < MEASURE__N);
	if (i > MEASURE_POOLS || value[m][i] == NULL)
		return false;
	*row_r = value[m][i];
	return true;
}

bool
measure_take(enum measure m, struct measured *delta_r)
{
	const struct measured	*now = value[m][0];

	assert(m < MEASURE__N && !rows[m].pools);
	if (now == NULL || now->n == taken[m].n)
		return false;
	*delta_r = *now;
	delta_r->n -= taken[m].n;
	delta_r->sum_us -= taken[m].sum_us;
	for (size_t i = 0; i < MEASURE_STEPS; i++)
		delta_r->steps[i] -= taken[m].steps[i];
	taken[m] = *now;
	return true;
}

/* MEASURE__N: there is none. */
static enum measure
whole_named(struct span name)
{
	for (unsigned m = 0; m < MEASURE__N; m++)
		if (!rows[m].pools && span_is(name, rows[m].name))
			return (enum measure)m;
	return MEASURE__N;
}

bool
measure_gain(struct span name, size_t step, uint64_t n)
{
	enum measure	 m = whole_named(name);
	struct measured	*row;

	if (m == MEASURE__N || step >= MEASURE_STEPS)
		return false;
	row = row_for(m, "");
	row->steps[step] += n;
	row->n += n;
	return true;
}

bool
measure_gain_sum(struct span name, uint64_t us)
{
	enum measure	 m = whole_named(name);

	if (m == MEASURE__N)
		return false;
	row_for(m, "")->sum_us += us;
	return true;
}
