/*
 * deaf - see deaf.h.
 */
#include "supervisor/gateway/deaf.h"

#define PATIENCE_MAX	4u	/* doublings */

void
deaf_live(struct deaf *d, struct mono now)
{
	d->heard_at = now;
	d->asked_at = MONO_NEVER;
}

static uint64_t
usual_ms(const struct deaf *d, const struct deaf_conf *conf)
{
	uint64_t	 ms = d->usual_us / 1000;

	if (ms > conf->every_ms)
		ms = conf->every_ms;
	return ms < conf->silence_ms ? conf->silence_ms : ms;
}

enum deaf_verdict
deaf_judge(struct deaf *d, const struct deaf_conf *conf, struct mono now)
{
	unsigned	 doubled = d->unanswered < PATIENCE_MAX ? d->unanswered : PATIENCE_MAX;

	if (mono_is_never(d->heard_at))
		return DEAF_NO;
	if (!mono_is_never(d->asked_at)) {
		if (mono_before(d->asked_at, d->heard_at)) {
			d->asked_at = MONO_NEVER;
			d->unanswered = 0;
			return DEAF_NO;
		}
		if (mono_ms_between(d->asked_at, now) < conf->answer_ms)
			return DEAF_NO;
		d->asked_at = MONO_NEVER;
		d->unanswered++;
		return DEAF_YES;
	}
	if (mono_ms_between(d->heard_at, now) < 2 * usual_ms(d, conf) ||
	    (!mono_is_never(d->last_at) &&
		mono_ms_between(d->last_at, now) < conf->every_ms << doubled))
		return DEAF_NO;
	d->asked_at = d->last_at = now;
	return DEAF_ASK;
}
