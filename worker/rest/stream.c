/*
 * stream - see stream.h.
 *
 * After each event the table is asked what is due (NEXT) until nothing is: what to do follows from
 * what the text says and what each message shows, not from the order in which things happened.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "worker/rest/codepoint.h"
#include "worker/rest/show.h"

#define FLAG_TYPING		1
#define FLAG_QUIET		2
#define SUPPRESS_NOTIFICATIONS	(1u << 12)
#define RETRY_MS		2000	/* doubled by each loss in a row */
#define RETRY_MAX_MS		30000
#define LOST_MAX		6	/* in a row, of what has to succeed */
#define LOST_CLOSE_MAX		2	/* then the message is replaced by a new one */
#define WAIT_TYPING_MS		2000	/* after something was shown */

const char *
stream_state_name(enum stream_state st)
{
	static const char *const	 names[] = {
#define X(name) #name,
		STREAM_STATES(X)
#undef X
	};

	return names[st];
}

const char *
stream_event_name(enum stream_event ev)
{
	static const char *const	 names[] = {
#define X(name) #name,
		STREAM_EVENTS(X)
#undef X
	};

	return names[ev];
}

/* ---- guards ---- */

static bool
has_message(struct stream *s)
{
	return s->cur < s->map_n;
}

static bool
ended(struct stream *s)
{
	return s->end != END_NOT;
}

static bool
no_message(struct stream *s)
{
	return !has_message(s);
}

static struct stream_message *
newest(struct stream *s)
{
	return s->messages_n == 0 ? NULL : &s->messages[s->messages_n - 1];
}

/* Its nonce may be forgotten by now. */
static bool
must_look(struct stream *s)
{
	struct stream_message	*m = newest(s);

	return m != NULL && m->id == 0 && !mono_is_never(m->asked) &&
	    mono_ms_between(m->asked, s->now) >= STREAM_NONCE_MS;
}

static bool
must_read(struct stream *s)
{
	return s->map_n > 0 && !show_message(s, s->map_n - 1)->known && !s->unreadable;
}

/* It was asked for, and the journal knows. */
static bool
must_repeat(struct stream *s)
{
	struct stream_message	*m = newest(s);

	return m != NULL && m->id == 0 && s->granted;
}

static bool
retry_due(struct stream *s)
{
	return !mono_before(s->now, s->retry);
}

static bool
due_look(struct stream *s)
{
	return retry_due(s) && must_look(s);
}

static bool
due_read(struct stream *s)
{
	return retry_due(s) && must_read(s);
}

static bool
due_repeat(struct stream *s)
{
	return retry_due(s) && must_repeat(s);
}

static bool
matches(struct stream *s)
{
	struct stream_message	*m = show_message(s, s->cur);
	struct buf		 b = { 0 };
	bool			 yes;

	yes = !show_want(s, s->cur, &b) || (m->known && span_eq(buf_span(&b), buf_span(&m->shown)));
	buf_fini(&b);
	return yes;
}

static bool
is_over(struct stream *s)
{
	return has_message(s) && s->cur < show_total(s) && show_closed(s, s->cur) && matches(s);
}

static bool
must_close(struct stream *s)
{
	return has_message(s) && s->cur < show_total(s) && show_closed(s, s->cur);
}

static bool
is_done(struct stream *s)
{
	return ended(s) && s->cur >= show_total(s);
}

static bool
has_surplus(struct stream *s)
{
	return is_done(s) && s->end < END_RESTARTING && s->map_n > s->cur && s->cur > 0;
}

/* There is something to show that is longer than what is shown. */
static bool
has_more(struct stream *s)
{
	struct buf	 b = { 0 };
	bool		 yes;

	if (!has_message(s) || s->cur >= show_total(s) || show_closed(s, s->cur))
		return false;
	yes = show_want(s, s->cur, &b) && !show_shorter(s, s->cur, buf_span(&b)) && !matches(s);
	buf_fini(&b);
	return yes;
}

