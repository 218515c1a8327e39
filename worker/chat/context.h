/*
 * context - which messages of Discord are the conversation, and a cache of them.
 *
 * Pure: a chain names what it needs as paths of Discord's API and is fed the answers.  It goes from
 * the message that asks to older ones:
 *
 *  - a reply leads to the message that it replies to, so two replies to one message are two
 *    conversations;
 *  - a message that neither replies nor calls the bot leads to the one before it: in a direct
 *    message whoever wrote it, in a channel where every message is for the bot the bot's or the
 *    same author's, elsewhere the same author's;
 *  - a later part of an answer leads to the part before it, though others wrote in between;
 *  - the first message of a thread leads to the message that the thread began with.
 *
 * Half an answer is never taken from an event: what an event says about a message of the bot's own
 * is asked for again.
 *
 * Owner: the chat role.  Messages are counted references: those of a chain live as long as it,
 * whatever happens to the cache.
 * Source: Discord docs, resources/message (types, references, snapshots) and resources/channel.
 */
#ifndef WORKER_CHAT_CONTEXT_H
#define WORKER_CHAT_CONTEXT_H

#include <jansson.h>

#include "common/mem.h"
#include "common/span.h"

#define CONTEXT_MESSAGES_MAX	4000		/* cached */
#define CONTEXT_BYTES_MAX	(16u << 20)
#define CONTEXT_IMAGES_MAX	10
#define CONTEXT_PAGE		50		/* messages asked for at once */
#define CONTEXT_ASKS_MAX	40		/* of one chain */
#define CONTEXT_PART_GAP_MS	600000		/* between two parts of one answer */
#define CONTEXT_PART_MIN_BYTES	500		/* a part that another follows is longer */

struct context_image {
	char		*url;		/* signed, for a day: never for the model */
	uint64_t	 bytes;		/* as Discord says */
};

struct context_message {
	uint64_t		 id, channel, author;
	bool			 own;		/* the bot's: an assistant's turn */
	char			*name;		/* of the author, on one line */
	char			*text;		/* without the call of the bot; may be empty */
	struct context_image	 images[CONTEXT_IMAGES_MAX];
	size_t			 images_n;
	unsigned		 images_more_n;	/* beyond CONTEXT_IMAGES_MAX */
	unsigned		 files_n;	/* attachments that are no images */
};

/* ---- the cache ---- */

struct context;

struct context	*context_new(size_t messages_max, size_t bytes_max);
void		 context_free(struct context **);	/* after its chains */
/*
 * A message object of REST, or one whole in an event.  False: it is none.
 *	event	what it says about messages of the bot's own is not kept
 */
bool		 context_put(struct context *, uint64_t self, json_t *, bool event);
/* MESSAGE_UPDATE: changes what is cached, drops it when the event is not whole. */
void		 context_update(struct context *, uint64_t self, json_t *);
void		 context_delete(struct context *, uint64_t message);
/* The events of a channel went elsewhere for a while. */
void		 context_forget(struct context *, uint64_t channel);
/* Borrowed until the next call; NULL not cached. */
const struct context_message *context_find(struct context *, uint64_t message);
size_t		 context_messages_n(const struct context *);
size_t		 context_bytes(const struct context *);

/* ---- one conversation ---- */

struct context_rules {
	unsigned	 messages_max;	/* with the one that asks; at least 1 */
	bool		 direct;	/* a direct message */
	bool		 open;		/* every message of the channel is for the bot */
	uint64_t	 merge_gap_ms;	/* between two messages of one author */
	uint64_t	 continue_gap_ms; /* between the bot's message and one that goes on */
};

struct chain;

/* From the event that asks.  NULL: it is no message.  rules are copied. */
struct chain	*chain_new(struct context *, const struct context_rules *, uint64_t self,
		    json_t *event);
void		 chain_free(struct chain **);
/*
 * What to GET next, NULL when the chain is complete.  The same until chain_answer; borrowed until
 * then.
 */
const char	*chain_wants(struct chain *);
/* The answer to that; status 0 when there was none. */
void		 chain_answer(struct chain *, unsigned status, struct span body);
size_t		 chain_n(const struct chain *);
const struct context_message *chain_message(const struct chain *, size_t i);	/* 0: the oldest */
bool		 chain_cut(const struct chain *);	/* older ones are beyond messages_max */
bool		 chain_lost(const struct chain *);	/* an older one could not be read */

#endif
