/*
 * toolcalls - calls of tools, put together from the fragments in which they come.
 *
 * Pure.  Servers leave out the index or the id, always say 0, repeat a name, send arguments as an
 * object: see toolcalls_take.
 *
 * Owner: embedded in a codec.
 */
#ifndef WORKER_CHAT_TOOLCALLS_H
#define WORKER_CHAT_TOOLCALLS_H

#include "worker/chat/body.h"

#define TOOLCALLS_MAX	128

struct toolcall;

/* Zeroed is new. */
struct toolcalls {
	struct toolcall	*v;
	size_t		 n;		/* <= TOOLCALLS_MAX; more are dropped */
};

void		 toolcalls_fini(struct toolcalls *);
/* One of delta.tool_calls. */
void		 toolcalls_take(struct toolcalls *, json_t *fragment);
/*
 * The i-th; its strings live until toolcalls_fini or the next take.  Arguments are a JSON object as
 * text unless `broken`.
 *	answer	id of the answer, for calls that came without one of their own
 */
struct chat_call toolcalls_get(struct toolcalls *, size_t i, const char *answer, bool *broken_r);

#endif
