/*
 * chat - see chat.h.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/log.h"
#include "common/resolve.h"
#include "worker/chat/field.h"
#include "worker/chat/role.h"
#include "worker/runtime/option.h"

#define FLAG_FRESH	1		/* EVENT.flags */
#define NOBODY		UINT64_MAX	/* wrote the message that was deleted */

/* ---- asking ---- */

void
chat_add_sentence(struct buf *b, const char *sentence)
{
	if (*sentence != '\0')
		buf_printf(b, "%s%s", b->n == 0 ? "" : " ", sentence);
}

/* What people should know about an answer that came. */
void
chat_add_notes(struct buf *b, const struct model_result *r)
{
	if (r->trimmed || r->shrunk)
		chat_add_sentence(b, "The model read only the newest part of the conversation.");
	if (r->images_dropped)
		chat_add_sentence(b, "The model took no images.");
	if (r->verdict == CODEC_SUSPECT)
		chat_add_sentence(b, "The answer may be incomplete.");
}

void
chat_fill_request(const struct chat_model *m, const struct prompt *p, struct chat_request *rq)
{
	chat_params_init(&rq->params);
	rq->model = m->name;
	rq->messages = prompt_messages(p, &rq->messages_n);
	rq->params.max_tokens = m->max_tokens;
	rq->params.temperature = m->temperature;
	rq->params.vision = m->sees;
}

struct prompt *
chat_make_prompt(const struct chat *c, const struct chat_model *m, const struct prompt_names *given,
    bool names, const struct prompt_turn *turns, size_t turns_n, bool cut, bool lost)
{
	struct prompt_rules	 rules = {
		.system = c->system, .context_tokens = m->context_tokens,
		.answer_tokens = m->max_tokens, .names = names, .sees = m->sees
	};
	struct prompt_names	 all = *given;
	time_t			 now = (time_t)(clock_wall_ms() / 1000);
	char			 date[32];
	struct tm		 tm;

	strftime(date, sizeof(date), "%Y-%m-%d", gmtime_r(&now, &tm));
	all.date = date;
	all.bot = c->bot;
	return prompt_new(&rules, &all, turns, turns_n, cut, lost);
}

/* ---- events ---- */

bool
chat_is_free(const struct chat *c, uint64_t channel)
{
	for (size_t i = 0; i < c->free_channels_n; i++)
		if (c->free_channels[i] == channel)
			return true;
	return false;
}

/* It replies to a message that the event does not show. */
struct look {
	struct chat		*chat;
	const struct msg_EVENT	*event;
	struct trigger_message	 m;
	uint64_t		 message;
};

static void
decide(struct chat *c, struct scope *s, const struct msg_EVENT *ev, const struct trigger_message *m,
    uint64_t message, json_t *event);

static void
on_looked(struct scope *s, const struct msg_RESULT *r, void *arg)
{
	struct look	*l = arg;
	json_t		*o = NULL;

	if (r->error == ERR_OK)
		o = json_loadb(r->body.p, r->body.n, 0, NULL);
	l->m.replied_author = field_id(json_object_get(o, "author"), "id");
	if (l->m.replied_author == 0)
		l->m.replied_author = NOBODY;
	else
		(void)context_put(l->chat->context, l->m.self, o, false);
	json_decref(o);
	if (r->error != ERR_ECANCELLED)
		decide(l->chat, s, l->event, &l->m, l->message, NULL);
	free(l);
}

static void
look(struct chat *c, struct scope *s, const struct msg_EVENT *ev, const struct trigger_message *m,
    uint64_t message, json_t *event)
{
	struct look	*l;
	char		 path[96];

	snprintf(path, sizeof(path), "/channels/%llu/messages/%llu", (unsigned long long)m->channel,
	    (unsigned long long)field_id(json_object_get(event, "message_reference"),
	    "message_id"));
	l = mem_alloc(sizeof(*l));
	*l = (struct look){ c, ev, *m, message };
	if (!scope_call(s, "GET", path, SPAN_NONE, LANE_CREATE, on_looked, l))
		free(l);
}

static void
decide(struct chat *c, struct scope *s, const struct msg_EVENT *ev, const struct trigger_message *m,
    uint64_t message, json_t *event)
{
	struct trigger_rules	 rules = { c->bots, c->free_channels, c->free_channels_n };
	enum trigger		 verdict = trigger_decide(&rules, m);

	if (trigger_answers(verdict)) {
		log_info("%llx answers channel=%llu message=%llu: %s",
		    (unsigned long long)ev->delivery, (unsigned long long)m->channel,
		    (unsigned long long)message, trigger_why(verdict));
		turn_new(c, s, ev, m, message);
	} else if (verdict == TRIGGER_LOOK && event != NULL)
		look(c, s, ev, m, message, event);
	else
		log_trace("chat", "%llx is silent channel=%llu message=%llu: %s",
		    (unsigned long long)ev->delivery, (unsigned long long)m->channel,
		    (unsigned long long)message, trigger_why(verdict));
}

