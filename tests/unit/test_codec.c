/*
 * codec, body, failure, provider: what is sent to a model, what its answer and its errors mean.
 * The bodies of errors are those that the servers named beside them give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>
#include "worker/chat/codec.h"

static struct codec	*codec;
static struct buf	 text, thoughts;
static struct codec_usage usage;
static struct failure	 error;
static unsigned		 errors_n, finishes_n, retracts_n;
static bool		 expects_thoughts;
static enum codec_finish finish;

static void
on_text(void *arg, struct span s)
{
	(void)arg;
	assert_true(s.n > 0);
	buf_add_span(&text, s);
}

static void
on_reasoning(void *arg, struct span s)
{
	(void)arg;
	assert_true(s.n > 0);
	buf_add_span(&thoughts, s);
}

static void
on_usage(void *arg, const struct codec_usage *u)
{
	(void)arg;
	usage = *u;
}

static void
on_finish(void *arg, enum codec_finish f)
{
	(void)arg;
	finish = f;
	finishes_n++;
}

static void
on_error(void *arg, const struct failure *f)
{
	(void)arg;
	error = *f;
	errors_n++;
}

static void
on_retract(void *arg)
{
	(void)arg;
	retracts_n++;
	buf_reset(&text);
}

static const struct codec_ops	 ops = {
	on_text, on_retract, on_reasoning, on_usage, on_finish, on_error
};

static void
start(void)
{
	codec_free(&codec);
	buf_reset(&text);
	buf_reset(&thoughts);
	memset(&usage, 0, sizeof(usage));
	memset(&error, 0, sizeof(error));
	errors_n = finishes_n = retracts_n = 0;
	finish = CODEC_UNFINISHED;
	codec = codec_new(&ops, NULL, "topsecret");
}

static int
setup(void **state)
{
	(void)state;
	start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	codec_free(&codec);
	buf_fini(&text);
	buf_fini(&thoughts);
	return 0;
}

static void
data(const char *s)
{
	struct sse_event	 e = { .data = span_of(s) };

	codec_event(codec, &e);
}

static void
named(const char *name, const char *s)
{
	struct sse_event	 e = { .name = span_of(name), .data = span_of(s) };

	codec_event(codec, &e);
}

/* One delta with this content: escapes are the caller's, but for line ends. */
static void
content(const char *s)
{
	struct buf	 b = { 0 };
	char		*chunk;

	buf_printf(&b, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
	for (; *s != '\0'; s++)
		buf_printf(&b, *s == '\n' ? "\\n" : *s == '\r' ? "\\r" : "%c", *s);
	buf_printf(&b, "\"}}]}");
	chunk = mem_spandup(buf_span(&b));
	data(chunk);
	free(chunk);
	buf_fini(&b);
}

#define FINISH(reason) \
	data("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]}")

static void
expect(const char *want_text, const char *want_thoughts)
{
	assert_true(span_is(buf_span(&text), want_text));
	assert_true(span_is(buf_span(&thoughts), want_thoughts));
}

/* ---- what chunks mean ---- */

static void
a_plain_stream(void **state)
{
	(void)state;
	data("{\"id\":\"c-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
	    "\"content\":\"\"},"
	    "\"finish_reason\":null}],\"obfuscation\":\"xyz\"}");
	content("Hel");
	content("lo");
	FINISH("stop");
	assert_true(codec_saw_finish(codec));
	assert_int_equal(finishes_n, 0);		/* usage may still come */
	data("{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,"
	    "\"total_tokens\":9,"
	    "\"prompt_tokens_details\":{\"cached_tokens\":4},"
	    "\"completion_tokens_details\":{\"reasoning_tokens\":1}}}");
	data("[DONE]");
	content("after the end");
	codec_end(codec);
	codec_end(codec);
	expect("Hello", "");
	assert_int_equal(finishes_n, 1);
	assert_int_equal(finish, CODEC_STOP);
	assert_true(codec_saw_done(codec));
	assert_string_equal(codec_id(codec), "c-1");
	assert_true(usage.known && usage.prompt == 7 && usage.completion == 2 && usage.total == 9);
	assert_true(usage.cached == 4 && usage.reasoning == 1);
	assert_int_equal(errors_n, 0);
}

static void
odd_shapes_are_no_errors(void **state)
{
	static const char *const	 chunks[] = {
		/* Azure's first */
		"{\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}",
		"{\"choices\":[{\"index\":0,"
		    "\"content_filter_offsets\":{\"check_offset\":1}}]}",	/* no delta */
		"{\"choices\":[{\"index\":0,\"delta\":{}}]}",
		"{\"choices\":[{\"index\":0,\"delta\":null}]}",
		"{\"choices\":[{\"index\":0,\"delta\":{\"role\":null,\"content\":null}}]}",
		"{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",	/* no index */
		"{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"not asked for\"}}]}",
		"{\"choices\":[null,7,\"x\",{\"delta\":7},{\"delta\":{\"content\":7}}]}",
		"{\"choices\":null}", "{\"choices\":{}}", "{}", "[]", "7", "ping", "",
		"{\"choices\":[],\"error\":null}", "{\"choices\":[],\"error\":\"\"}",
		"{\"choices\":[],\"timings\":{\"predicted_n\":1}}",	/* llama.cpp */
		"{\"choices\":[{\"delta\":{\"tool_calls\":[null,1,{}],\"reasoning_details\":[null,"
		    "{}]}}]}",
		"{\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"\"}],"
		    "\"usage\":null}",
		"{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{\"x\":"
		    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}}}}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
		data(chunks[i]);
	FINISH("stop");
	FINISH("length");			/* the first counts */
	content("c");				/* after the finish: not lost */
	codec_end(codec);
	expect("abc", "");
	assert_int_equal(errors_n, 0);
	assert_int_equal(finish, CODEC_TOOL_CALLS);	/* an empty call is a call, and broken */
}

static void
reasoning_has_many_names(void **state)
{
	(void)state;
	data("{\"choices\":[{\"delta\":{\"reasoning_content\":\"a\"}}]}");
	data("{\"choices\":[{\"delta\":{\"reasoning\":\"b\"}}]}");
	data("{\"choices\":[{\"delta\":{\"reasoning\":\"c\","
	    "\"reasoning_details\":[{\"text\":\"c\"}]}}]}");
	data("{\"choices\":[{\"delta\":{\"reasoning_details\":[{\"text\":\"d\"},"
	    "{\"summary\":\"e\"}]}}]}");
	data("{\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\","
	    "\"thinking\":[{\"type\":\"text\","
	    "\"text\":\"f\"}]},{\"type\":\"text\",\"text\":\"T\"}]}}]}");
	codec_end(codec);
	expect("T", "abcdef");
}

