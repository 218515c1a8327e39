/*
 * chat - see chat.h.
 */
#include <sys/queue.h>

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/log.h"
#include "common/resolve.h"
#include "worker/chat/chat.h"
#include "worker/chat/context.h"
#include "worker/chat/fetch.h"
#include "worker/chat/model.h"
#include "worker/chat/prompt.h"
#include "worker/chat/trigger.h"

#define FLAG_FRESH	1		/* EVENT.flags */
#define FLAG_TYPING	1		/* STREAM_OPEN.flags */
#define STATE_FINAL	5		/* STREAM_STATE.state: this and above */
#define STATE_FAILED	7
#define NAMES_KEPT	64
#define NOTE_MAX	512		/* bytes of STREAM_END.note */
#define TRIALS_MAX	16		/* `try` at once */
#define NOBODY		UINT64_MAX	/* wrote the message that was deleted */

enum end { END_FINAL = 1, END_ERROR, END_STOPPED };	/* STREAM_END.kind */

struct picture {			/* of a message of the chain */
	struct turn		*turn;
	size_t			 message;	/* its index in the chain */
	struct fetch_job	*job;		/* NULL: it came, or will not */
	struct buf		 data;
};

struct name {				/* of a channel or a guild */
	uint64_t	 id;
	char		 text[104];
};

/* One message that is answered, from its event to the final state of its stream. */
struct turn {
	TAILQ_ENTRY(turn)	 entry;
	struct chat		*chat;
	struct scope		*scope;
	const struct msg_EVENT	*event;
	uint64_t		 channel, guild, message, asker;
	bool			 begun;
	bool			 ending;	/* its stream has been told of the end */
	bool			 over;		/* nothing is left to do but to wait for calls */
	unsigned		 calls_n;
	struct hold		*hold;
	struct reply		*reply;
	uint64_t		 shown[PROTO_EFFECTS_MAX];	/* the answer's messages */
	size_t			 shown_n;
	uint64_t		 naming;	/* what is asked for its name */
	struct chain		*chain;
	struct picture		*pictures;	/* NULL: not looked at yet */
	size_t			 pictures_n, jobs_n;
	struct prompt		*prompt;
	struct chat_request	 request;
	struct model_ask	*ask;
};

TAILQ_HEAD(turns, turn);

struct trial {				/* the verb try */
	TAILQ_ENTRY(trial)	 entry;
	struct chat		*chat;
	uint64_t		 call;
	struct buf		 text;
	struct prompt		*prompt;
	struct chat_request	 request;
	struct model_ask	*ask;
};

struct chat {
	struct loop		*loop;
	const struct chat_ops	*ops;
	void			*arg;
	struct resolve		*resolve;
	struct model		*model;
	struct fetch		*fetch;
	struct context		*context;
	struct turns		 turns;		/* as they came; the first of a channel goes */
	TAILQ_HEAD(, trial)	 trials;
	size_t			 trials_n;
	struct trigger_guard	 guard;
	struct name		 names[NAMES_KEPT];
	size_t			 names_at;
	char			 bot[104];	/* "": not asked yet */

	char			*model_name, *system;
	bool			 sees;
	uint64_t		 max_tokens, context_tokens;
	double			 temperature;
	enum trigger_bots	 bots;
	uint64_t		*free_channels;
	size_t			 free_channels_n;
	char			**stop_words;
	size_t			 stop_words_n;
	unsigned		 messages_max;
	size_t			 images_max;
	uint64_t		 image_max_bytes;
	uint64_t		 merge_gap_ms, continue_gap_ms;
};

static void	 turn_go(struct turn *);

/* ---- names ---- */

static uint64_t
id_of(json_t *o, const char *key)
{
	const char	*s = json_string_value(json_object_get(o, key));
	uint64_t	 id = 0;

	return s != NULL && span_u64(span_of(s), &id) ? id : 0;
}

static const char *
name_find(struct chat *c, uint64_t id)
{
	for (size_t i = 0; i < NAMES_KEPT; i++)
		if (c->names[i].id == id)
			return c->names[i].text;
	return NULL;
}

