/*
 * cfg - the struct of a configuration: made from a CONFIG, shown, freed.  See cfg.h.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cfgrow.h"
#include "common/json.h"
#include "common/msg.h"
#include "common/words.h"

#define CREDIT_EXEC	16	/* of a program that names none */

const struct role_row *
cfg_pool_role(const struct cfg_pool *p)
{
	return cfgrow_handler(p->handler);
}

const char *
cfg_pool_command(const struct cfg_pool *p)
{
	return cfgrow_command(p->handler);
}

const char *
cfg_pool_role_name(const struct cfg_pool *p, char dst[CFG_ROLE_BYTES])
{
	const char	*command = cfg_pool_command(p), *slash, *why;
	struct words	 w;

	(void)strlcpy(dst, p->handler, CFG_ROLE_BYTES);
	if (command == NULL || words_split(command, &w, &why) == -1)
		return dst;
	slash = strrchr(w.v[0], '/');
	(void)strlcpy(dst, slash == NULL ? w.v[0] : slash + 1, CFG_ROLE_BYTES);
	words_fini(&w);
	return dst;
}

uint64_t
cfg_pool_credit(const struct cfg_pool *p)
{
	const struct role_row	*role = cfg_pool_role(p);

	return p->credit != 0 ? p->credit : role != NULL ? role->credit : CREDIT_EXEC;
}

static bool
lists(const struct cfg_list *l, const char *word)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], word) == 0)
			return true;
	return false;
}

bool
cfg_pool_states(const struct cfg_pool *p, const char *event)
{
	return lists(&p->states, event);
}

bool
cfg_pool_wants(const struct cfg_pool *p, const char *event)
{
	const struct role_row	*r;
	const char		*at;
	size_t			 n;

	if (p->events.set)
		return lists(&p->events, event);
	r = cfg_pool_role(p);
	if (r == NULL)
		return false;
	for (at = r->events; *at != '\0'; at += n + strspn(at + n, " ")) {
		n = strcspn(at, " ");
		if (span_is(span_make(at, n), event))
			return true;
	}
	return false;
}

/* ---- values in their places ---- */

static void *
value_at(const struct cfg_option *o, void *base)
{
	return (char *)base + o->offset;
}

static const void *
value_of(const struct cfg_option *o, const void *base)
{
	return (const char *)base + o->offset;
}

static struct cfg_origin *
origin_at(const struct cfg_option *o, void *base)
{
	return (struct cfg_origin *)((char *)base + o->origin_offset);
}

