/*
 * channels - the last message of each channel, and the gap that a lost session left.
 *
 * A record per event would cost as much as the event, so there is none: while the delivery of a
 * channel's newest message is in the journal, it says itself what the newest one is.  A channel's
 * record is written when the channel is first seen, when that delivery is let go, and afresh
 * whenever it is copied forward.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisor/journal/state.h"

#define CHAIN_BITS	13
#define ORDER_MAX	(UINT64_MAX / 2)

struct gap_rec {
	uint64_t	 from_ms, lost_ms, live_ms, done_ms, order;
	struct gap_counts counts;
	uint32_t	 due, rows_n;
};

static struct channel **
chain_of(struct journal *j, uint64_t id)
{
	return &j->channels.chain[id * 0x9e3779b97f4a7c15ull >> (64 - CHAIN_BITS)];
}

struct channel *
channel_find(struct journal *j, uint64_t id)
{
	struct channel	*c = *chain_of(j, id);

	while (c != NULL && c->is.id != id)
		c = c->next;
	return c;
}

void
channels_init(struct journal *j)
{
	j->channels.slot = mem_array(JOURNAL_CHANNELS_MAX, sizeof(*j->channels.slot));
	j->channels.chain = mem_array(1u << CHAIN_BITS, sizeof(*j->channels.chain));
	TAILQ_INIT(&j->channels.by_age);
	TAILQ_INIT(&j->channels.spare);
}

void
channels_fini(struct journal *j)
{
	free(j->channels.slot);
	free(j->channels.chain);
}

/* A sixteenth of a journal at most. */
static size_t
channels_max(uint64_t capacity)
{
	uint64_t	 n = capacity / 16 / jlog_size(sizeof(struct journal_channel));

	return n < JOURNAL_CHANNELS_MAX ? (size_t)n : JOURNAL_CHANNELS_MAX;
}

static void
channel_remove(struct journal *j, struct channel *c)
{
	struct channel	**at = chain_of(j, c->is.id);

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	TAILQ_REMOVE(&j->channels.by_age, c, in_age);
	TAILQ_INSERT_HEAD(&j->channels.spare, c, in_age);
	j->channels.n--;
	/* Deliveries may still name it: they are told by newest. */
	c->newest = NULL;
	c->is.id = 0;
}

static struct channel *
channel_add(struct journal *j, uint64_t id)
{
	struct channel	*c, **chain = chain_of(j, id);

	if ((c = TAILQ_FIRST(&j->channels.spare)) != NULL)
		TAILQ_REMOVE(&j->channels.spare, c, in_age);
	else
		c = &j->channels.slot[j->channels.used++];
	memset(c, 0, sizeof(*c));
	c->is.id = id;
	c->next = *chain;
	*chain = c;
	TAILQ_INSERT_HEAD(&j->channels.by_age, c, in_age);
	j->channels.n++;
	return c;
}

static void
channel_write(struct journal *j, struct channel *c)
{
	c->stale = false;
	space_replace(j, REC_CHANNEL, &c->is, sizeof(c->is), &c->place);
}

/* The least recently active one goes. */
static void
make_way(struct journal *j)
{
	struct channel	*c = TAILQ_LAST(&j->channels.by_age, channel_list);
	uint64_t	 id = c->is.id;

	if (c->place != 0)
		space_small_gone(j, c->place);
	channel_remove(j, c);
	j->channels.forgotten++;
	space_must_append(j, REC_CHANNEL_GONE, &id, sizeof(id), SPAN_NONE, NULL);
}

