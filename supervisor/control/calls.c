/*
 * calls - see calls.h; one call is call.c's, what settles doubt settle.c's.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/contract.h"
#include "supervisor/control/call.h"
#include "supervisor/control/settle.h"
#include "supervisor/delivery/took.h"

#define CALL_GRACE_MS	1000	/* the rest worker has the same deadline and answers first */

/* ---- sending ---- */

/* Was it given to a service before, and may it be given again?  ERR_OK or what it ends with. */
static enum error
settled(const struct call *c, uint64_t now_ms)
{
	struct request_rule	 rule;

	if (c->first_ms == 0 || !c->changes)
		return ERR_OK;
	rule = request_rule(c->method, c->path);
	return settle_again(&rule, c->ordinal, c->first_ms, now_ms);
}

static bool
still_held(const struct call *c)
{
	return c->from == NULL || c->delivery == 0 ||
	    queue_held(child_peer(c->from), c->delivery) != NULL;
}

/*
 * One more death and it is poison.  Which of those in flight killed the worker nobody can say: such
 * ones go out one at a time, so that the next death is of one alone.  The first death costs no
 * such wait.
 */
static bool
is_suspect(const struct calls *cs, const struct call *c)
{
	return c->deaths > 0 && c->deaths + 1 >= cs->cfg->poison;
}

/*
 * Would it overtake one of the same channel?  A rest worker keeps POSTs of one route in order; an
 * earlier one may be in the hands of another, which drains, or still wait.
 */
static bool
overtakes(const struct calls *cs, const struct call *c)
{
	const struct call	*o;
	bool			 apart = cs->alone != NULL || cs->roomless ||
				    succession_drains(cs->services);

	if (!apart || !c->kept || !span_is(c->method, "POST"))
		return false;
	for (o = TAILQ_FIRST(&cs->line); o != c; o = TAILQ_NEXT(o, in_line))
		if (o->refused == ERR_OK && span_eq(o->route, c->route) &&
		    (o->state == CALL_WAITING || o->service != succession_active(cs->services)))
			return true;
	return false;
}

/*
 * Give one WAITING call to the active worker.  body: the bytes of one that is not kept, else its
 * own. The asked record comes first: a supervisor that dies in between knows of a call that never
 * went out, never the other way round.
 */
static void
call_send(struct calls *cs, struct call *c, struct span body)
{
	struct msg_CALL		 msg;
	struct effect		*e;
	struct delivery		*d;
	enum error		 verdict;
	uint64_t		 now_ms = clock_wall_ms(), left_ms;

	if (!still_held(c)) {
		call_fail(cs, c, ERR_EACKED);
		return;
	}
	if ((verdict = settled(c, now_ms)) != ERR_OK) {
		call_fail(cs, c, verdict);
		return;
	}
	if ((is_suspect(cs, c) && cs->alone != NULL) || overtakes(cs, c))
		return;
	msg = (struct msg_CALL){
		.call = c->wire, .delivery = c->delivery, .ordinal = c->ordinal,
		.service = SPAN("discord"), .lane = c->lane, .verb = c->method,
		.path = c->path, .body = body,
	};
	c->again = c->first_ms != 0;
	if (c->again)
		msg.asked_ms = now_ms > c->first_ms ? now_ms - c->first_ms : 1;
	left_ms = mono_ms_until(clock_mono(), c->due);
	msg.deadline_ms = left_ms == 0 ? 1 : left_ms;
	if (c->ordinal != 0 && !c->again) {
		d = journal_find(cs->journal, c->delivery);
		if (d == NULL || d->effects_n >= PROTO_EFFECTS_MAX) {
			call_fail(cs, c, d == NULL ? ERR_EACKED : ERR_ETOOBIG);
			return;
		}
		if (journal_asked(cs->journal, d, c->ordinal, c->route, now_ms, &e) == -1) {
			/*
			 * No room just now: others end and give some.  It waits, within its
			 * deadline.
			 */
			cs->roomless = true;
			if (!c->kept)
				call_fail(cs, c, ERR_ERETRY);
			return;
		}
		if (fault_hits(FAULT_SUP_CRASH_ASKED, c->route))
			raise(SIGKILL);
	}
	if (!c->again)
		c->first_ms = now_ms;
	c->service = succession_active(cs->services);
	c->state = CALL_SENT;
	if (is_suspect(cs, c))
		cs->alone = c;
	call_due(cs, c, mono_add_ms(c->due, CALL_GRACE_MS));
	/* A worker that cannot take it is dying: service_down settles it like any other. */
	(void)child_send(c->service, MSG_CALL, &msg);
}

static bool
can_send(const struct calls *cs)
{
	return cs->gate && succession_active(cs->services) != NULL;
}

