/*
 * wiring - the callbacks that connect the rooms: gateway, journal, queue, pools, calls.
 *
 * Each translates and returns; what they decide is decided in the rooms.
 */
#include <signal.h>
#include <stdio.h>

#include "common/fault.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/control.h"
#include "supervisor/control/gwservice.h"
#include "supervisor/control/notify.h"
#include "supervisor/control/poolcalls.h"
#include "supervisor/control/snapshot.h"
#include "supervisor/control/streams.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/moments.h"
#include "supervisor/run.h"
#include "supervisor/upgrade.h"

#define TELL_AGAIN_MS	10000
#define NEWS_UNREAD_MAX	(1u << 20)

/* ---- gateway -> journal and queue ---- */

/*
 * Reading pauses at once, not at the end of the turn: what was read already may be more than there
 * is room for.
 */
static void
mind_the_room(struct run *run)
{
	bool		 tight = journal_tight(run->sup.journal);
	const char	*full = queue_full(run->sup.queue);
	struct mono	 now;

	if (run->sup.gw == NULL || (tight || full != NULL) == run->paused)
		return;
	run->paused = !run->paused;
	gw_pause(run->sup.gw, run->paused);
	/* Under load this comes and goes with every answer. */
	now = clock_mono();
	if (!run->paused || (!mono_is_never(run->told_at) &&
	    mono_ms_between(run->told_at, now) < TELL_AGAIN_MS))
		return;
	run->told_at = now;
	if (full != NULL)
		log_warnx("pool %s is full: reading from Discord pauses whenever its queue is at its"
		    " bound; it is too slow, or options queue and queue_bytes are too low", full);
	else
		log_warnx("journal nearly full: reading from Discord pauses whenever it has no room;"
		    " handlers are too slow, or it is too small (option journal)");
}

static int
gw_on_dispatch(void *arg, const struct envelope *ev, const char *session_id, bool replayed)
{
	struct run	*run = arg;
	unsigned	 wanted = 0;
	int		 rc;

	if ((rc = queue_dispatch(run->sup.queue, ev, session_id, 0, replayed, &wanted)) != 0)
		return rc;
	journal_seq(run->sup.journal, 0, ev->s);
	if (replayed)
		upgrade_replayed(run->sup.upgrade);
	if (wanted > 0 && !run->paused)
		mind_the_room(run);
	if (wanted > 0 && fault_hits(FAULT_SUP_CRASH_JOURNALED, ev->t))
		raise(SIGKILL);
	return 0;
}

static void
gw_on_seq(void *arg, uint64_t seq)
{
	struct run	*run = arg;

	journal_seq(run->sup.journal, 0, seq);
}

/* Wall time of the last sign of the session; 0 none since this process started. */
static uint64_t
last_sign_ms(struct run *run)
{
	struct gw_status	 st;
	uint64_t		 age_ms;

	gw_status(run->sup.gw, &st);
	age_ms = st.ack_age_ms < st.dispatch_age_ms ? st.ack_age_ms : st.dispatch_age_ms;
	return age_ms == UINT64_MAX ? 0 : clock_wall_ms() - age_ms;
}

static void
gw_on_identity(void *arg, const struct gw_identity *id)
{
	struct run	*run = arg;

	/* The gap first: a successor that still finds the session loses it again. */
	if (id->session_id[0] == '\0')
		fetchgap_lost(run->sup.fetchgap, last_sign_ms(run));
	journal_identity(run->sup.journal, id);
}

static void
gw_on_live(void *arg, bool resumed)
{
	struct run			*run = arg;
	const struct gw_identity	*id = gw_identity(run->sup.gw);

	timer_stop(run->patience);
	run_running(run);
	upgrade_live(run->sup.upgrade, resumed);
	pools_self(run->sup.pools, id->user_id, id->application_id, id->shards);
	notify_look(run->sup.notify);
	control_live(run->sup.control);
	log_notice("sess#%u live user=%llu resumed=%d", id->shard, (unsigned long long)id->user_id,
	    resumed);
	fetchgap_live(run->sup.fetchgap);
}

static void
gw_on_identify(void *arg, const struct gw_budget *budget)
{
	struct run	*run = arg;

	journal_budget(run->sup.journal, budget);
}

