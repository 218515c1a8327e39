/*
 * cfgdiff - see cfgdiff.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cfgdiff.h"
#include "common/cfgrow.h"

#define TEXT_MAX	64	/* of a value that is shown */

static const void *
value_of(const struct cfg_option *o, const void *base)
{
	return (const char *)base + o->offset;
}

static bool
str_eq(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
value_eq(const struct cfg_option *o, const void *a, const void *b)
{
	const struct cfg_list	*x, *y;

	switch (o->kind) {
	case CFG_TYPE_STR:
	case CFG_TYPE_SECRET:
		return str_eq(*(char *const *)a, *(char *const *)b);
	case CFG_TYPE_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case CFG_TYPE_LIST:
		x = a;
		y = b;
		if (x->n != y->n || x->set != y->set)
			return false;
		for (size_t i = 0; i < x->n; i++)
			if (strcmp(x->v[i], y->v[i]) != 0)
				return false;
		return true;
	case CFG_TYPE_MS:
	case CFG_TYPE_INT:
	case CFG_TYPE_BYTES:
		break;
	}
	return *(const uint64_t *)a == *(const uint64_t *)b;
}

static void
value_swap(const struct cfg_option *o, void *a, void *b)
{
	static const size_t	 bytes[] = {
		[CFG_TYPE_STR] = sizeof(char *), [CFG_TYPE_SECRET] = sizeof(char *),
		[CFG_TYPE_MS] = sizeof(uint64_t), [CFG_TYPE_INT] = sizeof(uint64_t),
		[CFG_TYPE_BYTES] = sizeof(uint64_t), [CFG_TYPE_BOOL] = sizeof(bool),
		[CFG_TYPE_LIST] = sizeof(struct cfg_list),
	};
	char			 tmp[sizeof(struct cfg_list)];

	memcpy(tmp, a, bytes[o->kind]);
	memcpy(a, b, bytes[o->kind]);
	memcpy(b, tmp, bytes[o->kind]);
}

/* ---- a value as text ---- */

static char *
cut(struct buf *b)
{
	struct span	 s = buf_span(b);
	size_t		 n = s.n > TEXT_MAX ? TEXT_MAX : s.n;
	char		*text;

	while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	text = mem_printf("%.*s%s", (int)n, s.n == 0 ? "" : s.p, n < s.n ? "..." : "");
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	buf_fini(b);
	return text;
}

static char *
value_text(const struct cfg_option *o, const void *v)
{
	const struct cfg_list	*l;
	struct buf		 b = { 0 };
	char			 number[32];
	const char		*text;

	if (cfgrow_is_env(o))
		return mem_strdup("(not shown)");
	switch (o->kind) {
	case CFG_TYPE_STR:
		text = *(char *const *)v;
		buf_add_span(&b, span_of(text == NULL ? "(not set)" : text));
		break;
	case CFG_TYPE_SECRET:
		text = *(char *const *)v;
		buf_add_span(&b, span_of(text == NULL ? "(not set)" : "(set)"));
		break;
	case CFG_TYPE_BOOL:
		buf_add_span(&b, span_of(*(const bool *)v ? "true" : "false"));
		break;
	case CFG_TYPE_LIST:
		l = v;
		if (!l->set && l->n == 0)
			buf_add_span(&b, SPAN("(not set)"));
		else if (l->n == 0)
			buf_add_span(&b, SPAN("{}"));
		for (size_t i = 0; i < l->n; i++) {
			if (i > 0)
				buf_add(&b, " ", 1);
			buf_add_span(&b, span_of(l->v[i]));
		}
		break;
	case CFG_TYPE_MS:
	case CFG_TYPE_INT:
	case CFG_TYPE_BYTES:
		buf_add_span(&b, span_of(cfgrow_number_text(o->kind, *(const uint64_t *)v, number,
		    sizeof(number))));
		break;
	}
	return cut(&b);
}

/* ---- the rows ---- */

static struct cfgdiff_row *
row_add(struct cfgdiff *d, enum cfgdiff_kind kind, enum cfg_scope scope, const char *title)
{
	struct cfgdiff_row	*r;

	d->rows = mem_grow(d->rows, d->n + 1, sizeof(*d->rows));
	r = &d->rows[d->n++];
	*r = (struct cfgdiff_row){ .kind = kind, .scope = scope, .title = mem_strdup(title) };
	return r;
}

static void
section_diff(struct cfgdiff *d, enum cfg_scope scope, const char *title, const void *now,
    const void *next)
{
	const struct cfg_option	*o;
	struct cfgdiff_row	*r;
	const void		*a, *b;

	for (o = NULL; (o = cfgrow_next(o, scope)) != NULL;) {
		a = value_of(o, now);
		b = value_of(o, next);
		if (value_eq(o, a, b))
			continue;
		r = row_add(d, CFGDIFF_CHANGED, scope, title);
		r->option = o;
		r->from = value_text(o, a);
		r->to = value_text(o, b);
		d->start_n += o->when == CFG_START;
	}
}

static void
pools_diff(struct cfgdiff *d, const struct cfg *now, const struct cfg *next)
{
	const struct cfg_pool	*other;

	for (size_t i = 0; i < now->pools_n; i++) {
		other = cfg_pool_named(next, now->pools[i].name);
		if (other == NULL)
			row_add(d, CFGDIFF_REMOVED, CFG_SCOPE_POOL, now->pools[i].name);
		else
			section_diff(d, CFG_SCOPE_POOL, other->name, &now->pools[i], other);
	}
	for (size_t i = 0; i < next->pools_n; i++)
		if (cfg_pool_named(now, next->pools[i].name) == NULL)
			row_add(d, CFGDIFF_ADDED, CFG_SCOPE_POOL, next->pools[i].name);
}

static void
models_diff(struct cfgdiff *d, const struct cfg *now, const struct cfg *next)
{
	const struct cfg_model	*other;

	for (size_t i = 0; i < now->models_n; i++) {
		other = cfg_model_titled(next, now->models[i].title);
		if (other == NULL)
			row_add(d, CFGDIFF_REMOVED, CFG_SCOPE_MODEL, now->models[i].title);
		else
			section_diff(d, CFG_SCOPE_MODEL, other->title, &now->models[i], other);
	}
	for (size_t i = 0; i < next->models_n; i++)
		if (cfg_model_titled(now, next->models[i].title) == NULL)
			row_add(d, CFGDIFF_ADDED, CFG_SCOPE_MODEL, next->models[i].title);
}

/* Without a name the first model answers: another order is another model. */
static void
first_model_diff(struct cfgdiff *d, const struct cfg *now, const struct cfg *next)
{
	const struct cfg_model	*a = cfg_chat_model(now), *b = cfg_chat_model(next);
	struct cfgdiff_row	*r;

	if (now->chat.model != NULL || next->chat.model != NULL || a == NULL || b == NULL ||
	    strcmp(a->title, b->title) == 0)
		return;
	r = row_add(d, CFGDIFF_CHANGED, CFG_SCOPE_CHAT, NULL);
	r->option = cfgrow_find(SPAN("model"), CFG_SCOPE_CHAT);
	r->from = mem_printf("(the first: %s)", a->title);
	r->to = mem_printf("(the first: %s)", b->title);
}

void
cfgdiff_make(const struct cfg *now, const struct cfg *next, struct cfgdiff *d)
{
	*d = (struct cfgdiff){ NULL, 0, 0 };
	section_diff(d, CFG_SCOPE_GLOBAL, NULL, now, next);
	pools_diff(d, now, next);
	models_diff(d, now, next);
	section_diff(d, CFG_SCOPE_CHAT, NULL, &now->chat, &next->chat);
	first_model_diff(d, now, next);
}

void
cfgdiff_fini(struct cfgdiff *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->rows[i].title);
		free(d->rows[i].from);
		free(d->rows[i].to);
	}
	free(d->rows);
	*d = (struct cfgdiff){ NULL, 0, 0 };
}

