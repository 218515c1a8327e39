/*
 * settle - what is known of a request whose answer is in doubt, and what an answer decides.
 *
 * Pure: routes.def says what settles doubt about a route.
 * Source: Discord docs, resources/message, create message (nonce, enforce_nonce).
 */
#ifndef SUPERVISOR_SETTLE_H
#define SUPERVISOR_SETTLE_H

#include "common/msg.h"
#include "common/request.h"

#define NONCE_MS	60000	/* guarantee 8; Discord remembers a nonce for minutes */

/*
 * One that changes something was given to a service: may it be given again?  ERR_OK, or the error
 * that it ends with.  A nonce is made from delivery and ordinal, so that one without has none.
 *	first_ms, now_ms	wall; when it was given first
 */
enum error	 settle_again(const struct request_rule *, uint64_t ordinal, uint64_t first_ms,
		    uint64_t now_ms);
/* Of one that went out again: the JSON error code says that the first one took effect. */
bool		 settle_by_code(const struct request_rule *, const struct msg_RESULT *);
/*
 * Discord has decided: it took effect, or it was refused for good and asking again would be
 * answered alike.
 */
bool		 settle_is_final(const struct msg_RESULT *);
/* Of one that went out once: nothing was done by it. */
bool		 settle_is_undone(const struct msg_RESULT *);

#endif
