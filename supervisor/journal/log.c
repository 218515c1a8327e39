/*
 * log - see log.h.
 */
#include <sys/mman.h>
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "common/mem.h"
#include "supervisor/journal/log.h"

#define REC_MAGIC	(0xfff80000u | JLOG_VERSION)

static const char file_magic[8] = "BLKHDJL";

/* Two words that fit each other say what the file is; written once. */
struct ident {
	char		 magic[8];
	uint32_t	 version, version_not;
	uint64_t	 bytes, bytes_not;
};

/* check is 0 while it is written: torn is told from damaged. */
struct slot {
	uint64_t	 gen, head, lsn, tail, tail_lsn;
	uint64_t	 check;
};

struct seq_slot {
	uint64_t	 seq, session, check;
};

struct header {
	struct ident	 ident;
	struct slot	 slot[2];
	struct seq_slot	 seq[JLOG_SHARDS_MAX][2];
};
_Static_assert(sizeof(struct header) <= JLOG_HEADER_BYTES, "header fits its page");
_Static_assert(sizeof(struct jlog_rec) == 32, "records are 8-byte aligned");

/*
 * Each step is a bijection of h for a given word, so any change within one word changes the sum.
 * Four words beside each other: FNV-1a byte by byte would cost more than copying the record.
 */
static uint64_t
mix(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

static uint64_t
mix_bytes(uint64_t h, const char *p, size_t n)
{
	uint64_t	 w, four[4], a = 1, b = 2, c = 3, d = 4;

	if (n >= 64) {
		for (; n >= 32; p += 32, n -= 32) {
			memcpy(four, p, 32);
			a = mix(a, four[0]);
			b = mix(b, four[1]);
			c = mix(c, four[2]);
			d = mix(d, four[3]);
		}
		h = mix(mix(mix(mix(h, a), b), c), d);
	}
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		h = mix(h, w);
	}
	if (n > 0) {
		w = 0;
		memcpy(&w, p, n);
		h = mix(h, w);
	}
	return h;
}

uint64_t
jlog_sum(const struct jlog_rec *r)
{
	uint64_t	 h = SPAN_HASH_SEED;

	h = mix(h, (uint64_t)r->magic << 32 | r->bytes);
	h = mix(h, r->lsn);
	h = mix(h, (uint64_t)r->kind << 32 | r->zero);
	if (r->kind != REC_PAD)
		h = mix_bytes(h, (const char *)(r + 1), r->bytes);
	return h;
}

static uint64_t
slot_sum(const struct slot *s)
{
	uint64_t	 h;

	h = mix_bytes(SPAN_HASH_SEED, (const char *)s, offsetof(struct slot, check));
	return h == 0 ? 1 : h;
}

static uint64_t
seq_sum(const struct seq_slot *s)
{
	return mix(mix(SPAN_HASH_SEED, s->seq), s->session) | 1;
}

static struct header *
header(const struct jlog *l)
{
	return (struct header *)(void *)l->base;
}

uint64_t
jlog_capacity(const struct jlog *l)
{
	return l->bytes - JLOG_HEADER_BYTES;
}

uint64_t
jlog_free_bytes(const struct jlog *l)
{
	return jlog_capacity(l) - l->used;
}

/*
 * The kernel keeps what a killed process had stored, in the order of its instructions; only the
 * compiler has to be held.
 */
static void
order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static void
commit(struct jlog *l)
{
	struct slot	*s;

	l->gen++;
	s = &header(l)->slot[l->gen & 1];
	s->check = 0;
	order();
	s->gen = l->gen;
	s->head = l->head;
	s->lsn = l->lsn;
	s->tail = l->tail;
	s->tail_lsn = l->tail_lsn;
	order();
	s->check = slot_sum(s);
	order();
	l->tail_committed = l->tail_lsn;
}

static void
write_ident(struct jlog *l)
{
	struct ident	*id = &header(l)->ident;

	memcpy(id->magic, file_magic, sizeof(id->magic));
	id->version = JLOG_VERSION;
	id->version_not = ~id->version;
	id->bytes = l->bytes;
	id->bytes_not = ~id->bytes;
}

