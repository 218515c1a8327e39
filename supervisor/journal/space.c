/*
 * space - what is live, whether more fits, and the copying that makes room.  See state.h.
 *
 * live is the sum of all that a copy of every live thing can take, home what their records take
 * now.  A lap of the tail round the ring frees everything else, so there is room for n more bytes
 * exactly when live + n and three of the largest record fit: one is lost at the end of the ring,
 * one is the copy under way, one may be lost by it.  On each step the tail needs the room by which
 * copies may outgrow their records (live - home) and two of the largest; step() keeps that, so
 * copying cannot get stuck.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "supervisor/journal/state.h"

/* ---- the books ---- */

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

uint64_t
space_largest(struct journal *j, uint64_t n)
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

uint64_t
space_home_bytes(const struct journal *j, uint64_t place)
{
	return place == 0 ? 0 : jlog_size(jlog_at(&j->log, place)->bytes);
}

/* d is no longer, or not yet, among what is live; then space_account() again. */
void
space_unaccount(struct journal *j, struct delivery *d)
{
	if (d->live_bytes == 0)
		return;
	j->classes[class_of(d->live_bytes)]--;
	j->live -= d->live_bytes;
	j->bytes[d->state] -= d->live_bytes;
	j->n[d->state]--;
	j->home -= d->home_bytes;
	d->live_bytes = 0;
	TAILQ_REMOVE(&j->state[d->state], d, in_state);
	if (d->shed && d->state == DLV_WAITING)
		TAILQ_REMOVE(&j->shed, d, in_shed);
}

void
space_account(struct journal *j, struct delivery *d, bool first)
{
	assert(d->live_bytes == 0);
	/* Never below home, so that live - home is no less than what copies outgrow. */
	d->live_bytes = dlv_bytes(d);
	if (d->live_bytes < d->home_bytes)
		d->live_bytes = d->home_bytes;
	class_add(j, d->live_bytes);
	j->live += d->live_bytes;
	j->bytes[d->state] += d->live_bytes;
	j->n[d->state]++;
	j->home += d->home_bytes;
	if (first)
		TAILQ_INSERT_HEAD(&j->state[d->state], d, in_state);
	else
		TAILQ_INSERT_TAIL(&j->state[d->state], d, in_state);
	if (d->shed && d->state == DLV_WAITING)
		TAILQ_INSERT_TAIL(&j->shed, d, in_shed);
}

/* ---- the ring ---- */