static bool
may_edit(struct stream *s)
{
	return !mono_before(s->now, s->next_edit) && has_more(s);
}

static bool
lacks_message(struct stream *s)
{
	return !has_message(s) && s->cur < show_total(s);
}

static struct mono
first_due(const struct stream *s)
{
	return mono_add_ms(s->first_text, STREAM_FIRST_MS);
}

static bool
may_create(struct stream *s)
{
	struct buf	 b = { 0 };
	bool		 yes = false;

	if (!lacks_message(s))
		return false;
	if (show_want(s, s->cur, &b) && !show_is_blank(buf_span(&b)))
		yes = s->cur > 0 || show_closed(s, s->cur) ||
		    codepoint_utf16_len(buf_span(&b)) >= STREAM_FIRST_UNITS ||
		    (!mono_is_never(s->first_text) && !mono_before(s->now, first_due(s)));
	buf_fini(&b);
	return yes;
}

static bool
may_lose(struct stream *s)
{
	return s->lost < LOST_MAX;
}

static bool
may_lose_close(struct stream *s)
{
	return s->lost < LOST_CLOSE_MAX;
}

static bool
has_room(struct stream *s)
{
	return s->messages_n < STREAM_MESSAGES_MAX;
}

/* ---- acts ---- */

static void
keep(struct buf *dst, struct span src)
{
	buf_reset(dst);
	buf_add_span(dst, src);
}

static void
tell(struct stream *s, enum stream_word word, enum error error, const char *why)
{
	uint64_t	 id = s->index < s->messages_n ? s->messages[s->index].id : 0;

	s->ops->tell(s->arg, word, s->index, word == WORD_ASKING ? 0 : id, s->shown_bytes, error,
	    why);
}

static void
say_open(struct stream *s)
{
	s->index = s->map_n > 0 ? s->map[s->map_n - 1] : 0;
	tell(s, WORD_OPEN, ERR_OK, NULL);
}

/* The text begins anew; what is shown is edited from the first message on. */
static void
do_restart(struct stream *s)
{
	buf_reset(&s->text);
	split_fini(&s->split);
	split_init(&s->split, SPLIT_LIMIT_DISCORD, 0);
	s->split_n = 0;
	s->first_text = MONO_NEVER;
	s->end = END_NOT;
	s->note[0] = '\0';
	s->cur = 0;
	s->shown_bytes = s->sent_bytes = 0;
	s->visible = false;
	s->next_typing = s->now;
	say_open(s);
}

/* Render what the request that is to come will carry. */
static void
make_sent(struct stream *s)
{
	struct buf	 b = { 0 };

	if (s->piece < show_total(s) && show_want(s, s->piece, &b) && !show_is_blank(buf_span(&b)) &&
	    (show_closed(s, s->piece) || s->piece >= s->map_n || !show_shorter(s, s->piece, buf_span(&b)))) {
		keep(&s->sent, buf_span(&b));
		s->sent_bytes = s->piece + 1 >= show_pieces_n(s) ? s->text.n : 0;
	}
	buf_fini(&b);
}

static void
do_ask(struct stream *s)
{
	s->piece = s->cur;
	s->index = s->messages_n > 0 && newest(s)->id == 0 ? s->messages_n - 1 : s->messages_n;
	s->messages_n = s->index + 1;
	buf_reset(&s->sent);
	make_sent(s);
	tell(s, WORD_ASKING, ERR_OK, NULL);
}

static void
do_create(struct stream *s)
{
	struct stream_message	*m = newest(s);
	uint64_t		 asked_ms = 0;

	s->granted = true;
	s->index = s->messages_n - 1;
	if (mono_is_never(m->asked))
		m->asked = s->now;
	else {
		asked_ms = mono_ms_between(m->asked, s->now);
		asked_ms = asked_ms == 0 ? 1 : asked_ms;
	}
	s->ops->ask(s->arg, ASK_CREATE, s->index, 0, asked_ms);
}

