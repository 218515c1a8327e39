/*
 * url: one reading of every URL, and what is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "common/url.h"

static void
parts(void **state)
{
	static const struct {
		enum url_scheme	 scheme;
		const char	*text, *host;
		unsigned	 port;
		bool		 tls, numeric;
		const char	*rest;
	} t[] = {
		{ URL_HTTP, "https://discord.com/api/v10", "discord.com", 443, true, false, "/api/v10" },
		{ URL_HTTP, "http://localhost", "localhost", 80, false, false, "" },
		{ URL_HTTP, "HTTPS://a-b.example:8443?x=/y", "a-b.example", 8443, true, false, "?x=/y" },
		{ URL_HTTP, "http://127.0.0.1:1/", "127.0.0.1", 1, false, true, "/" },
		{ URL_WS, "wss://gateway.discord.gg", "gateway.discord.gg", 443, true, false, "" },
		{ URL_WS, "ws://[::1]:65535#x", "::1", 65535, false, true, "#x" },
		{ URL_WS, "wss://[2001:db8::1]/", "2001:db8::1", 443, true, true, "/" },
	};
	struct url	 u;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_null(url_parse(t[i].text, t[i].scheme, &u));
		assert_string_equal(u.host, t[i].host);
		assert_int_equal(u.port, t[i].port);
		assert_int_equal(u.tls, t[i].tls);
		assert_int_equal(u.numeric, t[i].numeric);
		assert_string_equal(u.rest, t[i].rest);
	}
}

/* What two programs could read in two ways is refused by both. */
static void
refused(void **state)
{
	static const struct { const char *text, *why; } t[] = {
		{ "", "does not begin with wss://" },
		{ "https://discord.com", "does not begin with wss://" },
		{ "wss:/discord.com", "does not begin with wss://" },
		{ "wss://", "has no valid host" },
		{ "wss:///x", "has no valid host" },
		{ "wss://:443", "has no valid host" },
		{ "wss://a%41", "has no valid host" },
		{ "wss://[::1", "has no valid host" },
		{ "wss://[]", "has no valid host" },
		{ "wss://[127.0.0.1]", "has no valid host" },
		{ "wss://127.0.0.1@discord.com", "has a user or a password" },
		{ "wss://a:0", "has no valid port" },
		{ "wss://a:65536", "has no valid port" },
		{ "wss://a:", "has no valid port" },
		{ "wss://a:-1", "has no valid port" },
		{ "wss://[::1]x", "has no valid port" },
		{ "wss://a/b c", "has a space, a control character or a letter outside ASCII" },
		{ "wss://a\r\nX: y", "has a space, a control character or a letter outside ASCII" },
		{ "wss://\xc3\xa4", "has a space, a control character or a letter outside ASCII" },
	};
	struct url	 u;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(url_parse(t[i].text, URL_WS, &u), t[i].why);
}

static void
a_host_has_a_bound(void **state)
{
	char		 text[6 + URL_HOST_MAX + 2] = "wss://";
	struct url	 u;

	(void)state;
	memset(text + 6, 'a', URL_HOST_MAX);
	assert_null(url_parse(text, URL_WS, &u));
	assert_int_equal(strlen(u.host), URL_HOST_MAX);
	text[6 + URL_HOST_MAX] = 'a';
	assert_non_null(url_parse(text, URL_WS, &u));
}

static void
loopback(void **state)
{
	static const char *const	 yes[] = {
		"localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"
	};
	static const char *const	 no[] = {
		"", "localhost.example.com", "127.0.0.1.example.com", "128.0.0.1", "::2", "::",
		"0.0.0.0"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(url_is_loopback(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(url_is_loopback(no[i]));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(refused),
		cmocka_unit_test(a_host_has_a_bound),
		cmocka_unit_test(loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