bool
jlog_begins(struct span file)
{
	return file.n >= sizeof(file_magic) && memcmp(file.p, file_magic, sizeof(file_magic)) == 0;
}

bool
jlog_is_other(struct span file)
{
	struct ident	 id;

	if (!jlog_begins(file) || file.n < sizeof(id))
		return false;
	memcpy(&id, file.p, sizeof(id));
	return id.version == (uint32_t)~id.version_not && id.version != JLOG_VERSION;
}

void
jlog_format(struct jlog *l)
{
	assert(l->bytes >= JLOG_BYTES_MIN && l->bytes % 8 == 0);
	l->head = l->tail = JLOG_HEADER_BYTES;
	l->used = l->lsn = l->gen = 0;
	l->records = l->wraps = 0;
	l->tail_lsn = 1;
	commit(l);
	commit(l);
	order();
	write_ident(l);
}

/* A whole and valid record at off? */
static const struct jlog_rec *
valid_at(const struct jlog *l, uint64_t off)
{
	const struct jlog_rec	*r;

	if (l->bytes - off < sizeof(*r))
		return NULL;
	r = (const struct jlog_rec *)(const void *)(l->base + off);
	if (r->magic != REC_MAGIC || r->zero != 0 || r->lsn == 0 ||
	    r->bytes > l->bytes - off - sizeof(*r) ||
	    jlog_size(r->bytes) > l->bytes - off || jlog_sum(r) != r->check)
		return NULL;
	return r;
}

static int
by_lsn(const void *va, const void *vb)
{
	const struct jlog_found	*a = va, *b = vb;

	if (a->lsn != b->lsn)
		return a->lsn < b->lsn ? -1 : 1;
	return a->off < b->off ? -1 : a->off > b->off;
}

static bool
slot_sane(const struct jlog *l, const struct slot *s)
{
	return s->head >= JLOG_HEADER_BYTES && s->head <= l->bytes && s->head % 8 == 0 &&
	    s->tail >= JLOG_HEADER_BYTES && s->tail <= l->bytes && s->tail % 8 == 0 &&
	    s->tail_lsn >= 1 && s->tail_lsn <= s->lsn + 1;
}

/*
 * Every valid record of the file in order of number.  Where the chain is broken, the next one is
 * looked for at each 8 bytes.
 */
static void
collect(const struct jlog *l, struct jlog_check *c)
{
	const struct jlog_rec	*r;
	size_t			 cap = 0;

	for (uint64_t off = JLOG_HEADER_BYTES; off < l->bytes;) {
		if ((r = valid_at(l, off)) == NULL) {
			off += 8;
			continue;
		}
		if (c->n == cap) {
			cap = cap == 0 ? 512 : cap * 2;
			c->v = mem_grow(c->v, cap, sizeof(*c->v));
		}
		c->v[c->n].lsn = r->lsn;
		c->v[c->n++].off = off;
		off += jlog_size(r->bytes);
	}
	if (c->n > 1)
		qsort(c->v, c->n, sizeof(*c->v), by_lsn);
}

/* Where the record behind the one at off begins. */
static uint64_t
after(const struct jlog *l, uint64_t off)
{
	return off + jlog_size(jlog_at(l, off)->bytes);
}

