/*
 * limitstate - what a limiter knows, as bytes for the process that takes over.
 *
 * A part is a header and records: one letter, then numbers of fixed widths, the most significant
 * byte first.  The letter alone says how long a record is.
 *
 *	'L' 'S' version:2			header; begins each part
 *	'R' route:8 id:8			what a route's hash is
 *	'B' id:8 major:8 flags:1 limit:4 remaining:4 in_flight:4 reset_us:8 used_us:8 period_ms:4
 *	'W' counted_us:8			a request inside the global limit
 *	'H' locked:1 global_us:8 all_us:8 last_sent_us:8
 *	'I' slot:8 n:4				invalid requests of one slot of ten seconds
 */
#include "worker/rest/limittab.h"

#define VERSION		1
#define WINDOW_TOLD_MAX	600	/* of the newest; more in a second is no limit of Discord's */
#define ROUTES_TOLD_MAX	512
#define FLAG_KNOWN	1u
#define FLAG_UNLIMITED	2u
#define FLAGS		(FLAG_KNOWN | FLAG_UNLIMITED)
#define IN_FLIGHT_MS	1000	/* until an answer to the first request of a bucket is back */
/* Times that a state may name: a limit lasts a day at most, and travels add to it. */
#define AHEAD_MAX_MS	((uint64_t)(2 * LIMIT_WAIT_MAX_S) * 1000)

/* Bytes after the letter; 0: no such record. */
static size_t
record_bytes(char letter)
{
	switch (letter) {
	case 'L':
		return 3;
	case 'R':
		return 16;
	case 'B':
		return 49;
	case 'W':
		return 8;
	case 'H':
		return 25;
	case 'I':
		return 12;
	default:
		return 0;
	}
}

/* ---- numbers ---- */

static void
put(struct buf *b, uint64_t v, unsigned bytes)
{
	char	*p = buf_room(b, bytes);

	for (unsigned i = 0; i < bytes; i++)
		p[i] = (char)(v >> 8 * (bytes - 1 - i));
	buf_added(b, bytes);
}

static uint64_t
take(struct span *s, unsigned bytes)
{
	uint64_t	 v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | (unsigned char)s->p[i];
	s->p += bytes;
	s->n -= bytes;
	return v;
}

/* ---- telling ---- */

static void
put_header(struct buf *b)
{
	buf_add(b, "LS", 2);
	put(b, VERSION, 2);
}

static void
put_route(struct buf *b, const struct learnt *k)
{
	put(b, 'R', 1);
	put(b, k->route, 8);
	put(b, k->id, 8);
}

static void
put_bucket(struct buf *b, const struct bucket *k)
{
	put(b, 'B', 1);
	put(b, k->id, 8);
	put(b, k->major, 8);
	put(b, (k->known ? FLAG_KNOWN : 0) | (k->unlimited ? FLAG_UNLIMITED : 0), 1);
	put(b, k->limit, 4);
	put(b, k->remaining, 4);
	put(b, k->in_flight, 4);
	put(b, k->reset.us, 8);
	put(b, k->used.us, 8);
	put(b, k->period_ms, 4);
}

static void
put_counted(struct buf *b, struct mono at)
{
	put(b, 'W', 1);
	put(b, at.us, 8);
}

static void
put_holds(struct buf *b, const struct limit *l)
{
	put(b, 'H', 1);
	put(b, l->locked, 1);
	put(b, l->global_until.us, 8);
	put(b, l->all_until.us, 8);
	put(b, l->last_sent.us, 8);
}

static void
put_invalid(struct buf *b, const struct limit *l, uint64_t slot)
{
	put(b, 'I', 1);
	put(b, slot, 8);
	put(b, l->invalid[slot % INVALID_SLOTS], 4);
}

/* The newest n of the window, oldest first. */
static void
put_window(struct buf *b, const struct limit *l, uint32_t n)
{
	uint32_t	 at;

	if (n > WINDOW_TOLD_MAX)
		n = WINDOW_TOLD_MAX;
	if (n > l->window_n)
		n = l->window_n;
	at = (l->window_at + l->window_n - n) % l->window_n;
	for (; n > 0; n--, at = (at + 1) % l->window_n)
		if (!mono_is_never(l->window[at]))
			put_counted(b, l->window[at]);
}

static void
no_news(struct limit *l)
{
	struct bucket	*b;
	struct learnt	*k;

	while ((b = TAILQ_FIRST(&l->bucket_news)) != NULL) {
		TAILQ_REMOVE(&l->bucket_news, b, news);
		b->changed = false;
	}
	while ((k = TAILQ_FIRST(&l->route_news)) != NULL) {
		TAILQ_REMOVE(&l->route_news, k, news);
		k->changed = false;
	}
	l->window_news = 0;
	l->holds_news = l->invalid_news = false;
}

