/*
 * codec - see codec.h.
 */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>

#include "worker/chat/codec.h"
#include "worker/chat/field.h"
#include "worker/chat/halves.h"
#include "worker/chat/think.h"

#define WORD_MAX	64

struct codec {
	struct codec_ops	 ops;
	void			*arg;
	const char		*secret;
	struct think		 think;
	struct halves		 halves;
	struct toolcalls	 calls;
	bool			 done, refused, failed, ended;
	enum codec_finish	 finish;
	struct failure		 failure;
	struct codec_usage	 usage;
	char			 id[WORD_MAX], odd_finish[WORD_MAX];
	bool			 odd;
};

static const struct {
	const char		*word;
	enum codec_finish	 finish;
} finishes[] = {
	{ "stop", CODEC_STOP },			{ "end_turn", CODEC_STOP },
	{ "eos", CODEC_STOP },			{ "STOP", CODEC_STOP },
	{ "stop_sequence", CODEC_STOP },	{ "length", CODEC_LENGTH },
	{ "max_tokens", CODEC_LENGTH },		{ "MAX_TOKENS", CODEC_LENGTH },
	{ "content_filter", CODEC_FILTER },	{ "SAFETY", CODEC_FILTER },
	{ "refusal", CODEC_FILTER },		{ "tool_calls", CODEC_TOOL_CALLS },
	{ "function_call", CODEC_TOOL_CALLS },	{ "tool_use", CODEC_TOOL_CALLS },
};

/* ---- verdict ---- */

enum tri { NO, YES, ANY };

/* The first row that fits. */
static const struct {
	enum tri		 finish, error, done;
	unsigned		 endings;	/* bits */
	struct codec_judgement	 is;
} verdicts[] = {
#define AT(e)	(1u << CODEC_AT_##e)
#define AT_ANY	(AT(EOF) | AT(CUT) | AT(TIMEOUT) | AT(STOP))
#define IS(v, complete, reusable, note)	{ CODEC_##v, complete, reusable, note }
	{ ANY, ANY, ANY, AT(STOP),  IS(STOPPED, false, false, "stopped by the user") },
	{ ANY, YES, ANY, AT_ANY,    IS(FAILED, false, false, "an error came") },
	{ YES, NO,  YES, AT(EOF),   IS(OK, true, true, NULL) },
	{ YES, NO,  YES, AT_ANY,    IS(OK, true, false, NULL) },
	{ YES, NO,  NO,	 AT(EOF),   IS(OK, true, true, "no [DONE] came") },
	{ YES, NO,  NO,	 AT_ANY,    IS(OK, true, false, "cut after the finish, perhaps no usage") },
	{ NO,  NO,  YES, AT_ANY,    IS(SUSPECT, false, false, "[DONE] without a finish_reason") },
	{ NO,  NO,  NO,	 AT(EOF),   IS(TRUNCATED, false, false, "ended without a finish_reason") },
	{ NO,  NO,  NO,	 AT(CUT),   IS(TRUNCATED, false, false, "the connection broke") },
	{ NO,  NO,  NO,	 AT(TIMEOUT), IS(TIMEOUT, false, false, "nothing more came in time") },
};

static bool
is(enum tri want, bool v)
{
	return want == ANY || (want == YES) == v;
}

const struct codec_judgement *
codec_judge(bool finish, bool error, bool done, enum codec_ending ending)
{
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (is(verdicts[i].finish, finish) && is(verdicts[i].error, error) &&
		    is(verdicts[i].done, done) && (verdicts[i].endings & 1u << ending) != 0)
			return &verdicts[i].is;
	assert(0);
	return NULL;
}

const char *
codec_verdict_name(enum codec_verdict v)
{
	static const char *const	 names[] = {
#define X(v) #v,
		CODEC_VERDICTS(X)
#undef X
	};

	return names[v];
}

/* ---- fields ---- */

/* Nobody waits for the second half of a character of the thoughts. */
static void
take_reasoning(struct codec *c, struct span in)
{
	if (in.n > 0)
		think_apart(&c->think, halves_join_alone(&c->halves, in));
}

/* Mistral: [{type: text, text}, {type: thinking, thinking: [{type: text, text}]}]. */
static void
take_content(struct codec *c, json_t *content, bool thinking, unsigned depth)
{
	struct span	 s = field_span(content);
	json_t		*part;
	size_t		 i;

	if (s.n > 0 && thinking)
		take_reasoning(c, s);
	else if (s.n > 0)
		think_take(&c->think, halves_join(&c->halves, s));
	if (!json_is_array(content) || depth == 0)
		return;
	json_array_foreach(content, i, part) {
		json_t	*thoughts = json_object_get(part, "thinking");

		if (thoughts != NULL)
			take_content(c, thoughts, true, depth - 1);
		else
			take_content(c, json_object_get(part, "text"), thinking, 0);
	}
}

