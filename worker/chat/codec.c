/*
 * codec - see codec.h.
 */
#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

#include "worker/chat/codec.h"

#define WORD_MAX	64
#define LEAD_MAX	4096	/* blanks before a <think>; more are text */

/*
 * Lone surrogates are no text, and jansson refuses the document; but a server that cuts its output
 * by UTF-16 units sends one half at the end of a delta and the other at the start of the next.
 * They go through jansson as characters of the last private plane, 0x800 of them.
 */
#define HALF_BASE	0x10f800u
#define HALVES_N	0x800u
#define SURROGATES	0xd800u

/*
 * GUESS: as thoughts, because the caller expects some; text after all when nothing closes them.
 * SPEAKS: text, in which a lone </think> may still tell that it was none.  OUT: text, to the end.
 */
enum think { THINK_START, THINK_IN, THINK_AFTER, THINK_GUESS, THINK_SPEAKS, THINK_OUT };

struct call {
	int64_t		 index;		/* -1: none was given */
	char		*id, *name;	/* NULL: not yet */
	struct buf	 arguments;
};

struct codec {
	struct codec_ops	 ops;
	void			*arg;
	const char		*secret;
	enum think		 think;
	unsigned		 depth;		/* of <think> inside <think> */
	bool			 closed;	/* one </think> was seen inside */
	bool			 expected;	/* thoughts without an opening tag */
	bool			 lone;		/* a </think> closed what nothing had opened */
	char			 before;	/* the byte of the text before what is held */
	struct buf		 held;		/* may be the beginning of a tag */
	struct buf		 spare;		/* after the first of several </think> */
	struct buf		 mended, plain;
	unsigned		 half;		/* a high surrogate that waits for its other half */
	bool			 has_halves;	/* in this document */
	bool			 text, done, refused, failed, ended;
	enum codec_finish	 finish;
	struct failure		 failure;
	struct codec_usage	 usage;
	char			 id[WORD_MAX], odd_finish[WORD_MAX];
	bool			 odd;
	struct call		*calls;
	size_t			 calls_n;
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

/* ---- halves of characters ---- */

static int
hex4(const char *p)
{
	int	 v = 0;

	for (int i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)p[i]))
			return -1;
		v = v * 16 + (isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	}
	return v;
}

/* The escape \uXXXX at p, -1 when there is none. */
static int
escape_at(struct span in, size_t i)
{
	return in.n - i >= 6 && in.p[i] == '\\' && in.p[i + 1] == 'u' ? hex4(in.p + i + 2) : -1;
}

static bool
is_high(int v)
{
	return v >= 0xd800 && v <= 0xdbff;
}

static bool
is_low(int v)
{
	return v >= 0xdc00 && v <= 0xdfff;
}

/* JSON in which no surrogate stands alone. */
static struct span
hide_halves(struct codec *c, struct span in)
{
	size_t	 from = 0, step;

	c->has_halves = false;
	if (memmem(in.p, in.n, "\\u", 2) == NULL)
		return in;
	buf_reset(&c->mended);
	for (size_t i = 0; i < in.n; i += step) {
		int	 v = escape_at(in, i);

		step = in.p[i] == '\\' ? 2 : 1;
		if (is_high(v) && in.n - i >= 12 && is_low(escape_at(in, i + 6)))
			step = 12;
		else if (is_high(v) || is_low(v)) {
			unsigned	 cp = HALF_BASE + (unsigned)v - SURROGATES - 0x10000;

			buf_add(&c->mended, in.p + from, i - from);
			buf_printf(&c->mended, "\\u%04x\\u%04x", 0xd800 + (cp >> 10),
			    0xdc00 + (cp & 0x3ff));
			c->has_halves = true;
			from = i + (step = 6);
		}
	}
	if (!c->has_halves)
		return in;
	buf_add(&c->mended, in.p + from, in.n - from);
	return buf_span(&c->mended);
}

static void
add_code_point(struct buf *out, unsigned cp)
{
	if (cp >= 0x10000)
		buf_printf(out, "%c%c%c%c", (char)(0xf0 | cp >> 18),
		    (char)(0x80 | (cp >> 12 & 0x3f)), (char)(0x80 | (cp >> 6 & 0x3f)),
		    (char)(0x80 | (cp & 0x3f)));
	else
		buf_printf(out, "%c%c%c", (char)(0xe0 | cp >> 12), (char)(0x80 | (cp >> 6 & 0x3f)),
		    (char)(0x80 | (cp & 0x3f)));
}

