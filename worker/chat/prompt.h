/*
 * prompt - a conversation of Discord as messages for a model.
 *
 * Pure.  The system prompt first, then the turns, oldest first: people's with their names in the
 * text, what one author said in a row as one.  What is over the model's budget goes from the oldest
 * end, whole exchanges at a time, and what went is said in a note for people.
 *
 * The same conversation gives the same bytes on the same day: providers cache prefixes.
 *
 * Owner: who calls prompt_new.  Texts of turns are copied; the bytes of images are borrowed as long
 * as the prompt.
 */
#ifndef WORKER_CHAT_PROMPT_H
#define WORKER_CHAT_PROMPT_H

#include "common/mem.h"
#include "common/span.h"
#include "worker/chat/body.h"

#define PROMPT_MESSAGE_TOKENS	4	/* around each message */
#define PROMPT_IMAGE_TOKENS	1000	/* a guess on the high side */
#define PROMPT_SYSTEM_DEFAULT \
	"You are {bot}, a helpful assistant in a chat on Discord. Today is {date}. " \
	"Use Discord's markdown."

/* What the template's names in braces stand for; any may be NULL, which gives nothing. */
struct prompt_names {
	/* {date}: the day; no time of day, which would end every cache */
	const char	*date;
	const char	*bot, *channel, *guild, *user;
};

struct prompt_turn {
	bool				 own;		/* the bot's */
	uint64_t			 author;
	const char			*name;
	const char			*text;
	const struct chat_image		*images;
	size_t				 images_n;
	/* What is not handed on. */
	unsigned			 images_missed_n;	/* unreadable or too many */
	unsigned			 files_n;
};

struct prompt_rules {
	const char	*system;	/* template; NULL or empty: no system prompt */
	/* of prompt and answer; 0: not known, nothing is dropped */
	uint64_t	 context_tokens;
	uint64_t	 answer_tokens;	/* of it kept free for the answer */
	bool		 names;		/* say who speaks; needless where only one does */
	bool		 sees;		/* the model takes images */
};

struct prompt;

/*
 *	turns	oldest first; the last one asks
 *	cut	there are older messages that were not read; lost: some could not be
 */
struct prompt	*prompt_new(const struct prompt_rules *, const struct prompt_names *,
		    const struct prompt_turn *turns, size_t turns_n, bool cut, bool lost);
void		 prompt_free(struct prompt **);
const struct chat_message *prompt_messages(const struct prompt *, size_t *n_r);
uint64_t	 prompt_tokens(const struct prompt *);		/* an estimate */
size_t		 prompt_turns_n(const struct prompt *);		/* that are left */
/* One line for people: what the model does not know; "" nothing. */
const char	*prompt_note(const struct prompt *);

/* ceil(bytes / 3.5) */
uint64_t	 prompt_estimate(size_t bytes);
/* Names in braces are filled in, what is no such name stays. */
void		 prompt_fill(const char *template, const struct prompt_names *, struct buf *out);
/* Does the template use that name, as "channel"? */
bool		 prompt_uses(const char *template, const char *name);
/* By its first bytes: "image/png", "image/jpeg", "image/gif", "image/webp"; NULL: none of them. */
const char	*prompt_image_type(struct span data);

#endif
