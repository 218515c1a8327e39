/*
 * journal: what survives a kill at any instruction, and what damage may not do.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/count.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/journal/journal.h"
#include "supervisor/journal/log.h"
#include "tests/unit/fakes.h"

#define SMALL	65536u
#define T0	1700000000000ull

static char	 dir[256];

static int
make_dir(void **state)
{
	const char	*tmp = getenv("TMPDIR");

	(void)state;
	log_redirect(quiet, NULL);
	snprintf(dir, sizeof(dir), "/dev/shm/bulkhead-journal-XXXXXX");
	if (mkdtemp(dir) == NULL) {
		snprintf(
		    dir, sizeof(dir), "%s/bulkhead-journal-XXXXXX", tmp == NULL ? "/tmp" : tmp);
		if (mkdtemp(dir) == NULL)
			return -1;
	}
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static const char *
path_of(const char *name)
{
	static char	 path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static uint64_t	 seed;

static uint64_t
rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static struct journal *
opened(const char *path, uint64_t bytes, uint64_t now_ms, struct journal_report *r)
{
	const char	*why;
	struct journal	*j;

	j = journal_open(path, bytes, now_ms, r, &why);
	if (j == NULL)
		fail_msg("%s: %s", path, why);
	return j;
}

static int
event(struct journal *j, uint64_t id, size_t body_n, uint64_t now_ms, bool shed,
    struct delivery **d_r)
{
	static char		 body[1u << 20];
	struct journal_event	 ev;

	assert_true(body_n <= sizeof(body));
	memset(body, 'a' + (int)(id % 26), body_n);
	memset(&ev, 0, sizeof(ev));
	ev.delivery = id;
	ev.object = id * 10;
	ev.key = id % 7;
	ev.seq = id;
	ev.pool = SPAN("echo");
	ev.name = SPAN("MESSAGE_CREATE");
	ev.body = span_make(body, body_n);
	ev.shed = shed;
	ev.said = true;
	ev.guild = ev.key == 3 ? 0 : ev.key * 100;
	return journal_event(j, &ev, now_ms, d_r);
}

static void
identity(struct journal *j, const char *session, uint64_t seq)
{
	struct gw_identity	 id;

	memset(&id, 0, sizeof(id));
	id.shards = 1;
	strlcpy(id.session_id, session, sizeof(id.session_id));
	strlcpy(id.resume_url, "ws://127.0.0.1:1", sizeof(id.resume_url));
	id.user_id = 42;
	id.seq = seq;
	journal_identity(j, &id);
}

static void
child(struct journal *j, pid_t pid, const char *tag)
{
	struct journal_child	 c;

	memset(&c, 0, sizeof(c));
	c.pid = pid;
	c.starttime = 77;
	strlcpy(c.tag, tag, sizeof(c.tag));
	journal_child(j, &c);
}

static struct journal_channel
last_of(struct journal *j, uint64_t channel)
{
	static struct journal_channel	 v[JOURNAL_CHANNELS_MAX];
	struct journal_channel		 none = { 0, 0, 0, 0 };
	size_t				 n = journal_channels(j, v, JOURNAL_CHANNELS_MAX);

	for (size_t i = 0; i < n; i++)
		if (v[i].id == channel)
			return v[i];
	return none;
}

/* All that a delivery goes through is there after a restart, and the file is private. */
static void
everything_comes_back(void **state)
{
	const char		*path = path_of("j");
	struct journal_report	 r;
	struct journal		*j;
	struct delivery		*d, *e, *f, *a;
	struct effect		*x;
	struct gw_identity	 id;
	struct gw_budget	 b = { T0, T0 - 5, 3 };
	struct journal_child	 c;
	struct stat		 st;

	(void)state;
	j = opened(path, SMALL, T0, &r);
	assert_true(r.created);
	assert_false(r.damaged);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, SMALL);
	assert_false(journal_identity_get(j, 0, &id));
	identity(j, "abc", 1);
	journal_seq(j, 0, 17);
	journal_budget(j, &b);
	assert_int_equal(journal_presence_get(j).n, 0);
	journal_presence(j, SPAN("{\"status\":\"dnd\"}"));
	journal_presence(j, SPAN("{\"status\":\"idle\"}"));
	child(j, 100, "echo.0#1");
	child(j, 101, "echo.1#1");
	journal_child_gone(j, 100);
	assert_int_equal(event(j, 1, 100, T0 + 1, false, &d), 1);
	assert_int_equal(event(j, 1, 100, T0 + 1, false, &e), 0);
	assert_ptr_equal(d, e);
	assert_int_equal(event(j, 2, 200, T0 + 2, false, &e), 1);
	assert_int_equal(event(j, 3, 300, T0 + 3, false, &f), 1);
	assert_int_equal(event(j, 4, 400, T0 + 4, true, &a), 1);
	journal_given(j, d, "echo.0#1", T0 + 10);
	journal_returned(j, d, true);
	journal_given(j, d, "echo.1#1", T0 + 11);
	assert_int_equal(journal_asked(j, d, 1, SPAN("POST /channels/1/messages"), T0 + 12, &x), 1);
	assert_int_equal(journal_asked(j, d, 2, SPAN("PUT /x"), T0 + 13, &x), 1);
	assert_int_equal(journal_asked(j, d, 2, SPAN("PUT /y"), T0 + 14, &x), 0);
	assert_true(journal_effect_is(x, SPAN("PUT /x")));
	assert_false(journal_effect_is(x, SPAN("PUT /y")));
	journal_effect(j, d, 1, 200, 987654321);
	journal_given(j, e, "echo.0#1", T0 + 12);
	journal_finished(j, e, T0 + 20);
	journal_aside(j, f, ASIDE_POISON, "echo.0#1 died", T0 + 21);
	journal_close(&j);

	j = opened(path, SMALL, T0 + 30, &r);
	assert_false(r.created);
	assert_false(r.damaged);
	assert_int_equal(r.unfinished_n, 2);
	assert_int_equal(r.finished_n, 1);
	assert_int_equal(r.aside_n, 1);
	d = journal_find(j, 1);
	assert_int_equal(d->state, DLV_GIVEN);
	assert_int_equal(d->attempt, 2);
	assert_int_equal(d->charges, 1);
	assert_int_equal(d->object, 10);
	assert_string_equal(d->worker, "echo.1#1");
	assert_string_equal(d->pool, "echo");
	assert_string_equal(d->name, "MESSAGE_CREATE");
	assert_int_equal(d->given_ms, T0 + 11);
	assert_int_equal(d->effects_n, 2);
	assert_true(d->effects[0].done);
	assert_int_equal(d->effects[0].status, 200);
	assert_int_equal(d->effects[0].id, 987654321);
	assert_string_equal(d->effects[0].route, "POST /channels/1/messages");
	assert_false(d->effects[1].done);
	assert_int_equal(d->effects[1].asked_ms, T0 + 13);
	assert_int_equal(journal_body(j, d).n, 100);
	assert_int_equal(journal_body(j, d).p[99], 'b');
	e = journal_find(j, 2);
	assert_int_equal(e->state, DLV_FINISHED);
	assert_int_equal(journal_body(j, e).n, 0);
	f = journal_find(j, 3);
	assert_int_equal(f->state, DLV_ASIDE);
	assert_int_equal(f->aside, ASIDE_POISON);
	assert_string_equal(f->report, "echo.0#1 died");
	assert_int_equal(journal_body(j, f).n, 300);
	a = journal_find(j, 4);
	assert_true(a->shed);
	assert_ptr_equal(journal_first(j, DLV_WAITING), a);
	assert_int_equal(journal_count(j, DLV_WAITING), 1);
	assert_true(journal_identity_get(j, 0, &id));
	assert_string_equal(id.session_id, "abc");
	assert_int_equal(id.seq, 17);
	assert_true(journal_budget_get(j, &b));
	assert_int_equal(b.used, 3);
	assert_true(span_is(journal_presence_get(j), "{\"status\":\"idle\"}"));
	assert_true(journal_child_at(j, 0, &c));
	assert_int_equal(c.pid, 101);
	assert_string_equal(c.tag, "echo.1#1");
	assert_false(journal_child_at(j, 1, &c));
	/* The seq of a session is not that of the next. */
	identity(j, "def", 1);
	assert_true(journal_identity_get(j, 0, &id));
	assert_int_equal(id.seq, 1);
	journal_close(&j);
	j = opened(path, SMALL, T0 + 31, &r);
	assert_true(journal_identity_get(j, 0, &id));
	assert_int_equal(id.seq, 1);
	journal_close(&j);
	assert_int_equal(unlink(path), 0);
}