/* Also when there is none: it is not asked for again at once. */
static void
name_keep(struct chat *c, uint64_t id, const char *text)
{
	struct name	*n = &c->names[c->names_at++ % NAMES_KEPT];

	n->id = id;
	strlcpy(n->text, text, sizeof(n->text));
}

static bool
is_free(const struct chat *c, uint64_t channel)
{
	for (size_t i = 0; i < c->free_channels_n; i++)
		if (c->free_channels[i] == channel)
			return true;
	return false;
}

/* ---- the end of a turn ---- */

/* Nobody waits for them any longer. */
static void
pictures_cancel(struct turn *t)
{
	for (size_t i = 0; i < t->pictures_n; i++)
		if (t->pictures[i].job != NULL)
			fetch_cancel(&t->pictures[i].job);
	t->jobs_n = 0;
}

static void
turn_free(struct turn *t)
{
	TAILQ_REMOVE(&t->chat->turns, t, entry);
	if (t->ask != NULL)
		model_stop(&t->ask);
	pictures_cancel(t);
	for (size_t i = 0; i < t->pictures_n; i++)
		buf_fini(&t->pictures[i].data);
	free(t->pictures);
	chain_free(&t->chain);
	prompt_free(&t->prompt);
	free(t);
}

static struct turn *
first_of(struct chat *c, uint64_t channel)
{
	struct turn	*t;

	TAILQ_FOREACH(t, &c->turns, entry)
		if (t->channel == channel)
			return t;
	return NULL;
}

static bool	 turn_begin(struct turn *);

/* The next turn of the channel may go. */
static void
run_channel(struct chat *c, uint64_t channel)
{
	struct hold	*hold;
	struct turn	*t;

	while ((t = first_of(c, channel)) != NULL && !t->begun && !turn_begin(t)) {
		hold = t->hold;
		turn_free(t);
		if (hold != NULL)
			scope_release(&hold);
	}
}

/* When nothing will call back any more; t is gone then. */
static void
turn_settle(struct turn *t)
{
	struct chat	*c = t->chat;
	struct hold	*hold = t->hold;
	uint64_t	 channel = t->channel;

	if (!t->over || t->calls_n > 0 || t->reply != NULL)
		return;
	turn_free(t);
	run_channel(c, channel);
	if (hold != NULL)
		scope_release(&hold);
}

static void
turn_end(struct turn *t, enum end kind, const char *note)
{
	if (t->ask != NULL)
		model_stop(&t->ask);
	pictures_cancel(t);
	t->ending = true;
	if (t->reply != NULL)
		scope_stream_end(t->reply, kind, note);
}

/* Also a turn that has not begun. */
static void
turn_stop(struct turn *t)
{
	log_info("%llx stopped by its asker", (unsigned long long)scope_delivery(t->scope));
	turn_end(t, END_STOPPED, NULL);
	if (!t->begun) {
		t->over = true;
		turn_settle(t);
	}
}

static void
on_cancelled(struct scope *s, enum error error, void *arg)
{
	struct turn	*t = arg;

	(void)s;
	(void)error;
	t->hold = NULL;
	t->ending = true;
	if (t->ask != NULL)
		model_stop(&t->ask);
	pictures_cancel(t);
	t->over = t->over || t->reply == NULL;
	turn_settle(t);
}

static void
on_stream_state(struct scope *s, const struct msg_STREAM_STATE *m, void *arg)
{
	struct turn	*t = arg;
	size_t		 i;

	(void)s;
	for (i = 0; i < t->shown_n && t->shown[i] != m->message; i++)
		continue;
	if (m->message != 0 && i == t->shown_n && i < PROTO_EFFECTS_MAX)
		t->shown[t->shown_n++] = m->message;
	if (m->state < STATE_FINAL)
		return;
	t->reply = NULL;
	t->over = t->ending = true;
	if (t->ask != NULL)
		model_stop(&t->ask);
	pictures_cancel(t);
	if (m->state == STATE_FAILED)
		log_warnx("%llx the answer could not be shown: %.*s",
		    (unsigned long long)t->event->delivery, (int)m->why.n, m->why.p);
	for (i = 0; i < t->shown_n; i++)	/* what was read of it was not the end */
		context_delete(t->chat->context, t->shown[i]);
	turn_settle(t);
}

