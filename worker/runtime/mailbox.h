/*
 * mailbox - one conversation in order, others beside it.
 *
 * Pure.  In a serial mailbox the next letter of a key starts when the last one is done; in an open
 * one, and with `control`, a letter starts at once.
 *
 * A letter that is handed back comes again; so that nothing overtakes it, what waits behind it has to
 * go back too, and what arrives until the sender knows of it (mailbox_is_shut).
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
/*
 * The one that is started is handed back.  Returns the first of those that wait behind it, which has
 * left the mailbox and has to be handed back as well: call again until NULL.  From then on its key
 * is shut.  An open mailbox, or a control letter: NULL, nothing is shut.
 */
struct mail	*mailbox_back(struct mailbox *, struct mail *);
/*
 * Has a letter that arrives to go back unread?  again: its sender knew, or does not remember; the
 * key is open from here on.  At most MAILBOX_SHUT_MAX keys are shut, the oldest of them opens.
 */
#define MAILBOX_SHUT_MAX	1024
bool		 mailbox_is_shut(struct mailbox *, uint64_t key, bool control, bool again);

#endif
