/*
 * context - see context.h.
 */
#include <sys/queue.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/tree.h"
#include "worker/chat/context.h"
#include "worker/chat/field.h"
#include "worker/chat/message.h"

/* Message types. */
#define TYPE_DEFAULT	0
#define TYPE_REPLY	19
#define TYPE_STARTER	21	/* first of a thread: refers to the message that it began with */
/* Types of a reference. */
#define REF_DEFAULT	0	/* the others forward */
#define NONE		SIZE_MAX

struct node {
	struct context_message	 m;		/* first: handed out as this */
	RB_ENTRY(node)		 by_id;
	TAILQ_ENTRY(node)	 by_use;	/* least recently used first */
	unsigned		 refs;		/* the cache and chains */
	size_t			 bytes;
	unsigned		 type;
	uint64_t		 ref_channel, ref_message;	/* 0: leads nowhere by itself */
	bool			 ref_gone;	/* what it replied to was deleted */
	bool			 calls;		/* mentions the bot */
	bool			 in_thread;
	char			 edited[40];	/* ISO 8601, "" never: later ones sort behind */
};

RB_HEAD(nodes, node);

struct context {
	struct nodes		 nodes;
	TAILQ_HEAD(, node)	 use;
	size_t			 n, bytes, n_max, bytes_max;
};

struct chain {
	struct context		*context;
	struct context_rules	 rules;
	uint64_t		 self, channel;
	struct node		**nodes;	/* newest first */
	size_t			 nodes_n;
	/* Messages of page_channel below page_before, newest first, without a gap. */
	struct node		*page[CONTEXT_PAGE];
	size_t			 page_n;
	uint64_t		 page_channel, page_before;
	bool			 page_whole;	/* there are no older ones */
	unsigned		 pages_n, asks_n;
	/* what is asked for; message 0: a page */
	uint64_t		 want_channel, want_message;
	uint64_t		 want_before;
	char			 path[96];	/* "": nothing is asked */
	bool			 complete, cut, lost;
};

static int
node_cmp(const struct node *a, const struct node *b)
{
	return TREE_CMP(a->m.id, b->m.id);
}

TREE_GENERATE(nodes, node, by_id, node_cmp)

/* ---- nodes ---- */

static void
node_unref(struct node *n)
{
	assert(n->refs > 0);
	if (--n->refs > 0)
		return;
	for (size_t i = 0; i < n->m.images_n; i++)
		free(n->m.images[i].url);
	free(n->m.name);
	free(n->m.text);
	free(n);
}

/* What it is will be seen by its first bytes; this only says what to look at. */
static bool
may_be_image(json_t *attachment)
{
	return strncmp(field_text(attachment, "content_type"), "image/", 6) == 0;
}

static void
node_attachments(struct context_message *m, json_t *message)
{
	json_t	*a;
	size_t	 i;

	json_array_foreach(json_object_get(message, "attachments"), i, a) {
		if (!may_be_image(a))
			m->files_n++;
		else if (m->images_n == CONTEXT_IMAGES_MAX)
			m->images_more_n++;
		else {
			m->images[m->images_n].url = mem_strdup(field_text(a, "url"));
			m->images[m->images_n++].bytes =
			    (uint64_t)json_integer_value(json_object_get(a, "size"));
		}
	}
}

static void
node_reference(struct node *n, json_t *message)
{
	json_t	*ref = json_object_get(message, "message_reference");

	if ((n->type != TYPE_REPLY && n->type != TYPE_STARTER) ||
	    json_integer_value(json_object_get(ref, "type")) != REF_DEFAULT)
		return;
	n->ref_message = field_id(ref, "message_id");
	n->ref_channel = n->type == TYPE_STARTER ? field_id(ref, "channel_id") : n->m.channel;
	n->ref_gone = json_is_null(json_object_get(message, "referenced_message"));
	/* Only older ones can be meant: so no chain has a loop. */
	if (n->ref_message >= n->m.id || n->ref_channel == 0)
		n->ref_message = 0;
}

