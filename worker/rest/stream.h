/*
 * stream - one reply that grows, as a state machine.
 *
 * Pure: no sockets, no clock.  Text, time and the answers of requests come in; requests, states and
 * the time of the next look go out through struct stream_ops.
 *
 *  - One request is under way at most; its body is made when it leaves: the latest text wins.
 *  - An edit follows the answer before it by STREAM_EDIT_MS at least, and waits for the bucket's
 *    reset when it would take the last request out of it.
 *  - Message k has its last text before message k + 1 is asked for.
 *  - The last edit of a message is repeated, then replaced by a new message.
 *  - What is shown is not shortened before the end.
 *  - No POST leaves before the journal knows of it: STREAM_STATE asking up, stream_go down.
 *  - Typing is shown until the first text is, and never after the end.
 *
 * Owner: worker/rest/growing.c.  Spans are borrowed for the call.
 * Source: proto/messages.def, Streams; Discord docs, resources/message.
 */
#ifndef WORKER_STREAM_H
#define WORKER_STREAM_H

#include "worker/rest/split.h"
#include "worker/worker.h"

#define STREAM_EDIT_MS		1200	/* between an answer and the next edit */
#define STREAM_FIRST_MS		1500	/* a short text is shown after so long */
#define STREAM_FIRST_UNITS	30	/* a longer one at once */
#define STREAM_TYPING_MS	8000	/* Discord shows typing for 10 s */
#define STREAM_NONCE_MS		60000	/* an asked message may be asked for again with its nonce */
#define STREAM_MESSAGES_MAX	30	/* half of PROTO_EFFECTS_MAX: what is beyond is not shown */
#define STREAM_TEXT_MAX		262144	/* bytes */
#define STREAM_NOTE_MAX		600	/* bytes */

#define STREAM_STATES(X)									\
	X(IDLE)			/* not started */						\
	X(ADOPTING)		/* the last message is being read */				\
	X(LOOKING)		/* for a message that may have been made */			\
	X(BUFFERING)		/* the next text has no message yet */				\
	X(ASKING)		/* the journal is asked for the next message */			\
	X(CREATING)		/* POST */							\
	X(LIVE)			/* the current message is there, nothing is under way */	\
	X(EDITING)		/* PATCH; more may follow */					\
	X(CLOSING)		/* PATCH with the last text of the message */			\
	X(REMOVING)		/* DELETE of a message that a shorter answer does not need */	\
	X(BACKOFF)		/* before the same again */					\
	X(DONE) X(STOPPED) X(FAILED)

#define STREAM_EVENTS(X)									\
	X(START) X(RESTART)	/* a new attempt of the same delivery says it again */		\
	X(TEXT) X(END)										\
	X(GO) X(DENIED)		/* by the journal */						\
	X(ACK)			/* the request was carried out */				\
	X(ABSENT)		/* looked for, not found */					\
	X(GONE)			/* 10008: somebody deleted it */				\
	X(FORBIDDEN)		/* 403, or no such channel */					\
	X(REFUSED)		/* another 4xx: again would end alike */			\
	X(LOST)			/* no answer, or one that another try may not meet */		\
	X(TIME)											\
	X(NEXT)			/* ours: what is due now? */

enum stream_state {
#define X(name) STREAM_##name,
	STREAM_STATES(X)
#undef X
	STREAM__STATES
};

enum stream_event {
#define X(name) STREAM_EV_##name,
	STREAM_EVENTS(X)
#undef X
	STREAM__EVENTS
};

/* What STREAM_STATE says; STREAM_END's kinds. */
enum stream_word {
	WORD_OPEN = 1, WORD_ASKING, WORD_MADE, WORD_SHOWN, WORD_DONE, WORD_STOPPED, WORD_FAILED
};
enum stream_kind { END_NOT, END_FINAL, END_ERROR, END_STOPPED, END_RESTARTING, END_INTERRUPTED };

enum stream_ask { ASK_CREATE, ASK_EDIT, ASK_CLOSE, ASK_GET, ASK_LOOK, ASK_REMOVE };

struct stream;
struct stream_answer;

