/*
 * mailbox - one conversation in order, others beside it.
 *
 * Pure.  In a serial mailbox the next letter of a key starts when the last one is done; in an open
 * one, and with `control`, a letter starts at once.
 *
 * Owner: the caller owns the letters (struct mail is embedded), the mailbox the conversations.
 */
#ifndef WORKER_MAILBOX_H
#define WORKER_MAILBOX_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

struct mailbox;
struct conversation;

struct mail {
	struct conversation	*conversation;	/* NULL: not held by an order */
	TAILQ_ENTRY(mail)	 entry;		/* while it waits */
	bool			 waiting;
};

struct mailbox	*mailbox_new(bool serial);
void		 mailbox_free(struct mailbox **);	/* empty */
/* True: start it now.  False: it waits, mailbox_done of an earlier one will name it. */
bool		 mailbox_put(struct mailbox *, struct mail *, uint64_t key, bool control);
/*
 * It is finished, or it is given up while waiting.  Returns the letter that starts now, NULL when
 * there is none.
 */
struct mail	*mailbox_done(struct mailbox *, struct mail *);

#endif
