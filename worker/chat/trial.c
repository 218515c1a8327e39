/*
 * trial - the verb try: the model is asked without Discord; see chat.h and role.h.
 */
#include <stdlib.h>

#include "worker/chat/role.h"

#define TRIALS_MAX	16		/* at once */

struct trial {
	TAILQ_ENTRY(trial)	 entry;
	struct chat		*chat;
	uint64_t		 call;
	char			*question;
	struct buf		 text;		/* of the answer */
	size_t			 at;		/* the model that is asked */
	struct prompt		*prompt;
	struct chat_request	 request;
	struct model_ask	*ask;
};

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
	free(t->question);
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

static enum error trial_ask(struct trial *);

static void
on_trial_done(void *arg, const struct model_result *r)
{
	struct trial	*t = arg;
	struct buf	 b = { 0 };
	char		 why[CHAT_NOTE_MAX + 1];

	t->ask = NULL;
	if (chat_falls_back(t->chat, &t->at, "try", r) && trial_ask(t) == ERR_OK)
		return;
	if (r->failure.class == FAILURE_NONE)
		chat_add_notes(&b, r);
	else
		failure_sentence(&r->failure, t->chat->models[t->at].name, r->id, r->wait_ms, &b);
	span_copy(buf_span(&b), why, sizeof(why));
	buf_fini(&b);
	answer(t->chat, t->call, r->failure.class == FAILURE_NONE ? ERR_OK : ERR_EHTTP, why,
	    buf_span(&t->text));
	trial_free(t);
}

static const struct model_ops	 trial_model_ops = {
	.text = on_trial_text, .retract = on_trial_retract, .done = on_trial_done
};

/* The model whose turn it is. */
static enum error
trial_ask(struct trial *t)
{
	const struct chat_model	*model = &t->chat->models[t->at];
	struct prompt_names	 names = { .user = "the administrator" };
	struct prompt_turn	 turn = { .author = 1, .name = "", .text = t->question };

	prompt_free(&t->prompt);
	t->prompt = chat_make_prompt(t->chat, model, &names, false, &turn, 1, false, false);
	chat_fill_request(model, t->prompt, &t->request);
	return model_start(model->model, &t->request, &trial_model_ops, t, &t->ask);
}

void
chat_call(struct chat *c, const struct msg_CALL *m)
{
	struct trial		*t;
	enum error		 error;

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
	t->question = mem_spandup(m->body);
	if ((error = trial_ask(t)) == ERR_OK)
		return;
	answer(c, m->call, error, error_text(error), SPAN_NONE);
	trial_free(t);
}

bool
chat_cancel(struct chat *c, uint64_t call)
{
	struct trial	*t;

	TAILQ_FOREACH(t, &c->trials, entry)
		if (t->call == call) {
			answer(c, call, ERR_ECANCELLED, error_text(ERR_ECANCELLED), SPAN_NONE);
			trial_free(t);
			return true;
		}
	return false;
}

void
trials_free(struct chat *c)
{
	while (!TAILQ_EMPTY(&c->trials))
		trial_free(TAILQ_FIRST(&c->trials));
}