void
jlog_look(struct jlog *l, struct jlog_check *c)
{
	const struct header	*h = header(l);
	const struct slot	*best = NULL, *other;
	bool			 ident, tail_known = true, other_bad = false;
	uint64_t		 last, expect, end;
	size_t			 from, to;

	memset(c, 0, sizeof(*c));
	assert(l->bytes > JLOG_HEADER_BYTES);
	ident = memcmp(h->ident.magic, file_magic, sizeof(file_magic)) == 0 &&
	    h->ident.version == JLOG_VERSION && h->ident.version_not == (uint32_t)~h->ident.version;
	collect(l, c);
	c->journal = ident || c->n > 0;
	if (!c->journal)
		return;
	if (!ident || h->ident.bytes != ~h->ident.bytes_not || h->ident.bytes != l->bytes) {
		c->damaged_n++;
		c->rewrite = true;
	}
	for (int i = 0; i < 2; i++) {
		const struct slot	*s = &h->slot[i];

		if (s->check == slot_sum(s) && (s->gen & 1) == (uint64_t)i && s->gen > 0 &&
		    s->tail_lsn >= 1 && s->tail_lsn <= s->lsn + 1) {
			if (best == NULL || s->gen > best->gen)
				best = s;
		} else if (s->check != 0) {
			c->damaged_n++;
			c->rewrite = true;
			other_bad = true;
			tail_known = false;
		} else
			tail_known = false;	/* the newest was being written */
	}
	if (best == NULL) {
		/*
		 * What came last is not known: it may be missing.  All that is unfinished is in
		 * doubt.
		 */
		c->rewrite = true;
		c->hole_lsn = (c->n > 0 ? c->v[c->n - 1].lsn : 0) + 1;
		c->damaged_n++;
		for (size_t i = 1; i < c->n; i++)
			if (c->v[i].lsn != c->v[i - 1].lsn + 1)
				c->damaged_n++;
		return;
	}
	/* Before the tail: dead.  Behind the head: taken when the chain goes on. */
	for (from = 0; from < c->n && c->v[from].lsn < best->tail_lsn; from++)
		;
	last = best->lsn;
	expect = best->tail_lsn;
	if (!tail_known && from < c->n && c->v[from].lsn <= best->lsn)
		expect = c->v[from].lsn;	/* the tail may have gone on */
	for (to = from; to < c->n; to++) {
		if (c->v[to].lsn == expect) {
			if (expect > last)
				last = expect;
			expect++;
			continue;
		}
		c->rewrite = true;
		if (c->v[to].lsn < expect) {
			c->damaged_n++;		/* the same number twice */
			c->hole_lsn = expect > c->hole_lsn ? expect : c->hole_lsn;
			continue;
		}
		c->damaged_n += c->v[to].lsn - expect;
		c->hole_lsn = c->v[to].lsn - 1;
		expect = c->v[to].lsn + 1;
	}
	if (expect <= best->lsn) {
		c->damaged_n += best->lsn - expect + 1;
		c->hole_lsn = best->lsn;
		c->rewrite = true;
	} else if (other_bad) {
		/* The damaged slot may have named a record that is gone as well. */
		other = &h->slot[(best->gen & 1) ^ 1];
		if (other->gen > best->gen && other->lsn > last) {
			c->hole_lsn = last + 1;
			c->damaged_n++;
		}
	}
	if (from > 0) {
		memmove(c->v, c->v + from, (c->n - from) * sizeof(*c->v));
		c->n -= from;
	}
	if (c->rewrite)
		return;

	l->gen = best->gen;
	l->lsn = last;
	l->records = c->n;
	l->wraps = 0;
	end = c->n > 0 ? after(l, c->v[c->n - 1].off) : best->head;
	l->head = end;
	l->tail = c->n > 0 ? c->v[0].off : best->head;
	l->tail_lsn = c->n > 0 ? c->v[0].lsn : last + 1;
	if (!slot_sane(l, best) || (last == best->lsn && end != best->head &&
	    !(end == l->bytes && best->head == JLOG_HEADER_BYTES))) {
		c->damaged_n++;
		c->rewrite = true;
		return;
	}
	if (c->n == 0)
		l->used = 0;
	else
		l->used =
		    l->head > l->tail ? l->head - l->tail : jlog_capacity(l) - (l->tail - l->head);
}

void
jlog_resume(struct jlog *l)
{
	commit(l);
	commit(l);
}

void
jlog_fini(struct jlog *l)
{
	if (l->hold == JLOG_MAPPED)
		munmap(l->base, l->bytes);
	else if (l->hold == JLOG_HEAP)
		free(l->base);
	memset(l, 0, sizeof(*l));
}

const struct jlog_rec *
jlog_at(const struct jlog *l, uint64_t off)
{
	return (const struct jlog_rec *)(const void *)(l->base + off);
}

