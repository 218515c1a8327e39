/*
 * models - the model that answers and the one that stands in for it; see role.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/chat/role.h"
#include "worker/runtime/option.h"

/* Their sections in HELLO's options, in the order in which they are asked. */
static const char *const	 sections[CHAT_MODELS_MAX] = { "model", "fallback" };

static void
on_state(void *arg, const char *tag, enum http_state state, const char *why)
{
	struct chat		*c = arg;
	struct msg_SESSION	 m = {
		.tag = span_of(tag), .state = state, .why = span_of(why)
	};

	if (m.why.n > 256)
		m.why.n = 256;
	c->ops->send(c->arg, MSG_SESSION, &m);
}

static const char *
in(char dst[64], const char *section, const char *name)
{
	snprintf(dst, 64, "%s.%s", section, name);
	return dst;
}

/* One to a line, as struct model_config has them. */
static char *
header_lines(const struct msg_HELLO *h, const char *name)
{
	struct msg_list_iter	 it = { h->options.raw, 0 };
	struct buf		 lines = { 0 };
	struct span		 v;
	char			*text;

	while (option_next(&it, name, &v))
		buf_printf(&lines, "%.*s\n", (int)v.n, v.p);
	text = lines.n == 0 ? NULL : mem_spandup(buf_span(&lines));
	buf_fini(&lines);
	return text;
}

static const char *
model_make(struct chat *c, struct chat_model *cm, const struct msg_HELLO *h, const char *section)
{
	char			 n[64];
	char			*url = option_text(h, in(n, section, "base_url"));
	char			*key = option_text(h, in(n, section, "api_key"));
	char			*query = option_text(h, in(n, section, "query"));
	char			*headers = header_lines(h, in(n, section, "headers"));
	char			*provider = option_text(h, in(n, section, "provider"));
	char			*warm = option_text(h, in(n, section, "temperature"));
	char			*ca = option_text(h, "ca_file");
	const char		*why = NULL;
	struct model_config	 cf = {
		.base_url = url, .query = query, .headers = headers, .api_key = key, .ca_file = ca,
		.provider = provider == NULL || strcmp(provider, "auto") == 0 ? NULL : provider,
		.user_agent = CHAT_USER_AGENT,
		.thinks = option_u64(h, in(n, section, "thinks"), 0) != 0,
		.connect_ms = option_u64(h, "connect_timeout", 0),
		.first_byte_ms = option_u64(h, in(n, section, "first_byte"), 0),
		.idle_ms = option_u64(h, in(n, section, "idle"), 0),
		.total_ms = option_u64(h, in(n, section, "total"), 0),
		.on_state = on_state, .arg = c,
	};

	cf.name = cm->name = option_text(h, in(n, section, "name"));
	cm->sees = option_u64(h, in(n, section, "sees"), 0) != 0;
	cm->max_tokens = option_u64(h, in(n, section, "max_tokens"), 0);
	cm->context_tokens = option_u64(h, in(n, section, "context_tokens"), 0);
	cm->temperature = warm == NULL ? NAN : strtod(warm, NULL);
	cm->model = model_new(c->loop, c->resolve, &cf, &why);
	if (cm->model != NULL && model_provider(cm->model)->images == PROVIDER_NONE)
		cm->sees = false;
	mem_wipe_free(&key);
	free(url);
	free(query);
	free(headers);
	free(provider);
	free(warm);
	free(ca);
	return why;
}

const char *
chat_models_new(struct chat *c, const struct msg_HELLO *h)
{
	const char	*why = NULL;
	char		 name[64], *url;

	for (size_t i = 0; i < CHAT_MODELS_MAX && why == NULL; i++) {
		url = option_text(h, in(name, sections[i], "base_url"));
		if (url == NULL && i > 0)
			break;
		free(url);
		c->models_n = i + 1;
		why = model_make(c, &c->models[i], h, sections[i]);
	}
	return why;
}

void
chat_models_free(struct chat *c)
{
	for (size_t i = 0; i < c->models_n; i++) {
		model_free(&c->models[i].model);
		free(c->models[i].name);
	}
	c->models_n = 0;
}

bool
chat_falls_back(const struct chat *c, size_t *at, const char *tag, const struct model_result *r)
{
	const struct failure	*f = &r->failure;

	if (*at + 1 >= c->models_n || r->spoke || !failure_may_fall_back(f->class))
		return false;
	COUNT(model_fallbacks);
	/* What goes on until somebody looks after it, a refused key say, is an error. */
	(failure_alerts(f->class) ? log_err : log_warnx)("%s model %s failed, %s is asked: %s "
	    "status=%u id=%s: %s", tag, c->models[*at].name, c->models[*at + 1].name,
	    failure_name(f->class), f->status, r->id, f->message);
	++*at;
	return true;
}