static void
on_gateway_bot(void *arg, const struct msg_RESULT *res)
{
	struct run	*run = arg;

	if (res->status == 200)
		timer_stop(run->patience);
	else if (res->status != 0)
		snprintf(run->last_api, sizeof(run->last_api),
		    "GET /gateway/bot was answered with HTTP status %u; is api_url right?",
		    (unsigned)res->status);
	else
		snprintf(run->last_api, sizeof(run->last_api), "%.*s", (int)res->why.n, res->why.p);
	gw_bot_answer(run->sup.gw, (unsigned)res->status, res->body);
}

static void
gw_want_gateway_bot(void *arg)
{
	struct run	*run = arg;

	const struct cfg	*cfg = run->sup.cfg;
	uint64_t		 half_ms = cfg->start_patience_ms / 2;

	/* At least one answer, or the reason for none, before the patience ends. */
	calls_ask(run->sup.calls, "GET", "/gateway/bot", SPAN_NONE,
	    half_ms < cfg->call_timeout_ms ? half_ms : cfg->call_timeout_ms, on_gateway_bot, run);
}

static void
gw_on_fatal(void *arg, enum gw_fatal kind, const char *sentence)
{
	static const struct {
		int		 status;
		const char	*advice;
	} kinds[] = {
		[GW_FATAL_TOKEN] = { BULKHEADD_EXIT_TOKEN,
		    "copy a new one from Discord's developer portal (Bot, Reset Token) into token or token_file" },
		[GW_FATAL_INTENTS] = { BULKHEADD_EXIT_INTENTS,
		    "switch them on in the portal (Bot, Privileged Gateway Intents), or set content = false" },
		[GW_FATAL_GATEWAY] = { BULKHEADD_EXIT_GATEWAY, "a retry would end the same way" },
	};
	struct run	*run = arg;

	run->status = kinds[kind].status;
	log_err("%s; %s", sentence, kinds[kind].advice);
	sup_stop(&run->sup, "Discord ended the session for good", false);
}

static void
gw_on_stopped(void *arg)
{
	run_gateway_stopped(arg);
}

const struct gw_ops run_gw_ops = {
	.on_dispatch = gw_on_dispatch,
	.on_seq = gw_on_seq,
	.on_identity = gw_on_identity,
	.on_live = gw_on_live,
	.on_identify = gw_on_identify,
	.want_gateway_bot = gw_want_gateway_bot,
	.on_fatal = gw_on_fatal,
	.on_stopped = gw_on_stopped,
};

/* ---- pools -> queue and calls ---- */

/* Streams go where calls go. */
void
run_follow_active(void *arg)
{
	struct run	*run = arg;

	streams_active(run->sup.streams, calls_service(run->sup.calls));
}

static void
pool_on_up(void *arg, struct child *child)
{
	struct run	*run = arg;
	struct qpool	*qp;

	if (child_is_rest(child)) {
		calls_service_up(run->sup.calls, child);
		run_follow_active(run);
	} else if (child_is_web(child)) {
		snapshot_up(run->sup.snapshot, child);
	} else {
		qp = queue_pool(run->sup.queue, child_pool(child));
		queue_pool_narrow(qp, child_events(child), child_tag(child));
		child_peer_set(child, queue_worker_up(qp, child_slot(child), child_tag(child), child));
	}
	if (run->sup.no_gateway) {
		run_running(run);
		upgrade_live(run->sup.upgrade, true);
	}
	notify_look(run->sup.notify);
}

static int
rest_said(struct run *run, struct child *child, const struct msg_in *in, const char **why_r)
{
	switch (in->type) {
	case MSG_RESULT:
		return calls_result(run->sup.calls, child, &in->RESULT, why_r);
	case MSG_STATE:
		return calls_state(run->sup.calls, child, &in->STATE, why_r);
	case MSG_STREAM_STATE:
		return streams_state(run->sup.streams, child, &in->STREAM_STATE, why_r);
	default:
		*why_r = "a message that its role does not send";
		return -1;
	}
}

