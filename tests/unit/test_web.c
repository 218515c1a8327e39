/* The web worker's writers on canned snapshots: metrics, checks, page; the heads of requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/mem.h"
#include "worker/web/ask.h"
#include "worker/web/checks.h"
#include "worker/web/metrics.h"
#include "worker/web/page.h"

#define HOSTILE		"a\\\"b\\\\c\\n<script>alert(1)</script>&'"	/* JSON of: a"b\c, a newline, a tag */
#define ROW(pool)	"{\"pool\":\"" pool "\",\"sum_us\":2500000,\"steps\":[1,1,1]}"

static const char	 canned[] =
    "{\"status\":{\"health\":\"degraded\",\"why\":[\"echo.0 is starting\",\"<b>&\"],"
    "\"version\":\"1.2.3\",\"pid\":7,\"uptime_ms\":61500,\"phase\":\"running\","
    "\"timers\":{\"late_max_us\":1500},"
    "\"gateway\":{\"state\":\"ready\",\"live\":true,\"latency_us\":40250,\"ack_age_ms\":1500,"
    "\"identifies_left\":999,\"beat_jitter_max_us\":77,\"last_close\":\"\",\"beats\":3},"
    "\"gap\":{\"lost\":\"2026-10-17\",\"live\":null,\"filling\":true,\"whole\":false,\"channels\":2},"
    "\"journal\":{\"bytes\":4194304,\"live_bytes\":5,\"damaged\":false,\"damage\":null},"
    "\"pools\":[{\"name\":\"rest\",\"role\":\"rest\",\"workers\":2,\"ready\":2},"
    "{\"name\":\"" HOSTILE "\",\"role\":\"exec\",\"workers\":1,\"ready\":0,\"waiting\":4,\"oldest_ms\":1250}],"
    "\"workers\":[{\"name\":\"rest.0\",\"tag\":\"rest.0#1\",\"pool\":\"rest\",\"role\":\"rest\","
    "\"state\":\"ready\",\"active\":true,\"rss_kib\":1024,\"uptime_ms\":60000,\"pid\":8,\"last\":null},"
    "{\"name\":\"x.0\",\"tag\":\"x.0#4\",\"pool\":\"" HOSTILE "\",\"role\":\"exec\",\"state\":\"backoff\","
    "\"restarts\":3,\"last\":{\"tag\":\"x.0#3\",\"cause\":\"exit\",\"text\":\"" HOSTILE "\",\"ago_ms\":1800000}}],"
    "\"calls_open\":2,\"streams_open\":1,"
    "\"deliveries\":{\"waiting\":4,\"given\":1,\"aside\":30,\"finished\":9}},"
    "\"letters\":[{\"delivery\":\"00ff\",\"pool\":\"x\",\"event\":\"MESSAGE_CREATE\",\"aside\":\"poison\","
    "\"report\":\"" HOSTILE "\"}],"
    "\"counters\":[{\"name\":\"calls\",\"value\":17,\"help\":\"CALLs \\\\ accepted\\nby us\"}],"
    "\"steps\":[\"0.001\",\"5\",\"+Inf\"],"
    "\"measures\":[{\"name\":\"rest_time\",\"help\":\"of a request\",\"rows\":[" ROW("") "]},"
    "{\"name\":\"queue_wait\",\"help\":\"of an event\",\"rows\":[" ROW("" HOSTILE "") "]}]}";

static struct snap
load(const char *text)
{
	struct snap	 s = { .doc = json_loads(text, 0, NULL), .age_ms = 250 };

	assert_non_null(s.doc);
	return s;
}

static void
unload(struct snap *s)
{
	json_decref((json_t *)(uintptr_t)s->doc);
}

static const char *
text_of(struct buf *b)
{
	buf_add(b, "", 1);
	b->n--;
	return buf_span(b).p;
}

#define HAS(text, what)		assert_non_null(strstr(text, what))
#define HAS_NOT(text, what)	assert_null(strstr(text, what))

