/*
 * queue: order, turns, credit and blame, with a fake worker and a real journal.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/count.h"
#include "common/log.h"
#include "supervisor/delivery/poison.h"
#include "supervisor/delivery/queue.h"
#include "supervisor/delivery/route.h"
#include "tests/unit/fakes.h"

#define T0	1700000000000ull
#define OUT_MAX	256

static char	 path[300];

/* ---- a fake worker ---- */

struct got {
	uint64_t	 delivery, key, attempt, flags, object, deadline_ms;
	unsigned	 effects_n;
};

struct fake {
	struct qworker	*w;
	uint32_t	 slot;
	struct got	 out[OUT_MAX];		/* in the order of starts */
	size_t		 n;
	size_t		 given;			/* in all */
	bool		 draining;
};

static uint64_t	 asides, gives, wall;
static struct got last_got;
static char	 last_report[512];
static bool	 check_model;

static void model_started(struct fake *, const struct got *);
static uint64_t object_of(uint64_t delivery);

static void
give(void *peer, const struct msg_EVENT *m)
{
	struct fake		*f = peer;
	struct got		 g;
	struct msg_list_iter	 it = { m->effects.raw, 0 };

	memset(&g, 0, sizeof(g));
	g.delivery = m->delivery;
	g.key = m->key;
	g.attempt = m->attempt;
	g.flags = m->flags;
	g.deadline_ms = m->deadline_ms;
	g.object = object_of(m->delivery);
	assert_true(m->body.n >= 2);
	while (msg_list_more(&it)) {
		uint64_t	 v;
		struct span	 s;

		assert_true(msg_list_next_u64(&it, &v) && msg_list_next_str(&it, &s) &&
		    msg_list_next_u64(&it, &v) && msg_list_next_u64(&it, &v) &&
		    msg_list_next_u64(&it, &v));
		g.effects_n++;
	}
	assert_true(f->n < OUT_MAX);
	f->out[f->n++] = g;
	f->given++;
	gives++;
	last_got = g;
	if (check_model)
		model_started(f, &g);
}

static uint64_t
now_ms(void *arg)
{
	(void)arg;
	return T0 + wall;
}

static void
on_aside(void *arg, const struct delivery *d)
{
	(void)arg;
	asides++;
	snprintf(last_report, sizeof(last_report), "%s: %s", dlv_aside_name(d->aside), d->report);
}

static uint64_t	 mono;
static struct fake *slow;		/* misses its news */

static uint64_t
mono_ms(void *arg)
{
	(void)arg;
	return 5000 + mono;
}

/* Without dlv, a list of what was said: "cancel5 overdue5 news5". */
static char	 said[256];

static void
cancel(void *peer, uint64_t delivery)
{
	assert_non_null(queue_held(((struct fake *)peer)->w, delivery));
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "cancel%d ",
	    (int)object_of(delivery));
}

static void
overdue(void *peer, const struct delivery *d)
{
	assert_non_null(queue_held(((struct fake *)peer)->w, d->id));
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "overdue%d ", (int)d->object);
}

static int
news(void *peer, const struct msg_NEWS *m)
{
	if (peer == slow)
		return -1;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "news%u:%.*s ",
	    ((struct fake *)peer)->slot, (int)m->name.n, m->name.p);
	return 0;
}

static void
did_say(const char *what)
{
	assert_string_equal(said, what);
	said[0] = '\0';
}

static const struct queue_ops	 ops = {
	give, now_ms, on_aside, mono_ms, cancel, overdue, news
};

static void
fake_forget(struct fake *f, size_t i)
{
	memmove(&f->out[i], &f->out[i + 1], (f->n - i - 1) * sizeof(f->out[0]));
	f->n--;
}

/* ---- the world of one test ---- */

static struct journal	*j;
static struct queue	*q;
static struct qpool	*pool;
static struct cfg_pool	 cfg, bounds;		/* bounds: what differs in a test */
static char		*work_only[] = { "MESSAGE_CREATE" };
static char		*with_control[] = { "MESSAGE_CREATE", "MESSAGE_UPDATE" };
static uint64_t		 seq;

static void
begin_at(uint64_t journal_bytes, uint64_t credit, bool control)
{
	struct journal_report	 r;
	const char		*why;

	j = journal_open(path, journal_bytes, T0, &r, &why);
	assert_non_null(j);
	assert_false(r.damaged);
	q = queue_new(j, &ops, NULL, 3);
	memset(&cfg, 0, sizeof(cfg));
	cfg.name = "echo";
	cfg.handler = "echo";
	cfg.credit = credit;
	cfg.credit_bytes_bytes = 1u << 20;
	cfg.events.v = control ? with_control : work_only;
	cfg.events.n = control ? 2 : 1;
	cfg.events.set = true;
	cfg.queue = bounds.queue;
	cfg.queue_bytes_bytes = bounds.queue_bytes_bytes;
	cfg.deadline_ms = bounds.deadline_ms;
	cfg.states = bounds.states;
	if (bounds.events.set)
		cfg.events = bounds.events;
	pool = queue_pool_add(q, &cfg);
	assert_ptr_equal(queue_pool(q, "echo"), pool);
	queue_recover(q);
	asides = gives = 0;
	said[0] = '\0';
}

static void
begin(uint64_t credit, bool control)
{
	seq = mono = wall = 0;
	slow = NULL;
	memset(&bounds, 0, sizeof(bounds));
	unlink(path);
	begin_at(4u << 20, credit, control);
}

static void
end(void)
{
	queue_free(&q);
	journal_close(&j);
}

static void
restart(uint64_t credit, bool control)
{
	end();
	begin_at(4u << 20, credit, control);
}

static void
up(struct fake *f, uint32_t slot)
{
	char	 tag[32];

	memset(f, 0, sizeof(*f));
	f->slot = slot;
	snprintf(tag, sizeof(tag), "echo.%u#1", slot);
	f->w = queue_worker_up(pool, slot, tag, f);
}

static int
dispatch(const char *name, uint64_t id, uint64_t channel, size_t pad)
{
	static char	 body[70000];
	struct envelope	 e;
	int		 n;

	n = snprintf(body, sizeof(body),
	    "{\"id\":\"%" PRIu64 "\",\"channel_id\":\"%" PRIu64 "\",\"content\":\"%*s\"}", id,
	    channel, (int)pad, "");
	memset(&e, 0, sizeof(e));
	e.op = 0;
	e.has_s = true;
	e.s = ++seq;
	e.t = span_of(name);
	e.d = span_make(body, (size_t)n);
	return queue_dispatch(q, &e, "session", 0, false, NULL);
}

static void
message(uint64_t id, uint64_t channel)
{
	assert_int_equal(dispatch("MESSAGE_CREATE", id, channel, 0), 0);
}

static uint64_t
id_of(const char *name, uint64_t object)
{
	struct envelope	 e;

	memset(&e, 0, sizeof(e));
	e.id = object;
	return route_delivery_id(table_event(span_of(name)), SPAN("echo"), &e, SPAN("session"));
}

static uint64_t
object_of(uint64_t delivery)
{
	return journal_find(j, delivery)->object;
}

static uint64_t
msg_id(uint64_t object)
{
	return id_of("MESSAGE_CREATE", object);
}

static void
ack(struct fake *f, uint64_t delivery)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->out[i].delivery == delivery) {
			fake_forget(f, i);
			assert_int_equal(queue_ack(f->w, delivery), 0);
			return;
		}
	fail_msg("%" PRIx64 " is not out", delivery);
}

static void
ack_all(struct fake *f)
{
	while (f->n > 0)
		ack(f, f->out[0].delivery);
}