void
channels_said(struct journal *j, const struct journal_event *ev, struct delivery *d,
    uint64_t now_ms)
{
	struct channel	*c;
	bool		 write = false;

	if ((c = channel_find(j, ev->key)) == NULL) {
		if (j->channels.n >= channels_max(space_capacity(j)))
			make_way(j);
		c = channel_add(j, ev->key);
		write = true;
	} else if (TAILQ_FIRST(&j->channels.by_age) != c) {
		TAILQ_REMOVE(&j->channels.by_age, c, in_age);
		TAILQ_INSERT_HEAD(&j->channels.by_age, c, in_age);
	}
	/* What only the asker sees comes without its guild: a channel that has one keeps it. */
	if (ev->guild != 0 && c->is.guild != ev->guild) {
		c->is.guild = ev->guild;
		write = true;
	}
	c->is.last_ms = now_ms;
	d->channel = c;
	if (ev->object >= c->is.last) {
		c->is.last = ev->object;
		c->newest = d;
	}
	if (write)
		channel_write(j, c);
}

void
channels_keep(struct journal *j, struct delivery *d)
{
	struct channel	*c = d->channel;

	if (c == NULL || c->newest != d)
		return;
	c->newest = NULL;
	if (j->reading)
		c->stale = true;
	else
		channel_write(j, c);
}

size_t
journal_channels(struct journal *j, struct journal_channel *v, size_t max)
{
	const struct channel	*c;
	size_t			 n = 0;

	TAILQ_FOREACH(c, &j->channels.by_age, in_age) {
		if (n == max)
			break;
		v[n++] = c->is;
	}
	return n;
}

/* ---- the gap ---- */

/* Members that stand in a record as they are in a gap. */
#define GAP_PLAIN(X)									\
	X(from_ms) X(lost_ms) X(live_ms) X(done_ms) X(order) X(counts) X(due)

static void
gap_encode(const struct journal_gap *g, struct buf *out)
{
	struct gap_rec	 r;

	memset(&r, 0, sizeof(r));
#define X(member)	r.member = g->member;
	GAP_PLAIN(X)
#undef X
	r.rows_n = (uint32_t)g->rows_n;
	buf_reset(out);
	buf_add(out, &r, sizeof(r));
	buf_add(out, g->rows, g->rows_n * sizeof(g->rows[0]));
}

size_t
journal_gap_rows(struct journal *j)
{
	uint64_t	 n = space_capacity(j) / 64 / sizeof(struct journal_gap_row);

	return n < JOURNAL_GAP_ROWS ? (size_t)n : JOURNAL_GAP_ROWS;
}

void
journal_gap_open(struct journal *j, struct journal_gap *g)
{
	g->order = j->order + 1;
	j->order += JOURNAL_GAP_ORDERS;
	j->gap_next = g->order;
	journal_gap_put(j, g);
}

void
journal_gap_put(struct journal *j, const struct journal_gap *g)
{
	struct span	 text;

	j->gap = *g;
	gap_encode(g, &j->mine);
	text = buf_span(&j->mine);
	space_replace(j, REC_GAP, text.p, text.n, &j->gap_place);
}

bool
journal_gap_get(struct journal *j, struct journal_gap *g)
{
	if (j->gap_place == 0)
		return false;
	*g = j->gap;
	return true;
}

uint64_t
journal_gap_order(struct journal *j)
{
	uint64_t	 end = j->gap.order + JOURNAL_GAP_ORDERS;

	/* More than were asked for cannot come; all the same they stay ahead of what is live. */
	return j->gap_next < end ? j->gap_next : end - 1;
}

/* ---- reading ---- */

bool
channels_replay(struct journal *j, enum jlog_kind kind, struct span in, uint64_t off)
{
	struct journal_channel	 is;
	struct journal_gap	*g = &j->gap;
	struct channel		*c;
	struct gap_rec		 r;
	uint64_t		 id;

	switch (kind) {
	case REC_CHANNEL:
		if (in.n != sizeof(is) || !rec_take(&in, &is, sizeof(is)) || is.id == 0)
			return false;
		if ((c = channel_find(j, is.id)) == NULL) {
			if (j->channels.n >= JOURNAL_CHANNELS_MAX)
				channel_remove(j, TAILQ_LAST(&j->channels.by_age, channel_list));
			c = channel_add(j, is.id);
		}
		c->is = is;
		c->place = off;
		return true;
	case REC_CHANNEL_GONE:
		if (in.n != sizeof(id) || !rec_take(&in, &id, sizeof(id)))
			return false;
		if ((c = channel_find(j, id)) != NULL)
			channel_remove(j, c);
		return true;
	default:
		if (!rec_take(&in, &r, sizeof(r)) || r.rows_n > JOURNAL_GAP_ROWS ||
		    r.order > ORDER_MAX || in.n != r.rows_n * sizeof(g->rows[0]))
			return false;
		memset(g, 0, sizeof(*g));
#define X(member)	g->member = r.member;
		GAP_PLAIN(X)
#undef X
		g->rows_n = r.rows_n;
		if (in.n > 0)
			memcpy(g->rows, in.p, in.n);
		j->gap_place = off;
		return true;
	}
}

