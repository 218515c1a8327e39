/*
 * poolcalls - see poolcalls.h.
 */
#include <sys/queue.h>

#include <stdlib.h>

#include "common/loop.h"
#include "common/mem.h"
#include "supervisor/control/poolcalls.h"

struct poolcall {
	TAILQ_ENTRY(poolcall)	 next;
	struct poolcalls	*owner;
	uint64_t		 number;
	struct child		*child;
	struct timer		*timer;
	enum error		 error;		/* what the timer answers */
	void			(*fn)(void *, const struct msg_RESULT *);
	void			*arg;
};

struct poolcalls {
	struct loop		*loop;
	TAILQ_HEAD(, poolcall)	 open;
	size_t			 open_n;
	uint64_t		 number;
};

struct poolcalls *
poolcalls_new(struct loop *loop)
{
	struct poolcalls	*pc = mem_alloc(sizeof(*pc));

	pc->loop = loop;
	TAILQ_INIT(&pc->open);
	return pc;
}

/* Out of the list first: fn may ask anew. */
static void
end(struct poolcall *c, const struct msg_RESULT *r)
{
	void	(*fn)(void *, const struct msg_RESULT *) = c->fn;
	void	*arg = c->arg;

	TAILQ_REMOVE(&c->owner->open, c, next);
	c->owner->open_n--;
	timer_free(&c->timer);
	free(c);
	fn(arg, r);
}

static void
end_with(struct poolcall *c, enum error error)
{
	struct msg_RESULT	 r = {
		.call = c->number, .error = error, .why = span_of(error_text(error))
	};

	end(c, &r);
}

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

	if (pc == NULL)
		return;
	while (!TAILQ_EMPTY(&pc->open))
		end_with(TAILQ_FIRST(&pc->open), ERR_ECANCELLED);
	free(pc);
	*pcp = NULL;
}

enum error
poolcalls_ask(struct poolcalls *pc, struct child *child, struct span pool, struct span verb,
    struct span body, void (*fn)(void *, const struct msg_RESULT *), void *arg)
{
	struct poolcall	*c;
	struct msg_CALL	 m = {
		.call = pc->number + 1, .service = pool, .deadline_ms = POOLCALLS_MS, .verb = verb,
		.body = body,
	};

	if (pc->open_n == POOLCALLS_MAX || child_send(child, MSG_CALL, &m) == -1)
		return ERR_ESERVICE;
	c = mem_alloc(sizeof(*c));
	c->owner = pc;
	c->number = ++pc->number;
	c->child = child;
	c->error = ERR_EDEADLINE;
	c->fn = fn;
	c->arg = arg;
	c->timer = timer_new(pc->loop, on_timer, c);
	timer_arm_ms(c->timer, POOLCALLS_MS);
	TAILQ_INSERT_TAIL(&pc->open, c, next);
	pc->open_n++;
	return ERR_OK;
}

int
poolcalls_result(struct poolcalls *pc, struct child *child, const struct msg_RESULT *r,
    const char **why_r)
{
	struct poolcall	*c;

	TAILQ_FOREACH(c, &pc->open, next)
		if (c->child == child && c->number == r->call) {
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

	TAILQ_FOREACH(c, &pc->open, next)
		if (c->arg == arg)
			break;
	if (c == NULL)
		return;
	cancel(c);
	TAILQ_REMOVE(&pc->open, c, next);
	pc->open_n--;
	timer_free(&c->timer);
	free(c);
}

/* In a later turn: whoever asked may be what is ending. */
void
poolcalls_worker_down(struct poolcalls *pc, struct child *child)
{
	struct poolcall	*c;

	TAILQ_FOREACH(c, &pc->open, next)
		if (c->child == child) {
			c->child = NULL;
			c->error = ERR_ERETRY;
			timer_arm_ms(c->timer, 0);
		}
}
