/*
 * rest - see rest.h.
 */
#include <sys/queue.h>

#include <signal.h>
#include <stdlib.h>

#include "common/count.h"
#include "common/fault.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/measure.h"
#include "common/mem.h"
#include "common/resolve.h"
#include "common/tree.h"
#include "worker/rest/lanes.h"
#include "worker/rest/limit.h"
#include "worker/rest/limitread.h"
#include "worker/rest/nonce.h"
#include "worker/rest/rest.h"
#include "worker/rest/route.h"
#include "worker/runtime/session.h"

#define BACKOFF_MS	250	/* doubled by each retry, with jitter of half to one and a half */
#define WHY_MAX		256
#define OWN_NUMBERS	(1ull << 63)	/* above those of the supervisor, which counts from 1 */

struct request {
	struct lane_item	 item;		/* first: lanes hand it back */
	RB_ENTRY(request)	 by_call;
	TAILQ_ENTRY(request)	 doomed_entry;
	struct rest		*rest;
	uint64_t		 call, delivery, ordinal;
	struct rest_own		 own;		/* done NULL: a CALL */
	double			 remaining, reset_after_s;	/* of the last answer */
	char			 method[8];
	char			*path;
	struct buf		 body;
	struct route		 route;
	struct limit_ticket	 ticket;
	struct mono		 asked, deadline;
	struct mono		 came, left;	/* to us; on the wire for the last time, or never */
	struct timer		*due;		/* the deadline */
	struct http_call	*http;		/* on the wire, or waiting for the name */
	unsigned		 retries, limited;
	bool			 repeated;	/* an earlier sending may have taken effect */
	bool			 doomed;
	bool			 admitted;	/* by the session */
	enum error		 doom;
};

RB_HEAD(requests, request);

struct rest {
	struct loop		*loop;
	const struct rest_ops	*ops;
	void			*arg;
	struct resolve		*resolve;
	struct http		*http;
	struct http_ref		 session;
	struct limit		*limit;
	struct lanes		*lanes;
	struct requests		 requests;
	TAILQ_HEAD(, request)	 doomed;	/* each ends in pump() */
	struct timer		*pump_timer, *end_timer;
	char			*authorization;
	uint64_t		 call_ms;
	size_t			 open_n, wire_n;
	uint64_t		 own;		/* number of the last request of our own */
	bool			 more;		/* put into the lanes while they ran */
	bool			 draining, orphaned, over;
	bool			 handed;	/* another one sends from now on */
	size_t			 told_bytes;	/* of the state, since it was told as a whole */
};

static int
request_cmp(struct request *a, struct request *b)
{
	return TREE_CMP(a->call, b->call);
}

TREE_GENERATE(requests, request, by_call, request_cmp)

static const char *
shown(const struct request *rq, char dst[ROUTE_SHOWN_MAX])
{
	route_shown(span_of(rq->method), span_of(rq->path), dst);
	return dst;
}

/* ---- the end of a request ---- */

static void
over_if_empty(struct rest *r)
{
	bool	 empty = r->orphaned || r->handed ? r->wire_n == 0 : r->open_n == 0;

	if (!r->draining || r->over || !empty)
		return;
	r->over = true;
	r->ops->done(r->arg);
}

/* From whatever stage: out of the lanes, the limiter, the session. */
static void
request_free(struct request *rq)
{
	struct rest	*r = rq->rest;

	if (rq->http != NULL) {
		http_cancel(&rq->http);
		r->wire_n--;
	}
	if (rq->ticket.bucket != NULL)
		limit_lost(r->limit, &rq->ticket, clock_mono());
	lanes_remove(r->lanes, &rq->item);
	if (rq->doomed)
		TAILQ_REMOVE(&r->doomed, rq, doomed_entry);
	RB_REMOVE(requests, &r->requests, rq);
	r->open_n--;
	timer_free(&rq->due);
	buf_fini(&rq->body);
	free(rq->path);
	if (rq->admitted)
		http_dismiss(r->http, r->session);
	free(rq);
}

