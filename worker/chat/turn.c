/*
 * turn - one message that is answered; see chat.h and role.h.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/chat/role.h"

#define FLAG_TYPING	1		/* STREAM_OPEN.flags */
#define STATE_FINAL	5		/* STREAM_STATE.state: this and above */
#define STATE_FAILED	7

enum end { END_FINAL = 1, END_ERROR, END_STOPPED };	/* STREAM_END.kind */

struct picture {			/* of a message of the chain */
	struct turn		*turn;
	size_t			 message;	/* its index in the chain */
	struct fetch_job	*job;		/* NULL: it came, or will not */
	struct buf		 data;
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
	bool			 asks_name, waits_for_name;	/* or another turn asks */
	struct chain		*chain;
	struct picture		*pictures;	/* NULL: not looked at yet */
	size_t			 pictures_n, jobs_n;
	size_t			 at;		/* the model that is asked */
	struct prompt		*prompt;
	struct chat_request	 request;
	struct model_ask	*ask;
};

static void	 turn_go(struct turn *);

/* ---- names ---- */

static const char *
name_find(struct chat *c, uint64_t id)
{
	for (size_t i = 0; i < CHAT_NAMES_KEPT; i++)
		if (c->names[i].id == id)
			return c->names[i].text;
	return NULL;
}

