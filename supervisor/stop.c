/*
 * stop - the stop order: intake off, handlers, rest, out.
 */
#include "common/log.h"
#include "supervisor/control/control.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/control/notify.h"
#include "supervisor/run.h"

void
run_part_stopped(struct run *run)
{
	if (--run->waiting == 0)
		loop_stop(run->sup.loop);
}

static void
on_rest_stopped(void *arg)
{
	run_part_stopped(arg);
}

static void
on_handlers_stopped(void *arg)
{
	struct run	*run = arg;

	pools_stop(run->sup.pools, true, run->sup.cfg->rest_grace_ms, 0, on_rest_stopped, run);
}

static void
on_bound(void *arg)
{
	struct run	*run = arg;

	log_err("the stop took longer than its bound: children=%zu", pools_alive(run->sup.pools));
	loop_stop(run->sup.loop);
}

void
sup_stop(struct sup *sup, const char *why)
{
	struct run	*run = run_of(sup);
	uint64_t	 bound_ms;

	if (sup->phase == SUP_STOPPING) {
		log_notice("stopping in a hurry: %s", why);
		pools_hurry(sup->pools);
		return;
	}
	sup->phase = SUP_STOPPING;
	strlcpy(sup->why_stopping, why, sizeof(sup->why_stopping));
	log_notice("stopping: %s", why);
	timer_stop(run->patience);
	run->bound = timer_new(sup->loop, on_bound, run);
	bound_ms = sup->cfg->drain_ms + sup->cfg->last_word_ms + sup->cfg->rest_grace_ms + 2000;
	timer_arm_ms(run->bound, bound_ms);
	notify_stopping(sup->notify, bound_ms);
	control_stopping(sup->control);
	queue_hold(sup->queue, true);
	if (sup->fetchgap != NULL)
		fetchgap_stop(sup->fetchgap);
	if (sup->gw != NULL) {
		run->waiting++;
		gw_stop(sup->gw, false);
	}
	run->waiting++;
	pools_stop(sup->pools, false, sup->cfg->drain_ms, sup->cfg->last_word_ms,
	    on_handlers_stopped, run);
}