static void
send_or_keep(struct calls *cs, struct call *c, struct span body)
{
	if (can_send(cs))
		call_send(cs, c, c->kept ? c->body : body);
	else if (!c->kept)
		call_fail(cs, c, ERR_ERETRY);
}

static void
send_waiting(struct calls *cs)
{
	struct call	*c, *next;

	if (!can_send(cs))
		return;
	TAILQ_FOREACH_SAFE(c, &cs->line, in_line, next)
		if (c->state == CALL_WAITING && c->refused == ERR_OK)
			call_send(cs, c, c->body);
}

void
calls_run(struct calls *cs)
{
	if (!cs->roomless)
		return;
	cs->roomless = false;
	send_waiting(cs);
}

static void
on_active(void *arg)
{
	struct calls	*cs = arg;

	send_waiting(cs);
	if (cs->follow != NULL)
		cs->follow(cs->follow_arg);
}

/* ---- deadlines ---- */

static void
on_due(void *arg)
{
	struct calls	*cs = arg;
	struct mono	 now = clock_mono();
	struct call	*c;

	cs->armed = MONO_NEVER;
	while ((c = call_first_due(cs)) != NULL && !mono_before(now, c->due)) {
		struct msg_RESULT	 res =
		    call_refusal(c->refused != ERR_OK ? c->refused : ERR_EDEADLINE);
		struct msg_CANCEL	 cancel = { .kind = 1, .id = c->wire };

		/* A SENT one may take effect yet: the record waits for its RESULT. */
		if (c->state == CALL_SENT)
			(void)child_send(c->service, MSG_CANCEL, &cancel);
		call_answer(cs, c, &res);
		if (c->state == CALL_WAITING)
			call_drop(cs, c);
	}
	if (c != NULL)
		call_timer(cs, c->due);
}

/* ---- asking ---- */

static int
refuse_worker(struct child *child, uint64_t number, enum error error)
{
	struct msg_RESULT	 res = call_refusal(error);

	COUNT(calls_refused);
	res.call = number;
	(void)child_send(child, MSG_RESULT, &res);
	return 0;
}

static int
answer_done(struct child *child, uint64_t number, const struct effect *e)
{
	struct msg_RESULT	 res = call_refusal(e->status < 400 ? ERR_OK : ERR_EHTTP);

	COUNT(calls_answered);
	res.call = number;
	res.status = e->status;
	res.id = e->id;
	if (e->status < 400)
		res.why = SPAN_NONE;
	(void)child_send(child, MSG_RESULT, &res);
	return 0;
}

/*
 * The request of an earlier attempt is still under way: its one RESULT answers this CALL, the older
 * one ends.
 */
static void
attach(struct calls *cs, struct call *c, struct child *child, const struct msg_CALL *msg)
{
	struct msg_RESULT	 res = call_refusal(ERR_ECANCELLED);
	uint64_t		 more_ms = c->state == CALL_SENT ? CALL_GRACE_MS : 0;

	call_answer(cs, c, &res);
	call_owned(cs, c, child, msg->call);
	call_due(cs, c, c->refused != ERR_OK ? clock_mono() :
	    mono_add_ms(clock_mono(), msg->deadline_ms + more_ms));
}

int
calls_from_worker(struct calls *cs, struct child *child, const struct msg_CALL *msg,
    const char **why_r)
{
	struct call		*c;
	struct delivery		*d = NULL;
	struct effect		*e = NULL;
	char			 text[ROUTE_BYTES];
	struct span		 route;

	if (child_is_rest(child) || child_peer(child) == NULL) {
		*why_r = "CALL from a worker that holds no deliveries";
		return -1;
	}
	if (call_by_number(cs, child, msg->call) != NULL) {
		*why_r = "CALL with a number that is open already";
		return -1;
	}
	COUNT(calls);
	if (!span_is(msg->service, "discord") || cs->open >= CALLS_MAX)
		return refuse_worker(child, msg->call, ERR_ESERVICE);
	if (request_check(msg->verb, msg->path) != NULL ||
	    request_changes(msg->verb) != (msg->ordinal != 0) ||
	    (msg->delivery == 0 && msg->ordinal != 0))
		return refuse_worker(child, msg->call, ERR_EINVALID);
	if (msg->delivery != 0 && (d = queue_held(child_peer(child), msg->delivery)) == NULL)
		return refuse_worker(child, msg->call, ERR_EACKED);
	if (msg->ordinal != 0) {
		route = call_route(msg->verb, msg->path, text);
		e = delivery_effect(d, msg->ordinal);
		if ((c = call_by_ordinal(cs, msg->delivery, msg->ordinal)) != NULL) {
			if (!span_eq(c->route, route))
				return refuse_worker(child, msg->call, ERR_EORDINAL);
			attach(cs, c, child, msg);
			return 0;
		}
		if (e != NULL && !journal_effect_is(e, route))
			return refuse_worker(child, msg->call, ERR_EORDINAL);
		if (e != NULL && e->done)
			return answer_done(child, msg->call, e);
	}
	c = call_new(cs, msg->verb, msg->path, msg->body, msg->delivery, msg->ordinal);
	c->lane = msg->lane;
	if (e != NULL)
		c->first_ms = e->asked_ms;
	call_owned(cs, c, child, msg->call);
	call_due(cs, c, mono_add_ms(clock_mono(), msg->deadline_ms));
	send_or_keep(cs, c, msg->body);
	return 0;
}