/* The hidden half at p, 0 when there is none. */
static unsigned
half_at(struct span in, size_t i)
{
	const unsigned char	*p = (const unsigned char *)in.p + i;
	unsigned		 cp;

	if (in.n - i < 4 || p[0] != 0xf4)
		return 0;
	cp = (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
	return cp >= HALF_BASE && cp < HALF_BASE + HALVES_N ? cp - HALF_BASE + SURROGATES : 0;
}

static void
flush_half(struct codec *c, struct buf *out)
{
	if (c->half != 0)
		add_code_point(out, 0xfffd);
	c->half = 0;
}

/* Text as it is meant: halves joined, also with one of the delta before, and no NUL. */
static struct span
join_halves(struct codec *c, struct span in)
{
	if (!c->has_halves && c->half == 0 && memchr(in.p, '\0', in.n) == NULL)
		return in;
	buf_reset(&c->plain);
	for (size_t i = 0; i < in.n; i++) {
		unsigned	 half = c->has_halves ? half_at(in, i) : 0;

		if (half != 0)
			i += 3;
		if (is_low((int)half) && c->half != 0) {
			add_code_point(&c->plain,
			    0x10000 + ((c->half - 0xd800) << 10) + (half - 0xdc00));
			c->half = 0;
			continue;
		}
		flush_half(c, &c->plain);
		if (is_high((int)half))
			c->half = half;
		else if (half != 0)
			add_code_point(&c->plain, 0xfffd);
		else if (in.p[i] != '\0')
			buf_add(&c->plain, in.p + i, 1);
	}
	return buf_span(&c->plain);
}

/* ---- text and thoughts ---- */

static void
give_text(struct codec *c, struct span s)
{
	if (s.n == 0)
		return;
	c->text = true;
	if (c->ops.text != NULL)
		c->ops.text(c->arg, s);
}

static void
give_reasoning(struct codec *c, struct span s)
{
	if (s.n > 0 && c->ops.reasoning != NULL)
		c->ops.reasoning(c->arg, s);
}

static bool
is_blank(char ch)
{
	return ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t';
}

static size_t
blanks(struct span s)
{
	size_t	 n = 0;

	while (n < s.n && is_blank(s.p[n]))
		n++;
	return n;
}

/* 1 it begins with tag, 0 it may with more bytes, -1 never. */
static int
begins_with(struct span s, const char *tag)
{
	size_t	 tag_n = strlen(tag), n = s.n < tag_n ? s.n : tag_n;

	if (n > 0 && memcmp(s.p, tag, n) != 0)
		return -1;
	return n == tag_n;
}

static void
think_start(struct codec *c)
{
	struct span	 s = buf_span(&c->held), seen;
	size_t		 n = blanks(s);
	int		 opens, closes;

	seen = span_make(s.p + n, s.n - n);
	opens = begins_with(seen, "<think>");
	closes = begins_with(seen, "</think>");		/* the template held the opening one */
	if (opens == 1) {
		buf_drop(&c->held, n + 7);
		c->think = THINK_IN;
		c->depth = 1;
	} else if (closes == 1) {
		buf_drop(&c->held, n + 8);
		c->think = THINK_AFTER;
	} else if ((opens < 0 && closes < 0) || s.n > LEAD_MAX)
		c->think = c->expected ? THINK_GUESS : THINK_SPEAKS;
}

/* Bytes before the next tag or what may become one. */
static size_t
before_tag(struct span s, int *opens_r, int *closes_r)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '<')
			continue;
		*opens_r = begins_with(span_make(s.p + i, s.n - i), "<think>");
		*closes_r = begins_with(span_make(s.p + i, s.n - i), "</think>");
		if (*opens_r >= 0 || *closes_r >= 0)
			return i;
	}
	*opens_r = *closes_r = -1;
	return s.n;
}