static void
edit(struct stream *s, enum stream_ask kind)
{
	s->piece = s->cur;
	s->index = s->map[s->cur];
	buf_reset(&s->sent);
	make_sent(s);
	s->ops->ask(s->arg, kind, s->index, s->messages[s->index].id, 0);
}

static void
do_edit(struct stream *s)
{
	edit(s, ASK_EDIT);
}

static void
do_close(struct stream *s)
{
	edit(s, ASK_CLOSE);
}

static void
do_read(struct stream *s)
{
	s->piece = s->map_n - 1;
	s->index = s->map[s->piece];
	s->ops->ask(s->arg, ASK_GET, s->index, s->messages[s->index].id, 0);
}

static void
do_look(struct stream *s)
{
	s->index = s->messages_n - 1;
	s->ops->ask(s->arg, ASK_LOOK, s->index, 0,
	    mono_ms_between(newest(s)->asked, s->now));
}

static void
look_first(struct stream *s)
{
	s->granted = true;
	do_look(s);
}

static void
do_remove(struct stream *s)
{
	s->index = s->map[s->map_n - 1];
	s->ops->ask(s->arg, ASK_REMOVE, s->index, s->messages[s->index].id, 0);
}

/* When the next edit may go. */
static void
pace(struct stream *s)
{
	struct mono	 at = mono_add_ms(s->now, STREAM_EDIT_MS), reset;

	s->lost = 0;
	s->next_typing = mono_add_ms(s->now, WAIT_TYPING_MS);
	if (s->answer != NULL && s->answer->remaining >= 0 && s->answer->remaining <= 1 &&
	    s->answer->reset_after_s > 0) {
		reset = mono_add_ms(s->now, (uint64_t)(s->answer->reset_after_s * 1000) + 1);
		if (mono_before(at, reset))
			at = reset;
	}
	s->next_edit = at;
}

static struct span
trimmed(struct span t)
{
	while (t.n > 0 && show_is_blank(span_make(t.p, 1)))
		t = span_make(t.p + 1, t.n - 1);
	while (t.n > 0 && show_is_blank(span_make(t.p + t.n - 1, 1)))
		t.n--;
	return t;
}

static void
note_shown(struct stream_message *m, struct span shown)
{
	keep(&m->shown, shown);
	m->known = true;
}

static void
map_to(struct stream *s, unsigned piece, unsigned index)
{
	s->map[piece] = index;
	if (piece == s->map_n)
		s->map_n++;
}

/*
 * A repeated nonce is answered with the message that was made the first time, and that one shows
 * what it was made with.
 */
static void
take_made(struct stream *s)
{
	struct stream_message	*m = &s->messages[s->index];
	struct span		 said = s->answer == NULL ? SPAN_NONE : s->answer->content;

	m->id = s->answer == NULL ? 0 : s->answer->id;
	s->granted = false;
	if (said.p != NULL && !span_eq(trimmed(said), trimmed(buf_span(&s->sent))))
		note_shown(m, said);
	else {
		note_shown(m, buf_span(&s->sent));
		s->shown_bytes = s->sent_bytes;
	}
	map_to(s, s->piece, s->index);
	s->visible = true;
	pace(s);
	tell(s, WORD_MADE, ERR_OK, NULL);
}

static void
take_shown(struct stream *s)
{
	note_shown(&s->messages[s->index], buf_span(&s->sent));
	s->shown_bytes = s->sent_bytes;
	s->visible = true;
	pace(s);
	tell(s, WORD_SHOWN, ERR_OK, NULL);
}

static void
take_read(struct stream *s)
{
	s->lost = 0;
	if (s->answer != NULL && s->answer->content.p != NULL)
		note_shown(&s->messages[s->index], s->answer->content);
	else
		s->unreadable = true;
}

static void
take_found(struct stream *s)
{
	struct stream_message	*m = &s->messages[s->index];

	s->lost = 0;
	m->id = s->answer == NULL ? 0 : s->answer->id;
	if (s->answer != NULL && s->answer->content.p != NULL)
		note_shown(m, s->answer->content);
	map_to(s, s->map_n, s->index);
	tell(s, WORD_MADE, ERR_OK, NULL);
}