static void
send_result(struct rest *r, uint64_t call, enum error error, unsigned status, uint64_t id,
    const char *why, struct span body)
{
	struct msg_RESULT	 m = {
		.call = call, .error = error, .status = status, .id = id, .body = body,
		.why = error == ERR_OK ? SPAN_NONE : span_of(why != NULL ? why : error_text(error)),
	};

	if (m.why.n > WHY_MAX)
		m.why.n = WHY_MAX;
	if (!r->orphaned)
		r->ops->send(r->arg, MSG_RESULT, &m);
}

static void
finish(struct request *rq, enum error error, unsigned status, uint64_t id, const char *why,
    struct span body)
{
	struct rest		*r = rq->rest;
	uint64_t		 call = rq->call;
	struct rest_own		 own = rq->own;
	struct rest_answer	 a = {
		.error = error, .status = status, .id = id, .body = body,
		.remaining = rq->remaining, .reset_after_s = rq->reset_after_s,
	};
	char			 text[ROUTE_SHOWN_MAX];

	if (error != ERR_OK && error != ERR_EHTTP && error != ERR_ECANCELLED)
		log_warnx("rest#%llu %s: %s status=%u retries=%u", (unsigned long long)call,
		    shown(rq, text), why != NULL ? why : error_text(error), status, rq->retries);
	else
		log_trace("rest", "rest#%llu %s: status=%u retries=%u", (unsigned long long)call,
		    shown(rq, text), status, rq->retries);
	if (own.done == NULL)
		send_result(r, call, error, status, id, why, body);
	request_free(rq);
	if (own.done != NULL)
		own.done(own.arg, &a);
	over_if_empty(r);
}

static void
finish_error(struct request *rq, enum error error)
{
	finish(rq, error, 0, 0, NULL, SPAN_NONE);
}

/* ---- who takes over ---- */

static void
tell_state(struct rest *r, enum state_kind kind)
{
	struct buf		 b = { 0 };
	struct msg_STATE	 m = { .kind = kind };

	if (kind == STATE_PART) {
		limit_tell(r->limit, &b);
		if (r->told_bytes + b.n > LIMIT_STATE_MAX)
			m.kind = STATE_ALL;
	}
	if (m.kind != STATE_PART) {
		buf_reset(&b);
		limit_tell_all(r->limit, &b, clock_mono());
		r->told_bytes = 0;
	}
	r->told_bytes += b.n;
	m.blob = buf_span(&b);
	r->ops->send(r->arg, MSG_STATE, &m);
	buf_fini(&b);
}

void
rest_tell(struct rest *r)
{
	if (!r->orphaned && limit_has_news(r->limit))
		tell_state(r, STATE_PART);
}

/*
 * Another one is to send it: it was never sent here or before, or was refused.  What may have taken
 * effect is given on when this process is gone; requests of our own are asked for anew.
 */
static void
hand_back(struct request *rq)
{
	if (rq->own.done != NULL || rq->repeated)
		return;
	send_result(rq->rest, rq->call, ERR_ERETRY, 0, 0, NULL, SPAN_NONE);
	request_free(rq);
}

/* It is to be sent again: first of its queue, or by another one. */
static void
put_back(struct request *rq)
{
	lanes_put_back(rq->rest->lanes, &rq->item);
	if (rq->rest->handed)
		hand_back(rq);
}

/* ---- when it may go ---- */

static enum lane_verdict
doom(struct request *rq, enum error error)
{
	rq->doomed = true;
	rq->doom = error;
	TAILQ_INSERT_TAIL(&rq->rest->doomed, rq, doomed_entry);
	return LANE_DROP;
}

/*
 * ELIMITED says that nothing was done; an earlier sending whose answer nobody saw may have done it.
 */
static enum error
limited_error(const struct request *rq)
{
	return rq->repeated ? ERR_ETRANSPORT : ERR_ELIMITED;
}

static enum lane_verdict
ask(void *arg, struct lane_item *item, struct mono now, struct mono *until_r)
{
	struct rest	*r = arg;
	struct request	*rq = (struct request *)(void *)item;

	switch (limit_ask(r->limit, &rq->ticket, now, until_r)) {
	case LIMIT_GO:
		return LANE_GO;
	case LIMIT_BUSY:
		return LANE_BUSY;
	case LIMIT_LOCKED:
		return doom(rq, ERR_ETOKEN);
	case LIMIT_WAIT:
		if (mono_before(rq->deadline, *until_r))
			return doom(rq, limited_error(rq));
		return mono_before(now, rq->ticket.not_before) ? LANE_ASIDE : LANE_WAIT;
	case LIMIT_STOP:
		if (mono_before(rq->deadline, *until_r))
			return doom(rq, limited_error(rq));
		return LANE_STOP;
	}
	return LANE_STOP;
}

