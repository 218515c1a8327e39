/*
 * failure - see failure.h.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "common/url.h"
#include "worker/chat/failure.h"
#include "worker/chat/field.h"
#include "worker/chat/sse.h"

#define DELAY_FIRST_MS	500
#define RETRY_AFTER_TEXT_MAX 64

static const struct {
	const char		*name;
	enum failure_remedy	 remedy;
	bool			 fallback, alert;
	enum counter		 counter;
	const char		*sentence;
} rows[FAILURE__N] = {
#define FAILURE(class, remedy, fallback, alert, counter, sentence) \
	[FAILURE_##class] = { #class, FAILURE_##remedy, fallback, alert, counter, sentence },
	FAILURES
#undef FAILURE
};

/* What a status alone means.  Missing ones of 400 to 599: REQUEST below 500, else TRANSIENT. */
static const struct {
	unsigned		 status;
	enum failure_class	 class;
} by_status[] = {
	{ 401, FAILURE_AUTH },		{ 402, FAILURE_QUOTA },
	{ 403, FAILURE_DENIED },	{ 404, FAILURE_MODEL },
	{ 408, FAILURE_TRANSIENT },	{ 409, FAILURE_TRANSIENT },
	{ 413, FAILURE_TOO_LARGE },	{ 425, FAILURE_TRANSIENT },
	{ 429, FAILURE_RATE },		{ 498, FAILURE_TRANSIENT },
	{ 503, FAILURE_OVERLOADED },
};

/* What a code or type says more exactly than status; `anywhere`: whatever the status is. */
static const struct {
	const char		*word;
	enum failure_class	 class;
	bool			 anywhere;
} by_word[] = {
	{ "insufficient_quota",		FAILURE_QUOTA,		true },
	{ "context_length_exceeded",	FAILURE_CONTEXT,	true },
	{ "exceed_context_size_error",	FAILURE_CONTEXT,	true },
	{ "unsupported_parameter",	FAILURE_PARAMS,		true },
	{ "unsupported_value",		FAILURE_PARAMS,		true },
	{ "content_filter",		FAILURE_FILTERED,	true },
	{ "content_policy_violation",	FAILURE_FILTERED,	true },
	{ "model_not_found",		FAILURE_MODEL,		true },
	{ "invalid_api_key",		FAILURE_AUTH,		false },
	{ "authentication_error",	FAILURE_AUTH,		false },
	{ "permission_error",		FAILURE_DENIED,		false },
	{ "not_found_error",		FAILURE_MODEL,		false },
	{ "request_too_large",		FAILURE_TOO_LARGE,	false },
	{ "rate_limit_exceeded",	FAILURE_RATE,		false },
	{ "rate_limit_error",		FAILURE_RATE,		false },
	{ "overloaded_error",		FAILURE_OVERLOADED,	false },
	{ "server_is_overloaded",	FAILURE_OVERLOADED,	false },
	{ "unavailable_error",		FAILURE_OVERLOADED,	false },
	{ "invalid_request_error",	FAILURE_REQUEST,	false },
	{ "BadRequestError",		FAILURE_REQUEST,	false },
};

/* Not every server has a code for it. */
static const char *const	 context_hints[] = {
	"maximum context length", "context length exceeded", "prompt is too long",
	"context_length_exceeded", "exceeds the available context size", "exceed_context_size",
	"exceeds the context length",
	"greater than the context length", "context window",
};

static const char *const	 key_starts[] = {
	"sk-", "sk_", "gsk_", "xai-", "pk-", "rk-", "hf_", "AIza", "key-",
};

/* ---- texts ---- */

static bool
is_key_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

/* Known beginnings, 20 letters and digits in a row with both among them, what follows "Bearer". */
static bool
looks_like_key(struct span word, struct span before)
{
	size_t	 run = 0, digits = 0, letters = 0;

	for (size_t i = 0; i < sizeof(key_starts) / sizeof(key_starts[0]); i++)
		if (word.n >= 8 && strncmp(word.p, key_starts[i], strlen(key_starts[i])) == 0)
			return true;
	if (word.n >= 4 && before.n >= 7 && strncasecmp(before.p + before.n - 7, "bearer ", 7) == 0)
		return true;
	for (size_t i = 0; i < word.n; i++) {
		if (!isalnum((unsigned char)word.p[i]) && word.p[i] != '*') {
			run = digits = letters = 0;
			continue;
		}
		if (isdigit((unsigned char)word.p[i]))
			digits++;
		else
			letters++;
		if (++run >= 20 && digits > 0 && letters > 0)
			return true;
	}
	return false;
}