static void
forget_asked(struct stream *s)
{
	s->lost = 0;
	newest(s)->asked = MONO_NEVER;
}

static void
give_up_reading(struct stream *s)
{
	s->lost = 0;
	s->unreadable = true;
}

/* The next one has newer text anyway. */
static void
drop_edit(struct stream *s)
{
	pace(s);
}

static void
wait_more(struct stream *s)
{
	uint64_t	 ms = (uint64_t)RETRY_MS << s->lost;

	s->lost++;
	s->retry = mono_add_ms(s->now, ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms);
}

/* Another message says what this one could not be made to say. */
static void
replace(struct stream *s)
{
	s->lost = 0;
	s->replacing = true;
}

static void
do_ask_instead(struct stream *s)
{
	s->replacing = false;
	do_ask(s);
}

static bool
is_replacing(struct stream *s)
{
	return s->replacing;
}

static void
advance(struct stream *s)
{
	s->cur++;
}

static void
drop_surplus(struct stream *s)
{
	s->lost = 0;
	s->map_n--;
}

static void
do_done(struct stream *s)
{
	if (s->map_n > 0)
		s->index = s->map[s->map_n - 1];
	tell(s, WORD_DONE, ERR_OK, s->split_n > STREAM_MESSAGES_MAX ?
	    "the text is longer than can be shown" : NULL);
}

static void
say_gone(struct stream *s)
{
	tell(s, WORD_STOPPED, ERR_EHTTP, "the message was deleted");
}

static void
say_forbidden(struct stream *s)
{
	tell(s, WORD_STOPPED, ERR_EHTTP, "Discord does not allow it in this channel");
}

static void
say_failed(struct stream *s)
{
	enum error	 e = s->answer != NULL ? s->answer->error : ERR_EHTTP;

	tell(s, WORD_FAILED, e, error_text(e));
}

static void
say_ambiguous(struct stream *s)
{
	tell(s, WORD_FAILED, ERR_EAMBIGUOUS, error_text(ERR_EAMBIGUOUS));
}

static void
say_denied(struct stream *s)
{
	tell(s, WORD_FAILED, s->denied, error_text(s->denied));
}

#define IN(state)	(1u << STREAM_##state)
#define EV(event)	(1u << STREAM_EV_##event)
#define STAY		STREAM__STATES

#define FRESH		(IN(IDLE) | IN(BACKOFF))
#define OPEN		(IN(DONE) - 1 - IN(IDLE))
#define SHOWING		(IN(CREATING) | IN(EDITING) | IN(CLOSING))
#define TOUCHING	(SHOWING | IN(ADOPTING))
#define NEWS		(EV(TEXT) | EV(END) | EV(TIME))
#define BEGIN		(EV(START) | EV(NEXT))

_Static_assert(STREAM__STATES <= 32 && STREAM__EVENTS <= 32, "sets are 32 bits wide");

