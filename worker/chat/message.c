/*
 * message - see message.h.
 */
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "worker/chat/field.h"
#include "worker/chat/message.h"

#define COMPONENT_TEXT	10
#define COMPONENTS_DEEP	8
#define NAME_MAX_BYTES	64

/* The name that people see: of the guild, else of the account.  It may hold anything. */
static char *
display_name(json_t *message, json_t *user)
{
	const char	*name = field_text(json_object_get(message, "member"), "nick");
	size_t		 n;
	char		*copy;

	if (*name == '\0')
		name = field_text(user, "global_name");
	if (*name == '\0')
		name = field_text(user, "username");
	n = strnlen(name, NAME_MAX_BYTES);
	while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
		n--;		/* between characters */
	copy = mem_spandup(span_make(name, n));
	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return copy;
}

/* Name of a mentioned user, NULL when the message does not say it. */
static const char *
mentioned_name(json_t *message, uint64_t user, json_t **user_r)
{
	json_t	*u;
	size_t	 i;

	json_array_foreach(json_object_get(message, "mentions"), i, u)
		if (field_id(u, "id") == user) {
			*user_r = u;
			return field_text(u, "username");
		}
	return NULL;
}

/* Length of "<@id>" or "<@!id>" at p, 0 when there is none. */
static size_t
mention_at(const char *p, uint64_t *user_r)
{
	const char	*digits = p;
	size_t		 n;

	if (p[0] != '<' || p[1] != '@')
		return 0;
	digits += p[2] == '!' ? 3 : 2;
	n = strspn(digits, "0123456789");
	if (digits[n] != '>' || !span_u64(span_make(digits, n), user_r))
		return 0;
	return (size_t)(digits + n + 1 - p);
}

/*
 * Mentions become names; the call of the bot that begins a message is no part of what is said, and
 * neither is one that ends it.
 */
static void
add_content(struct buf *b, json_t *message, const char *content, uint64_t self)
{
	uint64_t	 user = 0;
	json_t		*u;
	char		*name;
	size_t		 n;
	bool		 begun = false;

	for (const char *p = content; *p != '\0'; p += n) {
		n = mention_at(p, &user);
		if (n == 0) {
			n = 1 + strcspn(p + 1, "<");
			begun = begun || strspn(p, " \t\r\n") < n;
			buf_add(b, p, n);
		} else if (user == self && (!begun || p[n + strspn(p + n, " \t\r\n")] == '\0')) {
			continue;
		} else {
			begun = true;
			if (mentioned_name(message, user, &u) == NULL) {
				buf_add(b, p, n);
				continue;
			}
			name = display_name(u, u);
			buf_printf(b, "@%s", name);
			free(name);
		}
	}
}

static void
add_line(struct buf *b, const char *text)
{
	if (*text == '\0')
		return;
	if (b->n > 0)
		buf_add(b, "\n", 1);
	buf_add_span(b, span_of(text));
}

static void
add_embeds(struct buf *b, json_t *message)
{
	json_t	*e;
	size_t	 i;

	json_array_foreach(json_object_get(message, "embeds"), i, e) {
		/* A link's preview says nothing that its author wrote. */
		if (strcmp(field_text(e, "type"), "rich") != 0)
			continue;
		add_line(b, field_text(e, "title"));
		add_line(b, field_text(e, "description"));
		add_line(b, field_text(json_object_get(e, "footer"), "text"));
	}
}

static void
add_components(struct buf *b, json_t *components, unsigned deep)
{
	json_t	*c;
	size_t	 i;

	if (deep == 0)
		return;
	json_array_foreach(components, i, c) {
		if (json_integer_value(json_object_get(c, "type")) == COMPONENT_TEXT)
			add_line(b, field_text(c, "content"));
		add_components(b, json_object_get(c, "components"), deep - 1);
	}
}

static void
add_forwarded(struct buf *b, json_t *message)
{
	json_t	*s;
	size_t	 i;

	json_array_foreach(json_object_get(message, "message_snapshots"), i, s) {
		const char	*text = field_text(json_object_get(s, "message"), "content");

		if (*text == '\0')
			continue;
		add_line(b, "(forwarded)");
		add_line(b, text);
	}
}

static bool
begins(struct span line, const char *mark)
{
	size_t	 n = strlen(mark);

	return line.n >= n && memcmp(line.p, mark, n) == 0;
}

/* Below an answer the bot says how it ended: that is not the model's text. */
static void
drop_notes(struct buf *b)
{
	static const char *const	 marks[] = {
		"-# ", "\xe2\x9a\xa0 ", "\xe2\x8f\xb9 ", "\xe2\x8f\xb3 "
	};
	struct span			 s, line;
	const char			*nl;
	bool				 note;

	do {
		s = buf_span(b);
		nl = s.n == 0 ? NULL : memrchr(s.p, '\n', s.n);
		line = nl == NULL ? s : span_make(nl + 1, (size_t)(s.p + s.n - nl - 1));
		note = false;
		for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
			note = note || begins(line, marks[i]);
		if (note)
			b->n -= line.n + (nl != NULL);
	} while (note);
}

char *
message_text(json_t *message, uint64_t self, bool own)
{
	struct buf	 b = { 0 };
	struct span	 s;
	char		*text;

	add_content(&b, message, field_text(message, "content"), self);
	add_embeds(&b, message);
	add_components(&b, json_object_get(message, "components"), COMPONENTS_DEEP);
	add_forwarded(&b, message);
	if (own)
		drop_notes(&b);
	s = buf_span(&b);
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) != NULL)
		s = span_make(s.p + 1, s.n - 1);
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
		s.n--;
	if (s.n > MESSAGE_TEXT_MAX)
		for (s.n = MESSAGE_TEXT_MAX; ((unsigned char)s.p[s.n] & 0xc0) == 0x80;)
			s.n--;
	text = mem_spandup(s);
	buf_fini(&b);
	return text;
}

char *
message_author(json_t *message)
{
	return display_name(message, json_object_get(message, "author"));
}

bool
message_mentions(json_t *message, uint64_t user)
{
	json_t	*u;
	size_t	 i;

	json_array_foreach(json_object_get(message, "mentions"), i, u)
		if (field_id(u, "id") == user)
			return true;
	return false;
}