static struct node *
node_new(json_t *message, uint64_t self)
{
	json_t		*author = json_object_get(message, "author");
	struct node	*n;

	if (field_id(message, "id") == 0 || field_id(message, "channel_id") == 0 ||
	    field_id(author, "id") == 0 || !json_is_string(json_object_get(message, "content")))
		return NULL;
	n = mem_alloc(sizeof(*n));
	n->refs = 1;
	n->type = (unsigned)json_integer_value(json_object_get(message, "type"));
	n->m.id = field_id(message, "id");
	n->m.channel = field_id(message, "channel_id");
	n->m.author = field_id(author, "id");
	n->m.own = n->m.author == self;
	n->m.name = message_author(message);
	n->m.text = message_text(message, self, n->m.own);
	n->calls = message_mentions(message, self);
	n->in_thread = json_object_get(message, "position") != NULL;
	strlcpy(n->edited, field_text(message, "edited_timestamp"), sizeof(n->edited));
	node_attachments(&n->m, message);
	node_reference(n, message);
	n->bytes = sizeof(*n) + strlen(n->m.name) + strlen(n->m.text) + 2;
	for (size_t i = 0; i < n->m.images_n; i++)
		n->bytes += strlen(n->m.images[i].url) + 1;
	return n;
}

/* ---- the cache ---- */

struct context *
context_new(size_t messages_max, size_t bytes_max)
{
	struct context	*c = mem_alloc(sizeof(*c));

	RB_INIT(&c->nodes);
	TAILQ_INIT(&c->use);
	c->n_max = messages_max;
	c->bytes_max = bytes_max;
	return c;
}

static void
cache_drop(struct context *c, struct node *n)
{
	RB_REMOVE(nodes, &c->nodes, n);
	TAILQ_REMOVE(&c->use, n, by_use);
	c->n--;
	c->bytes -= n->bytes;
	node_unref(n);
}

void
context_free(struct context **cp)
{
	struct context	*c = *cp;
	struct node	*n;

	if (c == NULL)
		return;
	while ((n = TAILQ_FIRST(&c->use)) != NULL)
		cache_drop(c, n);
	free(c);
	*cp = NULL;
}

static struct node *
cache_find(struct context *c, uint64_t id)
{
	struct node	 key = { .m.id = id };
	struct node	*n = RB_FIND(nodes, &c->nodes, &key);

	if (n != NULL) {
		TAILQ_REMOVE(&c->use, n, by_use);
		TAILQ_INSERT_TAIL(&c->use, n, by_use);
	}
	return n;
}

/* Takes n, which may be gone when it returns. */
static void
cache_put(struct context *c, struct node *n)
{
	struct node	*old = cache_find(c, n->m.id);

	if (old != NULL) {
		/* An answer may be older than an event that came while it was under way. */
		if (strcmp(old->edited, n->edited) > 0) {
			node_unref(n);
			return;
		}
		cache_drop(c, old);
	}
	RB_INSERT(nodes, &c->nodes, n);
	TAILQ_INSERT_TAIL(&c->use, n, by_use);
	c->n++;
	c->bytes += n->bytes;
	while (c->n > c->n_max || c->bytes > c->bytes_max)
		cache_drop(c, TAILQ_FIRST(&c->use));
}

/*
 * Remembers message, and what it replied to, if they are of that channel: the updates of others may
 * go to another worker.  A reference for the caller, NULL when it is no message.
 */
static struct node *
take(struct context *c, uint64_t self, uint64_t channel, json_t *message, bool event)
{
	struct node	*both[2];

	both[0] = node_new(message, self);
	if (both[0] == NULL)
		return NULL;
	both[0]->refs++;
	both[1] = both[0]->ref_message == 0 ? NULL :
	    node_new(json_object_get(message, "referenced_message"), self);
	for (size_t i = 0; i < 2 && both[i] != NULL; i++)
		if (both[i]->m.channel == channel && !(event && both[i]->m.own))
			cache_put(c, both[i]);
		else
			node_unref(both[i]);
	return both[0];
}

bool
context_put(struct context *c, uint64_t self, json_t *message, bool event)
{
	struct node	*n = take(c, self, field_id(message, "channel_id"), message, event);

	if (n == NULL)
		return false;
	node_unref(n);
	return true;
}

void
context_update(struct context *c, uint64_t self, json_t *message)
{
	struct node	*old = cache_find(c, field_id(message, "id")), *n;

	if (old == NULL)
		return;
	n = node_new(message, self);
	if (n == NULL)
		cache_drop(c, old);
	else
		cache_put(c, n);
}

void
context_delete(struct context *c, uint64_t message)
{
	struct node	*n = cache_find(c, message);

	if (n != NULL)
		cache_drop(c, n);
}

void
context_forget(struct context *c, uint64_t channel)
{
	struct node	*n, *next;

	for (n = TAILQ_FIRST(&c->use); n != NULL; n = next) {
		next = TAILQ_NEXT(n, by_use);
		if (n->m.channel == channel)
			cache_drop(c, n);
	}
}

const struct context_message *
context_find(struct context *c, uint64_t message)
{
	struct node	*n = cache_find(c, message);

	return n == NULL ? NULL : &n->m;
}

