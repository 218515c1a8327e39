/*
 * session - the table, its guards and its actions.
 *
 * Waits.  A lost connection is tried again at once, then after a random part of 1, 2, 4 s ... up to
 * backoff_max (full jitter); ten live seconds forget the losses.  A RESUME is tried three times:
 * a session can be "bricked", each RESUME answered by a reset (discord-api-docs#1619).  IDENTIFY
 * has a budget of 1000 a day: the first is free, the next wait a random part of 10, 20, 40 s ...
 * up to 10 minutes, 288 a day on average, and only two live minutes forget them, so even a session
 * that dies right after that is 720 a day.
 */
#include <stddef.h>

#include "supervisor/gateway/session.h"

#define RESUMES_MAX		3u
#define BACKOFF_FIRST_MS	1000u
#define HEALTHY_MS		10000u
#define IDENTIFY_FIRST_MS	5000u
#define IDENTIFY_BACKOFF_MS	600000u
#define IDENTIFY_HEALTHY_MS	120000u
#define INVALID_MIN_MS		1000u	/* op 9: wait 1 to 5 s, discord-api-docs#244 */
#define INVALID_SPAN_MS		4000u
#define BACKFILL_MS		60000u	/* ACKs may queue behind the guilds for so long */
#define ASK_MS			60000u	/* bound of GET /gateway/bot, its retries included */
#define STOP_MS			1500u

static const char *const state_names[] = {
#define X(name) #name,
	SESS_STATES(X)
#undef X
};

static const char *const event_names[] = {
#define X(name) #name,
	SESS_EVENTS(X)
#undef X
};

enum close_class { CLASS_RESUME, CLASS_FRESH, CLASS_FATAL };

static const struct {
	unsigned	 code;
	enum close_class class;
	const char	*sentence;
} close_codes[] = {
#define CLOSE(code, class, sentence) { code, CLASS_##class, sentence },
#include "proto/closecodes.def"
#undef CLOSE
};

const char *
sess_state_name(enum sess_state st)
{
	return state_names[st];
}

const char *
sess_event_name(enum sess_event ev)
{
	return event_names[ev];
}

enum sess_event
sess_close_event(unsigned code, const char **sentence_r)
{
	for (size_t i = 0; i < sizeof(close_codes) / sizeof(close_codes[0]); i++) {
		if (close_codes[i].code != code)
			continue;
		if (sentence_r != NULL)
			*sentence_r = close_codes[i].sentence;
		switch (close_codes[i].class) {
		case CLASS_RESUME:
			return SEV_GONE_RESUME;
		case CLASS_FRESH:
			return SEV_GONE_FRESH;
		case CLASS_FATAL:
			break;
		}
		return code == 4004 ? SEV_GONE_TOKEN : code == 4013 || code == 4014 ?
		    SEV_GONE_INTENTS : SEV_GONE_FATAL;
	}
	if (sentence_r != NULL)
		*sentence_r = code == 0 ? "no close code" : "a close code that is not documented";
	return SEV_GONE_RESUME;
}

/* Guards. */

static bool
can_resume(const struct session *s)
{
	return s->has_session && ((s->has_resume_url && !s->other_url) || s->has_url);
}

static bool
slot_free(const struct session *s)
{
	return s->ops->slot_ms(s->arg) == 0;
}

static bool
have_session(const struct session *s)
{
	return s->has_session;
}

static bool
tired(const struct session *s)
{
	return s->resumes >= RESUMES_MAX;
}

/*
 * No ACK since the last periodic beat.  While events pour in - replay, and the guilds after
 * READY - ACKs queue behind them: then any frame is a sign of life.
 */
static bool
silent(const struct session *s)
{
	if (!s->ack_due || s->paused)
		return false;
	if (s->state == SESS_READY && mono_ms_between(s->live_at, s->now) >= BACKFILL_MS)
		return true;
	return !mono_before(s->beat_sent, s->frame_at);
}

static bool
silent_tired(const struct session *s)
{
	return silent(s) && tired(s);
}

static bool
not_reading(const struct session *s)
{
	return s->paused;
}