static bool
starts_secret(struct span in, size_t i, struct span secret)
{
	return secret.n > 0 && in.n - i >= secret.n && memcmp(in.p + i, secret.p, secret.n) == 0;
}

static void
redact(struct span in, struct span secret, struct buf *out)
{
	size_t	 i = 0, n;

	while (i < in.n) {
		if (starts_secret(in, i, secret)) {
			buf_add(out, "***", 3);
			i += secret.n;
			continue;
		}
		for (n = 0; i + n < in.n && is_key_byte(in.p[i + n]); n++)
			if (starts_secret(in, i + n, secret))
				break;
		if (n > 0 && looks_like_key(span_make(in.p + i, n), span_make(in.p, i)))
			buf_add(out, "***", 3);
		else
			buf_add(out, in.p + i, n == 0 ? 1 : n);
		i += n == 0 ? 1 : n;
	}
}

/* Control characters and runs of blanks become one blank; the end is cut between characters. */
static void
copy_text(struct span in, char *dst, size_t dst_bytes)
{
	size_t	 n = 0;
	bool	 blank = true;

	for (size_t i = 0; i < in.n && n + 1 < dst_bytes; i++) {
		unsigned char	 c = (unsigned char)in.p[i];

		if (c > ' ' && c != 0x7f) {
			dst[n++] = (char)c;
			blank = false;
		} else if (!blank) {
			dst[n++] = ' ';
			blank = true;
		}
	}
	if (n + 1 == dst_bytes) {
		while (n > 0 && ((unsigned char)dst[n - 1] & 0xc0) == 0x80)
			n--;
		if (n > 0 && (unsigned char)dst[n - 1] >= 0xc0)
			n--;
	}
	while (n > 0 && dst[n - 1] == ' ')
		n--;
	dst[n] = '\0';
}

static void
set_message(struct failure *f, struct span text, const char *secret)
{
	struct buf	 whole = { 0 }, clean = { 0 };

	/* What lies beyond cannot show; a key must not be cut before it is known. */
	if (text.n > 8 * FAILURE_MESSAGE_MAX)
		text.n = 8 * FAILURE_MESSAGE_MAX;
	redact(sse_mend(text, &whole), span_of(secret), &clean);
	copy_text(buf_span(&clean), f->message, sizeof(f->message));
	buf_fini(&whole);
	buf_fini(&clean);
}

/* A page: its title, else its text without tags. */
static void
set_page(struct failure *f, struct span body, const char *secret)
{
	struct buf	 text = { 0 };
	const char	*title = body.n == 0 ? NULL : memmem(body.p, body.n, "<title>", 7);
	const char	*end = title == NULL ? NULL :
			    memmem(title, body.n - (size_t)(title - body.p), "</title>", 8);
	bool		 in_tag = false;

	if (end != NULL)
		body = span_make(title + 7, (size_t)(end - title - 7));
	for (size_t i = 0; i < body.n && text.n < 8 * FAILURE_MESSAGE_MAX; i++) {
		if (body.p[i] == '<')
			in_tag = true;
		if (!in_tag)
			buf_add(&text, body.p + i, 1);
		if (body.p[i] == '>' && in_tag) {
			in_tag = false;
			buf_add(&text, " ", 1);
		}
	}
	set_message(f, buf_span(&text), secret);
	buf_fini(&text);
}

/* ---- bodies ---- */

static void
copy_word(json_t *j, char *dst, size_t dst_bytes)
{
	if (json_is_integer(j))
		snprintf(dst, dst_bytes, "%lld", (long long)json_integer_value(j));
	else if (json_is_string(j))
		copy_text(field_span(j), dst, dst_bytes);
}