size_t
context_messages_n(const struct context *c)
{
	return c->n;
}

size_t
context_bytes(const struct context *c)
{
	return c->bytes;
}

/* ---- one step back ---- */

enum step {
	STEP_END,
	STEP_ASK,		/* c->want_* says for what */
	STEP_TO			/* *to_r: borrowed from cache or page */
};

static enum step
want_page(struct chain *c, uint64_t channel, uint64_t before)
{
	c->want_channel = channel;
	c->want_message = 0;
	c->want_before = before;
	return STEP_ASK;
}

/* What stands before a reply is often what it replies to, and the rest of the chain. */
static enum step
to_message(struct chain *c, const struct node *from, uint64_t channel, uint64_t id,
    struct node **to_r)
{
	*to_r = cache_find(c->context, id);
	for (size_t i = 0; *to_r == NULL && i < c->page_n; i++)
		if (c->page[i]->m.id == id)
			*to_r = c->page[i];
	if (*to_r != NULL)
		return STEP_TO;
	if (from->ref_gone) {
		c->lost = true;
		return STEP_END;
	}
	if (c->pages_n == 0 && channel == from->m.channel)
		return want_page(c, channel, from->m.id);
	c->want_channel = channel;
	c->want_message = id;
	return STEP_ASK;
}

/* Index in the page of the newest message below id; NONE: not in the page. */
static size_t
page_below(const struct chain *c, const struct node *n)
{
	if (c->page_channel != n->m.channel || n->m.id > c->page_before)
		return NONE;
	for (size_t i = 0; i < c->page_n; i++)
		if (c->page[i]->m.id < n->m.id)
			return i;
	return NONE;
}

static bool
within(const struct node *older, const struct node *newer, uint64_t ms)
{
	return clock_snowflake_ms(newer->m.id) - clock_snowflake_ms(older->m.id) <= ms;
}

static bool
goes_on(const struct chain *c, const struct node *cur, const struct node *before)
{
	uint64_t	 gap_ms = before->m.own ? c->rules.continue_gap_ms : c->rules.merge_gap_ms;

	if (before->type != TYPE_DEFAULT && before->type != TYPE_REPLY)
		return false;
	if (cur->calls && !c->rules.direct)
		return false;
	if (before->m.own ? !c->rules.direct && !c->rules.open : before->m.author != cur->m.author)
		return false;
	return within(before, cur, gap_ms);
}

/* The parts of an answer are in order, and nothing else of the bot's is between them. */
static enum step
to_part(struct chain *c, const struct node *cur, size_t i, struct node **to_r)
{
	for (; i < c->page_n && within(c->page[i], cur, CONTEXT_PART_GAP_MS); i++)
		if (c->page[i]->m.own) {
			*to_r = c->page[i];
			return strlen((*to_r)->m.text) < CONTEXT_PART_MIN_BYTES ? STEP_END :
			    STEP_TO;
		}
	return STEP_END;
}

static enum step
to_previous(struct chain *c, const struct node *cur, struct node **to_r)
{
	bool		 covered = c->page_channel == cur->m.channel &&
	    cur->m.id <= c->page_before;
	size_t		 i = page_below(c, cur);
	struct node	*before;

	/* Where a call stands for itself nothing needs to be read. */
	if (!cur->m.own && cur->calls && !c->rules.direct && !cur->in_thread)
		return STEP_END;
	if (i == NONE)
		return covered && c->page_whole ? STEP_END :
		    want_page(c, cur->m.channel, cur->m.id);
	if (cur->m.own)
		return to_part(c, cur, i, to_r);
	before = c->page[i];
	if (before->type == TYPE_STARTER && before->ref_message != 0)
		return to_message(c, before, before->ref_channel, before->ref_message, to_r);
	if (!goes_on(c, cur, before))
		return STEP_END;
	*to_r = before;
	return STEP_TO;
}

static enum step
step(struct chain *c, struct node **to_r)
{
	struct node	*cur = c->nodes[c->nodes_n - 1];

	if (cur->ref_message != 0)
		return to_message(c, cur, cur->ref_channel, cur->ref_message, to_r);
	if (cur->type == TYPE_REPLY) {
		c->lost = true;		/* a reply to something that is no longer named */
		return STEP_END;
	}
	return to_previous(c, cur, to_r);
}

/* ---- the chain ---- */

static void
chain_add(struct chain *c, struct node *n)
{
	n->refs++;
	c->nodes = mem_grow(c->nodes, c->nodes_n + 1, sizeof(*c->nodes));
	c->nodes[c->nodes_n++] = n;
}