/* The replay is long, but it moves. */
static bool
moving(const struct session *s)
{
	return !mono_is_never(s->dispatch_at) && mono_ms_between(s->dispatch_at,
	    s->now) < s->conf.hello_ms;
}

/* Actions. */

static void
quiet(struct session *s)
{
	for (int t = 0; t < SESS__TIMERS; t++)
		s->ops->stop(s->arg, (enum sess_timer)t);
}

static void
arm_ms(struct session *s, enum sess_timer t, uint64_t ms)
{
	s->ops->arm(s->arg, t, mono_add_ms(s->now, ms));
}

static void
hang_up(struct session *s, unsigned code)
{
	s->generation++;
	s->ops->hangup(s->arg, code);
}

static void
do_ask(struct session *s)
{
	arm_ms(s, SESS_PHASE, ASK_MS);
	s->ops->ask_bot(s->arg);
}

static void
do_dial(struct session *s)
{
	bool	 resume_url = s->has_session && s->has_resume_url && !(s->other_url && s->has_url);

	s->generation++;
	s->ack_due = false;
	s->frame_at = s->dispatch_at = s->live_at = MONO_NEVER;
	arm_ms(s, SESS_PHASE, s->conf.dial_ms);
	s->ops->dial(s->arg, resume_url);
}

static void
do_wait_slot(struct session *s)
{
	uint64_t	 ms = s->ops->slot_ms(s->arg);

	s->ops->stop(s->arg, SESS_PHASE);
	arm_ms(s, SESS_SLOTS, ms);
}

static void
await_hello(struct session *s)
{
	arm_ms(s, SESS_PHASE, s->conf.hello_ms);
}

/* Discord docs, sending heartbeats: the first after a random part of the interval. */
static void
begin_beats(struct session *s)
{
	s->beat_due = mono_add_ms(s->now, s->ops->random(s->arg, s->interval_ms));
	s->ops->arm(s->arg, SESS_BEAT, s->beat_due);
	arm_ms(s, SESS_PHASE, s->conf.hello_ms);
}

static void
do_resume(struct session *s)
{
	s->resumes++;
	begin_beats(s);
	s->ops->send_resume(s->arg);
}

static void
do_identify(struct session *s)
{
	s->identifies++;
	begin_beats(s);
	s->ops->send_identify(s->arg);
}

static void
go_live_new(struct session *s)
{
	s->ops->stop(s->arg, SESS_PHASE);
	s->has_session = true;
	s->resumes = 0;
	s->other_url = false;
	s->live_at = s->now;
	s->ops->live(s->arg, false);
}

static void
go_live_again(struct session *s)
{
	s->ops->stop(s->arg, SESS_PHASE);
	s->resumes = 0;
	s->live_at = s->now;
	s->ops->live(s->arg, true);
}

static void
do_beat(struct session *s)
{
	struct mono	 due = s->beat_due;

	s->ack_due = true;
	s->beat_sent = s->now;
	/*
	 * From due to due, so that the rhythm does not drift; a stall skips beats, it does not
	 * queue them.
	 */
	s->beat_due = mono_add_ms(due, s->interval_ms);
	if (!mono_before(s->now, s->beat_due))
		s->beat_due = mono_add_ms(s->now, s->interval_ms);
	s->ops->arm(s->arg, SESS_BEAT, s->beat_due);
	s->ops->send_beat(s->arg, due);
}

/* Asked for by op 1: at once, and neither rhythm nor ACK rule know of it. */
static void
do_beat_asked(struct session *s)
{
	s->ops->send_beat(s->arg, MONO_NEVER);
}

static void
note_ack(struct session *s)
{
	s->ack_due = false;
}

static void
still_moving(struct session *s)
{
	arm_ms(s, SESS_PHASE, s->conf.hello_ms);
}

static uint64_t
grown(uint64_t first_ms, unsigned times, uint64_t max_ms)
{
	return times >= 32 || first_ms << times > max_ms ? max_ms : first_ms << times;
}