static void
take_thoughts(struct codec *c, json_t *delta)
{
	static const char *const	 fields[] = { "reasoning_content", "reasoning" };
	json_t				*details = json_object_get(delta, "reasoning_details"), *d;
	size_t				 i;

	/* Some send the same under several names. */
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct span	 s = field_span(json_object_get(delta, fields[i]));

		if (s.n > 0) {
			take_reasoning(c, s);
			return;
		}
	}
	json_array_foreach(details, i, d) {
		take_reasoning(c, field_span(json_object_get(d, "text")));
		take_reasoning(c, field_span(json_object_get(d, "summary")));
	}
}

static uint64_t
count_of(json_t *o, const char *field)
{
	json_t	*j = json_object_get(o, field);
	double	 v = json_number_value(j);

	return v >= 1 && v < 1e15 ? (uint64_t)v : 0;
}

static void
take_usage(struct codec *c, json_t *u)
{
	json_t	*prompt = json_object_get(u, "prompt_tokens_details");
	json_t	*completion = json_object_get(u, "completion_tokens_details");

	if (!json_is_object(u))
		return;
	c->usage.known = true;
	c->usage.prompt = count_of(u, "prompt_tokens");
	c->usage.completion = count_of(u, "completion_tokens");
	c->usage.total = count_of(u, "total_tokens");
	c->usage.cached = count_of(prompt, "cached_tokens");
	c->usage.reasoning = count_of(completion, "reasoning_tokens");
	if (c->ops.usage != NULL)
		c->ops.usage(c->arg, &c->usage);
}

static void
fail(struct codec *c, const struct failure *f)
{
	if (c->failed)
		return;
	c->failed = true;
	c->failure = *f;
	if (c->ops.error != NULL)
		c->ops.error(c->arg, f);
}

static void
take_finish(struct codec *c, json_t *reason)
{
	struct span	 s = field_span(reason);
	struct failure	 f;

	if (s.n == 0 || c->finish != CODEC_UNFINISHED)
		return;			/* the first of several counts */
	if (span_is(s, "error")) {
		failure_set(&f, FAILURE_TRANSIENT, "finish_reason is error");
		fail(c, &f);
		return;
	}
	for (size_t i = 0; i < sizeof(finishes) / sizeof(finishes[0]); i++)
		if (span_is(s, finishes[i].word))
			c->finish = finishes[i].finish;
	if (c->finish != CODEC_UNFINISHED)
		return;
	c->finish = CODEC_STOP;
	c->odd = true;
	span_copy(s, c->odd_finish, sizeof(c->odd_finish));
}

/* ---- chunks ---- */

static void
take_delta(struct codec *c, json_t *delta)
{
	json_t		*calls = json_object_get(delta, "tool_calls"), *call;
	struct span	 refusal = field_span(json_object_get(delta, "refusal"));
	size_t		 i;

	take_thoughts(c, delta);
	take_content(c, json_object_get(delta, "content"), false, 2);
	if (refusal.n > 0) {
		c->refused = true;
		think_take(&c->think, halves_join(&c->halves, refusal));
	}
	json_array_foreach(calls, i, call)
		toolcalls_take(&c->calls, call);
}

static void
take_choices(struct codec *c, json_t *choices)
{
	json_t	*choice, *index, *delta;
	size_t	 i;

	json_array_foreach(choices, i, choice) {
		index = json_object_get(choice, "index");
		if (json_is_integer(index) && json_integer_value(index) != 0)
			continue;
		delta = json_object_get(choice, "delta");
		take_delta(c, delta != NULL ? delta : json_object_get(choice, "message"));
		take_finish(c, json_object_get(choice, "finish_reason"));
	}
}

static bool
is_truthy(json_t *j)
{
	if (json_is_string(j))
		return json_string_length(j) > 0;
	if (json_is_object(j))
		return json_object_size(j) > 0;
	return j != NULL && !json_is_null(j) && !json_is_false(j);
}

/* Old vLLM and Mistral: {"object":"error","message":...}. */
static bool
is_error(json_t *root)
{
	return is_truthy(json_object_get(root, "error")) ||
	    span_is(field_span(json_object_get(root, "object")), "error");
}

static void
take_root(struct codec *c, json_t *root, bool named_error)
{
	struct failure	 f;
	struct span	 id = field_span(json_object_get(root, "id"));

	if (c->id[0] == '\0' && id.n > 0)
		span_copy(id, c->id, sizeof(c->id));
	/* Before the choices: OpenRouter's finish_reason in the same chunk says less. */
	if (named_error || is_error(root)) {
		failure_read_json(&f, root, c->secret);
		fail(c, &f);
	}
	take_choices(c, json_object_get(root, "choices"));
	take_usage(c, json_object_get(root, "usage"));
	take_usage(c, json_object_get(json_object_get(root, "x_groq"), "usage"));
}

