/*
 * model - asks a model and hands on its answer while it grows.
 *
 * One struct model is one configured model: its server, its row of proto/providers.def, what it has
 * taught by refusing, its HTTP session.  After failures_max transport failures in a row the session
 * is replaced by one of a new generation; what was admitted to the old one ends on it.
 *
 * The times are our own, none is curl's average: name and connect (each connect_ms), first byte of
 * the body, idle since the last data event (comments do not count), total with all attempts.  A
 * request is sent again only while no visible text has been handed out, on a connection of its own
 * when the last one failed.  The key never follows a redirect, since none is followed.
 *
 * Owner: the chat role.  Callbacks never come from inside a call of this header.
 */
#ifndef WORKER_CHAT_MODEL_H
#define WORKER_CHAT_MODEL_H

#include "common/loop.h"
#include "common/resolve.h"
#include "worker/chat/codec.h"
#include "worker/runtime/session.h"

#define MODEL_CONNECT_MS	10000
#define MODEL_FIRST_BYTE_MS	120000
#define MODEL_FIRST_BYTE_LOCAL_MS 600000	/* a local server may load the model first */
#define MODEL_IDLE_MS		90000
#define MODEL_TOTAL_MS		600000
#define MODEL_TAIL_MS		5000	/* after finish_reason, for the usage */
#define MODEL_LINGER_MS		100	/* after [DONE], for the end of the body */
#define MODEL_FAILURES_MAX	3
#define MODEL_CONNECTIONS	512	/* an answer each, with HTTP/1.1 */

struct model;
struct model_ask;

/* Copied.  Times and counts of 0: the figures above. */
struct model_config {
	const char	*base_url;	/* usually ends in /v1; slashes at its end do not matter */
	const char	*query;		/* "api-version=...", NULL none */
	const char	*name;		/* of the model, as the server calls it */
	const char	*provider;	/* row of providers.def; NULL: by base_url */
	const char	*api_key;	/* NULL or "": none is sent */
	const char	*headers;	/* more header lines, each ends with LF; NULL none */
	bool		 thinks;	/* answers begin with thoughts that nothing opens */
	const char	*user_agent;
	const char	*ca_file;	/* NULL: the system's */
	uint64_t	 connect_ms, first_byte_ms, idle_ms, total_ms;
	unsigned	 failures_max;
	/* Every change of state of each session, with its reason.  Never NULL. */
	void		(*on_state)(void *arg, const char *tag, enum http_state, const char *why);
	void		*arg;
};

struct model_result {
	enum codec_verdict	 verdict;
	bool			 complete;	/* may be kept as the assistant's whole turn */
	bool			 trimmed;	/* older messages were left out */
	bool			 images_dropped;
	bool			 shrunk;	/* the server seems not to have read all */
	bool			 spoke;		/* some text was handed out */
	enum codec_finish	 finish;
	struct failure		 failure;	/* class NONE: none; also for LENGTH, FILTERED */
	uint64_t		 wait_ms;	/* the server asks for it; for failure_sentence */
	struct codec_usage	 usage;
	struct codec		*codec;		/* for codec_call; NULL when no answer began */
	const char		*id;		/* of the request, at the provider; "" unknown */
	unsigned		 attempts;
};

/* Spans are borrowed.  Any but done may be NULL.  model_stop may be called from each. */
struct model_ops {
	void	(*text)(void *arg, struct span);
	void	(*retract)(void *arg);		/* all text so far was reasoning; at most once */
	void	(*reasoning)(void *arg, struct span);
	/* It will be asked again in wait_ms; reasoning begins anew. */
	void	(*again)(void *arg, const struct failure *, uint64_t wait_ms);
	/* Once, and the last one; the ask is gone when it returns. */
	void	(*done)(void *arg, const struct model_result *);
};

/* NULL with a sentence when the configuration will not do. */
struct model	*model_new(struct loop *, struct resolve *, const struct model_config *,
		    const char **why_r);
/* Open asks end without a callback.  Not from a callback. */
void		 model_free(struct model **);
const struct provider *model_provider(const struct model *);
const char	*model_name(const struct model *);

/*
 * ERR_OK, or why the session takes nothing (ERR_ESESSION_*).
 *	rq	borrowed until done or model_stop, with all it points to; its model is not looked at
 *	ops	copied
 */
enum error	 model_start(struct model *, const struct chat_request *rq,
		    const struct model_ops *, void *arg, struct model_ask **ask_r);
/* Closes the connection at once.  No callback after this. */
void		 model_stop(struct model_ask **);

#endif