struct span
jlog_payload(const struct jlog *l, uint64_t off)
{
	return span_make(l->base + off + sizeof(struct jlog_rec), jlog_at(l, off)->bytes);
}

/* Room for size at the head; the rest of the ring is lost when it does not fit there. */
static void
come_round(struct jlog *l, uint64_t size)
{
	struct jlog_rec	*r;
	uint64_t	 rest = l->bytes - l->head;

	if (rest >= size)
		return;
	assert(jlog_free_bytes(l) >= rest + size);
	if (rest >= sizeof(*r)) {
		r = (struct jlog_rec *)(void *)(l->base + l->head);
		r->magic = REC_MAGIC;
		r->bytes = (uint32_t)(rest - sizeof(*r));
		r->lsn = l->lsn + 1;
		r->kind = REC_PAD;
		r->zero = 0;
		r->check = jlog_sum(r);
		order();
		if (l->used == 0)
			l->tail = l->head;
		l->head += rest;
		l->used += rest;
		l->lsn++;
		l->records++;
		commit(l);
	} else if (l->used > 0)
		l->used += rest;
	l->head = JLOG_HEADER_BYTES;
	l->wraps++;
}

uint64_t
jlog_append(struct jlog *l, enum jlog_kind kind, struct span a, struct span b)
{
	struct jlog_rec	*r;
	uint64_t	 size = jlog_size(a.n + b.n), off;
	char		*p;

	/* A kill while the dead room is overwritten must not look like damage. */
	if (l->tail_lsn != l->tail_committed)
		commit(l);
	come_round(l, size);
	assert(jlog_free_bytes(l) >= size);
	off = l->head;
	r = (struct jlog_rec *)(void *)(l->base + off);
	p = (char *)(r + 1);
	r->magic = REC_MAGIC;
	r->bytes = (uint32_t)(a.n + b.n);
	r->lsn = l->lsn + 1;
	r->kind = kind;
	r->zero = 0;
	if (a.n > 0)
		memcpy(p, a.p, a.n);
	if (b.n > 0)
		memcpy(p + a.n, b.p, b.n);
	r->check = jlog_sum(r);
	order();
	if (l->used == 0)
		l->tail = off;
	l->head += size;
	l->used += size;
	l->lsn++;
	l->records++;
	commit(l);
	return off;
}

void
jlog_advance(struct jlog *l)
{
	uint64_t	 size, rest;

	assert(l->used > 0);
	size = jlog_size(jlog_at(l, l->tail)->bytes);
	l->tail += size;
	l->tail_lsn++;
	assert(l->used >= size);
	l->used -= size;
	l->records--;
	if (l->used == 0) {
		l->tail = l->head;
		return;
	}
	rest = l->bytes - l->tail;
	if (rest < sizeof(struct jlog_rec)) {
		/* At the end, or too little for a record was left there. */
		l->used -= rest;
		l->tail = JLOG_HEADER_BYTES;
	}
	/* Written a whole lap ago: fetched until it is its turn. */
	__builtin_prefetch(l->base + l->tail);
}

void
jlog_seq(struct jlog *l, uint32_t shard, uint64_t session, uint64_t seq)
{
	struct seq_slot	*s;

	if (shard >= JLOG_SHARDS_MAX)
		return;
	for (int i = 0; i < 2; i++) {
		s = &header(l)->seq[shard][i];
		s->check = 0;
		order();
		s->seq = seq;
		s->session = session;
		order();
		s->check = seq_sum(s);
		order();
	}
}

bool
jlog_seq_get(const struct jlog *l, uint32_t shard, uint64_t session, uint64_t *seq_r)
{
	const struct seq_slot	*s;
	bool			 found = false;

	if (shard >= JLOG_SHARDS_MAX)
		return false;
	for (int i = 0; i < 2; i++) {
		s = &header(l)->seq[shard][i];
		if (s->check != seq_sum(s) || s->session != session)
			continue;
		if (!found || s->seq > *seq_r)
			*seq_r = s->seq;
		found = true;
	}
	return found;
}
