/*
 * trigger - see trigger.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "worker/chat/field.h"
#include "worker/chat/trigger.h"

/* Message types that a person writes; replies are 19. */
#define TYPE_DEFAULT	0
#define TYPE_REPLY	19

static const struct {
	const char	*name, *why;
	bool		 answer;
} rows[] = {
#define TRIGGER(name, answer, why) { #name, why, answer },
	TRIGGERS
#undef TRIGGER
};

static bool
is_free(const struct trigger_rules *r, uint64_t channel)
{
	for (size_t i = 0; i < r->free_channels_n; i++)
		if (r->free_channels[i] == channel)
			return true;
	return false;
}

static enum trigger
decide_replied(const struct trigger_message *m, bool open)
{
	if (m->replied_author == 0)
		return TRIGGER_LOOK;
	if (m->replied_author == m->self)
		return TRIGGER_REPLY;
	return open ? TRIGGER_NOT_FOR_ME : TRIGGER_NOT_CALLED;
}

enum trigger
trigger_decide(const struct trigger_rules *r, const struct trigger_message *m)
{
	bool	 open = is_free(r, m->channel);

	if (m->author == m->self && m->self != 0)
		return TRIGGER_SELF;
	if (m->webhook)
		return TRIGGER_WEBHOOK;
	if (m->bot && (r->bots == TRIGGER_BOTS_NONE ||
	    (r->bots == TRIGGER_BOTS_MENTIONS && !m->mentions_self)))
		return TRIGGER_BOT;
	if (m->type != TYPE_DEFAULT && m->type != TYPE_REPLY)
		return TRIGGER_KIND;
	/* A mention alone, or a reply that only pings, may well be a question. */
	if (m->empty && !m->replies && !m->mentions_self)
		return TRIGGER_EMPTY;
	if (m->guild == 0)
		return TRIGGER_DM;
	if (m->mentions_self)
		return TRIGGER_MENTION;
	if (m->replies)
		return decide_replied(m, open);
	if (!open)
		return TRIGGER_NOT_CALLED;
	return m->mentions_others ? TRIGGER_NOT_FOR_ME : TRIGGER_FREE;
}

bool
trigger_answers(enum trigger t)
{
	return rows[t].answer;
}

const char *
trigger_name(enum trigger t)
{
	return rows[t].name;
}

const char *
trigger_why(enum trigger t)
{
	return rows[t].why;
}

/* ---- the event ---- */

/* Length of the mention of that user at p, 0 when it is none. */
static size_t
mention_at(const char *p, uint64_t user)
{
	uint64_t	 id;
	size_t		 from, n;

	if (p[0] != '<' || p[1] != '@')
		return 0;
	from = p[2] == '!' ? 3 : 2;
	n = strspn(p + from, "0123456789");
	if (p[from + n] != '>' || !span_u64(span_make(p + from, n), &id) || id != user)
		return 0;
	return from + n + 1;
}

static bool
says_nothing(json_t *event, uint64_t self)
{
	static const char *const	 parts[] = {
		"attachments", "embeds", "components", "sticker_items", "message_snapshots"
	};
	const char			*p = json_string_value(json_object_get(event, "content"));
	size_t				 n;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (json_array_size(json_object_get(event, parts[i])) > 0)
			return false;
	for (; p != NULL && *p != '\0'; p += n) {
		n = strspn(p, " \t\r\n");
		if (n == 0)
			n = mention_at(p, self);
		if (n == 0)
			return false;
	}
	return true;
}