/* ---- the model ---- */

static void
add_sentence(struct buf *b, const char *sentence)
{
	if (*sentence != '\0')
		buf_printf(b, "%s%s", b->n == 0 ? "" : " ", sentence);
}

/* What people should know about an answer that came. */
static void
add_notes(struct buf *b, const struct model_result *r)
{
	if (r->trimmed || r->shrunk)
		add_sentence(b, "The model read only the newest part of the conversation.");
	if (r->images_dropped)
		add_sentence(b, "The model took no images.");
	if (r->verdict == CODEC_SUSPECT)
		add_sentence(b, "The answer may be incomplete.");
}

static void
end_well(struct turn *t, const struct model_result *r)
{
	struct buf	 note = { 0 };
	char		 text[NOTE_MAX + 1] = "";

	add_sentence(&note, prompt_note(t->prompt));
	add_notes(&note, r);
	if (note.n > 0)
		snprintf(text, sizeof(text), "-# %.*s", (int)note.n, buf_span(&note).p);
	turn_end(t, END_FINAL, text);
	buf_fini(&note);
}

static void
end_badly(struct turn *t, const struct failure *f, const char *id, uint64_t wait_ms)
{
	struct buf	 b = { 0 };
	char		 own[24], text[NOTE_MAX + 1];

	snprintf(own, sizeof(own), "%llx", (unsigned long long)t->event->delivery);
	failure_sentence(f, t->chat->model_name, id != NULL && *id != '\0' ? id : own, wait_ms, &b);
	span_copy(buf_span(&b), text, sizeof(text));
	log_warnx("%s model failed: %s status=%u id=%s: %s", own, failure_name(f->class), f->status,
	    id == NULL ? "" : id, f->message);
	turn_end(t, END_ERROR, text);
	buf_fini(&b);
}

static void
on_text(void *arg, struct span text)
{
	struct turn	*t = arg;

	if (!scope_stream_append(t->reply, text))
		turn_end(t, END_ERROR, "The answer reached the length limit.");
}

/* What is shown stays shown; the next answer of this model is known better. */
static void
on_retract(void *arg)
{
	on_text(arg, SPAN("\n\n"));
}

static void
on_again(void *arg, const struct failure *f, uint64_t wait_ms)
{
	struct turn	*t = arg;

	log_notice("%llx asks the model again in_ms=%llu: %s status=%u: %s",
	    (unsigned long long)t->event->delivery, (unsigned long long)wait_ms,
	    failure_name(f->class), f->status, f->message);
}

static void
on_done(void *arg, const struct model_result *r)
{
	struct turn	*t = arg;

	t->ask = NULL;
	log_info("%llx model %s attempts=%u prompt=%llu completion=%llu",
	    (unsigned long long)t->event->delivery, codec_verdict_name(r->verdict), r->attempts,
	    (unsigned long long)r->usage.prompt, (unsigned long long)r->usage.completion);
	if (r->failure.class == FAILURE_NONE)
		end_well(t, r);
	else
		end_badly(t, &r->failure, r->id, r->wait_ms);
}

static const struct model_ops	 turn_model_ops = {
	.text = on_text, .retract = on_retract, .again = on_again, .done = on_done
};

static void
fill_request(const struct chat *c, const struct prompt *p, struct chat_request *rq)
{
	chat_params_init(&rq->params);
	rq->model = c->model_name;
	rq->messages = prompt_messages(p, &rq->messages_n);
	rq->params.max_tokens = c->max_tokens;
	rq->params.temperature = c->temperature;
	rq->params.vision = c->sees;
}

