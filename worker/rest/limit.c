/*
 * limit - see limit.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "worker/rest/limittab.h"
#include "worker/worker.h"

#define CLOUDFLARE_MIN_MS	60000	/* when a ban names no time */
#define RETRY_MIN_MS		1000	/* when a 429 names no time */
#define INVALID_PACE_MS		1000

static int
bucket_cmp(struct bucket *a, struct bucket *b)
{
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return TREE_CMP(a->major, b->major);
}

static int
learnt_cmp(struct learnt *a, struct learnt *b)
{
	return TREE_CMP(a->route, b->route);
}

TREE_GENERATE(buckets, bucket, by_key, bucket_cmp)
TREE_GENERATE(routes, learnt, by_route, learnt_cmp)

struct limit *
limit_new(uint32_t per_second)
{
	struct limit	*l = mem_alloc(sizeof(*l));

	assert(per_second > 0);
	RB_INIT(&l->buckets);
	TAILQ_INIT(&l->bucket_use);
	RB_INIT(&l->routes);
	TAILQ_INIT(&l->route_use);
	TAILQ_INIT(&l->bucket_news);
	TAILQ_INIT(&l->route_news);
	l->window_n = per_second;
	l->window = mem_array(per_second, sizeof(*l->window));
	return l;
}

static void
changed(struct limit *l, struct bucket *b)
{
	if (!b->changed)
		TAILQ_INSERT_TAIL(&l->bucket_news, b, news);
	b->changed = true;
}

static void
bucket_forget(struct limit *l, struct bucket *b)
{
	if (b->changed)
		TAILQ_REMOVE(&l->bucket_news, b, news);
	RB_REMOVE(buckets, &l->buckets, b);
	TAILQ_REMOVE(&l->bucket_use, b, by_use);
	l->buckets_n--;
	free(b);
}

static void
learnt_forget(struct limit *l, struct learnt *k)
{
	if (k->changed)
		TAILQ_REMOVE(&l->route_news, k, news);
	RB_REMOVE(routes, &l->routes, k);
	TAILQ_REMOVE(&l->route_use, k, by_use);
	l->routes_n--;
	free(k);
}

void
limit_free(struct limit **lp)
{
	struct limit	*l = *lp;

	if (l == NULL)
		return;
	while (!TAILQ_EMPTY(&l->bucket_use))
		bucket_forget(l, TAILQ_FIRST(&l->bucket_use));
	while (!TAILQ_EMPTY(&l->route_use))
		learnt_forget(l, TAILQ_FIRST(&l->route_use));
	free(l->window);
	free(l);
	*lp = NULL;
}

static struct mono
after_s(struct mono now, double s)
{
	if (!(s > 0))
		s = 0;
	if (s > LIMIT_WAIT_MAX_S)
		s = LIMIT_WAIT_MAX_S;
	return mono_add_us(now, (uint64_t)(s * 1e6) + LIMIT_SLACK_MS * 1000);
}

static struct mono
later(struct mono a, struct mono b)
{
	return mono_before(a, b) ? b : a;
}

static uint64_t
id_of_route(struct limit *l, uint64_t route)
{
	struct learnt	 key = { .route = route }, *k;

	k = RB_FIND(routes, &l->routes, &key);
	if (k == NULL)
		return route;
	TAILQ_REMOVE(&l->route_use, k, by_use);
	TAILQ_INSERT_TAIL(&l->route_use, k, by_use);
	return k->id;
}

/* A hash that changes is followed: message delete has two, by the message's age. */
void
limit_learn(struct limit *l, uint64_t route, uint64_t id)
{
	struct learnt	 key = { .route = route }, *k;

	k = RB_FIND(routes, &l->routes, &key);
	if (k == NULL) {
		if (l->routes_n >= LIMIT_ROUTES_MAX)
			learnt_forget(l, TAILQ_FIRST(&l->route_use));
		k = mem_alloc(sizeof(*k));
		k->route = route;
		RB_INSERT(routes, &l->routes, k);
		TAILQ_INSERT_TAIL(&l->route_use, k, by_use);
		l->routes_n++;
	}
	if (k->id == id)
		return;
	k->id = id;
	if (!k->changed)
		TAILQ_INSERT_TAIL(&l->route_news, k, news);
	k->changed = true;
}

static struct bucket *
bucket_find(struct limit *l, uint64_t id, uint64_t major)
{
	struct bucket	 key = { .id = id, .major = major };

	return RB_FIND(buckets, &l->buckets, &key);
}

/*
 * Forget what is idle from the old end, and when there are too many also what is not, except
 * requests in flight (their tickets point here).
 */
