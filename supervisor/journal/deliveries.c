#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/count.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/journal/journal.h"
#include "supervisor/journal/log.h"

/*
 * Room.  live is the sum of all that a copy of every live thing can take, home what their records take now.
 * A lap of the tail round the ring frees everything else, so there is room for n more bytes exactly when
 * live + n and three of the largest record fit: one is lost at the end of the ring, one is the copy under
 * way, one may be lost by it.  On each step the tail needs the room by which copies may outgrow their
 * records (live - home) and two of the largest; step() keeps that, so copying cannot get stuck.
 */
#define SLACK_BYTES(cap)	((cap) / 16)	/* kept for what must always be written */

#define CLASSES_N	256			/* sizes in steps of at most an eighth */

struct dlv_rec {
	uint64_t	 id, order, object, key, seq, session;
	uint64_t	 received_ms, given_ms, finished_ms;
	uint32_t	 shard, body_bytes;
	uint16_t	 effects_n, report_n;
	uint8_t		 attempt, charges, state, aside, flags, pool_n, name_n, worker_n;
	uint8_t		 zero[4];
};	/* pool, name, worker, report, effects with their routes, body */

#define FLAG_REPLAYED	1u
#define FLAG_CONTROL	2u
#define FLAG_SHED	4u

struct effect_rec {
	uint64_t	 ordinal, asked_ms, status, id;
	uint32_t	 route_n, done;
};

/* What they say is whole, not "one more": a copy made just before may hold it already. */
struct given_rec { uint64_t id, now_ms, attempt; };	/* worker */
struct returned_rec { uint64_t id, charges; };
struct asked_rec { uint64_t id, ordinal, now_ms; };	/* route */
struct done_rec { uint64_t id, ordinal, status, object; };
struct aside_rec { uint64_t id, now_ms, aside; };	/* report */

struct identity {
	struct gw_identity	 id;
	uint64_t		 place, session;
};

struct child {
	struct journal_child	 child;
	uint64_t		 place;
};

RB_HEAD(dlv_tree, delivery);
TAILQ_HEAD(dlv_list, delivery);

struct journal {
	struct jlog		 log;
	struct dlv_tree		 by_id;
	struct dlv_list		 state[DLV_FINISHED + 1];
	struct dlv_list		 shed, spare;
	size_t			 spare_n;
	uint64_t		 n[DLV_FINISHED + 1];
	uint64_t		 bytes[DLV_FINISHED + 1];
	uint64_t		 live, home;
	uint32_t		 classes[CLASSES_N];
	unsigned		 class_top;	/* none above it is in use */
	uint64_t		 order;		/* of the newest */
	struct identity		*identity;
	size_t			 identity_n;
	struct child		*child;
	size_t			 child_n;
	struct gw_budget	 budget;
	uint64_t		 budget_place;
	uint64_t		 copied, dropped, wraps_seen;
	struct buf		 mine, copy;	/* a record being made; a survivor being copied */
	struct journal_report	 opened;
	void			(*on_drop)(struct delivery *, void *);
	void			*drop_arg;
};

static int
dlv_cmp(const struct delivery *a, const struct delivery *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}
RB_GENERATE_INTERNAL(dlv_tree, delivery, by_id, dlv_cmp, __attribute__((unused)) static)

const char *
dlv_state_name(enum dlv_state s)
{
	switch (s) {
	case DLV_WAITING:	return "waiting";
	case DLV_GIVEN:		return "given";
	case DLV_ASIDE:		return "aside";
	case DLV_FINISHED:	return "finished";
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
	}
	return "?";
}

/* ---- accounting ---- */

static unsigned
class_of(uint64_t bytes)
{
	unsigned	 e;

	if (bytes < 64)
		return 0;
	e = 63 - (unsigned)__builtin_clzll(bytes);
	return (e - 5) * 8 + (unsigned)(bytes >> (e - 3) & 7);
}

/* No member of the class is larger. */
static uint64_t
class_max(unsigned c)
{
	unsigned	 e;

	if (c < 8)
		return 64;
	e = c / 8 + 5;
	return ((8ull + c % 8 + 1) << (e - 3));
}

static uint64_t
largest(struct journal *j, uint64_t n)
{
	uint64_t	 max;

	while (j->class_top > 0 && j->classes[j->class_top] == 0)
		j->class_top--;
	max = class_max(j->class_top);
	return max > n ? max : n;
}

static void
class_add(struct journal *j, uint64_t bytes)
{
	unsigned	 c = class_of(bytes);

	j->classes[c]++;
	if (c > j->class_top)
		j->class_top = c;
}

static uint64_t
home_bytes(const struct journal *j, uint64_t place)
{
	return place == 0 ? 0 : jlog_size(jlog_at(&j->log, place)->bytes);
}

/* Most bytes that d takes as one record.  A worker's tag may still change until it is finished. */
static uint64_t
dlv_bytes(const struct delivery *d)
{
	uint64_t	 n;

	n = sizeof(struct dlv_rec) + strlen(d->pool) + strlen(d->name) + d->body_bytes;
	n += d->state == DLV_FINISHED ? strlen(d->worker) : sizeof(d->worker);
	if (d->report != NULL)
		n += strlen(d->report);
	for (size_t i = 0; i < d->effects_n; i++)
		n += sizeof(struct effect_rec) + strlen(d->effects[i].route);
	return jlog_size(n);
}

/* d is no longer, or not yet, among what is live; then account() again. */
static void
unaccount(struct journal *j, struct delivery *d)
{
	if (d->live_bytes == 0)
		return;
	j->classes[class_of(d->live_bytes)]--;
	j->live -= d->live_bytes;
	j->bytes[d->state] -= d->live_bytes;
	j->n[d->state]--;
	j->home -= home_bytes(j, d->place);
	d->live_bytes = 0;
	TAILQ_REMOVE(&j->state[d->state], d, in_state);
	if (d->shed && d->state == DLV_WAITING)
		TAILQ_REMOVE(&j->shed, d, in_shed);
}

