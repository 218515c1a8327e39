/*
 * codec - what a chat completion's stream means.
 *
 * Pure.  Fed with events of sse, or with a whole JSON answer, it hands out text, reasoning, usage
 * and errors, and says at the end what the stream was worth.  finish_reason is not the end: usage
 * comes after it.  An error is sticky, whatever follows.
 *
 * Its parts: think tells text from thoughts, halves mends characters that were cut in two,
 * toolcalls puts calls of tools together.
 *
 * Source: OpenAI API, chat completion chunks, and what its imitators do instead.
 */
#ifndef WORKER_CHAT_CODEC_H
#define WORKER_CHAT_CODEC_H

#include "worker/chat/body.h"
#include "worker/chat/failure.h"
#include "worker/chat/sse.h"
#include "worker/chat/toolcalls.h"

enum codec_finish {
	CODEC_UNFINISHED,
	CODEC_STOP,
	CODEC_LENGTH,
	CODEC_TOOL_CALLS,
	CODEC_FILTER,
};

struct codec_usage {
	bool		 known;
	uint64_t	 prompt, completion, total;	/* tokens */
	uint64_t	 cached, reasoning;		/* of prompt, of completion */
};

/* Any may be NULL.  Spans are borrowed for the call, whole UTF-8, never empty, without NUL. */
struct codec_ops {
	void	(*text)(void *arg, struct span);
	void	(*retract)(void *arg);		/* all text so far was reasoning; at most once */
	void	(*reasoning)(void *arg, struct span);
	void	(*usage)(void *arg, const struct codec_usage *);	/* the last one counts */
	void	(*finish)(void *arg, enum codec_finish);		/* once, from codec_end */
	void	(*error)(void *arg, const struct failure *);		/* once */
};

struct codec;

/* secret (may be NULL) is taken out of messages; borrowed, as ops. */
struct codec	*codec_new(const struct codec_ops *, void *arg, const char *secret);
void		 codec_free(struct codec **);
void		 codec_event(struct codec *, const struct sse_event *);
/* A whole answer of 200, for servers that do not stream.  Also one that is an error. */
void		 codec_answer(struct codec *, struct span body);
/* Before the first event: it begins with thoughts that only a closing tag ends. */
void		 codec_expect_thoughts(struct codec *);
/* Nothing more will come: hands out what was held back, and the finish when there was one. */
void		 codec_end(struct codec *);

/* ---- what is known so far; strings and calls live as long as the codec ---- */
bool		 codec_saw_text(const struct codec *);		/* that was not taken back */
bool		 codec_lone_closing(const struct codec *);	/* what is to be expected again */
bool		 codec_saw_finish(const struct codec *);
bool		 codec_saw_done(const struct codec *);		/* [DONE], or a whole answer */
bool		 codec_refused(const struct codec *);		/* the text is a refusal */
enum codec_finish codec_finish(const struct codec *);
const struct failure *codec_failure(const struct codec *);	/* NULL: no error came */
const struct codec_usage *codec_usage(const struct codec *);
const char	*codec_id(const struct codec *);		/* of the answer; "" none */
/* A finish_reason nobody knows, which counts as stop; NULL none. */
const char	*codec_odd_finish(const struct codec *);
/* Of tools; arguments are JSON objects as text unless `broken`. */
size_t		 codec_calls_n(const struct codec *);
struct chat_call codec_call(struct codec *, size_t i, bool *broken_r);

/* ---- what a stream was worth ---- */
enum codec_ending { CODEC_AT_EOF, CODEC_AT_CUT, CODEC_AT_TIMEOUT, CODEC_AT_STOP };
#define CODEC_VERDICTS(X) X(OK) X(SUSPECT) X(TRUNCATED) X(TIMEOUT) X(FAILED) X(STOPPED)
enum codec_verdict {
#define X(v) CODEC_##v,
	CODEC_VERDICTS(X)
#undef X
};

struct codec_judgement {
	enum codec_verdict	 verdict;
	bool			 complete;	/* may be kept as the assistant's whole turn */
	bool			 reusable;	/* the connection */
	const char		*note;		/* for the log; NULL nothing */
};

const struct codec_judgement *codec_judge(bool finish, bool error, bool done, enum codec_ending);
const char	*codec_verdict_name(enum codec_verdict);

#endif
