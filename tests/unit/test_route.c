/*
 * route: keys, delivery ids and places, each with what it must not depend on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "supervisor/delivery/route.h"

/* Design 3.13: channel id, else guild id, else user id. */
static void
keys(void **state)
{
	const struct event_row	*msg = table_event(SPAN("MESSAGE_CREATE"));
	const struct event_row	*ban = table_event(SPAN("GUILD_BAN_ADD"));
	const struct event_row	*thread = table_event(SPAN("THREAD_CREATE"));
	struct envelope		 e;

	(void)state;
	memset(&e, 0, sizeof(e));
	assert_int_equal(route_key(msg, &e), 0);
	e.author_id = 4;
	assert_int_equal(route_key(msg, &e), 4);
	e.user_id = 3;
	assert_int_equal(route_key(msg, &e), 3);
	e.guild_id = 2;
	assert_int_equal(route_key(msg, &e), 2);
	e.channel_id = 1;
	assert_int_equal(route_key(msg, &e), 1);
	assert_int_equal(route_key(ban, &e), 2);
	e.id = 9;
	assert_int_equal(route_key(thread, &e), 9);
}

/* Design 3.8: the same after replay and restart; another for each pool and event. */
static void
delivery_ids(void **state)
{
	const struct event_row	*msg = table_event(SPAN("MESSAGE_CREATE"));
	const struct event_row	*del = table_event(SPAN("MESSAGE_DELETE"));
	const struct event_row	*upd = table_event(SPAN("MESSAGE_UPDATE"));
	struct envelope		 e, f;
	uint64_t		 id;

	(void)state;
	memset(&e, 0, sizeof(e));
	e.id = 1234567890123456789ull;
	e.s = 5;
	f = e;
	f.s = 6;
	id = route_delivery_id(msg, SPAN("echo"), &e, SPAN("s1"));
	assert_true(id != 0);
	/* An object: seq and session do not matter. */
	assert_true(id == route_delivery_id(msg, SPAN("echo"), &f, SPAN("s2")));
	assert_true(id != route_delivery_id(msg, SPAN("chat"), &e, SPAN("s1")));
	assert_true(id != route_delivery_id(del, SPAN("echo"), &e, SPAN("s1")));
	/* The rest: session and seq, not the object. */
	id = route_delivery_id(upd, SPAN("echo"), &e, SPAN("s1"));
	assert_true(id != route_delivery_id(upd, SPAN("echo"), &f, SPAN("s1")));
	assert_true(id != route_delivery_id(upd, SPAN("echo"), &e, SPAN("s2")));
	f = e;
	f.id = 1;
	assert_true(id == route_delivery_id(upd, SPAN("echo"), &f, SPAN("s1")));
	/* An object event without id falls back. */
	e.id = f.id = 0;
	f.s = 7;
	assert_true(route_delivery_id(msg, SPAN("p"), &e, SPAN("s")) !=
	    route_delivery_id(msg, SPAN("p"), &f, SPAN("s")));
}

/* Even, stable, and a slot that goes moves only its own keys. */
static void
placement(void **state)
{
	uint32_t	 slots[4] = { 0, 1, 2, 3 }, fewer[3] = { 0, 1, 3 };
	unsigned	 n[4] = { 0, 0, 0, 0 };

	(void)state;
	for (uint64_t key = 1; key <= 40000; key++) {
		size_t at = route_place(key << 22, slots, 4),
		       now = route_place(key << 22, fewer, 3);

		n[at]++;
		if (at != 2)
			assert_int_equal(fewer[now], slots[at]);
	}
	for (int i = 0; i < 4; i++)
		assert_in_range(n[i], 9500, 10500);
	assert_int_equal(route_place(7, slots, 1), 0);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(delivery_ids),
		cmocka_unit_test(placement),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