static void
account(struct journal *j, struct delivery *d, bool first)
{
	uint64_t	 home = home_bytes(j, d->place);

	assert(d->live_bytes == 0);
	/* Never below home, so that live - home is no less than what copies outgrow. */
	d->live_bytes = dlv_bytes(d);
	if (d->live_bytes < home)
		d->live_bytes = home;
	class_add(j, d->live_bytes);
	j->live += d->live_bytes;
	j->bytes[d->state] += d->live_bytes;
	j->n[d->state]++;
	j->home += home;
	if (first)
		TAILQ_INSERT_HEAD(&j->state[d->state], d, in_state);
	else
		TAILQ_INSERT_TAIL(&j->state[d->state], d, in_state);
	if (d->shed && d->state == DLV_WAITING)
		TAILQ_INSERT_TAIL(&j->shed, d, in_shed);
}

/* ---- deliveries in memory ---- */

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

static void
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

static void
dlv_forget(struct journal *j, struct delivery *d)
{
	unaccount(j, d);
	RB_REMOVE(dlv_tree, &j->by_id, d);
	dlv_clear(d);
	if (j->spare_n >= 1024) {
		free(d);
		return;
	}
	TAILQ_INSERT_HEAD(&j->spare, d, in_state);
	j->spare_n++;
}

static struct effect *
effect_find(const struct delivery *d, uint64_t ordinal)
{
	for (size_t i = 0; i < d->effects_n; i++)
		if (d->effects[i].ordinal == ordinal)
			return &d->effects[i];
	return NULL;
}

static struct effect *
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
static struct span
route_kept(struct span route, char *scratch, size_t scratch_bytes)
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

	return span_is(route_kept(route, scratch, sizeof(scratch)), e->route);
}

/* ---- records ---- */