/* ---- tests ---- */

static void
one_conversation_in_order_at_most_four_out(void **state)
{
	struct fake	 f;

	(void)state;
	begin(64, false);
	up(&f, 0);
	for (uint64_t i = 1; i <= 10; i++)
		message(i, 77);
	assert_int_equal(f.n, 0);
	queue_run(q);
	assert_int_equal(f.n, 4);
	for (uint64_t i = 1; i <= 10; i++) {
		assert_true(f.out[0].delivery == msg_id(i));
		assert_int_equal(f.out[0].attempt, 1);
		ack(&f, f.out[0].delivery);
		queue_run(q);
		assert_true(f.n <= 4);
	}
	assert_int_equal(f.n, 0);
	assert_int_equal(f.given, 10);
	/* Known ids are not given again. */
	message(3, 77);
	queue_run(q);
	assert_int_equal(f.given, 10);
	assert_int_equal(queue_ack(f.w, msg_id(3)), -1);
	end();
}

static unsigned
backfilled(uint64_t id, uint64_t channel)
{
	struct envelope	 e;
	char		 body[200];
	unsigned	 fresh;
	uint64_t	 order;

	snprintf(body, sizeof(body), "{\"guild_id\":\"3\",\"id\":\"%" PRIu64
	    "\",\"channel_id\":\"%" PRIu64 "\"}", id, channel);
	memset(&e, 0, sizeof(e));
	e.t = SPAN("MESSAGE_CREATE");
	e.d = span_of(body);
	assert_int_equal(queue_backfill(q, &e, 0, journal_gap_order(j), &fresh, &order), 0);
	return fresh;
}

/*
 * What a channel said while no session was there stands before what it says now, also after a
 * restart; older work, control events and other channels do not wait.
 */
static void
gate_keeps_what_is_live_behind_the_gap(void **state)
{
	struct fake			 f;
	static struct journal_gap	 gap;
	uint64_t			 first_live;

	(void)state;
	begin(64, true);
	up(&f, 0);
	assert_true(queue_wants(q, "MESSAGE_CREATE") && !queue_wants(q, "TYPING_START"));
	message(1, 77);
	journal_gap_open(j, &gap);
	first_live = gap.order + JOURNAL_GAP_ORDERS;
	queue_gate(q, 77, first_live);
	queue_gate(q, 79, first_live);
	message(60, 77);
	message(90, 78);
	message(91, 79);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 60, 77, 0), 0);
	queue_run(q);
	assert_int_equal(f.n, 3);	/* 1, 90 and the update */
	assert_true(f.out[0].flags & 4);
	ack_all(&f);
	assert_int_equal(backfilled(50, 77), 1);
	queue_run(q);
	assert_int_equal(f.n, 1);
	assert_true(f.out[0].delivery == msg_id(50) && (f.out[0].flags & 2) != 0);

	/* The supervisor dies: what is live still waits, what came back stands before it. */
	restart(64, true);
	up(&f, 0);
	assert_int_equal(queue_gates_n(q), 0);
	queue_gate(q, 77, first_live);
	queue_run(q);
	assert_int_equal(f.n, 2);	/* 50 again, and 91, which nobody holds back */
	assert_true(f.out[0].key == 77 ? f.out[0].delivery == msg_id(50) :
	    f.out[1].delivery == msg_id(50));
	ack_all(&f);
	assert_int_equal(backfilled(50, 77), 0);
	assert_int_equal(backfilled(60, 77), 0);	/* came live meanwhile */
	assert_int_equal(backfilled(51, 77), 1);
	assert_int_equal(backfilled(52, 77), 1);
	queue_gate(q, 77, 0);
	assert_int_equal(queue_gates_n(q), 0);
	queue_run(q);
	assert_int_equal(f.n, 3);
	assert_true(f.out[0].delivery == msg_id(51) && f.out[1].delivery == msg_id(52) &&
	    f.out[2].delivery == msg_id(60));
	assert_int_equal(f.out[2].flags & 2, 0);
	ack_all(&f);
	end();
}

static void
keys_take_turns_for_credit(void **state)
{
	struct fake		 f;
	struct queue_usage	 u;

	(void)state;
	begin(6, false);
	up(&f, 0);
	for (uint64_t i = 1; i <= 20; i++)
		message(i, 1);
	message(100, 2);
	message(101, 3);
	queue_run(q);
	assert_int_equal(f.n, 6);
	assert_int_equal(queue_worker_open(f.w), 6);
	/* The flood of channel 1 did not keep 2 and 3 out. */
	assert_true(f.out[1].key == 2 && f.out[2].key == 3);
	queue_pool_usage(pool, &u);
	assert_int_equal(u.waiting, 16);
	assert_int_equal(u.given, 6);
	assert_int_equal(u.keys, 3);
	assert_int_equal(u.oldest_ms, T0);
	queue_hold(q, true);
	ack_all(&f);
	queue_run(q);
	assert_int_equal(f.n, 0);
	queue_hold(q, false);
	queue_run(q);
	assert_int_equal(f.n, 4);
	end();
}

static void
bytes_are_credit_too(void **state)
{
	struct fake	 f;

	(void)state;
	begin(64, false);
	cfg.name = "small";
	cfg.credit_bytes_bytes = 65536;
	end();
	begin_at(4u << 20, 64, false);
	cfg.name = "small";
	cfg.credit_bytes_bytes = 65536;
	pool = queue_pool_add(q, &cfg);
	memset(&f, 0, sizeof(f));
	f.w = queue_worker_up(pool, 0, "small.0#1", &f);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(dispatch("MESSAGE_CREATE", i, i, 30000), 0);
	queue_run(q);
	assert_int_equal(f.n, 2);
	assert_true(queue_worker_bytes(f.w) <= 65536);
	ack_all(&f);
	assert_int_equal(queue_worker_bytes(f.w), 0);
	/* One is always given, or it would wait for ever. */
	assert_int_equal(dispatch("MESSAGE_CREATE", 9, 9, 69000), 0);
	queue_run(q);
	ack_all(&f);
	queue_run(q);
	ack_all(&f);
	queue_run(q);
	assert_true(last_got.delivery != 0);
	ack_all(&f);
	queue_run(q);
	assert_int_equal(f.n, 0);
	assert_int_equal(f.given, 6);
	end();
}

/* Control events overtake and have an eighth of the credit for themselves. */
static void
control_overtakes(void **state)
{
	struct fake	 f;
	size_t		 work = 0, control = 0;

	(void)state;
	begin(16, true);
	up(&f, 0);
	for (uint64_t i = 1; i <= 100; i++)
		message(i, i % 10);
	queue_run(q);
	assert_int_equal(f.n, 14);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 1, 1, 0), 0);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 1, 1, 0), 0);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 1, 1, 0), 0);
	queue_run(q);
	assert_int_equal(f.n, 16);
	for (size_t i = 0; i < f.n; i++)
		*((f.out[i].flags & 4) != 0 ? &control : &work) += 1;
	assert_int_equal(work, 14);
	assert_int_equal(control, 2);
	end();
}