static void
metrics(void **state)
{
	struct snap	 s = load(canned);
	struct buf	 b = { 0 };
	const char	*t;

	(void)state;
	metrics_text(&s, &b);
	t = text_of(&b);
	HAS(t, "# HELP bulkhead_calls_total CALLs \\\\ accepted\\nby us\n# TYPE bulkhead_calls_total counter\n"
	    "bulkhead_calls_total 17\n");
	HAS(t, "# TYPE bulkhead_rest_time_seconds histogram\n"
	    "bulkhead_rest_time_seconds_bucket{le=\"0.001\"} 1\n"
	    "bulkhead_rest_time_seconds_bucket{le=\"5\"} 2\n"
	    "bulkhead_rest_time_seconds_bucket{le=\"+Inf\"} 3\n"
	    "bulkhead_rest_time_seconds_sum 2.500000\n"
	    "bulkhead_rest_time_seconds_count 3\n");
	/* Quotes, backslashes and newlines of a label stay in it. */
	HAS(t, "bulkhead_queue_wait_seconds_bucket{le=\"0.001\","
	    "pool=\"a\\\"b\\\\c\\n<script>alert(1)</script>&'\"} 1\n");
	HAS(t, "bulkhead_build_info{version=\"1.2.3\"} 1\n");
	HAS(t, "bulkhead_health{state=\"ok\"} 0\nbulkhead_health{state=\"degraded\"} 1\n"
	    "bulkhead_health{state=\"down\"} 0\n");
	HAS(t, "bulkhead_uptime_seconds 61.500000\n");
	HAS(t, "bulkhead_snapshot_age_seconds 0.250000\n");
	HAS(t, "bulkhead_gateway_live 1\n");
	HAS(t, "bulkhead_gateway_state{state=\"ready\"} 1\n");
	HAS(t, "bulkhead_gateway_ack_latency_seconds 0.040250\n");
	HAS(t, "bulkhead_gateway_identifies_left 999\n");
	HAS(t, "bulkhead_deliveries{state=\"waiting\"} 4\n");
	HAS(t, "bulkhead_dead_letters 30\n");
	HAS(t, "bulkhead_journal_bytes 4194304\n");
	HAS(t, "bulkhead_workers{pool=\"rest\",state=\"ready\"} 1\n");
	HAS(t, "\\n<script>alert(1)</script>&'\",state=\"ready\"} 0\n");
	HAS(t, "state=\"backoff\"} 1\n");
	HAS(t, "bulkhead_worker_rss_bytes{pool=\"rest\",worker=\"rest.0\"} 1048576\n");
	HAS(t, "\"} 1.250\n");
	HAS(t, "bulkhead_calls_open 2\n");
	HAS(t, "bulkhead_streams_open 1\n");
	HAS(t, "bulkhead_gap_filling 1\n");
	/* One line after another, each a comment or ours. */
	for (const char *line = t; *line != '\0'; line = strchr(line, '\n') + 1)
		assert_true(*line == '#' || strncmp(line, "bulkhead_", 9) == 0);
	buf_fini(&b);
	unload(&s);
}

/* Nothing known yet, or nothing as it should be: pages say less, and are pages. */
static void
strange_snapshots(void **state)
{
	static const char *const	 all[] = {
		"{}", "[]", "{\"status\":3}", "{\"status\":{\"pools\":{},\"workers\":[1,null,[]],\"why\":\"x\"}}",
		"{\"counters\":[{}],\"measures\":[{\"rows\":[{\"steps\":[-1,\"a\"]}]}],\"steps\":7}",
		"{\"status\":{\"gateway\":null,\"workers\":[],\"pools\":[]}}",
	};
	struct snap			 none = { .doc = NULL };
	struct buf			 b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct snap	 s = load(all[i]);

		metrics_text(&s, &b);
		(void)checks_health(&s, &b);
		(void)checks_ready(&s, &b);
		buf_reset(&b);
		page_html(&s, &b);
		HAS(text_of(&b), "</html>");
		unload(&s);
	}
	buf_reset(&b);
	page_html(&none, &b);
	HAS(text_of(&b), "does not answer");
	buf_reset(&b);
	assert_int_equal(checks_health(&none, &b), 503);
	assert_int_equal(checks_ready(&none, &b), 503);
	buf_fini(&b);
}

/* ---- checks ---- */

