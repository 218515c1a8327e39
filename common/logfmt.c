/*
 * logfmt - see logfmt.h.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/logfmt.h"
#include "common/mem.h"

size_t
logfmt_cut(char *text, size_t n, size_t max)
{
	if (n <= max)
		return n;
	n = max - 3;
	for (int i = 0; i < 3 && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; i++)
		n--;
	memcpy(text + n, "...", 4);
	return n + 3;
}

static bool
is_key(const char *p, size_t n)
{
	if (n == 0 || n > 32)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || p[i] == '_' ||
		    (i > 0 && p[i] >= '0' && p[i] <= '9')))
			return false;
	return true;
}

/* Where the key=value words that end the text begin; text.n when it ends otherwise. */
static size_t
fields_at(struct span text)
{
	size_t	 at = text.n, word, eq;

	for (size_t end = text.n; end > 0; end = word - 1) {
		for (word = end; word > 0 && text.p[word - 1] != ' '; word--)
			;
		for (eq = word; eq < end && text.p[eq] != '='; eq++)
			;
		if (eq == end || !is_key(text.p + word, eq - word))
			break;
		at = word;
		if (word == 0)
			break;
	}
	return at;
}

static void
json_fields(struct json_out *o, struct span text)
{
	size_t	 word, eq;

	if (text.n == 0)
		return;
	json_key(o, "fields");
	json_obj(o);
	for (size_t p = 0; p < text.n; p = word + 1) {
		char	 key[33];

		for (word = p; word < text.n && text.p[word] != ' '; word++)
			;
		for (eq = p; text.p[eq] != '='; eq++)
			;
		span_copy(span_make(text.p + p, eq - p), key, sizeof(key));
		json_kv_str(o, key, span_make(text.p + eq + 1, word - eq - 1));
	}
	json_obj_end(o);
}

static void
json_object(struct buf *b, const struct log_head *h, struct span text)
{
	size_t		 from = fields_at(text), n = from;
	struct json_out	 o;
	char		 iso[32];

	while (n > 0 && text.p[n - 1] == ' ')
		n--;
	buf_reset(b);
	json_out_init(&o, b);
	json_obj(&o);
	json_kv_cstr(&o, "time", clock_iso(h->wall_ms, iso, sizeof(iso)));
	json_kv_cstr(&o, "level", log_level_name(h->level));
	json_kv_cstr(&o, "program", h->program);
	if (h->class[0] != '\0')
		json_kv_cstr(&o, "class", h->class);
	json_kv_str(&o, "message", span_make(text.p, n));
	json_fields(&o, span_make(text.p + from, text.n - from));
	json_obj_end(&o);
	buf_add(b, "\n", 1);
}

/* Escapes make it longer: text is halved until it fits. */
static size_t
json_line(char *dst, size_t bytes, const struct log_head *h, struct span text)
{
	static struct buf	 b;	/* of a bounded size, and kept */
	char			 less[4096];
	size_t			 n = text.n;

	json_object(&b, h, text);
	while (b.n > bytes) {
		n = n < sizeof(less) ? n / 2 : sizeof(less) / 2;
		memcpy(less, text.p, n);
		json_object(&b, h, span_make(less, logfmt_cut(less, n, n - 1)));
	}
	memcpy(dst, b.p, b.n);
	return b.n;
}

size_t
logfmt_line(char *dst, size_t bytes, const struct log_head *h, struct span text)
{
	char	 iso[32];
	size_t	 at, room;

	assert(bytes >= LOGFMT_MIN);
	if (h->format == LOG_JSON)
		return json_line(dst, bytes, h, text);
	if (h->format == LOG_JOURNAL)
		at = (size_t)snprintf(dst, bytes, "<%d>", h->level);
	else
		at = (size_t)snprintf(dst, bytes, "%s %s %.31s: ",
		    clock_iso(h->wall_ms, iso, sizeof(iso)), log_level_name(h->level), h->program);
	if (h->class[0] != '\0')
		at += (size_t)snprintf(dst + at, bytes - at, "%.32s: ", h->class);
	room = bytes - at - 2;
	if (text.n <= room) {
		memcpy(dst + at, text.p, text.n);
		at += text.n;
	} else {
		memcpy(dst + at, text.p, room);
		at += logfmt_cut(dst + at, room + 1, room);
	}
	dst[at++] = '\n';
	return at;
}
