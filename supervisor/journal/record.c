/*
 * record - a delivery to and from its record.  See state.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/contract.h"
#include "supervisor/journal/state.h"

#define FLAG_REPLAYED	1u
#define FLAG_CONTROL	2u
#define FLAG_SHED	4u
#define FLAG_CANCELLED	8u
#define FLAG_LET_GO	16u

/* Members that stand in a record as they are in a delivery. */
#define PLAIN(X)									\
	X(id) X(order) X(object) X(key) X(seq) X(session)				\
	X(received_ms) X(given_ms) X(finished_ms)					\
	X(shard) X(body_bytes) X(attempt) X(charges)

const char *
dlv_state_name(const struct delivery *d)
{
	switch (d->state) {
	case DLV_WAITING:	return "waiting";
	case DLV_GIVEN:		return "given";
	case DLV_ASIDE:		return "aside";
	case DLV_FINISHED:	break;
	}
	switch (d->ending) {
	case ENDS_ACKED:	return "finished";
	case ENDS_CANCELLED:	return "cancelled";
	case ENDS_DROPPED:	return "dropped";
	}
	return "?";
}

const char *
dlv_aside_name(enum dlv_aside a)
{
	switch (a) {
	case ASIDE_POISON:	return "poison";
	case ASIDE_DOUBT:	return "in doubt";
	case ASIDE_REFUSED:	return "refused";
	case ASIDE_TOOBIG:	return "too big";
	case ASIDE_STALE:	return "stale";
	case ASIDE_DEADLINE:	return "deadline";
	case ASIDE__KINDS:	break;
	}
	return "?";
}

/* Most bytes that d takes as one record.  A worker's tag may still change until it is finished. */
uint64_t
dlv_bytes(const struct delivery *d)
{
	uint64_t	 n;

	n = sizeof(struct dlv_rec) + d->pool_n + d->name_n + d->body_bytes;
	n += d->state == DLV_FINISHED ? d->worker_n : sizeof(d->worker);
	if (d->report != NULL)
		n += strlen(d->report);
	for (size_t i = 0; i < d->effects_n; i++)
		n += sizeof(struct effect_rec) + strlen(d->effects[i].route);
	return jlog_size(n);
}

void
dlv_clear(struct delivery *d)
{
	for (size_t i = 0; i < d->effects_n; i++)
		free(d->effects[i].route);
	free(d->effects);
	free(d->report);
	d->effects = NULL;
	d->effects_n = 0;
	d->report = NULL;
}

struct effect *
effect_add(struct delivery *d, uint64_t ordinal, uint64_t asked_ms, struct span route)
{
	struct effect	*e;

	d->effects = mem_grow(d->effects, d->effects_n + 1, sizeof(*d->effects));
	e = &d->effects[d->effects_n++];
	memset(e, 0, sizeof(*e));
	e->ordinal = ordinal;
	e->asked_ms = asked_ms;
	e->route = mem_spandup(route);
	return e;
}

/* A route as it is kept. */
struct span
effect_route(struct span route, char *scratch, size_t scratch_bytes)
{
	if (route.n <= JOURNAL_ROUTE_MAX &&
	    (route.n == 0 || memchr(route.p, '\0', route.n) == NULL))
		return route;
	snprintf(scratch, scratch_bytes, "#%016" PRIx64,
	    span_hash_end(span_hash_add(SPAN_HASH_SEED, route)));
	return span_of(scratch);
}

bool
journal_effect_is(const struct effect *e, struct span route)
{
	char	 scratch[24];

	return span_is(effect_route(route, scratch, sizeof(scratch)), e->route);
}