static void
sticky_fresh_and_drain(void **state)
{
	struct fake	 f[2];
	struct fake	*a, *b;

	(void)state;
	begin(64, false);
	up(&f[0], 0);
	up(&f[1], 1);
	message(1, 5);
	queue_run(q);
	a = f[0].n == 1 ? &f[0] : &f[1];
	b = a == &f[0] ? &f[1] : &f[0];
	assert_int_equal(last_got.flags & 1, 1);
	message(2, 5);
	queue_run(q);
	assert_int_equal(a->n, 2);
	assert_int_equal(last_got.flags & 1, 0);
	/* Idle and back: the same worker, its caches are good. */
	ack_all(a);
	message(3, 5);
	queue_run(q);
	assert_int_equal(a->n, 1);
	assert_int_equal(last_got.flags & 1, 0);
	/* Draining: what is out stays there, what follows waits for it, then moves. */
	queue_worker_drain(a->w);
	message(4, 5);
	message(5, 5);
	queue_run(q);
	assert_int_equal(a->n, 1);
	assert_int_equal(b->n, 0);
	ack_all(a);
	queue_run(q);
	assert_int_equal(b->n, 2);
	assert_int_equal(b->out[0].flags & 1, 1);
	assert_int_equal(b->out[1].flags & 1, 0);
	/* NACK draining gives it to another, uncharged. */
	up(a, a->slot);
	queue_run(q);
	assert_int_equal(queue_nack(b->w, msg_id(5), 1, SPAN("draining")), 0);
	fake_forget(b, 1);
	queue_run(q);
	assert_int_equal(b->n + a->n, 1);
	ack_all(b);
	queue_run(q);
	assert_int_equal(a->n, 1);
	assert_int_equal(last_got.attempt, 2);
	assert_int_equal(journal_find(j, msg_id(5))->charges, 0);
	end();
}

static void
dead_workers_deliveries_go_first(void **state)
{
	struct fake	 f[2];

	(void)state;
	begin(64, false);
	up(&f[0], 0);
	for (uint64_t i = 1; i <= 8; i++)
		message(i, 1);
	queue_run(q);
	ack(&f[0], msg_id(1));
	queue_run(q);
	assert_int_equal(f[0].n, 4);
	queue_worker_down(&f[0].w, 0, false, "asked for");
	assert_null(f[0].w);
	message(9, 1);
	queue_run(q);
	up(&f[1], 1);
	queue_run(q);
	for (uint64_t i = 2; i <= 9; i++) {
		assert_true(f[1].out[0].delivery == msg_id(i));
		assert_int_equal(f[1].out[0].attempt, i <= 5 ? 2 : 1);
		assert_int_equal(f[1].out[0].flags & 1, i == 2);
		ack(&f[1], msg_id(i));
		queue_run(q);
	}
	assert_int_equal(asides, 0);
	end();
}

/* Issue: 63 slow deliveries beside one that crashes its worker. */
static void
poison_is_set_aside_and_only_poison(void **state)
{
	struct fake	 f;
	struct delivery	*d;

	(void)state;
	begin(64, false);
	for (uint64_t i = 1; i <= 64; i++)
		message(i, i);
	for (int death = 1; death <= 3; death++) {
		up(&f, 0);
		queue_run(q);
		assert_int_equal(f.n, 64);
		queue_worker_down(&f.w, msg_id(33), true, "echo.0#1 killed by signal 11");
	}
	d = journal_find(j, msg_id(33));
	assert_int_equal(d->state, DLV_ASIDE);
	assert_int_equal(d->charges, 3);
	assert_int_equal(asides, 1);
	assert_string_equal(last_report, "poison: echo.0#1 killed by signal 11");
	up(&f, 0);
	queue_run(q);
	assert_int_equal(f.n, 63);
	for (size_t i = 0; i < f.n; i++) {
		assert_int_equal(journal_find(j, f.out[i].delivery)->charges, 0);
		assert_int_equal(f.out[i].attempt, 4);
	}
	ack_all(&f);
	queue_run(q);
	assert_int_equal(f.n, 0);
	end();
}

static void
suspects_are_redelivered_alone(void **state)
{
	struct fake	 f[2];
	size_t		 suspects;

	(void)state;
	begin(64, false);
	up(&f[0], 0);
	for (uint64_t i = 1; i <= 5; i++)
		message(i, i);
	queue_run(q);
	assert_int_equal(f[0].n, 5);
	queue_worker_down(&f[0].w, 0, true, "died");
	up(&f[0], 0);
	up(&f[1], 1);
	for (uint64_t i = 101; i <= 110; i++)
		message(i, i);
	queue_run(q);
	/* One suspect; the others go on. */
	assert_int_equal(f[0].n + f[1].n, 11);
	for (uint64_t i = 1; i <= 5; i++) {
		suspects = 0;
		for (int w = 0; w < 2; w++)
			for (size_t k = 0; k < f[w].n; k++)
				if (f[w].out[k].attempt == 2) {
					suspects++;
					assert_true(f[w].out[k].delivery == msg_id(i));
				}
		assert_int_equal(suspects, 1);
		/* One of the same key does not follow it. */
		message(200 + i, i);
		queue_run(q);
		assert_false(last_got.delivery == msg_id(200 + i));
		if (i == 3)
			break;
		ack(queue_held(f[0].w, msg_id(i)) != NULL ? &f[0] : &f[1], msg_id(i));
		queue_run(q);
	}
	/*
	 * The third kills again, and again nobody is named: it is charged, the others of its worker
	 * are suspects.
	 */
	for (int charges = 1; charges <= 3; charges++) {
		int	 w = queue_held(f[0].w, msg_id(3)) != NULL ? 0 : 1;

		assert_non_null(queue_held(f[w].w, msg_id(3)));
		queue_worker_down(&f[w].w, 0, true, "died again");
		assert_int_equal(journal_find(j, msg_id(3))->charges, charges);
		up(&f[w], (uint32_t)w);
		for (int turn = 0; turn < 100 && charges < 3 &&
		     queue_held(f[0].w, msg_id(3)) == NULL && queue_held(f[1].w, msg_id(3)) == NULL;
		     turn++) {
			queue_run(q);
			if (queue_held(f[0].w, msg_id(3)) != NULL ||
			    queue_held(f[1].w, msg_id(3)) != NULL)
				break;
			ack_all(&f[0]);
			ack_all(&f[1]);
		}
	}
	assert_int_equal(journal_find(j, msg_id(3))->state, DLV_ASIDE);
	assert_int_equal(asides, 1);
	for (int turn = 0; turn < 100; turn++) {
		queue_run(q);
		ack_all(&f[0]);
		ack_all(&f[1]);
	}
	assert_int_equal(journal_count(j, DLV_WAITING) + journal_count(j, DLV_GIVEN), 0);
	assert_int_equal(journal_count(j, DLV_FINISHED), 17);
	end();
}

static void
verdicts(void **state)
{
	(void)state;
	assert_int_equal(poison_judge(false, true, true, true, 2, 3), POISON_RETURN);
	assert_int_equal(poison_judge(true, true, false, true, 2, 3), POISON_RETURN);
	assert_int_equal(poison_judge(true, true, true, false, 0, 3), POISON_CHARGE);
	assert_int_equal(poison_judge(true, true, true, false, 2, 3), POISON_ASIDE);
	assert_int_equal(poison_judge(true, true, true, false, 0, 1), POISON_ASIDE);
	assert_int_equal(poison_judge(true, false, false, false, 2, 3), POISON_SUSPECT);
	assert_int_equal(poison_judge(true, false, false, true, 1, 3), POISON_CHARGE);
	assert_int_equal(poison_judge(true, false, false, true, 2, 3), POISON_ASIDE);
}

/*
 * One fails, and its worker hands back what it had behind it: they are given in their old order, none
 * of them charged, and the first one says that the NACK was heard.
 */
