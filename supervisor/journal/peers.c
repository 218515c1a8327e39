/*
 * peers - gateway sessions, the identify budget, the presence, children: small records of which one is live.
 */
#include <string.h>

#include "supervisor/journal/state.h"

struct identity *
peers_identity(struct journal *j, uint32_t shard)
{
	for (size_t i = 0; i < j->identity_n; i++)
		if (j->identity[i].id.shard == shard)
			return &j->identity[i];
	return NULL;
}

struct child *
peers_child(struct journal *j, pid_t pid)
{
	for (size_t i = 0; i < j->child_n; i++)
		if (j->child[i].child.pid == pid)
			return &j->child[i];
	return NULL;
}

static uint64_t
session_hash(const char *session_id)
{
	return span_hash_end(span_hash_add(SPAN_HASH_SEED, span_of(session_id)));
}

struct identity *
peers_identity_set(struct journal *j, const struct gw_identity *id)
{
	struct identity	*i;

	if ((i = peers_identity(j, id->shard)) == NULL) {
		j->identity = mem_grow(j->identity, j->identity_n + 1, sizeof(*j->identity));
		i = &j->identity[j->identity_n++];
		memset(i, 0, sizeof(*i));
	}
	memset(&i->id, 0, sizeof(i->id));
	i->id.shard = id->shard;
	i->id.shards = id->shards;
	span_copy(span_of(id->session_id), i->id.session_id, sizeof(i->id.session_id));
	span_copy(span_of(id->resume_url), i->id.resume_url, sizeof(i->id.resume_url));
	i->id.user_id = id->user_id;
	i->id.application_id = id->application_id;
	i->id.intents = id->intents;
	i->id.seq = id->seq;
	i->session = session_hash(i->id.session_id);
	return i;
}

void
journal_identity(struct journal *j, const struct gw_identity *id)
{
	struct identity	*i = peers_identity_set(j, id);

	space_replace(j, REC_IDENTITY, &i->id, sizeof(i->id), &i->place);
	jlog_seq(&j->log, id->shard, i->session, id->seq);
}

void
journal_seq(struct journal *j, uint32_t shard, uint64_t seq)
{
	struct identity	*i;

	if ((i = peers_identity(j, shard)) == NULL)
		return;
	i->id.seq = seq;
	jlog_seq(&j->log, shard, i->session, seq);
}

void
journal_budget(struct journal *j, const struct gw_budget *b)
{
	memset(&j->budget, 0, sizeof(j->budget));
	j->budget.last_ms = b->last_ms;
	j->budget.day_ms = b->day_ms;
	j->budget.used = b->used;
	space_replace(j, REC_BUDGET, &j->budget, sizeof(j->budget), &j->budget_place);
}

void
journal_presence(struct journal *j, struct span made)
{
	if (made.n > sizeof(j->presence))
		return;
	if (made.n > 0)
		memcpy(j->presence, made.p, made.n);
	j->presence_n = made.n;
	space_replace(j, REC_PRESENCE, j->presence, j->presence_n, &j->presence_place);
}

struct span
journal_presence_get(const struct journal *j)
{
	return span_make(j->presence, j->presence_n);
}

bool
journal_identity_get(struct journal *j, uint32_t shard, struct gw_identity *id)
{
	struct identity	*i;

	if ((i = peers_identity(j, shard)) == NULL)
		return false;
	*id = i->id;
	return true;
}

bool
journal_budget_get(struct journal *j, struct gw_budget *b)
{
	if (j->budget_place == 0)
		return false;
	*b = j->budget;
	return true;
}

struct child *
peers_child_set(struct journal *j, const struct journal_child *c)
{
	struct child	*k;

	if ((k = peers_child(j, c->pid)) == NULL) {
		j->child = mem_grow(j->child, j->child_n + 1, sizeof(*j->child));
		k = &j->child[j->child_n++];
		k->place = 0;
	}
	memset(&k->child, 0, sizeof(k->child));
	k->child.pid = c->pid;
	k->child.starttime = c->starttime;
	k->child.rest = c->rest;
	strlcpy(k->child.tag, c->tag, sizeof(k->child.tag));
	return k;
}

void
journal_child(struct journal *j, const struct journal_child *c)
{
	struct child	*k = peers_child_set(j, c);

	space_replace(j, REC_CHILD, &k->child, sizeof(k->child), &k->place);
}

static void
child_forget(struct journal *j, struct child *k)
{
	if (k->place != 0)
		space_small_gone(j, k->place);
	*k = j->child[--j->child_n];
}

void
journal_child_gone(struct journal *j, pid_t pid)
{
	struct child	*k;
	uint64_t	 id = (uint64_t)pid;

	if ((k = peers_child(j, pid)) == NULL)
		return;
	child_forget(j, k);
	space_must_append(j, REC_CHILD_GONE, &id, sizeof(id), SPAN_NONE, NULL);
}

bool
journal_child_at(struct journal *j, size_t i, struct journal_child *c)
{
	if (i >= j->child_n)
		return false;
	*c = j->child[i].child;
	return true;
}
