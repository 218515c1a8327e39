/* snapshot: one at once, one after each while, none to a worker that has not read the last one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/count.h"
#include "common/log.h"
#include "common/measure.h"
#include "supervisor/control/snapshot.h"
#include "supervisor/control/status.h"
#include "tests/unit/fakes.h"

/* ---- what it asks of the world ---- */

static struct child	*const web = (struct child *)1;
static size_t		 unread, sent, made;
static int		 refused;
static json_t		*last;

size_t
child_unread_bytes(const struct child *c)
{
	assert_ptr_equal(c, web);
	return unread;
}

int
child_send(struct child *c, enum msg_type type, const void *src)
{
	const struct msg_SNAPSHOT	*m = src;

	assert_ptr_equal(c, web);
	assert_int_equal(type, MSG_SNAPSHOT);
	sent++;
	json_decref(last);
	last = json_loadb(m->json.p, m->json.n, 0, NULL);
	return refused;
}

void
status_json(struct sup *sup, struct buf *out)
{
	(void)sup;
	made++;
	buf_printf(out, "{\"health\":\"ok\"}");
}

void
status_letters(struct sup *sup, size_t max, struct buf *out)
{
	(void)sup;
	assert_int_equal(max, SNAPSHOT_LETTERS);
	buf_printf(out, "[]");
}

/* ---- the tests ---- */

static struct sup	 sup;

static int
setup(void **state)
{
	sup.loop = loop_new();
	sup.snapshot = snapshot_new(&sup, 1);
	unread = sent = made = 0;
	refused = 0;
	(void)state;
	return 0;
}

static int
teardown(void **state)
{
	snapshot_free(&sup.snapshot);
	loop_free(&sup.loop);
	json_decref(last);
	last = NULL;
	(void)state;
	return 0;
}

/* Turns until what is counted has risen. */
static void
until(const size_t *what, size_t n)
{
	while (*what < n)
		loop_turn(sup.loop);
}

static void
skipped(uint64_t n)
{
	while (count_get(COUNT_snapshots_skipped) < n)
		loop_turn(sup.loop);
}

static void
one_after_each_while(void **state)
{
	json_t	*measures;

	(void)state;
	loop_turn(sup.loop);
	assert_int_equal(made, 0);
	measure_add(MEASURE_queue_wait, "echo", 2000);
	snapshot_up(sup.snapshot, web);
	until(&sent, 3);
	assert_int_equal(made, sent);
	assert_string_equal(json_string_value(json_object_get(json_object_get(last, "status"), "health")), "ok");
	assert_int_equal(json_array_size(json_object_get(last, "counters")), COUNT__N);
	assert_int_equal(json_array_size(json_object_get(last, "steps")), MEASURE_STEPS);
	measures = json_object_get(last, "measures");
	assert_int_equal(json_array_size(measures), MEASURE__N);
	measures = json_object_get(json_array_get(measures, MEASURE_queue_wait), "rows");
	assert_string_equal(json_string_value(json_object_get(json_array_get(measures, 0), "pool")), "echo");
}

/* Neither made nor kept: that is counted, and it goes on when the worker has read. */
static void
none_to_a_slow_reader(void **state)
{
	uint64_t	 before = count_get(COUNT_snapshots_skipped);

	(void)state;
	snapshot_up(sup.snapshot, web);
	until(&sent, 1);
	unread = 1;
	skipped(before + 5);
	assert_int_equal(sent, 1);
	assert_int_equal(made, 1);
	unread = 0;
	until(&sent, 2);
}

static void
one_that_is_gone_gets_none(void **state)
{
	uint64_t	 before = count_get(COUNT_snapshots_skipped);

	(void)state;
	snapshot_up(sup.snapshot, web);
	until(&sent, 1);
	snapshot_down(sup.snapshot, (struct child *)2);		/* not the one that shows */
	until(&sent, 2);
	log_redirect(quiet, NULL);
	refused = -1;
	until(&sent, 4);
	log_redirect(NULL, NULL);
	assert_int_equal(count_get(COUNT_snapshots_skipped), before + 2);
	snapshot_down(sup.snapshot, web);
	for (int i = 0; i < 5; i++)
		loop_turn(sup.loop);
	assert_int_equal(sent, 4);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup_teardown(one_after_each_while, setup, teardown),
		cmocka_unit_test_setup_teardown(none_to_a_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_gone_gets_none, setup, teardown),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
