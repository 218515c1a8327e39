/*
 * output: a document of another release, or of nobody, is shown as far as it goes, without a fall.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "supervisor/ctl/output.h"

static const struct { const char *verb, *topic; } forms[] = {
	{ "status", "" }, { "reload", "" }, { "upgrade", "" }, { "stop", "" }, { "call", "" },
	{ "explain", "" }, { "dead", "show" }, { "show", "shards" }, { "show", "pools" },
	{ "show", "workers" }, { "show", "worker" }, { "show", "deliveries" }, { "show", "dead" },
	{ "show", "sessions" }, { "show", "buckets" }, { "show", "gaps" }, { "show", "counters" },
	{ "show", "config" }, { "drain", "" },
};
#define FORMS_N	(sizeof(forms) / sizeof(forms[0]))

static char *
printed(size_t form, const json_t *doc)
{
	const struct look	 look = { .color = true, .width = 80 };
	char			*text;
	size_t			 n;
	FILE			*f = open_memstream(&text, &n);

	assert_non_null(f);
	output_text(f, forms[form].verb, forms[form].topic, doc, &look);
	assert_int_equal(fclose(f), 0);
	assert_null(strstr(text, "(null)"));
	return text;
}

static void
of_nothing(void **state)
{
	static const char *const	 docs[] = { "{}", "[]", "[{}]", "\"text\"", "7", "null" };

	(void)state;
	for (size_t d = 0; d < sizeof(docs) / sizeof(docs[0]); d++) {
		json_t	*doc = json_loads(docs[d], JSON_DECODE_ANY, NULL);

		assert_non_null(doc);
		for (size_t i = 0; i < FORMS_N; i++)
			free(printed(i, doc));
		json_decref(doc);
	}
	for (size_t i = 0; i < FORMS_N; i++)
		free(printed(i, NULL));
}

/* Each member that a form looks for is there, and none is what it should be. */
static void
of_another_kind(void **state)
{
	static const char *const	 values[] = { "[null, 5, \"x\", {}, []]", "{\"a\": []}", "-1",
		"\"\\u001b[31m\"", "true" };
	static const char *const	 keys[] = { "aside", "backtrace", "beside", "body", "buckets",
		"changes", "channels", "config", "confined", "counters", "dead", "deliveries",
		"effects", "gap", "gaps", "gateway", "given", "health", "held", "identity", "intents",
		"journal", "killed", "last", "left", "limits", "lines", "obituaries", "options",
		"path", "pid", "pools", "report", "result", "retry_in_ms", "rolled_back", "sessions",
		"shards", "timers", "upgrade", "waiting", "why", "workers" };

	(void)state;
	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		json_t	*value = json_loads(values[v], JSON_DECODE_ANY, NULL), *doc = json_object();

		assert_non_null(value);
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			json_object_set(doc, keys[k], value);
		for (size_t i = 0; i < FORMS_N; i++)
			free(printed(i, doc));
		json_decref(value);
		json_decref(doc);
	}
}

/* What is there is shown, what is not is a dash. */
static void
of_a_part(void **state)
{
	json_t	*doc = json_loads("{\"deliveries\": [{\"event\": \"MESSAGE_CREATE\", \"effects\":"
	    " [{\"ordinal\": 1, \"route\": \"POST /x\"}]}]}", 0, NULL);
	char	*text;

	(void)state;
	for (size_t i = 0; i < FORMS_N; i++)
		if (strcmp(forms[i].verb, "explain") == 0) {
			text = printed(i, doc);
			assert_non_null(strstr(text, "MESSAGE_CREATE - for pool -: -\n"));
			assert_non_null(strstr(text, "1. POST /x -> no answer recorded\n"));
			free(text);
		}
	json_decref(doc);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(of_nothing),
		cmocka_unit_test(of_another_kind),
		cmocka_unit_test(of_a_part),
	};

	return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