struct stream_ops {			/* what it asks of the world */
	/*
	 * One request; answered by stream_answer, never from inside.
	 *	message		its id; 0 with CREATE and LOOK
	 *	asked_ms	CREATE and LOOK: how long ago it was asked first
	 */
	void	(*ask)(void *, enum stream_ask, unsigned index, uint64_t message,
		    uint64_t asked_ms);
	void	(*typing)(void *, bool on);	/* POST once; false: one that waits is not sent */
	void	(*tell)(void *, enum stream_word, unsigned index, uint64_t message, uint64_t shown,
		    enum error, const char *why);
	/* Call stream_time then; MONO_NEVER: not needed. */
	void	(*wake_at)(void *, struct mono);
	void	(*unexpected)(void *, enum stream_event);
};

struct stream_message {
	uint64_t	 id;		/* 0: asked, and nobody knows */
	struct mono	 asked;		/* never: not yet */
	struct buf	 shown;
	bool		 known;		/* shown is what Discord shows */
};

struct stream {
	const struct stream_ops	*ops;
	void			*arg;
	enum stream_state	 state;
	struct mono		 now;		/* of the event that is being handled */
	uint64_t		 reply_to, flags;
	/* The text. */
	struct buf		 text;
	struct split		 split;
	size_t			 split_n;	/* pieces; all but the last are final */
	struct mono		 first_text;	/* never: there is none */
	enum stream_kind	 end;
	char			 note[STREAM_NOTE_MAX];
	/* In the order of asking; piece i of the text is shown in messages[map[i]]. */
	struct stream_message	 messages[STREAM_MESSAGES_MAX];
	unsigned		 messages_n;
	unsigned		 map[STREAM_MESSAGES_MAX];
	unsigned		 map_n;
	unsigned		 cur;		/* pieces before it show their last text */
	/* The request that is under way or was the last. */
	unsigned		 piece, index;
	struct buf		 sent;
	uint64_t		 sent_bytes, shown_bytes;	/* of the text */
	unsigned		 lost;		/* in a row */
	struct mono		 next_edit, retry, next_typing;
	bool			 visible;	/* some of this attempt's text is shown */
	bool			 typing;	/* a POST typing may wait to be sent */
	bool			 granted;	/* the newest message has no id; the journal knows */
	bool			 unreadable;	/* the adopted message could not be read */
	bool			 replacing;	/* the current message refused its last text */
	enum error		 denied;	/* by the journal */
	const struct stream_answer *answer;	/* while it is handled */
};

struct stream_answer {
	enum error	 error;
	unsigned	 status;
	uint64_t	 code;			/* of Discord's JSON error */
	uint64_t	 id;		/* of the message made or found; 0: LOOK found none */
	struct span	 content;	/* CREATE, GET, LOOK: what it shows; p NULL: not said */
	double		 remaining, reset_after_s;	/* of the bucket; negative: not said */
};

/* What an earlier attempt asked and made. */
struct stream_past {
	uint64_t	 id, asked_ms;
};

void	 stream_init(struct stream *, uint64_t reply_to, uint64_t flags, const struct stream_ops *,
	    void *arg);
void	 stream_fini(struct stream *);
void	 stream_start(struct stream *, struct mono now, const struct stream_past *,
	    unsigned past_n);
/* Adopted by another attempt while it is still here: its text begins anew. */
void	 stream_restart(struct stream *, struct mono now);
/* More text.  A piece beyond the end of what is known is ignored: it cannot be placed. */
void	 stream_text(struct stream *, struct mono now, uint64_t offset, struct span text);
void	 stream_end(struct stream *, struct mono now, enum stream_kind, struct span note);
/* The journal knows of the message that was asked for; or it has no room and says why. */
void	 stream_go(struct stream *, struct mono now);
void	 stream_denied(struct stream *, struct mono now, enum error);
void	 stream_answer(struct stream *, struct mono now, const struct stream_answer *);
void	 stream_time(struct stream *, struct mono now);
/* Discord refused one: it is not asked again. */
void	 stream_no_typing(struct stream *);
/*
 * The body of the CREATE, EDIT or CLOSE that is leaving now, as JSON.  A repeated request asks
 * again.
 */
void	 stream_body(struct stream *, struct buf *json);
static inline bool
stream_over(const struct stream *s)
{
	return s->state >= STREAM_DONE;
}
/* One event without data, for the test that walks the table.  True when a row matched. */
bool	 stream_feed(struct stream *, struct mono now, enum stream_event);

const char *stream_state_name(enum stream_state);
const char *stream_event_name(enum stream_event);

#endif