static void
expire(struct limit *l, struct mono now)
{
	struct bucket	*b, *next;

	for (b = TAILQ_FIRST(&l->bucket_use); b != NULL; b = next) {
		bool	 idle = mono_ms_between(b->used, now) >= LIMIT_IDLE_MS &&
			    !mono_before(now, b->reset);

		next = TAILQ_NEXT(b, by_use);
		if (!idle && l->buckets_n < LIMIT_BUCKETS_MAX)
			break;
		if (b->in_flight == 0)
			bucket_forget(l, b);
	}
}

struct bucket *
limit_bucket(struct limit *l, uint64_t id, uint64_t major, struct mono now)
{
	struct bucket	*b = bucket_find(l, id, major);

	if (b == NULL) {
		expire(l, now);
		b = mem_alloc(sizeof(*b));
		b->id = id;
		b->major = major;
		RB_INSERT(buckets, &l->buckets, b);
		l->buckets_n++;
	} else
		TAILQ_REMOVE(&l->bucket_use, b, by_use);
	TAILQ_INSERT_TAIL(&l->bucket_use, b, by_use);
	b->used = now;
	return b;
}

void
limit_invalid_advance(struct limit *l, struct mono now)
{
	uint64_t	 slot = now.us / 1000 / INVALID_SLOT_MS;

	if (slot <= l->invalid_slot)
		return;
	for (uint64_t n = 0; n < INVALID_SLOTS && l->invalid_slot + n < slot; n++)
		l->invalid[(l->invalid_slot + 1 + n) % INVALID_SLOTS] = 0;
	l->invalid_slot = slot;
}

uint32_t
limit_invalid_n(struct limit *l, struct mono now)
{
	uint32_t	 n = 0;

	limit_invalid_advance(l, now);
	for (int i = 0; i < INVALID_SLOTS; i++)
		n += l->invalid[i];
	return n;
}

bool
limit_locked(const struct limit *l)
{
	return l->locked;
}

uint32_t
limit_buckets_n(const struct limit *l)
{
	return l->buckets_n;
}

/* What holds more than one bucket; LIMIT_GO when nothing does. */
static enum limit_verdict
ask_all(struct limit *l, const struct limit_ticket *t, struct mono now, struct mono *until_r)
{
	struct mono	 until = l->all_until;

	if (limit_invalid_n(l, now) >= LIMIT_INVALID_LINE && !mono_is_never(l->last_sent))
		until = later(until, mono_add_ms(l->last_sent, INVALID_PACE_MS));
	if (!t->outside) {
		struct mono	 oldest = l->window[l->window_at];

		until = later(until, l->global_until);
		if (!mono_is_never(oldest))
			until = later(until, mono_add_ms(oldest, 1000));
	}
	if (!mono_before(now, until))
		return LIMIT_GO;
	*until_r = until;
	return LIMIT_STOP;
}

enum limit_verdict
limit_ask(struct limit *l, const struct limit_ticket *t, struct mono now, struct mono *until_r)
{
	struct bucket	*b;

	if (l->locked && t->authorized)
		return LIMIT_LOCKED;
	if (mono_before(now, t->not_before)) {
		*until_r = t->not_before;
		return LIMIT_WAIT;
	}
	b = bucket_find(l, id_of_route(l, t->route), t->major);
	if (b != NULL && !b->unlimited) {
		if (b->known && !mono_before(now, b->reset))
			b->remaining = b->limit;
		if (b->known && b->remaining == 0) {
			*until_r = b->reset;
			return LIMIT_WAIT;
		}
		if (b->in_flight >= (b->known ? b->remaining : 1))
			return LIMIT_BUSY;
	}
	return ask_all(l, t, now, until_r);
}

void
limit_sent(struct limit *l, struct limit_ticket *t, struct mono now)
{
	assert(t->bucket == NULL);
	t->bucket = limit_bucket(l, id_of_route(l, t->route), t->major, now);
	t->bucket->in_flight++;
	changed(l, t->bucket);
	l->last_sent = now;
	if (t->outside)
		return;
	t->place = l->window_at;
	t->counted = l->window[l->window_at] = mono_add_ms(now, LIMIT_COUNTED_MS);
	l->window_at = (l->window_at + 1) % l->window_n;
	if (l->window_news < l->window_n)
		l->window_news++;
}

bool
limit_is_named(const struct limit_ticket *t)
{
	return t->bucket->shown[0] != '\0';
}

void
limit_name(struct limit_ticket *t, const char *name)
{
	strlcpy(t->bucket->shown, name, sizeof(t->bucket->shown));
}

/* It has been counted, at the latest just now.  By and by its place is another one's. */
static void
counted(struct limit *l, struct limit_ticket *t, struct mono now)
{
	if (!t->outside && mono_before(now, t->counted) &&
	    l->window[t->place].us == t->counted.us)
		l->window[t->place] = now;
}

