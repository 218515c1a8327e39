/*
 * nonce - what Discord knows a message again by that is sent twice.
 *
 * Pure.  Discord answers a repeated nonce with the message that it made the first time, if
 * enforce_nonce asks for it; only the route that creates messages knows it.
 *
 * Source: Discord docs, resources/message, Create Message.
 */
#ifndef WORKER_NONCE_H
#define WORKER_NONCE_H

#include "common/mem.h"
#include "common/span.h"

#define NONCE_BYTES	16

/* In base 36: the same for the same (delivery, ordinal), whichever process sends it. */
void		 nonce_of(uint64_t delivery, uint64_t ordinal, char dst[NONCE_BYTES]);
/*
 * Appends the body of a message with the nonce in it.  Members that the caller wrote are kept.
 *	enforced_r	false: the caller does not want it, so a repetition is not safe
 * NULL, or what is wrong with the body; nothing is appended then.
 */
const char	*nonce_add(struct span body, const char *nonce, struct buf *out, bool *enforced_r);

#endif