static void
wait_at_least(struct session *s, uint64_t least_ms)
{
	uint64_t	 ms = 0, other;

	quiet(s);
	if (!mono_is_never(s->live_at)) {
		if (mono_ms_between(s->live_at, s->now) >= HEALTHY_MS)
			s->losses = 0;
		if (mono_ms_between(s->live_at, s->now) >= IDENTIFY_HEALTHY_MS)
			s->identifies = 0;
		s->live_at = MONO_NEVER;
	}
	if (s->losses > 0)
		ms = s->ops->random(s->arg, grown(BACKOFF_FIRST_MS, s->losses - 1,
		    s->conf.backoff_max_ms));
	if (!s->has_session && s->identifies > 1) {
		other = s->ops->random(s->arg, grown(IDENTIFY_FIRST_MS, s->identifies - 1,
		    IDENTIFY_BACKOFF_MS));
		if (other > ms)
			ms = other;
	}
	if (least_ms > ms)
		ms = least_ms;
	s->losses++;
	s->retry_at = mono_add_ms(s->now, ms);
	s->ops->arm(s->arg, SESS_RETRY, s->retry_at);
}

static void
back_off(struct session *s)
{
	wait_at_least(s, 0);
}

/*
 * twilight#1942: a resume URL that does not connect is not tried for ever; the session may live on
 * behind the general one.  They take turns, because the fault may as well be ours.
 */
static void
other_url(struct session *s)
{
	s->other_url = !s->other_url;
	back_off(s);
}

static void
drop_other_url(struct session *s)
{
	hang_up(s, SESS_CLOSE_DROP);
	other_url(s);
}

static void
drop(struct session *s)
{
	hang_up(s, SESS_CLOSE_DROP);
	back_off(s);
}

static void
drop_zombie(struct session *s)
{
	s->ops->zombie(s->arg);
	drop(s);
}

static uint64_t
invalid_ms(struct session *s)
{
	return INVALID_MIN_MS + s->ops->random(s->arg, INVALID_SPAN_MS);
}

static void
drop_pause(struct session *s)
{
	hang_up(s, SESS_CLOSE_DROP);
	wait_at_least(s, invalid_ms(s));
}

static void
forget(struct session *s)
{
	s->resumes = 0;
	if (!s->has_session)
		return;
	s->has_session = s->has_resume_url = s->other_url = false;
	s->ops->lost(s->arg);
}

static void
forget_back_off(struct session *s)
{
	forget(s);
	back_off(s);
}

static void
forget_drop(struct session *s)
{
	forget(s);
	drop(s);
}

/* With a code that ends it at Discord too: two sessions would hear everything twice. */
static void
forget_hang_up(struct session *s)
{
	forget(s);
	hang_up(s, SESS_CLOSE_FINAL);
	back_off(s);
}

static void
forget_zombie(struct session *s)
{
	forget(s);
	drop_zombie(s);
}

static void
forget_drop_pause(struct session *s)
{
	forget(s);
	drop_pause(s);
}

static void
fail(struct session *s, enum sess_fatal why)
{
	quiet(s);
	s->generation++;
	s->ops->fatal(s->arg, why);
}

static void
fail_token(struct session *s)
{
	fail(s, SESS_FATAL_TOKEN);
}

static void
fail_intents(struct session *s)
{
	fail(s, SESS_FATAL_INTENTS);
}

static void
fail_other(struct session *s)
{
	fail(s, SESS_FATAL_OTHER);
}

/* Nothing to close: the answer comes from the loop all the same. */
static void
stop_soon(struct session *s)
{
	quiet(s);
	arm_ms(s, SESS_STOPS, 0);
}

static void
stop_dialing(struct session *s)
{
	hang_up(s, SESS_CLOSE_DROP);
	stop_soon(s);
}

/* The generation stays: the answer to the close frame is waited for. */
static void
stop_resumable(struct session *s)
{
	quiet(s);
	arm_ms(s, SESS_STOPS, STOP_MS);
	s->ops->hangup(s->arg, SESS_CLOSE_STOP);
}

static void
stop_for_good(struct session *s)
{
	quiet(s);
	arm_ms(s, SESS_STOPS, STOP_MS);
	s->ops->hangup(s->arg, SESS_CLOSE_FINAL);
	forget(s);
}

static void
say_stopped(struct session *s)
{
	quiet(s);
	s->generation++;
	s->losses = s->resumes = 0;
	s->ops->stopped(s->arg);
}