/* Data that is no JSON: an error when it was meant to be some, or is called one. */
static void
take_words(struct codec *c, const struct sse_event *e, struct span in, bool named_error)
{
	struct failure	 f;
	json_t		*words;

	if (named_error) {
		words = json_stringn(in.p, in.n);
		failure_read_json(&f, words, c->secret);
		json_decref(words);
		fail(c, &f);
	} else if (!e->cut && in.n > 0 && in.p[0] == '{') {
		failure_set(&f, FAILURE_PROTOCOL, "a chunk that is no JSON");
		fail(c, &f);
	}
}

void
codec_event(struct codec *c, const struct sse_event *e)
{
	struct span	 in = span_make(e->data.p, e->data.n);
	bool		 named_error = span_is(e->name, "error");
	size_t		 lead = field_blanks(in);
	json_t		*root;

	if (c->done || c->ended || in.n == lead)
		return;
	in = span_make(in.p + lead, in.n - lead);
	if (in.n >= 6 && memcmp(in.p, "[DONE]", 6) == 0) {
		c->done = true;
		return;
	}
	in = halves_hide(&c->halves, in);
	root = json_loadb(in.p, in.n, JSON_ALLOW_NUL, NULL);
	if (root != NULL)
		take_root(c, root, named_error);
	else
		take_words(c, e, in, named_error);
	json_decref(root);
}

void
codec_answer(struct codec *c, struct span body)
{
	struct span	 in = body.n == 0 ? body : halves_hide(&c->halves, body);
	json_t		*root = in.n == 0 ? NULL : json_loadb(in.p, in.n, JSON_ALLOW_NUL, NULL);
	struct failure	 f;

	if (c->ended)
		return;
	c->done = true;
	if (root != NULL && (is_error(root) || json_is_array(json_object_get(root, "choices")))) {
		take_root(c, root, false);
		if (c->finish == CODEC_UNFINISHED)
			c->finish = CODEC_STOP;
	} else {
		failure_read(&f, 200, body, c->secret);
		f.class = FAILURE_PROTOCOL;
		fail(c, &f);
	}
	json_decref(root);
}

void
codec_end(struct codec *c)
{
	struct span	 rest;

	if (c->ended)
		return;
	rest = halves_end(&c->halves);
	if (rest.n > 0)
		think_take(&c->think, rest);
	think_end(&c->think, c->finish == CODEC_STOP || c->finish == CODEC_TOOL_CALLS ||
	    (c->finish == CODEC_UNFINISHED && c->done));
	c->ended = true;
	if (c->finish != CODEC_UNFINISHED && !c->failed && c->ops.finish != NULL)
		c->ops.finish(c->arg, codec_finish(c));
}

/* ---- life ---- */

struct codec *
codec_new(const struct codec_ops *ops, void *arg, const char *secret)
{
	struct think_ops	 thoughts = { ops->text, ops->retract, ops->reasoning };
	struct codec		*c = mem_alloc(sizeof(*c));

	c->ops = *ops;
	c->arg = arg;
	c->secret = secret;
	think_init(&c->think, &thoughts, arg);
	return c;
}

void
codec_free(struct codec **cp)
{
	struct codec	*c = *cp;

	if (c == NULL)
		return;
	toolcalls_fini(&c->calls);
	halves_fini(&c->halves);
	think_fini(&c->think);
	free(c);
	*cp = NULL;
}

void
codec_expect_thoughts(struct codec *c)
{
	think_expect(&c->think);
}

bool
codec_lone_closing(const struct codec *c)
{
	return c->think.lone;
}

bool
codec_saw_text(const struct codec *c)
{
	return c->think.spoke;
}

size_t
codec_calls_n(const struct codec *c)
{
	return c->calls.n;
}

struct chat_call
codec_call(struct codec *c, size_t i, bool *broken_r)
{
	return toolcalls_get(&c->calls, i, c->id, broken_r);
}

bool
codec_saw_finish(const struct codec *c)
{
	return c->finish != CODEC_UNFINISHED;
}

bool
codec_saw_done(const struct codec *c)
{
	return c->done;
}

bool
codec_refused(const struct codec *c)
{
	return c->refused;
}

enum codec_finish
codec_finish(const struct codec *c)
{
	/* Ollama and others say stop with calls in hand. */
	return c->finish == CODEC_STOP && c->calls.n > 0 ? CODEC_TOOL_CALLS : c->finish;
}

const struct failure *
codec_failure(const struct codec *c)
{
	return c->failed ? &c->failure : NULL;
}

const struct codec_usage *
codec_usage(const struct codec *c)
{
	return &c->usage;
}

const char *
codec_id(const struct codec *c)
{
	return c->id;
}

const char *
codec_odd_finish(const struct codec *c)
{
	return c->odd ? c->odd_finish : NULL;
}
