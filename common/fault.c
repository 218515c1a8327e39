/*
 * fault - named points where a build can be told to misbehave.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"

#define SPEC_MAX	256	/* messages.def: FAULT.spec */

static const struct {
	const char	*name;
} rows[FAULT__N] = {
#define FAULT_POINT(id, n, h) [FAULT_##id] = { n },
#include "proto/faults.def"
#undef FAULT_POINT
};

struct plan {
	bool		 armed;
	uint64_t	 after;			/* hits that pass before the first strike */
	uint64_t	 strikes_left;		/* UINT64_MAX: no bound */
	uint64_t	 pct;
	uint64_t	 rng;			/* never 0 */
	bool		 has_arg;		/* outlives the last strike, whose caller asks */
	uint64_t	 arg;
	char		 match[SPEC_MAX];	/* empty: every subject */
	char		 slot[SPEC_MAX];	/* empty: everywhere */
	char		 text[SPEC_MAX];	/* as it was given */
};

static struct plan	 plans[FAULT__N];
static char		 self[96];
static char		 why[384];
static struct buf	 specs;

static int __attribute__((format(printf, 2, 3)))
refuse(const char **why_r, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (why_r != NULL)
		*why_r = why;
	return -1;
}

/* Up to sep, which is taken off s; all of s when there is none. */
static struct span
take(struct span *s, char sep)
{
	const char	*at = s->n == 0 ? NULL : memchr(s->p, sep, s->n);
	struct span	 head = *s;

	if (at == NULL) {
		*s = SPAN_NONE;
		return head;
	}
	head.n = (size_t)(at - s->p);
	*s = span_make(at + 1, s->n - head.n - 1);
	return head;
}

/* xorshift64*: repeatable from the seed in the log, nothing more is asked of it. */
static uint64_t
draw(uint64_t *state, uint64_t below)
{
	uint64_t	 x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (x * 0x2545f4914f6cdd1dull >> 32) % below;
}

static int
parse(struct plan *p, struct span name, struct span spec, uint64_t *seed_r,
    const char **why_r)
{
	bool	 seeded = false;

	*p = (struct plan){ .armed = true, .strikes_left = UINT64_MAX, .pct = 100 };
	if (spec.n >= SPEC_MAX)
		return refuse(why_r, "fault point %.*s: the specification is longer than %d bytes",
		    (int)name.n, name.p, SPEC_MAX - 1);
	span_copy(spec, p->text, sizeof(p->text));
	/* By hand, so that "for=1," is not taken for "for=1". */
	for (bool more = true; more;) {
		bool		 comma = spec.n > 0 && memchr(spec.p, ',', spec.n) != NULL;
		struct span	 word = take(&spec, ','), whole = word;
		struct span	 key = take(&word, '=');
		uint64_t	 n = 0;
		bool		 number = span_u64(word, &n);
		uint64_t	*into = NULL;

		more = comma;
		if (span_is(whole, "always"))
			continue;
		if (span_is(key, "match") || span_is(key, "slot")) {
			if (word.n == 0)
				return refuse(why_r, "fault point %.*s: %.*s= needs a text",
				    (int)name.n, name.p, (int)key.n, key.p);
			if (span_is(key, "match"))
				span_copy(word, p->match, sizeof(p->match));
			else
				span_copy(word, p->slot, sizeof(p->slot));
			continue;
		}
		if (span_is(key, "after"))
			into = &p->after;
		else if (span_is(key, "for"))
			into = &p->strikes_left;
		else if (span_is(key, "pct"))
			into = &p->pct;
		else if (span_is(key, "seed"))
			into = seed_r;
		else if (span_is(key, "arg"))
			into = &p->arg;
		else
			return refuse(why_r, "fault point %.*s: no such word \"%.*s\"; there are "
			    "always, after=, for=, pct=, seed=, match=, slot=, arg=",
			    (int)name.n, name.p, (int)whole.n, whole.p);
		if (!number)
			return refuse(why_r, "fault point %.*s: %.*s= needs a number, not \"%.*s\"",
			    (int)name.n, name.p, (int)key.n, key.p, (int)word.n, word.p);
		if (into == &p->pct && n > 100)
			return refuse(why_r, "fault point %.*s: pct=%" PRIu64 " is above 100",
			    (int)name.n, name.p, n);
		if (into == &p->strikes_left && n == 0)
			return refuse(why_r, "fault point %.*s: for=0 would never strike",
			    (int)name.n, name.p);
		*into = n;
		seeded = seeded || into == seed_r;
		p->has_arg = p->has_arg || into == &p->arg;
	}
	if (!seeded)
		*seed_r = clock_random(UINT32_MAX);
	p->rng = span_hash_end(span_hash_add_u64(SPAN_HASH_SEED, *seed_r));
	return 0;
}