static void
on_create(struct chat *c, struct scope *s, const struct msg_EVENT *ev, json_t *o)
{
	struct trigger_message	 m;
	const char		*content = json_string_value(json_object_get(o, "content"));

	if (!trigger_read(o, scope_self(s), &m))
		return;
	if (content != NULL && trigger_is_stop(span_of(content), m.self,
	    (const char *const *)c->stop_words, c->stop_words_n) &&
	    turns_stop(c, m.channel, m.author, 0))
		return;
	decide(c, s, ev, &m, field_id(o, "id"), o);
}

static void
on_delete(struct chat *c, uint64_t message)
{
	context_delete(c->context, message);
	turns_delete(c, message);
}

static void
on_reaction(struct chat *c, json_t *o)
{
	const char	*name = json_string_value(json_object_get(json_object_get(o, "emoji"),
	    "name"));

	if (name != NULL && trigger_is_stop_emoji(span_of(name)))
		(void)turns_stop(c, field_id(o, "channel_id"), field_id(o, "user_id"),
		    field_id(o, "message_id"));
}

static void
start(struct scope *s, const struct msg_EVENT *ev)
{
	struct chat	*c = scope_role(s);
	json_t		*o = json_loadb(ev->body.p, ev->body.n, 0, NULL);

	if ((ev->flags & FLAG_FRESH) != 0)
		context_forget(c->context, field_id(o, "channel_id"));
	if (span_is(ev->name, "MESSAGE_CREATE"))
		on_create(c, s, ev, o);
	else if (span_is(ev->name, "MESSAGE_UPDATE"))
		context_update(c->context, scope_self(s), o);
	else if (span_is(ev->name, "MESSAGE_DELETE"))
		on_delete(c, field_id(o, "id"));
	else if (span_is(ev->name, "MESSAGE_REACTION_ADD"))
		on_reaction(c, o);
	json_decref(o);
}

const struct handler	 chat_handler = { "chat", false, start, NULL };

/* ---- the life of the role ---- */

static void
read_lists(struct chat *c, const struct msg_HELLO *h)
{
	struct msg_list_iter	 ids = { h->options.raw, 0 }, words = { h->options.raw, 0 };
	struct span		 v;
	uint64_t		 id;

	while (option_next(&ids, "chat.free_channels", &v))
		if (span_u64(v, &id)) {
			c->free_channels = mem_grow(c->free_channels, c->free_channels_n + 1,
			    sizeof(*c->free_channels));
			c->free_channels[c->free_channels_n++] = id;
		}
	while (option_next(&words, "chat.stop_words", &v)) {
		c->stop_words = mem_grow(c->stop_words, c->stop_words_n + 1,
		    sizeof(*c->stop_words));
		c->stop_words[c->stop_words_n++] = mem_spandup(v);
	}
}

static void
read_options(struct chat *c, const struct msg_HELLO *h)
{
	char	*bots = option_text(h, "chat.bots");

	c->system = option_text(h, "chat.system_prompt");
	if (c->system == NULL)
		c->system = mem_strdup("");
	c->bots = bots == NULL || strcmp(bots, "none") == 0 ? TRIGGER_BOTS_NONE :
	    strcmp(bots, "all") == 0 ? TRIGGER_BOTS_ALL : TRIGGER_BOTS_MENTIONS;
	c->messages_max = (unsigned)option_u64(h, "chat.max_messages", 25);
	c->images_max = option_u64(h, "chat.max_images", 5);
	c->image_max_bytes = option_u64(h, "chat.max_image", 8u << 20);
	c->merge_gap_ms = option_u64(h, "chat.merge_gap", 300000);
	c->continue_gap_ms = option_u64(h, "chat.continue_gap", 86400000);
	read_lists(c, h);
	free(bots);
}

struct chat *
chat_new(struct loop *loop, const struct msg_HELLO *h, const struct chat_ops *ops, void *arg,
    const char **why_r)
{
	struct chat	*c = mem_alloc(sizeof(*c));
	char		*names = option_text(h, "resolv_conf"), *ca = option_text(h, "ca_file");

	c->loop = loop;
	c->ops = ops;
	c->arg = arg;
	TAILQ_INIT(&c->turns);
	TAILQ_INIT(&c->trials);
	read_options(c, h);
	c->context = context_new(CONTEXT_MESSAGES_MAX, CONTEXT_BYTES_MAX);
	c->resolve = resolve_new(loop, names == NULL ? "/etc/resolv.conf" : names);
	*why_r = c->resolve == NULL ? "the resolver cannot be made" : chat_models_new(c, h);
	if (*why_r == NULL)
		c->fetch = fetch_new(loop, c->resolve, CHAT_USER_AGENT, ca,
		    option_u64(h, "connect_timeout", MODEL_CONNECT_MS));
	free(ca);
	free(names);
	if (*why_r != NULL)
		chat_free(&c);
	return c;
}

void
chat_free(struct chat **cp)
{
	struct chat	*c = *cp;

	if (c == NULL)
		return;
	turns_free(c);
	trials_free(c);
	chat_models_free(c);
	fetch_free(&c->fetch);
	resolve_free(&c->resolve);
	context_free(&c->context);
	for (size_t i = 0; i < c->stop_words_n; i++)
		free(c->stop_words[i]);
	free(c->stop_words);
	free(c->free_channels);
	free(c->system);
	free(c);
	*cp = NULL;
}
