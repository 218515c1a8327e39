/*
 * deliveries - the table of deliveries, and all that happens to one.  See journal.h.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/journal/state.h"

/* ---- the table ---- */

/* By bits that do not say which chain it is. */
static uint64_t
mark_of(uint64_t id)
{
	return 1ull << (id >> 58);
}

static void
chain_add(struct dlv_chain *c, struct delivery *d)
{
	if (c->first == NULL)
		c->marks = 0;
	c->marks |= mark_of(d->id);
	d->next = c->first;
	c->first = d;
}

struct delivery *
dlv_find(const struct journal *j, uint64_t id)
{
	const struct dlv_chain	*c = &j->by_id[id & (j->chains - 1)];
	struct delivery		*d = (c->marks & mark_of(id)) == 0 ? NULL : c->first;

	while (d != NULL && d->id != id)
		d = d->next;
	return d;
}

/* Twice as many chains when there are as many deliveries. */
static void
more_chains(struct journal *j)
{
	size_t		 n = j->chains * 2;
	struct dlv_chain *v = mem_array(n, sizeof(*v));
	struct delivery	*d;

	for (size_t i = 0; i < j->chains; i++)
		while ((d = j->by_id[i].first) != NULL) {
			j->by_id[i].first = d->next;
			chain_add(&v[d->id & (n - 1)], d);
		}
	free(j->by_id);
	j->by_id = v;
	j->chains = n;
}

void
dlv_insert(struct journal *j, struct delivery *d)
{
	if (j->by_id_n++ == j->chains)
		more_chains(j);
	chain_add(&j->by_id[d->id & (j->chains - 1)], d);
}

void
dlv_remove(struct journal *j, struct delivery *d)
{
	struct delivery	**at = &j->by_id[d->id & (j->chains - 1)].first;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	j->by_id_n--;
}

static struct delivery *
dlv_new(struct journal *j)
{
	struct delivery	*d;

	if ((d = TAILQ_FIRST(&j->spare)) == NULL)
		return mem_alloc(sizeof(*d));
	TAILQ_REMOVE(&j->spare, d, in_state);
	j->spare_n--;
	memset(d, 0, sizeof(*d));
	return d;
}

void
dlv_forget(struct journal *j, struct delivery *d)
{
	space_unaccount(j, d);
	dlv_remove(j, d);
	dlv_clear(d);
	if (d->channel != NULL && d->channel->newest == d)
		d->channel->newest = NULL;
	if (j->spare_n >= 1024) {
		free(d);
		return;
	}
	TAILQ_INSERT_HEAD(&j->spare, d, in_state);
	j->spare_n++;
}

/* ---- what happens to one ---- */

struct span
journal_body(struct journal *j, const struct delivery *d)
{
	struct span	 p;

	if (d->body_bytes == 0 || d->place == 0)
		return SPAN_NONE;
	p = jlog_payload(&j->log, d->place);
	assert(p.n >= d->body_bytes);
	return span_make(p.p + p.n - d->body_bytes, d->body_bytes);
}

struct delivery *
journal_find(struct journal *j, uint64_t delivery)
{
	return dlv_find(j, delivery);
}

void
journal_on_drop(struct journal *j, void (*fn)(struct delivery *, void *), void *arg)
{
	j->on_drop = fn;
	j->drop_arg = arg;
}

static void	 bound_letters(struct journal *, uint64_t now_ms);

/*
 * Events stop at three quarters, those that may be shed at half: the rest is for what becomes of
 * them.
 */
static bool
event_fits(struct journal *j, uint64_t n, uint64_t growth, bool shed)
{
	return space_fits(j, n, growth, SLACK_BYTES(space_capacity(j))) &&
	    j->live + n + growth <= space_capacity(j) / 4 * (shed ? 2 : 3);
}

int
journal_event(
    struct journal *j, const struct journal_event *ev, uint64_t now_ms, struct delivery **d_r)
{
	struct delivery	*d, *old;
	struct identity	*who;
	struct span	 body = ev->body;
	uint64_t	 n, growth;
	bool		 ok;

	if ((*d_r = journal_find(j, ev->delivery)) != NULL)
		return 0;
	assert(ev->delivery != 0 && ev->pool.n < sizeof(d->pool) && ev->name.n < sizeof(d->name));
	space_expire(j);
	d = dlv_new(j);
	d->id = ev->delivery;
	d->object = ev->object;
	d->key = ev->key;
	d->seq = ev->seq;
	d->shard = ev->shard;
	d->pool_n = (uint8_t)span_copy(ev->pool, d->pool, sizeof(d->pool));
	d->name_n = (uint8_t)span_copy(ev->name, d->name, sizeof(d->name));
	d->replayed = ev->replayed;
	d->control = ev->control;
	d->shed = ev->shed;
	d->received_ms = now_ms;
	d->state = DLV_WAITING;
	if ((who = peers_identity(j, ev->shard)) != NULL)
		d->session = who->session;
	if (body.n > j->log.bytes / 8) {
		d->state = DLV_ASIDE;
		d->aside = ASIDE_TOOBIG;
		d->finished_ms = now_ms;
		d->report = mem_printf(
		    "the body of %zu bytes is above an eighth of the journal (%" PRIu64 ")", body.n,
		    j->log.bytes / 8);
		body = SPAN_NONE;
	}
	d->body_bytes = (uint32_t)body.n;
	d->order = ev->order != 0 ? ev->order : j->order + 1;
	dlv_encode(d, &j->mine);
	n = jlog_size(j->mine.n + body.n);
	growth = dlv_bytes(d) - n;

