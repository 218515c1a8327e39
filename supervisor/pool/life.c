/*
 * life - see life.h.
 */
#include "supervisor/pool/life.h"

#define STATE_AFTER_MS	500	/* without progress; a process that ticks is not stopped */

static bool
progressed(const struct pulse *p, const struct life_look *l)
{
	return l->tick != p->tick || l->beats != p->beats;
}

bool
life_wants_state(const struct pulse *p, const struct life_look *l)
{
	uint64_t	 quiet_ms = p->quiet_ms + l->elapsed_ms;

	return !progressed(p, l) && (quiet_ms >= STATE_AFTER_MS || quiet_ms >= l->stopped_ms ||
	    quiet_ms >= l->hang_ms);
}

enum life
life_judge(struct pulse *p, const struct life_look *l, char state)
{
	uint64_t	 hung_ms;

	if (progressed(p, l)) {
		*p = (struct pulse){ .tick = l->tick, .beats = l->beats };
		return LIFE_FINE;
	}
	p->quiet_ms += l->elapsed_ms;
	if (state == 'T' || state == 't') {
		p->stopped_ms += l->elapsed_ms;
		return p->quiet_ms - p->awake_ms >= l->stopped_ms ? LIFE_HALTED : LIFE_FINE;
	}
	p->awake_ms = p->quiet_ms;
	if (!l->ready)
		return LIFE_FINE;
	hung_ms = p->quiet_ms - p->stopped_ms;
	if (hung_ms >= l->hang_ms)
		return LIFE_HUNG;
	if (hung_ms >= l->hang_ms / 2 && !p->asked) {
		p->asked = true;
		return LIFE_ASK;
	}
	return LIFE_FINE;
}