static void	 on_answer(const struct curl_answer *, void *);
static const char *body_with_nonce(struct request *, struct span);

/* The body of a request of our own is made when it leaves: the latest text wins. */
static void
fill_late(struct request *rq)
{
	struct buf	 b = { 0 };

	if (rq->own.body == NULL)
		return;
	rq->own.body(rq->own.arg, &b);
	buf_reset(&rq->body);
	if (rq->route.rule.settle != SETTLE_NONCE || body_with_nonce(rq, buf_span(&b)) != NULL)
		buf_add_span(&rq->body, buf_span(&b));
	buf_fini(&b);
}

static void
go(void *arg, struct lane_item *item)
{
	struct rest		*r = arg;
	struct request		*rq = (struct request *)(void *)item;
	struct mono		 now = clock_mono();
	uint64_t		 left = mono_ms_until(now, rq->deadline);
	struct http_request	 h = {
		.method = rq->method, .path = rq->path,
		.authorization = rq->ticket.authorized ? r->authorization : NULL,
		/* A little beyond the deadline, whose own timer has a better word for it. */
		.total_ms = left < r->call_ms ? left + 1000 : r->call_ms,
		/*
		 * A kept connection may turn out to be dead after the request was written: not with
		 * these.
		 */
		.fresh = rq->route.rule.settle == SETTLE_DOUBT,
	};
	char			 text[ROUTE_SHOWN_MAX];
	enum error		 error;

	if (fault_armed_any() && fault_hits(FAULT_REST_CRASH_BEFORE, span_of(shown(rq, text))))
		raise(SIGKILL);
	fill_late(rq);
	h.body = buf_span(&rq->body);
	limit_sent(r->limit, &rq->ticket, now);
	if (!limit_is_named(&rq->ticket)) {
		route_named(span_of(rq->method), span_of(rq->path), text);
		limit_name(&rq->ticket, text);
	}
	error = http_start(r->http, r->session, &h, on_answer, rq, &rq->http);
	if (error != ERR_OK) {
		doom(rq, error);
		return;
	}
	r->wire_n++;
	if (mono_is_never(rq->left))
		measure_add(MEASURE_rest_wait, NULL, now.us - rq->came.us);
	rq->left = now;
	COUNT(rest_requests);
}

static void
pump(struct rest *r)
{
	struct mono	 next = MONO_NEVER;
	struct request	*rq;

	if (r->orphaned)
		return;
	do {
		r->more = false;
		if (!r->handed)
			next = lanes_run(r->lanes, clock_mono());
		while ((rq = TAILQ_FIRST(&r->doomed)) != NULL)
			finish_error(rq, rq->doom);
	} while (r->more);		/* who was told of an end asked for something else */
	if (mono_is_never(next))
		timer_stop(r->pump_timer);
	else
		timer_arm_at(r->pump_timer, next);
	rest_tell(r);
}

static void
on_pump(void *arg)
{
	pump(arg);
}

static void
on_due(void *arg)
{
	struct request	*rq = arg;
	struct rest	*r = rq->rest;

	finish_error(rq, ERR_EDEADLINE);
	pump(r);
}

/* ---- what an answer means ---- */

/*
 * Again after a while, at the head of its queue.  False: the deadline comes first, or it was tried
 * often enough.
 */
static bool
again(struct request *rq)
{
	struct rest	*r = rq->rest;
	uint64_t	 base = (uint64_t)BACKOFF_MS << rq->retries;
	struct mono	 at = mono_add_ms(clock_mono(), base / 2 + clock_random(base + 1));

	if (r->orphaned || rq->retries >= REST_RETRIES_MAX || !mono_before(at, rq->deadline))
		return false;
	rq->retries++;
	COUNT(rest_retries);
	rq->ticket.not_before = at;
	put_back(rq);
	return true;
}

