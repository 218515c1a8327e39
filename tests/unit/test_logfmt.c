/* logfmt, lograte: what lines look like, and how often they may be said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/logfmt.h"
#include "common/lograte.h"

#define NOON	1792224000123u		/* 2026-10-17T08:00:00.123Z */

static char	 line[4096];

static const char *
said(enum log_format format, const char *class, struct span text)
{
	const struct log_head	 h = { format, NOON, LOG_WARNING, "prog", class };
	size_t			 n = logfmt_line(line, sizeof(line) - 1, &h, text);

	line[n] = '\0';
	assert_int_equal(strlen(line), n);
	assert_int_equal(line[n - 1], '\n');
	return line;
}

static void
text_and_journal(void **state)
{
	(void)state;
	assert_string_equal(said(LOG_TEXT, "", SPAN("a#1 gone age_ms=5")),
	    "2026-10-17T08:00:00.123Z warning prog: a#1 gone age_ms=5\n");
	assert_string_equal(said(LOG_TEXT, "rest", SPAN("x")),
	    "2026-10-17T08:00:00.123Z warning prog: rest: x\n");
	assert_string_equal(said(LOG_JOURNAL, "", SPAN("a#1 gone")), "<4>a#1 gone\n");
	assert_string_equal(said(LOG_JOURNAL, "rest", SPAN("x")), "<4>rest: x\n");
}

#define JSON_HEAD "{\"time\":\"2026-10-17T08:00:00.123Z\",\"level\":\"warning\",\"program\":\"prog\""

static void
json(void **state)
{
	(void)state;
	assert_string_equal(said(LOG_JSON, "", SPAN("a#1 gone x=y really age_ms=5 tag=b=c e=")),
	    JSON_HEAD ",\"message\":\"a#1 gone x=y really\","
	    "\"fields\":{\"age_ms\":\"5\",\"tag\":\"b=c\",\"e\":\"\"}}\n");
	assert_string_equal(said(LOG_JSON, "chan", SPAN("only \"words\" \\ here")),
	    JSON_HEAD ",\"class\":\"chan\",\"message\":\"only \\\"words\\\" \\\\ here\"}\n");
	assert_string_equal(said(LOG_JSON, "", SPAN("k=v")),
	    JSON_HEAD ",\"message\":\"\",\"fields\":{\"k\":\"v\"}}\n");
	/* No names: upper case, a URL, a word that begins with '='. */
	assert_string_equal(said(LOG_JSON, "", SPAN("a URL=1")), JSON_HEAD ",\"message\":\"a URL=1\"}\n");
	assert_string_equal(said(LOG_JSON, "", SPAN("a =1")), JSON_HEAD ",\"message\":\"a =1\"}\n");
	assert_string_equal(said(LOG_JSON, "", SPAN("")), JSON_HEAD ",\"message\":\"\"}\n");
}

/* Whatever the bytes and however long: one line, whole JSON, within the room. */
static void
json_is_always_json(void **state)
{
	char	 text[2048], dst[LOGFMT_MIN + 1024];

	(void)state;
	srandom(7);
	for (int round = 0; round < 4000; round++) {
		const struct log_head	 h = { LOG_JSON, NOON, LOG_ERR, "prog", "" };
		size_t			 n = (size_t)random() % sizeof(text), len;
		size_t			 room = LOGFMT_MIN + (size_t)random() % 1024;
		json_error_t		 error;
		json_t			*got;

		for (size_t i = 0; i < n; i++)
			text[i] = round % 3 == 0 ? "\"\\ =abc"[random() % 7] :
			    round % 3 == 1 ? (char)(0x20 + random() % 0xe0) : "k=v k2=\xc3\xa4 "[i % 10];
		len = logfmt_line(dst, room, &h, span_make(text, n));
		assert_true(len <= room);
		assert_ptr_equal(memchr(dst, '\n', len), dst + len - 1);
		got = json_loadb(dst, len, 0, &error);
		if (got == NULL)
			fail_msg("round %d: %s: %.*s", round, error.text, (int)len, dst);
		assert_string_equal(json_string_value(json_object_get(got, "level")), "err");
		json_decref(got);
	}
}

static void
cut_at_a_character(void **state)
{
	char			 text[700];
	const struct log_head	 h = { LOG_TEXT, NOON, LOG_INFO, "p", "" };
	char			 dst[LOGFMT_MIN];
	size_t			 n;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t shift = 0; shift < 4; shift++) {
		for (size_t i = shift; i + 1 < sizeof(text); i += 2)
			memcpy(text + i, "\xc3\xa4", 2);
		n = logfmt_line(dst, sizeof(dst), &h, span_make(text, sizeof(text)));
		assert_true(n <= sizeof(dst));
		assert_memory_equal(dst + n - 4, "...\n", 4);
		assert_int_not_equal((unsigned char)dst[n - 5], 0xc3);
	}
}

static void
a_flood_is_counted(void **state)
{
	static struct lograte	 r;
	uint64_t		 key = 0, n = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(lograte_may(&r, 64, 10000), i < LOGRATE_LINES);
	assert_true(lograte_may(&r, 65, 10000));	/* another one is not held up */
	for (int i = 0; i < LOGRATE_PLACES; i++)
		assert_int_equal(lograte_due(&r, 10000 + LOGRATE_WINDOW_MS - 1, &key), 0);
	/* The count is told before the window begins anew. */
	assert_false(lograte_may(&r, 64, 10000 + LOGRATE_WINDOW_MS));
	for (int i = 0; i < LOGRATE_PLACES && n == 0; i++)
		n = lograte_due(&r, 10000 + LOGRATE_WINDOW_MS, &key);
	assert_int_equal(n, 1000 - LOGRATE_LINES + 1);
	assert_int_equal(key, 64);
	assert_true(lograte_may(&r, 64, 10000 + LOGRATE_WINDOW_MS));
	/* Few of them are never left out, however long it goes on. */
	for (uint64_t t = 50000; t < 5000000; t += 100)
		assert_true(lograte_may(&r, 4096, t));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(text_and_journal),
		cmocka_unit_test(json),
		cmocka_unit_test(json_is_always_json),
		cmocka_unit_test(cut_at_a_character),
		cmocka_unit_test(a_flood_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