/* FastAPI: [{type, loc: ["body", FIELD], msg}].  A field that it does not know is a parameter. */
static void
read_detail(struct failure *f, json_t *detail, const char *secret)
{
	json_t	*first = json_is_array(detail) ? json_array_get(detail, 0) : detail;
	json_t	*loc = json_object_get(first, "loc");

	if (json_is_string(first)) {
		set_message(f, field_span(first), secret);
		return;
	}
	set_message(f, field_span(json_object_get(first, "msg")), secret);
	copy_word(json_object_get(first, "type"), f->code, sizeof(f->code));
	if (strcmp(f->code, "extra_forbidden") == 0 && json_array_size(loc) == 2) {
		copy_word(json_array_get(loc, 1), f->param, sizeof(f->param));
		strlcpy(f->code, "unsupported_parameter", sizeof(f->code));
	}
}

static void
read_message(struct failure *f, json_t *message, const char *secret)
{
	json_t	*detail = json_object_get(message, "detail");

	if (json_is_string(message))
		set_message(f, field_span(message), secret);
	else if (message != NULL && !json_is_null(message))
		read_detail(f, detail != NULL ? detail : message, secret);
}

/* OpenRouter says in metadata.reasons what moderation minded. */
static void
add_reasons(struct failure *f, json_t *error, const char *secret)
{
	json_t		*metadata = json_object_get(error, "metadata");
	json_t		*reasons = json_object_get(metadata, "reasons"), *r;
	struct buf	 text = { 0 };
	size_t		 i;

	if (!json_is_array(reasons))
		return;
	buf_printf(&text, "%s", f->message);
	json_array_foreach(reasons, i, r) {
		if (!json_is_string(r))
			continue;
		buf_printf(&text, "%s", i == 0 ? ": " : ", ");
		buf_add_span(&text, field_span(r));
	}
	set_message(f, buf_span(&text), secret);
	buf_fini(&text);
}

static void
read_fields(struct failure *f, json_t *o, const char *secret)
{
	copy_word(json_object_get(o, "type"), f->type, sizeof(f->type));
	copy_word(json_object_get(o, "code"), f->code, sizeof(f->code));
	copy_word(json_object_get(o, "param"), f->param, sizeof(f->param));
	read_message(f, json_object_get(o, "message"), secret);
}

static void
read_shapes(struct failure *f, json_t *root, const char *secret)
{
	json_t	*error, *detail;

	if (json_is_array(root))		/* Gemini wraps it */
		root = json_array_get(root, 0);
	error = json_object_get(root, "error");
	detail = json_object_get(root, "detail");
	if (json_is_object(error)) {
		read_fields(f, error, secret);
		add_reasons(f, error, secret);
	} else if (json_is_string(error))
		set_message(f, field_span(error), secret);
	else if (json_object_get(root, "message") != NULL)
		read_fields(f, root, secret);
	else if (detail != NULL)
		read_detail(f, detail, secret);
	else if (json_is_string(root))
		set_message(f, field_span(root), secret);
}

/* "Unsupported parameter: 'max_tokens' is not ..." when param is missing. */
static void
guess_param(struct failure *f)
{
	const char	*open = strchr(f->message, '\'');
	const char	*close = open == NULL ? NULL : strchr(open + 1, '\'');

	if (f->class != FAILURE_PARAMS || f->param[0] != '\0' || close == NULL)
		return;
	span_copy(span_make(open + 1, (size_t)(close - open - 1)), f->param, sizeof(f->param));
}

/* DeepSeek has no code for it: "The reasoning_content in the thinking mode must be passed back". */
static void
read_demand(struct failure *f)
{
	if (f->class != FAILURE_REQUEST || strstr(f->message, "reasoning_content") == NULL ||
	    strstr(f->message, "must be passed back") == NULL)
		return;
	f->class = FAILURE_PARAMS;
	strlcpy(f->code, FAILURE_CODE_ECHO, sizeof(f->code));
	strlcpy(f->param, "reasoning_content", sizeof(f->param));
}

/* ---- classes ---- */

static bool
hints_at_context(const struct failure *f)
{
	for (size_t i = 0; i < sizeof(context_hints) / sizeof(context_hints[0]); i++)
		if (strcasestr(f->message, context_hints[i]) != NULL)
			return true;
	return false;
}

static enum failure_class
class_of_word(const struct failure *f, bool anywhere)
{
	for (size_t i = 0; i < sizeof(by_word) / sizeof(by_word[0]); i++)
		if ((by_word[i].anywhere || !anywhere) &&
		    (strcmp(f->code, by_word[i].word) == 0 ||
		    strcmp(f->type, by_word[i].word) == 0))
			return by_word[i].class;
	return FAILURE_NONE;
}