/* May it be sent again although the first sending may have taken effect? */
static bool
repeatable(const struct request *rq)
{
	switch (rq->route.rule.settle) {
	case SETTLE_REPEAT:
	case SETTLE_CODE:
		return true;
	case SETTLE_NONCE:
		return mono_ms_between(rq->asked, clock_mono()) < REST_NONCE_MS;
	case SETTLE_DOUBT:
		break;
	}
	return false;
}

static void
no_answer(struct request *rq, const struct curl_answer *a)
{
	char	 text[ROUTE_SHOWN_MAX];

	COUNT(rest_failures);
	limit_lost(rq->rest->limit, &rq->ticket, clock_mono());
	log_info("rest#%llu %s: no answer: %s sent=%d retries=%u", (unsigned long long)rq->call,
	    shown(rq, text), a->why, a->sent, rq->retries);
	if (a->too_big) {
		finish(rq, ERR_ETOOBIG, a->status, 0, NULL, SPAN_NONE);
		return;
	}
	if (a->sent)
		rq->repeated = true;
	if ((!a->sent || repeatable(rq)) && again(rq))
		return;
	if (!rq->repeated)
		finish(rq, ERR_EUNREACHABLE, 0, 0, a->why, SPAN_NONE);
	else if (mono_ms_until(clock_mono(), rq->deadline) == 0)
		finish_error(rq, ERR_EDEADLINE);
	else
		finish(rq, a->sent && !repeatable(rq) ? ERR_EAMBIGUOUS : ERR_ETRANSPORT, 0, 0,
		    a->sent && !repeatable(rq) ? NULL : a->why, SPAN_NONE);
}

static void
limited(struct request *rq, enum limited kind, const struct limit_answer *l)
{
	static const char *const	 kinds[] = {
		"", "Cloudflare", "global", "this request", "bucket"
	};
	char				 text[ROUTE_SHOWN_MAX];

	COUNT(rest_429);
	log_notice("rest#%llu %s: 429 limits=%s retry_after_s=%.3f", (unsigned long long)rq->call,
	    shown(rq, text), kinds[kind], l->retry_after_s);
	if (++rq->limited > REST_LIMITED_MAX || rq->rest->orphaned) {
		finish(rq, limited_error(rq), 429, 0, NULL, SPAN_NONE);
		return;
	}
	put_back(rq);
}

static bool
proxy_refused(unsigned status)
{
	return status == 502 || status == 503 || (status >= 520 && status <= 523);
}

static void
failed_5xx(struct request *rq, const struct curl_answer *a)
{
	bool	 safe = proxy_refused(a->status) || repeatable(rq);

	COUNT(rest_5xx);
	if (!proxy_refused(a->status))
		rq->repeated = true;
	if (safe && again(rq))
		return;
	finish(rq, safe ? ERR_EHTTP : ERR_EAMBIGUOUS, a->status, 0, NULL, a->body);
}

/*
 * What waits has nothing to wait for any more.  It ends in pump(): who is told of an end may take
 * back another request, the next one of this tree too.
 */
static void
token_refused(struct rest *r)
{
	struct request	*rq;

	log_warnx("Discord refused the token (401): every call ends with an error from now on");
	RB_FOREACH(rq, requests, &r->requests)
		if (rq->ticket.authorized && rq->http == NULL && !rq->doomed) {
			lanes_remove(r->lanes, &rq->item);
			(void)doom(rq, ERR_ETOKEN);
		}
}

