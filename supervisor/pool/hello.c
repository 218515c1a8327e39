/*
 * hello - what a worker is told of the configuration: what its role needs, and no more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* The key of the model goes to the pools that ask it, and to nobody else. */
static void
options_for_chat(const struct cfg *cfg, struct buf *b)
{
	const struct cfg_model	*m = cfg_chat_model(cfg);
	const struct cfg_chat	*c = &cfg->chat;

	option_str(b, "model.base_url", m->base_url);
	option_str(b, "model.api_key", m->api_key);
	option_str(b, "model.query", m->query);
	option_list(b, "model.headers", &m->headers);
	option_str(b, "model.name", m->name);
	option_str(b, "model.provider", m->provider);
	option_u64(b, "model.sees", m->sees);
	option_u64(b, "model.thinks", m->thinks);
	option_u64(b, "model.max_tokens", m->max_tokens);
	option_u64(b, "model.context_tokens", m->context_tokens);
	option_str(b, "model.temperature", m->temperature);
	option_u64(b, "model.first_byte", m->first_byte_ms);
	option_u64(b, "model.idle", m->idle_ms);
	option_u64(b, "model.total", m->total_ms);
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

/* The token goes to the rest pool and to nobody else. */
void
hello_options(const struct pool *p, struct buf *b)
{
	const struct cfg	*cfg = p->pools->cfg;

	option_str(b, "log_level", cfg->log_level);
	option_str(b, "trace", p->pools->traced);
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
