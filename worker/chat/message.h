/*
 * message - what a message of Discord says, as text for a model.
 *
 * Pure.  Content, embeds that somebody wrote, texts of components, what was forwarded; mentions as
 * names.
 *
 * Source: Discord docs, resources/message (embeds, snapshots) and components/reference.
 */
#ifndef WORKER_CHAT_MESSAGE_H
#define WORKER_CHAT_MESSAGE_H

#include <jansson.h>

#include "common/span.h"

#define MESSAGE_TEXT_MAX	(32u << 10)	/* bytes; Discord's own bounds are below */

/*
 * Without blanks around it; may be empty.  The caller frees it.
 *	self	the bot's id: a call of it is no part of what is said
 *	own	the bot wrote it: its notes below an answer are not the model's text
 */
char	*message_text(json_t *message, uint64_t self, bool own);
/*
 * The name of its author that people see, on one line; it may hold anything else.  The caller frees
 * it.
 */
char	*message_author(json_t *message);
bool	 message_mentions(json_t *message, uint64_t user);

#endif