static void
usage_variants(void **state)
{
	(void)state;
	data("{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":5,"
	    "\"completion_tokens\":1}}");
	data("{\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":5,"
	    "\"completion_tokens\":2}}");
	assert_int_equal(usage.completion, 2);
	data("{\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":6,"
	    "\"completion_tokens\":3}}}");
	assert_int_equal(codec_usage(codec)->prompt, 6);
	data("{\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":\"x\","
	    "\"total_tokens\":1e300}}");
	assert_true(usage.known && usage.prompt == 0 && usage.completion == 0 && usage.total == 0);
	start();
	codec_end(codec);
	assert_false(codec_usage(codec)->known);
}

static void
finish_reasons(void **state)
{
	static const struct {
		const char		*word;
		enum codec_finish	 is;
		bool			 odd;
	} all[] = {
		{ "stop", CODEC_STOP, false }, { "length", CODEC_LENGTH, false },
		{ "content_filter", CODEC_FILTER, false }, { "tool_calls", CODEC_TOOL_CALLS,
		    false },
		{ "function_call", CODEC_TOOL_CALLS, false }, { "end_turn", CODEC_STOP, false },
		{ "eos", CODEC_STOP, false }, { "STOP", CODEC_STOP, false },
		{ "max_tokens", CODEC_LENGTH, false }, { "SAFETY", CODEC_FILTER, false },
		{ "because", CODEC_STOP, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char	 chunk[128];

		start();
		snprintf(chunk, sizeof(chunk), "{\"choices\":[{\"finish_reason\":\"%s\"}]}",
		    all[i].word);
		data(chunk);
		codec_end(codec);
		assert_int_equal(finish, all[i].is);
		assert_int_equal(codec_odd_finish(codec) != NULL, all[i].odd);
	}
}

static void
refusals_are_text(void **state)
{
	(void)state;
	data("{\"choices\":[{\"delta\":{\"refusal\":\"I will \"}}]}");
	data("{\"choices\":[{\"delta\":{\"refusal\":\"not\"},\"finish_reason\":\"stop\"}]}");
	codec_end(codec);
	expect("I will not", "");
	assert_true(codec_refused(codec));
}

/* The tags of `in` in every two pieces, and byte by byte. */
static void
check_think(const char *in, const char *want_text, const char *want_thoughts)
{
	size_t	 n = strlen(in);
	char	 piece[256];

	assert_true(n < sizeof(piece));
	for (size_t cut = 0; cut <= n; cut++) {
		start();
		if (expects_thoughts)
			codec_expect_thoughts(codec);
		snprintf(piece, sizeof(piece), "%.*s", (int)cut, in);
		content(piece);
		content(in + cut);
		FINISH("stop");
		codec_end(codec);
		expect(want_text, want_thoughts);
	}
	start();
	if (expects_thoughts)
		codec_expect_thoughts(codec);
	for (size_t i = 0; i < n; i++) {
		snprintf(piece, sizeof(piece), "%c", in[i]);
		content(piece);
	}
	FINISH("stop");
	codec_end(codec);
	expect(want_text, want_thoughts);
}

static void
think_tags(void **state)
{
	(void)state;
	check_think("<think>hm</think>yes", "yes", "hm");
	check_think("  <think>hm</think>  yes <think>b</think>", "yes <think>b</think>", "hm");
	check_think("yes <think>b</think>", "yes <think>b</think>", "");
	check_think("</think>yes", "yes", "");		/* the template held the opening tag */
	check_think("<think>never closed", "", "never closed");
	check_think("<think>a</think>", "", "a");
	check_think("<think></think>b", "b", "");
	check_think("<thin", "<thin", "");
	check_think("<b>x</b>", "<b>x</b>", "");
	check_think(" x", " x", "");
	check_think("  ", "", "");
	check_think("<think>a < b</thin</think>c", "c", "a < b</thin");
	check_think("<think>a<think>b</think>c</think>d", "d", "abc");
	/* The thoughts only mention the tag: the answer is not lost. */
	check_think("<think>the tag <think> is</think> the answer", "the answer",
	    "the tag  is the answer");
}

/* The template has opened them: the closing tag alone tells, at the end of its line. */
static void
a_lone_closing_tag(void **state)
{
	(void)state;
	check_think("1 < 2, hm.</think>\n\nyes", "yes", "");
	assert_true(codec_lone_closing(codec));
	assert_int_equal(retracts_n, 1);
	assert_true(codec_saw_text(codec));
	check_think("a</think>\r\n", "", "");
	assert_false(codec_saw_text(codec));
	check_think("a</think>\nb</think>\nc", "b</think>\nc", "");
	/* Spoken of. */
	check_think("The tag </think> ends it", "The tag </think> ends it", "");
	check_think("`</think>\n`", "`</think>\n`", "");
	check_think("a <think>b</think>\nc", "a <think>b</think>\nc", "");
	check_think("it is </think>", "it is </think>", "");
	assert_false(codec_lone_closing(codec));
	assert_int_equal(retracts_n, 0);
}

/* Once seen, it is expected: no thought is ever shown. */
static void
expected_thoughts(void **state)
{
	(void)state;
	expects_thoughts = true;
	check_think("1 < 2, hm.</think>\n\nyes <b>", "yes <b>", "1 < 2, hm.");
	assert_true(codec_lone_closing(codec));
	assert_int_equal(retracts_n, 0);
	check_think("no thoughts </thi", "no thoughts </thi", "");
	check_think("the tag </think> ends it", "the tag </think> ends it", "");
	check_think("<think>hm</think>yes", "yes", "hm");
	check_think("hm</think>", "", "hm");
	check_think("`</think>", "`</think>", "");
	expects_thoughts = false;
	start();
	codec_expect_thoughts(codec);
	content("nothing is shown");
	expect("", "");
	assert_false(codec_saw_text(codec));
	start();
	codec_expect_thoughts(codec);
	data("{\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}");
	content("at once");
	expect("at once", "hm");
}

/* What breaks off, or ends at the limit, before they were closed was thoughts: nobody reads them. */
static void
expected_thoughts_that_break_off(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		start();
		codec_expect_thoughts(codec);
		content("hm, hm </th");
		if (i == 1)
			FINISH("length");
		if (i == 2)
			data("{\"error\":\"gone\"}");
		codec_end(codec);
		expect("", "hm, hm </th");
		assert_false(codec_saw_text(codec));
	}
}

