/*
 * arrival - see arrival.h.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/url.h"
#include "worker/chat/arrival.h"
#include "worker/runtime/curlloop.h"

static void
on_sse(const struct sse_event *e, void *arg)
{
	struct arrival	*in = arg;

	codec_event(in->codec, e);
}

void
arrival_init(struct arrival *in, const struct codec_ops *ops, void *arg, const char *secret)
{
	memset(in, 0, sizeof(*in));
	in->codec = codec_new(ops, arg, secret);
	in->secret = secret;
	sse_init(&in->sse, on_sse, in);
}

void
arrival_fini(struct arrival *in)
{
	sse_fini(&in->sse);
	codec_free(&in->codec);
	buf_fini(&in->head);
	buf_fini(&in->in);
	buf_fini(&in->raw);
	memset(in, 0, sizeof(*in));
}

/* ---- the head ---- */

void
arrival_head(struct arrival *in, unsigned status, struct span head)
{
	if (in->head.n > 0)
		return;
	in->status = status;
	buf_add_span(&in->head, head);
}

struct span
arrival_header(const struct arrival *in, const char *name)
{
	struct span	 v = SPAN_NONE;

	(void)curl_header(buf_span(&in->head), name, &v);
	return v;
}

void
arrival_id(const struct arrival *in, char id_r[ARRIVAL_ID_BYTES])
{
	static const char *const	 names[] = {
		"x-request-id", "x-generation-id", "apim-request-id",
	};
	struct span			 v = SPAN_NONE;
	size_t				 n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && v.n == 0; i++)
		v = arrival_header(in, names[i]);
	if (v.n == 0)
		v = span_of(codec_id(in->codec));
	for (size_t i = 0; i < v.n && n + 1 < ARRIVAL_ID_BYTES; i++)
		if (isalnum((unsigned char)v.p[i]) || strchr("_-.:", v.p[i]) != NULL)
			id_r[n++] = v.p[i];
	id_r[n] = '\0';
}

static bool
has_word(struct span value, const char *word)
{
	char	 text[128];

	span_copy(value, text, sizeof(text));
	return strcasestr(text, word) != NULL;
}

static bool
is_refused(const struct arrival *in)
{
	return in->status < 200 || in->status >= 300;
}

/* ---- bytes ---- */

static enum arrival_shape
shape_of(const struct arrival *in)
{
	struct span	 raw = buf_span(&in->raw), type = arrival_header(in, "content-type");
	size_t		 i = 0;

	if (is_refused(in))
		return ARRIVAL_REFUSAL;
	while (i < raw.n && isspace((unsigned char)raw.p[i]))
		i++;
	if (i == raw.n)
		return raw.n < SSE_LINE_MAX ? ARRIVAL_UNKNOWN : ARRIVAL_STREAM;
	/* No line of a stream begins so, whatever the type says. */
	if (raw.p[i] == '{' || raw.p[i] == '[' || raw.p[i] == '<')
		return ARRIVAL_WHOLE;
	if (has_word(type, "event-stream"))
		return ARRIVAL_STREAM;
	/* "data:", "event:" and comments under a wrong type are a stream all the same. */
	return has_word(type, "json") && strchr("de:", raw.p[i]) == NULL ? ARRIVAL_WHOLE :
	    ARRIVAL_STREAM;
}

static void
keep_raw(struct arrival *in, struct span s)
{
	size_t	 max = in->shape == ARRIVAL_REFUSAL ? ARRIVAL_ERROR_MAX : SSE_TOTAL_MAX;

	if (s.n > max - in->raw.n) {
		if (in->shape != ARRIVAL_REFUSAL)
			failure_set(&in->failure, FAILURE_PROTOCOL, sse_error_text(SSE_ETOTAL));
		s.n = max - in->raw.n;
	}
	buf_add_span(&in->raw, s);
}

static void
feed_stream(struct arrival *in, struct span s)
{
	enum sse_error	 e = sse_feed(&in->sse, s);

	if (e != SSE_OK)
		failure_set(&in->failure, FAILURE_PROTOCOL, sse_error_text(e));
}

static void
feed(struct arrival *in, struct span s)
{
	struct buf	 raw;

	if (in->shape == ARRIVAL_UNKNOWN) {
		if (is_refused(in))		/* before a byte is kept: its bound is another */
			in->shape = ARRIVAL_REFUSAL;
		keep_raw(in, s);
		in->shape = shape_of(in);
		if (in->shape != ARRIVAL_STREAM)
			return;
		raw = in->raw;
		memset(&in->raw, 0, sizeof(in->raw));
		feed_stream(in, buf_span(&raw));
		buf_fini(&raw);
	} else if (in->shape == ARRIVAL_STREAM)
		feed_stream(in, s);
	else
		keep_raw(in, s);
}

bool
arrival_take(struct arrival *in, struct span data)
{
	if (data.n > SSE_TOTAL_MAX - in->in.n) {
		in->flooded = true;
		return false;
	}
	buf_add_span(&in->in, data);
	return true;
}

bool
arrival_digest(struct arrival *in)
{
	struct buf	 taken = in->in;
	size_t		 events = in->sse.events_n;
	struct span	 encoding = arrival_header(in, "content-encoding");

	if (taken.n == 0)
		return false;
	memset(&in->in, 0, sizeof(in->in));
	if (encoding.n > 0 && !has_word(encoding, "identity"))
		failure_set(&in->failure, FAILURE_PROTOCOL,
		    "a compressed answer, which was not asked for");
	else
		feed(in, buf_span(&taken));
	buf_fini(&taken);
	return in->sse.events_n > events || in->shape != ARRIVAL_STREAM;
}

bool
arrival_failed(const struct arrival *in)
{
	return in->failure.class != FAILURE_NONE || codec_failure(in->codec) != NULL ||
	    (in->shape == ARRIVAL_REFUSAL && in->raw.n == ARRIVAL_ERROR_MAX);
}

void
arrival_end(struct arrival *in, bool eof)
{
	bool	 failed = in->failure.class != FAILURE_NONE;

	if (in->status >= 300)		/* without a body, too; below 200 more was to come */
		in->shape = ARRIVAL_REFUSAL;
	if (in->shape == ARRIVAL_STREAM && !failed && sse_end(&in->sse) != SSE_OK)
		failure_set(&in->failure, FAILURE_PROTOCOL, sse_error_text(in->sse.error));
	if (in->shape == ARRIVAL_WHOLE && eof && !failed)
		codec_answer(in->codec, buf_span(&in->raw));
	if (in->shape == ARRIVAL_REFUSAL)
		failure_read(&in->failure, in->status, buf_span(&in->raw), in->secret);
	codec_end(in->codec);
}
