/* address: numeric ones with a port, and whether another machine reaches them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/address.h"

static void
addresses(void **state)
{
	static const struct {
		const char	*text;
		bool		 ok, loopback;
	} rows[] = {
		{ "127.0.0.1:9464", true, true },
		{ "127.8.9.1:1", true, true },
		{ "[::1]:65535", true, true },
		{ "0.0.0.0:9464", true, false },
		{ "[::]:80", true, false },
		{ "192.0.2.7:80", true, false },
		{ "127.0.0.1", false, false },
		{ "127.0.0.1:0", false, false },
		{ "127.0.0.1:65536", false, false },
		{ "127.0.0.1:http", false, false },
		{ "localhost:80", false, false },
		{ "::1:80x", false, false },
		{ ":80", false, false },
		{ "80", false, false },
		{ "", false, false },
	};
	struct address	 a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(address_parse(rows[i].text, &a), rows[i].ok);
		if (rows[i].ok)
			assert_int_equal(a.loopback, rows[i].loopback);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = { cmocka_unit_test(addresses) };

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
