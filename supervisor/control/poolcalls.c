/*
 * poolcalls - see poolcalls.h.
 *
 * A call is found by its number on the answering worker's link, which is ours, and while a handler
 * waits for it by that handler's own number.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/count.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/tree.h"
#include "supervisor/control/poolcalls.h"
#include "supervisor/delivery/queue.h"

struct poolcall {
	RB_ENTRY(poolcall)	 by_number, by_asker;
	struct poolcalls	*owner;
	uint64_t		 number;
	struct child		*child;		/* NULL: it is dead */
	struct timer		*timer;
	enum error		 error;		/* what the timer answers */
	/* Who waits: a handler, or somebody inside. */
	struct child		*from;
	uint64_t		 from_number;	/* as from calls it */
	void			(*fn)(void *, const struct msg_RESULT *);
	void			*arg;
};
RB_HEAD(numbers, poolcall);
RB_HEAD(askers, poolcall);

struct poolcalls {
	struct loop		*loop;
	struct numbers		 open;
	struct askers		 askers;
	size_t			 people_n, handlers_n;
	uint64_t		 number;
};

static int
number_cmp(const struct poolcall *a, const struct poolcall *b)
{
	return TREE_CMP(a->number, b->number);
}

static int
asker_cmp(const struct poolcall *a, const struct poolcall *b)
{
	uintptr_t	 x = (uintptr_t)a->from, y = (uintptr_t)b->from;

	return x != y ? TREE_CMP(x, y) : TREE_CMP(a->from_number, b->from_number);
}

TREE_GENERATE(numbers, poolcall, by_number, number_cmp)
TREE_GENERATE(askers, poolcall, by_asker, asker_cmp)

struct poolcalls *
poolcalls_new(struct loop *loop)
{
	struct poolcalls	*pc = mem_alloc(sizeof(*pc));

	pc->loop = loop;
	RB_INIT(&pc->open);
	RB_INIT(&pc->askers);
	return pc;
}

static void
forget(struct poolcall *c)
{
	struct poolcalls	*pc = c->owner;

	RB_REMOVE(numbers, &pc->open, c);
	if (c->from != NULL) {
		RB_REMOVE(askers, &pc->askers, c);
		pc->handlers_n--;
	} else {
		pc->people_n--;
	}
	timer_free(&c->timer);
	free(c);
}

/* Out of the trees first: fn may ask anew. */
static void
end(struct poolcall *c, const struct msg_RESULT *r)
{
	void			(*fn)(void *, const struct msg_RESULT *) = c->fn;
	void			*arg = c->arg;
	struct child		*from = c->from;
	struct msg_RESULT	 out = *r;

	if (from != NULL)
		out.call = c->from_number;
	forget(c);
	if (from != NULL)
		(void)child_send(from, MSG_RESULT, &out);
	else
		fn(arg, &out);
}

static struct msg_RESULT
refusal(uint64_t number, enum error error)
{
	return (struct msg_RESULT){
		.call = number, .error = error, .why = span_of(error_text(error))
	};
}

static void
end_with(struct poolcall *c, enum error error)
{
	struct msg_RESULT	 r = refusal(c->number, error);

	end(c, &r);
}

/* The worker need not go on with it. */
static void
cancel(struct poolcall *c)
{
	struct msg_CANCEL	 m = { .kind = 1, .id = c->number };

	if (c->child != NULL)
		(void)child_send(c->child, MSG_CANCEL, &m);
}

static void
on_timer(void *arg)
{
	struct poolcall	*c = arg;

	cancel(c);
	end_with(c, c->error);
}

void
poolcalls_free(struct poolcalls **pcp)
{
	struct poolcalls	*pc = *pcp;
	struct poolcall		*c;

	if (pc == NULL)
		return;
	while ((c = RB_MIN(numbers, &pc->open)) != NULL) {
		if (c->from != NULL)
			forget(c);	/* workers are gone by now */
		else
			end_with(c, ERR_ECANCELLED);
	}
	free(pc);
	*pcp = NULL;
}