/* Also when there is none: it is not asked for again at once. */
static void
name_keep(struct chat *c, uint64_t id, const char *text)
{
	struct chat_name	*n = &c->names[c->names_at++ % CHAT_NAMES_KEPT];

	n->id = id;
	strlcpy(n->text, text, sizeof(n->text));
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

static void	 turn_ask(struct turn *);

static void
end_well(struct turn *t, const struct model_result *r)
{
	struct buf	 note = { 0 };
	char		 text[CHAT_NOTE_MAX + 1] = "";

	chat_add_sentence(&note, prompt_note(t->prompt));
	chat_add_notes(&note, r);
	if (note.n > 0)
		snprintf(text, sizeof(text), "-# %.*s", (int)note.n, buf_span(&note).p);
	turn_end(t, END_FINAL, text);
	buf_fini(&note);
}

static void
end_badly(struct turn *t, const struct failure *f, const char *id, uint64_t wait_ms)
{
	struct buf	 b = { 0 };
	char		 own[24], text[CHAT_NOTE_MAX + 1];

	snprintf(own, sizeof(own), "%llx", (unsigned long long)t->event->delivery);
	failure_sentence(f, t->chat->models[t->at].name, id != NULL && *id != '\0' ? id : own,
	    wait_ms, &b);
	span_copy(buf_span(&b), text, sizeof(text));
	/* What goes on until somebody looks after it, a refused key say, is an error. */
	(failure_alerts(f->class) ? log_err : log_warnx)("%s model failed: %s status=%u id=%s: %s",
	    own, failure_name(f->class), f->status, id == NULL ? "" : id, f->message);
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
	char		 tag[24];

	t->ask = NULL;
	snprintf(tag, sizeof(tag), "%llx", (unsigned long long)t->event->delivery);
	log_info("%s model %s %s attempts=%u prompt=%llu completion=%llu", tag,
	    t->chat->models[t->at].name, codec_verdict_name(r->verdict), r->attempts,
	    (unsigned long long)r->usage.prompt, (unsigned long long)r->usage.completion);
	if (r->failure.class == FAILURE_NONE)
		end_well(t, r);
	else if (chat_falls_back(t->chat, &t->at, tag, r))
		turn_ask(t);
	else
		end_badly(t, &r->failure, r->id, r->wait_ms);
}

static const struct model_ops	 turn_model_ops = {
	.text = on_text, .retract = on_retract, .again = on_again, .done = on_done
};

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

/* The model whose turn it is. */
static void
turn_ask(struct turn *t)
{
	const struct chat_model		*model = &t->chat->models[t->at];
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
		if (!model->sees)
			continue;
		good_n = pictures_of(t, i, images + images_n);
		turns[i].images_n = good_n;
		turns[i].images_missed_n += (unsigned)(m->own ? 0 : m->images_n - good_n);
		images_n += good_n;
	}
	prompt_free(&t->prompt);
	t->prompt = chat_make_prompt(t->chat, model, &names, t->guild != 0, turns, n,
	    chain_cut(t->chain), chain_lost(t->chain));
	free(turns);
	free(images);
	chat_fill_request(model, t->prompt, &t->request);
	if (model_start(model->model, &t->request, &turn_model_ops, t, &t->ask) == ERR_OK)
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

/* Those that waited for a name go on; each may end, and let others begin. */
static void
named(struct chat *c, uint64_t id)
{
	struct turn	*t;

	do {
		TAILQ_FOREACH(t, &c->turns, entry)
			if (t->waits_for_name && t->naming == id)
				break;
		if (t != NULL) {
			t->waits_for_name = false;
			turn_go(t);
		}
	} while (t != NULL);
}

static void
on_name(struct scope *s, const struct msg_RESULT *r, void *arg)
{
	struct turn	*t = arg;
	struct chat	*c = t->chat;
	uint64_t	 id = t->naming;
	json_t		*o = NULL;
	const char	*name;

	(void)s;
	t->calls_n--;
	t->asks_name = false;
	if (r->error == ERR_OK)
		o = json_loadb(r->body.p, r->body.n, 0, NULL);
	name = json_string_value(json_object_get(o, id == 0 ? "username" : "name"));
	/* Cancelled with its turn: the next one that needs it asks. */
	if (r->error != ERR_ECANCELLED && id == 0)
		strlcpy(c->bot, name == NULL ? "the bot" : name, sizeof(c->bot));
	else if (r->error != ERR_ECANCELLED)
		name_keep(c, id, name == NULL ? "" : name);
	json_decref(o);
	turn_go(t);
	named(c, id);
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

/*
 * One turn asks, the others that need the same name wait for its answer: Discord's limit for
 * GET /users/@me is a few in some seconds, and many conversations begin at once after a start.
 */
static bool
turn_ask_name(struct turn *t, uint64_t id, const char *path)
{
	const struct turn	*other;

	t->naming = id;
	TAILQ_FOREACH(other, &t->chat->turns, entry)
		if (other->asks_name && other->naming == id)
			break;
	if (other != NULL)
		t->waits_for_name = true;
	else
		t->asks_name = turn_get(t, path, on_name);
	return t->waits_for_name || t->asks_name;
}

/* True: a name is asked for. */
static bool
turn_name(struct turn *t)
{
	struct chat	*c = t->chat;
	char		 path[64];

	if (c->bot[0] == '\0' && prompt_uses(c->system, "bot"))
		return turn_ask_name(t, 0, "/users/@me");
	if (t->guild == 0)
		return false;
	if (prompt_uses(c->system, "channel") && name_find(c, t->channel) == NULL) {
		snprintf(path, sizeof(path), "/channels/%llu", (unsigned long long)t->channel);
		return turn_ask_name(t, t->channel, path);
	}
	if (prompt_uses(c->system, "guild") && name_find(c, t->guild) == NULL) {
		snprintf(path, sizeof(path), "/guilds/%llu", (unsigned long long)t->guild);
		return turn_ask_name(t, t->guild, path);
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
	for (size_t i = chain_n(t->chain); c->models[0].sees && i-- > 0;) {
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
		.open = chat_is_free(c, t->channel), .merge_gap_ms = c->merge_gap_ms,
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

void
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

/* ---- all turns ---- */

/* Of that question, or with that message in its answer; 0: any. */
static bool
is_about(const struct turn *t, uint64_t message)
{
	for (size_t i = 0; i < t->shown_n; i++)
		if (t->shown[i] == message)
			return true;
	return message == 0 || t->message == message;
}

bool
turns_stop(struct chat *c, uint64_t channel, uint64_t asker, uint64_t message)
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

void
turns_delete(struct chat *c, uint64_t message)
{
	struct turn	*t;

	TAILQ_FOREACH(t, &c->turns, entry)
		if (t->message == message && !t->ending) {
			turn_stop(t);
			return;
		}
}

void
turns_free(struct chat *c)
{
	while (!TAILQ_EMPTY(&c->turns))
		turn_free(TAILQ_FIRST(&c->turns));
}
