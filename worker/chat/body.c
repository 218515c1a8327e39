/*
 * body - see body.h.
 */
#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "worker/chat/body.h"
#include "worker/chat/sse.h"

static const char *const	 role_names[] = { "system", "user", "assistant", "tool" };

struct builder {
	const struct chat_request	*rq;
	const struct provider		*p;
	const struct body_learned	*learned;
	const struct body_cut		*cut;
	struct buf			 mended;
};

void
chat_params_init(struct chat_params *p)
{
	memset(p, 0, sizeof(*p));
	p->temperature = p->top_p = p->presence_penalty = p->frequency_penalty = NAN;
	p->seed = -1;
}

/* ---- values ---- */

static json_t *
text(struct builder *b, struct span s)
{
	struct span	 whole = sse_mend(s, &b->mended);

	return json_stringn(whole.n == 0 ? "" : whole.p, whole.n);
}

static json_t *
cstring(struct builder *b, const char *s)
{
	return text(b, span_of(s));
}

static bool
takes(const struct builder *b, const char *field)
{
	for (size_t i = 0; i < b->learned->dropped_n; i++)
		if (strcmp(b->learned->dropped[i], field) == 0)
			return false;
	return provider_takes(b->p, b->rq->model, field);
}

static void
put(struct builder *b, json_t *o, const char *field, json_t *value)
{
	if (takes(b, field))
		json_object_set_new(o, field, value);
	else
		json_decref(value);
}

static void
put_real(struct builder *b, json_t *o, const char *field, double v)
{
	if (!isnan(v))
		put(b, o, field, json_real(v));
}

static void
put_json(struct builder *b, json_t *o, const char *field, const char *value)
{
	json_t	*j = value == NULL ? NULL : json_loads(value, JSON_DECODE_ANY, NULL);

	if (j != NULL)
		put(b, o, field, j);
}

/* ---- parts ---- */

static void
add_base64(struct buf *out, struct span in)
{
	static const char	 digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char	*p = (const unsigned char *)in.p;
	char			*dst = buf_room(out, (in.n + 2) / 3 * 4);
	size_t			 n = 0;

	for (size_t i = 0; i < in.n; i += 3) {
		size_t		 left = in.n - i;
		unsigned	 v = (unsigned)p[i] << 16;

		if (left > 1)
			v |= (unsigned)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];

		dst[n++] = digits[v >> 18];
		dst[n++] = digits[v >> 12 & 63];
		dst[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
		dst[n++] = left > 2 ? digits[v & 63] : '=';
	}
	buf_added(out, n);
}

/* NULL when this provider cannot be given it. */
static json_t *
image_part(struct builder *b, const struct chat_image *i)
{
	struct buf	 url = { 0 };
	json_t		*part;

	if (i->data.n == 0 && (i->url == NULL || b->p->images != PROVIDER_ANY))
		return NULL;
	if (i->data.n == 0)
		buf_printf(&url, "%s", i->url);
	else {
		buf_printf(&url, "data:%s;base64,", i->type);
		add_base64(&url, i->data);
	}
	part = json_object();
	json_object_set_new(part, "type", json_string("image_url"));
	json_object_set_new(part, "image_url", json_pack("{s:o}", "url", text(b, buf_span(&url))));
	buf_fini(&url);
	return part;
}

static void
add_text_part(struct builder *b, json_t *parts, struct span s)
{
	json_t	*part;

	if (s.n == 0)
		return;
	part = json_object();
	json_object_set_new(part, "type", json_string("text"));
	json_object_set_new(part, "text", text(b, s));
	json_array_append_new(parts, part);
}

static void
add_parts(struct builder *b, json_t *parts, const struct chat_message *m)
{
	bool	 sees = b->rq->params.vision && !b->cut->images && b->p->images != PROVIDER_NONE;
	json_t	*part;

	add_text_part(b, parts, m->text);
	for (size_t i = 0; i < m->images_n; i++) {
		part = sees ? image_part(b, &m->images[i]) : NULL;
		if (part != NULL)
			json_array_append_new(parts, part);
		else if (m->text.n == 0 && i == 0)
			/* An empty message is refused. */
			add_text_part(b, parts, SPAN("[image]"));
	}
}

/* Several local templates accept no arrays: only text is a string. */
static json_t *
content_of(struct builder *b, json_t *parts)
{
	struct buf	 all = { 0 };
	json_t		*part, *s;
	size_t		 i;

	json_array_foreach(parts, i, part) {
		json_t	*t = json_object_get(part, "text");

		if (t == NULL) {
			buf_fini(&all);
			return json_incref(parts);
		}
		if (i > 0)
			buf_add(&all, "\n\n", 2);
		buf_add(&all, json_string_value(t), json_string_length(t));
	}
	s = text(b, buf_span(&all));
	buf_fini(&all);
	return s;
}