static void
blanks_do_not_hold_forever(void **state)
{
	(void)state;
	for (int i = 0; i < 5000; i++)
		content(" ");
	content("<think>");
	codec_end(codec);
	assert_int_equal(text.n, 5007);
}

/* A server that cuts by UTF-16 units sends half a character. */
static void
halves_of_characters(void **state)
{
	(void)state;
	content("a\\ud83d");
	content("\\ude00b");
	expect("a\xf0\x9f\x98\x80" "b", "");
	start();
	content("\\ud83d\\ude00 \\u00e9 \\\\ud83d");
	expect("\xf0\x9f\x98\x80 \xc3\xa9 \\ud83d", "");
	start();
	content("\\ud83d");
	content("x");
	content("\\ude00y\\ud83d\\ud83d");
	codec_end(codec);
	expect("\xef\xbf\xbdx\xef\xbf\xbdy\xef\xbf\xbd\xef\xbf\xbd", "");
	start();
	content("\\ud83d");
	data("{\"choices\":[{\"delta\":{\"reasoning\":\"t\\ude00\"}}]}");
	content("\\ude00");
	expect("\xf0\x9f\x98\x80", "t\xef\xbf\xbd");
	start();
	content("a\\u0000b");
	content("\\u0000");
	expect("ab", "");
	assert_int_equal(errors_n, 0);
}

static void
whole_answers(void **state)
{
	(void)state;
	codec_answer(codec, SPAN("{\"id\":\"x\",\"choices\":[{\"index\":0,"
	    "\"message\":{\"role\":\"assistant\","
	    "\"content\":\"<think>t</think>hi\",\"reasoning_content\":\"r\"},"
	    "\"finish_reason\":\"length\"}],"
	    "\"usage\":{\"prompt_tokens\":1}}"));
	codec_end(codec);
	expect("hi", "rt");
	assert_int_equal(finish, CODEC_LENGTH);
	assert_true(codec_saw_done(codec) && usage.known);
	start();
	codec_answer(codec, SPAN("{\"choices\":[{\"message\":{\"content\":\"hi\"}}]}"));
	codec_end(codec);
	assert_int_equal(finish, CODEC_STOP);
	start();
	codec_answer(codec, SPAN("{\"error\":{\"message\":\"no\",\"code\":429}}"));
	assert_int_equal(error.class, FAILURE_RATE);
	start();
	codec_answer(codec, SPAN("<html><title>Login</title></html>"));
	assert_int_equal(error.class, FAILURE_PROTOCOL);
	assert_string_equal(error.message, "Login");
	start();
	codec_answer(codec, SPAN("{\"models\":[]}"));
	assert_int_equal(error.class, FAILURE_PROTOCOL);
	start();
	codec_answer(codec, SPAN_NONE);
	assert_int_equal(error.class, FAILURE_PROTOCOL);
}

static void
errors_inside_streams(void **state)
{
	(void)state;
	content("some");
	data("{\"error\":{\"message\":\"GPU topsecret lost\",\"type\":\"InternalServerError\","
	    "\"code\":500}}");	/* vLLM */
	data("[DONE]");
	codec_end(codec);
	assert_int_equal(errors_n, 1);
	assert_int_equal(error.class, FAILURE_TRANSIENT);
	assert_string_equal(error.message, "GPU *** lost");
	assert_int_equal(finishes_n, 0);
	assert_ptr_equal(codec_judge(codec_saw_finish(codec), codec_failure(codec) != NULL, true,
	    CODEC_AT_EOF),
	    codec_judge(false, true, true, CODEC_AT_EOF));
	start();
	data("{\"id\":\"g\",\"error\":{\"code\":502,\"message\":\"Provider disconnected\"},"
	    "\"choices\":[{\"index\":0,"
	    "\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}],"
	    "\"usage\":{\"prompt_tokens\":3}}");	/* OpenRouter */
	assert_int_equal(errors_n, 1);
	assert_string_equal(error.message, "Provider disconnected");
	assert_true(usage.known);
	start();
	FINISH("error");
	assert_int_equal(error.class, FAILURE_TRANSIENT);
	start();
	named("error", "{\"reason\":\"strange\"}");				/* LM Studio */
	assert_int_equal(errors_n, 1);
	start();
	named("error", "out of memory");
	assert_string_equal(error.message, "out of memory");
	start();
	named("error", "{\"error\":{\"message\":\"The number of tokens to keep from the initial "
	    "prompt is greater than"
	    " the context length\"}}");
	assert_int_equal(error.class, FAILURE_CONTEXT);
	start();
	data("{\"error\":\"an error was encountered\"}");			/* Ollama */
	assert_string_equal(error.message, "an error was encountered");
	start();
	data("{\"object\":\"error\",\"message\":\"old vLLM\",\"code\":400}");
	assert_int_equal(error.class, FAILURE_REQUEST);
	start();
	data("{\"error\":{\"type\":\"server_error\",\"code\":\"server_is_overloaded\","
	    "\"message\":\"m\"}}");
	assert_int_equal(error.class, FAILURE_OVERLOADED);
	start();
	data("{\"choices\":[");
	assert_int_equal(error.class, FAILURE_PROTOCOL);
	start();
	codec_event(codec, &(struct sse_event){ .data = SPAN("{\"choices\":["), .cut = true });
	assert_int_equal(errors_n, 0);			/* the end of the stream says what it was */
}

/* ---- tool calls ---- */

static void
call_is(size_t i, const char *id, const char *name, const char *arguments, bool want_broken)
{
	bool			 broken;
	struct chat_call	 k = codec_call(codec, i, &broken);

	if (id != NULL)
		assert_string_equal(k.id, id);
	else
		assert_int_equal(strlen(k.id), 9);
	assert_string_equal(k.name, name);
	assert_true(span_is(k.arguments, arguments));
	assert_int_equal(broken, want_broken);
}

#define CALL(s)	data("{\"choices\":[{\"delta\":{\"tool_calls\":[" s "]}}]}")

