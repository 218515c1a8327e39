/*
 * hello - what a worker is told of the configuration: what its role needs, and no more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/pool/place.h"

static void
option_str(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	msg_list_str(b, span_of(name));
	msg_list_str(b, span_of(value));
}

static void
option_u64(struct buf *b, const char *name, uint64_t value)
{
	char	 text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	option_str(b, name, text);
}

static void
option_list(struct buf *b, const char *name, const struct cfg_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		option_str(b, name, l->v[i]);
}

static const char *
dotted(char dst[64], const char *of, const char *name)
{
	snprintf(dst, 64, "%s.%s", of, name);
	return dst;
}

/* of: "model", the one that answers, or "fallback", the one that stands in for it. */
static void
options_of_model(const struct cfg_model *m, const char *of, struct buf *b)
{
	char	 name[64];

	option_str(b, dotted(name, of, "base_url"), m->base_url);
	option_str(b, dotted(name, of, "api_key"), m->api_key);
	option_str(b, dotted(name, of, "query"), m->query);
	option_list(b, dotted(name, of, "headers"), &m->headers);
	option_str(b, dotted(name, of, "name"), m->name);
	option_str(b, dotted(name, of, "provider"), m->provider);
	option_u64(b, dotted(name, of, "sees"), m->sees);
	option_u64(b, dotted(name, of, "thinks"), m->thinks);
	option_u64(b, dotted(name, of, "max_tokens"), m->max_tokens);
	option_u64(b, dotted(name, of, "context_tokens"), m->context_tokens);
	option_str(b, dotted(name, of, "temperature"), m->temperature);
	option_u64(b, dotted(name, of, "first_byte"), m->first_byte_ms);
	option_u64(b, dotted(name, of, "idle"), m->idle_ms);
	option_u64(b, dotted(name, of, "total"), m->total_ms);
}

/* The keys of the models go to the pools that ask them, and to nobody else. */
static void
options_for_chat(const struct cfg *cfg, struct buf *b)
{
	const struct cfg_model	*m = cfg_chat_model(cfg);
	const struct cfg_model	*fallback = cfg_model_titled(cfg, m->fallback);
	const struct cfg_chat	*c = &cfg->chat;

	options_of_model(m, "model", b);
	if (fallback != NULL)
		options_of_model(fallback, "fallback", b);
	option_str(b, "chat.system_prompt", c->system_prompt);
	option_list(b, "chat.free_channels", &c->free_channels);
	option_str(b, "chat.bots", c->bots);
	option_u64(b, "chat.max_messages", c->max_messages);
	option_u64(b, "chat.max_images", c->max_images);
	option_u64(b, "chat.max_image", c->max_image_bytes);
	option_u64(b, "chat.merge_gap", c->merge_gap_ms);
	option_u64(b, "chat.continue_gap", c->continue_gap_ms);
	option_list(b, "chat.stop_words", &c->stop_words);
	option_str(b, "ca_file", cfg->ca_file);
	option_str(b, "resolv_conf", cfg->resolv_conf);
	option_u64(b, "connect_timeout", cfg->connect_timeout_ms);
}

void
hello_logging(struct buf *b)
{
	option_str(b, "log_level", log_level_name(log_level_now()));
	option_str(b, "trace", log_traced());
}

/* The token goes to the rest pool and to nobody else. */
void
hello_options(const struct pool *p, struct buf *b)
{
	const struct cfg	*cfg = p->pools->cfg;

	if (p->command.n == 0 && strcmp(p->role, "chat") == 0 && cfg_chat_model(cfg) != NULL)
		options_for_chat(cfg, b);
	if (p->web) {
		option_str(b, "web", cfg->web);
		option_str(b, "statsd", cfg->statsd);
	}
	if (!p->rest)
		return;
	option_str(b, "token", cfg->token);
	option_str(b, "api_url", cfg->api_url);
	option_str(b, "user_agent_url", cfg->user_agent_url);
	option_str(b, "ca_file", cfg->ca_file);
	option_str(b, "resolv_conf", cfg->resolv_conf);
	option_u64(b, "connect_timeout", cfg->connect_timeout_ms);
	option_u64(b, "call_timeout", cfg->call_timeout_ms);
	option_u64(b, "rest_grace", cfg->rest_grace_ms);
	option_u64(b, "rest_per_second", cfg->rest_per_second);
}