static const struct edge {		/* first row whose state, event and guard match wins */
	uint32_t		  from, on;
	bool			(*guard)(struct stream *);
	enum stream_state	  to;
	void			(*act)(struct stream *);
} edges[] = {
	{ OPEN,          EV(RESTART),   NULL,           STAY,             do_restart },
	{ FRESH,         BEGIN,         due_look,       STREAM_LOOKING,   do_look },
	{ FRESH,         BEGIN,         due_read,       STREAM_ADOPTING,  do_read },
	{ FRESH,         BEGIN,         due_repeat,     STREAM_CREATING,  do_create },
	{ FRESH,         BEGIN,         retry_due,      STREAM_LIVE,      NULL },
	{ OPEN,          NEWS,          NULL,           STAY,             NULL },

	{ IN(LOOKING),   EV(ACK),       NULL,           STREAM_LIVE,      take_found },
	{ IN(LOOKING),   EV(ABSENT),    NULL,           STREAM_BACKOFF,   forget_asked },
	{ IN(LOOKING),   EV(LOST),      may_lose,       STREAM_BACKOFF,   wait_more },
	{ IN(LOOKING),   EV(LOST),      NULL,           STREAM_FAILED,    say_ambiguous },
	{ IN(LOOKING),   EV(REFUSED),   NULL,           STREAM_FAILED,    say_ambiguous },
	{ IN(LOOKING),   EV(FORBIDDEN), NULL,           STREAM_STOPPED,   say_forbidden },

	{ IN(ADOPTING),  EV(ACK),       NULL,           STREAM_LIVE,      take_read },
	{ IN(ADOPTING),  EV(LOST),      may_lose_close, STREAM_BACKOFF,   wait_more },
	{ IN(ADOPTING),  EV(LOST),      NULL,           STREAM_LIVE,      give_up_reading },
	{ IN(ADOPTING),  EV(REFUSED),   NULL,           STREAM_LIVE,      give_up_reading },

	{ IN(BUFFERING), EV(NEXT),      has_message,    STREAM_LIVE,      NULL },
	{ IN(BUFFERING), EV(NEXT),      is_done,        STREAM_DONE,      do_done },
	{ IN(BUFFERING), EV(NEXT),      may_create,     STREAM_ASKING,    do_ask },
	{ IN(ASKING),    EV(GO),        must_look,      STREAM_LOOKING,   look_first },
	{ IN(ASKING),    EV(GO),        NULL,           STREAM_CREATING,  do_create },
	{ IN(ASKING),    EV(DENIED),    NULL,           STREAM_FAILED,    say_denied },
	{ IN(CREATING),  EV(ACK),       NULL,           STREAM_LIVE,      take_made },
	{ IN(CREATING),  EV(LOST),      may_lose,       STREAM_BACKOFF,   wait_more },
	{ IN(CREATING),  EV(LOST),      NULL,           STREAM_FAILED,    say_failed },
	{ IN(CREATING),  EV(REFUSED),   NULL,           STREAM_FAILED,    say_failed },

	{ IN(LIVE),      EV(NEXT),      is_replacing,   STREAM_ASKING,    do_ask_instead },
	{ IN(LIVE),      EV(NEXT),      is_over,        STAY,             advance },
	{ IN(LIVE),      EV(NEXT),      must_close,     STREAM_CLOSING,   do_close },
	{ IN(LIVE),      EV(NEXT),      may_edit,       STREAM_EDITING,   do_edit },
	{ IN(LIVE),      EV(NEXT),      has_surplus,    STREAM_REMOVING,  do_remove },
	{ IN(LIVE),      EV(NEXT),      is_done,        STREAM_DONE,      do_done },
	{ IN(LIVE),      EV(NEXT),      no_message,     STREAM_BUFFERING, NULL },

	{ IN(EDITING),   EV(ACK),       NULL,           STREAM_LIVE,      take_shown },
	{ IN(EDITING),   EV(LOST),      NULL,           STREAM_LIVE,      drop_edit },
	{ IN(EDITING),   EV(REFUSED),   NULL,           STREAM_LIVE,      drop_edit },
	{ IN(CLOSING),   EV(ACK),       NULL,           STREAM_LIVE,      take_shown },
	{ IN(CLOSING),   EV(LOST),      may_lose_close, STREAM_BACKOFF,   wait_more },
	{ IN(CLOSING),   EV(LOST),      has_room,       STREAM_LIVE,      replace },
	{ IN(CLOSING),   EV(REFUSED),   has_room,       STREAM_LIVE,      replace },
	{ IN(CLOSING),   EV(LOST),      NULL,           STREAM_FAILED,    say_failed },
	{ IN(CLOSING),   EV(REFUSED),   NULL,           STREAM_FAILED,    say_failed },

	{ IN(REMOVING),  EV(ACK),       NULL,           STREAM_LIVE,      drop_surplus },
	{ IN(REMOVING),  EV(GONE),      NULL,           STREAM_LIVE,      drop_surplus },
	{ IN(REMOVING),  EV(FORBIDDEN), NULL,           STREAM_LIVE,      drop_surplus },
	{ IN(REMOVING),  EV(REFUSED),   NULL,           STREAM_LIVE,      drop_surplus },
	{ IN(REMOVING),  EV(LOST),      NULL,           STREAM_LIVE,      drop_surplus },

	{ TOUCHING,      EV(GONE),      NULL,           STREAM_STOPPED,   say_gone },
	{ TOUCHING,      EV(FORBIDDEN), NULL,           STREAM_STOPPED,   say_forbidden },
};