/* The canned one with a member of its status replaced. */
static unsigned
ready_with(const char *member, const char *value, uint64_t age_ms, struct buf *out)
{
	struct snap	 s = load(canned);
	json_t		*st = json_object_get(s.doc, "status"), *pool;
	unsigned	 status;

	pool = json_array_get(json_object_get(st, "pools"), 1);
	json_object_set_new(pool, "name", json_string("echo"));
	json_object_set_new(pool, "ready", json_integer(1));
	if (member != NULL)
		json_object_set_new(st, member, json_loads(value, JSON_DECODE_ANY, NULL));
	s.age_ms = age_ms;
	buf_reset(out);
	status = checks_ready(&s, out);
	(void)text_of(out);
	unload(&s);
	return status;
}

static void
ready(void **state)
{
	struct buf	 b = { 0 };

	(void)state;
	assert_int_equal(ready_with(NULL, NULL, 250, &b), 200);
	assert_string_equal(b.p + b.off, "ok  snapshot: 0.250 s old\n"
	    "ok  gateway: ready\nok  rest: rest.0 is active\n"
	    "ok  pool rest: 2 of 2 ready\nok  pool echo: 1 of 1 ready\nok  journal: not damaged\n");
	assert_int_equal(ready_with(NULL, NULL, SNAP_FRESH_MS, &b), 200);
	assert_int_equal(ready_with(NULL, NULL, SNAP_FRESH_MS + 1, &b), 503);
	HAS(b.p + b.off, "NOT snapshot: 5.001 s old: the supervisor does not answer\n");
	assert_int_equal(ready_with("gateway", "{\"state\":\"backoff\",\"live\":false}", 0, &b), 503);
	HAS(b.p + b.off, "NOT gateway: backoff\n");
	assert_int_equal(ready_with("gateway", "null", 0, &b), 200);
	assert_int_equal(ready_with("workers", "[{\"role\":\"rest\",\"active\":false}]", 0, &b), 503);
	HAS(b.p + b.off, "NOT rest: none of 1 workers is active\n");
	assert_int_equal(ready_with("workers", "[]", 0, &b), 200);
	assert_int_equal(ready_with("pools", "[{\"name\":\"echo\",\"workers\":2,\"ready\":0}]", 0, &b), 503);
	HAS(b.p + b.off, "NOT pool echo: 0 of 2 ready\n");
	assert_int_equal(ready_with("pools", "[{\"name\":\"echo\",\"workers\":0,\"ready\":0}]", 0, &b), 200);
	assert_int_equal(ready_with("journal", "{\"damaged\":true,\"damage\":\"3 records\"}", 0, &b), 503);
	HAS(b.p + b.off, "NOT journal: 3 records\n");
	buf_fini(&b);
}

static void
health(void **state)
{
	struct snap	 s = load(canned);
	struct buf	 b = { 0 };

	(void)state;
	assert_int_equal(checks_health(&s, &b), 200);
	assert_string_equal(text_of(&b), "ok\n");
	json_object_set_new(json_object_get(s.doc, "status"), "health", json_string("down"));
	buf_reset(&b);
	assert_int_equal(checks_health(&s, &b), 503);
	assert_string_equal(text_of(&b), "echo.0 is starting\n<b>&\n");
	s.age_ms = SNAP_FRESH_MS + 1;
	buf_reset(&b);
	assert_int_equal(checks_health(&s, &b), 503);
	HAS(text_of(&b), "does not answer");
	buf_fini(&b);
	unload(&s);
}

/* ---- page ---- */

static void
page(void **state)
{
	struct snap	 s = load(canned);
	struct buf	 b = { 0 };
	const char	*t;

	(void)state;
	page_html(&s, &b);
	t = text_of(&b);
	/* Others' words are words: no tag of theirs, no quote that ends one of ours. */
	HAS_NOT(t, "<script");
	HAS_NOT(t, "<b>&");
	HAS(t, "a&quot;b\\c &lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;");
	HAS(t, "&lt;b&gt;&amp;");
	/* Nothing is fetched from anywhere. */
	HAS_NOT(t, "src=");
	HAS_NOT(t, "href=");
	HAS_NOT(t, "url(");
	HAS_NOT(t, "@import");
	HAS(t, "http-equiv=refresh content=5");
	HAS(t, "<span class=bad>degraded</span>");
	HAS(t, "0 of 1");
	HAS(t, "rest.0#1");
	HAS(t, "x.0#3");
	HAS(t, "queue_wait");
	HAS(t, "<td class=n>5 s</td>");	/* not half of all are in the first step */
	HAS(t, "longer");
	HAS(t, "and 29 more");
	HAS(t, "being filled");
	buf_fini(&b);
	unload(&s);
}