static void
what_failed_is_not_overtaken(void **state)
{
	struct fake	 f, g;

	(void)state;
	begin(64, false);
	up(&f, 0);
	for (uint64_t id = 1; id <= 6; id++)
		message(id, 7);
	queue_run(q);
	assert_int_equal(f.n, 4);
	assert_int_equal(queue_nack(f.w, msg_id(1), 2, SPAN("down")), 0);
	queue_run(q);
	assert_int_equal(last_got.object, 1);
	assert_int_equal(last_got.flags, 8);
	/* What comes back waits until nothing is out, which the next one then says. */
	for (uint64_t id = 2; id <= 4; id++) {
		assert_int_equal(queue_nack(f.w, msg_id(id), 5, SPAN("behind")), 0);
		queue_run(q);
		assert_int_equal(last_got.object, 1);
		assert_int_equal(journal_find(j, msg_id(id))->charges, 0);
	}
	assert_int_equal(queue_nack(f.w, msg_id(1), 2, SPAN("down")), 0);
	queue_run(q);
	assert_int_equal(f.n, 9);
	assert_int_equal(journal_find(j, msg_id(1))->charges, 2);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(f.out[5 + i].object, i + 1);
		assert_int_equal(f.out[5 + i].flags, i == 0 ? 8 : 0);
	}
	/* Set aside for the third time: younger ones do not go ahead of what has not come back yet. */
	assert_int_equal(queue_nack(f.w, msg_id(1), 2, SPAN("down")), 0);
	assert_int_equal(journal_find(j, msg_id(1))->state, DLV_ASIDE);
	queue_run(q);
	assert_int_equal(last_got.object, 5);
	assert_int_equal(last_got.flags, 0);
	for (uint64_t id = 2; id <= 5; id++) {
		assert_int_equal(f.n, 10);
		assert_int_equal(queue_nack(f.w, msg_id(id), 5, SPAN("behind")), 0);
		queue_run(q);
	}
	assert_int_equal(f.n, 14);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(f.out[10 + i].object, i + 2);
		assert_int_equal(f.out[10 + i].flags, i == 0 ? 8 : 0);
	}
	/* The one that was told so cannot be behind another. */
	assert_int_equal(queue_nack(f.w, msg_id(2), 5, SPAN("behind")), 0);
	assert_int_equal(journal_find(j, msg_id(2))->charges, 1);
	queue_run(q);
	assert_int_equal(last_got.object, 2);
	assert_int_equal(last_got.flags, 8);
	/* One that drains: all go to another, in order, for which it is news. */
	for (uint64_t id = 2; id <= 5; id++)
		assert_int_equal(queue_nack(f.w, msg_id(id), id == 5 ? 1 : 5, SPAN("draining")), 0);
	queue_run(q);
	assert_int_equal(f.n, 15);
	up(&g, 1);
	queue_run(q);
	assert_int_equal(g.n, 4);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(g.out[i].object, i + 2);
		assert_int_equal(g.out[i].flags, i == 0 ? 9 : 0);
	}
	queue_worker_down(&f.w, 0, false, "");
	ack_all(&g);
	end();
}

/* A new one between the two words of the worker does not go ahead of what it is still to hand back. */
static void
what_arrives_while_others_come_back_waits(void **state)
{
	struct fake	 f;

	(void)state;
	begin(64, false);
	up(&f, 0);
	message(1, 7);
	message(2, 7);
	queue_run(q);
	assert_int_equal(f.n, 2);
	assert_int_equal(queue_nack(f.w, msg_id(1), 2, SPAN("down")), 0);
	queue_run(q);
	assert_int_equal(last_got.object, 1);
	assert_int_equal(last_got.flags, 8);
	message(3, 7);
	queue_run(q);
	assert_int_equal(f.n, 3);
	assert_int_equal(queue_nack(f.w, msg_id(2), 5, SPAN("behind")), 0);
	queue_run(q);
	assert_int_equal(f.n, 3);
	assert_int_equal(queue_ack(f.w, msg_id(1)), 0);
	queue_run(q);
	assert_int_equal(f.n, 5);
	assert_int_equal(f.out[3].object, 2);
	assert_int_equal(f.out[3].flags, 8);
	assert_int_equal(f.out[4].object, 3);
	assert_int_equal(f.out[4].flags, 0);
	queue_worker_down(&f.w, 0, false, "");
	end();
}

/* What may overtake is behind nothing: who says so all the same does not get it without end. */
static void
control_is_never_behind(void **state)
{
	struct fake	 f;

	(void)state;
	begin(64, true);
	up(&f, 0);
	message(1, 7);
	queue_run(q);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 2, 7, 0), 0);
	queue_run(q);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(last_got.flags, 4);
		assert_int_equal(queue_nack(f.w, last_got.delivery, 5, SPAN("behind")), 0);
		queue_run(q);
	}
	assert_int_equal(f.n, 4);
	assert_int_equal(journal_find(j, last_got.delivery)->state, DLV_ASIDE);
	queue_worker_down(&f.w, 0, false, "");
	end();
}

static void
nack_reasons(void **state)
{
	struct fake	 f;

	(void)state;
	begin(64, false);
	up(&f, 0);
	message(1, 1);
	message(2, 2);
	queue_run(q);
	assert_int_equal(queue_nack(f.w, msg_id(1), 3, SPAN("no such thing")), 0);
	assert_string_equal(last_report, "refused: echo.0#1 refused it: no such thing");
	assert_int_equal(queue_nack(f.w, msg_id(1), 3, SPAN("")), -1);
	assert_int_equal(queue_nack(f.w, msg_id(2), 9, SPAN("")), -1);
	/* Too late is too late, here as elsewhere. */
	message(3, 3);
	queue_run(q);
	assert_int_equal(queue_nack(f.w, msg_id(3), 4, SPAN("slow")), 0);
	assert_string_equal(last_report, "deadline: echo.0#1 missed its deadline: slow");
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(queue_nack(f.w, msg_id(2), 2, SPAN("it failed")), 0);
		queue_run(q);
	}
	assert_int_equal(journal_find(j, msg_id(2))->state, DLV_ASIDE);
	assert_string_equal(last_report, "poison: echo.0#1 failed: it failed");
	assert_int_equal(queue_worker_open(f.w), 0);
	end();
}

/* At the bound what may be shed goes, oldest first; what may not is kept, and the pool is full. */
static void
queue_is_bounded(void **state)
{
	static char		*events[] = { "MESSAGE_CREATE", "TYPING_START" };
	struct queue_usage	 u;
	struct fake		 f;

	(void)state;
	begin(4, false);
	end();
	bounds.queue = 8;
	bounds.events = (struct cfg_list){ .v = events, .n = 2, .set = true };
	begin_at(4u << 20, 4, false);
	for (uint64_t i = 1; i <= 4; i++)
		message(i, i);
	for (uint64_t i = 11; i <= 16; i++)
		assert_int_equal(dispatch("TYPING_START", i, i, 0), 0);
	queue_pool_usage(pool, &u);
	assert_int_equal(u.waiting, 8);
	assert_int_equal(u.shed, 2);
	assert_null(queue_full(q));		/* there is room, as long as some may be shed */
	/* Each message costs one of the four that are left. */
	for (uint64_t i = 5; i <= 8; i++)
		message(i, i);
	queue_pool_usage(pool, &u);
	assert_int_equal(u.waiting, 8);
	assert_int_equal(u.shed, 6);
	assert_int_equal(journal_count(j, DLV_WAITING), 8);
	assert_string_equal(queue_full(q), "echo");
	/* Messages are not dropped, and nothing of less worth gets in. */
	message(9, 9);
	assert_int_equal(dispatch("TYPING_START", 17, 17, 0), 0);
	queue_pool_usage(pool, &u);
	assert_int_equal(u.waiting, 9);
	assert_int_equal(u.shed, 7);
	assert_true(u.full);
	up(&f, 0);
	queue_run(q);
	assert_int_equal(f.n, 3);
	assert_null(queue_full(q));
	queue_pool_usage(pool, &u);
	assert_int_equal(u.waiting, 6);
	ack_all(&f);
	/* The same in bytes; by a reload, which asks nobody to wait. */
	cfg.queue = 0;
	cfg.queue_bytes_bytes = 4096;
	queue_pool_bounds(pool, &cfg);
	queue_run(q);
	ack_all(&f);
	queue_run(q);
	ack_all(&f);
	assert_null(queue_full(q));
	queue_worker_drain(f.w);
	assert_int_equal(dispatch("MESSAGE_CREATE", 20, 20, 3000), 0);
	assert_null(queue_full(q));
	assert_int_equal(dispatch("MESSAGE_CREATE", 21, 21, 3000), 0);
	assert_string_equal(queue_full(q), "echo");
	end();
}