static bool
feed(struct stream *s, enum stream_event ev)
{
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		const struct edge	*e = &edges[i];

		if ((e->from & 1u << s->state) == 0 || (e->on & 1u << ev) == 0 ||
		    (e->guard != NULL && !e->guard(s)))
			continue;
		if (e->to != STAY)
			s->state = e->to;
		if (e->act != NULL)
			e->act(s);
		return true;
	}
	return false;
}

/* ---- after an event ---- */

static bool
wants_typing(const struct stream *s)
{
	bool	 waiting = s->state == STREAM_BUFFERING || s->state == STREAM_ASKING ||
		    s->state == STREAM_CREATING;

	return (s->flags & FLAG_TYPING) != 0 && s->end == END_NOT && !stream_over(s) &&
	    (waiting || !s->visible);
}

static void
type(struct stream *s)
{
	if (!wants_typing(s)) {
		if (s->typing)
			s->ops->typing(s->arg, false);
		s->typing = false;
	} else if (!mono_before(s->now, s->next_typing)) {
		s->typing = true;
		s->next_typing = mono_add_ms(s->now, STREAM_TYPING_MS);
		s->ops->typing(s->arg, true);
	}
}

static struct mono
sooner(struct mono a, struct mono b)
{
	return mono_is_never(a) || mono_before(b, a) ? b : a;
}

static void
wake(struct stream *s)
{
	struct mono	 at = MONO_NEVER;

	if (wants_typing(s))
		at = sooner(at, s->next_typing);
	if (s->state == STREAM_BUFFERING && !mono_is_never(s->first_text) && lacks_message(s) &&
	    mono_before(s->now, first_due(s)))
		at = sooner(at, first_due(s));
	if (s->state == STREAM_LIVE && has_more(s))
		at = sooner(at, s->next_edit);
	if (s->state == STREAM_BACKOFF)
		at = sooner(at, s->retry);
	s->ops->wake_at(s->arg, at);
}

bool
stream_feed(struct stream *s, struct mono now, enum stream_event ev)
{
	s->now = now;
	if (!feed(s, ev)) {
		s->ops->unexpected(s->arg, ev);
		return false;
	}
	/* Each NEXT brings a piece, a message or a request further; a request ends the walk. */
	while (feed(s, STREAM_EV_NEXT))
		continue;
	type(s);
	wake(s);
	return true;
}

/* ---- what comes in ---- */

void
stream_init(struct stream *s, uint64_t reply_to, uint64_t flags, const struct stream_ops *ops,
    void *arg)
{
	*s = (struct stream){ .ops = ops, .arg = arg, .reply_to = reply_to, .flags = flags };
	split_init(&s->split, SPLIT_LIMIT_DISCORD, 0);
}

void
stream_fini(struct stream *s)
{
	split_fini(&s->split);
	buf_fini(&s->text);
	buf_fini(&s->sent);
	for (unsigned i = 0; i < STREAM_MESSAGES_MAX; i++)
		buf_fini(&s->messages[i].shown);
}

