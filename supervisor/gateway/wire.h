/*
 * wire - the way to a gateway: its name, its addresses in turn, one WebSocket, whole messages.
 *
 * At most one attempt or connection at a time.  What it says of the gateway protocol is the query
 * of the URL.  Every callback comes from the loop, none inside a call.
 *
 * A message is read where it lies: in the buffer of frames, or in that of libwebsockets when it
 * came plain and in one piece.  What a message causes may hang up while it is still being looked
 * at, so those buffers live until the next wire_dial.
 *
 * Owner: the gateway.
 */
#ifndef SUPERVISOR_WIRE_H
#define SUPERVISOR_WIRE_H

#include "common/cfg.h"
#include "common/loop.h"
#include "common/resolve.h"
#include "common/span.h"

#define WIRE_MESSAGE_MAX_BYTES	(64u << 20)
#define WIRE_PHASES		3u	/* TCP, TLS, upgrade: each has connect_timeout_ms */
#define WIRE_TAG_MAX		32

struct wire_ops {
	void	(*on_open)(void *arg);
	/* Something has come and is not looked at yet; false: it is thrown away. */
	bool	(*on_frame)(void *arg);
	void	(*on_message)(void *arg, struct span message);
	/* One longer than WIRE_MESSAGE_MAX_BYTES is gone; the next ones are not harmed. */
	void	(*on_oversized)(void *arg, uint64_t bytes);
	/* The compressed stream cannot be read on. */
	void	(*on_broken)(void *arg, const char *why);
	/* A text of wire_send went to the kernel. */
	void	(*on_sent)(void *arg, uint64_t cookie, struct mono when);
	/* Not open any more.  code 0: no close frame came; why: its text, or what went wrong */
	void	(*on_gone)(void *arg, unsigned code, const char *why);
	/* What stands in the way of an attempt, for people; it may still succeed. */
	void	(*on_trouble)(void *arg, const char *sentence);
	/* The attempt has failed, at every address. */
	void	(*on_failed)(void *arg);
};

struct wire;

/* Everything is borrowed for life. */
struct wire	*wire_new(struct loop *, struct resolve *, const struct cfg *,
		    const struct wire_ops *, void *arg);
/* No callback comes any more. */
void		 wire_free(struct wire **);
/* Load what the first wss:// needs, now.  A failure is the first dial's to tell. */
void		 wire_prepare(struct wire *);

/* url is copied; tag, too, stands before each line of the log. */
void		 wire_dial(struct wire *, const char *url, const char *tag);
bool		 wire_is_open(const struct wire *);
/* Nothing when it is not open.  The text is copied; cookie comes back with on_sent. */
void		 wire_send(struct wire *, struct span text, uint64_t cookie);
/* Stop reading, or go on; nothing when it is not open. */
void		 wire_pause(struct wire *, bool);
/* Send a close frame and wait for the answer: on_gone.  Only while it is open. */
void		 wire_close(struct wire *, unsigned code);
/* End it, or the attempt: nothing of it is heard any more. */
void		 wire_drop(struct wire *, unsigned code);

#endif