/* Waiting or given: what is not done in time is set aside by name, and its worker has to obey. */
static void
deadlines(void **state)
{
	struct fake	 f;

	(void)state;
	begin(4, false);
	end();
	bounds.deadline_ms = 1000;
	begin_at(4u << 20, 4, false);
	queue_last_word(q, 1000);
	assert_true(queue_due_ms(q) == UINT64_MAX);
	message(1, 1);
	assert_int_equal(queue_due_ms(q), 6000);
	mono = wall = 400;
	message(2, 2);
	up(&f, 0);
	queue_worker_drain(f.w);
	mono = wall = 999;
	queue_run(q);
	assert_int_equal(asides, 0);
	mono = wall = 1000;
	queue_run(q);
	assert_int_equal(asides, 1);
	assert_string_equal(last_report, "deadline: its deadline of 1000 ms passed while it waited");
	/* What is left of its time goes with the EVENT; after it, CANCEL, then patience has an end. */
	queue_worker_down(&f.w, 0, false, "asked for");
	up(&f, 0);
	queue_run(q);
	assert_int_equal(f.n, 1);
	assert_int_equal(last_got.deadline_ms, 400);
	mono = 1400;
	queue_run(q);
	did_say("");				/* a worker of ours does it by itself */
	mono = 1650;
	queue_run(q);
	did_say("cancel2 ");
	message(3, 3);
	queue_run(q);
	mono = 1650 + 3000 - 1;
	queue_run(q);
	mono = 1650 + 3000;
	queue_run(q);
	assert_int_equal(f.n, 2);
	did_say("cancel3 overdue2 ");
	/* It is killed for that, whatever it was running: nobody else is a suspect. */
	queue_worker_down(&f.w, 0, true, "killed: hung");
	assert_string_equal(last_report, "deadline: killed: hung");
	assert_int_equal(journal_find(j, msg_id(2))->state, DLV_ASIDE);
	assert_false(journal_find(j, msg_id(3))->suspect);
	queue_run(q);				/* 3 is back and too late */
	assert_int_equal(asides, 3);
	/* A restart of ours and a clock that was set back: not longer than it was. */
	message(4, 4);
	restart(4, false);
	wall = 0;
	mono = 7000;
	restart(4, false);
	assert_int_equal(queue_due_ms(q), 13000);
	/* Acked in time. */
	up(&f, 0);
	queue_run(q);
	ack_all(&f);
	assert_true(queue_due_ms(q) == UINT64_MAX);
	end();
}

static int
delete_message(uint64_t id, uint64_t channel)
{
	return dispatch("MESSAGE_DELETE", id, channel, 0);
}

/* Though the pool does not want MESSAGE_DELETE. */
static void
deleted_messages_are_cancelled(void **state)
{
	struct fake	 f;
	struct envelope	 e = { .t = SPAN("MESSAGE_DELETE_BULK"), .has_s = true,
		.d = SPAN("{\"ids\":[\"5\",\"6\",\"77\"],\"channel_id\":\"1\"}") };

	(void)state;
	begin(2, false);
	queue_last_word(q, 1000);
	up(&f, 0);
	for (uint64_t i = 1; i <= 8; i++)
		message(i, i);
	queue_run(q);
	assert_int_equal(f.n, 2);
	assert_int_equal(delete_message(3, 3), 0);
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(3))), "cancelled");
	assert_int_equal(journal_find(j, msg_id(3))->attempt, 0);
	/* Given ones are told, once, and end however they say so, uncharged. */
	assert_int_equal(delete_message(1, 1), 0);
	assert_int_equal(delete_message(1, 1), 0);
	assert_int_equal(delete_message(2, 2), 0);
	did_say("cancel1 cancel2 ");
	assert_int_equal(queue_nack(f.w, msg_id(1), 4, SPAN("cancelled")), 0);
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(1))), "cancelled");
	ack(&f, msg_id(2));
	fake_forget(&f, 0);
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(2))), "cancelled");
	assert_int_equal(queue_dispatch(q, &e, "session", 0, false, NULL), 0);
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(5))), "cancelled");
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(6))), "cancelled");
	queue_run(q);
	assert_int_equal(f.n, 2);
	/* Its worker dies: it is not given again.  So do we. */
	assert_int_equal(delete_message(4, 4), 0);
	queue_worker_down(&f.w, 0, true, "died");
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(4))), "cancelled");
	up(&f, 0);
	queue_run(q);
	assert_int_equal(delete_message(7, 7), 0);
	assert_true(queue_due_ms(q) == 5000 + 3000);
	restart(2, false);
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(7))), "cancelled");
	up(&f, 0);
	queue_run(q);
	assert_int_equal(f.n, 1);
	assert_true(f.out[0].delivery == msg_id(8));
	assert_int_equal(asides, 0);
	end();
}

static void
interactions_go_first(void **state)
{
	static char	*events[] = { "MESSAGE_CREATE", "MESSAGE_UPDATE", "INTERACTION_CREATE" };
	struct fake	 f;
	size_t		 n[3] = { 0, 0, 0 };

	(void)state;
	begin(16, false);
	end();
	bounds.events = (struct cfg_list){ .v = events, .n = 3, .set = true };
	begin_at(4u << 20, 16, false);
	up(&f, 0);
	for (uint64_t i = 1; i <= 50; i++) {
		message(i, i % 5);
		assert_int_equal(dispatch("MESSAGE_UPDATE", i, i % 5, 0), 0);
	}
	queue_run(q);
	assert_int_equal(f.n, 14);
	for (uint64_t i = 901; i <= 903; i++)
		assert_int_equal(dispatch("INTERACTION_CREATE", i, 1, 0), 0);
	queue_run(q);
	assert_int_equal(f.n, 16);
	assert_true(f.out[14].object == 901 && f.out[15].object == 902);
	assert_true(f.out[14].flags & 4);
	for (size_t i = 0; i < f.n; i++)
		n[f.out[i].object > 900 ? 2 : (f.out[i].flags & 4) != 0]++;
	assert_true(n[0] == 12 && n[1] == 2 && n[2] == 2);
	/* Ahead of all that waits. */
	ack_all(&f);
	queue_run(q);
	assert_true(f.out[0].object == 903);
	end();
}

