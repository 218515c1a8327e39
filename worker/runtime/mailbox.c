/*
 * mailbox - see mailbox.h.
 */

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/tree.h"
#include "worker/runtime/mailbox.h"
#include "worker/worker.h"

/* Exists while one letter of its key is started, and the others wait here; or while it is shut. */
struct conversation {
	RB_ENTRY(conversation)	 by_key;
	uint64_t		 key;
	TAILQ_HEAD(, mail)	 waiting;
	bool			 shut;		/* and has no letter */
	TAILQ_ENTRY(conversation) in_shut;
};

RB_HEAD(conversations, conversation);

struct mailbox {
	bool			 serial;
	struct conversations	 conversations;
	TAILQ_HEAD(, conversation) shut;	/* longest first */
	size_t			 shut_n;
};

static int
conversation_cmp(struct conversation *a, struct conversation *b)
{
	return TREE_CMP(a->key, b->key);
}

TREE_GENERATE(conversations, conversation, by_key, conversation_cmp)

struct mailbox *
mailbox_new(bool serial)
{
	struct mailbox	*m = mem_alloc(sizeof(*m));

	m->serial = serial;
	RB_INIT(&m->conversations);
	TAILQ_INIT(&m->shut);
	return m;
}

static void
conversation_over(struct mailbox *m, struct conversation *c)
{
	if (c->shut) {
		TAILQ_REMOVE(&m->shut, c, in_shut);
		m->shut_n--;
	}
	RB_REMOVE(conversations, &m->conversations, c);
	free(c);
}

void
mailbox_free(struct mailbox **mp)
{
	if (*mp == NULL)
		return;
	while (!TAILQ_EMPTY(&(*mp)->shut))
		conversation_over(*mp, TAILQ_FIRST(&(*mp)->shut));
	assert(RB_EMPTY(&(*mp)->conversations));
	free(*mp);
	*mp = NULL;
}

bool
mailbox_put(struct mailbox *m, struct mail *mail, uint64_t key, bool control)
{
	struct conversation	 want = { .key = key }, *c;

	mail->conversation = NULL;
	mail->waiting = false;
	if (!m->serial || control)
		return true;
	c = RB_FIND(conversations, &m->conversations, &want);
	if (c != NULL) {
		assert(!c->shut);
		mail->waiting = true;
		TAILQ_INSERT_TAIL(&c->waiting, mail, entry);
	} else {
		c = mem_alloc(sizeof(*c));
		c->key = key;
		TAILQ_INIT(&c->waiting);
		RB_INSERT(conversations, &m->conversations, c);
	}
	mail->conversation = c;
	return !mail->waiting;
}

struct mail *
mailbox_done(struct mailbox *m, struct mail *mail)
{
	struct conversation	*c = mail->conversation;
	struct mail		*next;

	mail->conversation = NULL;
	if (c == NULL)
		return NULL;
	if (mail->waiting) {
		TAILQ_REMOVE(&c->waiting, mail, entry);
		mail->waiting = false;
		return NULL;
	}
	next = TAILQ_FIRST(&c->waiting);
	if (next != NULL) {
		TAILQ_REMOVE(&c->waiting, next, entry);
		next->waiting = false;
		return next;
	}
	conversation_over(m, c);
	return NULL;
}

struct mail *
mailbox_back(struct mailbox *m, struct mail *mail)
{
	struct conversation	*c = mail->conversation;
	struct mail		*next;

	if (c == NULL)
		return NULL;
	assert(!mail->waiting);
	if ((next = TAILQ_FIRST(&c->waiting)) != NULL) {
		TAILQ_REMOVE(&c->waiting, next, entry);
		next->waiting = false;
		next->conversation = NULL;
		return next;
	}
	mail->conversation = NULL;
	c->shut = true;
	TAILQ_INSERT_TAIL(&m->shut, c, in_shut);
	if (++m->shut_n > MAILBOX_SHUT_MAX)
		conversation_over(m, TAILQ_FIRST(&m->shut));
	return NULL;
}

bool
mailbox_is_shut(struct mailbox *m, uint64_t key, bool control, bool again)
{
	struct conversation	 want = { .key = key }, *c;

	if (control || m->shut_n == 0)
		return false;
	c = RB_FIND(conversations, &m->conversations, &want);
	if (c == NULL || !c->shut)
		return false;
	if (!again)
		return true;
	conversation_over(m, c);
	return false;
}
