/*
 * childlink - what a worker says on its link, and is told there: see childstate.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/measure.h"
#include "common/secret.h"
#include "supervisor/pool/childstate.h"
#include "supervisor/pool/lastwords.h"

#define OUT_MAX_BYTES		(2u * PROTO_FRAME_MAX)
#define PONG_BACKLOG_BYTES	(1u << 20)	/* unread by it: no PONG on top */
#define LOG_BYTES		1024	/* a line of LOG: messages.def */

void
child_broke(struct child *c, const char *why)
{
	if (c->deaf)
		return;
	c->deaf = true;		/* what follows a protocol error means nothing */
	child_blame(c, DEATH_PROTOCOL, why);
	if (!c->reaped) {
		log_warnx("%s broke the protocol: %s", c->tag, why);
		c->ops.on_broke(c->arg, c);
	}
}

static void
take_log(struct child *c, const struct msg_LOG *m)
{
	char	 line[LOG_BYTES + 1];

	if (!voice_may_say(&c->voice))
		return;
	/* Whoever reads the obituary, which cuts it, wants to know what it said of its end. */
	if (m->level <= LOG_ERR && m->class.n == 0) {
		size_t	 n = span_copy(m->line, line, sizeof(line));

		(void)secret_mask(line, n);
		last_words_add(&c->voice.words, span_make(line, n));
	}
	if (m->class.n > 0)
		log_trace_line(m->class, c->tag, m->line);
	else
		log_line((int)m->level, c->tag, m->line);
}

static int
take_count(const struct msg_COUNT *m, const char **why_r)
{
	struct msg_list_iter	 it = { m->deltas.raw, 0 };
	struct span		 name;
	uint64_t		 n;

	while (msg_list_more(&it)) {
		if (!msg_list_next_str(&it, &name) || !msg_list_next_u64(&it, &n)) {
			*why_r = "COUNT with a column of the wrong kind";
			return -1;
		}
		/* A counter that this build does not know is a newer worker's: no harm. */
		(void)count_add_named(name, n);
	}
	return 0;
}

static int
take_measure(const struct child *c, const struct msg_MEASURE *m, const char **why_r)
{
	struct msg_list_iter	 it = { m->steps.raw, 0 };
	uint64_t		 step, n;

	if (!c->rest) {
		*why_r = "MEASURE from a worker that is no rest worker";
		return -1;
	}
	while (msg_list_more(&it)) {
		if (!msg_list_next_u64(&it, &step) || !msg_list_next_u64(&it, &n)) {
			*why_r = "MEASURE with a column of the wrong kind";
			return -1;
		}
		(void)measure_gain(m->name, step, n);
	}
	(void)measure_gain_sum(m->name, m->sum_us);
	return 0;
}

static void
take_session(struct child *c, const struct msg_SESSION *m)
{
	struct session_view	*s = NULL;

	for (size_t i = 0; i < c->sessions_n && s == NULL; i++) {
		if (span_is(m->tag, c->sessions[i].tag))
			s = &c->sessions[i];
	}
	if (s == NULL && c->sessions_n < SESSIONS_MAX)
		s = &c->sessions[c->sessions_n++];
	if (s == NULL) {
		memmove(&c->sessions[0], &c->sessions[1],
		    sizeof(c->sessions[0]) * (SESSIONS_MAX - 1));
		s = &c->sessions[SESSIONS_MAX - 1];
	}
	span_copy(m->tag, s->tag, sizeof(s->tag));
	span_copy(m->why, s->why, sizeof(s->why));
	s->state = (unsigned)m->state;
	s->wall_ms = clock_wall_ms();
}