/* A Stop reaction must reach the answer that it stops. */
static void
control_follows_open_work_to_a_draining_worker(void **state)
{
	struct fake	 f[2];
	struct fake	*a, *b;

	(void)state;
	begin(16, true);
	up(&f[0], 0);
	up(&f[1], 1);
	message(1, 5);
	queue_run(q);
	a = f[0].n == 1 ? &f[0] : &f[1];
	b = a == &f[0] ? &f[1] : &f[0];
	queue_worker_drain(a->w);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 1, 5, 0), 0);
	message(2, 5);
	queue_run(q);
	assert_int_equal(a->n, 2);
	assert_int_equal(a->out[1].flags & 4, 4);
	assert_int_equal(b->n, 0);
	/* It does not want it: nobody else may have it now, and it is not asked again. */
	assert_int_equal(queue_nack(a->w, a->out[1].delivery, 1, SPAN("draining")), 0);
	fake_forget(a, 1);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 1, 5, 0), 0);
	queue_run(q);
	assert_int_equal(a->n, 1);
	assert_int_equal(b->n, 0);
	ack_all(a);
	queue_run(q);
	assert_int_equal(b->n, 3);
	/* What only speaks does not keep the key. */
	up(a, a->slot);
	ack(b, msg_id(2));
	queue_worker_drain(b->w);
	assert_int_equal(dispatch("MESSAGE_UPDATE", 1, 5, 0), 0);
	queue_run(q);
	assert_int_equal(b->n, 2);
	ack_all(b);
	queue_run(q);
	assert_int_equal(a->n, 1);
	end();
}

static void
states_go_to_every_worker(void **state)
{
	static char	*states[] = { "GUILD_UPDATE" };
	struct fake	 f[3];
	struct envelope	 e = { .t = SPAN("GUILD_UPDATE"), .has_s = true,
		.d = SPAN("{\"id\":\"9\"}") };
	unsigned	 wanted = 9;
	uint64_t	 sent = count_get(COUNT_states_sent), missed = count_get(COUNT_states_dropped);

	(void)state;
	begin(4, false);
	end();
	bounds.states = (struct cfg_list){ .v = states, .n = 1, .set = true };
	begin_at(4u << 20, 4, false);
	for (uint32_t i = 0; i < 3; i++)
		up(&f[i], i);
	queue_worker_drain(f[1].w);
	assert_int_equal(queue_dispatch(q, &e, "session", 0, false, &wanted), 0);
	assert_int_equal(wanted, 0);
	did_say("news0:GUILD_UPDATE news2:GUILD_UPDATE ");
	assert_int_equal(journal_count(j, DLV_WAITING), 0);
	slow = &f[0];
	assert_int_equal(queue_dispatch(q, &e, "session", 0, false, &wanted), 0);
	did_say("news2:GUILD_UPDATE ");
	assert_int_equal(count_get(COUNT_states_sent) - sent, 3);
	assert_int_equal(count_get(COUNT_states_dropped) - missed, 1);
	end();
}

/* A dead letter that is put back goes ahead of newer ones, with its effects, and is judged anew. */
static void
dead_letters_go_back(void **state)
{
	struct fake	 f;
	struct effect	*e;
	struct delivery	*d;

	(void)state;
	begin(1, false);
	end();
	bounds.deadline_ms = 1000;
	begin_at(4u << 20, 1, false);
	up(&f, 0);
	message(1, 1);
	message(2, 1);
	queue_run(q);
	assert_int_equal(journal_asked(j, queue_held(f.w, msg_id(1)), 1, SPAN("POST /a"), T0, &e), 1);
	journal_effect(j, queue_held(f.w, msg_id(1)), 1, 200, 5);
	assert_int_equal(queue_nack(f.w, msg_id(1), 3, SPAN("no")), 0);
	fake_forget(&f, 0);
	mono = wall = 5000;
	d = journal_find(j, msg_id(1));
	assert_null(queue_retry(q, d));
	restart(1, false);			/* that it was put back is not forgotten */
	assert_int_equal(queue_due_ms(q), 5000 + 5000);
	queue_run(q);
	assert_int_equal(asides, 1);		/* the other one */
	up(&f, 0);
	queue_run(q);
	assert_int_equal(f.n, 1);
	assert_true(f.out[0].delivery == msg_id(1));
	assert_int_equal(f.out[0].effects_n, 1);
	assert_int_equal(f.out[0].deadline_ms, 1000);
	assert_int_equal(queue_nack(f.w, msg_id(1), 3, SPAN("no")), 0);
	fake_forget(&f, 0);
	queue_let_go(q, journal_find(j, msg_id(1)));
	assert_string_equal(dlv_state_name(journal_find(j, msg_id(1))), "dropped");
	message(1, 1);
	queue_run(q);
	assert_int_equal(f.n, 0);
	end();
}

static void
effects_come_with_the_redelivery_after_a_restart(void **state)
{
	struct fake	 f;
	struct effect	*e;

	(void)state;
	begin(64, false);
	up(&f, 0);
	for (uint64_t i = 1; i <= 6; i++)
		message(i, 9);
	queue_run(q);
	assert_int_equal(
	    journal_asked(j, queue_held(f.w, msg_id(1)), 1, SPAN("POST /a"), T0, &e), 1);
	assert_int_equal(
	    journal_asked(j, queue_held(f.w, msg_id(1)), 2, SPAN("POST /b"), T0, &e), 1);
	journal_effect(j, queue_held(f.w, msg_id(1)), 1, 200, 5);
	ack(&f, msg_id(2));
	restart(64, false);
	message(7, 9);
	up(&f, 0);
	queue_run(q);
	assert_int_equal(f.n, 4);
	assert_true(f.out[0].delivery == msg_id(1) && f.out[1].delivery == msg_id(3));
	assert_int_equal(f.out[0].attempt, 2);
	assert_int_equal(f.out[0].effects_n, 2);
	assert_int_equal(f.out[1].effects_n, 0);
	assert_int_equal(journal_find(j, msg_id(1))->charges, 0);
	/* The replay of all of them changes nothing. */
	for (uint64_t i = 1; i <= 7; i++)
		message(i, 9);
	while (f.n > 0) {
		ack(&f, f.out[0].delivery);
		queue_run(q);
	}
	assert_int_equal(f.given, 6);
	end();

	/* A pool that is configured no more. */
	begin_at(4u << 20, 64, false);
	message(50, 1);
	end();
	begin_at(4u << 20, 64, false);
	end();
	{
		struct journal_report	 r;
		const char		*why;

		j = journal_open(path, 4u << 20, T0, &r, &why);
		q = queue_new(j, &ops, NULL, 3);
		queue_recover(q);
		assert_int_equal(journal_find(j, msg_id(50))->aside, ASIDE_REFUSED);
		end();
	}
}

static void
two_pools_and_a_full_journal(void **state)
{
	struct cfg_pool	 other;
	struct fake	 f, g;
	unsigned	 wanted;
	struct envelope	 e;
	uint64_t	 id;
	int		 rc = 0;

	(void)state;
	unlink(path);
	begin_at(65536, 64, false);
	other = cfg;
	other.name = "other";
	memset(&f, 0, sizeof(f));
	memset(&g, 0, sizeof(g));
	g.w = queue_worker_up(queue_pool_add(q, &other), 0, "other.0#1", &g);
	up(&f, 0);
	memset(&e, 0, sizeof(e));
	e.t = SPAN("GUILD_CREATE");
	e.d = SPAN("{}");
	assert_int_equal(queue_dispatch(q, &e, "s", 0, false, &wanted), 0);
	assert_int_equal(wanted, 0);
	e.t = SPAN("MESSAGE_CREATE");
	e.d = SPAN("{\"id\":");
	assert_int_equal(queue_dispatch(q, &e, "s", 0, false, &wanted), -1);
	assert_int_equal(wanted, 2);
	assert_int_equal(journal_count(j, DLV_WAITING), 0);
	for (id = 1; rc == 0; id++)
		rc = dispatch("MESSAGE_CREATE", id, id % 16 + 1, 400);
	id--;
	/* Deliveries end, the same event comes again, and each pool has each exactly once. */
	for (int turn = 0; turn < 1000; turn++) {
		queue_run(q);
		if (f.n == 0 && g.n == 0)
			break;
		ack_all(&f);
		ack_all(&g);
	}
	assert_int_equal(dispatch("MESSAGE_CREATE", id, id % 16 + 1, 400), 0);
	for (int turn = 0; turn < 1000; turn++) {
		queue_run(q);
		ack_all(&f);
		ack_all(&g);
	}
	assert_int_equal(f.given, id);
	assert_int_equal(g.given, id);
	end();
}