/* FAULT__N: none. */
static unsigned
point_named(struct span name)
{
	unsigned	 i;

	for (i = 0; i < FAULT__N && !span_is(name, rows[i].name); i++)
		;
	return i;
}

int
fault_set(struct span name, struct span spec, const char **why_r)
{
	unsigned	 i = point_named(name);
	struct plan	 p;
	uint64_t	 seed = 0;

	if (i == FAULT__N)
		return refuse(why_r, "no such fault point: \"%.*s\"",
		    (int)(name.n > 64 ? 64 : name.n), name.p);
	if (spec.n == 0) {
		if (plans[i].armed)
			log_info("fault %s disarmed", rows[i].name);
		plans[i] = (struct plan){ 0 };
		return 0;
	}
	if (parse(&p, name, spec, &seed, why_r) == -1)
		return -1;
	plans[i] = p;
	log_warnx("fault %s armed: %s seed=%" PRIu64, rows[i].name, p.text, seed);
	return 0;
}

int
fault_init(const char *who, const char *list, const char **why_r)
{
	struct span	 rest = span_of(list);
	bool		 named[FAULT__N + 1] = { false };

	snprintf(self, sizeof(self), "%s", who);
	while (rest.n > 0) {
		struct span	 spec = take(&rest, ';');
		struct span	 whole = spec, name;

		if (spec.n == 0)
			continue;
		name = take(&spec, '=');
		if (spec.n == 0)
			return refuse(why_r, "\"%.*s\" is not name=specification",
			    (int)(whole.n > 128 ? 128 : whole.n), whole.p);
		if (fault_set(name, spec, why_r) == -1)
			return -1;
		/* One point has one plan: of two the first would be lost in silence. */
		if (named[point_named(name)])
			return refuse(why_r, "fault point %.*s is named twice", (int)name.n, name.p);
		named[point_named(name)] = true;
	}
	return 0;
}

static bool
contains(struct span s, const char *text)
{
	return s.n > 0 && memmem(s.p, s.n, text, strlen(text)) != NULL;
}

bool
fault_hits_for(enum fault_point point, const char *who, struct span subject)
{
	struct plan	*p = &plans[point];

	if (!p->armed)
		return false;
	if (p->slot[0] != '\0' && strcmp(p->slot, who) != 0)
		return false;
	if (p->match[0] != '\0' && !contains(subject, p->match))
		return false;
	if (p->after > 0) {
		p->after--;
		return false;
	}
	if (p->pct < 100 && draw(&p->rng, 100) >= p->pct)
		return false;
	if (p->strikes_left != UINT64_MAX && --p->strikes_left == 0)
		p->armed = false;
	log_warnx("fault %s strikes subject=\"%.*s\"", rows[point].name,
	    (int)(subject.n > 120 ? 120 : subject.n), subject.n == 0 ? "" : subject.p);
	return true;
}

bool
fault_hits(enum fault_point point, struct span subject)
{
	return fault_hits_for(point, self, subject);
}

uint64_t
fault_arg(enum fault_point point, uint64_t fallback)
{
	assert(point < FAULT__N);
	return plans[point].has_arg ? plans[point].arg : fallback;
}

bool
fault_armed_any(void)
{
	for (unsigned i = 0; i < FAULT__N; i++) {
		if (plans[i].armed)
			return true;
	}
	return false;
}

const char *
fault_specs(void)
{
	buf_reset(&specs);
	for (unsigned i = 0; i < FAULT__N; i++) {
		if (!plans[i].armed)
			continue;
		buf_printf(&specs, "%s%s=%s", specs.n == 0 ? "" : ";", rows[i].name, plans[i].text);
	}
	buf_add(&specs, "", 1);
	return specs.p;
}
