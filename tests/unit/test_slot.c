/*
 * slot: every pair of state and event, compared with slot_matrix.txt, which is under review; then
 * the stories that a single step cannot tell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "supervisor/pool/slot.h"

#define MATRIX	"tests/unit/slot_matrix.txt"

static char	 did[256];
static bool	 spawn_fails;

static void
note(const char *what)
{
	size_t	 n = strlen(did);

	snprintf(did + n, sizeof(did) - n, " %s", what);
}

static void
fake_changed(struct slot *s, enum slot_state from, enum slot_event ev)
{
	(void)ev;
	assert_int_not_equal(from, s->state);	/* a change is a change */
}

static void
fake_spawn(struct slot *s)
{
	assert_int_equal(s->state, SLOT_SPAWNING);
	note("spawn");
	if (spawn_fails) {
		struct slot_death	 d = { .now = { 1000000 } };

		assert_true(slot_gone(s, &d));
	}
}

static void
fake_await(struct slot *s)
{
	(void)s;
	note("await_ready");
}

static void
fake_up(struct slot *s)
{
	(void)s;
	note("up");
}

static void
fake_drain(struct slot *s)
{
	(void)s;
	note("drain");
}

static void
fake_hurry(struct slot *s)
{
	(void)s;
	note("hurry");
}

static void
fake_abort(struct slot *s)
{
	(void)s;
	note("abort");
}

static void
fake_kill(struct slot *s)
{
	(void)s;
	note("kill");
}

static void
fake_retry(struct slot *s, uint64_t ms)
{
	(void)s;
	note(ms == THROTTLE_CAP_MS ? "retry(cap)" : "retry");
}

static const struct slot_ops fake = {
	.changed = fake_changed, .spawn = fake_spawn, .await_ready = fake_await, .up = fake_up,
	.drain = fake_drain, .hurry = fake_hurry, .abort = fake_abort, .kill = fake_kill,
	.retry = fake_retry,
};

/* GONE and the starts depend on what was before: each such past is a column of its own. */
static const struct past {
	const char	*name;
	bool		 stopping, parked, once, again, hold, failed, used;
} pasts[] = {
	{ "",		false, false, false, false, false, false, true },
	{ "first",	false, false, false, false, false, false, false },
	{ "failed",	false, false, false, false, false, true,  true },
	{ "hold",	false, false, false, false, true,  true,  true },
	{ "again",	false, false, false, true,  true,  true,  true },
	{ "once",	false, false, true,  true,  true,  true,  true },
	{ "parked",	false, true,  true,  true,  true,  true,  true },
	{ "stopping",	true,  true,  true,  true,  true,  true,  true },
};

static void
print_pair(FILE *f, unsigned st, unsigned ev, const struct past *p)
{
	struct slot		 s;
	struct slot_death	 d = { .now = { 5000000 }, .was_ready = true, .ready_ms = 10 };
	char			 pair[64];
	bool			 row;

	slot_init(&s, &fake);
	s.state = st;
	s.stopping = p->stopping;
	s.parked = p->parked;
	s.once = p->once;
	s.again = p->again;
	s.hold = d.hold = p->hold;
	s.throttle.failed = p->failed;
	s.throttle.again = p->used;
	throttle_started(&s.throttle, (struct mono){ 4990000 });
	did[0] = '\0';
	row = ev == SLEV_GONE ? slot_gone(&s, &d) : slot_event(&s, ev);
	if (!row) {
		assert_int_equal(s.state, st);
		assert_string_equal(did, "");
	}
	snprintf(pair, sizeof(pair), "%s %s%s%s", slot_state_name(st), slot_event_name(ev),
	    p->name[0] ? "/" : "", p->name);
	if (row)
		fprintf(f, "%-28s -> %s%s%s\n", pair,
		    s.state == st ? "(stays)" : slot_state_name(s.state), did[0] ? " :" : "", did);
	else
		fprintf(f, "%-28s    no row\n", pair);
}

/* Does the past make a difference to this pair? */
static bool
looks_at(unsigned st, unsigned ev, const struct past *p)
{
	if (ev == SLEV_GONE)
		return st != SLOT_OFF && st < SLOT_BACKOFF;
	return (ev == SLEV_START || ev == SLEV_RESTART || ev == SLEV_DRAIN || ev == SLEV_RESUME) &&
	    p->stopping;
}

static void
matrix_is_as_reviewed(void **state)
{
	char	*got = NULL, *want;
	size_t	 got_bytes = 0, want_bytes;
	FILE	*f = open_memstream(&got, &got_bytes);

	(void)state;
	assert_non_null(f);
	for (unsigned st = 0; st < SLOT__STATES_N; st++) {
		for (unsigned ev = 0; ev < SLEV__N; ev++) {
			for (size_t p = 0; p < sizeof(pasts) / sizeof(pasts[0]); p++) {
				if (p == 0 || looks_at(st, ev, &pasts[p]))
					print_pair(f, st, ev, &pasts[p]);
			}
		}
	}
	fclose(f);

	f = fopen(MATRIX, "r");
	want = calloc(1, got_bytes + 2);
	assert_non_null(want);
	want_bytes = f == NULL ? 0 : fread(want, 1, got_bytes + 1, f);
	if (f != NULL)
		fclose(f);
	if (want_bytes != got_bytes || memcmp(want, got, got_bytes) != 0) {
		fputs(got, stderr);
		fail_msg("the table differs from " MATRIX "; above is what it is now");
	}
	free(want);
	free(got);
}