/* False: more bytes are needed. */
static bool
think_in(struct codec *c)
{
	struct span	 s = buf_span(&c->held);
	int		 opens, closes;
	size_t		 n = before_tag(s, &opens, &closes), tag_n;

	give_reasoning(c, span_make(s.p, n));
	if (c->closed)
		buf_add(&c->spare, s.p, n);
	tag_n = opens == 1 ? 7 : closes == 1 ? 8 : 0;
	if (tag_n > 0 && c->closed)
		buf_add(&c->spare, s.p + n, tag_n);
	buf_drop(&c->held, n + tag_n);
	if (opens == 1)
		c->depth++;
	else if (closes == 1) {
		c->closed = true;
		if (--c->depth == 0)
			c->think = THINK_AFTER;
	}
	return tag_n > 0;
}

/*
 * Whether the </think> at the front of s ends thoughts that the template had opened: it stands at
 * the end of its line, and not in code.  1 yes, 0 perhaps, -1 no.
 */
static int
ends_thoughts(char before, struct span s)
{
	if (before == '`')
		return -1;
	return s.n == 8 ? 0 : s.p[8] == '\n' || s.p[8] == '\r' ? 1 : -1;
}

/* The lone </think> at the front of what is held: all before it was thoughts. */
static void
take_back(struct codec *c)
{
	buf_drop(&c->held, 8);
	c->lone = true;
	c->think = THINK_AFTER;
	if (c->spare.n > 0) {
		give_reasoning(c, buf_span(&c->spare));
		buf_reset(&c->spare);
	} else if (c->text) {
		c->text = false;
		if (c->ops.retract != NULL)
			c->ops.retract(c->arg);
	}
}

/* Text, or in THINK_GUESS what is kept until it is known.  False: more bytes are needed. */
static bool
think_speaks(struct codec *c)
{
	struct span	 s = buf_span(&c->held);
	int		 opens, closes, ends = -1;
	size_t		 n = before_tag(s, &opens, &closes);

	if (n > 0)
		c->before = s.p[n - 1];
	if (closes == 1)
		ends = ends_thoughts(c->before, span_make(s.p + n, s.n - n));
	if (c->think == THINK_GUESS)
		buf_add(&c->spare, s.p, n);
	else
		give_text(c, span_make(s.p, n));
	buf_drop(&c->held, n);
	if (ends == 1)
		take_back(c);
	else if (opens == 1 || (closes == 1 && ends < 0)) {
		/* A tag that is spoken of. */
		give_text(c, buf_span(&c->spare));
		buf_reset(&c->spare);
		c->think = THINK_OUT;
	} else
		return false;
	return true;
}

static void
take_text(struct codec *c, struct span in)
{
	bool	 more = true;

	if (in.n > 0 && c->think == THINK_SPEAKS && c->held.n == 0 &&
	    memchr(in.p, '<', in.n) == NULL) {		/* nearly always */
		c->before = in.p[in.n - 1];
		give_text(c, in);
		return;
	}
	if (c->think == THINK_OUT && c->held.n == 0) {
		give_text(c, in);
		return;
	}
	buf_add_span(&c->held, in);
	while (more && c->held.n > 0) {
		enum think	 before = c->think;

		if (before == THINK_START)
			think_start(c);
		else if (before == THINK_AFTER) {
			buf_drop(&c->held, blanks(buf_span(&c->held)));
			if (c->held.n > 0)
				c->think = THINK_OUT;
		} else if (before == THINK_OUT) {
			give_text(c, buf_span(&c->held));
			buf_fini(&c->held);
		}
		if (before == THINK_IN)
			more = think_in(c);
		else if (before == THINK_GUESS || before == THINK_SPEAKS)
			more = think_speaks(c);
		else
			more = c->think != before;
	}
}

/* Nothing more will come: what was held back is what it looks like. */
static void
flush_text(struct codec *c)
{
	struct span	 rest;

	if (c->half != 0) {
		buf_reset(&c->plain);
		flush_half(c, &c->plain);
		take_text(c, buf_span(&c->plain));
	}
	if (c->think == THINK_IN)
		give_reasoning(c, buf_span(&c->held));
	else if (c->think == THINK_START && blanks(buf_span(&c->held)) < c->held.n)
		give_text(c, buf_span(&c->held));
	else if (c->think == THINK_GUESS || c->think == THINK_SPEAKS) {
		give_text(c, buf_span(&c->spare));
		give_text(c, buf_span(&c->held));
	}
	/* A <think> in the thoughts was no tag: after the first </think> came the answer. */
	if (c->think == THINK_IN && c->closed) {
		rest = buf_span(&c->spare);
		if (rest.n > 0)
			give_text(c, span_make(rest.p + blanks(rest), rest.n - blanks(rest)));
		give_text(c, buf_span(&c->held));
	}
	buf_reset(&c->held);
	buf_reset(&c->spare);
}