static void
answered(struct request *rq, const struct curl_answer *a)
{
	struct rest		*r = rq->rest;
	struct limit_answer	 l;
	enum limited		 kind;
	uint64_t		 id = 0, code = 0;
	char			 text[ROUTE_SHOWN_MAX];

	limit_read(a->status, a->head, a->body, &l);
	rq->remaining = l.remaining;
	rq->reset_after_s = l.reset_after_s;
	kind = limit_answer(r->limit, &rq->ticket, &l, clock_mono());
	if (fault_armed_any() && fault_hits(FAULT_REST_CRASH_AFTER, span_of(shown(rq, text))))
		raise(SIGKILL);
	if (kind != LIMITED_NOT)
		limited(rq, kind, &l);
	else if (a->status == 401 && rq->ticket.authorized) {
		finish(rq, ERR_ETOKEN, a->status, 0, NULL, a->body);
		token_refused(r);
	} else if (a->status >= 500)
		failed_5xx(rq, a);
	else if (rq->route.rule.settle == SETTLE_CODE && rq->repeated && a->status >= 400 &&
	    json_member_u64(a->body, "code", &code) && code == rq->route.rule.code)
		finish(rq, ERR_OK, 204, 0, NULL, SPAN_NONE);
	else if (a->status >= 300 && a->status != 304)
		finish(rq, ERR_EHTTP, a->status, 0, NULL, a->body);
	else {
		if (rq->route.changes)
			(void)json_member_u64(a->body, "id", &id);
		finish(rq, ERR_OK, a->status, id, NULL, a->body);
	}
}

static void
on_answer(const struct curl_answer *a, void *arg)
{
	struct request	*rq = arg;
	struct rest	*r = rq->rest;

	rq->http = NULL;
	r->wire_n--;
	if (a->answered) {
		measure_add(MEASURE_rest_time, NULL, clock_mono().us - rq->left.us);
		answered(rq, a);
	} else
		no_answer(rq, a);
	pump(r);
	over_if_empty(r);
}

/* ---- a new call ---- */

/* Without a delivery nobody but this process will ever send it again. */
static const char *
body_with_nonce(struct request *rq, struct span body)
{
	const char	*why;
	char		 nonce[NONCE_BYTES];
	bool		 enforced;

	if (rq->delivery != 0)
		nonce_of(rq->delivery, rq->ordinal, nonce);
	else
		nonce_of(clock_random(UINT64_MAX), 0, nonce);
	why = nonce_add(body, nonce, &rq->body, &enforced);
	if (!enforced)
		rq->route.rule.settle = SETTLE_DOUBT;
	return why;
}

static const char *
request_fill(struct request *rq, const struct msg_CALL *m)
{
	span_copy(m->verb, rq->method, sizeof(rq->method));
	rq->path = mem_spandup(m->path);
	route_of(m->verb, m->path, &rq->route);
	rq->ticket.route = rq->route.route;
	rq->ticket.major = rq->route.major;
	rq->ticket.outside = rq->route.interaction;
	rq->ticket.authorized = !rq->route.interaction;
	rq->item.key = span_hash_end(span_hash_add_u64(
	    span_hash_add_u64(SPAN_HASH_SEED, rq->route.route), rq->route.major));
	rq->item.ordered = rq->route.ordered;
	/*
	 * Order needs one queue, so a POST goes where its route says; lane 0 is for routes of
	 * interactions.
	 */
	rq->item.lane = rq->route.ordered ||
	    (m->lane == LANE_INTERACTION && !rq->route.interaction) ?
	    rq->route.rule.lane : (enum lane)m->lane;
	if (rq->own.done != NULL)
		return NULL;
	if (rq->route.rule.settle == SETTLE_NONCE)
		return body_with_nonce(rq, m->body);
	buf_add_span(&rq->body, m->body);
	return NULL;
}

/* In doubt from before: sent by another process, whose answer nobody saw. */
static bool
in_doubt(const struct request *rq)
{
	return rq->repeated && rq->route.changes && !repeatable(rq);
}

static enum error
admit(struct rest *r, const struct msg_CALL *m, const char **why_r)
{
	*why_r = request_check(m->verb, m->path);
	if (*why_r != NULL)
		return ERR_EINVALID;
	if (limit_locked(r->limit))
		return ERR_ETOKEN;
	if (r->open_n >= REST_OPEN_MAX) {
		*why_r = "too many calls are open";
		return ERR_ESERVICE;
	}
	return http_admit(r->http, r->session);
}