static int
handler_said(struct run *run, struct child *child, const struct msg_in *in, const char **why_r)
{
	switch (in->type) {
	case MSG_ACK:
		*why_r = "ACK of a delivery that it does not hold";
		streams_delivery_over(run->sup.streams, child, in->ACK.delivery, true);
		return queue_ack(child_peer(child), in->ACK.delivery);
	case MSG_NACK:
		*why_r = "NACK of a delivery that it does not hold";
		streams_delivery_over(run->sup.streams, child, in->NACK.delivery, false);
		return queue_nack(child_peer(child), in->NACK.delivery, (unsigned)in->NACK.reason,
		    in->NACK.why);
	case MSG_RESULT:
		return poolcalls_result(run->sup.poolcalls, child, &in->RESULT, why_r);
	case MSG_CALL:
		if (span_is(in->CALL.service, "discord"))
			return calls_from_worker(run->sup.calls, child, &in->CALL, why_r);
		if (span_is(in->CALL.service, "gateway"))
			return gwservice_call(&run->sup, child, &in->CALL);
		return poolcalls_from_worker(run->sup.poolcalls, run->sup.pools, child, &in->CALL,
		    why_r);
	case MSG_STREAM_OPEN:
		return streams_open(run->sup.streams, child, &in->STREAM_OPEN, why_r);
	case MSG_STREAM_TEXT:
		return streams_text(run->sup.streams, child, &in->STREAM_TEXT, why_r);
	case MSG_STREAM_END:
		stop_note_stream(run, in->STREAM_END.kind);
		return streams_end(run->sup.streams, child, &in->STREAM_END, why_r);
	default:
		*why_r = "a message that its role does not send";
		return -1;
	}
}

static int
pool_on_msg(void *arg, struct child *child, const struct msg_in *in, const char **why_r)
{
	if (child_is_rest(child))
		return rest_said(arg, child, in, why_r);
	if (!child_is_web(child))
		return handler_said(arg, child, in, why_r);
	*why_r = "a message that its role does not send";
	return -1;
}

static void
pool_on_draining(void *arg, struct child *child)
{
	struct run	*run = arg;

	if (child_is_rest(child)) {
		calls_service_draining(run->sup.calls, child);
		run_follow_active(run);
	} else if (child_is_web(child))
		snapshot_down(run->sup.snapshot, child);
	else
		queue_worker_drain(child_peer(child));
}

static void
pool_on_down(void *arg, struct child *child, const struct obituary *ob)
{
	struct run	*run = arg;
	struct qworker	*qw;

	stop_note_death(run, child_tag(child), ob);
	if (child_is_rest(child)) {
		streams_service_down(run->sup.streams, child, ob->cause == DEATH_ASKED);
		calls_service_down(run->sup.calls, child, ob->cause == DEATH_ASKED);
		run_follow_active(run);
		return;
	}
	if (child_is_web(child)) {
		snapshot_down(run->sup.snapshot, child);
		return;
	}
	calls_worker_down(run->sup.calls, child);
	streams_worker_down(run->sup.streams, child);
	poolcalls_worker_down(run->sup.poolcalls, child);
	qw = child_peer(child);
	queue_worker_down(&qw, ob->running, obituary_blames(ob), ob->text);
	child_peer_set(child, NULL);
}

static size_t
pool_open_n(void *arg, const struct child *child)
{
	(void)arg;
	return child_peer(child) == NULL ? 0 : queue_worker_open(child_peer(child));
}

static void
tell_held(const struct delivery *d, struct held *h)
{
	uint64_t	 now_ms = clock_wall_ms();

	h->delivery = d->id;
	h->object = d->object;
	h->attempt = d->attempt;
	h->out_ms = clock_since_ms(d->given_ms, now_ms);
	snprintf(h->event, sizeof(h->event), "%s", d->name);
}

struct held_out {
	struct held	*out;
	size_t		 n, max;
};

static bool
one_held(void *arg, const struct delivery *d)
{
	struct held_out	*h = arg;

	if (h->n < h->max)
		tell_held(d, &h->out[h->n++]);
	return h->n < h->max;
}

static size_t
pool_held(void *arg, const struct child *child, struct held *out, size_t max)
{
	struct held_out	 h = { .out = out, .max = max };

	(void)arg;
	if (child_peer(child) != NULL)
		queue_each_held(child_peer(child), one_held, &h);
	return h.n;
}