static enum failure_class
class_of_status(unsigned status)
{
	for (size_t i = 0; i < sizeof(by_status) / sizeof(by_status[0]); i++)
		if (by_status[i].status == status)
			return by_status[i].class;
	return status < 400 ? FAILURE_PROTOCOL : status < 500 ? FAILURE_REQUEST : FAILURE_TRANSIENT;
}

static enum failure_class
classify(const struct failure *f, unsigned status)
{
	/* Those that say little let words speak; 429 also stands for a used up quota. */
	bool			 vague = status == 400 || status == 422 || status == 429 ||
				    status == 500;
	enum failure_class	 class;

	if (status == 0) {
		class = class_of_word(f, false);
		if ((class == FAILURE_NONE || class == FAILURE_REQUEST) && hints_at_context(f))
			return FAILURE_CONTEXT;
		return class == FAILURE_NONE ? FAILURE_TRANSIENT : class;
	}
	if (vague && (class = class_of_word(f, true)) != FAILURE_NONE)
		return class;
	if (vague && status != 429 && hints_at_context(f))
		return FAILURE_CONTEXT;
	return class_of_status(status);
}

void
failure_read(struct failure *f, unsigned status, struct span body, const char *secret)
{
	json_t	*root = NULL;

	if (body.n > 0)
		root = json_loadb(body.p, body.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	memset(f, 0, sizeof(*f));
	f->status = status;
	if (root != NULL)
		read_shapes(f, root, secret);
	else
		set_page(f, body, secret);
	json_decref(root);
	f->class = classify(f, status);
	guess_param(f);
	read_demand(f);
	if (status >= 300 && status < 400)
		strlcpy(f->message, "a redirect, which is not followed", sizeof(f->message));
}

void
failure_read_json(struct failure *f, json_t *root, const char *secret)
{
	unsigned	 status = 0;

	memset(f, 0, sizeof(*f));
	f->status = 200;
	read_shapes(f, root, secret);
	if (strlen(f->code) == 3 && f->code[0] >= '4' && f->code[0] <= '5')
		status = (unsigned)strtoul(f->code, NULL, 10);
	f->class = classify(f, status);
	guess_param(f);
}

void
failure_set(struct failure *f, enum failure_class class, const char *message)
{
	memset(f, 0, sizeof(*f));
	f->class = class;
	copy_text(span_of(message), f->message, sizeof(f->message));
}

const char *
failure_name(enum failure_class class)
{
	return rows[class].name;
}

enum failure_remedy
failure_remedy(enum failure_class class)
{
	return rows[class].remedy;
}

bool
failure_may_fall_back(enum failure_class class)
{
	return rows[class].fallback;
}

bool
failure_alerts(enum failure_class class)
{
	return rows[class].alert;
}

enum counter
failure_counter(enum failure_class class)
{
	return rows[class].counter;
}

/* ---- asking again ---- */

/* The whole of s as a number, in ms; 0 when it is none, negative, or absurd. */
static uint64_t
number_ms(struct span s, double unit_ms)
{
	char	 text[RETRY_AFTER_TEXT_MAX], *end;
	double	 v;

	if (s.n == 0 || s.n >= sizeof(text))
		return 0;
	span_copy(s, text, sizeof(text));
	if (strspn(text, "0123456789.") != s.n)		/* strtod knows more than the header does */
		return 0;
	v = strtod(text, &end);
	if (*end != '\0' || !isfinite(v) || v <= 0)
		return 0;
	v = ceil(v * unit_ms);
	return v > 1e15 ? (uint64_t)1e15 : (uint64_t)v;
}

static uint64_t
date_ms(struct span s, uint64_t wall_ms)
{
	char		 text[RETRY_AFTER_TEXT_MAX];
	struct tm	 tm = { 0 };
	time_t		 t;

	if (s.n >= sizeof(text))
		return 0;
	span_copy(s, text, sizeof(text));
	if (strptime(text, "%a, %d %b %Y %H:%M:%S", &tm) == NULL)
		return 0;
	t = timegm(&tm);
	return t > 0 && (uint64_t)t * 1000 > wall_ms ? (uint64_t)t * 1000 - wall_ms : 0;
}

uint64_t
failure_wish_ms(const struct failure_wish *w, uint64_t wall_ms)
{
	uint64_t	 ms = number_ms(w->retry_after_ms, 1);

	if (ms == 0)
		ms = number_ms(w->retry_after, 1000);
	return ms != 0 ? ms : date_ms(w->retry_after, wall_ms);
}

/* As Go prints it: 1h2m3.5s, 6m0s, 120ms.  0 when it is none. */
static uint64_t
duration_ms(struct span s)
{
	static const struct {
		const char	*name;
		double		 ms;
	}		 units[] = {
		{ "ms", 1 }, { "us", 0.001 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
	};
	char		 text[RETRY_AFTER_TEXT_MAX], *p = text, *end;
	double		 all = 0, v;
	size_t		 i, units_n = sizeof(units) / sizeof(units[0]);

	if (s.n == 0 || s.n >= sizeof(text))
		return 0;
	span_copy(s, text, sizeof(text));
	if (strspn(text, "0123456789.hmsu") != s.n)
		return 0;
	for (; *p != '\0'; p = end + strlen(units[i].name)) {
		if (!isdigit((unsigned char)*p))
			return 0;
		v = strtod(p, &end);
		for (i = 0; i < units_n; i++)
			if (strncmp(end, units[i].name, strlen(units[i].name)) == 0)
				break;
		if (i == units_n)
			return 0;
		all += v * units[i].ms;
	}
	return all > 0 && all < 1e15 ? (uint64_t)ceil(all) : 0;
}

uint64_t
failure_told_ms(const struct failure_wish *w, uint64_t wall_ms)
{
	uint64_t	 ms = 0, reset, wish = failure_wish_ms(w, wall_ms);

	for (size_t i = 0; i < sizeof(w->rates) / sizeof(w->rates[0]); i++) {
		reset = duration_ms(w->rates[i].reset);
		if (span_is(w->rates[i].remaining, "0") && reset > ms)
			ms = reset;
	}
	return wish > 0 ? wish : ms;
}

bool
failure_retry(const struct failure *f, const struct failure_wish *w, unsigned retries,
    unsigned retries_max, uint64_t wall_ms, uint32_t random, uint64_t *wait_ms_r)
{
	uint64_t	 wish = failure_wish_ms(w, wall_ms), delay;
	bool		 again = rows[f->class].remedy == FAILURE_AGAIN;

	if (w->should_retry.n > 0 && f->status >= 400)
		again = span_is(w->should_retry, "true") ||
		    (again && !span_is(w->should_retry, "false"));
	if (!again || retries >= retries_max || wish > FAILURE_WISH_MAX_MS)
		return false;
	delay = retries > 4 ? FAILURE_DELAY_MAX_MS : (uint64_t)DELAY_FIRST_MS << retries;
	if (delay > FAILURE_DELAY_MAX_MS)
		delay = FAILURE_DELAY_MAX_MS;
	delay -= delay * (random % 1024) / 4096;
	*wait_ms_r = wish > 0 ? wish : delay;
	return true;
}

/* ---- for people ---- */

static void
add_wait(struct buf *out, uint64_t wait_ms)
{
	if (wait_ms == 0)
		buf_printf(out, "later");
	else
		buf_printf(out, "in %llu s", (unsigned long long)(wait_ms + 999) / 1000);
}

void
failure_sentence(const struct failure *f, const char *model, const char *id, uint64_t wait_ms,
    struct buf *out)
{
	const char	*p = rows[f->class].sentence;
	size_t		 n;

	for (; *p != '\0'; p += n) {
		n = strcspn(p, "%");
		buf_add(out, p, n);
		if (p[n] != '%')
			continue;
		if (p[n + 1] == 'm')
			buf_printf(out, "%s", model == NULL ? "that is configured" : model);
		else if (p[n + 1] == 'p')
			buf_printf(out, "%s", f->param[0] == '\0' ? "that was sent" : f->param);
		else if (p[n + 1] == 'w')
			add_wait(out, wait_ms);
		else if (f->message[0] != '\0') {
			size_t	 text_n = strlen(f->message);

			if (f->message[text_n - 1] == '.')	/* the sentence has its own */
				text_n--;
			buf_printf(out, ": %.*s", (int)text_n, f->message);
		}
		n += 2;
	}
	if (id != NULL && id[0] != '\0')
		buf_printf(out, " (id %s)", id);
}