#define IN(state)	(1u << SESS_##state)
#define EV(event)	(1u << SEV_##event)
#define STAY		SESS__STATES

#define LIVE		(IN(HELLO) | IN(IDENTIFYING) | IN(RESUMING) | IN(READY))
#define BEATING		(IN(IDENTIFYING) | IN(RESUMING) | IN(READY))
#define APART		(IN(IDLE) | IN(ASKING) | IN(SLOT) | IN(BACKOFF) | IN(FATAL))
#define WAITING		(IN(ASKING) | IN(SLOT) | IN(BACKOFF))
#define ASLEEP		(IN(IDLE) | IN(FATAL))
#define PENDING		(IN(IDENTIFYING) | IN(RESUMING))
#define NO_ANSWER	(EV(BOT_FAILED) | EV(T_PHASE))
#define DROP		(EV(RX_RECONNECT) | EV(BROKEN))
#define ANY_STOP	(EV(STOP) | EV(STOP_FINAL))
#define ENDED		(EV(DIAL_FAILED) | EV(GONE_RESUME) | EV(GONE_FRESH) | EV(GONE_TOKEN) | \
			    EV(GONE_INTENTS) | EV(GONE_FATAL) | EV(T_STOP))

_Static_assert(SESS__STATES <= 32 && SEV__EVENTS <= 32, "sets are 32 bits wide");

static const struct edge {		/* first row whose state, event and guard match wins */
	uint32_t	  from, on;
	bool		(*guard)(const struct session *);
	enum sess_state	  to;
	void		(*act)(struct session *);
} edges[] = {
	{ ASLEEP,          EV(START),           can_resume,   SESS_CONNECTING,  do_dial },
	{ ASLEEP,          EV(START),           NULL,         SESS_ASKING,      do_ask },
	{ IN(BACKOFF),     EV(T_RETRY),         can_resume,   SESS_CONNECTING,  do_dial },
	{ IN(BACKOFF),     EV(T_RETRY),         NULL,         SESS_ASKING,      do_ask },

	{ IN(ASKING),      EV(BOT_OK),          have_session, SESS_CONNECTING,  do_dial },
	{ IN(ASKING),      EV(BOT_OK),          slot_free,    SESS_CONNECTING,  do_dial },
	{ IN(ASKING),      EV(BOT_OK),          NULL,         SESS_SLOT,        do_wait_slot },
	{ IN(ASKING),      NO_ANSWER,           NULL,         SESS_BACKOFF,     other_url },
	{ IN(ASKING),      EV(BOT_DENIED),      NULL,         SESS_FATAL,       fail_token },
	{ IN(SLOT),        EV(T_SLOT),          slot_free,    SESS_CONNECTING,  do_dial },
	{ IN(SLOT),        EV(T_SLOT),          NULL,         STAY,             do_wait_slot },

	{ IN(CONNECTING),  EV(OPEN),            NULL,         SESS_HELLO,       await_hello },
	{ IN(CONNECTING),  EV(DIAL_FAILED),     NULL,         SESS_BACKOFF,     other_url },
	{ IN(CONNECTING),  EV(T_PHASE),         NULL,         SESS_BACKOFF,     drop_other_url },

	{ IN(HELLO),       EV(RX_HELLO),        have_session, SESS_RESUMING,    do_resume },
	{ IN(HELLO),       EV(RX_HELLO),        slot_free,    SESS_IDENTIFYING, do_identify },
	{ IN(HELLO),       EV(RX_HELLO),        NULL,         SESS_BACKOFF,     drop },
	{ IN(HELLO),       EV(T_PHASE),         NULL,         SESS_BACKOFF,     drop_other_url },
	{ IN(HELLO),       EV(GONE_RESUME),     NULL,         SESS_BACKOFF,     other_url },

	{ LIVE,            EV(RX_BEAT),         NULL,         STAY,             do_beat_asked },
	{ LIVE,            EV(RX_ACK),          NULL,         STAY,             note_ack },
	{ IN(RESUMING),    EV(T_BEAT),          silent_tired, SESS_BACKOFF,     forget_zombie },
	{ BEATING,         EV(T_BEAT),          silent,       SESS_BACKOFF,     drop_zombie },
	{ BEATING,         EV(T_BEAT),          NULL,         STAY,             do_beat },

	{ IN(IDENTIFYING), EV(RX_READY),        NULL,         SESS_READY,       go_live_new },
	{ IN(RESUMING),    EV(RX_RESUMED),      NULL,         SESS_READY,       go_live_again },

	{ PENDING,         EV(T_PHASE),         not_reading,  STAY,             still_moving },
	{ IN(RESUMING),    EV(T_PHASE),         moving,       STAY,             still_moving },
	{ IN(RESUMING),    EV(T_PHASE) | DROP,  tired,        SESS_BACKOFF,     forget_drop },
	{ IN(RESUMING),    EV(GONE_RESUME),     tired,        SESS_BACKOFF,     forget_back_off },
	{ IN(RESUMING),    EV(RX_INVALID_KEEP), tired,        SESS_BACKOFF,     forget_drop_pause },
	{ PENDING,         EV(T_PHASE),         NULL,         SESS_BACKOFF,     drop },

	{ LIVE,            DROP,                NULL,         SESS_BACKOFF,     drop },
	{ LIVE,            EV(RX_INVALID_KEEP), NULL,         SESS_BACKOFF,     drop_pause },
	{ LIVE,            EV(RX_INVALID_LOST), NULL,         SESS_BACKOFF,     forget_drop_pause },
	{ LIVE,            EV(GONE_RESUME),     NULL,         SESS_BACKOFF,     back_off },
	{ LIVE,            EV(GONE_FRESH),      NULL,         SESS_BACKOFF,     forget_back_off },
	{ LIVE,            EV(GONE_TOKEN),      NULL,         SESS_FATAL,       fail_token },
	{ LIVE,            EV(GONE_INTENTS),    NULL,         SESS_FATAL,       fail_intents },
	{ LIVE,            EV(GONE_FATAL),      NULL,         SESS_FATAL,       fail_other },

	{ WAITING,         EV(FORGET),          NULL,         STAY,             forget },
	{ IN(CONNECTING) | LIVE, EV(FORGET),    NULL,         SESS_BACKOFF,     forget_hang_up },

	{ APART,           ANY_STOP,            NULL,         SESS_STOPPING,    stop_soon },
	{ IN(CONNECTING),  ANY_STOP,            NULL,         SESS_STOPPING,    stop_dialing },
	{ LIVE,            EV(STOP),            NULL,         SESS_STOPPING,    stop_resumable },
	{ LIVE,            EV(STOP_FINAL),      NULL,         SESS_STOPPING,    stop_for_good },
	{ IN(STOPPING),    ANY_STOP,            NULL,         STAY,             NULL },
	{ IN(STOPPING),    ENDED,               NULL,         SESS_IDLE,        say_stopped },
};

