/*
 * alarm - see alarm.h.
 */
#include "worker/runtime/alarm.h"

static int
alarm_cmp(struct alarm *a, struct alarm *b)
{
	if (a->at.us != b->at.us)
		return a->at.us < b->at.us ? -1 : 1;
	return TREE_CMP(a->number, b->number);
}

TREE_GENERATE(alarm_tree, alarm, by_time, alarm_cmp)

void
alarms_init(struct alarms *l, struct mono (*now)(void *), void (*wake_at)(void *, struct mono),
    void *arg)
{
	*l = (struct alarms){ .now = now, .wake_at = wake_at, .arg = arg };
	RB_INIT(&l->tree);
}

struct mono
alarms_now(const struct alarms *l)
{
	return l->now(l->arg);
}

void
alarm_stop(struct alarms *l, struct alarm *a)
{
	if (mono_is_never(a->at))
		return;
	RB_REMOVE(alarm_tree, &l->tree, a);
	a->at = MONO_NEVER;
}

void
alarm_arm(struct alarms *l, struct alarm *a, uint64_t ms, void (*fn)(void *), void *arg)
{
	alarm_stop(l, a);
	a->at = mono_add_ms(alarms_now(l), ms);
	a->number = ++l->number;
	a->fn = fn;
	a->arg = arg;
	RB_INSERT(alarm_tree, &l->tree, a);
	if (mono_is_never(l->woken_at) || mono_before(a->at, l->woken_at)) {
		l->woken_at = a->at;
		l->wake_at(l->arg, a->at);
	}
}

void
alarms_tick(struct alarms *l)
{
	struct mono	 now = alarms_now(l);
	uint64_t	 last = l->number;
	struct alarm	*a, *next;

	l->woken_at = now;		/* nothing armed below needs to wake us: it is done here */
	for (;;) {
		RB_FOREACH(a, alarm_tree, &l->tree)
			if (mono_before(now, a->at) || a->number <= last)
				break;
		if (a == NULL || mono_before(now, a->at))
			break;
		alarm_stop(l, a);
		a->fn(a->arg);
	}
	next = RB_MIN(alarm_tree, &l->tree);
	l->woken_at = next == NULL ? MONO_NEVER : next->at;
	l->wake_at(l->arg, l->woken_at);
}