bool
trigger_read(json_t *event, uint64_t self, struct trigger_message *m_r)
{
	json_t	*author = json_object_get(event, "author"), *user;
	size_t	 i;

	*m_r = (struct trigger_message){
		.self = self,
		.author = field_id(author, "id"),
		.channel = field_id(event, "channel_id"),
		.guild = field_id(event, "guild_id"),
		.type = (unsigned)json_integer_value(json_object_get(event, "type")),
		.webhook = field_id(event, "webhook_id") != 0,
		.bot = json_is_true(json_object_get(author, "bot")),
		.mentions_others = json_array_size(json_object_get(event, "mention_roles")) > 0,
		.empty = says_nothing(event, self),
	};
	json_array_foreach(json_object_get(event, "mentions"), i, user)
		if (field_id(user, "id") == self)
			m_r->mentions_self = true;
		else
			m_r->mentions_others = true;
	if (m_r->type == TYPE_REPLY) {
		m_r->replies = true;
		m_r->replied_author = field_id(json_object_get(json_object_get(event,
		    "referenced_message"), "author"), "id");
		/* Deleted: nobody's message any more. */
		if (json_is_null(json_object_get(event, "referenced_message")))
			m_r->replied_author = UINT64_MAX;
	}
	return m_r->author != 0 && m_r->channel != 0 && field_id(event, "id") != 0;
}

/* ---- stop ---- */

static struct span
trim(struct span s, const char *extra)
{
	while (s.n > 0 && isspace((unsigned char)s.p[0]))
		s = span_make(s.p + 1, s.n - 1);
	while (s.n > 0 && (isspace((unsigned char)s.p[s.n - 1]) ||
	    (s.p[s.n - 1] != '\0' && strchr(extra, s.p[s.n - 1]) != NULL)))
		s.n--;
	return s;
}

/* One mention of the bot, at the beginning or at the end. */
static struct span
drop_mention(struct span s, const char *mention)
{
	size_t	 n = strlen(mention);

	if (s.n < n)
		return s;
	if (memcmp(s.p, mention, n) == 0)
		return trim(span_make(s.p + n, s.n - n), "");
	if (memcmp(s.p + s.n - n, mention, n) == 0)
		return trim(span_make(s.p, s.n - n), "");
	return s;
}

bool
trigger_is_stop(struct span text, uint64_t self, const char *const *words, size_t words_n)
{
	char		 mention[32];
	struct span	 s;

	text = trim(text, "");
	for (int form = 0; form < 2; form++) {
		snprintf(mention, sizeof(mention), form == 0 ? "<@%llu>" : "<@!%llu>",
		    (unsigned long long)self);
		s = trim(drop_mention(text, mention), ".!");
		for (size_t i = 0; i < words_n; i++)
			if (s.n > 0 && s.n == strlen(words[i]) &&
			    strncasecmp(s.p, words[i], s.n) == 0)
				return true;
	}
	return false;
}

bool
trigger_is_stop_emoji(struct span name)
{
	/* the stop button, with and without variation selector; the octagonal sign */
	static const char *const	 names[] = {
		"\xe2\x8f\xb9", "\xe2\x8f\xb9\xef\xb8\x8f", "\xf0\x9f\x9b\x91"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_is(name, names[i]))
			return true;
	return false;
}

/* ---- two bots ---- */

static struct trigger_guard_row *
guard_row(struct trigger_guard *g, uint64_t channel)
{
	struct trigger_guard_row	*oldest = &g->rows[0];

	for (size_t i = 0; i < TRIGGER_GUARD_ROWS; i++) {
		if (g->rows[i].channel == channel && !mono_is_never(g->rows[i].used))
			return &g->rows[i];
		if (mono_before(g->rows[i].used, oldest->used))
			oldest = &g->rows[i];
	}
	*oldest = (struct trigger_guard_row){ .channel = channel };
	return oldest;
}

bool
trigger_guard_admit(struct trigger_guard *g, uint64_t channel, struct mono now)
{
	struct trigger_guard_row	*r = guard_row(g, channel);

	r->used = now;
	if (mono_before(now, r->muted))
		return false;
	if (mono_is_never(r->since) || mono_ms_between(r->since, now) >= TRIGGER_GUARD_MS) {
		r->since = now;
		r->turns = 0;
	}
	if (r->turns >= TRIGGER_GUARD_TURNS) {
		r->muted = mono_add_ms(now, TRIGGER_GUARD_MS);
		r->since = MONO_NEVER;
		return false;
	}
	r->turns++;
	return true;
}