static struct prompt *
make_prompt(const struct chat *c, const struct prompt_names *given, bool names,
    const struct prompt_turn *turns, size_t turns_n, bool cut, bool lost)
{
	struct prompt_rules	 rules = {
		.system = c->system, .context_tokens = c->context_tokens,
		.answer_tokens = c->max_tokens, .names = names, .sees = c->sees
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

/* Those of one message that came, behind `images`; how many. */
static size_t
pictures_of(const struct turn *t, size_t message, struct chat_image *images)
{
	size_t		 n = 0;
	struct span	 data;

	for (size_t i = 0; i < t->pictures_n; i++) {
		data = buf_span(&t->pictures[i].data);
		if (t->pictures[i].message == message && prompt_image_type(data) != NULL)
			images[n++] = (struct chat_image){ data, prompt_image_type(data), NULL };
	}
	return n;
}

static void
turn_ask(struct turn *t)
{
	size_t				 n = chain_n(t->chain), good_n, images_n = 0;
	struct prompt_turn		*turns = mem_array(n, sizeof(*turns));
	struct chat_image		*images = mem_array(t->pictures_n + 1, sizeof(*images));
	const struct context_message	*m;
	struct prompt_names		 names = {
		.channel = name_find(t->chat, t->channel),
		.guild = t->guild == 0 ? NULL : name_find(t->chat, t->guild),
		.user = chain_message(t->chain, n - 1)->name,
	};
	struct failure			 f;

	for (size_t i = 0; i < n; i++) {
		m = chain_message(t->chain, i);
		turns[i] = (struct prompt_turn){
			.own = m->own, .author = m->author, .name = m->name, .text = m->text,
			.images = images + images_n, .images_n = m->images_n,
			.images_missed_n = m->images_more_n, .files_n = m->files_n,
		};
		if (!t->chat->sees)
			continue;
		good_n = pictures_of(t, i, images + images_n);
		turns[i].images_n = good_n;
		turns[i].images_missed_n += (unsigned)(m->own ? 0 : m->images_n - good_n);
		images_n += good_n;
	}
	t->prompt = make_prompt(t->chat, &names, t->guild != 0, turns, n, chain_cut(t->chain),
	    chain_lost(t->chain));
	free(turns);
	free(images);
	fill_request(t->chat, t->prompt, &t->request);
	if (model_start(t->chat->model, &t->request, &turn_model_ops, t, &t->ask) == ERR_OK)
		return;
	failure_set(&f, FAILURE_SESSION, "");
	end_badly(t, &f, NULL, 0);
}

/* ---- what a turn needs to know ---- */

static void
on_read(struct scope *s, const struct msg_RESULT *r, void *arg)
{
	struct turn	*t = arg;

	(void)s;
	t->calls_n--;
	if (!t->ending)
		chain_answer(t->chain, r->error == ERR_OK || r->error == ERR_EHTTP ?
		    (unsigned)r->status : 0, r->body);
	turn_go(t);
}

static void
on_name(struct scope *s, const struct msg_RESULT *r, void *arg)
{
	struct turn	*t = arg;
	json_t		*o = NULL;
	const char	*name;

	(void)s;
	t->calls_n--;
	if (r->error == ERR_OK)
		o = json_loadb(r->body.p, r->body.n, 0, NULL);
	name = json_string_value(json_object_get(o, t->naming == 0 ? "username" : "name"));
	if (t->naming == 0)
		strlcpy(t->chat->bot, name == NULL ? "the bot" : name, sizeof(t->chat->bot));
	else
		name_keep(t->chat, t->naming, name == NULL ? "" : name);
	json_decref(o);
	turn_go(t);
}

/* False: the scope takes no more calls. */
static bool
turn_get(struct turn *t, const char *path,
    void (*fn)(struct scope *, const struct msg_RESULT *, void *))
{
	if (!scope_call(t->scope, "GET", path, SPAN_NONE, LANE_CREATE, fn, t))
		return false;
	t->calls_n++;
	return true;
}

/* True: a name is asked for. */
static bool
turn_name(struct turn *t)
{
	struct chat	*c = t->chat;
	char		 path[64];

	if (c->bot[0] == '\0' && prompt_uses(c->system, "bot")) {
		t->naming = 0;
		return turn_get(t, "/users/@me", on_name);
	}
	if (t->guild == 0)
		return false;
	if (prompt_uses(c->system, "channel") && name_find(c, t->channel) == NULL) {
		t->naming = t->channel;
		snprintf(path, sizeof(path), "/channels/%llu", (unsigned long long)t->channel);
		return turn_get(t, path, on_name);
	}
	if (prompt_uses(c->system, "guild") && name_find(c, t->guild) == NULL) {
		t->naming = t->guild;
		snprintf(path, sizeof(path), "/guilds/%llu", (unsigned long long)t->guild);
		return turn_get(t, path, on_name);
	}
	return false;
}

static void
on_picture(void *arg, struct span file)
{
	struct picture	*p = arg;
	struct turn	*t = p->turn;

	p->job = NULL;
	buf_add_span(&p->data, file);
	if (--t->jobs_n == 0)
		turn_go(t);
}

/* The newest ones, of people.  True: some are on their way. */
static bool
turn_look(struct turn *t)
{
	struct chat			*c = t->chat;
	const struct context_message	*m;
	struct picture			*p;

	if (t->pictures != NULL)
		return t->jobs_n > 0;
	t->pictures = mem_array(c->images_max + 1, sizeof(*t->pictures));
	for (size_t i = chain_n(t->chain); c->sees && i-- > 0;) {
		m = chain_message(t->chain, i);
		for (size_t k = 0; !m->own && k < m->images_n; k++) {
			if (t->pictures_n == c->images_max)
				return t->jobs_n > 0;
			if (m->images[k].bytes > c->image_max_bytes)
				continue;
			p = &t->pictures[t->pictures_n++];
			*p = (struct picture){ .turn = t, .message = i };
			p->job = fetch_start(c->fetch, m->images[k].url, c->image_max_bytes,
			    on_picture, p);
			t->jobs_n += p->job != NULL;
		}
	}
	return t->jobs_n > 0;
}

/* One step after the other, until the model has been asked. */
static void
turn_go(struct turn *t)
{
	const char	*path;

	if (t->ending || t->over) {
		turn_settle(t);
		return;
	}
	if (turn_name(t))
		return;
	path = chain_wants(t->chain);
	if (path == NULL) {
		if (!turn_look(t))
			turn_ask(t);
	} else
		(void)turn_get(t, path, on_read);
}

/* False: the scope is cancelled, or it was no message after all. */
static bool
turn_begin(struct turn *t)
{
	struct chat		*c = t->chat;
	struct context_rules	 rules = {
		.messages_max = c->messages_max, .direct = t->guild == 0,
		.open = is_free(c, t->channel), .merge_gap_ms = c->merge_gap_ms,
		.continue_gap_ms = c->continue_gap_ms
	};
	json_t			*event;

	t->begun = true;
	event = json_loadb(t->event->body.p, t->event->body.n, 0, NULL);
	t->chain = chain_new(c->context, &rules, scope_self(t->scope), event);
	json_decref(event);
	if (t->chain == NULL)
		return false;
	t->reply = scope_stream_open(t->scope, t->channel, t->message, FLAG_TYPING,
	    on_stream_state, t);
	if (t->reply == NULL)
		return false;
	turn_go(t);
	return true;
}

static void
turn_new(struct chat *c, struct scope *s, const struct msg_EVENT *ev,
    const struct trigger_message *m, uint64_t message)
{
	struct turn	*t;

	if (m->bot && !trigger_guard_admit(&c->guard, m->channel, loop_now(c->loop))) {
		log_notice("%llx another bot is not answered: too many turns",
		    (unsigned long long)ev->delivery);
		return;
	}
	t = mem_alloc(sizeof(*t));
	t->chat = c;
	t->scope = s;
	t->event = ev;
	t->channel = m->channel;
	t->guild = m->guild;
	t->message = message;
	t->asker = m->author;
	TAILQ_INSERT_TAIL(&c->turns, t, entry);
	t->hold = scope_hold(s, on_cancelled, t);
	run_channel(c, t->channel);
}

/* ---- events ---- */

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
	l->m.replied_author = id_of(json_object_get(o, "author"), "id");
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
	    (unsigned long long)id_of(json_object_get(event, "message_reference"), "message_id"));
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
}

