/*
 * call - see call.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/tree.h"
#include "proto/contract.h"
#include "supervisor/control/call.h"

static int
wire_cmp(const struct call *a, const struct call *b)
{
	return TREE_CMP(a->wire, b->wire);
}

static int
due_cmp(const struct call *a, const struct call *b)
{
	return a->due.us != b->due.us ? TREE_CMP(a->due.us, b->due.us) : TREE_CMP(a->wire, b->wire);
}

static int
number_cmp(const struct call *a, const struct call *b)
{
	uintptr_t	 x = (uintptr_t)a->from, y = (uintptr_t)b->from;

	return x != y ? TREE_CMP(x, y) : TREE_CMP(a->number, b->number);
}

static int
ordinal_cmp(const struct call *a, const struct call *b)
{
	if (a->delivery != b->delivery)
		return TREE_CMP(a->delivery, b->delivery);
	return TREE_CMP(a->ordinal, b->ordinal);
}

TREE_GENERATE(wires, call, by_wire, wire_cmp)
TREE_GENERATE(dues, call, by_due, due_cmp)
TREE_GENERATE(numbers, call, by_number, number_cmp)
TREE_GENERATE(ordinals, call, by_ordinal, ordinal_cmp)

struct span
call_route(struct span method, struct span path, char *dst)
{
	int	 n;

	n = snprintf(dst, ROUTE_BYTES, "%.*s %.*s", (int)method.n, method.p, (int)path.n, path.p);
	return span_make(dst, (size_t)n);
}

void
call_timer(struct calls *cs, struct mono due)
{
	if (!mono_is_never(cs->armed) && !mono_before(due, cs->armed))
		return;
	cs->armed = due;
	timer_arm_at(cs->timer, due);
}

void
call_due(struct calls *cs, struct call *c, struct mono due)
{
	if (c->timed)
		RB_REMOVE(dues, &cs->dues, c);
	c->due = due;
	c->timed = true;
	RB_INSERT(dues, &cs->dues, c);
	call_timer(cs, due);
}

static void
due_clear(struct calls *cs, struct call *c)
{
	if (c->timed)
		RB_REMOVE(dues, &cs->dues, c);
	c->timed = false;
}

bool
call_wanted(const struct call *c)
{
	return c->from != NULL || c->fn != NULL;
}

void
call_disown(struct calls *cs, struct call *c)
{
	if (c->from != NULL)
		RB_REMOVE(numbers, &cs->numbers, c);
	c->from = NULL;
	c->fn = NULL;
	due_clear(cs, c);
}

void
call_drop(struct calls *cs, struct call *c)
{
	bool	 was_alone = cs->alone == c;

	call_disown(cs, c);
	if (cs->alone == c)
		cs->alone = NULL;
	/* It waited, was alone, or was in the hands of one that drains: others may have waited for it. */
	if (was_alone || c->service == NULL || c->service != succession_active(cs->services))
		cs->roomless = true;
	TAILQ_REMOVE(&cs->line, c, in_line);
	RB_REMOVE(wires, &cs->wires, c);
	if (c->ordinal != 0)
		RB_REMOVE(ordinals, &cs->ordinals, c);
	cs->open--;
	free(c);
}

struct call *
call_new(struct calls *cs, struct span method, struct span path, struct span body,
    uint64_t delivery, uint64_t ordinal)
{
	char		 text[ROUTE_BYTES];
	struct span	 route = call_route(method, path, text);
	bool		 kept = body.n <= PROTO_CALL_KEEP_MAX;
	struct call	*c;
	char		*p;

	c = mem_alloc(sizeof(*c) + method.n + path.n + route.n + (kept ? body.n : 0));
	p = c->data;
#define KEEP(member, from)	do {				\
	if ((from).n > 0)					\
		memcpy(p, (from).p, (from).n);			\
	c->member = span_make(p, (from).n);			\
	p += (from).n;						\
} while (0)
	KEEP(method, method);
	KEEP(path, path);
	KEEP(route, route);
	if (kept)
		KEEP(body, body);
#undef KEEP
	c->kept = kept;
	c->changes = request_changes(method);
	c->delivery = delivery;
	c->ordinal = ordinal;
	c->wire = ++cs->wire;
	c->state = CALL_WAITING;
	TAILQ_INSERT_TAIL(&cs->line, c, in_line);
	RB_INSERT(wires, &cs->wires, c);
	if (ordinal != 0)
		RB_INSERT(ordinals, &cs->ordinals, c);
	cs->open++;
	return c;
}

void
call_owned(struct calls *cs, struct call *c, struct child *from, uint64_t number)
{
	c->from = from;
	c->number = number;
	RB_INSERT(numbers, &cs->numbers, c);
}

void
call_answer(struct calls *cs, struct call *c, const struct msg_RESULT *res)
{
	struct msg_RESULT	 out = *res;
	struct child		*from = c->from;
	void			(*fn)(void *, const struct msg_RESULT *) = c->fn;

	out.call = from != NULL ? c->number : c->wire;
	call_disown(cs, c);
	if (from != NULL)
		(void)child_send(from, MSG_RESULT, &out);
	else if (fn != NULL)
		fn(c->arg, &out);
}

struct msg_RESULT
call_refusal(enum error error)
{
	return (struct msg_RESULT){
		.error = (uint64_t)error, .why = span_of(error_text(error))
	};
}

void
call_fail(struct calls *cs, struct call *c, enum error error)
{
	c->state = CALL_WAITING;
	c->refused = error;
	call_due(cs, c, clock_mono());
}

struct call *
call_by_wire(struct calls *cs, uint64_t wire)
{
	struct call	 key = { .wire = wire };

	return RB_FIND(wires, &cs->wires, &key);
}

struct call *
call_by_number(struct calls *cs, struct child *from, uint64_t number)
{
	struct call	 key = { .from = from, .number = number };

	return RB_FIND(numbers, &cs->numbers, &key);
}

struct call *
call_by_ordinal(struct calls *cs, uint64_t delivery, uint64_t ordinal)
{
	struct call	 key = { .delivery = delivery, .ordinal = ordinal };

	return RB_FIND(ordinals, &cs->ordinals, &key);
}

struct call *
call_first_due(struct calls *cs)
{
	return RB_MIN(dues, &cs->dues);
}