void
sess_init(struct session *s, const struct sess_conf *conf, const struct sess_ops *ops, void *arg)
{
	*s = (struct session){ .ops = ops, .arg = arg, .conf = *conf, .state = SESS_IDLE };
}

void
sess_interval(struct session *s, uint64_t ms)
{
	s->interval_ms = ms;
}

void
sess_pause(struct session *s, bool paused)
{
	s->paused = paused;
	if (!paused)
		s->ack_due = false;
}

static void
enter(struct session *s, enum sess_state to, enum sess_event why)
{
	enum sess_state	 from = s->state;

	s->state = to;
	s->since = s->now;
	s->ops->moved(s->arg, from, why);
}

bool
sess_event(struct session *s, struct mono now, enum sess_event ev)
{
	s->now = now;
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		const struct edge	*e = &edges[i];

		if ((e->from & 1u << s->state) == 0 || (e->on & 1u << ev) == 0 ||
		    (e->guard != NULL && !e->guard(s)))
			continue;
		if (e->to != STAY)
			enter(s, e->to, ev);
		if (e->act != NULL)
			e->act(s);
		return true;
	}
	s->ops->unexpected(s->arg, ev);
	return false;
}

bool
sess_conn_event(struct session *s, uint32_t generation, struct mono now, enum sess_event ev)
{
	if (generation != s->generation)
		return false;
	return sess_event(s, now, ev);
}