/* ---- messages ---- */

static bool
is_call_id(const char *id)
{
	size_t	 n = 0;

	while (n < BODY_CALL_ID_BYTES && isalnum((unsigned char)id[n]))
		n++;
	return n == BODY_CALL_ID_BYTES - 1 && id[n] == '\0';
}

void
body_call_id(const char *id, char out_r[BODY_CALL_ID_BYTES])
{
	static const char	 digits[] =
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	uint64_t		 h;

	if (is_call_id(id)) {
		memcpy(out_r, id, BODY_CALL_ID_BYTES);
		return;
	}
	h = span_hash_end(span_hash_add(SPAN_HASH_SEED, span_of(id)));
	for (size_t i = 0; i < BODY_CALL_ID_BYTES - 1; i++, h /= 62)
		out_r[i] = digits[h % 62];
	out_r[BODY_CALL_ID_BYTES - 1] = '\0';
}

static json_t *
call_id(struct builder *b, const char *id)
{
	char	 nine[BODY_CALL_ID_BYTES];

	if (!b->p->ids9)
		return cstring(b, id);
	body_call_id(id, nine);
	return cstring(b, nine);
}

static json_t *
calls_of(struct builder *b, const struct chat_message *m)
{
	json_t	*all = json_array();

	for (size_t i = 0; i < m->calls_n; i++) {
		const struct chat_call	*c = &m->calls[i];
		json_t			*call = json_object(), *fn = json_object();

		json_object_set_new(call, "id", call_id(b, c->id));
		json_object_set_new(call, "type", json_string("function"));
		json_object_set_new(fn, "name", cstring(b, c->name));
		json_object_set_new(fn, "arguments",
		    text(b, c->arguments.n == 0 ? SPAN("{}") : c->arguments));
		json_object_set_new(call, "function", fn);
		json_array_append_new(all, call);
	}
	return all;
}

static bool
is_name(const char *s)
{
	size_t	 n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '-')
		n++;
	return n > 0 && n <= 64 && s[n] == '\0';
}

static void
put_reasoning(struct builder *b, json_t *o, const struct chat_message *m)
{
	bool	 goes = b->p->echo == PROVIDER_ALWAYS ? m->reasoning.p != NULL :
		    b->p->echo == PROVIDER_TOOLS && m->calls_n > 0 && m->reasoning.p != NULL;

	if ((goes || b->learned->echo) && m->role == CHAT_ASSISTANT)
		put(b, o, "reasoning_content", text(b, m->reasoning));
}

static json_t *
message(struct builder *b, const struct chat_message *m, json_t *parts)
{
	json_t	*o = json_object();

	json_object_set_new(o, "role", json_string(role_names[m->role]));
	if (m->name != NULL && b->p->named && is_name(m->name))
		json_object_set_new(o, "name", json_string(m->name));
	if (m->role == CHAT_TOOL)
		json_object_set_new(o, "tool_call_id",
		    call_id(b, m->call_id == NULL ? "" : m->call_id));
	json_object_set_new(o, "content", content_of(b, parts));
	put_reasoning(b, o, m);
	if (m->role == CHAT_ASSISTANT && m->calls_n > 0)
		json_object_set_new(o, "tool_calls", calls_of(b, m));
	return o;
}

static bool
is_plain(const struct chat_message *m)
{
	return m->role == CHAT_USER || (m->role == CHAT_ASSISTANT && m->calls_n == 0);
}

/* Where turns must alternate, neighbours of one role become one message. */
static bool
joins(const struct builder *b, const struct chat_message *m, const struct chat_message *next)
{
	return b->p->ordered && m->role == next->role && is_plain(m) && is_plain(next);
}

/* System prompts lead; cut.oldest_n of what follows them are left out. */
static json_t *
messages_of(struct builder *b)
{
	const struct chat_message	*m = b->rq->messages;
	size_t				 n = b->rq->messages_n, i = 0, skip = b->cut->oldest_n;
	json_t				*all = json_array();
	bool				 begun = false;

	while (i < n) {
		const struct chat_message	*first = &m[i];
		json_t				*parts;

		if (first->role != CHAT_SYSTEM && skip > 0) {
			skip--, i++;
			continue;
		}
		if (!begun && b->p->ordered && first->role != CHAT_SYSTEM &&
		    first->role != CHAT_USER) {
			i++;			/* a user speaks first */
			continue;
		}
		begun = begun || first->role != CHAT_SYSTEM;
		parts = json_array();
		add_parts(b, parts, first);
		for (i++; i < n && joins(b, first, &m[i]); i++)
			add_parts(b, parts, &m[i]);
		json_array_append_new(all, message(b, first, parts));
		json_decref(parts);
	}
	return all;
}