/* All of d but its body, which follows. */
void
dlv_encode(const struct delivery *d, struct buf *out)
{
	struct dlv_rec		 r;
	struct effect_rec	 er;

	memset(&r, 0, sizeof(r));
#define X(member)	r.member = d->member;
	PLAIN(X)
#undef X
	r.effects_n = (uint16_t)d->effects_n;
	r.report_n = d->report == NULL ? 0 : (uint16_t)strlen(d->report);
	r.state = (uint8_t)d->state;
	r.aside = (uint8_t)d->aside;
	r.flags = (uint8_t)((d->replayed ? FLAG_REPLAYED : 0) | (d->control ? FLAG_CONTROL : 0) |
	    (d->shed ? FLAG_SHED : 0) | (d->ending == ENDS_CANCELLED ? FLAG_CANCELLED : 0) |
	    (d->ending == ENDS_DROPPED ? FLAG_LET_GO : 0));
	r.pool_n = d->pool_n;
	r.name_n = d->name_n;
	r.worker_n = d->worker_n;
	buf_reset(out);
	buf_add(out, &r, sizeof(r));
	buf_add(out, d->pool, r.pool_n);
	buf_add(out, d->name, r.name_n);
	buf_add(out, d->worker, r.worker_n);
	if (r.report_n > 0)
		buf_add(out, d->report, r.report_n);
	for (size_t i = 0; i < d->effects_n; i++) {
		const struct effect	*e = &d->effects[i];

		memset(&er, 0, sizeof(er));
		er.ordinal = e->ordinal;
		er.asked_ms = e->asked_ms;
		er.status = e->status;
		er.id = e->id;
		er.route_n = (uint32_t)strlen(e->route);
		er.done = e->done;
		buf_add(out, &er, sizeof(er));
		buf_add(out, e->route, er.route_n);
	}
}

/* Take n bytes off the front; false when there are fewer. */
static bool
take(struct span *in, size_t n, struct span *v_r)
{
	if (in->n < n)
		return false;
	*v_r = span_make(in->p, n);
	in->p += n;
	in->n -= n;
	return true;
}

bool
rec_take(struct span *in, void *v, size_t n)
{
	struct span	 s;

	if (!take(in, n, &s))
		return false;
	memcpy(v, s.p, n);
	return true;
}

bool
rec_has_nul(struct span s)
{
	return s.n > 0 && memchr(s.p, '\0', s.n) != NULL;
}

/* Fill d, which is clear, from a DLV record.  False when it contradicts itself. */
bool
dlv_decode(struct span in, struct delivery *d)
{
	struct dlv_rec		 r;
	struct effect_rec	 er;
	struct span		 pool, name, worker, report, route;

	if (!rec_take(&in, &r, sizeof(r)) || r.id == 0 || r.pool_n >= sizeof(d->pool) ||
	    r.name_n >= sizeof(d->name) || r.worker_n >= sizeof(d->worker) ||
	    r.state > DLV_FINISHED || r.aside >= ASIDE__KINDS || r.effects_n > PROTO_EFFECTS_MAX ||
	    r.report_n > JOURNAL_REPORT_MAX)
		return false;
	if (!take(&in, r.pool_n, &pool) || !take(&in, r.name_n, &name) ||
	    !take(&in, r.worker_n, &worker) || !take(&in, r.report_n, &report) ||
	    rec_has_nul(pool) || rec_has_nul(name) || rec_has_nul(worker) || rec_has_nul(report))
		return false;
#define X(member)	d->member = r.member;
	PLAIN(X)
#undef X
	d->state = (enum dlv_state)r.state;
	d->aside = (enum dlv_aside)r.aside;
	d->replayed = (r.flags & FLAG_REPLAYED) != 0;
	d->control = (r.flags & FLAG_CONTROL) != 0;
	d->shed = (r.flags & FLAG_SHED) != 0;
	d->ending = (r.flags & FLAG_CANCELLED) != 0 ? ENDS_CANCELLED :
	    (r.flags & FLAG_LET_GO) != 0 ? ENDS_DROPPED : ENDS_ACKED;
	d->pool_n = (uint8_t)span_copy(pool, d->pool, sizeof(d->pool));
	d->name_n = (uint8_t)span_copy(name, d->name, sizeof(d->name));
	d->worker_n = (uint8_t)span_copy(worker, d->worker, sizeof(d->worker));
	if (r.report_n > 0)
		d->report = mem_spandup(report);
	for (unsigned i = 0; i < r.effects_n; i++) {
		struct effect	*e;

		if (!rec_take(&in, &er, sizeof(er)) || er.route_n > JOURNAL_ROUTE_MAX ||
		    !take(&in, er.route_n, &route) || rec_has_nul(route))
			return false;
		e = effect_add(d, er.ordinal, er.asked_ms, route);
		e->status = er.status;
		e->id = er.id;
		e->done = er.done != 0;
	}
	return in.n == r.body_bytes;
}