void
stream_start(struct stream *s, struct mono now, const struct stream_past *past, unsigned past_n)
{
	struct stream_message	*m;

	s->now = s->next_typing = now;
	for (unsigned i = 0; i < past_n && i < STREAM_MESSAGES_MAX; i++) {
		m = &s->messages[s->messages_n++];
		m->id = past[i].id;
		m->asked.us = 1;
		if (now.us / 1000 > past[i].asked_ms)
			m->asked.us = now.us - past[i].asked_ms * 1000;
		if (m->id != 0)
			map_to(s, s->map_n, i);
	}
	say_open(s);
	(void)stream_feed(s, now, STREAM_EV_START);
}

void
stream_restart(struct stream *s, struct mono now)
{
	(void)stream_feed(s, now, STREAM_EV_RESTART);
}

void
stream_text(struct stream *s, struct mono now, uint64_t offset, struct span text)
{
	uint64_t	 known;

	if (s->end != END_NOT || offset > s->text.n)
		return;
	known = s->text.n - offset;
	if (known >= text.n)
		return;
	text = span_make(text.p + known, text.n - known);
	if (text.n > STREAM_TEXT_MAX - s->text.n)
		text.n = STREAM_TEXT_MAX - s->text.n;
	buf_add_span(&s->text, text);
	if (mono_is_never(s->first_text))
		s->first_text = now;
	show_cut(s);
	(void)stream_feed(s, now, STREAM_EV_TEXT);
}

void
stream_end(struct stream *s, struct mono now, enum stream_kind kind, struct span note)
{
	if (s->end != END_NOT || stream_over(s))
		return;
	show_end(s, kind, note);
	(void)stream_feed(s, now, STREAM_EV_END);
}

void
stream_go(struct stream *s, struct mono now)
{
	(void)stream_feed(s, now, STREAM_EV_GO);
}

void
stream_denied(struct stream *s, struct mono now, enum error error)
{
	s->denied = error;
	(void)stream_feed(s, now, STREAM_EV_DENIED);
}

/* What Discord said, or did not. */
static enum stream_event
event_of(const struct stream *s, const struct stream_answer *a)
{
	if (a->error == ERR_OK)
		return s->state == STREAM_LOOKING && a->id == 0 ? STREAM_EV_ABSENT : STREAM_EV_ACK;
	if (a->error == ERR_EHTTP && a->status == 404 && a->code == 10008)
		return STREAM_EV_GONE;
	if (a->error == ERR_EHTTP && (a->status == 403 || a->status == 404))
		return STREAM_EV_FORBIDDEN;
	if (a->error == ERR_EHTTP && a->status >= 400 && a->status < 500)
		return STREAM_EV_REFUSED;
	if (a->error == ERR_ETOKEN || a->error == ERR_EINVALID)
		return STREAM_EV_REFUSED;
	return STREAM_EV_LOST;
}

void
stream_answer(struct stream *s, struct mono now, const struct stream_answer *a)
{
	s->answer = a;
	(void)stream_feed(s, now, event_of(s, a));
	s->answer = NULL;
}

void
stream_time(struct stream *s, struct mono now)
{
	(void)stream_feed(s, now, STREAM_EV_TIME);
}

void
stream_no_typing(struct stream *s)
{
	s->flags &= ~(uint64_t)FLAG_TYPING;
	s->typing = false;
}

void
stream_body(struct stream *s, struct buf *json)
{
	struct json_out	 j;

	make_sent(s);
	json_out_init(&j, json);
	json_obj(&j);
	json_kv_str(&j, "content", buf_span(&s->sent));
	json_key(&j, "allowed_mentions");
	json_obj(&j);
	json_key(&j, "parse");
	json_arr(&j);
	json_arr_end(&j);
	json_obj_end(&j);
	if (s->state == STREAM_CREATING && s->index == 0 && s->reply_to != 0) {
		json_key(&j, "message_reference");
		json_obj(&j);
		json_kv_id(&j, "message_id", s->reply_to);
		json_kv_bool(&j, "fail_if_not_exists", false);
		json_obj_end(&j);
	}
	if (s->state == STREAM_CREATING && (s->flags & FLAG_QUIET) != 0)
		json_kv_u64(&j, "flags", SUPPRESS_NOTIFICATIONS);
	json_obj_end(&j);
}
