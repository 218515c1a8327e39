/*
 * mailbox - see mailbox.h.
 */

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/tree.h"
#include "worker/runtime/mailbox.h"
#include "worker/worker.h"

/* Exists while one letter of its key is started; the others wait here. */
struct conversation {
	RB_ENTRY(conversation)	 by_key;
	uint64_t		 key;
	TAILQ_HEAD(, mail)	 waiting;
};

RB_HEAD(conversations, conversation);

struct mailbox {
	bool			 serial;
	struct conversations	 conversations;
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
	return m;
}

void
mailbox_free(struct mailbox **mp)
{
	if (*mp == NULL)
		return;
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
	RB_REMOVE(conversations, &m->conversations, c);
	free(c);
	return NULL;
}
