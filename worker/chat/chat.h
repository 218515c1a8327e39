/*
 * chat - the role that answers with a language model.
 *
 * A message that trigger wants answered becomes a turn.  Turns of one channel go one after the
 * other, those of different channels beside each other.  A turn opens a stream, reads the
 * conversation, asks the model and hands on its words; it ends with the stream's final state.  The
 * asker ends it early with a stop word, or with the stop button as a reaction to the question or
 * the answer; deleting the question or the answer does so too.
 *
 * A model that fails before its first word may have a fallback, which is asked the same.
 *
 * Owner: main, after its tasks.  HELLO's options are read by chat_new.
 */
#ifndef WORKER_CHAT_CHAT_H
#define WORKER_CHAT_CHAT_H

#include "common/loop.h"
#include "worker/runtime/task.h"

#define CHAT_VERBS(X) \
	X(try, "asks the model: TEXT")

struct chat;

struct chat_ops {
	void	(*send)(void *arg, enum msg_type, const void *src);
};

extern const struct handler	 chat_handler;	/* its tasks have the struct chat as role */

/* NULL with a sentence when the options will not do. */
struct chat	*chat_new(struct loop *, const struct msg_HELLO *, const struct chat_ops *,
		    void *arg, const char **why_r);
void		 chat_free(struct chat **);	/* open turns are dropped; after tasks_free */
/* A verb of CHAT_VERBS; answered with one RESULT. */
void		 chat_call(struct chat *, const struct msg_CALL *);
/* Nobody waits for that call: the model's connection is closed.  False: it is none of chat_call's. */
bool		 chat_cancel(struct chat *, uint64_t call);

#endif