static void
tool_calls(void **state)
{
	(void)state;
	CALL("{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
	    "\"arguments\":\"\"}}");
	CALL("{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}");
	CALL("{\"index\":1,\"id\":\"call_2\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}");
	CALL("{\"index\":0,\"id\":\"call_1\",\"function\":{\"name\":\"f\",\"arguments\":\"1}\"}}");
	FINISH("stop");
	codec_end(codec);
	assert_int_equal(finish, CODEC_TOOL_CALLS);
	assert_int_equal(codec_calls_n(codec), 2);
	call_is(0, "call_1", "f", "{\"a\":1}", false);
	call_is(1, "call_2", "g", "{}", false);

	start();		/* index always 0 */
	CALL("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}");
	CALL("{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}");
	CALL("{\"index\":0,\"function\":{\"arguments\":\"}\"}}");
	assert_int_equal(codec_calls_n(codec), 2);
	call_is(1, "b", "f", "{}", false);

	start();		/* neither index nor id, whole arguments, an object */
	CALL("{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"\","
	    "\"function\":{\"name\":\"g\","
	    "\"arguments\":{\"x\":[1]}}}");
	assert_int_equal(codec_calls_n(codec), 2);
	call_is(0, NULL, "f", "{}", false);
	call_is(1, NULL, "g", "{\"x\":[1]}", false);

	start();		/* broken */
	CALL("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{oops\"}}");
	call_is(0, "a", "f", "{oops", true);

	start();		/* too many */
	for (int i = 0; i < 200; i++) {
		char	 s[128];

		snprintf(s, sizeof(s), "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%d,"
		    "\"id\":\"%d\"}]}}]}", i, i);
		data(s);
	}
	assert_int_equal(codec_calls_n(codec), TOOLCALLS_MAX);
}

/* ---- what a stream was worth: every row of the table ---- */

static void
verdicts(void **state)
{
	static const struct {
		bool			 finish, error, done;
		enum codec_ending	 ending;
		enum codec_verdict	 is;
		bool			 complete, reusable;
	} rows[] = {
		{ true,	 false, true,  CODEC_AT_EOF,	 CODEC_OK,	  true,	 true },
		{ true,	 false, true,  CODEC_AT_CUT,	 CODEC_OK,	  true,	 false },
		{ true,	 false, true,  CODEC_AT_TIMEOUT, CODEC_OK,	  true,	 false },
		{ true,	 false, false, CODEC_AT_EOF,	 CODEC_OK,	  true,	 true },
		{ true,	 false, false, CODEC_AT_CUT,	 CODEC_OK,	  true,	 false },
		{ true,	 false, false, CODEC_AT_TIMEOUT, CODEC_OK,	  true,	 false },
		{ false, false, true,  CODEC_AT_EOF,	 CODEC_SUSPECT,	  false, false },
		{ false, false, true,  CODEC_AT_CUT,	 CODEC_SUSPECT,	  false, false },
		{ false, false, true,  CODEC_AT_TIMEOUT, CODEC_SUSPECT,	  false, false },
		{ false, false, false, CODEC_AT_EOF,	 CODEC_TRUNCATED, false, false },
		{ false, false, false, CODEC_AT_CUT,	 CODEC_TRUNCATED, false, false },
		{ false, false, false, CODEC_AT_TIMEOUT, CODEC_TIMEOUT,	  false, false },
	};
	const struct codec_judgement	*j;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		j = codec_judge(rows[i].finish, rows[i].error, rows[i].done, rows[i].ending);
		assert_int_equal(j->verdict, rows[i].is);
		assert_int_equal(j->complete, rows[i].complete);
		assert_int_equal(j->reusable, rows[i].reusable);
	}
	for (int bits = 0; bits < 8; bits++) {
		j = codec_judge(bits & 1, bits & 2, bits & 4, CODEC_AT_STOP);
		assert_int_equal(j->verdict, CODEC_STOPPED);
		for (int e = CODEC_AT_EOF; e <= CODEC_AT_TIMEOUT; e++) {
			j = codec_judge(bits & 1, true, bits & 4, (enum codec_ending)e);
			assert_int_equal(j->verdict, CODEC_FAILED);
		}
	}
	assert_string_equal(codec_verdict_name(CODEC_SUSPECT), "SUSPECT");
}

/* ---- errors: every class, by what servers send ---- */