/* ---- fields ---- */

static struct span
string_of(json_t *j)
{
	if (!json_is_string(j))
		return SPAN_NONE;
	return span_make(json_string_value(j), json_string_length(j));
}

/* Nobody waits for the second half of a character of the thoughts. */
static void
take_reasoning(struct codec *c, struct span in)
{
	unsigned	 waiting = c->half;

	if (in.n == 0)
		return;
	c->half = 0;
	c->expected = false;		/* they have a field of their own */
	in = join_halves(c, in);
	give_reasoning(c, in);
	c->half = waiting;
}

/* Mistral: [{type: text, text}, {type: thinking, thinking: [{type: text, text}]}]. */
static void
take_content(struct codec *c, json_t *content, bool thinking, unsigned depth)
{
	struct span	 s = string_of(content);
	json_t		*part;
	size_t		 i;

	if (s.n > 0 && thinking)
		take_reasoning(c, s);
	else if (s.n > 0)
		take_text(c, join_halves(c, s));
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
		struct span	 s = string_of(json_object_get(delta, fields[i]));

		if (s.n > 0) {
			take_reasoning(c, s);
			return;
		}
	}
	json_array_foreach(details, i, d) {
		take_reasoning(c, string_of(json_object_get(d, "text")));
		take_reasoning(c, string_of(json_object_get(d, "summary")));
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
	struct span	 s = string_of(reason);
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

/* ---- tool calls ---- */

static bool
is_whole_json(const struct buf *b)
{
	json_t	*j = b->n == 0 ? NULL : json_loadb(b->p + b->off, b->n, JSON_ALLOW_NUL, NULL);
	bool	 whole = j != NULL;

	json_decref(j);
	return whole;
}

static struct call *
new_call(struct codec *c, int64_t index)
{
	struct call	*k;

	if (c->calls_n == CODEC_CALLS_MAX)
		return NULL;
	c->calls = mem_grow(c->calls, c->calls_n + 1, sizeof(*c->calls));
	k = &c->calls[c->calls_n++];
	memset(k, 0, sizeof(*k));
	k->index = index;
	return k;
}

static struct call *
call_by_id(struct codec *c, struct span id)
{
	for (size_t i = c->calls_n; i-- > 0;)
		if (c->calls[i].id != NULL && span_is(id, c->calls[i].id))
			return &c->calls[i];
	return NULL;
}

static struct call *
call_by_index(struct codec *c, int64_t index)
{
	for (size_t i = c->calls_n; i-- > 0;)
		if (c->calls[i].index == index)
			return &c->calls[i];
	return NULL;
}

/* Which call a fragment belongs to.  Servers leave out the index, or always say 0. */
static struct call *
call_of(struct codec *c, int64_t index, struct span id, struct span name)
{
	struct call	*k;

	if (id.n > 0 && (k = call_by_id(c, id)) != NULL)
		return k;
	if (index < 0)
		k = c->calls_n == 0 ? NULL : &c->calls[c->calls_n - 1];
	else
		k = call_by_index(c, index);
	if (k == NULL)
		return new_call(c, index < 0 ? 0 : index);
	if (id.n > 0 && k->id != NULL)
		return new_call(c, index < 0 ? (int64_t)c->calls_n : index);
	if (name.n > 0 && k->name != NULL && is_whole_json(&k->arguments))
		return new_call(c, index < 0 ? (int64_t)c->calls_n : index);
	return k;
}

static void
take_arguments(struct call *k, json_t *arguments)
{
	char	*text;

	if (json_is_string(arguments)) {
		buf_add_span(&k->arguments, string_of(arguments));
		return;
	}
	if (!json_is_object(arguments) || k->arguments.n > 0)
		return;
	text = json_dumps(arguments, JSON_COMPACT);
	buf_add_span(&k->arguments, span_of(text));
	free(text);
}

static void
take_call(struct codec *c, json_t *fragment)
{
	json_t		*index = json_object_get(fragment, "index");
	json_t		*fn = json_object_get(fragment, "function");
	struct span	 id = string_of(json_object_get(fragment, "id"));
	struct span	 name = string_of(json_object_get(fn, "name"));
	int64_t		 at = -1;
	struct call	*k;

	if (json_is_integer(index) && json_integer_value(index) >= 0)
		at = json_integer_value(index);
	if (!json_is_object(fragment) || (k = call_of(c, at, id, name)) == NULL)
		return;
	if (id.n > 0 && k->id == NULL)
		k->id = mem_spandup(id);
	if (name.n > 0 && k->name == NULL)
		k->name = mem_spandup(name);
	take_arguments(k, json_object_get(fn, "arguments"));
}

size_t
codec_calls_n(const struct codec *c)
{
	return c->calls_n;
}

struct chat_call
codec_call(struct codec *c, size_t i, bool *broken_r)
{
	struct call	*k = &c->calls[i];
	char		 id[BODY_CALL_ID_BYTES], *seed;

	assert(i < c->calls_n);
	if (k->id == NULL) {
		seed = mem_printf("%s#%zu", c->id, i);
		body_call_id(seed, id);
		k->id = mem_strdup(id);
		free(seed);
	}
	if (k->arguments.n == 0)
		buf_add(&k->arguments, "{}", 2);
	*broken_r = k->name == NULL || !is_whole_json(&k->arguments);
	return (struct chat_call){ k->id, k->name == NULL ? "" : k->name, buf_span(&k->arguments) };
}

/* ---- chunks ---- */

static void
take_delta(struct codec *c, json_t *delta)
{
	json_t		*calls = json_object_get(delta, "tool_calls"), *call;
	struct span	 refusal = string_of(json_object_get(delta, "refusal"));
	size_t		 i;

	take_thoughts(c, delta);
	take_content(c, json_object_get(delta, "content"), false, 2);
	if (refusal.n > 0) {
		c->refused = true;
		take_text(c, join_halves(c, refusal));
	}
	json_array_foreach(calls, i, call)
		take_call(c, call);
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
	    span_is(string_of(json_object_get(root, "object")), "error");
}

static void
take_root(struct codec *c, json_t *root, bool named_error)
{
	struct failure	 f;
	struct span	 id = string_of(json_object_get(root, "id"));

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
	size_t		 lead = blanks(in);
	json_t		*root;

	if (c->done || c->ended || in.n == lead)
		return;
	in = span_make(in.p + lead, in.n - lead);
	if (in.n >= 6 && memcmp(in.p, "[DONE]", 6) == 0) {
		c->done = true;
		return;
	}
	in = hide_halves(c, in);
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
	struct span	 in = body.n == 0 ? body : hide_halves(c, body);
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
	if (c->ended)
		return;
	flush_text(c);
	c->ended = true;
	if (c->finish != CODEC_UNFINISHED && !c->failed && c->ops.finish != NULL)
		c->ops.finish(c->arg, codec_finish(c));
}

/* ---- life ---- */

struct codec *
codec_new(const struct codec_ops *ops, void *arg, const char *secret)
{
	struct codec	*c = mem_alloc(sizeof(*c));

	c->ops = *ops;
	c->arg = arg;
	c->secret = secret;
	return c;
}

void
codec_free(struct codec **cp)
{
	struct codec	*c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < c->calls_n; i++) {
		free(c->calls[i].id);
		free(c->calls[i].name);
		buf_fini(&c->calls[i].arguments);
	}
	free(c->calls);
	buf_fini(&c->held);
	buf_fini(&c->spare);
	buf_fini(&c->mended);
	buf_fini(&c->plain);
	free(c);
	*cp = NULL;
}

void
codec_expect_thoughts(struct codec *c)
{
	c->expected = true;
}

bool
codec_lone_closing(const struct codec *c)
{
	return c->lone;
}

bool
codec_saw_text(const struct codec *c)
{
	return c->text;
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
	return c->finish == CODEC_STOP && c->calls_n > 0 ? CODEC_TOOL_CALLS : c->finish;
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