/* 100,000 waiting over 20,000 keys: each turn costs what it gives. */
static void
a_hundred_thousand_waiting(void **state)
{
	struct fake	 f[2];
	size_t		 n = 0;

	(void)state;
	unlink(path);
	begin_at(64u << 20, 64, false);
	for (uint64_t i = 1; i <= 100000; i++)
		message(i, i % 20000 + 1);
	up(&f[0], 0);
	up(&f[1], 1);
	queue_run(q);
	assert_int_equal(gives, 128);
	while (f[0].n + f[1].n > 0) {
		uint64_t	 before = gives;
		struct fake	*w = &f[n % 2];

		if (w->n == 0)
			w = &f[(n + 1) % 2];
		ack(w, w->out[0].delivery);
		queue_run(q);
		assert_true(gives - before <= 1);
		n++;
	}
	assert_int_equal(n, 100000);
	assert_int_equal(f[0].given + f[1].given, 100000);
	end();
}

/* ---- random model ---- */

#define M_WORKERS	4
#define M_IDS		30000
#define M_KEYS		12

static struct fake	 fk[M_WORKERS];
static struct mdl {
	uint8_t		 state;		/* 0 unknown, 1 waiting, 2 out, 3 finished, 4 aside */
	bool		 control;
	uint8_t		 charges, attempt;
	uint64_t	 key;
} mdl[M_IDS];
static uint64_t		 mdl_n, seed;

static uint64_t
rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* The model's number of a delivery: its object. */
static uint64_t
number(uint64_t delivery)
{
	struct delivery	*d = journal_find(j, delivery);

	assert_non_null(d);
	return d->object;
}

static void
model_started(struct fake *f, const struct got *g)
{
	uint64_t	 n = number(g->delivery);
	struct mdl	*m = &mdl[n];
	size_t		 of_key = 0, work = 0, control = 0;
	bool		 spoken_to = false;

	assert_int_equal(m->state, 1);
	m->state = 2;
	assert_int_equal(g->attempt, ++m->attempt);
	/* A draining one gets only what speaks about its open work. */
	for (size_t i = 0; f->draining && i < f->n; i++)
		spoken_to = spoken_to || (mdl[number(f->out[i].delivery)].key == m->key &&
		    !mdl[number(f->out[i].delivery)].control);
	assert_true(!f->draining || (m->control && spoken_to));
	/* No older one of the key and kind is waiting. */
	for (uint64_t i = 1; i < n; i++)
		if (mdl[i].state == 1 && mdl[i].key == m->key && mdl[i].control == m->control)
			fail_msg("%" PRIu64 " overtook %" PRIu64, n, i);
	for (size_t i = 0; i < f->n; i++) {
		const struct mdl	*o = &mdl[number(f->out[i].delivery)];

		of_key += o->key == m->key && o->control == m->control;
		*(o->control ? &control : &work) += 1;
	}
	assert_true(of_key <= 4);
	assert_true(work <= 14 && control <= 2);
	/* One worker at a time. */
	for (int w = 0; w < M_WORKERS; w++)
		for (size_t i = 0; &fk[w] != f && i < fk[w].n; i++)
			assert_false(mdl[number(fk[w].out[i].delivery)].key == m->key);
}

static void
model_check(void)
{
	uint64_t	 n[5] = { 0, 0, 0, 0, 0 };
	size_t		 out = 0, suspects = 0;
	struct delivery	*d;

	for (d = journal_first(j, DLV_GIVEN); d != NULL; d = TAILQ_NEXT(d, in_state))
		suspects += d->suspect;
	assert_true(suspects <= 1);
	for (uint64_t i = 1; i <= mdl_n; i++)
		n[mdl[i].state]++;
	for (int w = 0; w < M_WORKERS; w++) {
		out += fk[w].n;
		if (fk[w].w != NULL)
			assert_int_equal(queue_worker_open(fk[w].w), fk[w].n);
	}
	assert_int_equal(n[2], out);
	assert_int_equal(journal_count(j, DLV_WAITING), n[1]);
	assert_int_equal(journal_count(j, DLV_GIVEN), n[2]);
	assert_int_equal(journal_count(j, DLV_ASIDE), n[4]);
}

static void
model_down(struct fake *f)
{
	uint64_t	 running = 0;
	bool		 charge = rnd(4) != 0;
	size_t		 at = 0;

	if (f->n > 0 && rnd(3) != 0) {
		at = rnd(f->n);
		running = f->out[at].delivery;
	}
	queue_worker_down(&f->w, running, charge, "died");
	for (size_t i = 0; i < f->n; i++) {
		struct delivery	*d = journal_find(j, f->out[i].delivery);
		struct mdl	*m = &mdl[d->object];

		if (charge && running == d->id) {
			m->charges++;
			assert_int_equal(d->charges, m->charges);
		} else if (running != 0 || !charge)
			assert_int_equal(d->charges, m->charges);	/* only the one that ran */
		else
			m->charges = d->charges;			/* a suspect */
		m->state = d->state == DLV_ASIDE ? 4 : 1;
		assert_true(d->state == (m->charges >= 3 ? DLV_ASIDE : DLV_WAITING));
	}
	f->n = 0;
	f->draining = false;
}

static void
model_step(void)
{
	struct fake	*f = &fk[rnd(M_WORKERS)];
	size_t		 at;

	switch (rnd(12)) {
	case 0: case 1: case 2: case 3:
		if (mdl_n + 1 < M_IDS) {
			bool	 control = rnd(5) == 0;

			mdl_n++;
			mdl[mdl_n].state = 1;
			mdl[mdl_n].control = control;
			mdl[mdl_n].key = 1 + rnd(M_KEYS);
			assert_int_equal(dispatch(control ? "MESSAGE_UPDATE" : "MESSAGE_CREATE",
					     mdl_n, mdl[mdl_n].key, rnd(300)),
			    0);
		}
		break;
	case 4: case 5: case 6: case 7:
		if (f->w != NULL && f->n > 0) {
			at = rnd(f->n);
			mdl[number(f->out[at].delivery)].state = 3;
			ack(f, f->out[at].delivery);
		}
		break;
	case 8:
		if (f->w != NULL && f->n > 0 && f->draining) {
			at = rnd(f->n);
			mdl[number(f->out[at].delivery)].state = 1;
			assert_int_equal(
			    queue_nack(f->w, f->out[at].delivery, 1, SPAN("draining")), 0);
			fake_forget(f, at);
		}
		break;
	case 9:
		if (f->w == NULL)
			up(f, (uint32_t)(f - fk));
		break;
	case 10:
		if (f->w != NULL && rnd(4) == 0) {
			f->draining = true;
			queue_worker_drain(f->w);
		}
		break;
	case 11:
		if (f->w != NULL && rnd(3) == 0)
			model_down(f);
		break;
	}
	if (rnd(3) == 0)
		queue_run(q);
}

