/*
 * payload - what is said to Discord's gateway, and the few members of `d` that are read.
 *
 * Pure.  Writers append to out.  Those with a token take all the room first: a growing buffer would
 * leave copies of it in memory that it gave back.  The caller wipes out when it is sent.
 * Source: Discord docs, events/gateway-events (send events).
 */
#ifndef SUPERVISOR_PAYLOAD_H
#define SUPERVISOR_PAYLOAD_H

#include "common/mem.h"
#include "common/span.h"

#define PAYLOAD_MAX_BYTES	4096u	/* events/gateway: a longer one closes with 4002 */

void		 payload_beat(struct buf *out, uint64_t seq);	/* seq 0: none yet */
/* presence: as presence_make made it, or empty. */
void		 payload_identify(struct buf *out, const char *token, uint64_t intents,
		    uint32_t shard, uint32_t shards, struct span presence);
void		 payload_resume(struct buf *out, const char *token, const char *session_id,
		    uint64_t seq);

void		 payload_presence(struct buf *out, struct span presence);

/* Ask for one member of one guild: its answer is an event. */
void		 payload_member(struct buf *out, uint64_t guild, uint64_t user);

/* A string member, escapes undone.  False when it is absent, empty, too long, or holds a NUL. */
bool		 payload_text(struct span d, const char *key, char *dst, size_t dst_bytes);
/* The same, and it is a URL of a WebSocket. */
bool		 payload_url(struct span d, const char *key, char *dst, size_t dst_bytes);
/* The ids of the objects in the array d.key; how many, at most max. */
size_t		 payload_ids(struct span d, const char *key, uint64_t *v, size_t max);
/* d.object.key as an id; 0 when it is absent. */
uint64_t	 payload_id(struct span d, const char *object, const char *key);

#endif