/* Where the place of the live thing is kept whose record is at off; NULL when it is dead. */
static uint64_t *
live_at(struct journal *j, uint64_t off, struct delivery **d_r)
{
	const struct jlog_rec	*r = jlog_at(&j->log, off);
	struct channel		*c;
	uint64_t		 id;

	*d_r = NULL;
	switch ((enum jlog_kind)r->kind) {
	case REC_DLV:
		memcpy(&id, r + 1, sizeof(id));
		*d_r = dlv_find(j, id);
		return *d_r != NULL && (*d_r)->place == off ? &(*d_r)->place : NULL;
	case REC_IDENTITY:
		for (size_t i = 0; i < j->identity_n; i++)
			if (j->identity[i].place == off)
				return &j->identity[i].place;
		return NULL;
	case REC_BUDGET:
		return j->budget_place == off ? &j->budget_place : NULL;
	case REC_PRESENCE:
		return j->presence_place == off ? &j->presence_place : NULL;
	case REC_GAP:
		return j->gap_place == off ? &j->gap_place : NULL;
	case REC_CHANNEL:
		memcpy(&id, r + 1, sizeof(id));
		c = channel_find(j, id);
		return c != NULL && c->place == off ? &c->place : NULL;
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
uint64_t
space_copy(struct journal *j, struct jlog *to, uint64_t off, const struct delivery *d)
{
	struct channel	*c;
	uint64_t	 id;

	if (d != NULL) {
		dlv_encode(d, &j->copy);
		return jlog_append(to, REC_DLV, buf_span(&j->copy), journal_body(j, d));
	}
	if (jlog_at(&j->log, off)->kind == REC_CHANNEL) {
		memcpy(&id, jlog_payload(&j->log, off).p, sizeof(id));
		c = channel_find(j, id);
		return jlog_append(to, REC_CHANNEL, span_make(&c->is, sizeof(c->is)), SPAN_NONE);
	}
	return jlog_append(
	    to, (enum jlog_kind)jlog_at(&j->log, off)->kind, jlog_payload(&j->log, off), SPAN_NONE);
}

/* One record off the tail. */
static void
step(struct journal *j)
{
	uint64_t	 off = j->log.tail, before, after, *place;
	struct delivery	*d;

	if ((place = live_at(j, off, &d)) != NULL) {
		before = space_home_bytes(j, off);
		*place = space_copy(j, &j->log, off, d);
		after = space_home_bytes(j, *place);
		j->home = j->home - before + after;
		if (d != NULL)
			d->home_bytes = after;
		j->copied++;
		COUNT(journal_copied);
	}
	jlog_advance(&j->log);
}

uint64_t
space_capacity(const struct journal *j)
{
	return jlog_capacity(&j->log);
}

/* Would n more bytes, growth bytes of live things and slack fit? */
bool
space_fits(struct journal *j, uint64_t n, uint64_t growth, uint64_t slack)
{
	return j->live + growth + n + slack + 3 * space_largest(j, n) <= space_capacity(j);
}

/*
 * Make room for a record of n bytes (jlog_size).  growth: by how much live things become larger
 * with it, over n if the record is to be live itself.  False: nothing happened.
 */
bool
space_room(struct journal *j, uint64_t n, uint64_t growth, uint64_t slack)
{
	uint64_t	 big;

	if (!space_fits(j, n, growth, slack))
		return false;
	big = space_largest(j, n);
	while (
	    jlog_free_bytes(&j->log) < n + j->live + growth - j->home + 2 * big && j->log.used > 0)
		step(j);
	if (j->log.wraps > j->wraps_seen) {
		count_add(COUNT_journal_wraps, j->log.wraps - j->wraps_seen);
		j->wraps_seen = j->log.wraps;
	}
	return true;
}

void
space_write_dropped(struct journal *j, uint64_t id)
{
	if (space_room(j, jlog_size(sizeof(id)), 0, 0))
		jlog_append(&j->log, REC_DROPPED, span_make(&id, sizeof(id)), SPAN_NONE);
}

void
space_count_dropped(struct journal *j, const char *what, const char *pool, const char *name,
    uint64_t id, uint64_t object)
{
	j->dropped++;
	COUNT(events_dropped);
	log_warnx("journal full: %s dropped pool=%s event=%s delivery=%016" PRIx64
		  " object=%" PRIu64,
	    what, pool, name, id, object);
}

/*
 * Forget what is over.  Writing down what only it knew may take room, which may have cost this one
 * already.
 */
void
space_let_go(struct journal *j, struct delivery *d)
{
	uint64_t	 id = d->id;

	channels_keep(j, d);
	if (dlv_find(j, id) == d)
		dlv_forget(j, d);
}

/* Drop a delivery at the bound. */
void
space_drop(struct journal *j, struct delivery *d, const char *what)
{
	uint64_t	 id = d->id;

	space_count_dropped(j, what, d->pool, d->name, id, d->object);
	if (d->state == DLV_WAITING && j->on_drop != NULL)
		j->on_drop(d, j->drop_arg);
	space_let_go(j, d);
	space_write_dropped(j, id);
}

/*
 * Room for what must be written whatever happens.  The slack of events and asked makes it sure;
 * should the books be wrong after all, memory of the past goes first.
 */
bool
space_must_room(struct journal *j, uint64_t n, const struct delivery *keep)
{
	struct delivery	*d;

	while (!space_room(j, n, 0, 0)) {
		if ((d = TAILQ_FIRST(&j->state[DLV_FINISHED])) != NULL)
			dlv_forget(j, d);
		else if ((d = TAILQ_FIRST(&j->state[DLV_ASIDE])) != NULL && d != keep) {
			space_count_dropped(j, "dead letter", d->pool, d->name, d->id, d->object);
			dlv_forget(j, d);
		} else {
			log_warnx(
			    "journal full: a record could not be written live=%" PRIu64, j->live);
			return false;
		}
	}
	return true;
}

void
space_must_append(struct journal *j, enum jlog_kind kind, const void *rec, size_t rec_n,
    struct span more, const struct delivery *keep)
{
	if (space_must_room(j, jlog_size(rec_n + more.n), keep))
		jlog_append(&j->log, kind, span_make(rec, rec_n), more);
}

/* What is finished and too much. */
void
space_expire(struct journal *j)
{
	struct delivery	*d;

	while ((d = TAILQ_FIRST(&j->state[DLV_FINISHED])) != NULL &&
	    (j->n[DLV_FINISHED] > JOURNAL_FINISHED_MAX ||
		j->bytes[DLV_FINISHED] > space_capacity(j) / 4))
		space_let_go(j, d);
}

bool
space_under_way(const struct journal *j)
{
	return j->n[DLV_WAITING] + j->n[DLV_GIVEN] > 0;
}

/* A small live record takes the place of the one at *place. */
void
space_replace(struct journal *j, enum jlog_kind kind, const void *rec, size_t rec_n,
    uint64_t *place)
{
	uint64_t	 n = jlog_size(rec_n);

	if (!space_must_room(j, n, NULL))
		return;
	if (*place != 0)
		space_small_gone(j, *place);
	*place = jlog_append(&j->log, kind, span_make(rec, rec_n), SPAN_NONE);
	space_small_add(j, *place);
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
	u->channels = j->channels.n;
	u->channels_forgotten = j->channels.forgotten;
	u->tmpfs = j->opened.tmpfs;
	u->opened = &j->opened;
}

bool
journal_tight(struct journal *j)
{
	uint64_t	 cap = space_capacity(j), letters = j->bytes[DLV_ASIDE], most, own, big;

	if (!space_under_way(j))
		return false;
	/* Dead letters above their share give way. */
	letters = letters > cap / 8 ? letters - cap / 8 : 0;
	big = 3 * space_largest(j, 0) + SLACK_BYTES(cap);
	most = cap / 4 * 3;
	own = big < cap ? cap - big : 0;
	if (own < most)
		most = own;
	return j->live - letters > most / 4 * 3;
}

/* What is live besides deliveries: it is copied as it lies. */
void
space_small_add(struct journal *j, uint64_t place)
{
	uint64_t	 n = space_home_bytes(j, place);

	j->live += n;
	j->home += n;
	class_add(j, n);
}

void
space_small_gone(struct journal *j, uint64_t place)
{
	uint64_t	 n = space_home_bytes(j, place);

	j->live -= n;
	j->classes[class_of(n)]--;
	j->home -= n;
}