/* Hundreds of workers with long stories: the page is cut, and is whole HTML. */
static void
page_of_a_crowd(void **state)
{
	struct snap	 s = load(canned);
	json_t		*st = json_object_get(s.doc, "status"), *w;
	struct buf	 b = { 0 };
	char		 report[1024];

	(void)state;
	memset(report, '<', sizeof(report) - 1);
	report[sizeof(report) - 1] = '\0';
	for (int i = 0; i < 500; i++) {
		w = json_deep_copy(json_array_get(json_object_get(st, "workers"), 1));
		json_object_set_new(json_object_get(w, "last"), "text", json_string(report));
		json_array_append_new(json_object_get(st, "workers"), w);
		json_array_append(json_object_get(s.doc, "letters"),
		    json_array_get(json_object_get(s.doc, "letters"), 0));
	}
	page_html(&s, &b);
	assert_true(b.n < PAGE_MAX);
	HAS(text_of(&b), "bulkheadctl show");
	HAS(text_of(&b), "</body></html>\n");
	buf_fini(&b);
	unload(&s);
}

/* ---- requests ---- */

static void
asks(void **state)
{
	static const struct {
		const char	*text, *path;
		enum ask	 verdict;
		bool		 get, head;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "/", ASK_WHOLE, true, false },
		{ "HEAD /metrics?x=1?y HTTP/1.0\r\nHost: a\r\n\r\n", "/metrics", ASK_WHOLE, true, true },
		{ "GET /a HTTP/1.1\nA: b\n\n", "/a", ASK_WHOLE, true, false },
		{ "POST / HTTP/1.1\r\n\r\nbody", "/", ASK_WHOLE, false, false },
		{ "M-SEARCH / HTTP/1.1\r\n\r\n", "/", ASK_WHOLE, false, false },
		{ "", NULL, ASK_MORE, false, false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n", NULL, ASK_MORE, false, false },
		{ "GET / HTTP/2\r\n\r\n", NULL, ASK_BAD, false, false },
		{ "GET /\r\n\r\n", NULL, ASK_BAD, false, false },
		{ "GET http://a/ HTTP/1.1\r\n\r\n", NULL, ASK_BAD, false, false },
		{ "GET  / HTTP/1.1\r\n\r\n", NULL, ASK_BAD, false, false },
		{ "GET /a\tb HTTP/1.1\r\n\r\n", NULL, ASK_BAD, false, false },
		{ "get / HTTP/1.1\r\n\r\n", NULL, ASK_BAD, false, false },
		{ " / HTTP/1.1\r\n\r\n", NULL, ASK_BAD, false, false },
		{ "\r\n\r\n", NULL, ASK_BAD, false, false },
		{ "\x16\x03\x01\n\n", NULL, ASK_BAD, false, false },
	};
	char		 lots[ASK_MAX + 1];
	struct asked	 a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(ask_parse(span_of(rows[i].text), &a), rows[i].verdict);
		if (rows[i].path == NULL)
			continue;
		assert_true(span_is(a.path, rows[i].path));
		assert_int_equal(a.get, rows[i].get);
		assert_int_equal(a.head, rows[i].head);
	}
	memset(lots, 'a', sizeof(lots));
	assert_int_equal(ask_parse(span_make(lots, ASK_MAX - 1), &a), ASK_MORE);
	assert_int_equal(ask_parse(span_make(lots, ASK_MAX), &a), ASK_LONG);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(metrics),
		cmocka_unit_test(strange_snapshots),
		cmocka_unit_test(ready),
		cmocka_unit_test(health),
		cmocka_unit_test(page),
		cmocka_unit_test(page_of_a_crowd),
		cmocka_unit_test(asks),
	};

	return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
