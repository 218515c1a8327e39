/*
 * toolcalls - see toolcalls.h.
 */
#include <assert.h>
#include <stdlib.h>

#include "worker/chat/field.h"
#include "worker/chat/toolcalls.h"

struct toolcall {
	int64_t		 index;		/* -1: none was given */
	char		*id, *name;	/* NULL: not yet */
	struct buf	 arguments;
};

static bool
is_whole_json(const struct buf *b)
{
	json_t	*j = b->n == 0 ? NULL : json_loadb(b->p + b->off, b->n, JSON_ALLOW_NUL, NULL);
	bool	 whole = j != NULL;

	json_decref(j);
	return whole;
}

static struct toolcall *
new_call(struct toolcalls *c, int64_t index)
{
	struct toolcall	*k;

	if (c->n == TOOLCALLS_MAX)
		return NULL;
	c->v = mem_grow(c->v, c->n + 1, sizeof(*c->v));
	k = &c->v[c->n++];
	memset(k, 0, sizeof(*k));
	k->index = index;
	return k;
}

static struct toolcall *
call_by_id(struct toolcalls *c, struct span id)
{
	for (size_t i = c->n; i-- > 0;)
		if (c->v[i].id != NULL && span_is(id, c->v[i].id))
			return &c->v[i];
	return NULL;
}

static struct toolcall *
call_by_index(struct toolcalls *c, int64_t index)
{
	for (size_t i = c->n; i-- > 0;)
		if (c->v[i].index == index)
			return &c->v[i];
	return NULL;
}

/* Which call a fragment belongs to.  Servers leave out the index, or always say 0. */
static struct toolcall *
call_of(struct toolcalls *c, int64_t index, struct span id, struct span name)
{
	struct toolcall	*k;

	if (id.n > 0 && (k = call_by_id(c, id)) != NULL)
		return k;
	if (index < 0)
		k = c->n == 0 ? NULL : &c->v[c->n - 1];
	else
		k = call_by_index(c, index);
	if (k == NULL)
		return new_call(c, index < 0 ? 0 : index);
	if (id.n > 0 && k->id != NULL)
		return new_call(c, index < 0 ? (int64_t)c->n : index);
	if (name.n > 0 && k->name != NULL && is_whole_json(&k->arguments))
		return new_call(c, index < 0 ? (int64_t)c->n : index);
	return k;
}

static void
take_arguments(struct toolcall *k, json_t *arguments)
{
	char	*text;

	if (json_is_string(arguments)) {
		buf_add_span(&k->arguments, field_span(arguments));
		return;
	}
	if (!json_is_object(arguments) || k->arguments.n > 0)
		return;
	text = json_dumps(arguments, JSON_COMPACT);
	buf_add_span(&k->arguments, span_of(text));
	free(text);
}

void
toolcalls_take(struct toolcalls *c, json_t *fragment)
{
	json_t		*index = json_object_get(fragment, "index");
	json_t		*fn = json_object_get(fragment, "function");
	struct span	 id = field_span(json_object_get(fragment, "id"));
	struct span	 name = field_span(json_object_get(fn, "name"));
	int64_t		 at = -1;
	struct toolcall	*k;

	if (json_is_integer(index) && json_integer_value(index) >= 0)
		at = json_integer_value(index);
	if (!json_is_object(fragment) || (k = call_of(c, at, id, name)) == NULL)
		return;
	if (id.n > 0 && k->id == NULL)
		k->id = mem_spandup(id);
	if (name.n > 0 && k->name == NULL)
		k->name = mem_spandup(name);
	take_arguments(k, json_object_get(fn, "arguments"));
}

struct chat_call
toolcalls_get(struct toolcalls *c, size_t i, const char *answer, bool *broken_r)
{
	struct toolcall	*k = &c->v[i];
	char		 id[BODY_CALL_ID_BYTES], *seed;

	assert(i < c->n);
	if (k->id == NULL) {
		seed = mem_printf("%s#%zu", answer, i);
		body_call_id(seed, id);
		k->id = mem_strdup(id);
		free(seed);
	}
	if (k->arguments.n == 0)
		buf_add(&k->arguments, "{}", 2);
	*broken_r = k->name == NULL || !is_whole_json(&k->arguments);
	return (struct chat_call){ k->id, k->name == NULL ? "" : k->name, buf_span(&k->arguments) };
}

void
toolcalls_fini(struct toolcalls *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].id);
		free(c->v[i].name);
		buf_fini(&c->v[i].arguments);
	}
	free(c->v);
	*c = (struct toolcalls){ NULL, 0 };
}