static void
list_fini(struct cfg_list *l)
{
	size_t	 i;

	for (i = 0; i < l->n; i++)
		mem_wipe_free(&l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* Put a checked value in its place.  The words of a list come one by one. */
static void
store(const struct cfg_option *o, void *base, const char *text, uint64_t v)
{
	struct cfg_list		*l;
	char			**s;

	switch (o->kind) {
	case CFG_TYPE_STR:
	case CFG_TYPE_SECRET:
		s = value_at(o, base);
		mem_wipe_free(s);
		*s = mem_strdup(text);
		return;
	case CFG_TYPE_MS:
	case CFG_TYPE_INT:
	case CFG_TYPE_BYTES:
		*(uint64_t *)value_at(o, base) = v;
		return;
	case CFG_TYPE_BOOL:
		*(bool *)value_at(o, base) = v != 0;
		return;
	case CFG_TYPE_LIST:
		break;
	}
	l = value_at(o, base);
	if (!l->set)
		list_fini(l);
	l->set = true;
	if (*text == '\0')
		return;
	l->v = mem_grow(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = mem_strdup(text);
}

/* What is written out, and yet the default, is not set. */
static void
settle_lists(void *base, enum cfg_scope scope)
{
	const struct cfg_option	*o;
	struct cfg_list		*l;

	for (o = NULL; (o = cfgrow_next(o, scope)) != NULL;) {
		if (o->kind != CFG_TYPE_LIST || o->def == NULL)
			continue;
		l = value_at(o, base);
		if (l->n == 1 && strcmp(l->v[0], o->def) == 0)
			l->set = false;
	}
}

static void
set_defaults(void *base, enum cfg_scope scope)
{
	const struct cfg_option	*o;
	uint64_t		 v;
	char			 why[CFGROW_WHY_BYTES];
	int			 rv;

	for (o = NULL; (o = cfgrow_next(o, scope)) != NULL;)
		if (o->def != NULL) {
			v = 0;
			rv = cfgrow_check(o, "", o->def, &v, why);
			assert(rv == 0);
			store(o, base, o->def, v);
		}
	settle_lists(base, scope);
}

static struct cfg_pool *
pool_get(struct cfg *cfg, struct span name)
{
	struct cfg_pool	*p;
	size_t		 i;

	for (i = 0; i < cfg->pools_n; i++)
		if (span_is(name, cfg->pools[i].name))
			return &cfg->pools[i];
	cfg->pools = mem_grow(cfg->pools, cfg->pools_n + 1, sizeof(*cfg->pools));
	p = &cfg->pools[cfg->pools_n++];
	memset(p, 0, sizeof(*p));
	p->name = mem_spandup(name);
	set_defaults(p, CFG_SCOPE_POOL);
	return p;
}

static struct cfg_model *
model_get(struct cfg *cfg, struct span title)
{
	struct cfg_model	*m;
	size_t			 i;

	for (i = 0; i < cfg->models_n; i++)
		if (span_is(title, cfg->models[i].title))
			return &cfg->models[i];
	cfg->models = mem_grow(cfg->models, cfg->models_n + 1, sizeof(*cfg->models));
	m = &cfg->models[cfg->models_n++];
	memset(m, 0, sizeof(*m));
	m->title = mem_spandup(title);
	set_defaults(m, CFG_SCOPE_MODEL);
	return m;
}

const struct cfg_model *
cfg_model_titled(const struct cfg *cfg, const char *title)
{
	for (size_t i = 0; title != NULL && i < cfg->models_n; i++)
		if (strcmp(title, cfg->models[i].title) == 0)
			return &cfg->models[i];
	return NULL;
}

const struct cfg_model *
cfg_chat_model(const struct cfg *cfg)
{
	if (cfg->chat.model == NULL)
		return cfg->models_n == 0 ? NULL : &cfg->models[0];
	return cfg_model_titled(cfg, cfg->chat.model);
}

static uint64_t
intents_of(const struct cfg *cfg)
{
	const struct cfg_pool	*p;
	const struct intent_row	*intents;
	const struct event_row	*events;
	uint64_t		 bits = 0, content = 0;
	bool			 reads = false;
	size_t			 intents_n, events_n, i, j;

	intents = table_intents(&intents_n);
	events = table_events(&events_n);
	for (j = 0; j < intents_n; j++) {
		if (strcmp(intents[j].name, "MESSAGE_CONTENT") == 0)
			content = intents[j].bits;
		for (i = 0; cfg->intents.set && i < cfg->intents.n; i++)
			if (strcmp(cfg->intents.v[i], intents[j].name) == 0)
				bits |= intents[j].bits;
	}
	if (cfg->intents.set)
		return bits;
	for (i = 0; i < cfg->pools_n; i++) {
		p = &cfg->pools[i];
		for (j = 0; j < events_n; j++)
			if (cfg_pool_wants(p, events[j].name) ||
			    cfg_pool_states(p, events[j].name))
				bits |= events[j].intents;
		/* Of the MESSAGE_ events these two carry what was written. */
		reads = reads || cfg_pool_wants(p, "MESSAGE_CREATE") ||
		    cfg_pool_wants(p, "MESSAGE_UPDATE");
	}
	return reads && cfg->content ? bits | content : bits;
}

static uint64_t
hash_section(uint64_t h, const void *base, enum cfg_scope scope)
{
	const struct cfg_option	*o;
	const struct cfg_list	*l;
	size_t			 i;

	for (o = NULL; (o = cfgrow_next(o, scope)) != NULL;) {
		if (o->kind == CFG_TYPE_SECRET)
			continue;
		h = span_hash_add(h, span_of(o->name));
		switch (o->kind) {
		case CFG_TYPE_STR:
			h = span_hash_add(h, span_of(*(char *const *)value_of(o, base)));
			break;
		case CFG_TYPE_BOOL:
			h = span_hash_add_u64(h, *(const bool *)value_of(o, base));
			break;
		case CFG_TYPE_LIST:
			l = value_of(o, base);
			h = span_hash_add_u64(h, l->set);
			h = span_hash_add_u64(h, l->n);
			for (i = 0; i < l->n; i++)
				h = span_hash_add(h, cfgrow_is_env(o) ? cfgrow_env_name(l->v[i]) :
				    span_of(l->v[i]));
			break;
		default:
			h = span_hash_add_u64(h, *(const uint64_t *)value_of(o, base));
		}
	}
	return h;
}

static uint64_t
hash_of(const struct cfg *cfg)
{
	uint64_t	 h = hash_section(SPAN_HASH_SEED, cfg, CFG_SCOPE_GLOBAL);
	size_t		 i;

	for (i = 0; i < cfg->pools_n; i++) {
		h = span_hash_add(h, span_of(cfg->pools[i].name));
		h = hash_section(h, &cfg->pools[i], CFG_SCOPE_POOL);
	}
	for (i = 0; i < cfg->models_n; i++) {
		h = span_hash_add(h, span_of(cfg->models[i].title));
		h = hash_section(h, &cfg->models[i], CFG_SCOPE_MODEL);
	}
	h = hash_section(h, &cfg->chat, CFG_SCOPE_CHAT);
	return span_hash_end(h);
}

void
cfg_settle(struct cfg *cfg)
{
	cfg->intents_bits = intents_of(cfg);
	cfg->hash = hash_of(cfg);
}

/* The last column of CONFIG: the number of a line, a word, or nothing. */
static bool
origin_of_text(struct span text, struct cfg_origin *dst)
{
	uint64_t	 line;

	*dst = (struct cfg_origin){ .from = CFG_FROM_DEFAULT };
	if (text.n == 0)
		return true;
	if (span_is(text, "environment"))
		dst->from = CFG_FROM_ENVIRONMENT;
	else if (span_is(text, "credential"))
		dst->from = CFG_FROM_CREDENTIAL;
	else {
		if (!span_u64(text, &line) || line == 0 || line > UINT32_MAX)
			return false;
		dst->from = CFG_FROM_FILE;
		dst->line = (unsigned)line;
	}
	return true;
}

static char	 frame_why[CFGROW_WHY_BYTES];

static int
frame_refuse(const char *why)
{
	(void)strlcpy(frame_why, why, sizeof(frame_why));
	return -1;
}

static int
apply_row(struct cfg *cfg, struct span section, struct span title, struct span option,
    struct span value, struct span origin)
{
	const struct cfg_option	*o;
	enum cfg_scope		 scope = CFG_SCOPE_GLOBAL;
	void			*base = cfg;
	char			*text, where[96];
	uint64_t		 v = 0;
	int			 rv = 0;

	if (span_is(section, "env"))
		return 0;
	if (!span_is(section, "global") && !cfgrow_scope_of(section, &scope))
		return frame_refuse("a row of an unknown section");
	if (cfgrow_scope_titled(scope) && cfgrow_bad_title(scope, title) != NULL)
		return frame_refuse("a section with a name that none may have");
	if (scope == CFG_SCOPE_POOL)
		base = pool_get(cfg, title);
	else if (scope == CFG_SCOPE_MODEL)
		base = model_get(cfg, title);
	else if (scope == CFG_SCOPE_CHAT)
		base = &cfg->chat;
	(void)cfgrow_where(scope, title, where, sizeof(where));
	o = cfgrow_find(option, scope);
	if (o == NULL || (value.n > 0 && memchr(value.p, '\0', value.n) != NULL))
		return frame_refuse("a row of an unknown option, or with a NUL");
	if (!origin_of_text(origin, origin_at(o, base)))
		return frame_refuse("a row that does not say where it comes from");
	text = mem_spandup(value);
	if (o->kind != CFG_TYPE_LIST || *text != '\0')
		rv = cfgrow_check(o, where, text, &v, frame_why);
	if (rv == 0)
		store(o, base, text, v);
	mem_wipe_free(&text);
	return rv;
}

/* What no single row can say. */
static int
check_whole(const struct cfg *cfg)
{
	size_t	 i;

	if (cfg->pools_n == 0)
		return frame_refuse("no pool");
	for (i = 0; i < cfg->pools_n; i++)
		if (cfg->pools[i].handler == NULL)
			return frame_refuse("a pool without \"handler\"");
	for (i = 0; i < cfg->pools_n; i++) {
		if (cfg_pool_command(&cfg->pools[i]) != NULL && !cfg->pools[i].events.set)
			return frame_refuse("a pool with handler exec: and without \"events\"");
		if (cfg_pool_command(&cfg->pools[i]) == NULL && cfg->pools[i].env.n > 0)
			return frame_refuse("a pool with \"env\" and a handler that is built in");
	}
	for (i = 0; i < cfg->models_n; i++)
		if (cfg->models[i].base_url == NULL || cfg->models[i].name == NULL)
			return frame_refuse("a model without \"base_url\" or \"name\"");
	for (i = 0; i < cfg->pools_n; i++)
		if (strcmp(cfg->pools[i].handler, "chat") == 0 && cfg_chat_model(cfg) == NULL)
			return frame_refuse("a pool with handler chat, and no model for it");
	return 0;
}

static struct cfg *
cfg_of_rows(struct msg_list rows, const char **why_r)
{
	struct msg_list_iter	 it = { rows.raw, 0 };
	struct cfg		*cfg = mem_alloc(sizeof(*cfg));
	struct span		 f[5];
	size_t			 i;

	set_defaults(cfg, CFG_SCOPE_GLOBAL);
	set_defaults(&cfg->chat, CFG_SCOPE_CHAT);
	while (msg_list_more(&it)) {
		for (i = 0; i < 5; i++)
			if (!msg_list_next_str(&it, &f[i])) {
				(void)frame_refuse("a row that is not five strings");
				goto bad;
			}
		if (apply_row(cfg, f[0], f[1], f[2], f[3], f[4]) == -1)
			goto bad;
	}
	settle_lists(cfg, CFG_SCOPE_GLOBAL);
	settle_lists(&cfg->chat, CFG_SCOPE_CHAT);
	if (check_whole(cfg) == -1)
		goto bad;
	cfg_settle(cfg);
	return cfg;
bad:
	*why_r = frame_why;
	cfg_unload(&cfg);
	return NULL;
}

struct cfg *
cfg_of_frame(struct span payload, const char **why_r)
{
	msgpack_zone	 zone;
	struct msg_in	 in;
	struct cfg	*cfg = NULL;

	if (!msgpack_zone_init(&zone, 1024)) {
		*why_r = "out of memory";
		return NULL;
	}
	if (msg_unpack(payload, &zone, &in) == -1)
		*why_r = in.why;
	else if (in.type != MSG_CONFIG)
		*why_r = "not a CONFIG message";
	else
		cfg = cfg_of_rows(in.CONFIG.rows, why_r);
	msgpack_zone_destroy(&zone);
	return cfg;
}

static void
section_fini(void *base, enum cfg_scope scope)
{
	const struct cfg_option	*o;

	for (o = NULL; (o = cfgrow_next(o, scope)) != NULL;) {
		if (o->kind == CFG_TYPE_STR || o->kind == CFG_TYPE_SECRET)
			mem_wipe_free(value_at(o, base));
		else if (o->kind == CFG_TYPE_LIST)
			list_fini(value_at(o, base));
	}
}

void
cfg_unload(struct cfg **cfgp)
{
	struct cfg	*cfg = *cfgp;
	size_t		 i;

	if (cfg == NULL)
		return;
	for (i = 0; i < cfg->pools_n; i++) {
		section_fini(&cfg->pools[i], CFG_SCOPE_POOL);
		free(cfg->pools[i].name);
	}
	free(cfg->pools);
	for (i = 0; i < cfg->models_n; i++) {
		section_fini(&cfg->models[i], CFG_SCOPE_MODEL);
		free(cfg->models[i].title);
	}
	free(cfg->models);
	section_fini(&cfg->chat, CFG_SCOPE_CHAT);
	section_fini(cfg, CFG_SCOPE_GLOBAL);
	cfg_vars_fini(&cfg->vars);
	free(cfg);
	*cfgp = NULL;
}

const struct cfg_pool *
cfg_pool_named(const struct cfg *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->pools_n; i++)
		if (strcmp(cfg->pools[i].name, name) == 0)
			return &cfg->pools[i];
	return NULL;
}

/* ---- show config ---- */

static bool
is_default(const struct cfg_option *o, const void *base)
{
	const char	*text, *def = o->def;
	uint64_t	 v = 0;

	switch (o->kind) {
	case CFG_TYPE_STR:
	case CFG_TYPE_SECRET:
		text = *(char *const *)value_of(o, base);
		return text == NULL ? def == NULL : def != NULL && strcmp(text, def) == 0;
	case CFG_TYPE_LIST:
		return !((const struct cfg_list *)value_of(o, base))->set;
	case CFG_TYPE_BOOL:
		return def != NULL && cfgrow_number(CFG_TYPE_BOOL, def, &v) &&
		    *(const bool *)value_of(o, base) == (v != 0);
	default:
		return def != NULL && cfgrow_number(o->kind, def, &v) &&
		    *(const uint64_t *)value_of(o, base) == v;
	}
}

static void
json_value(struct json_out *j, const struct cfg_option *o, const void *base)
{
	const struct cfg_list	*l;
	const char		*text;
	char			 number[32], *shown;
	struct span		 env;
	size_t			 i;

	switch (o->kind) {
	case CFG_TYPE_STR:
		json_cstr(j, *(char *const *)value_of(o, base));
		break;
	case CFG_TYPE_SECRET:
		text = *(char *const *)value_of(o, base);
		json_cstr(j, text == NULL ? "(not set)" : "(set)");
		break;
	case CFG_TYPE_MS:
		json_raw(j, span_of(cfgrow_number_text(CFG_TYPE_MS,
		    *(const uint64_t *)value_of(o, base), number, sizeof(number))));
		break;
	case CFG_TYPE_INT:
	case CFG_TYPE_BYTES:
		json_u64(j, *(const uint64_t *)value_of(o, base));
		break;
	case CFG_TYPE_BOOL:
		json_bool(j, *(const bool *)value_of(o, base));
		break;
	case CFG_TYPE_LIST:
		l = value_of(o, base);
		json_arr(j);
		for (i = 0; i < l->n; i++) {
			if (!cfgrow_is_env(o)) {
				json_cstr(j, l->v[i]);
				continue;
			}
			env = cfgrow_env_name(l->v[i]);
			shown = mem_printf("%.*s=(set)", (int)env.n, env.p);
			json_cstr(j, shown);
			free(shown);
		}
		json_arr_end(j);
		break;
	}
}

static void
json_origin(struct json_out *j, const struct cfg_origin *origin, const char *path)
{
	char	*text;

	switch (origin->from) {
	case CFG_FROM_DEFAULT:
		json_kv_cstr(j, "origin", "default");
		break;
	case CFG_FROM_ENVIRONMENT:
		json_kv_cstr(j, "origin", "environment");
		break;
	case CFG_FROM_CREDENTIAL:
		json_kv_cstr(j, "origin", "credential");
		break;
	case CFG_FROM_FILE:
		text = mem_printf("%s:%u", path, origin->line);
		json_kv_cstr(j, "origin", text);
		free(text);
		break;
	}
	json_kv_bool(j, "former", origin->former);
}

static void
json_section(struct json_out *j, const void *base, enum cfg_scope scope, const char *title,
    const char *path)
{
	const struct cfg_option	*o;

	for (o = NULL; (o = cfgrow_next(o, scope)) != NULL;) {
		json_obj(j);
		json_kv_cstr(j, "scope", o->scope);
		json_kv_cstr(j, "pool", scope == CFG_SCOPE_POOL ? title : NULL);
		json_kv_cstr(j, "title", title);
		json_kv_cstr(j, "name", o->name);
		json_key(j, "value");
		json_value(j, o, base);
		json_kv_cstr(j, "type", o->type);
		json_kv_bool(j, "default", is_default(o, base));
		json_origin(j, (const struct cfg_origin *)((const char *)base + o->origin_offset),
		    path);
		json_kv_cstr(j, "reload", o->reload);
		json_obj_end(j);
	}
}

void
cfg_json(const struct cfg *cfg, const char *path, struct buf *out)
{
	const struct intent_row	*intents;
	struct json_out		 o;
	char			 hash[32];
	size_t			 i, n;

	(void)snprintf(hash, sizeof(hash), "%016" PRIx64, cfg->hash);
	json_out_init(&o, out);
	json_obj(&o);
	json_kv_cstr(&o, "hash", hash);
	json_key(&o, "intents");
	json_arr(&o);
	intents = table_intents(&n);
	for (i = 0; i < n; i++)
		if ((cfg->intents_bits & intents[i].bits) != 0)
			json_cstr(&o, intents[i].name);
	json_arr_end(&o);
	json_key(&o, "options");
	json_arr(&o);
	json_section(&o, cfg, CFG_SCOPE_GLOBAL, NULL, path);
	for (i = 0; i < cfg->pools_n; i++)
		json_section(&o, &cfg->pools[i], CFG_SCOPE_POOL, cfg->pools[i].name,
		    path);
	for (i = 0; i < cfg->models_n; i++)
		json_section(&o, &cfg->models[i], CFG_SCOPE_MODEL, cfg->models[i].title,
		    path);
	if (cfg->models_n > 0)
		json_section(&o, &cfg->chat, CFG_SCOPE_CHAT, NULL, path);
	json_arr_end(&o);
	json_obj_end(&o);
}