#define FEED(s, ev)	assert_true(slot_event((s), (ev)))

static struct slot
ready_slot(void)
{
	struct slot	 s;

	spawn_fails = false;
	slot_init(&s, &fake);
	FEED(&s, SLEV_START);
	FEED(&s, SLEV_SPAWNED);
	FEED(&s, SLEV_READY);
	did[0] = '\0';
	return s;
}

/* A restart replaces once: the death of the new process is throttled like any other. */
static void
a_restart_is_for_one_process(void **state)
{
	struct slot		 s = ready_slot();
	struct slot_death	 d = { .now = { 9000000 } };

	(void)state;
	FEED(&s, SLEV_RESTART);
	assert_int_equal(s.state, SLOT_DRAINING);
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_SPAWNING);
	FEED(&s, SLEV_SPAWNED);
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_BACKOFF);
	assert_string_equal(did, " drain spawn await_ready retry");
}

/* A stop during a restart ends in OFF, whatever comes. */
static void
a_stop_is_final(void **state)
{
	struct slot		 s = ready_slot();
	struct slot_death	 d = { .now = { 9000000 } };

	(void)state;
	FEED(&s, SLEV_RESTART);
	FEED(&s, SLEV_STOP);
	FEED(&s, SLEV_RESTART);
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_OFF);
	assert_false(slot_event(&s, SLEV_RESTART));
	assert_false(slot_event(&s, SLEV_START));
	assert_int_equal(s.state, SLOT_OFF);
}

/* fork may fail inside the act of a transition: that must end in BACKOFF, not in recursion. */
static void
a_failed_fork_is_a_death(void **state)
{
	struct slot	 s;

	(void)state;
	spawn_fails = true;
	did[0] = '\0';
	slot_init(&s, &fake);
	FEED(&s, SLEV_START);
	assert_int_equal(s.state, SLOT_BACKOFF);
	FEED(&s, SLEV_TIMEOUT);
	assert_int_equal(s.state, SLOT_BACKOFF);
	FEED(&s, SLEV_RESTART);
	assert_int_equal(s.state, SLOT_BACKOFF);
	spawn_fails = false;
	FEED(&s, SLEV_TIMEOUT);
	assert_int_equal(s.state, SLOT_SPAWNING);
	assert_string_equal(did, " spawn retry spawn retry spawn retry spawn");
}

/* Exit 125: nothing but an operator brings it back. */
static void
held_waits_for_an_operator(void **state)
{
	struct slot		 s = ready_slot();
	struct slot_death	 d = { .now = { 9000000 }, .hold = true };

	(void)state;
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_HELD);
	assert_false(slot_event(&s, SLEV_TIMEOUT));
	assert_false(slot_event(&s, SLEV_START));
	assert_int_equal(s.state, SLOT_HELD);
	FEED(&s, SLEV_RESTART);
	assert_int_equal(s.state, SLOT_SPAWNING);
	assert_false(s.hold);
}

/* What an operator drained stays down whatever its process did, and comes back at his word. */
static void
drained_waits_for_a_resume(void **state)
{
	struct slot		 s = ready_slot();
	struct slot_death	 d = { .now = { 9000000 }, .hold = true };

	(void)state;
	FEED(&s, SLEV_DRAIN);
	FEED(&s, SLEV_RESTART);		/* one that began before: the drain stands */
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_DRAINED);
	assert_false(slot_event(&s, SLEV_RESTART));
	assert_false(slot_event(&s, SLEV_START));
	FEED(&s, SLEV_RESUME);
	assert_int_equal(s.state, SLOT_SPAWNING);
	assert_false(s.parked);
	assert_string_equal(did, " drain spawn");
}

/* Resumed while it still drains: the next process starts when it has ended, and is a usual one. */
static void
a_resume_in_the_middle_of_a_drain(void **state)
{
	struct slot		 s = ready_slot();
	struct slot_death	 d = { .now = { 9000000 } };

	(void)state;
	FEED(&s, SLEV_DRAIN);
	FEED(&s, SLEV_RESUME);
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_SPAWNING);
	FEED(&s, SLEV_SPAWNED);
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_BACKOFF);
}

/* An heir that does not get ready is not tried again. */
static void
an_heir_has_one_try(void **state)
{
	struct slot		 s;
	struct slot_death	 d = { .now = { 9000000 } };

	(void)state;
	spawn_fails = false;
	did[0] = '\0';
	slot_init(&s, &fake);
	s.once = true;
	FEED(&s, SLEV_START);
	FEED(&s, SLEV_SPAWNED);
	FEED(&s, SLEV_TIMEOUT);
	assert_true(slot_gone(&s, &d));
	assert_int_equal(s.state, SLOT_OFF);
	assert_string_equal(did, " spawn await_ready kill");

	spawn_fails = true;
	FEED(&s, SLEV_START);
	assert_int_equal(s.state, SLOT_OFF);
	spawn_fails = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matrix_is_as_reviewed),
		cmocka_unit_test(a_restart_is_for_one_process),
		cmocka_unit_test(a_stop_is_final),
		cmocka_unit_test(a_failed_fork_is_a_death),
		cmocka_unit_test(held_waits_for_an_operator),
		cmocka_unit_test(drained_waits_for_a_resume),
		cmocka_unit_test(a_resume_in_the_middle_of_a_drain),
		cmocka_unit_test(an_heir_has_one_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
