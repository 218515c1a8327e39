/*
 * What comes back of a request to a model: what it is taken for, what is too much.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "worker/chat/arrival.h"

#define CHUNK	"{\"id\":\"c-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}"
#define ANSWER	"{\"id\":\"c-1\",\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}"

static struct arrival	 in;
static struct buf	 text;

static void
on_text(void *arg, struct span s)
{
	(void)arg;
	buf_add_span(&text, s);
}

static void
start(unsigned status, const char *head)
{
	static const struct codec_ops	 ops = { .text = on_text };

	arrival_init(&in, &ops, NULL, "sk-secret");
	arrival_head(&in, status, span_of(head));
}

static bool
take(const char *bytes)
{
	assert_true(arrival_take(&in, span_of(bytes)));
	return arrival_digest(&in);
}

static void
expect(enum arrival_shape shape, const char *want)
{
	assert_int_equal(in.shape, shape);
	assert_true(span_is(buf_span(&text), want));
	arrival_fini(&in);
	buf_fini(&text);
}

static void
the_first_byte_tells(void **state)
{
	(void)state;
	start(200, "content-type: text/event-stream\r\n");
	assert_true(take("data: " CHUNK "\n\n"));
	assert_false(take(": still here\n\n"));		/* alive, but no progress of the answer */
	expect(ARRIVAL_STREAM, "hi");

	start(200, "content-type: text/event-stream\r\n");
	assert_true(take(" \n"));
	assert_true(take(ANSWER));
	assert_false(codec_saw_done(in.codec));
	arrival_end(&in, true);
	assert_false(arrival_failed(&in));
	expect(ARRIVAL_WHOLE, "hi");

	start(200, "content-type: application/json\r\n");
	assert_true(take("\ndata: " CHUNK "\n\n"));
	expect(ARRIVAL_STREAM, "hi");

	start(200, "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n");
	take("\x1f\x8b");
	assert_true(arrival_failed(&in));
	assert_int_equal(in.failure.class, FAILURE_PROTOCOL);
	expect(ARRIVAL_UNKNOWN, "");
}

static void
cut_off(void **state)
{
	(void)state;
	start(200, "content-type: application/json\r\n");
	take("{\"choices\":[");
	arrival_end(&in, false);
	assert_false(arrival_failed(&in));	/* the verdict is the connection's */
	expect(ARRIVAL_WHOLE, "");
	start(200, "");
	take("data: " CHUNK "\n");
	arrival_end(&in, false);
	expect(ARRIVAL_STREAM, "hi");
	/* The head alone; one that only says that more is to come. */
	start(503, "retry-after: 3\r\n");
	arrival_end(&in, false);
	assert_int_equal(in.failure.class, FAILURE_OVERLOADED);
	assert_true(span_is(arrival_header(&in, "Retry-After"), "3"));
	expect(ARRIVAL_REFUSAL, "");
	start(100, "");
	arrival_end(&in, false);
	assert_false(arrival_failed(&in));
	expect(ARRIVAL_UNKNOWN, "");
}

/* A server that refuses and never stops saying why must not fill the memory. */
static void
a_refusal_without_end(void **state)
{
	char	 page[8192];

	(void)state;
	memset(page, 'x', sizeof(page) - 1);
	page[sizeof(page) - 1] = '\0';
	for (int at_once = 1; at_once <= 16; at_once *= 16) {
		start(500, "");
		for (int i = 0; i < 64; i++) {
			assert_true(arrival_take(&in, span_of(page)));
			if (i % at_once == at_once - 1)
				arrival_digest(&in);
			assert_true(in.raw.n <= ARRIVAL_ERROR_MAX);
		}
		assert_true(arrival_failed(&in));
		arrival_end(&in, false);
		assert_int_equal(in.failure.class, FAILURE_TRANSIENT);
		assert_int_equal(in.failure.status, 500);
		expect(ARRIVAL_REFUSAL, "");
	}
}

static void
names_of_the_request(void **state)
{
	char	 id[ARRIVAL_ID_BYTES];

	(void)state;
	start(200, "x-generation-id: gen-1\r\n");
	arrival_id(&in, id);
	assert_string_equal(id, "gen-1");
	expect(ARRIVAL_UNKNOWN, "");
	start(200, "");
	take("data: " CHUNK "\n\n");
	arrival_id(&in, id);
	assert_string_equal(id, "c-1");
	expect(ARRIVAL_STREAM, "hi");
	start(200, "x-request-id: a`b\"c\x01" "d\r\n");
	arrival_id(&in, id);
	assert_string_equal(id, "abcd");
	expect(ARRIVAL_UNKNOWN, "");
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(the_first_byte_tells),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(a_refusal_without_end),
		cmocka_unit_test(names_of_the_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
