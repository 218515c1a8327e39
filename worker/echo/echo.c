/*
 * echo - the smallest handler.  Copy it to begin one of your own.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/echo/echo.h"
#include "worker/echo/recite.h"

#define BLANKS	" \t\r\n"

/*
 * "!ping" is answered with pong, "!ping 17" with pong 17: who counts sees what is missing.
 * NULL: it is no ping.
 */
static const char *
pong(const char *content, char *text, size_t n)
{
	const char	*rest;
	size_t		 digits_n;

	content += strspn(content, BLANKS);
	if (strncmp(content, "!ping", 5) != 0)
		return NULL;
	content += 5;
	if (content[strspn(content, BLANKS)] == '\0')
		return "pong";
	if (*content != ' ')
		return NULL;
	content += strspn(content, " ");
	digits_n = strspn(content, "0123456789");
	rest = content + digits_n;
	if (digits_n == 0 || digits_n > 18 || rest[strspn(rest, BLANKS)] != '\0')
		return NULL;
	snprintf(text, n, "pong %.*s", (int)digits_n, content);
	return text;
}

static void
answered(struct scope *s, const struct msg_RESULT *r, void *arg)
{
	(void)arg;
	scope_finish(s, r);
}

static void
reply(struct scope *s, const char *channel, const char *message, const char *text)
{
	json_t	*body = json_pack("{s:s, s:{s:s, s:b}, s:{s:[]}}",
	    "content", text,
	    "message_reference", "message_id", message, "fail_if_not_exists", 0,
	    "allowed_mentions", "parse");
	char	*json = json_dumps(body, JSON_COMPACT);
	char	 path[64];

	snprintf(path, sizeof(path), "/channels/%s/messages", channel);
	scope_call(s, "POST", path, span_of(json), LANE_CREATE, answered, NULL);
	free(json);
	json_decref(body);
}

static void
on_message(struct scope *s, json_t *m)
{
	const char	*channel, *id, *content, *author, *answer, *webhook = NULL;
	char		 text[32];
	int		 bot = 0;

	if (json_unpack(m, "{s:s, s:s, s:s, s:{s:s, s?b}, s?s}", "channel_id", &channel, "id", &id,
	    "content", &content, "author", "id", &author, "bot", &bot,
	    "webhook_id", &webhook) == -1)
		return;
	if (bot || webhook != NULL || strtoull(author, NULL, 10) == scope_self(s))
		return;
	answer = pong(content, text, sizeof(text));
	if (answer != NULL)
		reply(s, channel, id, answer);
	else
		(void)recite(s, strtoull(channel, NULL, 10), strtoull(id, NULL, 10), content);
}

static bool
is_next(const char *p, const char *end, const char *word)
{
	size_t	 n = strlen(word);

	return (size_t)(end - p) >= n && memcmp(p, word, n) == 0;
}

/*
 * Nearly no message is for us: only of one that may be is a tree made.  An escape may spell
 * anything.
 */
static bool
may_be_ours(struct span body)
{
	const char	*p = body.p, *end = body.p + body.n;

	while ((p = memchr(p, '!', (size_t)(end - p))) != NULL) {
		p++;
		if (is_next(p, end, "ping") || is_next(p, end, "stream"))
			return true;
	}
	p = body.p;
	while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL && end - p >= 2) {
		if (p[1] == 'u')
			return true;
		p += 2;
	}
	return false;
}

static void
start(struct scope *s, const struct msg_EVENT *ev)
{
	json_t	*m;

	if (!span_is(ev->name, "MESSAGE_CREATE") || !may_be_ours(ev->body))
		return;
	m = json_loadb(ev->body.p, ev->body.n, 0, NULL);
	on_message(s, m);
	json_decref(m);
}

const struct handler	 echo_handler = { "echo", true, start, NULL };