static void
classes(void **state)
{
	static const struct {
		unsigned		 status;
		const char		*body;
		enum failure_class	 class;
		const char		*message;	/* NULL: any */
	} rows[] = {
		{ 401, "{\"error\":{\"message\":\"Incorrect API key provided: sk-abcd***wxyz.\","
		    "\"type\":"
		    "\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}",
		    FAILURE_AUTH,
		    "Incorrect API key provided: ***." },
		{ 402, "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}",
		    FAILURE_QUOTA, "Insufficient credits" },
		{ 429, "{\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\","
		    "\"code\":\"insufficient_quota\"}}",
		    FAILURE_QUOTA, "m" },
		{ 403, "{\"error\":{\"code\":403,\"message\":\"Flagged\","
		    "\"metadata\":{\"reasons\":[\"violence\",\"x\"]}}}",
		    FAILURE_DENIED, "Flagged: violence, x" },
		{ 404, "{\"error\":{\"message\":\"model \\\"x\\\" not found\"}}", FAILURE_MODEL,
		    "model \"x\" not found" },
		{ 400, "{\"error\":{\"message\":\"m\",\"code\":\"context_length_exceeded\","
		    "\"param\":\"messages\"}}",
		    FAILURE_CONTEXT, "m" },
		{ 400, "{\"error\":{\"code\":400,\"message\":\"m\","
		    "\"type\":\"exceed_context_size_error\","
		    "\"n_prompt_tokens\":9,\"n_ctx\":4}}", FAILURE_CONTEXT, "m" },
		{ 400, "{\"object\":\"error\",\"message\":\"This model's maximum context length "
		    "is 4096 tokens.\","
		    "\"type\":\"BadRequestError\",\"param\":null,\"code\":400}", FAILURE_CONTEXT,
		    NULL },
		{ 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
		    "\"message\":"
		    "\"prompt is too long: 9 tokens > 4 maximum\"}}", FAILURE_CONTEXT, NULL },
		{ 400, "{\"error\":{\"message\":\"Unsupported parameter: 'max_tokens' is not "
		    "supported\","
		    "\"param\":\"max_tokens\",\"code\":\"unsupported_parameter\"}}",
		    FAILURE_PARAMS, NULL },
		{ 400, "{\"error\":{\"message\":\"Unsupported value: 'temperature' does not "
		    "support 0.2\","
		    "\"param\":\"temperature\",\"code\":\"unsupported_value\"}}", FAILURE_PARAMS,
		    NULL },
		{ 422, "{\"object\":\"error\","
		    "\"message\":{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\","
		    "\"seed\"],\"msg\":\"Extra inputs are not permitted\"}]},"
		    "\"type\":\"invalid_request_error\"}",
		    FAILURE_PARAMS, "Extra inputs are not permitted" },
		{ 422, "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\",\"model\"],"
		    "\"msg\":\"Field required\"}]}",
		    FAILURE_REQUEST, "Field required" },
		{ 400, "{\"error\":{\"message\":\"input length exceeds the context length\"}}",
		    FAILURE_CONTEXT, NULL },
		{ 400, "{\"detail\":\"Bad thing\"}", FAILURE_REQUEST, "Bad thing" },
		{ 400, "{\"error\":{\"code\":\"content_filter\",\"message\":\"m\"}}",
		    FAILURE_FILTERED, "m" },
		{ 400, "{\"object\":\"error\",\"message\":\"bad\","
		    "\"type\":\"invalid_function_call\",\"code\":\"3280\"}",
		    FAILURE_REQUEST, "bad" },
		{ 408, "", FAILURE_TRANSIENT, "" },
		{ 409, "", FAILURE_TRANSIENT, "" },
		{ 425, "", FAILURE_TRANSIENT, "" },
		{ 500, "{\"error\":\"llama runner process has terminated\"}", FAILURE_TRANSIENT,
		    "llama runner process has terminated" },
		{ 502, "<html>\r\n<head><title>502 Bad Gateway</title></head><body></body></html>",
		    FAILURE_TRANSIENT,
		    "502 Bad Gateway" },
		{ 504, "<p>upstream <b>timed</b>\nout</p>", FAILURE_TRANSIENT,
		    "upstream timed out" },
		{ 498, "{\"error\":{\"message\":\"flex\"}}", FAILURE_TRANSIENT, "flex" },
		{ 529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
		    "\"message\":\"Overloaded\"}}",
		    FAILURE_TRANSIENT, "Overloaded" },
		{ 413, "{\"message\":\"Request Entity Too Large\"}", FAILURE_TOO_LARGE,
		    "Request Entity Too Large" },
		{ 429, "{\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}",
		    FAILURE_RATE, "slow down" },
		{ 429, "[{\"error\":{\"code\":429,\"message\":\"Gemini\"}}]", FAILURE_RATE,
		    "Gemini" },
		{ 503, "{\"error\":{\"code\":503,\"message\":\"Loading model\","
		    "\"type\":\"unavailable_error\"}}",
		    FAILURE_OVERLOADED, "Loading model" },
		{ 418, "teapot", FAILURE_REQUEST, "teapot" },
		{ 302, "<a href=\"x\">", FAILURE_PROTOCOL, "a redirect, which is not followed" },
		{ 404, "{\"error\":[]}", FAILURE_MODEL, "" },
		{ 400, "{\"detail\":[]}", FAILURE_REQUEST, "" },
		{ 400, "[]", FAILURE_REQUEST, "" },
		{ 400, "null", FAILURE_REQUEST, "" },
	};
	struct failure	 f;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		failure_read(&f, rows[i].status, span_of(rows[i].body), NULL);
		assert_string_equal(failure_name(f.class), failure_name(rows[i].class));
		assert_int_equal(f.status, rows[i].status);
		if (rows[i].message != NULL)
			assert_string_equal(f.message, rows[i].message);
		if (f.class == FAILURE_PARAMS)
			assert_true(f.param[0] != '\0');
	}
	failure_read(&f, 400, SPAN("{\"error\":{\"message\":\"Unsupported parameter: 'top_p' is\","
	    "\"code\":"
	    "\"unsupported_parameter\"}}"), NULL);
	assert_string_equal(f.param, "top_p");
}

static void
remedies(void **state)
{
	static const enum failure_remedy	 want[FAILURE__N] = {
		[FAILURE_CONTEXT] = FAILURE_TRIM, [FAILURE_PARAMS] = FAILURE_RENAME,
		    [FAILURE_TRANSIENT] = FAILURE_AGAIN,
		[FAILURE_TOO_LARGE] = FAILURE_PLAIN, [FAILURE_RATE] = FAILURE_AGAIN,
		    [FAILURE_OVERLOADED] = FAILURE_AGAIN,
		[FAILURE_EMPTY] = FAILURE_BARE, [FAILURE_TRUNCATED] = FAILURE_AGAIN,
		    [FAILURE_TRANSPORT] = FAILURE_AGAIN,
	};
	struct buf	 out = { 0 };
	struct failure	 f;

	(void)state;
	for (int c = FAILURE_NONE; c < FAILURE__N; c++) {
		assert_int_equal(failure_remedy((enum failure_class)c), want[c]);
		failure_set(&f, (enum failure_class)c, "why");
		buf_reset(&out);
		failure_sentence(&f, "m-1", "id-1", 0, &out);
		assert_true(memchr(buf_span(&out).p, '%', out.n) == NULL);
		assert_true(c == FAILURE_NONE || memmem(buf_span(&out).p, out.n, ". (id id-1)",
		    11) != NULL);
	}
	assert_true(failure_alerts(FAILURE_AUTH) && failure_may_fall_back(FAILURE_QUOTA));
	assert_false(failure_may_fall_back(FAILURE_DENIED));
	failure_set(&f, FAILURE_DENIED, "Flagged: x.");
	buf_reset(&out);
	failure_sentence(&f, NULL, NULL, 0, &out);
	assert_true(span_is(buf_span(&out), "The model provider refused this request: Flagged: "
	    "x."));
	failure_set(&f, FAILURE_RATE, "");
	buf_reset(&out);
	failure_sentence(&f, NULL, "", 19500, &out);
	assert_true(span_is(buf_span(&out), "The model is busy; please try again in 20 s."));
	buf_fini(&out);
}