/* Of that question, or with that message in its answer; 0: any. */
static bool
is_about(const struct turn *t, uint64_t message)
{
	for (size_t i = 0; i < t->shown_n; i++)
		if (t->shown[i] == message)
			return true;
	return message == 0 || t->message == message;
}

/* Ends the asker's turns of a channel that are about message; the one that speaks last of all. */
static bool
stop_turns(struct chat *c, uint64_t channel, uint64_t asker, uint64_t message)
{
	struct turn	*t;
	bool		 any = false;

	for (;;) {
		TAILQ_FOREACH_REVERSE(t, &c->turns, turns, entry)
			if (t->channel == channel && t->asker == asker && !t->ending &&
			    is_about(t, message))
				break;
		if (t == NULL)
			return any;
		any = true;
		turn_stop(t);
	}
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
	    stop_turns(c, m.channel, m.author, 0))
		return;
	decide(c, s, ev, &m, id_of(o, "id"), o);
}

static void
on_delete(struct chat *c, uint64_t message)
{
	struct turn	*t;

	context_delete(c->context, message);
	TAILQ_FOREACH(t, &c->turns, entry)
		if (t->message == message && !t->ending) {
			turn_stop(t);
			return;
		}
}

static void
on_reaction(struct chat *c, json_t *o)
{
	const char	*name = json_string_value(json_object_get(json_object_get(o, "emoji"),
	    "name"));

	if (name != NULL && trigger_is_stop_emoji(span_of(name)))
		(void)stop_turns(c, id_of(o, "channel_id"), id_of(o, "user_id"),
		    id_of(o, "message_id"));
}