/* ---- the whole ---- */

static const char *
token_field(const struct provider *p, const struct body_learned *learned)
{
	bool	 completion = p->token_param == PROVIDER_MAX_COMPLETION_TOKENS;

	return completion != learned->token_swapped ? "max_completion_tokens" : "max_tokens";
}

static void
put_params(struct builder *b, json_t *o)
{
	const struct chat_params	*p = &b->rq->params;
	json_t				*stops;

	if (p->max_tokens > 0)
		put(b, o, token_field(b->p, b->learned), json_integer((json_int_t)p->max_tokens));
	put_real(b, o, "temperature", p->temperature);
	put_real(b, o, "top_p", p->top_p);
	put_real(b, o, "presence_penalty", p->presence_penalty);
	put_real(b, o, "frequency_penalty", p->frequency_penalty);
	if (p->seed >= 0)
		put(b, o, "seed", json_integer(p->seed));
	if (p->stop_n > 0) {
		stops = json_array();
		for (size_t i = 0; i < p->stop_n && i < BODY_STOPS_MAX; i++)
			json_array_append_new(stops, cstring(b, p->stop[i]));
		put(b, o, "stop", stops);
	}
	if (p->user != NULL)
		put(b, o, "safety_identifier", cstring(b, p->user));
	if (b->cut->bare)
		return;
	if (p->reasoning_effort != NULL)
		put(b, o, "reasoning_effort", cstring(b, p->reasoning_effort));
	put_json(b, o, "tools", p->tools);
	put_json(b, o, "tool_choice", p->tools == NULL ? NULL : p->tool_choice);
}

static int
append(const char *p, size_t n, void *out)
{
	buf_add(out, p, n);
	return 0;
}

void
body_build(const struct chat_request *rq, const struct provider *p,
    const struct body_learned *learned, const struct body_cut *cut, struct buf *out)
{
	struct builder	 b = { .rq = rq, .p = p, .learned = learned, .cut = cut };
	json_t		*o = json_object();

	json_object_set_new(o, "model", cstring(&b, rq->model));
	json_object_set_new(o, "messages", messages_of(&b));
	json_object_set_new(o, "stream", json_true());
	if (p->usage)
		put(&b, o, "stream_options", json_pack("{s:b}", "include_usage", 1));
	put_params(&b, o);
	/* 15 digits: 0.7 stays 0.7. */
	json_dump_callback(o, append, out, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(o);
	buf_fini(&b.mended);
}

bool
body_learn(struct body_learned *l, const struct provider *p, const struct failure *f)
{
	if (f->param[0] == '\0')
		return false;
	if (strcmp(f->code, FAILURE_CODE_ECHO) == 0)
		return !l->echo && (l->echo = true);
	if (strcmp(f->param, token_field(p, l)) == 0 && !l->token_swapped) {
		l->token_swapped = true;
		return true;
	}
	/* Without these it would be another request. */
	if (provider_lists("model messages stream", span_of(f->param)))
		return false;
	for (size_t i = 0; i < l->dropped_n; i++)
		if (strcmp(l->dropped[i], f->param) == 0)
			return false;
	if (l->dropped_n == BODY_DROPPED_MAX)
		return false;
	strlcpy(l->dropped[l->dropped_n++], f->param, sizeof(l->dropped[0]));
	return true;
}

bool
body_has_images(const struct chat_request *rq)
{
	for (size_t i = 0; i < rq->messages_n; i++)
		if (rq->messages[i].images_n > 0)
			return true;
	return false;
}

/* What is left begins with a user's turn, so that no result loses its call. */
size_t
body_oldest_third(const struct chat_request *rq)
{
	size_t	 turns = 0, third, seen = 0;

	for (size_t i = 0; i < rq->messages_n; i++)
		turns += rq->messages[i].role != CHAT_SYSTEM;
	if (turns < 2)
		return 0;
	third = (turns + 2) / 3;
	for (size_t i = 0; i < rq->messages_n; i++) {
		if (rq->messages[i].role == CHAT_SYSTEM)
			continue;
		if (seen >= third && rq->messages[i].role == CHAT_USER)
			return seen;
		seen++;
	}
	return 0;
}
