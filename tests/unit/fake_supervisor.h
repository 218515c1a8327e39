/*
 * fake_supervisor - pool, queue and journal as far as calls and streams ask them: four deliveries,
 * and children that note what they are sent.
 *
 * The test includes it once and defines fake_sent().
 */
#ifndef TESTS_FAKE_SUPERVISOR_H
#define TESTS_FAKE_SUPERVISOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/msg.h"
#include "proto/contract.h"
#include "supervisor/delivery/queue.h"
#include "supervisor/pool/pool.h"

#define DELIVERIES_N	4

struct child {
	const char	*tag;
	bool		 rest, dead;
	uint64_t	 held[DELIVERIES_N];	/* when it is a handler */
	char		 did[2048];		/* what it was sent, see fake_sent */
	uint64_t	 wires[32], asked[32];	/* of CALLs */
	size_t		 calls_n, results_n;
	uint64_t	 wire;			/* of the last stream message */
	uint64_t	 error, status, id, number;	/* of the last RESULT or STREAM_STATE */
};

static struct delivery	 deliveries[DELIVERIES_N];
static struct effect	 effects[DELIVERIES_N][PROTO_EFFECTS_MAX];
static char		 journal_did[2048];	/* "asked 1 POST /x;" "effect 1 200 99;" "unasked 1;" */
static bool		 journal_full;

/* A message that the table does not refuse left for a child that lives. */
static void		 fake_sent(struct child *, enum msg_type, const void *src);

const char *child_tag(const struct child *c) { return c->tag; }
bool child_is_rest(const struct child *c) { return c->rest; }
void *child_peer(const struct child *c) { return c->rest ? NULL : (void *)(uintptr_t)c; }

int
child_send(struct child *c, enum msg_type type, const void *src)
{
	struct buf	 packed = { 0 };

	if (c->dead)
		return -1;
	assert_int_equal(msg_pack(&packed, type, src, NULL), 0);
	buf_fini(&packed);
	fake_sent(c, type, src);
	return 0;
}

static void __attribute__((format(printf, 3, 4)))
fake_note(char *dst, size_t bytes, const char *fmt, ...)
{
	size_t	 n = strlen(dst);
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(dst + n, bytes - n, fmt, ap);
	va_end(ap);
}
#define did(child, ...)		fake_note((child)->did, sizeof((child)->did), __VA_ARGS__)
#define journal_noted(...)	fake_note(journal_did, sizeof(journal_did), __VA_ARGS__)

struct delivery *
queue_held(struct qworker *w, uint64_t id)
{
	struct child	*c = (struct child *)(void *)w;

	for (size_t i = 0; i < DELIVERIES_N; i++)
		if (c->held[i] == id)
			return &deliveries[id];
	return NULL;
}

struct delivery *
journal_find(struct journal *j, uint64_t id)
{
	(void)j;
	return id < DELIVERIES_N ? &deliveries[id] : NULL;
}

/* Of what was set aside: they are not linked, the first one is all. */
struct delivery *
journal_first(struct journal *j, enum dlv_state s)
{
	(void)j;
	for (size_t i = 0; i < DELIVERIES_N; i++)
		if (deliveries[i].state == s)
			return &deliveries[i];
	return NULL;
}

int
journal_asked(struct journal *j, struct delivery *d, uint64_t ordinal, struct span route,
    uint64_t now_ms, struct effect **e_r)
{
	(void)j;
	if ((*e_r = delivery_effect(d, ordinal)) != NULL)
		return 0;
	if (journal_full || d->effects_n >= PROTO_EFFECTS_MAX)
		return -1;
	*e_r = &d->effects[d->effects_n++];
	**e_r = (struct effect){
		.ordinal = ordinal, .route = mem_spandup(route), .asked_ms = now_ms
	};
	journal_noted("asked %llu %.*s;", (unsigned long long)ordinal, (int)route.n, route.p);
	return 1;
}

void
journal_effect(struct journal *j, struct delivery *d, uint64_t ordinal, uint64_t status,
    uint64_t id)
{
	struct effect	*e = delivery_effect(d, ordinal);

	(void)j;
	assert_non_null(e);
	e->done = true;
	e->status = status;
	e->id = id;
	journal_noted("effect %llu %llu %llu;", (unsigned long long)ordinal,
	    (unsigned long long)status, (unsigned long long)id);
}

void
journal_unasked(struct journal *j, struct delivery *d, uint64_t ordinal)
{
	struct effect	*e = delivery_effect(d, ordinal);

	(void)j;
	assert_non_null(e);
	free(e->route);
	*e = d->effects[--d->effects_n];
	journal_noted("unasked %llu;", (unsigned long long)ordinal);
}

bool
journal_effect_is(const struct effect *e, struct span route)
{
	return span_is(route, e->route);
}

static void
fake_reset(void)
{
	memset(effects, 0, sizeof(effects));
	for (size_t i = 0; i < DELIVERIES_N; i++)
		deliveries[i] = (struct delivery){
			.id = i, .effects = effects[i], .state = DLV_GIVEN
		};
	journal_did[0] = '\0';
	journal_full = false;
}

static void
fake_forget(void)
{
	for (size_t i = 0; i < DELIVERIES_N; i++)
		for (size_t k = 0; k < deliveries[i].effects_n; k++)
			free(deliveries[i].effects[k].route);
}

#endif
