/*
 * body - the body of a chat completion request, as the provider's row wants it.
 *
 * Pure.  The same conversation gives the same bytes, and a longer one begins with them: providers
 * cache prefixes.  Text that is not UTF-8 is mended.
 *
 * Everything in struct chat_* is borrowed for the call.
 * Source: OpenAI API, chat completions.
 */
#ifndef WORKER_CHAT_BODY_H
#define WORKER_CHAT_BODY_H

#include "common/mem.h"
#include "common/span.h"
#include "worker/chat/failure.h"
#include "worker/chat/provider.h"

#define BODY_DROPPED_MAX	8
#define BODY_STOPS_MAX		4
#define BODY_CALL_ID_BYTES	10	/* 9 and the end */

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };

struct chat_image {
	struct span	 data;		/* the file; empty: url */
	const char	*type;		/* "image/png" */
	const char	*url;		/* https, for providers that fetch */
};

struct chat_call {			/* of a tool */
	const char	*id, *name;
	struct span	 arguments;	/* JSON text */
};

struct chat_message {
	enum chat_role		 role;
	struct span		 text;
	const char		*name;		/* of the speaker; NULL none */
	const struct chat_image	*images;	/* of a user */
	size_t			 images_n;
	struct span		 reasoning;	/* of an assistant; p NULL: it had none */
	const struct chat_call	*calls;		/* of an assistant */
	size_t			 calls_n;
	const char		*call_id;	/* of a tool's result */
};

struct chat_params {
	double		 temperature, top_p;	/* NAN: not sent */
	double		 presence_penalty, frequency_penalty;	/* the same */
	uint64_t	 max_tokens;		/* 0: not sent */
	int64_t		 seed;			/* negative: not sent */
	const char	*stop[BODY_STOPS_MAX];
	size_t		 stop_n;
	const char	*reasoning_effort;	/* NULL: not sent, as all below */
	const char	*user;			/* a salted hash */
	const char	*tools, *tool_choice;	/* JSON */
	bool		 vision;		/* the model is declared to see */
};

struct chat_request {
	const char			*model;
	const struct chat_message	*messages;
	size_t				 messages_n;
	struct chat_params		 params;
};

/* What a model has taught by refusing; zeroed is nothing. */
struct body_learned {
	bool	 token_swapped;
	bool	 echo;			/* reasoning goes back with each turn, perhaps "" */
	char	 dropped[BODY_DROPPED_MAX][64];
	size_t	 dropped_n;
};

/* What this attempt leaves out; zeroed is nothing. */
struct body_cut {
	size_t	 oldest_n;		/* messages after the system prompt */
	bool	 images, bare;		/* bare: tools and reasoning */
};

void	 chat_params_init(struct chat_params *);	/* nothing is sent */
void	 body_build(const struct chat_request *, const struct provider *,
	    const struct body_learned *, const struct body_cut *, struct buf *out);
/* After FAILURE_PARAMS: true when the next request will be another one. */
bool	 body_learn(struct body_learned *, const struct provider *, const struct failure *);
/* For body_cut.oldest_n: a third of what can go; 0 when nothing can. */
size_t	 body_oldest_third(const struct chat_request *);
bool	 body_has_images(const struct chat_request *);
/* id as nine letters and digits: itself when it is that, else always the same for the same id. */
void	 body_call_id(const char *id, char out_r[BODY_CALL_ID_BYTES]);

#endif
