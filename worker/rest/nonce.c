/*
 * nonce - see nonce.h.
 */
#include <string.h>

#include "common/json.h"
#include "worker/rest/nonce.h"

void
nonce_of(uint64_t delivery, uint64_t ordinal, char dst[NONCE_BYTES])
{
	static const char	 digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t		 h = SPAN_HASH_SEED;
	int			 n = 0;

	h = span_hash_add_u64(h, delivery);
	h = span_hash_add_u64(h, ordinal);
	for (h = span_hash_end(h); h != 0; h /= 36)
		dst[n++] = digits[h % 36];
	dst[n] = '\0';
}

static bool
is_object(struct span json)
{
	struct json_scan	 s;
	enum json_token		 t;

	json_scan_init(&s, json);
	if (json_next(&s) != JSON_TOK_OBJECT)
		return false;
	do
		t = json_next(&s);
	while (t != JSON_TOK_BAD && t != JSON_TOK_END);
	return t == JSON_TOK_END;
}

const char *
nonce_add(struct span body, const char *nonce, struct buf *out, bool *enforced_r)
{
	enum json_token	 t;
	struct span	 v;
	size_t		 brace;
	bool		 any = false;

	*enforced_r = true;
	if (!is_object(body))
		return "the body of a message is not a JSON object";
	brace = (size_t)((const char *)memchr(body.p, '{', body.n) - body.p) + 1;
	buf_add(out, body.p, brace);
	if (!json_member(body, "nonce", &t, &v)) {
		buf_printf(out, "\"nonce\":\"%s\"", nonce);
		any = true;
	}
	if (!json_member(body, "enforce_nonce", &t, &v)) {
		buf_printf(out, "%s\"enforce_nonce\":true", any ? "," : "");
		any = true;
	} else
		*enforced_r = t == JSON_TOK_TRUE;
	body = span_make(body.p + brace, body.n - brace);
	while (body.n > 0 && strchr(" \t\r\n", body.p[0]) != NULL)
		body = span_make(body.p + 1, body.n - 1);
	if (any && body.p[0] != '}')
		buf_add(out, ",", 1);
	buf_add_span(out, body);
	return NULL;
}
