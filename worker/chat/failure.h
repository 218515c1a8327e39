/*
 * failure - why a model gave no answer: what it is, whether to ask again, what a person is told.
 *
 * Pure.  Times are arguments.  Texts come from servers: they are cut, cleaned and rid of keys
 * before anyone sees them.
 *
 * Source: the OpenAI API's error bodies and those of its imitators; openai-python's retry policy.
 */
#ifndef WORKER_CHAT_FAILURE_H
#define WORKER_CHAT_FAILURE_H

#include <jansson.h>

#include "common/count.h"
#include "common/mem.h"
#include "common/span.h"

#define FAILURE_MESSAGE_MAX	300	/* bytes */
#define FAILURE_RETRIES_MAX	2
#define FAILURE_CODE_ECHO	"echo_required"	/* ours: reasoning has to go back */
#define FAILURE_DELAY_MAX_MS	8000
#define FAILURE_WISH_MAX_MS	120000	/* a server that wants more is not asked again now */

/*
 * FAILURE(CLASS, REMEDY, may another model be asked, is it for the administrator, counter,
 *     "sentence")
 * In sentences: %m the model, %p the parameter, %r ": what the server said", %w "in 20 s" or
 * "later".
 */
#define FAILURES \
FAILURE(NONE, NO, false, false, COUNT_model_answers, "") \
FAILURE(AUTH, NO, true, true, COUNT_model_refused, \
    "The model provider refused the bot's API key; its administrator has to look after it.") \
FAILURE(QUOTA, NO, true, true, COUNT_model_refused, \
    "The bot's credit at the model provider is used up.") \
FAILURE(DENIED, NO, false, false, COUNT_model_refused, \
    "The model provider refused this request%r.") \
FAILURE(MODEL, NO, true, true, COUNT_model_refused, \
    "The model %m is not available.") \
FAILURE(CONTEXT, TRIM, false, false, COUNT_model_refused, \
    "This conversation is too long for the model %m.") \
FAILURE(PARAMS, RENAME, false, true, COUNT_model_refused, \
    "The model %m does not accept the parameter %p.") \
FAILURE(REQUEST, NO, false, true, COUNT_model_refused, \
    "The model provider rejected the request.") \
FAILURE(TRANSIENT, AGAIN, true, false, COUNT_model_broken, \
    "The model provider had a failure; please try again later.") \
FAILURE(TOO_LARGE, PLAIN, false, false, COUNT_model_refused, \
    "The request is too large for the model provider.") \
FAILURE(RATE, AGAIN, true, false, COUNT_model_busy, \
    "The model is busy; please try again %w.") \
FAILURE(OVERLOADED, AGAIN, true, false, COUNT_model_busy, \
    "The model is loading or overloaded; please try again %w.") \
FAILURE(EMPTY, BARE, true, false, COUNT_model_broken, \
    "The model returned nothing.") \
FAILURE(FILTERED, NO, false, false, COUNT_model_cut, \
    "The model provider's content filter stopped this answer.") \
FAILURE(LENGTH, NO, false, false, COUNT_model_cut, \
    "The answer reached the length limit.") \
FAILURE(TRUNCATED, AGAIN, true, false, COUNT_model_broken, \
    "The model's answer broke off before its end.") \
FAILURE(TIMEOUT, NO, true, false, COUNT_model_late, \
    "The model did not answer in time.") \
FAILURE(TRANSPORT, AGAIN, true, false, COUNT_model_unreachable, \
    "The model server cannot be reached.") \
FAILURE(PROTOCOL, NO, true, true, COUNT_model_broken, \
    "The model server answered with something that is no chat completion.") \
FAILURE(SESSION, NO, false, false, COUNT_model_unreachable, \
    "The bot is about to restart; please try again in a moment.")

enum failure_class {
#define FAILURE(class, remedy, fallback, alert, counter, sentence) FAILURE_##class,
	FAILURES
#undef FAILURE
	FAILURE__N
};

enum failure_remedy {
	FAILURE_NO,
	FAILURE_AGAIN,		/* the same, later */
	FAILURE_TRIM,		/* once without the oldest third */
	FAILURE_RENAME,		/* once with that parameter renamed or dropped; then for ever */
	FAILURE_PLAIN,		/* once without images */
	FAILURE_BARE,		/* once without tools and reasoning */
};

struct failure {
	enum failure_class	 class;
	unsigned		 status;		/* of HTTP; 0: none came */
	/* what the server said, for logs */
	char			 message[FAILURE_MESSAGE_MAX + 1];
	char			 code[64], type[64], param[64];
};

/* What the server says about asking again; header values, empty when absent. */
struct failure_wish {
	struct span	 retry_after_ms, retry_after, should_retry;
	/* x-ratelimit-{remaining,reset}-{requests,tokens}, of 429 */
	struct {
		struct span	 remaining, reset;
	} rates[2];
};

/* An answer with a status other than 2xx.  secret (may be NULL) is taken out of the message. */
void		 failure_read(struct failure *, unsigned status, struct span body,
		    const char *secret);
/* An error inside an answer that began with 200; any shape. */
void		 failure_read_json(struct failure *, json_t *, const char *secret);
/* One that was found here. */
void		 failure_set(struct failure *, enum failure_class, const char *message);

const char	*failure_name(enum failure_class);
enum failure_remedy failure_remedy(enum failure_class);
bool		 failure_may_fall_back(enum failure_class);
bool		 failure_alerts(enum failure_class);
enum counter	 failure_counter(enum failure_class);	/* of answers that end so */

/*
 * Whether to send the same request again, and when.
 *	retries		how often that was done before
 *	retries_max	FAILURE_RETRIES_MAX, more for a local server that loads its model
 *	random		any number: the jitter
 * A visible word has not been seen: that is for the caller to know.
 */
bool		 failure_retry(const struct failure *, const struct failure_wish *,
		    unsigned retries, unsigned retries_max, uint64_t wall_ms, uint32_t random,
		    uint64_t *wait_ms_r);
/* What the server asks to wait, 0 nothing that can be read; may be above FAILURE_WISH_MAX_MS. */
uint64_t	 failure_wish_ms(const struct failure_wish *, uint64_t wall_ms);

/*
 * The same for a person: without such a wish, when the rate that is used up begins anew.  It decides
 * nothing: what is left of a rate is not what this request was refused for, always.
 */
uint64_t	 failure_told_ms(const struct failure_wish *, uint64_t wall_ms);

/* One sentence for a person; id and model may be NULL, wait_ms 0. */
void		 failure_sentence(const struct failure *, const char *model, const char *id,
		    uint64_t wait_ms, struct buf *out);

#endif
