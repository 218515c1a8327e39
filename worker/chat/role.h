/*
 * role - what the parts of the chat role share; private to chat.c, models.c, turn.c and trial.c.
 *
 *	chat	the role's life and options, and what an event means
 *	models	the model that answers and the one that stands in for it
 *	turn	one message that is answered
 *	trial	the verb try
 */
#ifndef WORKER_CHAT_ROLE_H
#define WORKER_CHAT_ROLE_H

#include <sys/queue.h>

#include "worker/chat/chat.h"
#include "worker/chat/context.h"
#include "worker/chat/fetch.h"
#include "worker/chat/model.h"
#include "worker/chat/prompt.h"
#include "worker/chat/trigger.h"

#define CHAT_NAMES_KEPT	64
#define CHAT_NOTE_MAX	512		/* bytes of STREAM_END.note */
#define CHAT_MODELS_MAX	2		/* the one that answers, and its fallback */
#define CHAT_USER_AGENT	"Bulkhead/" BULKHEAD_VERSION

TAILQ_HEAD(turns, turn);
TAILQ_HEAD(trials, trial);

struct chat_name {				/* of a channel or a guild */
	uint64_t	 id;
	char		 text[104];
};

/* A model and what its section of the configuration says. */
struct chat_model {
	struct model	*model;
	char		*name;			/* as its server calls it */
	bool		 sees;
	uint64_t	 max_tokens, context_tokens;	/* 0: not set */
	double		 temperature;		/* NAN: not set */
};

struct chat {
	struct loop		*loop;
	const struct chat_ops	*ops;
	void			*arg;
	struct resolve		*resolve;
	struct chat_model	 models[CHAT_MODELS_MAX];	/* in the order of asking */
	size_t			 models_n;
	struct fetch		*fetch;
	struct context		*context;
	struct turns		 turns;		/* as they came; the first of a channel goes */
	struct trials		 trials;
	size_t			 trials_n;
	struct trigger_guard	 guard;
	struct chat_name	 names[CHAT_NAMES_KEPT];
	size_t			 names_at;
	char			 bot[104];	/* "": not asked yet */

	char			*system;
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

bool		 chat_is_free(const struct chat *, uint64_t channel);

/* ---- asking, for turn and trial ---- */

/* One more sentence of a line; nothing for "". */
void		 chat_add_sentence(struct buf *, const char *sentence);
/* What people should know about an answer that came. */
void		 chat_add_notes(struct buf *, const struct model_result *);
/* given lacks date and bot; the rest as in prompt_new. */
struct prompt	*chat_make_prompt(const struct chat *, const struct chat_model *,
		    const struct prompt_names *given, bool names, const struct prompt_turn *,
		    size_t turns_n, bool cut, bool lost);
void		 chat_fill_request(const struct chat_model *, const struct prompt *,
		    struct chat_request *rq_r);

/* ---- models ---- */

/* NULL, or what is wrong with HELLO's options.  After loop, resolve and ops are set. */
const char	*chat_models_new(struct chat *, const struct msg_HELLO *);
void		 chat_models_free(struct chat *);	/* open asks end without a callback */
/*
 * After a result: whether the next model is asked the same, which is so when its failure is one
 * that another may not have, and no word of an answer was handed out.
 *	at	index of the model that was asked; of the next one when true
 *	tag	of what asks, for the log
 */
bool		 chat_falls_back(const struct chat *, size_t *at, const char *tag,
		    const struct model_result *);

/* ---- turn ---- */

/* ev is borrowed while the scope is open; message: the question's id. */
void		 turn_new(struct chat *, struct scope *, const struct msg_EVENT *ev,
		    const struct trigger_message *, uint64_t message);
/*
 * Ends the asker's turns of a channel that are about message (the question, or one of the answer's;
 * 0: any), the one that speaks last of all.  False: there was none.
 */
bool		 turns_stop(struct chat *, uint64_t channel, uint64_t asker, uint64_t message);
/* Their question is gone. */
void		 turns_delete(struct chat *, uint64_t message);
void		 turns_free(struct chat *);

/* ---- trial ---- */

void		 trials_free(struct chat *);

#endif