/* Without a wish of the server's: when the rate that is used up begins anew. */
static void
rates_are_told(void **state)
{
	static const struct {
		const char	*wish, *left[2], *reset[2];
		uint64_t	 want_ms;
	} rows[] = {
		{ "2", { "0", "0" }, { "6m0s", "1h" }, 2000 },
		{ "", { "0", "12" }, { "1h2m3.5s", "2h" }, 3723500 },
		{ "", { "0", "0" }, { "120ms", "1s" }, 1000 },
		{ "-5", { "7", "0" }, { "1s", "6m0s" }, 360000 },
		{ "", { "", "" }, { "1s", "1s" }, 0 },
		{ "", { "0", "0" }, { "-1", "0" }, 0 },
		{ "", { "0", "0" }, { "1x", "s" }, 0 },
		{ "", { "0", "0" }, { "1e5s", "99999999999999999999h" }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct failure_wish	 w = { .retry_after = span_of(rows[i].wish) };

		for (int k = 0; k < 2; k++) {
			w.rates[k].remaining = span_of(rows[i].left[k]);
			w.rates[k].reset = span_of(rows[i].reset[k]);
		}
		assert_int_equal(failure_told_ms(&w, 0), rows[i].want_ms);
	}
}

static void
messages_are_cut_and_clean(void **state)
{
	char		 body[2000];
	struct failure	 f;

	(void)state;
	memset(body, 'a', sizeof(body));
	for (size_t i = 299; i + 1 < sizeof(body); i += 2)
		memcpy(body + i, "\xc3\xa9", 2);
	failure_read(&f, 500, span_make(body, sizeof(body)), NULL);
	assert_int_equal(strlen(f.message), 299);	/* not in the middle of a character */
	failure_read(&f, 500, SPAN("a\x1b[31m\n\tb  \xff Bearer abcd1 key gsk_abcdefgh "
	    "0123456789abcdef0123456789abcdef "
	    "claude-3-5-sonnet-20241022"), NULL);
	assert_string_equal(f.message, "a [31m b \xef\xbf\xbd Bearer *** key *** *** "
	    "claude-3-5-sonnet-20241022");
	failure_read(&f, 500, SPAN("key=pass-word1,xpass-word1y"), "pass-word1");
	assert_string_equal(f.message, "key=***,x***y");
}

static bool
retry(enum failure_class class, unsigned status, struct failure_wish w, unsigned retries,
    uint64_t *ms_r)
{
	struct failure	 f;

	failure_set(&f, class, "");
	f.status = status;
	/* Sun, 06 Nov 1994 08:49:37 GMT */
	return failure_retry(&f, &w, retries, FAILURE_RETRIES_MAX, 784111777000, 1023, ms_r);
}

static void
retry_policy(void **state)
{
	struct failure_wish	 none = { 0 };
	static const struct {
		const char	*ms, *after;
		bool		 again;
		uint64_t	 wait;
	} wishes[] = {
		{ "1500", "9", true, 1500 },
		{ "", "20", true, 20000 },
		{ "", "0.25", true, 250 },
		{ "", "120", true, 120000 },
		{ "", "121", false, 0 },
		{ "", "3600", false, 0 },
		{ "", "Sun, 06 Nov 1994 08:50:07 GMT", true, 30000 },
		{ "", "Sun, 06 Nov 1994 09:49:37 GMT", false, 0 },
		{ "", "Sun, 06 Nov 1994 07:49:37 GMT", true, 376 },	/* past: our own delay */
		{ "", "0", true, 376 }, { "", "-5", true, 376 }, { "", "soon", true, 376 },
		    { "nan", "inf", true, 376 },
		{ "0x10", "1e999", true, 376 },
	};
	uint64_t		 ms;

	(void)state;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		struct failure_wish	 w = { span_of(wishes[i].ms), span_of(wishes[i].after),
		    SPAN_NONE, { { SPAN_NONE, SPAN_NONE } } };

		assert_int_equal(retry(FAILURE_RATE, 429, w, 0, &ms), wishes[i].again);
		if (wishes[i].again)
			assert_int_equal(ms, wishes[i].wait);
	}
	assert_true(retry(FAILURE_TRANSPORT, 0, none, 1, &ms));
	assert_true(ms >= 750 && ms <= 1000);
	assert_false(retry(FAILURE_TRANSPORT, 0, none, 2, &ms));
	assert_false(retry(FAILURE_REQUEST, 400, none, 0, &ms));
	none.should_retry = SPAN("true");
	assert_true(retry(FAILURE_REQUEST, 400, none, 0, &ms));
	none.should_retry = SPAN("false");
	assert_false(retry(FAILURE_RATE, 429, none, 0, &ms));
	none.should_retry = SPAN("maybe");
	assert_true(retry(FAILURE_RATE, 429, none, 0, &ms));
}

/* ---- what is sent ---- */

static const struct chat_message	 talk[] = {
	{ .role = CHAT_SYSTEM, .text = { "Be brief.", 9 } },
	{ .role = CHAT_USER, .text = { "one", 3 }, .name = "ann" },
	{ .role = CHAT_USER, .text = { "two\xff", 4 } },
	{ .role = CHAT_ASSISTANT, .text = { "2", 1 }, .reasoning = { "r", 1 } },
	{ .role = CHAT_USER, .text = { "three", 5 } },
};