/* Whatever happens, happens to a bucket. */
bool
limit_has_news(const struct limit *l)
{
	return !TAILQ_EMPTY(&l->bucket_news);
}

void
limit_tell(struct limit *l, struct buf *out)
{
	const struct bucket	*b;
	const struct learnt	*k;

	put_header(out);
	TAILQ_FOREACH(k, &l->route_news, news)
		put_route(out, k);
	TAILQ_FOREACH(b, &l->bucket_news, news)
		put_bucket(out, b);
	put_window(out, l, l->window_news);
	if (l->holds_news)
		put_holds(out, l);
	if (l->invalid_news)
		put_invalid(out, l, l->invalid_slot);
	no_news(l);
}

static uint32_t
counted_lately(const struct limit *l, struct mono now)
{
	uint32_t	 n = 0, at = l->window_at;

	while (n < l->window_n && n < WINDOW_TOLD_MAX) {
		at = (at + l->window_n - 1) % l->window_n;
		if (mono_is_never(l->window[at]) ||
		    !mono_before(now, mono_add_ms(l->window[at], 1000)))
			break;
		n++;
	}
	return n;
}

void
limit_tell_all(struct limit *l, struct buf *out, struct mono now)
{
	const struct learnt	*k = TAILQ_LAST(&l->route_use, learnt_list), *older;
	const struct bucket	*b = TAILQ_LAST(&l->bucket_use, bucket_list), *before;
	size_t			 room;

	limit_invalid_advance(l, now);
	put_header(out);
	put_holds(out, l);
	for (uint64_t n = 0; n < INVALID_SLOTS && n <= l->invalid_slot; n++)
		if (l->invalid[(l->invalid_slot - n) % INVALID_SLOTS] > 0)
			put_invalid(out, l, l->invalid_slot - n);
	put_window(out, l, counted_lately(l, now));
	for (size_t n = 1; k != NULL && n < ROUTES_TOLD_MAX; n++, k = older)
		if ((older = TAILQ_PREV(k, learnt_list, by_use)) == NULL)
			break;
	for (; k != NULL; k = TAILQ_NEXT(k, by_use))
		put_route(out, k);
	room = (LIMIT_STATE_ALL_MAX - out->n) / (1 + record_bytes('B'));
	for (size_t n = 1; b != NULL && n < room; n++, b = before)
		if ((before = TAILQ_PREV(b, bucket_list, by_use)) == NULL)
			break;
	for (; b != NULL; b = TAILQ_NEXT(b, by_use))
		put_bucket(out, b);
	no_news(l);
}

/* ---- hearing ---- */

static bool
is_far(uint64_t us, struct mono now)
{
	return us > mono_add_ms(now, AHEAD_MAX_MS).us;
}

/* NULL, or what is wrong with the numbers of one record. */
static const char *
check_record(char letter, struct span s, struct mono now)
{
	uint64_t	 flags;

	switch (letter) {
	case 'L':
		if (take(&s, 1) != 'S')
			return "a header that is none";
		return take(&s, 2) == VERSION ? NULL : "another version";
	case 'B':
		(void)take(&s, 8);
		(void)take(&s, 8);
		flags = take(&s, 1);
		if ((flags & ~(uint64_t)FLAGS) != 0 || flags == FLAGS)
			return "a bucket with odd flags";
		if (take(&s, 4) == 0 && (flags & FLAG_KNOWN) != 0)
			return "a bucket with limit 0";
		(void)take(&s, 8);
		for (int i = 0; i < 2; i++)
			if (is_far(take(&s, 8), now))
				return "a time that is too far ahead";
		return NULL;
	case 'W':
		return is_far(take(&s, 8), now) ? "a time that is too far ahead" : NULL;
	case 'H':
		if (take(&s, 1) > 1)
			return "a lock that is neither on nor off";
		for (int i = 0; i < 3; i++)
			if (is_far(take(&s, 8), now))
				return "a time that is too far ahead";
		return NULL;
	case 'I':
		return take(&s, 8) > now.us / 1000 / INVALID_SLOT_MS ?
		    "a slot that is to come" : NULL;
	default:
		return NULL;
	}
}

static const char *
check(struct span s, struct mono now)
{
	const char	*why;
	size_t		 n;

	if (s.n == 0 || s.p[0] != 'L')
		return "no header";
	while (s.n > 0) {
		n = record_bytes(s.p[0]);
		if (n == 0)
			return "a record of no known kind";
		if (s.n < 1 + n)
			return "a record that is cut short";
		if ((why = check_record(s.p[0], span_make(s.p + 1, n), now)) != NULL)
			return why;
		s.p += 1 + n;
		s.n -= 1 + n;
	}
	return NULL;
}