/* ---- taking over ---- */

static void
section_take(enum cfg_scope scope, void *now, void *next)
{
	const struct cfg_option	*o;
	struct cfg_origin	*from;
	void			*a, *b;

	for (o = NULL; (o = cfgrow_next(o, scope)) != NULL;) {
		a = (char *)now + o->offset;
		b = (char *)next + o->offset;
		from = (struct cfg_origin *)((char *)now + o->origin_offset);
		if (value_eq(o, a, b) || o->when != CFG_START)
			*from = *(struct cfg_origin *)((char *)next + o->origin_offset);
		else
			from->former = true;
		if (o->when != CFG_START && !value_eq(o, a, b))
			value_swap(o, a, b);
	}
}

/* In the order of the new file: pools that stay keep what needs a start. */
static void
pools_take(struct cfg *now, struct cfg *next)
{
	struct cfg_pool	*list = mem_array(next->pools_n, sizeof(*list)), *was, tmp;
	size_t		 n = next->pools_n;

	for (size_t i = 0; i < n; i++) {
		list[i] = next->pools[i];
		was = NULL;
		for (size_t k = 0; k < now->pools_n && was == NULL; k++)
			if (str_eq(now->pools[k].name, list[i].name))
				was = &now->pools[k];
		if (was == NULL) {
			/* It moves; nothing of it is left behind to be freed. */
			memset(&next->pools[i], 0, sizeof(next->pools[i]));
			continue;
		}
		section_take(CFG_SCOPE_POOL, was, &next->pools[i]);
		tmp = *was;
		memset(was, 0, sizeof(*was));
		list[i] = tmp;
	}
	/* What is gone goes with next. */
	for (size_t k = 0; k < now->pools_n; k++) {
		if (now->pools[k].name == NULL)
			continue;
		next->pools = mem_grow(next->pools, next->pools_n + 1, sizeof(*next->pools));
		next->pools[next->pools_n++] = now->pools[k];
	}
	free(now->pools);
	now->pools = list;
	now->pools_n = n;
}

void
cfgdiff_take(struct cfg *now, struct cfg *next)
{
	struct cfg_model	*models = now->models;
	struct cfg_vars		 vars = now->vars;
	size_t			 n = now->models_n;

	section_take(CFG_SCOPE_GLOBAL, now, next);
	pools_take(now, next);
	/* All of a model is taken over. */
	now->models = next->models;
	now->models_n = next->models_n;
	next->models = models;
	next->models_n = n;
	section_take(CFG_SCOPE_CHAT, &now->chat, &next->chat);
	now->vars = next->vars;
	next->vars = vars;
	cfg_settle(now);
}