static json_t *
build(const char *provider, const struct chat_request *rq, const struct body_learned *learned,
    const struct body_cut *cut)
{
	struct body_learned	 nothing = { 0 };
	struct body_cut		 whole = { 0 };
	struct buf		 out = { 0 };
	json_t			*j;

	body_build(rq, provider_named(provider), learned == NULL ? &nothing : learned,
	    cut == NULL ? &whole : cut, &out);
	j = json_loadb(buf_span(&out).p, out.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	buf_fini(&out);
	return j;
}

static json_t *
message(json_t *body, size_t i)
{
	return json_array_get(json_object_get(body, "messages"), i);
}

static const char *
str(json_t *o, const char *field)
{
	return json_string_value(json_object_get(o, field));
}

static struct chat_request
full_request(const char *model)
{
	struct chat_request	 rq = { .model = model, .messages = talk, .messages_n = 5 };

	chat_params_init(&rq.params);
	rq.params.temperature = 0.7;
	rq.params.top_p = 0.9;
	rq.params.presence_penalty = rq.params.frequency_penalty = 0.5;
	rq.params.max_tokens = 100;
	rq.params.seed = 1;
	rq.params.stop[rq.params.stop_n++] = "END";
	rq.params.reasoning_effort = "low";
	rq.params.user = "hash";
	rq.params.tools = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
	rq.params.tool_choice = "\"auto\"";
	return rq;
}

static void
bytes_are_stable(void **state)
{
	struct chat_request	 rq = { .model = "m", .messages = talk, .messages_n = 2 };
	struct body_learned	 l = { 0 };
	struct body_cut		 cut = { 0 };
	struct buf		 out = { 0 };

	(void)state;
	chat_params_init(&rq.params);
	rq.params.temperature = 0.7;
	rq.params.max_tokens = 5;
	body_build(&rq, provider_named("generic"), &l, &cut, &out);
	assert_true(span_is(buf_span(&out), "{\"model\":\"m\",\"messages\":[{\"role\":\"system\","
	    "\"content\":\"Be brief.\"},"
	    "{\"role\":\"user\",\"content\":\"one\"}],\"stream\":true,"
	    "\"stream_options\":{\"include_usage\":true},"
	    "\"max_tokens\":5,\"temperature\":0.7}"));
	buf_fini(&out);
}

/* What a row forbids is absent, and the rest is there. */
static void
every_row_keeps_its_fields(void **state)
{
	static const char *const	 fields[] = { "temperature", "top_p", "presence_penalty",
	    "frequency_penalty", "seed",
	    "stop", "reasoning_effort", "safety_identifier", "tools", "tool_choice" };
	const struct provider		*rows;
	struct chat_request		 rq = full_request("plain");
	size_t				 n;

	(void)state;
	rows = provider_rows(&n);
	assert_true(n >= 13);
	for (size_t i = 0; i < n; i++) {
		json_t	*body = build(rows[i].name, &rq, NULL, NULL);
		bool	 completion = rows[i].token_param == PROVIDER_MAX_COMPLETION_TOKENS;

		for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++)
			assert_int_equal(json_object_get(body, fields[f]) != NULL,
			    !provider_lists(rows[i].forbidden, span_of(fields[f])));
		assert_int_equal(json_object_get(body, "stream_options") != NULL, rows[i].usage);
		assert_int_equal(json_object_get(body, "max_completion_tokens") != NULL,
		    completion);
		assert_int_equal(json_object_get(body, "max_tokens") != NULL, !completion);
		assert_int_equal(json_object_get(message(body, 1), "name") != NULL, rows[i].named);
		assert_string_equal(str(message(body, 1), "content"),
		    rows[i].ordered ? "one\n\ntwo\xef\xbf\xbd" : "one");
		assert_int_equal(json_array_size(json_object_get(body, "messages")),
		    rows[i].ordered ? 4 : 5);
		assert_int_equal(json_object_get(message(body, rows[i].ordered ? 2 : 3),
		    "reasoning_content") != NULL,
		    rows[i].echo == PROVIDER_ALWAYS);
		json_decref(body);
	}
}

static void
reasoning_models_take_less(void **state)
{
	struct chat_request	 rq = full_request("gpt-5-mini");
	json_t			*body = build("openai", &rq, NULL, NULL);

	(void)state;
	assert_null(json_object_get(body, "temperature"));
	assert_null(json_object_get(body, "stop"));
	assert_non_null(json_object_get(body, "reasoning_effort"));
	json_decref(body);
	assert_true(provider_takes(provider_named("openai"), "gpt-4o", "stop"));
	assert_false(provider_takes(provider_named("azure"), "o3", "stop"));
	assert_true(provider_takes(provider_named("xai"), "grok-4", "temperature"));
	assert_false(provider_takes(provider_named("xai"), "x-ai/grok-4-fast", "stop"));
}

static void
images(void **state)
{
	struct chat_image	 pics[] = { { .data = SPAN("\x89PNG1"), .type = "image/png" },
	    { .url = "https://x/y.png" } };
	struct chat_message	 m[] = { { .role = CHAT_USER, .text = SPAN("look"), .images = pics,
	    .images_n = 2 },
				    { .role = CHAT_USER, .images = pics, .images_n = 1 } };
	struct chat_request	 rq = { .model = "m", .messages = m, .messages_n = 2 };
	struct body_cut		 cut = { .images = true };
	json_t			*body, *parts;

	(void)state;
	chat_params_init(&rq.params);
	rq.params.vision = true;
	assert_true(body_has_images(&rq));
	body = build("openai", &rq, NULL, NULL);
	parts = json_object_get(message(body, 0), "content");
	assert_int_equal(json_array_size(parts), 3);
	assert_string_equal(str(json_array_get(parts, 0), "text"), "look");
	assert_string_equal(str(json_object_get(json_array_get(parts, 1), "image_url"), "url"),
	    "data:image/png;base64,iVBORzE=");
	assert_string_equal(str(json_object_get(json_array_get(parts, 2), "image_url"), "url"),
	    "https://x/y.png");
	json_decref(body);
	body = build("ollama", &rq, NULL, NULL);	/* data URLs only */
	assert_int_equal(json_array_size(json_object_get(message(body, 0), "content")), 2);
	json_decref(body);
	body = build("deepseek", &rq, NULL, NULL);	/* none */
	assert_string_equal(str(message(body, 0), "content"), "look");
	assert_string_equal(str(message(body, 1), "content"), "[image]");
	json_decref(body);
	body = build("openai", &rq, NULL, &cut);	/* after 413 */
	assert_string_equal(str(message(body, 0), "content"), "look");
	json_decref(body);
	rq.params.vision = false;			/* not declared to see */
	body = build("openai", &rq, NULL, NULL);
	assert_string_equal(str(message(body, 0), "content"), "look");
	json_decref(body);
}

static void
calls_and_results(void **state)
{
	struct chat_call	 calls[] = { { "call_0123456789", "f", SPAN("{\"a\":1}") },
	    { "abcDEF123", "g", SPAN_NONE } };
	struct chat_message	 m[] = { { .role = CHAT_USER, .text = SPAN("go") },
		{ .role = CHAT_ASSISTANT, .calls = calls, .calls_n = 2, .reasoning = SPAN("r") },
		{ .role = CHAT_TOOL, .text = SPAN("1"), .call_id = "call_0123456789" },
		{ .role = CHAT_TOOL, .text = SPAN("2"), .call_id = "abcDEF123" } };
	struct chat_request	 rq = { .model = "m", .messages = m, .messages_n = 4 };
	json_t			*body, *call;

	(void)state;
	chat_params_init(&rq.params);
	body = build("openrouter", &rq, NULL, NULL);
	call = json_array_get(json_object_get(message(body, 1), "tool_calls"), 0);
	assert_string_equal(str(call, "id"), "call_0123456789");
	assert_string_equal(str(json_object_get(call, "function"), "arguments"), "{\"a\":1}");
	assert_string_equal(str(message(body, 1), "content"), "");
	assert_string_equal(str(message(body, 1), "reasoning_content"), "r");
	json_decref(body);
	body = build("mistral", &rq, NULL, NULL);	/* ids of nine */
	call = json_array_get(json_object_get(message(body, 1), "tool_calls"), 0);
	assert_int_equal(strlen(str(call, "id")), 9);
	assert_string_equal(str(message(body, 2), "tool_call_id"), str(call, "id"));
	assert_string_equal(str(message(body, 3), "tool_call_id"), "abcDEF123");
	call = json_array_get(json_object_get(message(body, 1), "tool_calls"), 1);
	assert_string_equal(str(json_object_get(call, "function"), "arguments"), "{}");
	assert_int_equal(json_array_size(json_object_get(body, "messages")),
	    4);	/* results are not joined */
	json_decref(body);
}

