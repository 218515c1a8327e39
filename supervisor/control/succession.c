/*
 * succession - see succession.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/log.h"
#include "common/mem.h"
#include "proto/contract.h"
#include "supervisor/control/succession.h"

struct member {
	struct child		*child;
	bool			 draining;
	bool			 told;		/* that another one takes over */
	TAILQ_ENTRY(member)	 next;
};

struct succession {
	void			(*on_change)(void *);
	void			*arg;
	struct timer		*timer;
	TAILQ_HEAD(, member)	 members;	/* those that are up, oldest first */
	struct member		*active;
	struct member		*author;	/* was active last; NULL: it is dead */
	bool			 waiting;	/* for the author's last word */
	bool			 ending;
	struct buf		 kept;		/* what the author handed up, and before it its own */
};

static struct member *
member_of(const struct succession *s, const struct child *child)
{
	struct member	*m;

	TAILQ_FOREACH(m, &s->members, next)
		if (m->child == child)
			return m;
	return NULL;
}

static void
stop_waiting(struct succession *s)
{
	s->waiting = false;
	timer_stop(s->timer);
}

static void
activate(struct succession *s, struct member *m)
{
	struct msg_STATE	 state = { .kind = STATE_ALL, .blob = buf_span(&s->kept) };

	s->active = s->author = m;
	log_info("%s active", child_tag(m->child));
	if (state.blob.n > 0)
		(void)child_send(m->child, MSG_STATE, &state);
	s->on_change(s->arg);
}

/* True: it says its last word first. */
static bool
must_wait(struct succession *s)
{
	struct msg_STATE	 last = { .kind = STATE_LAST };

	if (s->author != NULL && !s->author->told) {
		s->author->told = true;
		if (child_send(s->author->child, MSG_STATE, &last) == 0) {
			s->waiting = true;
			timer_arm_ms(s->timer, SUCCESSION_WAIT_MS);
		}
	}
	return s->waiting;
}

void
succession_choose(struct succession *s)
{
	struct member	*m;

	if (s->active != NULL && !s->active->draining)
		return;
	TAILQ_FOREACH(m, &s->members, next)
		if (!m->draining)
			break;
	if (s->ending)
		m = NULL;
	if (m != NULL && !must_wait(s)) {
		activate(s, m);
		return;
	}
	if (s->active == NULL)
		return;
	s->active = NULL;
	s->on_change(s->arg);
}

static void
on_time(void *arg)
{
	struct succession	*s = arg;

	log_warnx("%s does not say its last word: another one takes over without it",
	    child_tag(s->author->child));
	stop_waiting(s);
	succession_choose(s);
}

void
succession_up(struct succession *s, struct child *child)
{
	struct member	*m = mem_alloc(sizeof(*m));

	assert(member_of(s, child) == NULL);
	m->child = child;
	TAILQ_INSERT_TAIL(&s->members, m, next);
	succession_choose(s);
}

void
succession_draining(struct succession *s, struct child *child)
{
	struct member	*m = member_of(s, child);

	if (m == NULL)
		return;
	m->draining = true;
	succession_choose(s);
}

bool
succession_down(struct succession *s, struct child *child)
{
	struct member	*m = member_of(s, child);

	if (m == NULL)
		return false;
	if (m == s->author) {
		s->author = NULL;
		stop_waiting(s);
	}
	if (m == s->active)
		s->active = NULL;
	TAILQ_REMOVE(&s->members, m, next);
	free(m);
	return true;
}

void
succession_end(struct succession *s)
{
	s->ending = true;
}

static int
keep(struct succession *s, const struct msg_STATE *m, const char **why_r)
{
	if (m->kind != STATE_PART)
		buf_reset(&s->kept);
	if (s->kept.n + m->blob.n > PROTO_STATE_MAX) {
		*why_r = "STATE of more than it may be, whole and parts";
		return -1;
	}
	buf_add_span(&s->kept, m->blob);
	return 0;
}

int
succession_state(struct succession *s, struct child *child, const struct msg_STATE *msg,
    const char **why_r)
{
	struct member		*m = member_of(s, child);
	struct msg_STATE	 news = { .kind = STATE_PART, .blob = msg->blob };

	if (m == NULL)
		return 0;
	if (msg->kind == STATE_LAST && !m->told) {
		*why_r = "a last STATE that nobody asked for";
		return -1;
	}
	if (m != s->author) {
		/* What became of what it had on the wire. */
		if (m->told && s->active != NULL)
			(void)child_send(s->active->child, MSG_STATE, &news);
		return 0;
	}
	if (keep(s, msg, why_r) == -1)
		return -1;
	if (msg->kind == STATE_LAST && s->waiting) {
		stop_waiting(s);
		succession_choose(s);
	}
	return 0;
}

struct child *
succession_active(const struct succession *s)
{
	return s->active == NULL ? NULL : s->active->child;
}

bool
succession_drains(const struct succession *s)
{
	const struct member	*m;

	TAILQ_FOREACH(m, &s->members, next)
		if (m->draining)
			return true;
	return false;
}

struct succession *
succession_new(struct loop *loop, void (*on_change)(void *), void *arg)
{
	struct succession	*s = mem_alloc(sizeof(*s));

	s->on_change = on_change;
	s->arg = arg;
	s->timer = timer_new(loop, on_time, s);
	TAILQ_INIT(&s->members);
	return s;
}

void
succession_free(struct succession **sp)
{
	struct succession	*s = *sp;
	struct member		*m;

	if (s == NULL)
		return;
	while ((m = TAILQ_FIRST(&s->members)) != NULL) {
		TAILQ_REMOVE(&s->members, m, next);
		free(m);
	}
	timer_free(&s->timer);
	buf_fini(&s->kept);
	free(s);
	*sp = NULL;
}