static void
random_life(void **state)
{
	(void)state;
	for (uint64_t run = 1; run <= 8; run++) {
		memset(fk, 0, sizeof(fk));
		memset(mdl, 0, sizeof(mdl));
		mdl_n = 0;
		seed = run * 7919;
		begin(16, true);
		check_model = true;
		for (int step = 0; step < 4000; step++) {
			model_step();
			model_check();
			if (step % 1000 == 999) {
				/* The supervisor dies: all that was out or waiting waits. */
				for (int w = 0; w < M_WORKERS; w++) {
					for (size_t i = 0; i < fk[w].n; i++)
						mdl[number(fk[w].out[i].delivery)].state = 1;
					memset(&fk[w], 0, sizeof(fk[w]));
				}
				restart(16, true);
				model_check();
			}
		}
		/* At the end everything is finished or aside: nothing was lost. */
		for (int w = 0; w < M_WORKERS; w++)
			if (fk[w].w == NULL)
				up(&fk[w], (uint32_t)w);
			else if (fk[w].draining)
				model_down(&fk[w]);
		for (int turn = 0; turn < 20000 &&
		     journal_count(j, DLV_WAITING) + journal_count(j, DLV_GIVEN) > 0;
		     turn++) {
			queue_run(q);
			for (int w = 0; w < M_WORKERS; w++)
				while (fk[w].w != NULL && fk[w].n > 0) {
					mdl[number(fk[w].out[0].delivery)].state = 3;
					ack(&fk[w], fk[w].out[0].delivery);
				}
		}
		model_check();
		assert_int_equal(journal_count(j, DLV_WAITING) + journal_count(j, DLV_GIVEN), 0);
		for (uint64_t i = 1; i <= mdl_n; i++)
			assert_true(mdl[i].state >= 3);
		check_model = false;
		end();
	}
}

static void
narrow(const char *const *names, size_t n)
{
	struct buf	 b = { 0 };

	for (size_t i = 0; i < n; i++)
		msg_list_str(&b, span_of(names[i]));
	queue_pool_narrow(pool, msg_list_of(&b), "echo.0#1");
	buf_fini(&b);
}

static void
workers_narrow_what_is_configured(void **state)
{
	static const char *const	 names[] = { "NOPE", "TYPING_START", "MESSAGE_UPDATE" };

	(void)state;
	begin(8, true);
	assert_true(queue_wants(q, "MESSAGE_CREATE") && queue_wants(q, "MESSAGE_UPDATE"));
	message(1, 77);
	narrow(names, 3);
	assert_false(queue_wants(q, "MESSAGE_CREATE"));
	assert_true(queue_wants(q, "MESSAGE_UPDATE"));
	assert_false(queue_wants(q, "TYPING_START"));	/* nobody configured it */
	message(2, 77);
	assert_int_equal(journal_count(j, DLV_WAITING), 1);	/* what waited is not forgotten */
	narrow(NULL, 0);
	assert_true(queue_wants(q, "MESSAGE_CREATE") && queue_wants(q, "MESSAGE_UPDATE"));
	assert_false(queue_wants(q, "TYPING_START"));
	message(3, 77);
	assert_int_equal(journal_count(j, DLV_WAITING), 2);
	end();
}

/* A reload: what is not configured any more is not wanted; what READY narrowed stays as narrow. */
static void
a_reload_changes_what_is_wanted(void **state)
{
	static const char *const	 names[] = { "MESSAGE_UPDATE" };
	struct cfg			 next = { .pools = &cfg, .pools_n = 1, .poison = 3 };

	(void)state;
	begin(8, true);
	narrow(names, 1);
	cfg.credit = 2;
	queue_reconfigure(q, &next);
	assert_false(queue_wants(q, "MESSAGE_CREATE"));
	assert_true(queue_wants(q, "MESSAGE_UPDATE"));
	cfg.events.n = 1;			/* MESSAGE_CREATE alone */
	queue_reconfigure(q, &next);
	assert_true(queue_wants(q, "MESSAGE_CREATE"));
	assert_false(queue_wants(q, "MESSAGE_UPDATE"));
	next.pools_n = 0;
	queue_reconfigure(q, &next);
	assert_false(queue_wants(q, "MESSAGE_CREATE"));
	end();
}

/* Of a pool that is gone what waits is set aside by name, and known when it comes once more. */
static void
a_pool_that_is_gone_leaves_letters(void **state)
{
	struct fake	 f;

	(void)state;
	begin(1, false);
	up(&f, 0);
	message(1, 7);
	message(2, 8);
	message(3, 7);
	queue_run(q);
	assert_int_equal(f.n, 1);
	ack_all(&f);
	queue_worker_drain(f.w);
	queue_worker_down(&f.w, 0, false, "asked");
	assert_int_equal(queue_pool_remove(q, "nobody"), 0);
	assert_int_equal(queue_pool_remove(q, "echo"), 2);
	assert_null(queue_pool(q, "echo"));
	assert_int_equal(asides, 2);
	assert_string_equal(last_report, "refused: its pool was taken out of the configuration");
	assert_int_equal(journal_count(j, DLV_WAITING), 0);
	assert_int_equal(journal_count(j, DLV_ASIDE), 2);
	message(4, 7);				/* nobody wants it */
	queue_run(q);
	pool = queue_pool_add(q, &cfg);
	message(2, 8);
	assert_int_equal(journal_count(j, DLV_WAITING), 0);
	message(5, 8);
	assert_int_equal(journal_count(j, DLV_WAITING), 1);
	end();
}

static int
make_path(void **state)
{
	const char	*tmp = getenv("TMPDIR");

	(void)state;
	log_redirect(quiet, NULL);
	snprintf(path, sizeof(path), "%s/bulkhead-queue-%ld",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm"
		: tmp == NULL		  ? "/tmp"
					  : tmp,
	    (long)getpid());
	return 0;
}

static int
remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(one_conversation_in_order_at_most_four_out),
		cmocka_unit_test(keys_take_turns_for_credit),
		cmocka_unit_test(gate_keeps_what_is_live_behind_the_gap),
		cmocka_unit_test(bytes_are_credit_too),
		cmocka_unit_test(control_overtakes),
		cmocka_unit_test(sticky_fresh_and_drain),
		cmocka_unit_test(dead_workers_deliveries_go_first),
		cmocka_unit_test(poison_is_set_aside_and_only_poison),
		cmocka_unit_test(suspects_are_redelivered_alone),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(what_failed_is_not_overtaken),
		cmocka_unit_test(what_arrives_while_others_come_back_waits),
		cmocka_unit_test(control_is_never_behind),
		cmocka_unit_test(nack_reasons),
		cmocka_unit_test(queue_is_bounded),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(deleted_messages_are_cancelled),
		cmocka_unit_test(interactions_go_first),
		cmocka_unit_test(control_follows_open_work_to_a_draining_worker),
		cmocka_unit_test(states_go_to_every_worker),
		cmocka_unit_test(dead_letters_go_back),
		cmocka_unit_test(effects_come_with_the_redelivery_after_a_restart),
		cmocka_unit_test(two_pools_and_a_full_journal),
		cmocka_unit_test(a_hundred_thousand_waiting),
		cmocka_unit_test(workers_narrow_what_is_configured),
		cmocka_unit_test(a_reload_changes_what_is_wanted),
		cmocka_unit_test(a_pool_that_is_gone_leaves_letters),
		cmocka_unit_test(random_life),
	};

	return cmocka_run_group_tests_name("queue", tests, make_path, remove_path);
}