void
calls_ask(struct calls *cs, const char *method, const char *path, struct span body,
    uint64_t deadline_ms, void (*fn)(void *arg, const struct msg_RESULT *), void *arg)
{
	struct span	 m = span_of(method), p = span_of(path);
	enum error	 refused = ERR_OK;
	struct call	*c;

	COUNT(calls);
	if (request_check(m, p) != NULL) {
		refused = ERR_EINVALID;
		m.n = m.n > REQUEST_METHOD_MAX ? REQUEST_METHOD_MAX : m.n;
		p = SPAN("/");
	} else if (cs->open >= CALLS_MAX)
		refused = ERR_ESERVICE;
	else if (body.n > PROTO_CALL_KEEP_MAX && !can_send(cs))
		refused = ERR_ERETRY;
	if (refused != ERR_OK) {
		COUNT(calls_refused);
		body = SPAN_NONE;
	}
	c = call_new(cs, m, p, body, 0, 0);
	c->lane = request_rule(m, p).lane;
	c->fn = fn;
	c->arg = arg;
	if (refused != ERR_OK) {
		call_fail(cs, c, refused);
		return;
	}
	if (deadline_ms == 0)
		deadline_ms = cs->cfg->call_timeout_ms;
	call_due(cs, c, mono_add_ms(clock_mono(), deadline_ms));
	if (can_send(cs))
		call_send(cs, c, c->kept ? c->body : body);
}

void
calls_limits(struct calls *cs, uint64_t deadline_ms, void (*fn)(void *, const struct msg_RESULT *),
    void *arg)
{
	struct call	*c;

	c = call_new(cs, SPAN(PROTO_VERB_LIMITS), SPAN("/"), SPAN_NONE, 0, 0);
	c->changes = false;
	c->lane = LANE_BULK;
	c->fn = fn;
	c->arg = arg;
	call_due(cs, c, mono_add_ms(clock_mono(), deadline_ms));
	send_or_keep(cs, c, SPAN_NONE);
}

void
calls_forget(struct calls *cs, void *arg)
{
	struct call	*c, *next;

	TAILQ_FOREACH_SAFE(c, &cs->line, in_line, next) {
		if (c->fn == NULL || c->arg != arg)
			continue;
		if (c->state == CALL_SENT)
			call_disown(cs, c);
		else
			call_drop(cs, c);
	}
}

void
calls_cancel(struct calls *cs, void *arg)
{
	struct call	*c;

	TAILQ_FOREACH(c, &cs->line, in_line) {
		struct msg_CANCEL	 cancel = { .kind = 1, .id = c->wire };

		if (c->fn != NULL && c->arg == arg && c->state == CALL_SENT)
			(void)child_send(c->service, MSG_CANCEL, &cancel);
	}
	calls_forget(cs, arg);
}

/* ---- answers ---- */

static void
note_effect(struct calls *cs, const struct call *c, const struct msg_RESULT *res)
{
	struct delivery	*d;

	if (settle_is_final(res) && fault_hits(FAULT_SUP_CRASH_EFFECT, c->route))
		raise(SIGKILL);
	/* Finished: it was acked while this was on the wire, and nothing will ask again. */
	d = journal_find(cs->journal, c->delivery);
	if (d == NULL || d->state == DLV_FINISHED)
		return;
	if (settle_is_final(res)) {
		if (res->error == ERR_OK)
			took_answered(d, clock_wall_ms());
		journal_effect(cs->journal, d, c->ordinal, res->status, res->id);
	} else if (!c->again && settle_is_undone(res))
		journal_unasked(cs->journal, d, c->ordinal);
}

/* A worker that drains did not send it: the next one does, in its old place. */
static bool
hand_on(struct calls *cs, struct call *c, const struct msg_RESULT *res)
{
	if (res->error != ERR_ERETRY || !call_wanted(c) || !c->kept)
		return false;
	if (cs->alone == c) {
		cs->alone = NULL;
		cs->roomless = true;
	}
	c->state = CALL_WAITING;
	c->service = NULL;
	if (!c->again)
		c->first_ms = 0;
	call_due(cs, c, (struct mono){ c->due.us - CALL_GRACE_MS * 1000 });
	if (can_send(cs))
		call_send(cs, c, c->body);
	return true;
}

