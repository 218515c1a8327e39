/*
 * presence - see presence.h.
 */
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "supervisor/gateway/presence.h"

#define TYPE_STREAMING	1
#define TYPE_MAX	5
#define URL_MAX		256

static const char *const states[] = { "online", "idle", "dnd", "invisible" };

static bool
is_state(struct span s)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (span_is(s, states[i]))
			return true;
	return false;
}

static size_t
characters(struct span s)
{
	size_t	 n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* Copies a string member, when it is there.  NULL, or what is wrong. */
static const char *
copy_text(struct json_out *o, struct span in, const char *key, size_t max, bool *there_r)
{
	enum json_token	 type;
	struct span	 v;
	struct buf	 text = { 0 };
	const char	*why = NULL;

	*there_r = false;
	if (!json_member(in, key, &type, &v) || type == JSON_TOK_NULL)
		return NULL;
	if (type != JSON_TOK_STRING || !json_unescape(v, &text, 4 * max) ||
	    characters(buf_span(&text)) > max)
		why = "a name or state of an activity is no text, or longer than 128 characters";
	else if (text.n > 0) {
		json_kv_str(o, key, buf_span(&text));
		*there_r = true;
	}
	buf_fini(&text);
	return why;
}

static const char *
copy_activity(struct json_out *o, struct span in)
{
	enum json_token	 type;
	struct span	 v;
	uint64_t	 kind = 0;
	const char	*why;
	bool		 named, shown, url;

	if (json_member(in, "type", &type, &v) &&
	    (type != JSON_TOK_NUMBER || !span_u64(v, &kind) || kind > TYPE_MAX))
		return "the type of an activity is a number from 0 to 5";
	json_obj(o);
	if ((why = copy_text(o, in, "name", PRESENCE_TEXT_MAX, &named)) != NULL ||
	    (why = copy_text(o, in, "state", PRESENCE_TEXT_MAX, &shown)) != NULL ||
	    (why = copy_text(o, in, "url", URL_MAX, &url)) != NULL)
		return why;
	if (!named)
		return "an activity wants a name";
	if (url && kind != TYPE_STREAMING)
		return "only an activity of type 1, streaming, has a url";
	json_kv_u64(o, "type", kind);
	json_obj_end(o);
	return NULL;
}

static const char *
copy_activities(struct json_out *o, struct span list)
{
	struct json_scan	 scan, ahead;
	enum json_token		 t;
	struct span		 one;
	const char		*why;

	json_scan_init(&scan, list);
	(void)json_next(&scan);
	for (size_t n = 0;; n++) {
		ahead = scan;
		if ((t = json_next(&ahead)) == JSON_TOK_ARRAY_END)
			return NULL;
		if (t != JSON_TOK_OBJECT || !json_skip(&scan, &one))
			return "an activity is an object";
		if (n == PRESENCE_ACTIVITIES)
			return "more than 4 activities";
		if ((why = copy_activity(o, one)) != NULL)
			return why;
	}
}

static const char *
make(struct span wish, struct json_out *o)
{
	enum json_token	 type;
	struct span	 v;
	uint64_t	 since = 0;
	const char	*why;
	bool		 afk = false;

	json_obj(o);
	if (!json_member(wish, "status", &type, &v))
		v = SPAN("online");
	else if (type != JSON_TOK_STRING || !is_state(v))
		return "status is one of online, idle, dnd, invisible";
	json_kv_str(o, "status", v);
	json_key(o, "activities");
	json_arr(o);
	if (json_member(wish, "activities", &type, &v)) {
		if (type != JSON_TOK_ARRAY)
			return "activities is a list";
		if ((why = copy_activities(o, v)) != NULL)
			return why;
	}
	json_arr_end(o);
	json_key(o, "since");
	if (!json_member(wish, "since", &type, &v) || type == JSON_TOK_NULL)
		json_nil(o);
	else if (type == JSON_TOK_NUMBER && span_u64(v, &since))
		json_u64(o, since);
	else
		return "since is milliseconds since 1970, or null";
	if (json_member(wish, "afk", &type, &v)) {
		if (type != JSON_TOK_TRUE && type != JSON_TOK_FALSE)
			return "afk is true or false";
		afk = type == JSON_TOK_TRUE;
	}
	json_kv_bool(o, "afk", afk);
	json_obj_end(o);
	return NULL;
}

const char *
presence_make(struct span wish, struct buf *out)
{
	struct json_scan	 scan;
	struct json_out		 o;
	struct span		 whole;
	struct buf		 made = { 0 };
	const char		*why = "a presence is a JSON object";

	json_scan_init(&scan, wish);
	if (wish.n > 0 && json_skip(&scan, &whole) && whole.n > 0 && whole.p[0] == '{' &&
	    json_next(&scan) == JSON_TOK_END) {
		json_out_init(&o, &made);
		why = make(wish, &o);
	}
	if (why == NULL && made.n > PRESENCE_BYTES_MAX)
		why = "a presence has at most 1024 bytes";
	if (why == NULL)
		buf_add_span(out, buf_span(&made));
	buf_fini(&made);
	return why;
}

bool
presence_wish(struct presence *p, struct span made)
{
	bool	 replaced = p->due && p->n > 0;

	if (made.n > sizeof(p->text))
		return false;
	memcpy(p->text, made.p, made.n);
	p->n = made.n;
	p->due = p->n > 0;
	return replaced;
}

void
presence_connected(struct presence *p)
{
	memset(p->said, 0, sizeof(p->said));
}

void
presence_said(struct presence *p, struct mono now)
{
	p->said[p->said_at] = now;
	p->said_at = (p->said_at + 1) % PRESENCE_SAID_N;
}

void
presence_identified(struct presence *p)
{
	p->due = false;
}

void
presence_resumed(struct presence *p)
{
	p->due = p->n > 0;
}

/* Until the oldest of a ring is so old. */
static uint64_t
wait_ms(struct mono oldest, uint64_t ms, struct mono now)
{
	return mono_is_never(oldest) ? 0 : mono_ms_until(now, mono_add_ms(oldest, ms));
}

bool
presence_may(const struct presence *p, struct mono now, uint64_t *wait_ms_r)
{
	uint64_t	 a = wait_ms(p->told[p->told_at], PRESENCE_MS, now);
	uint64_t	 b = wait_ms(p->said[p->said_at], PRESENCE_SAID_MS, now);

	*wait_ms_r = a > b ? a : b;
	return p->due;
}

void
presence_told(struct presence *p, struct mono now)
{
	p->told[p->told_at] = now;
	p->told_at = (p->told_at + 1) % PRESENCE_N;
	p->due = false;
}