/*
 * Requests in flight are taken as counted.  When the window they belong to has no end yet, because
 * the one before is over and their answers would name it, it is taken to have begun with the last
 * of them.
 */
static void
count_in_flight(struct bucket *b, uint32_t in_flight, struct mono now)
{
	if (in_flight == 0 || b->unlimited)
		return;
	if (!b->known) {
		b->known = true;
		b->limit = 1;
		b->period_ms = IN_FLIGHT_MS;
	}
	if (!mono_before(now, b->reset)) {
		b->remaining = b->limit;
		b->reset = mono_add_ms(b->used, b->period_ms + LIMIT_SLACK_MS);
	}
	b->remaining -= in_flight < b->remaining ? in_flight : b->remaining;
}

static bool
one_window(const struct bucket *a, const struct bucket *b)
{
	uint64_t	 apart = a->reset.us > b->reset.us ?
	    a->reset.us - b->reset.us : b->reset.us - a->reset.us;

	return apart < LIMIT_SAME_WINDOW_MS * 1000;
}

static void
hear_bucket(struct limit *l, struct span s, struct mono now)
{
	struct bucket	 told = { 0 }, *b;
	uint64_t	 flags;
	uint32_t	 in_flight;

	told.id = take(&s, 8);
	told.major = take(&s, 8);
	flags = take(&s, 1);
	told.known = flags & FLAG_KNOWN;
	told.unlimited = flags & FLAG_UNLIMITED;
	told.limit = (uint32_t)take(&s, 4);
	told.remaining = (uint32_t)take(&s, 4);
	in_flight = (uint32_t)take(&s, 4);
	told.reset.us = take(&s, 8);
	told.used.us = take(&s, 8);
	told.period_ms = take(&s, 4);
	count_in_flight(&told, in_flight, now);

	b = limit_bucket(l, told.id, told.major, now);
	/* Used here since: who knows of the later window is right, of the same one the stricter. */
	if (b->heard != l->hearing && b->known && mono_before(now, b->reset)) {
		if (told.unlimited || (!one_window(&told, b) && mono_before(told.reset, b->reset)))
			return;
		if (one_window(&told, b) && b->remaining < told.remaining)
			told.remaining = b->remaining;
	}
	b->heard = l->hearing;
	b->known = told.known;
	b->unlimited = told.unlimited;
	b->limit = told.limit;
	b->remaining = told.remaining;
	b->reset = told.reset;
	if (b->period_ms < told.period_ms)
		b->period_ms = told.period_ms;
}

static void
hear_counted(struct limit *l, struct mono counted, struct mono now)
{
	if (!mono_before(now, mono_add_ms(counted, 1000)))
		return;
	l->window[l->window_at] = counted;
	l->window_at = (l->window_at + 1) % l->window_n;
}

static void
hear_holds(struct limit *l, struct span s)
{
	struct mono	 t;

	if (take(&s, 1) == 1)
		l->locked = true;
	t.us = take(&s, 8);
	if (mono_before(l->global_until, t))
		l->global_until = t;
	t.us = take(&s, 8);
	if (mono_before(l->all_until, t))
		l->all_until = t;
	t.us = take(&s, 8);
	if (mono_before(l->last_sent, t))
		l->last_sent = t;
}

static void
hear_invalid(struct limit *l, struct span s)
{
	uint64_t	 slot = take(&s, 8);
	uint32_t	 n = (uint32_t)take(&s, 4), *here = &l->invalid[slot % INVALID_SLOTS];

	if (slot + INVALID_SLOTS > l->invalid_slot && *here < n)
		*here = n;
}

static void
hear_record(struct limit *l, char letter, struct span s, struct mono now)
{
	uint64_t	 route;

	switch (letter) {
	case 'R':
		route = take(&s, 8);
		limit_learn(l, route, take(&s, 8));
		break;
	case 'B':
		hear_bucket(l, s, now);
		break;
	case 'W':
		hear_counted(l, (struct mono){ take(&s, 8) }, now);
		break;
	case 'H':
		hear_holds(l, s);
		break;
	case 'I':
		hear_invalid(l, s);
		break;
	default:
		break;
	}
}

int
limit_hear(struct limit *l, struct span state, struct mono now, const char **why_r)
{
	size_t	 n;

	if ((*why_r = check(state, now)) != NULL)
		return -1;
	l->hearing++;
	limit_invalid_advance(l, now);
	while (state.n > 0) {
		n = record_bytes(state.p[0]);
		hear_record(l, state.p[0], span_make(state.p + 1, n), now);
		state.p += 1 + n;
		state.n -= 1 + n;
	}
	return 0;
}
