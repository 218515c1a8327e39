/*
 * limitread - see limitread.h.
 */
#include <math.h>
#include <stdlib.h>

#include "common/json.h"
#include "worker/rest/limitread.h"
#include "worker/runtime/curlloop.h"

static double
number_of(struct span s)
{
	char	 text[40], *end;
	double	 v;

	if (s.n == 0 || s.n >= sizeof(text))
		return -1;
	span_copy(s, text, sizeof(text));
	v = strtod(text, &end);
	return *end == '\0' && isfinite(v) && v >= 0 ? v : -1;
}

static double
header_number(struct span head, const char *name)
{
	struct span	 v;

	return curl_header(head, name, &v) ? number_of(v) : -1;
}

void
limit_read(unsigned status, struct span head, struct span body, struct limit_answer *l)
{
	struct span	 v;
	enum json_token	 t;
	double		 exact;

	*l = (struct limit_answer){ .status = status };
	l->limit = header_number(head, "X-RateLimit-Limit");
	l->remaining = header_number(head, "X-RateLimit-Remaining");
	l->reset_after_s = header_number(head, "X-RateLimit-Reset-After");
	if (!curl_header(head, "X-RateLimit-Bucket", &l->hash))
		l->hash = SPAN_NONE;
	if (status != 429)
		return;
	l->retry_after_s = header_number(head, "Retry-After");
	if (json_member(body, "retry_after", &t, &v) && t == JSON_TOK_NUMBER &&
	    (exact = number_of(v)) >= 0) {
		l->body_is_discord = true;
		l->retry_after_s = exact;
	}
	l->global = curl_header(head, "X-RateLimit-Global", &v) ||
	    (json_member(body, "global", &t, &v) && t == JSON_TOK_TRUE);
	if (curl_header(head, "X-RateLimit-Scope", &v)) {
		l->shared = span_is(v, "shared");
		l->user = span_is(v, "user");
	}
}