int
calls_result(struct calls *cs, struct child *child, const struct msg_RESULT *res,
    const char **why_r)
{
	struct call		*c = call_by_wire(cs, res->call);
	struct msg_RESULT	 out = *res;
	struct request_rule	 rule;

	if (c == NULL || c->state != CALL_SENT || c->service != child) {
		*why_r = "RESULT of a call that it does not have";
		return -1;
	}
	rule = request_rule(c->method, c->path);
	if (c->again && settle_by_code(&rule, res)) {
		out = call_refusal(ERR_OK);
		out.why = SPAN_NONE;
		out.status = 204;
	}
	if (c->ordinal != 0)
		note_effect(cs, c, &out);
	if (hand_on(cs, c, &out))
		return 0;
	call_answer(cs, c, &out);
	call_drop(cs, c);
	return 0;
}

/* ---- workers come and go ---- */

void
calls_service_up(struct calls *cs, struct child *child)
{
	succession_up(cs->services, child);
}

void
calls_service_draining(struct calls *cs, struct child *child)
{
	succession_draining(cs->services, child);
}

void
calls_services_end(struct calls *cs)
{
	succession_end(cs->services);
}

int
calls_state(struct calls *cs, struct child *child, const struct msg_STATE *m, const char **why_r)
{
	return succession_state(cs->services, child, m, why_r);
}

void
calls_service_down(struct calls *cs, struct child *child, bool asked)
{
	struct call	*c, *next;
	enum error	 verdict;
	uint64_t	 now_ms = clock_wall_ms();
	size_t		 again = 0, ended = 0;
	const struct call *alone;

	if (!succession_down(cs->services, child))
		return;
	if ((alone = cs->alone) != NULL && alone->service != child)
		alone = NULL;
	if (alone != NULL)
		cs->alone = NULL;
	TAILQ_FOREACH_SAFE(c, &cs->line, in_line, next) {
		if (c->state != CALL_SENT || c->service != child)
			continue;
		c->service = NULL;
		if (!asked && (alone == NULL || alone == c))
			c->deaths++;
		if (!call_wanted(c)) {
			/* Its redelivery asks anew and is settled by what the journal says. */
			call_drop(cs, c);
			continue;
		}
		if (c->deaths >= cs->cfg->poison)
			verdict = ERR_EPOISON;
		else if ((verdict = settled(c, now_ms)) == ERR_OK && !c->kept)
			verdict = ERR_ERETRY;
		if (verdict != ERR_OK) {
			ended++;
			call_fail(cs, c, verdict);
			continue;
		}
		again++;
		COUNT(calls_repeated);
		c->state = CALL_WAITING;
		call_due(cs, c, (struct mono){ c->due.us - CALL_GRACE_MS * 1000 });
	}
	if (again + ended > 0)
		log_notice("%s died with calls in flight again=%zu ended=%zu", child_tag(child),
		    again, ended);
	succession_choose(cs->services);
	/* Also what one that was not active any more had in hand when it ended. */
	send_waiting(cs);
}

void
calls_worker_down(struct calls *cs, struct child *child)
{
	struct call	*c, *next;

	TAILQ_FOREACH_SAFE(c, &cs->line, in_line, next) {
		if (c->from != child)
			continue;
		if (c->state == CALL_SENT)
			call_disown(cs, c);
		else
			call_drop(cs, c);
	}
}

const struct child *
calls_active(const struct calls *cs)
{
	return succession_active(cs->services);
}

struct child *
calls_service(const struct calls *cs)
{
	return can_send(cs) ? succession_active(cs->services) : NULL;
}

void
calls_follow(struct calls *cs, void (*fn)(void *), void *arg)
{
	cs->follow = fn;
	cs->follow_arg = arg;
}

size_t
calls_open(const struct calls *cs)
{
	return cs->open;
}

void
calls_gate(struct calls *cs, bool open)
{
	cs->gate = open;
	send_waiting(cs);
}

struct calls *
calls_new(struct loop *loop, const struct cfg *cfg, struct journal *journal)
{
	struct calls	*cs = mem_alloc(sizeof(*cs));

	cs->loop = loop;
	cs->cfg = cfg;
	cs->journal = journal;
	cs->timer = timer_new(loop, on_due, cs);
	TAILQ_INIT(&cs->line);
	cs->services = succession_new(loop, on_active, cs);
	RB_INIT(&cs->wires);
	RB_INIT(&cs->dues);
	RB_INIT(&cs->numbers);
	RB_INIT(&cs->ordinals);
	return cs;
}

void
calls_free(struct calls **csp)
{
	struct calls	*cs = *csp;
	struct call	*c;

	if (cs == NULL)
		return;
	while ((c = TAILQ_FIRST(&cs->line)) != NULL)
		call_drop(cs, c);
	succession_free(&cs->services);
	timer_free(&cs->timer);
	free(cs);
	*csp = NULL;
}