static void
start(struct scope *s, const struct msg_EVENT *ev)
{
	struct chat	*c = scope_role(s);
	json_t		*o = json_loadb(ev->body.p, ev->body.n, 0, NULL);

	if ((ev->flags & FLAG_FRESH) != 0)
		context_forget(c->context, id_of(o, "channel_id"));
	if (span_is(ev->name, "MESSAGE_CREATE"))
		on_create(c, s, ev, o);
	else if (span_is(ev->name, "MESSAGE_UPDATE"))
		context_update(c->context, scope_self(s), o);
	else if (span_is(ev->name, "MESSAGE_DELETE"))
		on_delete(c, id_of(o, "id"));
	else if (span_is(ev->name, "MESSAGE_REACTION_ADD"))
		on_reaction(c, o);
	json_decref(o);
}

const struct handler	 chat_handler = { "chat", false, start };

/* ---- the verb try ---- */

static void
answer(struct chat *c, uint64_t call, enum error error, const char *why, struct span body)
{
	struct msg_RESULT	 r = {
		.call = call, .error = error, .status = error == ERR_OK ? 200 : 0,
		.why = span_of(why), .body = body
	};

	c->ops->send(c->arg, MSG_RESULT, &r);
}

static void
trial_free(struct trial *t)
{
	TAILQ_REMOVE(&t->chat->trials, t, entry);
	t->chat->trials_n--;
	if (t->ask != NULL)
		model_stop(&t->ask);
	prompt_free(&t->prompt);
	buf_fini(&t->text);
	free(t);
}

static void
on_trial_text(void *arg, struct span text)
{
	struct trial	*t = arg;

	if (text.n <= TASK_REPLY_MAX - t->text.n) {
		buf_add_span(&t->text, text);
		return;
	}
	buf_add(&t->text, text.p, TASK_REPLY_MAX - t->text.n);
	answer(t->chat, t->call, ERR_EHTTP, "The answer reached the length limit.",
	    buf_span(&t->text));
	trial_free(t);
}

static void
on_trial_retract(void *arg)
{
	struct trial	*t = arg;

	buf_reset(&t->text);
}