static struct failure
refused(const char *param)
{
	struct failure	 f;

	failure_set(&f, FAILURE_PARAMS, "");
	strlcpy(f.param, param, sizeof(f.param));
	return f;
}

static void
a_model_teaches(void **state)
{
	struct chat_request	 rq = full_request("m");
	struct body_learned	 l = { 0 };
	struct failure		 f;
	json_t			*body;

	(void)state;
	f = refused("max_tokens");
	assert_true(body_learn(&l, provider_named("generic"), &f));
	body = build("generic", &rq, &l, NULL);
	assert_non_null(json_object_get(body, "max_completion_tokens"));
	assert_null(json_object_get(body, "max_tokens"));
	json_decref(body);
	f = refused("max_completion_tokens");		/* neither: then none */
	assert_true(body_learn(&l, provider_named("generic"), &f));
	assert_false(body_learn(&l, provider_named("generic"), &f));
	f = refused("temperature");
	assert_true(body_learn(&l, provider_named("generic"), &f));
	body = build("generic", &rq, &l, NULL);
	assert_null(json_object_get(body, "max_completion_tokens"));
	assert_null(json_object_get(body, "temperature"));
	assert_non_null(json_object_get(body, "top_p"));
	json_decref(body);
	f = refused("messages");
	assert_false(body_learn(&l, provider_named("generic"), &f));
	failure_read(&f, 400, SPAN("{\"error\":{\"message\":\"The reasoning_content in the "
	    "thinking mode must be passed back to the API.\",\"type\":\"invalid_request_error\"}}"), NULL);
	assert_int_equal(f.class, FAILURE_PARAMS);
	assert_true(body_learn(&l, provider_named("generic"), &f));
	assert_false(body_learn(&l, provider_named("generic"), &f));
	body = build("generic", &rq, &l, NULL);
	assert_string_equal(str(message(body, 3), "reasoning_content"), "r");
	assert_null(json_object_get(message(body, 4), "reasoning_content"));
	json_decref(body);
	f = refused("");
	assert_false(body_learn(&l, provider_named("generic"), &f));
	for (int i = 0; i < 20; i++) {
		snprintf(f.param, sizeof(f.param), "p%d", i);
		assert_int_equal(body_learn(&l, provider_named("generic"), &f),
		    i < BODY_DROPPED_MAX - 2);
	}
}

static void
trimming(void **state)
{
	struct chat_request	 rq = full_request("m");
	struct body_cut		 cut = { 0 };
	json_t			*body;

	(void)state;
	cut.oldest_n = body_oldest_third(&rq);		/* of 4 turns 2, up to a user's: "three" */
	assert_int_equal(cut.oldest_n, 3);
	body = build("generic", &rq, NULL, &cut);
	assert_int_equal(json_array_size(json_object_get(body, "messages")), 2);
	assert_string_equal(str(message(body, 0), "content"), "Be brief.");
	assert_string_equal(str(message(body, 1), "content"), "three");
	json_decref(body);
	rq.messages_n = 2;
	assert_int_equal(body_oldest_third(&rq), 0);	/* nothing can go */
	cut.oldest_n = 0;
	cut.bare = true;
	body = build("generic", &rq, NULL, &cut);
	assert_null(json_object_get(body, "tools"));
	assert_null(json_object_get(body, "reasoning_effort"));
	json_decref(body);
}

static void
providers_are_recognised(void **state)
{
	static const char *const	 urls[][2] = {
		{ "https://api.openai.com/v1", "openai" }, { "http://localhost:11434/v1",
		    "ollama" },
		{ "http://127.0.0.1:8080/v1", "llamacpp" }, { "http://10.0.0.1:8000/v1", "vllm" },
		{ "http://[::1]:1234/v1", "lmstudio" }, { "https://openrouter.ai/api/v1",
		    "openrouter" },
		{ "https://api.groq.com/openai/v1", "groq" }, { "https://api.mistral.ai/v1",
		    "mistral" },
		{ "https://API.x.ai/v1", "xai" },
		{ "https://me.openai.azure.com/openai/deployments/d", "azure" },
		{ "https://generativelanguage.googleapis.com/v1beta/openai/", "gemini" },
		{ "https://api.deepseek.com", "deepseek" }, { "https://example.org/v1", "generic" },
		{ "https://openai.azure.com/v1", "generic" }, { "https://notopenrouter.ai/v1",
		    "generic" },
		{ "nonsense", "generic" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		assert_string_equal(provider_of(urls[i][0])->name, urls[i][1]);
	assert_null(provider_named("nobody"));
	assert_ptr_equal(provider_named("azure"), provider_of("https://x.openai.azure.com"));
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(a_plain_stream),
		TEST(odd_shapes_are_no_errors),
		TEST(reasoning_has_many_names),
		TEST(usage_variants),
		TEST(finish_reasons),
		TEST(refusals_are_text),
		TEST(think_tags),
		TEST(a_lone_closing_tag),
		TEST(expected_thoughts),
		TEST(expected_thoughts_that_break_off),
		TEST(blanks_do_not_hold_forever),
		TEST(halves_of_characters),
		TEST(whole_answers),
		TEST(errors_inside_streams),
		TEST(tool_calls),
		TEST(verdicts),
		TEST(classes),
		TEST(remedies),
		TEST(rates_are_told),
		TEST(messages_are_cut_and_clean),
		TEST(retry_policy),
		TEST(bytes_are_stable),
		TEST(every_row_keeps_its_fields),
		TEST(reasoning_models_take_less),
		TEST(images),
		TEST(calls_and_results),
		TEST(a_model_teaches),
		TEST(trimming),
		TEST(providers_are_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