static struct request *
request_new(struct rest *r, const struct msg_CALL *m)
{
	struct request	*rq = mem_alloc(sizeof(*rq));
	struct mono	 now = clock_mono();

	rq->rest = r;
	rq->call = m->call;
	rq->remaining = rq->reset_after_s = -1;
	rq->delivery = m->delivery;
	rq->ordinal = m->ordinal;
	rq->repeated = m->asked_ms != 0;
	rq->asked.us = now.us / 1000 > m->asked_ms ? now.us - m->asked_ms * 1000 : 1;
	rq->came = now;
	rq->deadline = mono_add_ms(now, m->deadline_ms);
	rq->due = timer_new(r->loop, on_due, rq);
	timer_arm_at(rq->due, rq->deadline);
	RB_INSERT(requests, &r->requests, rq);
	r->open_n++;
	return rq;
}

/* PROTO_VERB_LIMITS: what is known here, for people. */
static void
tell_limits(struct rest *r, uint64_t call)
{
	struct buf	 b = { 0 };
	struct json_out	 o;

	json_out_init(&o, &b);
	json_obj(&o);
	json_kv_u64(&o, "open", r->open_n);
	json_kv_u64(&o, "on_wire", r->wire_n);
	json_kv_u64(&o, "waiting", lanes_waiting_n(r->lanes));
	limit_show(r->limit, &o, clock_mono());
	json_obj_end(&o);
	send_result(r, call, ERR_OK, 0, 0, NULL, buf_span(&b));
	buf_fini(&b);
}

void
rest_call(struct rest *r, const struct msg_CALL *m)
{
	struct request	 key = { .call = m->call }, *rq;
	const char	*why = NULL;
	enum error	 error;

	if (span_is(m->verb, PROTO_VERB_LIMITS)) {
		tell_limits(r, m->call);
		return;
	}
	if (RB_FIND(requests, &r->requests, &key) != NULL) {
		log_warnx("rest#%llu is open already: the second CALL is ignored",
		    (unsigned long long)m->call);
		return;
	}
	error = admit(r, m, &why);
	if (error != ERR_OK) {
		send_result(r, m->call, error, 0, 0, why, SPAN_NONE);
		return;
	}
	rq = request_new(r, m);
	rq->admitted = true;
	why = request_fill(rq, m);
	if (why != NULL)
		finish(rq, ERR_EINVALID, 0, 0, why, SPAN_NONE);
	else if (in_doubt(rq))
		finish_error(rq, ERR_EAMBIGUOUS);
	else {
		lanes_put(r->lanes, &rq->item);
		pump(r);
	}
}

uint64_t
rest_ask(struct rest *r, const struct msg_CALL *call, const struct rest_own *own)
{
	struct msg_CALL	 m = *call;
	const char	*why = NULL;
	enum error	 error = admit(r, &m, &why);
	struct request	*rq;

	m.call = OWN_NUMBERS | ++r->own;
	rq = request_new(r, &m);
	rq->admitted = error == ERR_OK;
	rq->own = *own;
	(void)request_fill(rq, &m);
	if (error == ERR_OK && in_doubt(rq))
		error = ERR_EAMBIGUOUS;
	if (error == ERR_OK)
		lanes_put(r->lanes, &rq->item);
	else
		(void)doom(rq, error);
	r->more = true;
	timer_arm_ms(r->pump_timer, 0);
	return m.call;
}

static void
nobody(void *arg, const struct rest_answer *a)
{
	(void)arg;
	(void)a;
}

void
rest_forget(struct rest *r, uint64_t number)
{
	struct request	 key = { .call = number }, *rq;

	rq = RB_FIND(requests, &r->requests, &key);
	if (rq == NULL)
		return;
	if (rq->http == NULL)
		request_free(rq);
	else
		rq->own = (struct rest_own){ .done = nobody };
}

void
rest_cancel(struct rest *r, uint64_t call)
{
	struct request	 key = { .call = call }, *rq;

	rq = RB_FIND(requests, &r->requests, &key);
	if (rq == NULL)
		return;
	finish_error(rq, ERR_ECANCELLED);
	pump(r);
}

/* ---- beginning and end ---- */

static void
on_end(void *arg)
{
	struct rest	*r = arg;

	if (r->over)
		return;
	r->over = true;
	log_notice("rest: time is up, open=%zu on_wire=%zu", r->open_n, r->wire_n);
	r->ops->done(r->arg);
}