static void
on_trial_done(void *arg, const struct model_result *r)
{
	struct trial	*t = arg;
	struct buf	 b = { 0 };
	char		 why[NOTE_MAX + 1];

	t->ask = NULL;
	if (r->failure.class == FAILURE_NONE)
		add_notes(&b, r);
	else
		failure_sentence(&r->failure, t->chat->model_name, r->id, r->wait_ms, &b);
	span_copy(buf_span(&b), why, sizeof(why));
	buf_fini(&b);
	answer(t->chat, t->call, r->failure.class == FAILURE_NONE ? ERR_OK : ERR_EHTTP, why,
	    buf_span(&t->text));
	trial_free(t);
}

static const struct model_ops	 trial_model_ops = {
	.text = on_trial_text, .retract = on_trial_retract, .done = on_trial_done
};

void
chat_call(struct chat *c, const struct msg_CALL *m)
{
	struct prompt_names	 names = { .user = "the administrator" };
	struct prompt_turn	 turn = { .author = 1, .name = "" };
	struct trial		*t;
	enum error		 error;
	char			*text;

	if (!span_is(m->verb, "try") || m->body.n == 0 || c->trials_n == TRIALS_MAX) {
		answer(c, m->call, c->trials_n == TRIALS_MAX ? ERR_ESERVICE : ERR_EINVALID,
		    c->trials_n == TRIALS_MAX ? "too many at once" : "try TEXT asks the model",
		    SPAN_NONE);
		return;
	}
	t = mem_alloc(sizeof(*t));
	t->chat = c;
	t->call = m->call;
	TAILQ_INSERT_TAIL(&c->trials, t, entry);
	c->trials_n++;
	text = mem_spandup(m->body);
	turn.text = text;
	t->prompt = make_prompt(c, &names, false, &turn, 1, false, false);
	free(text);
	fill_request(c, t->prompt, &t->request);
	error = model_start(c->model, &t->request, &trial_model_ops, t, &t->ask);
	if (error == ERR_OK)
		return;
	answer(c, m->call, error, error_text(error), SPAN_NONE);
	trial_free(t);
}

/* ---- the life of the role ---- */

static void
on_model_state(void *arg, const char *tag, enum http_state state, const char *why)
{
	struct chat		*c = arg;
	struct msg_SESSION	 m = {
		.tag = span_of(tag), .state = state, .why = span_of(why)
	};

	if (m.why.n > 256)
		m.why.n = 256;
	c->ops->send(c->arg, MSG_SESSION, &m);
}

/* Value of an option, NULL when there is none; the caller frees it. */
static char *
option(const struct msg_HELLO *h, const char *name)
{
	struct msg_list_iter	 it = { h->options.raw, 0 };
	struct span		 n, v;

	while (msg_list_more(&it) && msg_list_next_str(&it, &n) && msg_list_next_str(&it, &v))
		if (span_is(n, name))
			return mem_spandup(v);
	return NULL;
}

static uint64_t
option_u64(const struct msg_HELLO *h, const char *name, uint64_t fallback)
{
	char		*text = option(h, name);
	uint64_t	 v = fallback;

	if (text != NULL)
		(void)span_u64(span_of(text), &v);
	free(text);
	return v;
}

/* An option stands once for each word of a list. */
static void
read_lists(struct chat *c, const struct msg_HELLO *h)
{
	struct msg_list_iter	 it = { h->options.raw, 0 };
	struct span		 n, v;
	uint64_t		 id;

	while (msg_list_more(&it) && msg_list_next_str(&it, &n) && msg_list_next_str(&it, &v)) {
		if (span_is(n, "chat.free_channels") && span_u64(v, &id)) {
			c->free_channels = mem_grow(c->free_channels, c->free_channels_n + 1,
			    sizeof(*c->free_channels));
			c->free_channels[c->free_channels_n++] = id;
		}
		if (span_is(n, "chat.stop_words")) {
			c->stop_words = mem_grow(c->stop_words, c->stop_words_n + 1,
			    sizeof(*c->stop_words));
			c->stop_words[c->stop_words_n++] = mem_spandup(v);
		}
	}
}