	while (!(ok = event_fits(j, n, growth, d->shed)) && !d->shed &&
	    (old = TAILQ_FIRST(&j->shed)) != NULL)
		space_drop(j, old, "event that may be shed");
	while (!(ok = ok || event_fits(j, n, growth, d->shed)) && !d->shed &&
	    j->bytes[DLV_ASIDE] > space_capacity(j) / 8 &&
	    (old = TAILQ_FIRST(&j->state[DLV_ASIDE])) != NULL)
		space_drop(j, old, "dead letter");
	/*
	 * Nothing is under way whose end could give room: the past gives way, or it would wait for
	 * ever.
	 */
	while (!(ok = ok || event_fits(j, n, growth, d->shed)) && !d->shed && !space_under_way(j) &&
	    (old = TAILQ_FIRST(&j->state[DLV_FINISHED])) != NULL)
		space_let_go(j, old);
	if (!ok || !space_room(j, n, growth, 0)) {
		if (d->shed)
			space_count_dropped(
			    j, "event that may be shed", d->pool, d->name, d->id, d->object);
		dlv_clear(d);
		free(d);
		return -1;
	}
	if (ev->order == 0)
		j->order++;
	else if (ev->order >= j->gap_next)
		j->gap_next = ev->order + 1;
	d->place = jlog_append(&j->log, REC_DLV, buf_span(&j->mine), body);
	d->home_bytes = n;
	dlv_insert(j, d);
	space_account(j, d, false);
	if (ev->said && ev->key != 0)
		channels_said(j, ev, d, now_ms);
	COUNT(events_journaled);
	if (d->state == DLV_ASIDE)
		bound_letters(j, now_ms);
	*d_r = d;
	return 1;
}

void
journal_given(struct journal *j, struct delivery *d, const char *worker, uint64_t now_ms)
{
	struct given_rec	 r = { d->id, now_ms, 0 };

	assert(d->state == DLV_WAITING);
	space_unaccount(j, d);
	d->state = DLV_GIVEN;
	d->given_ms = now_ms;
	if (d->attempt < UINT8_MAX)
		d->attempt++;
	d->worker_n = (uint8_t)span_copy(span_of(worker), d->worker, sizeof(d->worker));
	space_account(j, d, false);
	r.attempt = d->attempt;
	space_must_append(j, REC_GIVEN, &r, sizeof(r), span_make(d->worker, d->worker_n), d);
}

void
journal_returned(struct journal *j, struct delivery *d, bool charged)
{
	struct returned_rec	 r = { d->id, 0 };

	assert(d->state != DLV_FINISHED);
	space_unaccount(j, d);
	d->state = DLV_WAITING;
	if (charged && d->charges < UINT8_MAX)
		d->charges++;
	free(d->report);
	d->report = NULL;
	space_account(j, d, true);
	r.charges = d->charges;
	space_must_append(j, REC_RETURNED, &r, sizeof(r), SPAN_NONE, d);
}

int
journal_asked(struct journal *j, struct delivery *d, uint64_t ordinal, struct span route,
    uint64_t now_ms, struct effect **e_r)
{
	struct asked_rec	 r = { d->id, ordinal, now_ms };
	char			 scratch[24];
	struct span		 kept = effect_route(route, scratch, sizeof(scratch));
	uint64_t		 n = jlog_size(sizeof(r) + kept.n), big, add;

	if ((*e_r = delivery_effect(d, ordinal)) != NULL)
		return 0;
	add = jlog_size(sizeof(struct effect_rec) + kept.n);
	big = d->live_bytes + add;
	if (d->effects_n >= PROTO_EFFECTS_MAX ||
	    j->live + add + n + SLACK_BYTES(space_capacity(j)) / 2 + 3 * space_largest(j, big) >
	    space_capacity(j) || !space_room(j, n, add, 0))
		return -1;
	jlog_append(&j->log, REC_ASKED, span_make(&r, sizeof(r)), kept);
	space_unaccount(j, d);
	*e_r = effect_add(d, ordinal, now_ms, kept);
	space_account(j, d, false);
	return 1;
}

/*
 * Not written: should this process die, its successor believes that it was asked earlier than it
 * was, and gives up sooner.
 */