void
rest_drain(struct rest *r, uint64_t finish_ms)
{
	r->draining = true;
	http_drain(r->http, "the supervisor asked for it");
	timer_arm_ms(r->end_timer, finish_ms);
	over_if_empty(r);
}

bool
rest_take_back(struct rest *r, uint64_t number)
{
	struct request	 key = { .call = number }, *rq;

	rq = RB_FIND(requests, &r->requests, &key);
	if (rq != NULL && rq->http != NULL)
		return false;
	if (rq != NULL)
		request_free(rq);
	return true;
}

void
rest_hand_over(struct rest *r)
{
	struct request	*rq, *next;

	r->handed = true;
	/* In the order they came: their numbers rise. */
	RB_FOREACH_SAFE(rq, requests, &r->requests, next)
		if (rq->http == NULL)
			hand_back(rq);
	log_debug("rest: another one takes over, on_wire=%zu", r->wire_n);
	tell_state(r, STATE_LAST);
	over_if_empty(r);
}

void
rest_hear(struct rest *r, struct span state)
{
	const char	*why;

	if (limit_hear(r->limit, state, clock_mono(), &why) == -1)
		log_warnx("rest: the state of the one before is ignored: %s", why);
	else if (!r->handed) {
		tell_state(r, STATE_ALL);
		pump(r);
	}
}

void
rest_orphaned(struct rest *r, uint64_t grace_ms)
{
	bool	 sooner = !r->draining;

	r->orphaned = r->draining = true;
	timer_stop(r->pump_timer);
	http_drain(r->http, "the supervisor is gone");
	if (sooner)
		timer_arm_ms(r->end_timer, grace_ms);
	over_if_empty(r);
}

static void
on_state(void *arg, const char *tag, enum http_state state, const char *why)
{
	struct rest		*r = arg;
	struct msg_SESSION	 m = { .tag = span_of(tag), .state = state, .why = span_of(why) };

	if (!r->orphaned)
		r->ops->send(r->arg, MSG_SESSION, &m);
}

struct rest *
rest_new(struct loop *loop, const struct rest_config *cf, const struct rest_ops *ops, void *arg,
    const char **why_r)
{
	static const struct lanes_ops	 lanes_ops = { ask, go };
	struct rest			*r = mem_alloc(sizeof(*r));
	char				*agent, *base = mem_strdup(cf->api_url);
	struct http_config		 http = {
		.ca_file = cf->ca_file, .connect_ms = cf->connect_ms, .on_state = on_state,
		.arg = r,
	};

	for (size_t n = strlen(base); n > 0 && base[n - 1] == '/'; n--)
		base[n - 1] = '\0';
	agent = mem_printf("DiscordBot (%s, %s) Bulkhead", cf->user_agent_url, BULKHEAD_VERSION);
	http.base_url = base;
	http.user_agent = agent;
	r->loop = loop;
	r->ops = ops;
	r->arg = arg;
	r->call_ms = cf->call_ms;
	r->authorization = mem_printf("Bot %s", cf->token);
	RB_INIT(&r->requests);
	TAILQ_INIT(&r->doomed);
	r->pump_timer = timer_new(loop, on_pump, r);
	r->end_timer = timer_new(loop, on_end, r);
	r->limit = limit_new(cf->per_second);
	r->lanes = lanes_new(&lanes_ops, r);
	r->resolve = resolve_new(loop, cf->resolv_conf);
	if (r->resolve == NULL)
		*why_r = "the resolver could not be set up";
	else
		r->http = http_new(loop, r->resolve, &http, why_r);
	free(base);
	free(agent);
	if (r->http == NULL) {
		rest_free(&r);
		return NULL;
	}
	r->session = http_open(r->http);
	return r;
}

void
rest_free(struct rest **rp)
{
	struct rest	*r = *rp;
	struct request	*rq;

	if (r == NULL)
		return;
	while ((rq = RB_MIN(requests, &r->requests)) != NULL)
		request_free(rq);
	http_free(&r->http);
	resolve_free(&r->resolve);
	lanes_free(&r->lanes);
	limit_free(&r->limit);
	timer_free(&r->pump_timer);
	timer_free(&r->end_timer);
	mem_wipe_free(&r->authorization);
	free(r);
	*rp = NULL;
}