static void
read_options(struct chat *c, const struct msg_HELLO *h)
{
	char	*bots = option(h, "chat.bots"), *warm = option(h, "model.temperature");

	c->model_name = option(h, "model.name");
	c->system = option(h, "chat.system_prompt");
	if (c->system == NULL)
		c->system = mem_strdup("");
	c->sees = option_u64(h, "model.sees", 0) != 0;
	c->max_tokens = option_u64(h, "model.max_tokens", 0);
	c->context_tokens = option_u64(h, "model.context_tokens", 0);
	c->temperature = warm == NULL ? NAN : strtod(warm, NULL);
	c->bots = bots == NULL || strcmp(bots, "none") == 0 ? TRIGGER_BOTS_NONE :
	    strcmp(bots, "all") == 0 ? TRIGGER_BOTS_ALL : TRIGGER_BOTS_MENTIONS;
	c->messages_max = (unsigned)option_u64(h, "chat.max_messages", 25);
	c->images_max = option_u64(h, "chat.max_images", 5);
	c->image_max_bytes = option_u64(h, "chat.max_image", 8u << 20);
	c->merge_gap_ms = option_u64(h, "chat.merge_gap", 300000);
	c->continue_gap_ms = option_u64(h, "chat.continue_gap", 86400000);
	read_lists(c, h);
	free(bots);
	free(warm);
}

struct chat *
chat_new(struct loop *loop, const struct msg_HELLO *h, const struct chat_ops *ops, void *arg,
    const char **why_r)
{
	struct chat		*c = mem_alloc(sizeof(*c));
	char			*url = option(h, "model.base_url");
	char			*key = option(h, "model.api_key");
	char			*provider = option(h, "model.provider"), *ca = option(h, "ca_file");
	char			*names = option(h, "resolv_conf"), *query = option(h, "model.query");
	struct model_config	 cf = {
		.base_url = url, .query = query, .api_key = key, .ca_file = ca,
		.provider = provider == NULL || strcmp(provider, "auto") == 0 ? NULL : provider,
		.user_agent = "Bulkhead/" BULKHEAD_VERSION,
		.connect_ms = option_u64(h, "connect_timeout", 0),
		.first_byte_ms = option_u64(h, "model.first_byte", 0),
		.idle_ms = option_u64(h, "model.idle", 0),
		.total_ms = option_u64(h, "model.total", 0),
		.on_state = on_model_state, .arg = c,
	};

	c->loop = loop;
	c->ops = ops;
	c->arg = arg;
	TAILQ_INIT(&c->turns);
	TAILQ_INIT(&c->trials);
	read_options(c, h);
	cf.name = c->model_name;
	c->context = context_new(CONTEXT_MESSAGES_MAX, CONTEXT_BYTES_MAX);
	c->resolve = resolve_new(loop, names == NULL ? "/etc/resolv.conf" : names);
	if (url == NULL || c->model_name == NULL)
		*why_r = "HELLO lacks model.base_url or model.name";
	else if (c->resolve == NULL)
		*why_r = "the resolver cannot be made";
	else
		c->model = model_new(loop, c->resolve, &cf, why_r);
	if (c->model != NULL && model_provider(c->model)->images == PROVIDER_NONE)
		c->sees = false;
	if (c->model != NULL)
		c->fetch = fetch_new(loop, c->resolve, cf.user_agent, ca,
		    cf.connect_ms == 0 ? MODEL_CONNECT_MS : cf.connect_ms);
	mem_wipe_free(&key);
	free(url);
	free(query);
	free(provider);
	free(ca);
	free(names);
	if (c->model == NULL)
		chat_free(&c);
	return c;
}

void
chat_free(struct chat **cp)
{
	struct chat	*c = *cp;

	if (c == NULL)
		return;
	while (!TAILQ_EMPTY(&c->turns))
		turn_free(TAILQ_FIRST(&c->turns));
	while (!TAILQ_EMPTY(&c->trials))
		trial_free(TAILQ_FIRST(&c->trials));
	model_free(&c->model);
	fetch_free(&c->fetch);
	resolve_free(&c->resolve);
	context_free(&c->context);
	for (size_t i = 0; i < c->stop_words_n; i++)
		free(c->stop_words[i]);
	free(c->stop_words);
	free(c->free_channels);
	free(c->model_name);
	free(c->system);
	free(c);
	*cp = NULL;
}