struct chain *
chain_new(struct context *context, const struct context_rules *rules, uint64_t self, json_t *event)
{
	struct node	*n = take(context, self, field_id(event, "channel_id"), event, true);
	struct chain	*c;

	if (n == NULL)
		return NULL;
	c = mem_alloc(sizeof(*c));
	c->context = context;
	c->rules = *rules;
	c->self = self;
	c->channel = n->m.channel;
	chain_add(c, n);
	node_unref(n);
	return c;
}

static void
page_reset(struct chain *c)
{
	while (c->page_n > 0)
		node_unref(c->page[--c->page_n]);
}

void
chain_free(struct chain **cp)
{
	struct chain	*c = *cp;

	if (c == NULL)
		return;
	page_reset(c);
	for (size_t i = 0; i < c->nodes_n; i++)
		node_unref(c->nodes[i]);
	free(c->nodes);
	free(c);
	*cp = NULL;
}

static void
write_path(struct chain *c)
{
	if (c->want_message != 0)
		snprintf(c->path, sizeof(c->path), "/channels/%llu/messages/%llu",
		    (unsigned long long)c->want_channel, (unsigned long long)c->want_message);
	else
		snprintf(c->path, sizeof(c->path), "/channels/%llu/messages?before=%llu&limit=%d",
		    (unsigned long long)c->want_channel, (unsigned long long)c->want_before,
		    CONTEXT_PAGE);
}

const char *
chain_wants(struct chain *c)
{
	struct node	*to;
	enum step	 s;

	while (!c->complete && c->path[0] == '\0') {
		s = step(c, &to);
		if (s == STEP_END)
			c->complete = true;
		else if (c->nodes_n >= c->rules.messages_max) {
			/* Only a page could tell whether the one before belongs here: not asked. */
			c->cut = s == STEP_TO || c->nodes[c->nodes_n - 1]->ref_message != 0;
			c->complete = true;
		} else if (s == STEP_TO)
			chain_add(c, to);
		else if (c->asks_n == CONTEXT_ASKS_MAX)
			c->cut = c->complete = true;
		else
			write_path(c);
	}
	return c->complete ? NULL : c->path;
}

static bool
take_page(struct chain *c, json_t *list)
{
	json_t		*m;
	struct node	*n;
	uint64_t	 below = c->want_before;
	size_t		 i;

	if (!json_is_array(list))
		return false;
	page_reset(c);
	c->page_channel = c->want_channel;
	c->page_before = c->want_before;
	c->page_whole = json_array_size(list) < CONTEXT_PAGE;
	json_array_foreach(list, i, m) {
		n = c->page_n == CONTEXT_PAGE ? NULL :
		    take(c->context, c->self, c->channel, m, false);
		if (n == NULL)
			continue;
		if (n->m.id >= below || n->m.channel != c->want_channel)
			node_unref(n);
		else {
			below = n->m.id;
			c->page[c->page_n++] = n;
		}
	}
	/* Without progress it would be asked for again. */
	c->page_whole = c->page_whole || c->page_n == 0;
	return true;
}

static bool
take_one(struct chain *c, json_t *message)
{
	struct node	*n = take(c->context, c->self, c->channel, message, false);
	bool		 right;

	if (n == NULL)
		return false;
	right = n->m.id == c->want_message;
	if (right)
		chain_add(c, n);
	node_unref(n);
	return right;
}

void
chain_answer(struct chain *c, unsigned status, struct span body)
{
	json_t	*json = NULL;
	bool	 page = c->want_message == 0, ok = false;

	assert(c->path[0] != '\0');
	c->path[0] = '\0';
	c->asks_n++;
	c->pages_n += page;
	if (status == 200)
		json = json_loadb(body.p, body.n, 0, NULL);
	if (json != NULL)
		ok = page ? take_page(c, json) : take_one(c, json);
	json_decref(json);
	if (ok)
		return;
	/* A reply can still be asked for alone; then no page is. */
	if (page && c->nodes[c->nodes_n - 1]->ref_message != 0)
		return;
	/* Who may not read what was said before is not told so below every answer. */
	c->lost = !page || (status != 403 && status != 404);
	c->complete = true;
}

size_t
chain_n(const struct chain *c)
{
	return c->nodes_n;
}

const struct context_message *
chain_message(const struct chain *c, size_t i)
{
	assert(i < c->nodes_n);
	return &c->nodes[c->nodes_n - 1 - i]->m;
}

bool
chain_cut(const struct chain *c)
{
	return c->cut;
}

bool
chain_lost(const struct chain *c)
{
	return c->lost;
}
