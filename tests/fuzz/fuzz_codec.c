/*
 * codec, failure, body: whatever a server sends, what is handed out is whole UTF-8 without NUL, an
 * error comes at most once, and what goes back to a server is JSON.
 *
 * The first byte says what the rest is: a stream, JSON chunks one in each line, a whole answer, or
 * the body of an error.
 */
#include <stdint.h>
#include <stdlib.h>
#include <jansson.h>

#include "worker/chat/codec.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct trace {
	struct buf	 text, thoughts, scratch;
	unsigned	 errors_n, finishes_n, retracts_n;
};

static void
require(bool ok)
{
	if (!ok)
		abort();
}

static void
require_text(struct trace *t, struct span s)
{
	require(s.n > 0 && memchr(s.p, '\0', s.n) == NULL);
	require(sse_mend(s, &t->scratch).p == s.p);
}

static void
on_text(void *arg, struct span s)
{
	struct trace	*t = arg;

	require_text(t, s);
	buf_add_span(&t->text, s);
}

static void
on_retract(void *arg)
{
	struct trace	*t = arg;

	require(++t->retracts_n == 1 && t->text.n > 0);
	buf_reset(&t->text);
}

static void
on_reasoning(void *arg, struct span s)
{
	struct trace	*t = arg;

	require_text(t, s);
	buf_add_span(&t->thoughts, s);
}

static void
on_usage(void *arg, const struct codec_usage *u)
{
	(void)arg;
	require(u->known);
}

static void
on_finish(void *arg, enum codec_finish f)
{
	struct trace	*t = arg;

	require(f != CODEC_UNFINISHED && ++t->finishes_n == 1);
}

static void
check_failure(const struct failure *f)
{
	struct buf	 out = { 0 }, scratch = { 0 };
	struct span	 message = span_of(f->message);

	require(f->class > FAILURE_NONE && f->class < FAILURE__N);
	require(message.n <= FAILURE_MESSAGE_MAX);
	require(message.n == 0 || sse_mend(message, &scratch).p == message.p);
	require(strstr(f->message, "s3cr3t!") == NULL);
	failure_sentence(f, "m", "id", 1, &out);
	require(out.n > 0);
	buf_fini(&out);
	buf_fini(&scratch);
}

static void
on_error(void *arg, const struct failure *f)
{
	struct trace	*t = arg;

	require(++t->errors_n == 1);
	check_failure(f);
}

static const struct codec_ops	 ops = {
	on_text, on_retract, on_reasoning, on_usage, on_finish, on_error
};

static void
on_sse(const struct sse_event *e, void *arg)
{
	codec_event(arg, e);
}

/* Its calls, given back as they would be in the next request. */
static void
send_back(struct codec *c, struct trace *t)
{
	struct chat_call	 calls[TOOLCALLS_MAX];
	struct chat_message	 m[] = {
		{ .role = CHAT_USER, .text = buf_span(&t->thoughts) },
		{ .role = CHAT_ASSISTANT, .text = buf_span(&t->text), .calls = calls,
		    .calls_n = codec_calls_n(c) },
	};
	struct chat_request	 rq = { .model = "m", .messages = m, .messages_n = 2 };
	struct body_learned	 l = { 0 };
	struct body_cut		 cut = { 0 };
	struct buf		 out = { 0 };
	json_t			*j;
	bool			 broken;

	for (size_t i = 0; i < m[1].calls_n; i++)
		calls[i] = codec_call(c, i, &broken);
	chat_params_init(&rq.params);
	body_build(&rq, provider_named("mistral"), &l, &cut, &out);
	j = json_loadb(buf_span(&out).p, out.n, JSON_ALLOW_NUL, NULL);
	require(j != NULL);
	json_decref(j);
	buf_fini(&out);
}

static void
check_stream(struct span in, unsigned kind, size_t step)
{
	struct trace	 t = { 0 };
	struct codec	*c = codec_new(&ops, &t, "s3cr3t!");
	struct sse	 s;

	sse_init(&s, on_sse, c);
	if (kind == 2)
		codec_answer(c, in);
	while (in.n > 0 && kind == 0) {
		size_t	 n = step < in.n ? step : in.n;

		(void)sse_feed(&s, span_make(in.p, n));
		in = span_make(in.p + n, in.n - n);
	}
	while (in.n > 0 && kind == 1) {
		const char		*nl = memchr(in.p, '\n', in.n);
		size_t			 n = nl == NULL ? in.n : (size_t)(nl - in.p);
		struct sse_event	 e = { .data = span_make(in.p, n) };

		codec_event(c, &e);
		n += nl != NULL;
		in = span_make(in.p + n, in.n - n);
	}
	if (kind == 0)
		(void)sse_end(&s);
	codec_end(c);
	require((codec_failure(c) != NULL) == (t.errors_n == 1));
	require(codec_saw_text(c) == (t.text.n > 0));
	require(codec_judge(codec_saw_finish(c), t.errors_n == 1, codec_saw_done(c),
	    CODEC_AT_EOF) != NULL);
	send_back(c, &t);
	sse_fini(&s);
	codec_free(&c);
	buf_fini(&t.text);
	buf_fini(&t.thoughts);
	buf_fini(&t.scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const unsigned	 statuses[] = { 301, 400, 401, 403, 404, 413, 422, 429, 500, 503 };
	struct failure		 f;
	struct span		 in;

	if (n == 0)
		return 0;
	in = span_make(data + 1, n - 1);
	if (data[0] % 4 == 3) {
		failure_read(&f, statuses[data[0] / 4 % 10], in, "s3cr3t!");
		check_failure(&f);
	} else
		check_stream(in, data[0] % 4, data[0] / 4 + 1);
	return 0;
}