static int
by_activity(const void *va, const void *vb)
{
	const struct channel *a = *(struct channel *const *)va, *b = *(struct channel *const *)vb;

	if (a->is.last_ms != b->is.last_ms)
		return a->is.last_ms < b->is.last_ms ? -1 : 1;
	return a->is.id < b->is.id ? -1 : a->is.id > b->is.id;
}

void
channels_rebuilt(struct journal *j)
{
	struct channel	**all, *c;
	struct delivery	*d;
	size_t		 n = 0;
	uint64_t	 gap_end = j->gap.order + JOURNAL_GAP_ORDERS;

	j->gap_next = j->gap.order;
	EACH_DELIVERY(j, d) {
		if (j->gap_place != 0 && d->order >= j->gap_next && d->order < gap_end)
			j->gap_next = d->order + 1;
		if (d->place == 0 || strcmp(d->name, "MESSAGE_CREATE") != 0 ||
		    (c = channel_find(j, d->key)) == NULL)
			continue;
		d->channel = c;
		if (d->object >= c->is.last) {
			c->is.last = d->object;
			c->newest = d;
		}
		if (d->received_ms > c->is.last_ms)
			c->is.last_ms = d->received_ms;
	}
	if (j->gap_place != 0) {
		space_small_add(j, j->gap_place);
		if (j->order + 1 < gap_end)
			j->order = gap_end - 1;
	}
	all = mem_array(j->channels.n + 1, sizeof(*all));
	while ((c = TAILQ_FIRST(&j->channels.by_age)) != NULL) {
		TAILQ_REMOVE(&j->channels.by_age, c, in_age);
		all[n++] = c;
		space_small_add(j, c->place);
	}
	if (n > 1)
		qsort(all, n, sizeof(*all), by_activity);
	for (size_t i = 0; i < n; i++)
		TAILQ_INSERT_HEAD(&j->channels.by_age, all[i], in_age);
	free(all);
}

void
channels_move(struct journal *j, struct jlog *to)
{
	struct channel	*c;
	size_t		 max = channels_max(jlog_capacity(to));
	struct span	 text;

	/* From the newest, and what does not fit is forgotten. */
	while (j->channels.n > max) {
		channel_remove(j, TAILQ_LAST(&j->channels.by_age, channel_list));
		j->channels.forgotten++;
	}
	TAILQ_FOREACH(c, &j->channels.by_age, in_age)
		c->place = jlog_append(
		    to, REC_CHANNEL, span_make(&c->is, sizeof(c->is)), SPAN_NONE);
	if (j->gap_place != 0) {
		gap_encode(&j->gap, &j->mine);
		text = buf_span(&j->mine);
		j->gap_place = text.n > jlog_capacity(to) / 16 ? 0 :
		    jlog_append(to, REC_GAP, text, SPAN_NONE);
	}
}

void
channels_settle(struct journal *j)
{
	struct channel	*c;

	TAILQ_FOREACH(c, &j->channels.by_age, in_age)
		if (c->stale)
			channel_write(j, c);
}

uint64_t
channels_home_bytes(const struct journal *j)
{
	const struct channel	*c;
	uint64_t		 n = space_home_bytes(j, j->gap_place);

	TAILQ_FOREACH(c, &j->channels.by_age, in_age)
		n += space_home_bytes(j, c->place);
	return n;
}