void
journal_unasked(struct journal *j, struct delivery *d, uint64_t ordinal)
{
	struct effect	*e = delivery_effect(d, ordinal);

	if (e == NULL || e->done)
		return;
	space_unaccount(j, d);
	free(e->route);
	*e = d->effects[--d->effects_n];
	space_account(j, d, false);
}

void
journal_effect(
    struct journal *j, struct delivery *d, uint64_t ordinal, uint64_t status, uint64_t id)
{
	struct done_rec	 r = { d->id, ordinal, status, id };
	struct effect	*e;

	if ((e = delivery_effect(d, ordinal)) == NULL)
		return;
	e->done = true;
	e->status = status;
	e->id = id;
	space_must_append(j, REC_EFFECT, &r, sizeof(r), SPAN_NONE, d);
}

void
journal_finished(struct journal *j, struct delivery *d, uint64_t now_ms)
{
	bool	 ok;

	if (d->state == DLV_FINISHED)
		return;
	/* Room first: a record without body is never larger than what d may take. */
	ok = space_must_room(j, jlog_size(dlv_bytes(d) - d->body_bytes), d);
	space_unaccount(j, d);
	d->state = DLV_FINISHED;
	d->finished_ms = now_ms;
	d->body_bytes = 0;
	free(d->report);
	d->report = NULL;
	if (ok) {
		dlv_encode(d, &j->mine);
		d->place = jlog_append(&j->log, REC_DLV, buf_span(&j->mine), SPAN_NONE);
		d->home_bytes = jlog_size(j->mine.n);
	}
	space_account(j, d, false);
	space_expire(j);
}

static void
set_aside(
    struct journal *j, struct delivery *d, enum dlv_aside why, struct span report, uint64_t now_ms)
{
	space_unaccount(j, d);
	d->state = DLV_ASIDE;
	d->aside = why;
	d->finished_ms = now_ms;
	free(d->report);
	d->report = mem_spandup(report);
	space_account(j, d, false);
}

/* The oldest dead letters give way to the newest. */
static void
bound_letters(struct journal *j, uint64_t now_ms)
{
	struct delivery	*d;

	while (j->n[DLV_ASIDE] > JOURNAL_LETTERS_MAX ||
	    (j->n[DLV_ASIDE] > 1 && j->bytes[DLV_ASIDE] > space_capacity(j) / 8)) {
		d = TAILQ_FIRST(&j->state[DLV_ASIDE]);
		log_warnx("too many dead letters: the oldest is let go pool=%s event=%s"
		    " delivery=%016" PRIx64 " object=%" PRIu64, d->pool, d->name, d->id, d->object);
		COUNT(letters_dropped);
		journal_let_go(j, d, now_ms);
	}
}

void
journal_aside(
    struct journal *j, struct delivery *d, enum dlv_aside why, const char *report, uint64_t now_ms)
{
	struct aside_rec	 r = { d->id, now_ms, why };
	struct span		 text = span_of(report);

	assert(d->state != DLV_FINISHED);
	if (text.n > JOURNAL_REPORT_MAX)
		text.n = JOURNAL_REPORT_MAX;
	/* The report must not cost the room that records of other deliveries need. */
	if (!space_fits(j, jlog_size(sizeof(r) + text.n), text.n + 8,
	    SLACK_BYTES(space_capacity(j)) / 4))
		text.n = 0;
	set_aside(j, d, why, text, now_ms);
	space_must_append(j, REC_ASIDE, &r, sizeof(r), text, d);
	bound_letters(j, now_ms);
}

void
journal_cancelled(struct journal *j, struct delivery *d)
{
	assert(d->state < DLV_ASIDE);
	d->ending = ENDS_CANCELLED;
	space_must_append(j, REC_CANCELLED, &d->id, sizeof(d->id), SPAN_NONE, d);
}

bool
journal_retried(struct journal *j, struct delivery *d, uint64_t now_ms)
{
	struct retried_rec	 r = { d->id, now_ms };

	assert(d->state == DLV_ASIDE);
	if (d->body_bytes == 0)
		return false;
	space_unaccount(j, d);
	d->state = DLV_WAITING;
	d->charges = 0;
	d->finished_ms = now_ms;
	free(d->report);
	d->report = NULL;
	space_account(j, d, true);
	space_must_append(j, REC_RETRIED, &r, sizeof(r), SPAN_NONE, d);
	return true;
}

void
journal_let_go(struct journal *j, struct delivery *d, uint64_t now_ms)
{
	assert(d->state == DLV_ASIDE);
	d->ending = ENDS_DROPPED;
	journal_finished(j, d, now_ms);
}

void
journal_shed(struct journal *j, struct delivery *d)
{
	uint64_t	 id = d->id;

	assert(d->state == DLV_WAITING && d->shed);
	dlv_forget(j, d);
	space_write_dropped(j, id);
}

struct delivery *
journal_first(struct journal *j, enum dlv_state s)
{
	return TAILQ_FIRST(&j->state[s]);
}

uint64_t
journal_count(struct journal *j, enum dlv_state s)
{
	return j->n[s];
}