/* All of d but its body, which follows. */
static void
dlv_encode(const struct delivery *d, struct buf *out)
{
	struct dlv_rec		 r;
	struct effect_rec	 er;

	memset(&r, 0, sizeof(r));
	r.id = d->id;
	r.order = d->order;
	r.object = d->object;
	r.key = d->key;
	r.seq = d->seq;
	r.session = d->session;
	r.received_ms = d->received_ms;
	r.given_ms = d->given_ms;
	r.finished_ms = d->finished_ms;
	r.shard = d->shard;
	r.body_bytes = d->body_bytes;
	r.effects_n = (uint16_t)d->effects_n;
	r.report_n = d->report == NULL ? 0 : (uint16_t)strlen(d->report);
	r.attempt = d->attempt;
	r.charges = d->charges;
	r.state = (uint8_t)d->state;
	r.aside = (uint8_t)d->aside;
	r.flags = (uint8_t)((d->replayed ? FLAG_REPLAYED : 0) | (d->control ? FLAG_CONTROL : 0) |
	    (d->shed ? FLAG_SHED : 0));
	r.pool_n = (uint8_t)strlen(d->pool);
	r.name_n = (uint8_t)strlen(d->name);
	r.worker_n = (uint8_t)strlen(d->worker);
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

static bool
take_rec(struct span *in, void *v, size_t n)
{
	struct span	 s;

	if (!take(in, n, &s))
		return false;
	memcpy(v, s.p, n);
	return true;
}

static bool
has_nul(struct span s)
{
	return s.n > 0 && memchr(s.p, '\0', s.n) != NULL;
}

/* Fill d, which is clear, from a DLV record.  False when it contradicts itself. */
static bool
dlv_decode(struct span in, struct delivery *d)
{
	struct dlv_rec		 r;
	struct effect_rec	 er;
	struct span		 pool, name, worker, report, route;

	if (!take_rec(&in, &r, sizeof(r)) || r.id == 0 || r.pool_n >= sizeof(d->pool) ||
	    r.name_n >= sizeof(d->name) || r.worker_n >= sizeof(d->worker) ||
	    r.state > DLV_FINISHED || r.aside > ASIDE_TOOBIG || r.effects_n > PROTO_EFFECTS_MAX ||
	    r.report_n > JOURNAL_REPORT_MAX)
		return false;
	if (!take(&in, r.pool_n, &pool) || !take(&in, r.name_n, &name) ||
	    !take(&in, r.worker_n, &worker) || !take(&in, r.report_n, &report) || has_nul(pool) ||
	    has_nul(name) || has_nul(worker) || has_nul(report))
		return false;
	d->id = r.id;
	d->order = r.order;
	d->object = r.object;
	d->key = r.key;
	d->seq = r.seq;
	d->session = r.session;
	d->received_ms = r.received_ms;
	d->given_ms = r.given_ms;
	d->finished_ms = r.finished_ms;
	d->shard = r.shard;
	d->attempt = r.attempt;
	d->charges = r.charges;
	d->state = (enum dlv_state)r.state;
	d->aside = (enum dlv_aside)r.aside;
	d->replayed = (r.flags & FLAG_REPLAYED) != 0;
	d->control = (r.flags & FLAG_CONTROL) != 0;
	d->shed = (r.flags & FLAG_SHED) != 0;
	span_copy(pool, d->pool, sizeof(d->pool));
	span_copy(name, d->name, sizeof(d->name));
	span_copy(worker, d->worker, sizeof(d->worker));
	if (r.report_n > 0)
		d->report = mem_spandup(report);
	for (unsigned i = 0; i < r.effects_n; i++) {
		struct effect	*e;

		if (!take_rec(&in, &er, sizeof(er)) || er.route_n > JOURNAL_ROUTE_MAX ||
		    !take(&in, er.route_n, &route) || has_nul(route))
			return false;
		e = effect_add(d, er.ordinal, er.asked_ms, route);
		e->status = er.status;
		e->id = er.id;
		e->done = er.done != 0;
	}
	d->body_bytes = r.body_bytes;
	return in.n == r.body_bytes;
}

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

/* ---- the ring ---- */

static struct identity *
identity_of(struct journal *j, uint32_t shard)
{
	for (size_t i = 0; i < j->identity_n; i++)
		if (j->identity[i].id.shard == shard)
			return &j->identity[i];
	return NULL;
}

static struct child *
child_of(struct journal *j, pid_t pid)
{
	for (size_t i = 0; i < j->child_n; i++)
		if (j->child[i].child.pid == pid)
			return &j->child[i];
	return NULL;
}

/* Where the place of the live thing is kept whose record is at off; NULL when it is dead. */
static uint64_t *
live_at(struct journal *j, uint64_t off, struct delivery **d_r)
{
	const struct jlog_rec	*r = jlog_at(&j->log, off);
	struct delivery		 key;

	*d_r = NULL;
	switch ((enum jlog_kind)r->kind) {
	case REC_DLV:
		memcpy(&key.id, r + 1, sizeof(key.id));
		*d_r = RB_FIND(dlv_tree, &j->by_id, &key);
		return *d_r != NULL && (*d_r)->place == off ? &(*d_r)->place : NULL;
	case REC_IDENTITY:
		for (size_t i = 0; i < j->identity_n; i++)
			if (j->identity[i].place == off)
				return &j->identity[i].place;
		return NULL;
	case REC_BUDGET:
		return j->budget_place == off ? &j->budget_place : NULL;
	case REC_CHILD:
		for (size_t i = 0; i < j->child_n; i++)
			if (j->child[i].place == off)
				return &j->child[i].place;
		return NULL;
	default:
		return NULL;
	}
}

/* Copy a live thing to the head of to; the place is that of j's log. */
static uint64_t
copy_forward(struct journal *j, struct jlog *to, uint64_t off, const struct delivery *d)
{
	if (d != NULL) {
		dlv_encode(d, &j->copy);
		return jlog_append(to, REC_DLV, buf_span(&j->copy), journal_body(j, d));
	}
	return jlog_append(
	    to, (enum jlog_kind)jlog_at(&j->log, off)->kind, jlog_payload(&j->log, off), SPAN_NONE);
}

/* One record off the tail. */
static void
step(struct journal *j)
{
	uint64_t	 off = j->log.tail, before, *place;
	struct delivery	*d;

	if ((place = live_at(j, off, &d)) != NULL) {
		before = home_bytes(j, off);
		*place = copy_forward(j, &j->log, off, d);
		j->home = j->home - before + home_bytes(j, *place);
		j->copied++;
		COUNT(journal_copied);
	}
	jlog_advance(&j->log);
}

static uint64_t
capacity(const struct journal *j)
{
	return jlog_capacity(&j->log);
}

/* Would n more bytes, growth bytes of live things and slack fit? */
static bool
fits(struct journal *j, uint64_t n, uint64_t growth, uint64_t slack)
{
	return j->live + growth + n + slack + 3 * largest(j, n) <= capacity(j);
}

/*
 * Make room for a record of n bytes (jlog_size).  growth: by how much live things become larger with it, over n if
 * the record is to be live itself.  False: nothing happened.
 */
static bool
room(struct journal *j, uint64_t n, uint64_t growth, uint64_t slack)
{
	uint64_t	 big;

	if (!fits(j, n, growth, slack))
		return false;
	big = largest(j, n);
	while (
	    jlog_free_bytes(&j->log) < n + j->live + growth - j->home + 2 * big && j->log.used > 0)
		step(j);
	if (j->log.wraps > j->wraps_seen) {
		count_add(COUNT_journal_wraps, j->log.wraps - j->wraps_seen);
		j->wraps_seen = j->log.wraps;
	}
	return true;
}

static void
write_dropped(struct journal *j, uint64_t id)
{
	if (room(j, jlog_size(sizeof(id)), 0, 0))
		jlog_append(&j->log, REC_DROPPED, span_make(&id, sizeof(id)), SPAN_NONE);
}

static void
count_dropped(struct journal *j, const char *what, const char *pool, const char *name, uint64_t id,
    uint64_t object)
{
	j->dropped++;
	COUNT(events_dropped);
	log_warnx("journal full: %s dropped pool=%s event=%s delivery=%016" PRIx64
		  " object=%" PRIu64,
	    what, pool, name, id, object);
}

/* Drop a delivery at the bound. */
static void
drop(struct journal *j, struct delivery *d, const char *what)
{
	uint64_t	 id = d->id;

	count_dropped(j, what, d->pool, d->name, id, d->object);
	if (d->state == DLV_WAITING && j->on_drop != NULL)
		j->on_drop(d, j->drop_arg);
	dlv_forget(j, d);
	write_dropped(j, id);
}

/*
 * Room for what must be written whatever happens.  The slack of events and asked makes it sure; should
 * the books be wrong after all, memory of the past goes first.
 */
static bool
must_room(struct journal *j, uint64_t n, const struct delivery *keep)
{
	struct delivery	*d;

	while (!room(j, n, 0, 0)) {
		if ((d = TAILQ_FIRST(&j->state[DLV_FINISHED])) != NULL)
			dlv_forget(j, d);
		else if ((d = TAILQ_FIRST(&j->state[DLV_ASIDE])) != NULL && d != keep) {
			count_dropped(j, "dead letter", d->pool, d->name, d->id, d->object);
			dlv_forget(j, d);
		} else {
			log_warnx(
			    "journal full: a record could not be written live=%" PRIu64, j->live);
			return false;
		}
	}
	return true;
}

static void
must_append(struct journal *j, enum jlog_kind kind, const void *rec, size_t rec_n, struct span more,
    const struct delivery *keep)
{
	if (must_room(j, jlog_size(rec_n + more.n), keep))
		jlog_append(&j->log, kind, span_make(rec, rec_n), more);
}

/* What was finished long ago, or is too much. */
static void
expire(struct journal *j, uint64_t now_ms)
{
	struct delivery	*d;

	while ((d = TAILQ_FIRST(&j->state[DLV_FINISHED])) != NULL &&
	    (j->n[DLV_FINISHED] > JOURNAL_FINISHED_MAX ||
		j->bytes[DLV_FINISHED] > capacity(j) / 4 ||
		(now_ms > d->finished_ms && now_ms - d->finished_ms > JOURNAL_FINISHED_MS)))
		dlv_forget(j, d);
}

/* ---- what happens to a delivery ---- */

struct delivery *
journal_find(struct journal *j, uint64_t delivery)
{
	struct delivery	 key;

	key.id = delivery;
	return RB_FIND(dlv_tree, &j->by_id, &key);
}

void
journal_on_drop(struct journal *j, void (*fn)(struct delivery *, void *), void *arg)
{
	j->on_drop = fn;
	j->drop_arg = arg;
}

/* Events stop at three quarters, those that may be shed at half: the rest is for what becomes of them. */
static bool
event_fits(struct journal *j, uint64_t n, uint64_t growth, bool shed)
{
	return fits(j, n, growth, SLACK_BYTES(capacity(j))) &&
	    j->live + n + growth <= capacity(j) / 4 * (shed ? 2 : 3);
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
	expire(j, now_ms);
	d = dlv_new(j);
	d->id = ev->delivery;
	d->object = ev->object;
	d->key = ev->key;
	d->seq = ev->seq;
	d->shard = ev->shard;
	span_copy(ev->pool, d->pool, sizeof(d->pool));
	span_copy(ev->name, d->name, sizeof(d->name));
	d->replayed = ev->replayed;
	d->control = ev->control;
	d->shed = ev->shed;
	d->received_ms = now_ms;
	d->state = DLV_WAITING;
	if ((who = identity_of(j, ev->shard)) != NULL)
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
	d->order = j->order + 1;
	dlv_encode(d, &j->mine);
	n = jlog_size(j->mine.n + body.n);
	growth = dlv_bytes(d) - n;

	while (!(ok = event_fits(j, n, growth, d->shed)) && !d->shed &&
	    (old = TAILQ_FIRST(&j->shed)) != NULL)
		drop(j, old, "event that may be shed");
	while (!(ok = ok || event_fits(j, n, growth, d->shed)) && !d->shed &&
	    j->bytes[DLV_ASIDE] > capacity(j) / 8 &&
	    (old = TAILQ_FIRST(&j->state[DLV_ASIDE])) != NULL)
		drop(j, old, "dead letter");
	if (!ok || !room(j, n, growth, 0)) {
		if (d->shed)
			count_dropped(
			    j, "event that may be shed", d->pool, d->name, d->id, d->object);
		dlv_clear(d);
		free(d);
		return -1;
	}
	j->order++;
	d->place = jlog_append(&j->log, REC_DLV, buf_span(&j->mine), body);
	RB_INSERT(dlv_tree, &j->by_id, d);
	account(j, d, false);
	COUNT(events_journaled);
	*d_r = d;
	return 1;
}

void
journal_given(struct journal *j, struct delivery *d, const char *worker, uint64_t now_ms)
{
	struct given_rec	 r = { d->id, now_ms, 0 };

	assert(d->state == DLV_WAITING);
	unaccount(j, d);
	d->state = DLV_GIVEN;
	d->given_ms = now_ms;
	if (d->attempt < UINT8_MAX)
		d->attempt++;
	strlcpy(d->worker, worker, sizeof(d->worker));
	account(j, d, false);
	r.attempt = d->attempt;
	must_append(j, REC_GIVEN, &r, sizeof(r), span_of(d->worker), d);
}

void
journal_returned(struct journal *j, struct delivery *d, bool charged)
{
	struct returned_rec	 r = { d->id, 0 };

	assert(d->state != DLV_FINISHED);
	unaccount(j, d);
	d->state = DLV_WAITING;
	if (charged && d->charges < UINT8_MAX)
		d->charges++;
	free(d->report);
	d->report = NULL;
	account(j, d, true);
	r.charges = d->charges;
	must_append(j, REC_RETURNED, &r, sizeof(r), SPAN_NONE, d);
}

int
journal_asked(struct journal *j, struct delivery *d, uint64_t ordinal, struct span route,
    uint64_t now_ms, struct effect **e_r)
{
	struct asked_rec	 r = { d->id, ordinal, now_ms };
	char			 scratch[24];
	struct span		 kept = route_kept(route, scratch, sizeof(scratch));
	uint64_t		 n = jlog_size(sizeof(r) + kept.n), big, add;

	if ((*e_r = effect_find(d, ordinal)) != NULL)
		return 0;
	add = jlog_size(sizeof(struct effect_rec) + kept.n);
	big = d->live_bytes + add;
	if (d->effects_n >= PROTO_EFFECTS_MAX ||
	    j->live + add + n + SLACK_BYTES(capacity(j)) / 2 + 3 * largest(j, big) > capacity(j) ||
	    !room(j, n, add, 0))
		return -1;
	jlog_append(&j->log, REC_ASKED, span_make(&r, sizeof(r)), kept);
	unaccount(j, d);
	*e_r = effect_add(d, ordinal, now_ms, kept);
	account(j, d, false);
	return 1;
}

void
journal_effect(
    struct journal *j, struct delivery *d, uint64_t ordinal, uint64_t status, uint64_t id)
{
	struct done_rec	 r = { d->id, ordinal, status, id };
	struct effect	*e;

	if ((e = effect_find(d, ordinal)) == NULL)
		return;
	e->done = true;
	e->status = status;
	e->id = id;
	must_append(j, REC_EFFECT, &r, sizeof(r), SPAN_NONE, d);
}

void
journal_finished(struct journal *j, struct delivery *d, uint64_t now_ms)
{
	bool	 ok;

	if (d->state == DLV_FINISHED)
		return;
	/* Room first: a record without body is never larger than what d may take. */
	ok = must_room(j, jlog_size(dlv_bytes(d) - d->body_bytes), d);
	unaccount(j, d);
	d->state = DLV_FINISHED;
	d->finished_ms = now_ms;
	d->body_bytes = 0;
	free(d->report);
	d->report = NULL;
	if (ok) {
		dlv_encode(d, &j->mine);
		d->place = jlog_append(&j->log, REC_DLV, buf_span(&j->mine), SPAN_NONE);
	}
	account(j, d, false);
	expire(j, now_ms);
}

static void
set_aside(
    struct journal *j, struct delivery *d, enum dlv_aside why, struct span report, uint64_t now_ms)
{
	unaccount(j, d);
	d->state = DLV_ASIDE;
	d->aside = why;
	d->finished_ms = now_ms;
	free(d->report);
	d->report = mem_spandup(report);
	account(j, d, false);
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
	if (!fits(j, jlog_size(sizeof(r) + text.n), text.n + 8, SLACK_BYTES(capacity(j)) / 4))
		text.n = 0;
	set_aside(j, d, why, text, now_ms);
	must_append(j, REC_ASIDE, &r, sizeof(r), text, d);
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

/* ---- gateway and children ---- */

static uint64_t
session_hash(const char *session_id)
{
	return span_hash_end(span_hash_add(SPAN_HASH_SEED, span_of(session_id)));
}

/* A small live record takes the place of the one at *place. */
static void
replace(struct journal *j, enum jlog_kind kind, const void *rec, size_t rec_n, uint64_t *place)
{
	uint64_t	 n = jlog_size(rec_n);

	if (!must_room(j, n, NULL))
		return;
	if (*place != 0) {
		j->live -= home_bytes(j, *place);
		j->classes[class_of(home_bytes(j, *place))]--;
		j->home -= home_bytes(j, *place);
	}
	*place = jlog_append(&j->log, kind, span_make(rec, rec_n), SPAN_NONE);
	j->live += n;
	class_add(j, n);
	j->home += n;
}

static struct identity *
identity_set(struct journal *j, const struct gw_identity *id)
{
	struct identity	*i;

	if ((i = identity_of(j, id->shard)) == NULL) {
		j->identity = mem_grow(j->identity, j->identity_n + 1, sizeof(*j->identity));
		i = &j->identity[j->identity_n++];
		memset(i, 0, sizeof(*i));
	}
	memset(&i->id, 0, sizeof(i->id));
	i->id.shard = id->shard;
	i->id.shards = id->shards;
	span_copy(span_of(id->session_id), i->id.session_id, sizeof(i->id.session_id));
	span_copy(span_of(id->resume_url), i->id.resume_url, sizeof(i->id.resume_url));
	i->id.user_id = id->user_id;
	i->id.application_id = id->application_id;
	i->id.intents = id->intents;
	i->id.seq = id->seq;
	i->session = session_hash(i->id.session_id);
	return i;
}

void
journal_identity(struct journal *j, const struct gw_identity *id)
{
	struct identity	*i = identity_set(j, id);

	replace(j, REC_IDENTITY, &i->id, sizeof(i->id), &i->place);
	jlog_seq(&j->log, id->shard, i->session, id->seq);
}

void
journal_seq(struct journal *j, uint32_t shard, uint64_t seq)
{
	struct identity	*i;

	if ((i = identity_of(j, shard)) == NULL)
		return;
	i->id.seq = seq;
	jlog_seq(&j->log, shard, i->session, seq);
}

void
journal_budget(struct journal *j, const struct gw_budget *b)
{
	memset(&j->budget, 0, sizeof(j->budget));
	j->budget.last_ms = b->last_ms;
	j->budget.day_ms = b->day_ms;
	j->budget.used = b->used;
	replace(j, REC_BUDGET, &j->budget, sizeof(j->budget), &j->budget_place);
}

bool
journal_identity_get(struct journal *j, uint32_t shard, struct gw_identity *id)
{
	struct identity	*i;

	if ((i = identity_of(j, shard)) == NULL)
		return false;
	*id = i->id;
	return true;
}

bool
journal_budget_get(struct journal *j, struct gw_budget *b)
{
	if (j->budget_place == 0)
		return false;
	*b = j->budget;
	return true;
}

static struct child *
child_set(struct journal *j, const struct journal_child *c)
{
	struct child	*k;

	if ((k = child_of(j, c->pid)) == NULL) {
		j->child = mem_grow(j->child, j->child_n + 1, sizeof(*j->child));
		k = &j->child[j->child_n++];
		k->place = 0;
	}
	memset(&k->child, 0, sizeof(k->child));
	k->child.pid = c->pid;
	k->child.starttime = c->starttime;
	k->child.rest = c->rest;
	strlcpy(k->child.tag, c->tag, sizeof(k->child.tag));
	return k;
}

void
journal_child(struct journal *j, const struct journal_child *c)
{
	struct child	*k = child_set(j, c);

	replace(j, REC_CHILD, &k->child, sizeof(k->child), &k->place);
}

static void
child_forget(struct journal *j, struct child *k)
{
	if (k->place != 0) {
		j->live -= home_bytes(j, k->place);
		j->classes[class_of(home_bytes(j, k->place))]--;
		j->home -= home_bytes(j, k->place);
	}
	*k = j->child[--j->child_n];
}

void
journal_child_gone(struct journal *j, pid_t pid)
{
	struct child	*k;
	uint64_t	 id = (uint64_t)pid;

	if ((k = child_of(j, pid)) == NULL)
		return;
	child_forget(j, k);
	must_append(j, REC_CHILD_GONE, &id, sizeof(id), SPAN_NONE, NULL);
}

bool
journal_child_at(struct journal *j, size_t i, struct journal_child *c)
{
	if (i >= j->child_n)
		return false;
	*c = j->child[i].child;
	return true;
}

void
journal_usage(struct journal *j, struct journal_usage *u)
{
	u->bytes = j->log.bytes;
	u->live_bytes = j->live;
	u->records = j->log.records;
	u->wraps = j->log.wraps;
	u->copied = j->copied;
	u->dropped = j->dropped;
	u->tmpfs = j->opened.tmpfs;
	u->opened = &j->opened;
}

bool
journal_tight(struct journal *j)
{
	uint64_t	 cap = capacity(j), letters = j->bytes[DLV_ASIDE], most, own, big;

	/* Dead letters above their share give way. */
	letters = letters > cap / 8 ? letters - cap / 8 : 0;
	big = 3 * largest(j, 0) + SLACK_BYTES(cap);
	most = cap / 4 * 3;
	own = big < cap ? cap - big : 0;
	if (own < most)
		most = own;
	return j->live - letters > most / 4 * 3;
}

/* ---- opening ---- */

/* An increment for a delivery that is not known, while damage is.  Only its id is left: it must not be answered again. */
struct lost {
	uint64_t	*id;
	size_t		 n;
};

static struct delivery *
known(struct journal *j, uint64_t id, struct lost *lost)
{
	struct delivery	*d;

	if ((d = journal_find(j, id)) == NULL && lost != NULL && id != 0) {
		lost->id = mem_grow(lost->id, lost->n + 1, sizeof(*lost->id));
		lost->id[lost->n++] = id;
	}
	return d;
}

/*
 * Take one record into the table.  Nothing is accounted yet.  False: it passed its sum and makes no
 * sense, so this build did not write it.
 */
static bool
replay(struct journal *j, uint64_t off, struct lost *lost)
{
	const struct jlog_rec	*r = jlog_at(&j->log, off);
	struct span		 in = jlog_payload(&j->log, off);
	struct delivery		*d, key;
	struct effect		*e;

	switch ((enum jlog_kind)r->kind) {
	case REC_PAD:
		return true;
	case REC_DLV:
		if (in.n < sizeof(struct dlv_rec))
			return false;
		memcpy(&key.id, in.p, sizeof(key.id));
		if ((d = RB_FIND(dlv_tree, &j->by_id, &key)) != NULL) {
			RB_REMOVE(dlv_tree, &j->by_id, d);
			dlv_clear(d);
			memset(d, 0, sizeof(*d));
		} else
			d = mem_alloc(sizeof(*d));
		if (!dlv_decode(in, d)) {
			dlv_clear(d);
			free(d);
			return false;
		}
		d->place = off;
		RB_INSERT(dlv_tree, &j->by_id, d);
		if (d->order > j->order)
			j->order = d->order;
		return true;
	case REC_GIVEN: {
		struct given_rec	 g;

		if (!take_rec(&in, &g, sizeof(g)) || has_nul(in))
			return false;
		if ((d = known(j, g.id, lost)) != NULL && d->state != DLV_FINISHED) {
			d->state = DLV_GIVEN;
			d->given_ms = g.now_ms;
			d->attempt = (uint8_t)g.attempt;
			span_copy(in, d->worker, sizeof(d->worker));
		}
		return true;
	}
	case REC_RETURNED: {
		struct returned_rec	 b;

		if (!take_rec(&in, &b, sizeof(b)))
			return false;
		if ((d = known(j, b.id, lost)) != NULL && d->state != DLV_FINISHED) {
			d->state = DLV_WAITING;
			d->charges = (uint8_t)b.charges;
			free(d->report);
			d->report = NULL;
		}
		return true;
	}
	case REC_ASKED: {
		struct asked_rec	 a;

		if (!take_rec(&in, &a, sizeof(a)) || in.n > JOURNAL_ROUTE_MAX || has_nul(in))
			return false;
		if ((d = known(j, a.id, lost)) != NULL && effect_find(d, a.ordinal) == NULL &&
		    d->effects_n < PROTO_EFFECTS_MAX)
			effect_add(d, a.ordinal, a.now_ms, in);
		return true;
	}
	case REC_EFFECT: {
		struct done_rec		 f;

		if (!take_rec(&in, &f, sizeof(f)))
			return false;
		if ((d = known(j, f.id, lost)) != NULL && (e = effect_find(d, f.ordinal)) != NULL) {
			e->done = true;
			e->status = f.status;
			e->id = f.object;
		}
		return true;
	}
	case REC_ASIDE: {
		struct aside_rec	 a;

		if (!take_rec(&in, &a, sizeof(a)) || a.aside > ASIDE_TOOBIG || has_nul(in) ||
		    in.n > JOURNAL_REPORT_MAX)
			return false;
		if ((d = known(j, a.id, lost)) != NULL && d->state != DLV_FINISHED) {
			d->state = DLV_ASIDE;
			d->aside = (enum dlv_aside)a.aside;
			d->finished_ms = a.now_ms;
			free(d->report);
			d->report = mem_spandup(in);
		}
		return true;
	}
	case REC_DROPPED:
		if (!take_rec(&in, &key.id, sizeof(key.id)))
			return false;
		if ((d = RB_FIND(dlv_tree, &j->by_id, &key)) != NULL) {
			RB_REMOVE(dlv_tree, &j->by_id, d);
			dlv_clear(d);
			free(d);
		}
		return true;
	case REC_IDENTITY: {
		struct gw_identity	 id;

		if (in.n != sizeof(id) || !take_rec(&in, &id, sizeof(id)))
			return false;
		id.session_id[sizeof(id.session_id) - 1] =
		    id.resume_url[sizeof(id.resume_url) - 1] = '\0';
		identity_set(j, &id)->place = off;
		return true;
	}
	case REC_BUDGET:
		if (in.n != sizeof(j->budget))
			return false;
		memcpy(&j->budget, in.p, sizeof(j->budget));
		j->budget_place = off;
		return true;
	case REC_CHILD: {
		struct journal_child	 c;
		uint8_t			 raw[sizeof(c)];

		if (in.n != sizeof(c))
			return false;
		memcpy(raw, in.p, sizeof(c));
		raw[offsetof(struct journal_child, rest)] =
		    raw[offsetof(struct journal_child, rest)] != 0;
		memcpy(&c, raw, sizeof(c));
		c.tag[sizeof(c.tag) - 1] = '\0';
		child_set(j, &c)->place = off;
		return true;
	}
	case REC_CHILD_GONE: {
		struct child	*k;

		if (!take_rec(&in, &key.id, sizeof(key.id)))
			return false;
		if ((k = child_of(j, (pid_t)key.id)) != NULL)
			*k = j->child[--j->child_n];
		return true;
	}
	}
	return false;
}

static int
by_arrival(const void *va, const void *vb)
{
	const struct delivery *a = *(struct delivery *const *)va,
			      *b = *(struct delivery *const *)vb;

	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	if (a->state >= DLV_ASIDE && a->finished_ms != b->finished_ms)
		return a->finished_ms < b->finished_ms ? -1 : 1;
	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	return dlv_cmp(a, b);
}

static uint64_t
newest_seq(struct journal *j, const struct identity *i)
{
	struct delivery	*d;
	uint64_t	 seq;

	if (jlog_seq_get(&j->log, i->id.shard, i->session, &seq))
		return seq;
	seq = i->id.seq;
	RB_FOREACH(d, dlv_tree, &j->by_id)
		if (d->shard == i->id.shard && d->session == i->session && d->seq > seq)
			seq = d->seq;
	return seq;
}

static void
account_small(struct journal *j, uint64_t place)
{
	uint64_t	 n = home_bytes(j, place);

	j->live += n;
	j->home += n;
	class_add(j, n);
}

/* The table and the books from what the look found.  True when the log can go on as it is. */
static bool
rebuild(struct journal *j, const struct jlog_check *c, uint64_t now_ms)
{
	struct lost	 lost = { NULL, 0 };
	struct delivery	*d, **all;
	bool		 whole = !c->rewrite;
	size_t		 n = 0;

	j->opened.records_n = c->n;
	j->opened.damaged_n = c->damaged_n;
	for (size_t i = 0; i < c->n; i++)
		if (!replay(j, c->v[i].off, c->hole_lsn != 0 ? &lost : NULL)) {
			j->opened.damaged_n++;
			whole = false;
		}
	for (size_t i = 0; i < lost.n; i++)
		if (journal_find(j, lost.id[i]) == NULL) {
			d = mem_alloc(sizeof(*d));
			d->id = lost.id[i];
			d->state = DLV_FINISHED;
			d->received_ms = d->finished_ms = now_ms;
			RB_INSERT(dlv_tree, &j->by_id, d);
		}
	free(lost.id);

	RB_FOREACH(d, dlv_tree, &j->by_id) {
		n++;
		if (d->state > DLV_GIVEN || d->place == 0 ||
		    jlog_at(&j->log, d->place)->lsn > c->hole_lsn)
			continue;
		d->state = DLV_ASIDE;
		d->aside = ASIDE_DOUBT;
		d->finished_ms = now_ms;
		free(d->report);
		d->report = mem_strdup("recorded before damage to the journal");
		j->opened.doubt_n++;
		COUNT(deliveries_doubt);
	}
	all = mem_array(n + 1, sizeof(*all));
	n = 0;
	RB_FOREACH(d, dlv_tree, &j->by_id)
		all[n++] = d;
	if (n > 1)
		qsort(all, n, sizeof(*all), by_arrival);
	for (size_t i = 0; i < n; i++)
		account(j, all[i], false);
	free(all);
	for (size_t i = 0; i < j->identity_n; i++) {
		account_small(j, j->identity[i].place);
		j->identity[i].id.seq = newest_seq(j, &j->identity[i]);
	}
	for (size_t i = 0; i < j->child_n; i++)
		account_small(j, j->child[i].place);
	if (j->budget_place != 0)
		account_small(j, j->budget_place);
	expire(j, now_ms);
	return whole;
}

/* Do all unfinished survivors and the room that they need fit into so many bytes? */
static bool
survivors_fit(struct journal *j, uint64_t bytes)
{
	uint64_t	 cap = bytes - JLOG_HEADER_BYTES;
	uint64_t	 live = j->live - j->bytes[DLV_FINISHED];

	return live + 3 * largest(j, 0) + SLACK_BYTES(cap) <= cap;
}

/* Write all that is live into an empty log and go on there. */
static void
move_to(struct journal *j, struct jlog *to)
{
	struct delivery	*d;
	struct dlv_list	*l;
	uint64_t	 cap = jlog_capacity(to);

	while (j->live + 3 * largest(j, 0) + SLACK_BYTES(cap) > cap ||
	    j->bytes[DLV_FINISHED] > cap / 4) {
		if ((d = TAILQ_FIRST(&j->state[DLV_FINISHED])) == NULL &&
		    (d = TAILQ_FIRST(&j->state[DLV_ASIDE])) == NULL)
			break;
		if (d->state == DLV_ASIDE)
			count_dropped(j, "dead letter", d->pool, d->name, d->id, d->object);
		dlv_forget(j, d);
	}
	jlog_format(to);
	for (size_t i = 0; i < j->identity_n; i++) {
		struct identity	*id = &j->identity[i];

		if (jlog_free_bytes(to) < 2 * jlog_size(sizeof(id->id))) {
			j->identity_n = i;
			break;
		}
		id->place =
		    jlog_append(to, REC_IDENTITY, span_make(&id->id, sizeof(id->id)), SPAN_NONE);
		jlog_seq(to, id->id.shard, id->session, id->id.seq);
	}
	if (j->budget_place != 0)
		j->budget_place = jlog_append(
		    to, REC_BUDGET, span_make(&j->budget, sizeof(j->budget)), SPAN_NONE);
	for (size_t i = 0; i < j->child_n; i++) {
		if (jlog_free_bytes(to) < 2 * jlog_size(sizeof(j->child[i].child))) {
			j->child_n = i;
			break;
		}
		j->child[i].place = jlog_append(to, REC_CHILD,
		    span_make(&j->child[i].child, sizeof(j->child[i].child)), SPAN_NONE);
	}
	/* Whatever is alone in its list may not fit at all; it is then dropped by name. */
	for (int s = DLV_FINISHED; s >= DLV_WAITING; s--) {
		l = &j->state[s];
		for (d = TAILQ_FIRST(l); d != NULL;) {
			struct delivery	*next = TAILQ_NEXT(d, in_state);

			if (jlog_free_bytes(to) < 2 * d->live_bytes) {
				count_dropped(j, "delivery", d->pool, d->name, d->id, d->object);
				dlv_forget(j, d);
			} else
				d->place = copy_forward(j, to, 0, d);
			d = next;
		}
	}
	jlog_fini(&j->log);
	j->log = *to;
	j->home = 0;
	j->live = j->bytes[0] + j->bytes[1] + j->bytes[2] + j->bytes[3];
	for (size_t i = 0; i < j->identity_n; i++)
		j->home += home_bytes(j, j->identity[i].place);
	for (size_t i = 0; i < j->child_n; i++)
		j->home += home_bytes(j, j->child[i].place);
	j->home += home_bytes(j, j->budget_place);
	j->live += j->home;
	RB_FOREACH(d, dlv_tree, &j->by_id)
		j->home += home_bytes(j, d->place);
}

static void
report(struct journal *j)
{
	struct journal_report	*r = &j->opened;

	r->damaged = r->damaged_n > 0;
	r->unfinished_n = j->n[DLV_WAITING] + j->n[DLV_GIVEN];
	r->finished_n = j->n[DLV_FINISHED];
	r->aside_n = j->n[DLV_ASIDE];
	if (r->damaged)
		snprintf(r->text, sizeof(r->text),
		    "the journal is damaged in %" PRIu64 " places: of %" PRIu64
		    " unfinished deliveries %" PRIu64
		    " were recorded before that and are set aside as in doubt; "
		    "what the places held is lost, %" PRIu64 " records are good",
		    r->damaged_n, r->unfinished_n + r->doubt_n, r->doubt_n, r->records_n);
}

static struct journal *
journal_new(void)
{
	struct journal	*j = mem_alloc(sizeof(*j));

	RB_INIT(&j->by_id);
	for (int s = 0; s <= DLV_FINISHED; s++)
		TAILQ_INIT(&j->state[s]);
	TAILQ_INIT(&j->shed);
	TAILQ_INIT(&j->spare);
	return j;
}

void
journal_close(struct journal **jp)
{
	struct journal	*j = *jp;
	struct delivery	*d;

	if (j == NULL)
		return;
	while ((d = RB_MIN(dlv_tree, &j->by_id)) != NULL) {
		RB_REMOVE(dlv_tree, &j->by_id, d);
		dlv_clear(d);
		free(d);
	}
	while ((d = TAILQ_FIRST(&j->spare)) != NULL) {
		TAILQ_REMOVE(&j->spare, d, in_state);
		free(d);
	}
	free(j->identity);
	free(j->child);
	buf_fini(&j->mine);
	buf_fini(&j->copy);
	jlog_fini(&j->log);
	free(j);
	*jp = NULL;
}

/* Read what l holds.  True when j goes on in it. */
static bool
read_log(struct journal *j, struct jlog *l, uint64_t now_ms)
{
	struct jlog_check	 c;
	bool			 whole = false;

	j->log = *l;
	jlog_look(&j->log, &c);
	if (!c.journal)
		j->opened.created = true;
	else
		whole = rebuild(j, &c, now_ms);
	free(c.v);
	return whole;
}

/* A file too short for a record: new, or a journal that was cut inside its header page and lost all it held. */
static void
read_stump(struct journal *j, struct span file)
{
	j->opened.created = true;
	if (jlog_begins(file)) {
		j->opened.damaged = true;
		j->opened.damaged_n = 1;
	}
}

static uint64_t
whole_pages(uint64_t bytes)
{
	bytes &= ~4095ull;
	return bytes < JLOG_BYTES_MIN ? JLOG_BYTES_MIN : bytes;
}

/* Bytes of the file that replaces j's: never too small for what is unfinished. */
static uint64_t
new_bytes(struct journal *j, uint64_t bytes)
{
	return survivors_fit(j, bytes) || j->log.bytes < bytes ? bytes : whole_pages(j->log.bytes);
}

struct journal *
journal_open_image(void *image, uint64_t image_bytes, uint64_t bytes, uint64_t now_ms,
    struct journal_report *report_r)
{
	struct journal	*j = journal_new();
	struct jlog	 l = { .base = image, .bytes = image_bytes & ~7ull, .hold = JLOG_BORROWED };
	bool		 whole = false;

	bytes = whole_pages(bytes);
	if (l.bytes > JLOG_HEADER_BYTES)
		whole = read_log(j, &l, now_ms);
	else
		read_stump(j, span_make(image, image_bytes));
	if (whole && l.bytes != bytes) {
		whole = !survivors_fit(j, bytes);
		j->opened.created = !whole;
	}
	if (whole)
		jlog_resume(&j->log);
	else {
		struct jlog	 to = { .hold = JLOG_HEAP };

		to.bytes = new_bytes(j, bytes);
		to.base = mem_alloc(to.bytes);
		move_to(j, &to);
	}
	j->opened.tmpfs = true;
	report(j);
	*report_r = j->opened;
	return j;
}

struct jlog *
journal_log(struct journal *j)
{
	return &j->log;
}

/* Map fd whole; every page is there before, so that a full tmpfs is an error now and no SIGBUS later. */
static int
map(int fd, uint64_t bytes, struct jlog *l, const char **why_r)
{
	int	 e;

	do
		e = posix_fallocate(fd, 0, (off_t)bytes);
	while (e == EINTR);
	if (e != 0) {
		errno = e;
		*why_r = "no room for the journal";
		return -1;
	}
	memset(l, 0, sizeof(*l));
	l->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (l->base == MAP_FAILED) {
		*why_r = "the journal cannot be mapped";
		return -1;
	}
	l->bytes = bytes;
	l->hold = JLOG_MAPPED;
	return 0;
}

struct journal *
journal_open(const char *path, uint64_t bytes, uint64_t now_ms, struct journal_report *report_r,
    const char **why_r)
{
	struct journal	*j = journal_new();
	struct jlog	 l;
	struct stat	 st;
	struct statfs	 fs;
	char		*temp = NULL;
	int		 fd = -1, new_fd = -1;
	bool		 whole = false;

	bytes = whole_pages(bytes);
	*why_r = "the journal cannot be opened";
	if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
		goto bad;
	if (fstat(fd, &st) != 0)
		goto bad;
	if (!S_ISREG(st.st_mode)) {
		*why_r = "the journal's path is no regular file";
		errno = EINVAL;
		goto bad;
	}
	if ((st.st_mode & 0777) != 0600 && fchmod(fd, 0600) != 0)
		goto bad;
	j->opened.tmpfs = fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == TMPFS_MAGIC;
	if ((st.st_size & ~7ll) > JLOG_HEADER_BYTES) {
		/* The whole file is made sure of, the rest of a last page included. */
		if (map(fd, (uint64_t)st.st_size, &l, why_r) != 0)
			goto bad;
		if (l.bytes % 8 != 0) {
			munmap(l.base, l.bytes);
			if (ftruncate(fd, (off_t)(l.bytes & ~7ull)) != 0 ||
			    map(fd, l.bytes & ~7ull, &l, why_r) != 0)
				goto bad;
		}
		whole = read_log(j, &l, now_ms);
	} else {
		char	 start[8];
		ssize_t	 n = pread(fd, start, sizeof(start), 0);

		read_stump(j, span_make(start, n > 0 ? (size_t)n : 0));
	}
	if (whole && l.bytes != bytes) {
		whole = !survivors_fit(j, bytes);
		j->opened.created = !whole;
		if (whole)
			log_warnx("the journal keeps its size of %" PRIu64
				  " bytes: what is unfinished does not fit into %" PRIu64,
			    l.bytes, bytes);
	}
	if (whole)
		jlog_resume(&j->log);
	else {
		/* Another file takes its place at once, so that a kill leaves either the one or the other. */
		temp = mem_printf("%s.new", path);
		*why_r = "the journal cannot be written";
		if (unlink(temp) != 0 && errno != ENOENT)
			goto bad;
		if ((new_fd = open(
			 temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0 ||
		    map(new_fd, new_bytes(j, bytes), &l, why_r) != 0)
			goto bad;
		move_to(j, &l);
		*why_r = "the journal cannot be written";
		if (rename(temp, path) != 0)
			goto bad;
		close(new_fd);
	}
	close(fd);
	free(temp);
	report(j);
	*report_r = j->opened;
	return j;
bad:
	memset(report_r, 0, sizeof(*report_r));
	if (new_fd >= 0)
		close(new_fd);
	if (temp != NULL && new_fd >= 0)
		unlink(temp);
	free(temp);
	if (fd >= 0)
		close(fd);
	journal_close(&j);
	return NULL;
}
