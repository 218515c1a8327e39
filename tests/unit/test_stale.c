/*
 * stale: which unfinished answers a start does not go on with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "supervisor/delivery/answer.h"
#include "supervisor/delivery/stale.h"
#include "tests/unit/fakes.h"

#define T0		1700000000000ull
#define STALE_MS	300000

static char		 path[64];
static struct journal	*j;
static uint64_t		 told[8];
static size_t		 told_n;

static void
open_journal(uint64_t now_ms)
{
	struct journal_report	 r;
	const char		*why;

	if ((j = journal_open(path, 65536, now_ms, &r, &why)) == NULL)
		fail_msg("%s: %s", path, why);
}

static int
setup(void **state)
{
	int	 fd;

	(void)state;
	log_redirect(quiet, NULL);
	snprintf(path, sizeof(path), "/dev/shm/bulkhead-stale-XXXXXX");
	if ((fd = mkstemp(path)) == -1)
		return -1;
	close(fd);
	unlink(path);
	told_n = 0;
	open_journal(T0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	journal_close(&j);
	unlink(path);
	return 0;
}

static void
on_aside(void *arg, const struct delivery *d)
{
	(void)arg;
	told[told_n++] = d->id;
}

static struct delivery *
given(uint64_t id, uint64_t received_ms, uint64_t given_ms)
{
	struct journal_event	 ev = {
		.delivery = id, .object = id * 10, .key = 7, .seq = id, .pool = SPAN("chat"),
		.name = SPAN("MESSAGE_CREATE"), .body = SPAN("{}"),
	};
	struct delivery		*d;

	assert_int_equal(journal_event(j, &ev, received_ms, &d), 1);
	journal_given(j, d, "chat.0#1", given_ms);
	return d;
}

static void
asked(struct delivery *d, uint64_t ordinal, const char *route, uint64_t now_ms)
{
	struct effect	*e;

	assert_int_equal(journal_asked(j, d, ordinal, span_of(route), now_ms, &e), 1);
}

/* An answer whose first message was asked for, and made when id is not 0. */
static struct delivery *
begun(uint64_t id, uint64_t received_ms, uint64_t given_ms, uint64_t message)
{
	struct delivery	*d = given(id, received_ms, given_ms);

	asked(d, 1, "STREAM /channels/7", given_ms);
	asked(d, 65, "POST /channels/7/messages", given_ms);
	if (message != 0)
		journal_effect(j, d, 65, 200, message);
	return d;
}

static size_t
stale(uint64_t now_ms)
{
	return stale_set_aside(j, STALE_MS, now_ms, on_aside, NULL);
}

static void
old_answers_only(void **state)
{
	uint64_t	 now = T0 + STALE_MS + 60000;
	struct delivery	*d;

	(void)state;
	begun(1, T0, T0 + 10, 901);			/* old */
	begun(2, T0, T0 + 10, 0);			/* old, and nobody knows whether it was made */
	begun(3, T0 + 90000, T0 + 90000, 903);		/* young */
	begun(4, T0, T0 + 100000, 904);			/* it waited long, and was begun late */
	given(5, T0, T0 + 10);				/* nobody began to answer */
	asked(given(6, T0, T0 + 10), 1, "STREAM /channels/7", T0 + 10);	/* nothing visible */
	asked(given(7, T0, T0 + 10), 1, "POST /channels/7/messages", T0 + 10);	/* no stream */
	d = begun(8, T0, T0 + 10, 908);
	journal_effect(j, d, 1, 200, 908);		/* whole */
	d = begun(9, T0, T0 + 10, 909);
	asked(d, 129, "POST /channels/7/messages", now - 1000);	/* it grew a second ago */

	assert_int_equal(stale(T0 - 1000), 0);		/* a clock that was set back */
	assert_int_equal(stale(now), 2);
	assert_int_equal(told_n, 2);
	assert_int_equal(told[0] + told[1], 1 + 2);
	assert_int_equal(journal_find(j, 1)->aside, ASIDE_STALE);
	assert_string_equal(journal_find(j, 1)->report, "nobody went on with its answer for 359 s");
	assert_string_equal(dlv_aside_name(ASIDE_STALE), "stale");
	assert_int_equal(stale(now), 0);
}

/* The next process reads what this one wrote. */
static void
outlives_the_process(void **state)
{
	struct delivery	*d;

	(void)state;
	begun(1, T0, T0, 901);
	assert_int_equal(stale(T0 + STALE_MS), 1);
	journal_effect(j, journal_find(j, 1), 65, ANSWER_MARKED, 901);
	journal_close(&j);
	open_journal(T0 + STALE_MS + 10);
	d = journal_find(j, 1);
	assert_int_equal(d->state, DLV_ASIDE);
	assert_int_equal(d->aside, ASIDE_STALE);
	assert_true(answer_is_open(d, delivery_effect(d, 1), NULL));
	assert_true(answer_is_marked(d, 1));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup_teardown(old_answers_only, setup, teardown),
		cmocka_unit_test_setup_teardown(outlives_the_process, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