static int
take(struct child *c, const struct msg_in *in, const char **why_r)
{
	static char		 why[128];
	const struct msg_def	*def = msg_def(in->type);

	*why_r = why;
	if (def->sender != MSG_FROM_WORKER && def->sender != MSG_FROM_EITHER) {
		snprintf(why, sizeof(why), "%s is not for a worker to send", def->name);
		return -1;
	}
	switch (in->type) {
	case MSG_LOG:
		take_log(c, &in->LOG);
		return 0;
	case MSG_COUNT:
		return take_count(&in->COUNT, why_r);
	case MSG_MEASURE:
		return take_measure(c, &in->MEASURE, why_r);
	case MSG_SESSION:
		take_session(c, &in->SESSION);
		return 0;
	case MSG_PING: {
		struct msg_PONG	 pong = { .cookie = in->PING.cookie };

		if (child_unread_bytes(c) <= PONG_BACKLOG_BYTES)
			(void)child_send(c, MSG_PONG, &pong);
		return 0;
	}
	case MSG_READY:
		if (!mono_is_never(c->up_at)) {
			snprintf(why, sizeof(why), "READY twice");
			return -1;
		}
		if (in->READY.version != PROTO_VERSION) {
			snprintf(why, sizeof(why), "it speaks version %" PRIu64 ", we speak %u",
			    in->READY.version, PROTO_VERSION);
			return -1;
		}
		buf_reset(&c->events);
		buf_add_span(&c->events, in->READY.events.raw);
		buf_reset(&c->verbs);
		buf_add_span(&c->verbs, in->READY.verbs.raw);
		if (c->reaped)
			c->deaf = true;		/* too late to be anybody's worker */
		else
			c->ops.on_ready(c->arg, c);
		return 0;
	default:
		break;
	}
	if (mono_is_never(c->up_at)) {
		snprintf(why, sizeof(why), "%s before READY", def->name);
		return -1;
	}
	switch (in->type) {
	case MSG_BEAT:
		if (in->BEAT.delivery != c->beat_delivery)
			c->beat_since = loop_now(c->loop);
		c->beat_delivery = in->BEAT.delivery;
		c->beats++;
		return 0;
	case MSG_PONG:
		c->beats++;
		return 0;
	default:
		return c->ops.on_msg(c->arg, c, in, why_r);
	}
}

static void
on_frame(struct chan *ch, struct span frame, void *arg)
{
	struct child	*c = arg;
	struct msg_in	 in;
	const char	*why = "?";

	(void)ch;
	if (c->deaf)
		return;
	if (msg_unpack(frame, &c->zone, &in) == -1)
		child_broke(c, in.why);
	else if (take(c, &in, &why) == -1)
		child_broke(c, why);
	msgpack_zone_clear(&c->zone);
}

static void
on_gone(struct chan *ch, const char *why, void *arg)
{
	struct child	*c = arg;

	(void)ch;
	c->link_gone = true;
	if (c->reaped) {
		child_bury(c);
		return;
	}
	/* An end is a hint: the process is about to end too.  Anything else it did by itself. */
	if (strncmp(why, "end of file", 11) == 0 || strncmp(why, "read:", 5) == 0 ||
	    strncmp(why, "write:", 6) == 0)
		timer_arm_ms(c->timer, LINK_GRACE_MS);
	else
		child_broke(c, why);
}

static const struct chan_ops	 link_ops = { .on_frame = on_frame, .on_gone = on_gone };

static void
say_hello(struct child *c, const struct child_spec *sp)
{
	struct msg_HELLO	 m = {
		.version = PROTO_VERSION,
		.role = span_of(sp->role),
		.pool = span_of(sp->pool),
		.slot = sp->slot,
		.generation = sp->generation,
		.credit = sp->credit,
		.hang_ms = sp->hang_ms,
		.drain_ms = sp->drain_ms,
		.last_word_ms = sp->last_word_ms,
		.options = sp->options,
		.state = SPAN_NONE,
	};

	(void)child_send(c, MSG_HELLO, &m);
}

void
child_link(struct child *c, int fd, const struct child_spec *sp)
{
	c->chan = chan_new(c->loop, fd, c->tag, PROTO_FRAME_MAX, &link_ops, c);
	chan_out_max(c->chan, OUT_MAX_BYTES);
	say_hello(c, sp);
}

int
child_send(struct child *c, enum msg_type type, const void *src)
{
	/* A write to the dead would fail and could cut off what it still has to say. */
	if (c->reaped || c->link_gone || c->chan == NULL || chan_gone(c->chan))
		return -1;
	return chan_send(c->chan, type, src);
}

void
child_hung(struct child *c, const char *why)
{
	log_warnx("%s is hung: %s", c->tag, why);
	child_blame(c, DEATH_HUNG, why);
	c->ops.on_hung(c->arg, c);
}

size_t
child_unread_bytes(const struct child *c)
{
	return c->chan == NULL ? 0 : chan_queued_bytes(c->chan);
}

struct msg_list
child_events(const struct child *c)
{
	return msg_list_of(&c->events);
}

struct msg_list
child_verbs(const struct child *c)
{
	return msg_list_of(&c->verbs);
}

bool
child_answers(const struct child *c, struct span verb)
{
	struct msg_list_iter	 it = { buf_span(&c->verbs), 0 };
	struct span		 name, help;

	while (msg_list_more(&it) && msg_list_next_str(&it, &name) &&
	    msg_list_next_str(&it, &help))
		if (span_eq(name, verb))
			return true;
	return false;
}

size_t
child_sessions(const struct child *c, const struct session_view **out_r)
{
	*out_r = c->sessions;
	return c->sessions_n;
}
