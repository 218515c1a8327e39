/*
 * envelope against jansson: wherever jansson accepts the document, both see the same.
 *
 * jansson refuses what the envelope may pass (invalid UTF-8, NUL, duplicate keys); never the other
 * way round: a payload that jansson accepts and that has an op is accepted with its ids.
 */
#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/gateway/envelope.h"
#include "tests/fuzz/fuzz.h"

static uint64_t
id_of(const json_t *v)
{
	uint64_t	 id = 0;

	if (json_is_string(v))
		(void)span_u64(span_make(json_string_value(v), json_string_length(v)), &id);
	else if (json_is_integer(v) && json_integer_value(v) >= 0)
		id = (uint64_t)json_integer_value(v);
	return id;
}

static uint64_t
member_id(const json_t *d, const char *key)
{
	return id_of(json_object_get(d, key));
}

static void
compare(struct envelope *e, const json_t *doc)
{
	const json_t	*d = json_object_get(doc, "d"), *s = json_object_get(doc, "s"),
	    *t = json_object_get(doc, "t");
	json_t		*again;
	uint64_t	 user;

	CHECK(e->op == json_integer_value(json_object_get(doc, "op")));
	CHECK(e->has_s == (json_is_integer(s) && json_integer_value(s) >= 0));
	CHECK(!e->has_s || e->s == (uint64_t)json_integer_value(s));
	if (!json_is_string(t))
		CHECK(e->t.n == 0);
	else if (e->t.n == 0 || memchr(e->t.p, '\\', e->t.n) == NULL)
		CHECK(span_eq(e->t, span_make(json_string_value(t), json_string_length(t))));
	CHECK(envelope_ids(e) == 0);
	if (d == NULL) {
		CHECK(e->d.n == 0);
		return;
	}
	again = json_loadb(e->d.p, e->d.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	CHECK(again != NULL && json_equal(again, d));
	json_decref(again);
	CHECK(e->id == member_id(d, "id"));
	CHECK(e->guild_id == member_id(d, "guild_id"));
	CHECK(e->channel_id == member_id(d, "channel_id"));
	CHECK(e->message_id == member_id(d, "message_id"));
	CHECK(e->type == member_id(d, "type"));
	CHECK(e->author_id == member_id(json_object_get(d, "author"), "id"));
	user = member_id(d, "user_id");
	CHECK(e->user_id == (user != 0 ? user : member_id(json_object_get(d, "user"), "id")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct envelope	 e;
	json_t		*doc, *op;
	char		*copy;
	int		 rv;

	/* An exact copy, so that reading behind the end is seen. */
	copy = malloc(n + (n == 0));
	memcpy(copy, data, n);
	rv = envelope_scan(span_make(copy, n), &e);
	doc = json_loadb(copy, n, JSON_REJECT_DUPLICATES, NULL);
	op = json_object_get(doc, "op");
	if (memchr(copy, 0, n) != NULL) {
		/* jansson passes a NUL between tokens, the standard does not. */
		if (rv == 0)
			(void)envelope_ids(&e);
	} else if (json_is_integer(op) && json_integer_value(op) >= 0 &&
	    json_integer_value(op) <= INT_MAX) {
		CHECK(rv == 0);
		compare(&e, doc);
	} else if (doc != NULL) {
		CHECK(rv == -1);
	} else if (rv == 0) {
		(void)envelope_ids(&e);
	}
	json_decref(doc);
	free(copy);
	return 0;
}
