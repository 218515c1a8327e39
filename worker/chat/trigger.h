/*
 * trigger - does a message ask the bot for an answer.
 *
 * Pure.  The first rule that applies decides: itself, webhooks, other bots, kinds of messages that
 * nobody wrote; then a direct message, a mention, a reply to the bot (its ping on or off), a
 * channel where every message is for the bot.  In such a channel a message that speaks to someone
 * else is not.
 *
 * Everything is borrowed for the call.
 * Source: Discord docs, resources/message, message types and message reference.
 */
#ifndef WORKER_CHAT_TRIGGER_H
#define WORKER_CHAT_TRIGGER_H

#include <jansson.h>

#include "common/clock.h"
#include "common/span.h"

#define TRIGGER_GUARD_TURNS	20	/* with other bots, in one channel */
#define TRIGGER_GUARD_MS	60000	/* the turns of so long count; then nothing for as long */
#define TRIGGER_GUARD_ROWS	64	/* channels watched; the one idle longest goes */

enum trigger_bots {
	TRIGGER_BOTS_NONE,
	TRIGGER_BOTS_MENTIONS,		/* only when they mention the bot */
	TRIGGER_BOTS_ALL		/* as people */
};

struct trigger_rules {
	enum trigger_bots	 bots;
	const uint64_t		*free_channels;		/* a thread counts as its own channel */
	size_t			 free_channels_n;
};

struct trigger_message {
	uint64_t	 self;			/* the bot's own id, 0 unknown */
	uint64_t	 author, channel;
	uint64_t	 guild;			/* 0: a direct message */
	unsigned	 type;
	bool		 webhook, bot;		/* the author */
	bool		 mentions_self;		/* by name or by the ping of a reply */
	bool		 mentions_others;	/* people or roles, none of them the bot */
	bool		 replies;
	uint64_t	 replied_author;	/* 0: not known */
	bool		 empty;			/* no text but the mention, nothing attached */
};

/*
 * TRIGGER(NAME, is it for the bot, why)
 *	LOOK: who wrote the message that this one replies to decides; ask again when it is known
 */
#define TRIGGERS \
TRIGGER(SELF,	   false, "it is the bot's own") \
TRIGGER(WEBHOOK,   false, "a webhook wrote it") \
TRIGGER(BOT,	   false, "a bot wrote it") \
TRIGGER(KIND,	   false, "it is a notice of Discord's") \
TRIGGER(EMPTY,	   false, "it says nothing") \
TRIGGER(NOT_FOR_ME, false, "it speaks to someone else") \
TRIGGER(NOT_CALLED, false, "nobody called the bot") \
TRIGGER(LOOK,	   false, "it replies to a message that is not known yet") \
TRIGGER(DM,	   true,  "it is a direct message") \
TRIGGER(MENTION,   true,  "it mentions the bot") \
TRIGGER(REPLY,	   true,  "it replies to the bot") \
TRIGGER(FREE,	   true,  "in this channel every message is for the bot")

enum trigger {
#define TRIGGER(name, answer, why) TRIGGER_##name,
	TRIGGERS
#undef TRIGGER
	TRIGGER__N
};

/* From a MESSAGE_CREATE; false when it is no message. */
bool		 trigger_read(json_t *event, uint64_t self, struct trigger_message *m_r);
enum trigger	 trigger_decide(const struct trigger_rules *, const struct trigger_message *);
bool		 trigger_answers(enum trigger);
const char	*trigger_name(enum trigger);
const char	*trigger_why(enum trigger);

/*
 * A text that asks to stop: one of the words alone, in either case (ASCII), with blanks, a mention
 * of the bot and full stops or exclamation marks around it.
 */
bool		 trigger_is_stop(struct span text, uint64_t self, const char *const *words,
		    size_t words_n);
/* An emoji's name, as in a reaction, that asks to stop. */
bool		 trigger_is_stop_emoji(struct span name);

/* Two bots that answer each other would never end.  Zeroed is ready. */
struct trigger_guard {
	struct trigger_guard_row {
		uint64_t	 channel;
		struct mono	 since, muted, used;
		unsigned	 turns;
	} rows[TRIGGER_GUARD_ROWS];
};
/* Before a bot is answered there; false: not now. */
bool		 trigger_guard_admit(struct trigger_guard *, uint64_t channel, struct mono now);

#endif