/* Send m under a number of ours.  NULL: the worker is gone, or does not take it. */
static struct poolcall *
give(struct poolcalls *pc, struct child *child, struct msg_CALL *m)
{
	struct poolcall	*c;

	m->call = pc->number + 1;
	if (child_send(child, MSG_CALL, m) == -1)
		return NULL;
	c = mem_alloc(sizeof(*c));
	c->owner = pc;
	c->number = ++pc->number;
	c->child = child;
	c->error = ERR_EDEADLINE;
	c->timer = timer_new(pc->loop, on_timer, c);
	timer_arm_ms(c->timer, m->deadline_ms);
	RB_INSERT(numbers, &pc->open, c);
	return c;
}

enum error
poolcalls_ask(struct poolcalls *pc, struct child *child, struct span pool, struct span verb,
    struct span body, void (*fn)(void *, const struct msg_RESULT *), void *arg)
{
	struct poolcall	*c;
	struct msg_CALL	 m = {
		.service = pool, .deadline_ms = POOLCALLS_MS, .verb = verb, .body = body,
	};

	if (pc->people_n == POOLCALLS_MAX || (c = give(pc, child, &m)) == NULL)
		return ERR_ESERVICE;
	c->fn = fn;
	c->arg = arg;
	pc->people_n++;
	return ERR_OK;
}

static int
refuse(struct child *from, uint64_t number, enum error error)
{
	struct msg_RESULT	 r = refusal(number, error);

	COUNT(calls_refused);
	(void)child_send(from, MSG_RESULT, &r);
	return 0;
}

int
poolcalls_from_worker(struct poolcalls *pc, struct pools *pools, struct child *from,
    const struct msg_CALL *msg, const char **why_r)
{
	struct poolcall	 key = { .from = from, .from_number = msg->call }, *c;
	struct msg_CALL	 m = {
		.service = msg->service, .lane = msg->lane, .deadline_ms = msg->deadline_ms,
		.verb = msg->verb, .path = msg->path, .body = msg->body,
	};
	struct child	*child;
	bool		 up;

	if (RB_FIND(askers, &pc->askers, &key) != NULL) {
		*why_r = "CALL with a number that is open already";
		return -1;
	}
	COUNT(calls);
	if (msg->ordinal != 0)
		return refuse(from, msg->call, ERR_EINVALID);
	if (msg->delivery != 0 && queue_held(child_peer(from), msg->delivery) == NULL)
		return refuse(from, msg->call, ERR_EACKED);
	if (pc->handlers_n == POOLCALLS_WORKERS_MAX ||
	    !pools_answering(pools, msg->service, msg->verb, pc->number, &child, &up))
		return refuse(from, msg->call, ERR_ESERVICE);
	if (child == NULL)
		return refuse(from, msg->call, up ? ERR_ESERVICE : ERR_ERETRY);
	if ((c = give(pc, child, &m)) == NULL)
		return refuse(from, msg->call, ERR_ERETRY);
	c->from = from;
	c->from_number = msg->call;
	pc->handlers_n++;
	RB_INSERT(askers, &pc->askers, c);
	return 0;
}

int
poolcalls_result(struct poolcalls *pc, struct child *child, const struct msg_RESULT *r,
    const char **why_r)
{
	struct poolcall	 key = { .number = r->call }, *c = RB_FIND(numbers, &pc->open, &key);

	if (c != NULL && c->child == child) {
		end(c, r);
		return 0;
	}
	/* It may be late. */
	if (r->call > 0 && r->call <= pc->number)
		return 0;
	*why_r = "RESULT of a call that it was not asked";
	return -1;
}

void
poolcalls_forget(struct poolcalls *pc, void *arg)
{
	struct poolcall	*c;

	RB_FOREACH(c, numbers, &pc->open)
		if (c->from == NULL && c->arg == arg)
			break;
	if (c == NULL)
		return;
	cancel(c);
	forget(c);
}

/* In a later turn: whoever asked may be what is ending. */
void
poolcalls_worker_down(struct poolcalls *pc, struct child *child)
{
	struct poolcall	*c, *next;

	RB_FOREACH_SAFE(c, numbers, &pc->open, next) {
		if (c->child == child) {
			c->child = NULL;
			c->error = ERR_ERETRY;
			timer_arm_ms(c->timer, 0);
		}
		if (c->from == child) {
			cancel(c);
			forget(c);
		}
	}
}