static void
come_back(struct limit *l, struct limit_ticket *t)
{
	assert(t->bucket != NULL && t->bucket->in_flight > 0);
	t->bucket->in_flight--;
	changed(l, t->bucket);
	t->bucket = NULL;
}

void
limit_lost(struct limit *l, struct limit_ticket *t, struct mono now)
{
	struct bucket	*b = t->bucket;

	counted(l, t, now);
	come_back(l, t);
	/* It may have been counted: as long as the window lasts, assume that it was. */
	if (b->known && mono_before(now, b->reset) && b->remaining > 0)
		b->remaining--;
}

static bool
same_window(const struct bucket *b, struct mono reset, struct mono now)
{
	uint64_t	 apart = b->reset.us > reset.us ?
	    b->reset.us - reset.us : reset.us - b->reset.us;

	return b->known && mono_before(now, b->reset) && apart < LIMIT_SAME_WINDOW_MS * 1000;
}

/*
 * Take over what the headers say.  Answers can overtake each other: inside one window the smaller
 * `remaining` is the newer one.  A sliding window moves its reset, then the last answer counts.
 */
static void
take_headers(struct bucket *b, const struct limit_answer *a, struct mono now)
{
	struct mono	 reset = after_s(now, a->reset_after_s);
	uint32_t	 remaining =
	    (uint32_t)(a->remaining > UINT32_MAX ? UINT32_MAX : a->remaining);

	if (same_window(b, reset, now) && b->remaining < remaining)
		remaining = b->remaining;
	b->limit = a->limit >= 1 ? (uint32_t)(a->limit > UINT32_MAX ? UINT32_MAX : a->limit) : 1;
	b->remaining = remaining;
	b->reset = reset;
	if (mono_ms_between(now, reset) > b->period_ms)
		b->period_ms = mono_ms_between(now, reset);
	b->known = true;
	b->unlimited = false;
}

static enum limited
take_429(struct limit *l, struct limit_ticket *t, struct bucket *b, const struct limit_answer *a,
    struct mono now)
{
	bool		 named = a->retry_after_s >= 0;
	struct mono	 until = named ? after_s(now, a->retry_after_s) :
	    mono_add_ms(now, RETRY_MIN_MS);

	if (!a->body_is_discord) {
		/*
		 * Cloudflare's page: the whole address is limited, and only the header says for how
		 * long.
		 */
		if (!named)
			until = mono_add_ms(now, CLOUDFLARE_MIN_MS);
		l->all_until = later(l->all_until, until);
		l->holds_news = true;
		return LIMITED_CLOUDFLARE;
	}
	if (a->global) {
		/* It can hit an interaction as well; then that one request waits too. */
		l->global_until = later(l->global_until, until);
		l->holds_news = true;
		if (t->outside)
			t->not_before = until;
		return LIMITED_GLOBAL;
	}
	if (a->shared || a->remaining > 0) {
		/* A limit that the headers do not show: the bucket stays usable. */
		t->not_before = until;
		return LIMITED_SUB;
	}
	if (!b->known) {
		b->known = true;
		b->limit = a->limit >= 1 ? (uint32_t)a->limit : 1;
	}
	b->unlimited = false;
	b->remaining = 0;
	b->reset = until;
	return LIMITED_BUCKET;
}

enum limited
limit_answer(struct limit *l, struct limit_ticket *t, const struct limit_answer *a, struct mono now)
{
	bool		 headers = a->hash.n > 0 && a->limit >= 0 && a->remaining >= 0 &&
			    a->reset_after_s >= 0;
	struct bucket	*b = t->bucket, *was;
	enum limited	 limited = LIMITED_NOT;

	counted(l, t, now);
	come_back(l, t);
	if (a->status == 401 || a->status == 403 || (a->status == 429 && !a->shared)) {
		limit_invalid_advance(l, now);
		l->invalid[l->invalid_slot % INVALID_SLOTS]++;
		l->invalid_news = true;
	}
	if (a->status == 401 && t->authorized)
		l->locked = l->holds_news = true;
	if (a->hash.n > 0) {
		uint64_t	 id = span_hash_end(span_hash_add(SPAN_HASH_SEED, a->hash));

		if (id != b->id) {
			limit_learn(l, t->route, id);
			was = b;
			b = limit_bucket(l, id, t->major, now);
			changed(l, b);
			if (b->shown[0] == '\0')
				strlcpy(b->shown, was->shown, sizeof(b->shown));
		}
	}
	if (a->status == 429)
		limited = take_429(l, t, b, a, now);
	if (headers && (a->status != 429 || (a->user && limited == LIMITED_SUB)))
		take_headers(b, a, now);
	else if (!headers && !b->known && a->status < 500 && a->status != 429)
		b->unlimited = true;
	return limited;
}