static bool
pool_holds(void *arg, const struct child *child, uint64_t delivery, struct held *out)
{
	struct qworker		*w = child_peer(child);
	const struct delivery	*d = w == NULL ? NULL : queue_held(w, delivery);

	(void)arg;
	if (d != NULL)
		tell_held(d, out);
	return d != NULL;
}

const struct pools_ops run_pools_ops = {
	.on_up = pool_on_up,
	.on_msg = pool_on_msg,
	.on_draining = pool_on_draining,
	.on_down = pool_on_down,
	.open_n = pool_open_n,
	.held = pool_held,
	.holds = pool_holds,
};

/* ---- queue -> pools ---- */

static void
queue_give(void *peer, const struct msg_EVENT *ev)
{
	log_trace("route", "dlv#%016llx key=%llu %.*s -> %s attempt=%llu flags=%llu",
	    (unsigned long long)ev->delivery, (unsigned long long)ev->key, (int)ev->name.n,
	    ev->name.p, child_tag(peer), (unsigned long long)ev->attempt,
	    (unsigned long long)ev->flags);
	child_send(peer, MSG_EVENT, ev);	/* a child that is gone returns it with its death */
}

static uint64_t
queue_now_ms(void *arg)
{
	(void)arg;
	return clock_wall_ms();
}

static void
queue_on_aside(void *arg, const struct delivery *d)
{
	struct run	*run = arg;

	log_err("dlv#%016llx set aside: %s pool=%s event=%s object=%llu charges=%u: %s",
	    (unsigned long long)d->id, dlv_aside_name(d->aside), d->pool, d->name,
	    (unsigned long long)d->object, d->charges, d->report == NULL ? "" : d->report);
	moment_say(MOMENT_ASIDE, d->pool, "dlv#%016llx %s %llu, %s: %s", (unsigned long long)d->id,
	    d->name, (unsigned long long)d->object, dlv_aside_name(d->aside),
	    d->report == NULL ? "" : d->report);
	if (run->sup.streams != NULL)		/* while starting: see streams_recover */
		streams_aside(run->sup.streams, d);
}

static uint64_t
queue_mono_ms(void *arg)
{
	(void)arg;
	return clock_mono().us / 1000;
}

static void
queue_cancel(void *peer, uint64_t delivery)
{
	struct msg_CANCEL	 m = { .kind = 0, .id = delivery };

	child_send(peer, MSG_CANCEL, &m);
}

static void
queue_overdue(void *peer, const struct delivery *d)
{
	char	 text[96];

	snprintf(text, sizeof(text), "it did not end dlv#%016llx, which it was told to cancel",
	    (unsigned long long)d->id);
	child_hung(peer, text);
}

/* A worker that reads slowly must not cost memory for what it can do without. */
static int
queue_news(void *peer, const struct msg_NEWS *m)
{
	return child_unread_bytes(peer) > NEWS_UNREAD_MAX ? -1 : child_send(peer, MSG_NEWS, m);
}

const struct queue_ops run_queue_ops = {
	.give = queue_give,
	.now_ms = queue_now_ms,
	.on_aside = queue_on_aside,
	.mono_ms = queue_mono_ms,
	.cancel = queue_cancel,
	.overdue = queue_overdue,
	.news = queue_news,
};

/* ---- the loop's tail ---- */

/* The tail does what is due; the timer is there to wake the loop for it. */
void
run_on_due(void *arg)
{
	struct run	*run = arg;

	run->due_ms = UINT64_MAX;
}

static void
mind_the_deadlines(struct run *run)
{
	uint64_t	 due_ms = queue_due_ms(run->sup.queue), now_ms;

	if (due_ms == run->due_ms || run->due == NULL)
		return;
	run->due_ms = due_ms;
	if (due_ms == UINT64_MAX) {
		timer_stop(run->due);
		return;
	}
	now_ms = queue_mono_ms(run);
	timer_arm_ms(run->due, due_ms > now_ms ? due_ms - now_ms + 1 : 1);
}

void
run_tail(void *arg)
{
	struct run	*run = arg;

	queue_run(run->sup.queue);
	mind_the_deadlines(run);
	calls_run(run->sup.calls);
	mind_the_room(run);
	if (run->sup.gw != NULL && !run->paused)
		gw_take_up(run->sup.gw);
}