static void
explain_names_every_stamp(void **state)
{
	struct journal_report	 r;
	struct journal		*j = opened(path_of("j"), SMALL, T0, &r);
	struct delivery		*d;
	struct effect		*x;
	struct buf		 out;

	(void)state;
	memset(&out, 0, sizeof(out));
	assert_int_equal(journal_explain(j, 10, &out), 0);
	assert_true(span_is(buf_span(&out), "[]"));
	buf_reset(&out);
	assert_int_equal(event(j, 1, 20, T0, false, &d), 1);
	journal_given(j, d, "echo.0#3", T0 + 1000);
	assert_int_equal(journal_asked(j, d, 1, SPAN("POST /c"), T0 + 1500, &x), 1);
	journal_effect(j, d, 1, 200, 55);
	journal_finished(j, d, T0 + 2000);
	assert_int_equal(journal_explain(j, 10, &out), 1);
	buf_add(&out, "", 1);
	assert_string_equal(out.p + out.off,
	    "[{\"pool\":\"echo\",\"delivery\":\"0000000000000001\","
	    "\"event\":\"MESSAGE_CREATE\",\"object\":\"10\",\"key\":\"1\",\"shard\":0,\"seq\":1,"
	    "\"replayed\":false,"
	    "\"state\":\"finished\",\"received\":\"2023-11-14T22:13:20.000Z\",\"given\":\"2023-11-"
	    "14T22:13:21.000Z\","
	    "\"finished\":\"2023-11-14T22:13:22.000Z\",\"attempts\":1,\"charges\":0,\"worker\":"
	    "\"echo.0#3\","
	    "\"effects\":[{\"ordinal\":1,\"route\":\"POST "
	    "/c\",\"asked\":\"2023-11-14T22:13:21.500Z\",\"done\":true,"
	    "\"status\":200,\"id\":\"55\"}]}]");
	buf_fini(&out);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

/* Round the ring many times with a few long-lived ones: they are there at the end, whole. */
static void
survivors_outlive_many_wraps(void **state)
{
	const char		*path = path_of("j");
	struct journal_report	 r;
	struct journal_usage	 u;
	struct journal		*j = opened(path, SMALL, T0, &r);
	struct delivery		*d;
	struct effect		*x;

	(void)state;
	identity(j, "s", 0);
	for (uint64_t id = 1; id <= 10; id++) {
		assert_int_equal(event(j, id, 500, T0, false, &d), 1);
		if (id % 2 == 0) {
			journal_given(j, d, "echo.0#1", T0);
			assert_int_equal(journal_asked(j, d, 1, SPAN("POST /a"), T0, &x), 1);
			journal_effect(j, d, 1, 200, id);
		}
	}
	for (uint64_t id = 100; id < 5100; id++) {
		assert_int_equal(event(j, id, 100 + id % 3000, T0 + id, false, &d), 1);
		journal_given(j, d, "echo.1#1", T0 + id);
		journal_seq(j, 0, id);
		journal_finished(j, d, T0 + id);
		if (id % 500 == 0) {
			journal_close(&j);
			j = opened(path, SMALL, T0 + id, &r);
			assert_false(r.damaged);
			assert_int_equal(r.unfinished_n, 10);
		}
	}
	journal_usage(j, &u);
	assert_true(u.wraps > 2);
	assert_true(u.live_bytes < SMALL);
	assert_int_equal(u.dropped, 0);
	for (uint64_t id = 1; id <= 10; id++) {
		d = journal_find(j, id);
		assert_non_null(d);
		assert_int_equal(d->state, id % 2 == 0 ? DLV_GIVEN : DLV_WAITING);
		assert_int_equal(d->effects_n, id % 2 == 0);
		if (d->effects_n == 1)
			assert_int_equal(d->effects[0].id, id);
		assert_int_equal(journal_body(j, d).n, 500);
		assert_int_equal(journal_body(j, d).p[0], 'a' + (int)(id % 26));
	}
	/* What was finished last is known. */
	assert_int_equal(event(j, 5099, 10, T0 + 5100, false, &d), 0);
	assert_int_equal(d->state, DLV_FINISHED);
	journal_close(&j);
	assert_int_equal(unlink(path), 0);
}

static uint64_t	 dropped_ids[4096];
static size_t	 dropped_n;

static void
on_drop(struct delivery *d, void *arg)
{
	(void)arg;
	assert_int_equal(d->state, DLV_WAITING);
	assert_true(d->shed);
	dropped_ids[dropped_n++] = d->id;
}

/*
 * At the bound: first what may be shed goes, then events are refused; what is in goes on to its
 * end.
 */
static void
full_journal_refuses_and_goes_on(void **state)
{
	const char		*path = path_of("j");
	struct journal_report	 r;
	struct journal		*j = opened(path, SMALL, T0, &r);
	struct delivery		*d, *next;
	struct effect		*x;
	uint64_t		 id, first_refused;
	int			 rc;

	(void)state;
	dropped_n = 0;
	journal_on_drop(j, on_drop, NULL);
	for (id = 1; id <= 20; id++)
		assert_int_equal(event(j, id, 300, T0, true, &d), 1);
	for (; (rc = event(j, id, 700, T0, false, &d)) == 1; id++)
		;
	assert_int_equal(rc, -1);
	assert_null(journal_find(j, id));
	assert_int_equal(dropped_n, 20);
	assert_int_equal(dropped_ids[0], 1);
	assert_true(journal_tight(j));
	assert_int_equal(event(j, 9999, 10, T0, true, &d), -1);
	first_refused = id;
	assert_true(first_refused > 30);
	/* All that are in can be worked off, and asking is refused before it harms. */
	for (d = journal_first(j, DLV_WAITING); d != NULL; d = next) {
		next = TAILQ_NEXT(d, in_state);
		journal_given(
		    j, d, "a.very.long.worker.tag.of.a.pool.with.a.long.name.99#123456789", T0);
	}
	for (int n = 1; n <= 64; n++)
		for (d = journal_first(j, DLV_GIVEN); d != NULL; d = next) {
			next = TAILQ_NEXT(d, in_state);
			rc = journal_asked(j, d, (uint64_t)n,
			    SPAN("POST /channels/123456789012345678/messages"), T0, &x);
			if (rc == 1)
				journal_effect(j, d, (uint64_t)n, 200, 1);
		}
	assert_int_equal(rc, -1);
	journal_close(&j);
	j = opened(path, SMALL, T0, &r);
	assert_false(r.damaged);
	assert_int_equal(r.unfinished_n, first_refused - 21);
	for (d = journal_first(j, DLV_GIVEN); d != NULL; d = next) {
		next = TAILQ_NEXT(d, in_state);
		if (d->id % 2 == 0)
			journal_returned(j, d, false);
		else
			journal_finished(j, d, T0);
	}
	assert_int_equal(event(j, first_refused, 700, T0, false, &d), 1);
	journal_close(&j);
	assert_int_equal(unlink(path), 0);
}

static void
large_body_is_set_aside_by_name(void **state)
{
	struct journal_report	 r;
	struct journal		*j = opened(path_of("j"), SMALL, T0, &r);
	struct delivery		*d;

	(void)state;
	assert_int_equal(event(j, 1, SMALL / 8 + 1, T0, false, &d), 1);
	assert_int_equal(d->state, DLV_ASIDE);
	assert_int_equal(d->aside, ASIDE_TOOBIG);
	assert_int_equal(event(j, 2, SMALL / 8, T0, false, &d), 1);
	assert_int_equal(d->state, DLV_WAITING);
	journal_close(&j);
	j = opened(path_of("j"), SMALL, T0, &r);
	assert_int_equal(journal_find(j, 1)->aside, ASIDE_TOOBIG);
	assert_int_equal(journal_body(j, journal_find(j, 2)).n, SMALL / 8);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

static void
effects_are_bounded_and_long_routes_hashed(void **state)
{
	struct journal_report	 r;
	struct journal		*j = opened(path_of("j"), 1u << 20, T0, &r);
	struct delivery		*d;
	struct effect		*x;
	char			 route[600];

	(void)state;
	memset(route, 'r', sizeof(route));
	assert_int_equal(event(j, 1, 10, T0, false, &d), 1);
	for (uint64_t n = 1; n <= PROTO_EFFECTS_MAX; n++)
		assert_int_equal(
		    journal_asked(j, d, n, span_make(route, n == 1 ? 600 : 256), T0, &x), 1);
	assert_int_equal(journal_asked(j, d, 65, SPAN("POST /x"), T0, &x), -1);
	assert_int_equal(journal_asked(j, d, 1, SPAN("POST /x"), T0, &x), 0);
	assert_true(strlen(x->route) <= JOURNAL_ROUTE_MAX);
	assert_true(journal_effect_is(x, span_make(route, 600)));
	assert_false(journal_effect_is(x, span_make(route, 599)));
	journal_close(&j);
	j = opened(path_of("j"), 1u << 20, T0, &r);
	assert_int_equal(journal_find(j, 1)->effects_n, PROTO_EFFECTS_MAX);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

/* Another size: survivors move.  Too small for them: the size stays.  No journal: emptied. */
static void
size_and_foreign_files(void **state)
{
	const char		*path = path_of("j");
	struct journal_report	 r;
	struct journal_usage	 u;
	struct journal		*j = opened(path, 1u << 20, T0, &r);
	struct delivery		*d;
	FILE			*f;

	(void)state;
	for (uint64_t id = 1; id <= 10; id++)
		assert_int_equal(event(j, id, 1000, T0, false, &d), 1);
	journal_close(&j);
	j = opened(path, SMALL, T0, &r);
	assert_false(r.damaged);
	assert_int_equal(r.unfinished_n, 10);
	journal_usage(j, &u);
	assert_int_equal(u.bytes, SMALL);
	journal_close(&j);
	j = opened(path, 1u << 20, T0, &r);
	assert_int_equal(r.unfinished_n, 10);
	for (uint64_t id = 11; id <= 200; id++)
		assert_int_equal(event(j, id, 1000, T0, false, &d), 1);
	journal_close(&j);
	j = opened(path, SMALL, T0, &r);
	assert_int_equal(r.unfinished_n, 200);
	journal_usage(j, &u);
	assert_int_equal(u.bytes, 1u << 20);
	journal_close(&j);

	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 10000; i++)
		fputs("something else\n", f);
	fclose(f);
	j = opened(path, SMALL, T0, &r);
	assert_true(r.created);
	assert_false(r.damaged);
	assert_int_equal(event(j, 1, 10, T0, false, &d), 1);
	journal_close(&j);
	assert_int_equal(unlink(path), 0);
}

static void
refusals_have_a_reason(void **state)
{
	struct journal_report	 r;
	const char		*why = NULL;

	(void)state;
	assert_null(journal_open("/nonexistent/j", SMALL, T0, &r, &why));
	assert_string_equal(why, "the journal cannot be opened");
	assert_null(journal_open(dir, SMALL, T0, &r, &why));
	assert_non_null(why);
	/* More than the file system has: an error at open, no SIGBUS later. */
	assert_null(journal_open(path_of("j"), 1ull << 50, T0, &r, &why));
	assert_non_null(why);
	unlink(path_of("j"));
}

/* ---- damage ---- */

#define MODEL_N		400

/* What was acknowledged about each delivery when the file was last written. */
static struct model {
	bool		 known;			/* after a clean open */
	enum dlv_state	 state;
	uint8_t		 attempt, charges;
	size_t		 effects_n, done_n;
	bool		 touched;		/* was ever given */
} model[MODEL_N];

static _Alignas(8) char	 image[SMALL], copy[SMALL];

static size_t
done_n(const struct delivery *d)
{
	size_t	 n = 0;

	for (size_t i = 0; i < d->effects_n; i++)
		n += d->effects[i].done;
	return n;
}

/* A journal of the smallest size that has come round, with some of everything in it. */
static void
make_image(void)
{
	struct journal_report	 r;
	struct journal_usage	 u;
	struct journal		*j;
	struct delivery		*d;
	struct effect		*x;
	struct gw_budget	 b = { T0, T0, 1 };
	FILE			*f;

	seed = 20261;
	memset(model, 0, sizeof(model));
	j = opened(path_of("image"), SMALL, T0, &r);
	identity(j, "first", 1);
	journal_budget(j, &b);
	child(j, 100, "rest.0#1");
	child(j, 101, "echo.0#1");
	child(j, 102, "echo.1#1");
	journal_child_gone(j, 101);
	for (uint64_t id = 1; id < MODEL_N; id++) {
		assert_int_equal(event(j, id, 50 + rnd(400), T0 + id, false, &d), 1);
		journal_seq(j, 0, id);
		if (id == 200)
			identity(j, "second", 200);
		if (id % 32 == 3)
			continue;		/* waits to the end */
		journal_given(j, d, "echo.0#1", T0 + id);
		model[id].touched = true;
		if (id % 32 == 4)
			continue;		/* given to the end */
		if (id % 8 == 5) {
			journal_returned(j, d, id % 16 == 5);
			journal_given(j, d, "echo.1#1", T0 + id);
		}
		for (uint64_t o = 1; o <= 1 + rnd(3); o++) {
			assert_int_equal(
			    journal_asked(j, d, o, SPAN("POST /channels/1/messages"), T0 + id, &x),
			    1);
			if (rnd(4) != 0)
				journal_effect(j, d, o, 200, id * 100 + o);
		}
		if (id % 32 == 7)
			continue;		/* with effects, unfinished */
		if (id % 64 == 9)
			journal_aside(j, d, ASIDE_POISON, "it killed echo.0#1", T0 + id);
		else
			journal_finished(j, d, T0 + id);
	}
	journal_usage(j, &u);
	assert_true(u.wraps >= 1);
	assert_int_equal(u.dropped, 0);
	journal_close(&j);
	f = fopen(path_of("image"), "r");
	assert_non_null(f);
	assert_int_equal(fread(image, 1, SMALL, f), SMALL);
	fclose(f);
	assert_int_equal(unlink(path_of("image")), 0);

	memcpy(copy, image, SMALL);
	j = journal_open_image(copy, SMALL, SMALL, T0 + 1000, &r);
	assert_false(r.damaged);
	assert_true(r.unfinished_n > 20);
	assert_true(r.finished_n > 20);
	assert_true(r.aside_n > 3);
	for (uint64_t id = 1; id < MODEL_N; id++)
		if ((d = journal_find(j, id)) != NULL) {
			model[id].known = true;
			model[id].state = d->state;
			model[id].attempt = d->attempt;
			model[id].charges = d->charges;
			model[id].effects_n = d->effects_n;
			model[id].done_n = done_n(d);
		}
	journal_close(&j);
}

/*
 * What may never be, whatever is wrong with the file: that a delivery would be given again although
 * it was finished or set aside, or without all that is known of its effects, attempts and charges.
 */
static void
never_answered_twice(struct journal *j, size_t at)
{
	static const enum dlv_state	 open[] = { DLV_WAITING, DLV_GIVEN };
	const struct model		*m;
	struct delivery			*d;

	for (size_t i = 0; i < 2; i++)
		for (d = journal_first(j, open[i]); d != NULL; d = TAILQ_NEXT(d, in_state)) {
			if (d->id >= MODEL_N)
				fail_msg("at %zu: delivery %" PRIu64 " out of nothing", at, d->id);
			m = &model[d->id];
			if (!m->known || (m->state != DLV_WAITING && m->state != DLV_GIVEN))
				fail_msg("at %zu: delivery %" PRIu64 " would be answered again", at,
				    d->id);
			if (d->state != m->state || d->effects_n != m->effects_n ||
			    done_n(d) != m->done_n || d->attempt != m->attempt ||
			    d->charges != m->charges)
				fail_msg(
				    "at %zu: delivery %" PRIu64 " forgot what it did", at, d->id);
			if (journal_body(j, d).n < 50 ||
			    journal_body(j, d).p[0] != 'a' + (int)(d->id % 26))
				fail_msg(
				    "at %zu: delivery %" PRIu64 " has another body", at, d->id);
		}
}

/* Nothing is lost or changed. */
static void
all_as_before(struct journal *j, size_t at)
{
	struct delivery	*d;

	for (uint64_t id = 1; id < MODEL_N; id++) {
		d = journal_find(j, id);
		if ((d != NULL) != model[id].known || (d != NULL && d->state != model[id].state))
			fail_msg("at %zu: delivery %" PRIu64 " changed without a word", at, id);
	}
}

static double
seconds(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
every_byte_flipped(void **state)
{
	struct journal_report	 r;
	struct journal		*j;
	struct delivery		*d;
	struct gw_identity	 id;
	uint64_t		 damaged = 0, harmless = 0, doubt = 0;
	double			 began = seconds();

	(void)state;
	make_image();
	for (size_t at = 0; at < SMALL; at++) {
		memcpy(copy, image, SMALL);
		copy[at] ^= (char)(1 + (at * 37) % 255);
		j = journal_open_image(copy, SMALL, SMALL, T0 + 1000, &r);
		assert_false(r.created);
		never_answered_twice(j, at);
		if (!r.damaged) {
			all_as_before(j, at);
			harmless++;
		} else {
			assert_true(r.text[0] != '\0');
			damaged++;
			doubt += r.doubt_n > 0;
		}
		/* One damaged place costs at most the identity record, never its seq. */
		if (journal_identity_get(j, 0, &id))
			assert_int_equal(
			    id.seq, strcmp(id.session_id, "second") == 0 ? MODEL_N - 1 : id.seq);
		if (at % 64 == 0) {
			/* It works, and what was found once is not found again. */
			static _Alignas(8) char	 again[SMALL];

			assert_int_equal(event(j, 5000, 100, T0, false, &d), 1);
			memcpy(again, journal_log(j)->base, SMALL);
			journal_close(&j);
			j = journal_open_image(again, SMALL, SMALL, T0 + 1000, &r);
			assert_false(r.damaged);
			assert_int_equal(journal_find(j, 5000)->state, DLV_WAITING);
		}
		journal_close(&j);
	}
	print_message("flipped: %" PRIu64 " harmless, %" PRIu64 " damaged, of them %" PRIu64
		      " with doubt, %.1f s\n",
	    harmless, damaged, doubt, seconds() - began);
	assert_true(damaged > SMALL / 4);
	assert_true(harmless > 1000);
	assert_true(doubt > 1000);
}

static void
cut_anywhere(void **state)
{
	struct journal_report	 r;
	struct jlog_check	 c;
	struct jlog		 l;
	struct journal		*j;
	size_t			 cuts = 0;

	(void)state;
	make_image();
	memcpy(copy, image, SMALL);
	memset(&l, 0, sizeof(l));
	l.base = copy;
	l.bytes = SMALL;
	l.hold = JLOG_BORROWED;
	jlog_look(&l, &c);
	assert_true(c.journal);
	assert_false(c.rewrite);
	assert_true(c.n > 100);
	for (size_t i = 0; i < c.n; i++)
		for (size_t in = 0; in < 3; in++) {
			size_t	 at = c.v[i].off + in * 20;

			if (at > SMALL)
				continue;
			memcpy(copy, image, SMALL);
			j = journal_open_image(copy, at, SMALL, T0 + 1000, &r);
			if (at > JLOG_HEADER_BYTES)
				assert_true(r.damaged);
			never_answered_twice(j, at);
			journal_close(&j);
			cuts++;
		}
	free(c.v);
	/* And the whole way as a file: shorter than a header, cut in it, just behind it. */
	for (off_t at = 0; at < 6000;
	    at = at == 4096 ? 4100 : at == 4100 ? 4500 : at == 4000 ? 4096 : at + 500) {
		int	 fd = open(path_of("cut"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, image, (size_t)at), at);
		close(fd);
		j = opened(path_of("cut"), SMALL, T0, &r);
		assert_int_equal(r.damaged, at > 0);
		never_answered_twice(j, (size_t)at);
		journal_close(&j);
		j = opened(path_of("cut"), SMALL, T0, &r);
		assert_false(r.damaged);
		journal_close(&j);
	}
	assert_int_equal(unlink(path_of("cut")), 0);
	assert_true(cuts > 300);
}

/* Several places at once, whole pages, the header included. */
static void
wild_damage(void **state)
{
	struct journal_report	 r;
	struct journal		*j;
	size_t			 at, n;

	(void)state;
	make_image();
	seed = 4711;
	for (int run = 0; run < 2000; run++) {
		memcpy(copy, image, SMALL);
		at = 8 * rnd(SMALL / 8);
		n = 8 * (1 + rnd(1024));
		memset(copy + at, run % 2 == 0 ? 0 : 0xa5, at + n > SMALL ? SMALL - at : n);
		j = journal_open_image(copy, SMALL, SMALL, T0 + 1000, &r);
		never_answered_twice(j, at);
		journal_close(&j);
	}
	/* The header page alone: nobody knows what came last, so all is in doubt. */
	memcpy(copy, image, SMALL);
	memset(copy, 0, JLOG_HEADER_BYTES);
	j = journal_open_image(copy, SMALL, SMALL, T0 + 1000, &r);
	assert_true(r.damaged);
	assert_int_equal(r.unfinished_n, 0);
	assert_true(r.doubt_n > 20);
	journal_close(&j);
}

/* A record that was being written when the process died is no damage. */
static void
torn_end_is_no_damage(void **state)
{
	struct journal_report	 r;
	struct journal		*j;
	struct delivery		*d;
	uint64_t		 head;
	unsigned		 whole = 0;

	(void)state;
	make_image();
	memcpy(copy, image, SMALL);
	j = journal_open_image(copy, SMALL, SMALL, T0 + 1000, &r);
	head = journal_log(j)->head;
	/* The file as it was before the commit of one more event. */
	assert_int_equal(event(j, 5000, 100, T0 + 1000, false, &d), 1);
	journal_close(&j);
	for (uint64_t cut = 0; cut <= 320; cut += 4) {
		static _Alignas(8) char	 torn[SMALL];

		memcpy(torn, copy, SMALL);
		memcpy(torn, image, JLOG_HEADER_BYTES);
		memset(torn + head + cut, 0, head + cut + 400 < SMALL ? 400 : SMALL - head - cut);
		j = journal_open_image(torn, SMALL, SMALL, T0 + 1000, &r);
		assert_false(r.damaged);
		assert_int_equal(r.doubt_n, 0);
		/* There as a whole or not at all. */
		if ((d = journal_find(j, 5000)) != NULL) {
			assert_true(cut >= sizeof(struct jlog_rec) + 100);
			assert_int_equal(journal_body(j, d).n, 100);
			whole++;
			journal_finished(j, d, T0);
		}
		never_answered_twice(j, 0);
		journal_close(&j);
		if (head + cut + 8 >= SMALL)
			break;
	}
	assert_true(whole > 0);
}

/* ---- SIGKILL ---- */

enum { OP_EVENT = 1, OP_GIVEN, OP_ASKED, OP_DONE, OP_FINISHED };
struct said {
	uint64_t id;
	uint32_t op;
	uint32_t seq;
};

static void
say(int fd, uint64_t id, uint32_t op)
{
	struct said	 s = { id, op, (uint32_t)id };

	if (write(fd, &s, sizeof(s)) != (ssize_t)sizeof(s))
		_exit(3);
}

/* Works without end on the journal; says on fd what is in it, after it is. */
static void
scribble(const char *path, uint64_t id, int fd)
{
	struct journal_report	 r;
	const char		*why;
	struct journal		*j;
	struct delivery		*d;
	struct effect		*x;

	if ((j = journal_open(path, SMALL, T0, &r, &why)) == NULL || r.damaged)
		_exit(2);
	while ((d = journal_first(j, DLV_GIVEN)) != NULL ||
	    (d = journal_first(j, DLV_WAITING)) != NULL)
		journal_finished(j, d, T0);
	if (id == 1000000)
		identity(j, "s", 0);
	for (;; id++) {
		if (event(j, id, 20 + id * 131 % 4000, T0, false, &d) != 1)
			_exit(4);
		journal_seq(j, 0, id);
		say(fd, id, OP_EVENT);
		journal_given(j, d, "echo.0#1", T0);
		say(fd, id, OP_GIVEN);
		if (journal_asked(j, d, 1, SPAN("POST /x"), T0, &x) != 1)
			_exit(5);
		say(fd, id, OP_ASKED);
		journal_effect(j, d, 1, 200, id);
		say(fd, id, OP_DONE);
		if (id % 64 != 0) {
			journal_finished(j, d, T0);
			say(fd, id, OP_FINISHED);
		}
		if (id % 512 == 0)
			for (d = journal_first(j, DLV_GIVEN); d != NULL;
			     d = journal_first(j, DLV_GIVEN))
				journal_finished(j, d, T0);
	}
}

static void
kill_at_any_moment(void **state)
{
	const char		*path = path_of("kill");
	struct journal_report	 r;
	struct journal		*j;
	struct delivery		*d;
	struct gw_identity	 who;
	uint64_t		 said_n = 0, wraps = 0;

	(void)state;
	seed = 99;
	for (uint64_t run = 1; run <= 200; run++) {
		struct said	 s, last = { 0, 0, 0 };
		int		 p[2], status;
		pid_t		 pid;
		uint64_t	 want = rnd(3000), got = 0;

		assert_int_equal(pipe(p), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(p[0]);
			scribble(path, run * 1000000, p[1]);
			_exit(1);
		}
		close(p[1]);
		/* Killed after so many words, at an instant that only the scheduler knows. */
		while (read(p[0], &s, sizeof(s)) == (ssize_t)sizeof(s)) {
			last = s;
			if (got++ == want)
				kill(pid, SIGKILL);
		}
		close(p[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		said_n += got;

		j = opened(path, SMALL, T0, &r);
		assert_false(r.damaged);
		assert_true(r.unfinished_n <= 10);
		d = journal_find(j, last.id);
		assert_non_null(d);
		switch (last.op) {
		case OP_FINISHED:
			assert_int_equal(d->state, DLV_FINISHED);
			/* FALLTHROUGH */
		case OP_DONE:
			assert_true(d->effects[0].done);
			/* FALLTHROUGH */
		case OP_ASKED:
			assert_int_equal(d->effects_n, 1);
			/* FALLTHROUGH */
		case OP_GIVEN:
			assert_int_equal(d->attempt, 1);
			assert_true(d->state == DLV_GIVEN || d->state == DLV_FINISHED);
			break;
		}
		if (d->state == DLV_WAITING)
			assert_true(journal_body(j, d).n == 20 + last.id * 131 % 4000);
		if (last.id > run * 1000000 && (last.id - 1) % 64 != 0)
			assert_int_equal(journal_find(j, last.id - 1)->state, DLV_FINISHED);
		assert_true(journal_identity_get(j, 0, &who));
		assert_true(who.seq == last.id || who.seq == last.id + 1);
		if (last.id % 7 != 0)
			assert_true(last_of(j, last.id % 7).last >= last.id * 10);
		wraps += got > 400;
		journal_close(&j);
	}
	assert_true(said_n > 100000);
	assert_true(wraps > 100);
	assert_int_equal(unlink(path), 0);
}

/* ---- channels ---- */

static int
say_in(struct journal *j, uint64_t id, uint64_t channel, uint64_t guild, uint64_t now_ms,
    struct delivery **d_r)
{
	struct journal_event	 ev;

	memset(&ev, 0, sizeof(ev));
	ev.delivery = ev.object = id;
	ev.key = channel;
	ev.pool = SPAN("echo");
	ev.name = SPAN("MESSAGE_CREATE");
	ev.body = SPAN("{}");
	ev.said = true;
	ev.guild = guild;
	return journal_event(j, &ev, now_ms, d_r);
}

/*
 * Whatever is finished, let go, copied forward or read again: the newest message of each channel
 * is known, and a channel costs a record now and then, not one per message.
 */
static void
channels_are_remembered(void **state)
{
	static uint64_t		 newest[33];
	struct journal_report	 r;
	struct journal_usage	 u;
	struct journal_channel	 c;
	struct journal		*j = opened(path_of("j"), SMALL, T0, &r);
	struct delivery		*d;
	uint64_t		 now_ms = T0, seen = 0;

	(void)state;
	seed = 31;
	for (uint64_t id = 1; id <= 60000; id++) {
		uint64_t	 channel = 1 + rnd(rnd(4) == 0 ? 32 : 3);

		now_ms += rnd(2000) == 0 ? 1000000 : rnd(20);
		assert_int_equal(say_in(j, id, channel, channel == 7 ? 0 : channel + 100, now_ms, &d), 1);
		newest[channel] = id;
		journal_given(j, d, "echo.0#1", now_ms);
		if (id % 50 != 0)
			journal_finished(j, d, now_ms);
		else if (id % 100 != 0)
			journal_aside(j, d, ASIDE_REFUSED, "no", now_ms);
		else
			while ((d = journal_first(j, DLV_GIVEN)) != NULL)
				journal_finished(j, d, now_ms);
		if (rnd(500) != 0 && id != 60000)
			continue;
		if (rnd(3) == 0) {
			journal_close(&j);
			j = opened(path_of("j"), seen++ % 5 == 4 ? 2 * SMALL : SMALL, now_ms, &r);
			assert_false(r.damaged);
		}
		for (channel = 1; channel <= 32; channel++) {
			c = last_of(j, channel);
			if (newest[channel] == 0)
				continue;
			assert_int_equal(c.last, newest[channel]);
			assert_int_equal(c.guild, channel == 7 ? 0 : channel + 100);
			assert_true(c.last_ms <= now_ms && c.last_ms >= T0);
		}
	}
	assert_true(seen > 20);
	journal_usage(j, &u);
	assert_true(u.channels == 32);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

/* 4,096 of them, the least recently active goes first; in a small journal a sixteenth of it. */
static void
channels_are_bounded(void **state)
{
	static const struct { uint64_t bytes; size_t max; } sizes[] = {
		{ 8u << 20, JOURNAL_CHANNELS_MAX }, { SMALL, (SMALL - 4096) / 16 / 64 },
	};
	struct journal_report	 r;
	struct journal_usage	 u;
	struct journal_channel	*v = calloc(JOURNAL_CHANNELS_MAX, sizeof(*v));
	struct journal		*j;
	struct delivery		*d;
	uint64_t		 id = 0;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t	 max = sizes[i].max, n;

		j = opened(path_of("j"), sizes[i].bytes, T0, &r);
		for (uint64_t channel = 1; channel <= 3 * max; channel++) {
			id++;
			assert_int_equal(say_in(j, id, channel, 9, T0 + id, &d), 1);
			journal_finished(j, d, T0 + id);
			/* Number 1 talks on and on. */
			id++;
			assert_int_equal(say_in(j, id, 1, 9, T0 + id, &d), 1);
			journal_finished(j, d, T0 + id);
		}
		for (int again = 0; again < 2; again++) {
			journal_usage(j, &u);
			assert_int_equal(u.channels, max);
			assert_true(u.live_bytes < sizes[i].bytes / 2);
			n = journal_channels(j, v, JOURNAL_CHANNELS_MAX);
			assert_int_equal(n, max);
			assert_int_equal(v[0].id, 1);
			assert_int_equal(v[0].last, id);
			for (size_t k = 1; k < n; k++)
				assert_int_equal(v[k].id, 3 * max + 1 - k);
			journal_close(&j);
			j = opened(path_of("j"), sizes[i].bytes, T0 + id, &r);
			assert_false(r.damaged);
		}
		journal_close(&j);
		assert_int_equal(unlink(path_of("j")), 0);
	}
	free(v);
}

/* A gap is taken up where it was, and what fills it stands before what is live. */
static void
gap_comes_back(void **state)
{
	struct journal_report	 r;
	struct journal		*j = opened(path_of("j"), 1u << 20, T0, &r);
	struct journal_gap	*g = calloc(1, sizeof(*g));
	struct delivery		*d, *e;
	struct journal_event	 ev;

	(void)state;
	assert_false(journal_gap_get(j, g));
	assert_int_equal(say_in(j, 1, 5, 6, T0, &d), 1);
	assert_int_equal(journal_gap_rows(j), JOURNAL_GAP_ROWS);
	g->from_ms = T0;
	g->due = true;
	g->rows_n = JOURNAL_GAP_ROWS;
	for (size_t i = 0; i < JOURNAL_GAP_ROWS; i++)
		g->rows[i] = (struct journal_gap_row){ i + 5, 6, i * 3, 1, 0 };
	journal_gap_open(j, g);
	assert_int_equal(say_in(j, 2, 5, 6, T0, &d), 1);
	assert_true(d->order >= g->order + JOURNAL_GAP_ORDERS);
	memset(&ev, 0, sizeof(ev));
	ev.pool = SPAN("echo");
	ev.name = SPAN("MESSAGE_CREATE");
	ev.body = SPAN("{}");
	for (uint64_t run = 0, last = 0; run < 3; run++) {
		for (uint64_t i = 0; i < 5; i++) {
			ev.delivery = 10 + run * 10 + i;
			ev.order = journal_gap_order(j);
			assert_int_equal(journal_event(j, &ev, T0, &e), 1);
			assert_true(e->order > last && e->order < g->order + JOURNAL_GAP_ORDERS);
			last = e->order;
		}
		journal_close(&j);
		/* Continued in place, then in another size. */
		j = opened(path_of("j"), run == 1 ? 2u << 20 : 1u << 20, T0, &r);
		assert_false(r.damaged);
		memset(g, 0, sizeof(*g));
		assert_true(journal_gap_get(j, g));
		assert_true(g->due && g->from_ms == T0 && g->rows_n == JOURNAL_GAP_ROWS);
		assert_int_equal(g->rows[JOURNAL_GAP_ROWS - 1].after, 3 * (JOURNAL_GAP_ROWS - 1));
	}
	g->due = false;
	g->rows_n = 0;
	g->counts.recovered = 15;
	journal_gap_put(j, g);
	for (uint64_t id = 1000; id < 30000; id++) {
		assert_int_equal(say_in(j, id, 5, 6, T0 + id, &d), 1);
		journal_finished(j, d, T0 + id);
	}
	journal_close(&j);
	j = opened(path_of("j"), 1u << 20, T0, &r);
	assert_true(journal_gap_get(j, g));
	assert_true(!g->due && g->rows_n == 0 && g->counts.recovered == 15);
	assert_true(say_in(j, 99999, 5, 6, T0, &d) == 1 &&
	    d->order >= g->order + JOURNAL_GAP_ORDERS + 29000);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
	free(g);
}

/* A million events through a small journal use the memory of a few. */
static void
memory_is_bounded(void **state)
{
	struct journal_report	 r;
	struct journal_usage	 u;
	struct journal		*j = opened(path_of("j"), 1u << 20, T0, &r);
	struct delivery		*d;

	(void)state;
	for (uint64_t id = 1; id <= 100000; id++) {
		assert_int_equal(event(j, id, 64, T0 + id, false, &d), 1);
		journal_given(j, d, "e.0#1", T0 + id);
		journal_finished(j, d, T0 + id);
		assert_true(journal_count(j, DLV_FINISHED) <= JOURNAL_FINISHED_MAX);
	}
	journal_usage(j, &u);
	assert_true(u.live_bytes <= (1u << 20) / 4 + 4096);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

/* A wall clock that jumps a year makes nobody forget what was answered. */
static void
a_jump_of_the_clock_forgets_nothing(void **state)
{
	const uint64_t		 year = 365ull * 86400 * 1000;
	struct journal_report	 r;
	struct journal		*j = opened(path_of("j"), 1u << 20, T0, &r);
	struct delivery		*d;

	(void)state;
	assert_int_equal(event(j, 1, 64, T0, false, &d), 1);
	journal_given(j, d, "e.0#1", T0);
	journal_finished(j, d, T0);
	assert_int_equal(event(j, 2, 64, T0 + year, false, &d), 1);
	assert_int_equal(event(j, 1, 64, T0 + year, false, &d), 0);
	journal_close(&j);
	j = opened(path_of("j"), 1u << 20, T0 + 2 * year, &r);
	assert_int_equal(event(j, 1, 64, T0 + 2 * year, false, &d), 0);
	assert_int_equal(d->state, DLV_FINISHED);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

/* A dead letter keeps its body and effects until it goes back or is let go, over restarts. */
static void
dead_letters_go_back_or_are_let_go(void **state)
{
	struct journal_report	 r;
	struct journal		*j = opened(path_of("j"), 1u << 20, T0, &r);
	struct delivery		*d;
	struct effect		*e;

	(void)state;
	for (uint64_t id = 1; id <= 3; id++) {
		assert_int_equal(event(j, id, 64, T0, false, &d), 1);
		journal_given(j, d, "e.0#1", T0);
		assert_int_equal(journal_asked(j, d, 1, SPAN("POST /a"), T0, &e), 1);
		journal_effect(j, d, 1, 200, 7);
		journal_returned(j, d, true);
		journal_aside(j, d, ASIDE_POISON, "it died", T0 + id);
	}
	journal_close(&j);
	j = opened(path_of("j"), 1u << 20, T0 + 10, &r);
	assert_int_equal(r.aside_n, 3);
	assert_int_equal(journal_body(j, journal_find(j, 1)).n, 64);
	assert_true(journal_retried(j, journal_find(j, 1), T0 + 11));
	journal_let_go(j, journal_find(j, 2), T0 + 12);
	for (int round = 0; round < 2; round++) {
		d = journal_find(j, 1);
		assert_int_equal(d->state, DLV_WAITING);
		assert_int_equal(d->charges, 0);
		assert_int_equal(d->attempt, 1);
		assert_int_equal(d->finished_ms, T0 + 11);
		assert_null(d->report);
		assert_int_equal(d->effects_n, 1);
		assert_true(d->effects[0].done && d->effects[0].id == 7);
		assert_int_equal(journal_body(j, d).n, 64);
		assert_string_equal(dlv_state_name(journal_find(j, 2)), "dropped");
		assert_int_equal(journal_find(j, 2)->body_bytes, 0);
		assert_string_equal(journal_find(j, 3)->report, "it died");
		/* Neither is new when Discord says it again. */
		assert_int_equal(event(j, 1, 64, T0, false, &d), 0);
		assert_int_equal(event(j, 2, 64, T0, false, &d), 0);
		journal_close(&j);
		j = opened(path_of("j"), 1u << 20, T0 + 20, &r);
		assert_false(r.damaged);
	}
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

/* An eighth of the journal at most: the oldest dead letter is let go, and is counted. */
static void
dead_letters_are_bounded(void **state)
{
	struct journal_report	 r;
	struct journal_usage	 u;
	struct journal		*j = opened(path_of("j"), 1u << 20, T0, &r);
	struct delivery		*d;
	uint64_t		 before = count_get(COUNT_letters_dropped);

	(void)state;
	for (uint64_t id = 1; id <= 100; id++) {
		assert_int_equal(event(j, id, 4096, T0, false, &d), 1);
		journal_aside(j, d, ASIDE_REFUSED, "no", T0 + id);
		journal_usage(j, &u);
		assert_true(u.live_bytes < (1u << 20) / 2);
	}
	assert_in_range(journal_count(j, DLV_ASIDE), 20, 31);
	assert_int_equal(count_get(COUNT_letters_dropped) - before, 100 - journal_count(j, DLV_ASIDE));
	assert_int_equal(journal_find(j, 100)->state, DLV_ASIDE);
	assert_string_equal(dlv_state_name(journal_find(j, 1)), "dropped");
	assert_int_equal(u.dropped, 0);
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

/* Cancelled is written down before it is finished, and outlives us. */
static void
cancelled_outlives_a_restart(void **state)
{
	struct journal_report	 r;
	struct journal		*j = opened(path_of("j"), 1u << 20, T0, &r);
	struct delivery		*d;

	(void)state;
	assert_int_equal(event(j, 1, 64, T0, false, &d), 1);
	journal_given(j, d, "e.0#1", T0);
	journal_cancelled(j, d);
	journal_close(&j);
	j = opened(path_of("j"), 1u << 20, T0, &r);
	d = journal_find(j, 1);
	assert_int_equal(d->state, DLV_GIVEN);
	assert_int_equal(d->ending, ENDS_CANCELLED);
	journal_finished(j, d, T0 + 1);
	journal_close(&j);
	j = opened(path_of("j"), 1u << 20, T0, &r);
	assert_string_equal(dlv_state_name(journal_find(j, 1)), "cancelled");
	journal_close(&j);
	assert_int_equal(unlink(path_of("j")), 0);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(everything_comes_back),
		cmocka_unit_test(explain_names_every_stamp),
		cmocka_unit_test(survivors_outlive_many_wraps),
		cmocka_unit_test(full_journal_refuses_and_goes_on),
		cmocka_unit_test(large_body_is_set_aside_by_name),
		cmocka_unit_test(effects_are_bounded_and_long_routes_hashed),
		cmocka_unit_test(size_and_foreign_files),
		cmocka_unit_test(refusals_have_a_reason),
		cmocka_unit_test(every_byte_flipped),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(wild_damage),
		cmocka_unit_test(torn_end_is_no_damage),
		cmocka_unit_test(kill_at_any_moment),
		cmocka_unit_test(channels_are_remembered),
		cmocka_unit_test(channels_are_bounded),
		cmocka_unit_test(gap_comes_back),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(a_jump_of_the_clock_forgets_nothing),
		cmocka_unit_test(dead_letters_go_back_or_are_let_go),
		cmocka_unit_test(dead_letters_are_bounded),
		cmocka_unit_test(cancelled_outlives_a_restart),
	};

	return cmocka_run_group_tests_name("journal", tests, make_dir, remove_dir);
}
