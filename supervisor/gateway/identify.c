/*
 * identify - see identify.h.
 *
 * The wall clock may be set: nothing here waits longer than a spacing or a day because of it.
 */
#include "supervisor/gateway/identify.h"

void
identify_init(struct identify *id, const struct gw_budget *budget)
{
	*id = (struct identify){ 0 };
	if (budget != NULL)
		id->budget = *budget;
}

void
identify_told(struct identify *id, uint64_t now_ms, uint64_t total, uint64_t remaining,
    uint64_t reset_after_ms)
{
	id->told = true;
	id->total = total;
	id->remaining = remaining;
	id->reset_ms = now_ms + (reset_after_ms < IDENTIFY_DAY_MS ? reset_after_ms :
	    IDENTIFY_DAY_MS);
}

/* Kept back: a tenth where the total is small (a test's), else the reserve. */
static uint64_t
reserve(uint64_t total)
{
	return total / 10 < IDENTIFY_RESERVE ? total / 10 : IDENTIFY_RESERVE;
}

/* What is left, and in how long there is more. */
static uint64_t
left(const struct identify *id, uint64_t now_ms, uint64_t *total_r, uint64_t *more_ms_r)
{
	uint64_t	 age;

	if (id->told) {
		*total_r = id->total;
		*more_ms_r = id->reset_ms > now_ms ? id->reset_ms - now_ms : 0;
		return *more_ms_r == 0 ? id->total : id->remaining;
	}
	*total_r = IDENTIFY_TOTAL;
	age = clock_since_ms(id->budget.day_ms, now_ms);
	if (age >= IDENTIFY_DAY_MS) {
		*more_ms_r = 0;
		return IDENTIFY_TOTAL;
	}
	*more_ms_r = IDENTIFY_DAY_MS - age;
	return id->budget.used < IDENTIFY_TOTAL ? IDENTIFY_TOTAL - id->budget.used : 0;
}

uint64_t
identify_wait_ms(const struct identify *id, uint64_t now_ms, enum identify_why *why_r)
{
	enum identify_why	 why = IDENTIFY_NOW;
	uint64_t		 wait = 0, since, total, more;

	if (id->budget.last_ms != 0) {
		/* A last one in the future: the clock was set back. */
		since = clock_since_ms(id->budget.last_ms, now_ms);
		if (since < IDENTIFY_SPACING_MS) {
			wait = IDENTIFY_SPACING_MS - since;
			why = IDENTIFY_SPACED;
		}
	}
	if (left(id, now_ms, &total, &more) <= reserve(total) && more > wait) {
		wait = more;
		why = IDENTIFY_SPENT;
	}
	if (why_r != NULL)
		*why_r = why;
	return wait;
}

void
identify_count(struct identify *id, uint64_t now_ms)
{
	if (now_ms < id->budget.day_ms || now_ms - id->budget.day_ms >= IDENTIFY_DAY_MS) {
		id->budget.day_ms = now_ms;
		id->budget.used = 0;
	}
	id->budget.last_ms = now_ms;
	id->budget.used++;
	if (id->told) {
		if (now_ms >= id->reset_ms) {
			id->remaining = id->total;
			id->reset_ms = now_ms + IDENTIFY_DAY_MS;
		}
		if (id->remaining > 0)
			id->remaining--;
	}
}

uint64_t
identify_left(const struct identify *id, uint64_t now_ms)
{
	uint64_t	 total, more;

	return id->told ? left(id, now_ms, &total, &more) : UINT64_MAX;
}
