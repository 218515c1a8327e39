/*
 * receive - what comes from Discord and from the wire: see state.h.
 */
#include <stdio.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "common/measure.h"
#include "supervisor/gateway/payload.h"
#include "supervisor/gateway/state.h"

#define INTERVAL_MIN_MS		50u
#define INTERVAL_MAX_MS		3600000u

/* ---- when nothing is read ---- */

void
gw_mind_reading(struct gateway *g)
{
	bool	 pause = g->paused || intake_is_holding(&g->intake);

	if (g->sess.paused != pause)
		sess_pause(&g->sess, pause);
	if (g->sess.state != SESS_HELLO && g->sess.state != SESS_STOPPING)
		wire_pause(g->wire, pause);
}

void
gw_take_up(struct gateway *g)
{
	if (!intake_take_up(&g->intake))
		return;
	sess_progress(&g->sess);
	gw_mind_reading(g);
}

/* ---- what comes in ---- */

static void
on_hello(struct gateway *g, struct span d)
{
	uint64_t	 ms;

	if (!json_member_u64(d, "heartbeat_interval", &ms) || ms < INTERVAL_MIN_MS ||
	    ms > INTERVAL_MAX_MS) {
		log_warnx("%s.%u HELLO without a usable heartbeat_interval", g->tag, g->generation);
		gw_feed(g, SEV_BROKEN);
		return;
	}
	sess_interval(&g->sess, ms);
	gw_feed(g, SEV_RX_HELLO);
	/* Only now: HELLO itself has to be read whatever the journal says. */
	gw_mind_reading(g);
}

static void
on_ready(struct gateway *g, const struct envelope *e)
{
	struct gw_identity	*id = &g->ident;
	uint64_t		 v;
	char			 session_id[GW_SESSION_ID_MAX], url[GW_URL_MAX];

	if (g->sess.state != SESS_IDENTIFYING) {
		gw_feed(g, SEV_RX_READY);	/* no row: counted */
		return;
	}
	if (!payload_text(e->d, "session_id", session_id, sizeof(session_id))) {
		log_warnx("%s.%u READY without a session_id", g->tag, g->generation);
		gw_feed(g, SEV_BROKEN);
		return;
	}
	(void)span_copy(span_of(session_id), id->session_id, sizeof(id->session_id));
	id->resume_url[0] = '\0';
	if (payload_url(e->d, "resume_gateway_url", url, sizeof(url)))
		(void)span_copy(span_of(url), id->resume_url, sizeof(id->resume_url));
	g->sess.has_resume_url = id->resume_url[0] != '\0';
	if ((v = payload_id(e->d, "user", "id")) != 0)
		id->user_id = v;
	if ((v = payload_id(e->d, "application", "id")) != 0)
		id->application_id = v;
	id->intents = g->cfg->intents_bits;
	id->seq = e->s;
	g->guilds_n = payload_ids(e->d, "guilds", g->guilds, GUILDS_KEPT);
	intake_forget(&g->intake);
	g->ops->on_identity(g->arg, id);
	g->ops->on_seq(g->arg, id->seq);
	gw_feed(g, SEV_RX_READY);
}

static void
on_dispatch(struct gateway *g, struct span message, struct envelope *e)
{
	bool		 replayed = g->sess.state == SESS_RESUMING;

	COUNT(gateway_dispatches);
	g->dispatch_at = gw_now(g);
	sess_dispatch(&g->sess, g->dispatch_at);
	deaf_heard(&g->deaf, g->dispatch_at);
	if (!e->has_s || e->t.n == 0) {
		COUNT(gateway_bad_frames);
		log_warnx("%s.%u dispatch without s or t", g->tag, g->generation);
		return;
	}
	if (span_is(e->t, "READY")) {
		if (envelope_ids(e) == 0)
			on_ready(g, e);
		else
			gw_feed(g, SEV_BROKEN);
		return;
	}
	if (g->sess.state != SESS_READY && !replayed) {
		gw_feed(g, SEV_RX_RESUMED);	/* an event before READY has no row: counted */
		return;
	}
	if (span_is(e->t, "RESUMED") && e->s > g->ident.seq) {
		intake_count(&g->intake, e->s);
		gw_feed(g, SEV_RX_RESUMED);
		return;
	}
	switch (intake_offer(&g->intake, e, message, replayed)) {
	case INTAKE_KNOWN:
		log_trace("gateway", "%s.%u known seq=%llu", g->tag, g->generation,
		    (unsigned long long)e->s);
		break;
	case INTAKE_TAKEN:
		sess_progress(&g->sess);
		break;
	case INTAKE_HELD:
		gw_mind_reading(g);
		break;
	case INTAKE_REFUSED:
		log_warnx("%s.%u event not taken, dropping the connection seq=%llu event=%.*s",
		    g->tag, g->generation, (unsigned long long)e->s,
		    e->t.n > 64 ? 64 : (int)e->t.n, e->t.p);
		gw_set_last_close(g, "an event was not taken");
		gw_feed(g, SEV_BROKEN);
		break;
	case INTAKE_PASSED:
		log_warnx("%s.%u passed over: twice not taken seq=%llu event=%.*s bytes=%zu", g->tag,
		    g->generation, (unsigned long long)e->s, e->t.n > 64 ? 64 : (int)e->t.n,
		    e->t.p, e->d.n);
		break;
	}
}

static void
on_bad_message(struct gateway *g, size_t n)
{
	COUNT(gateway_bad_frames);
	if (intake_bad(&g->intake)) {
		log_warnx("%s.%u passed over: no gateway payload, again after seq=%llu bytes=%zu",
		    g->tag, g->generation, (unsigned long long)g->ident.seq, n);
		return;
	}
	log_warnx("%s.%u no gateway payload, dropping the connection seq=%llu bytes=%zu", g->tag,
	    g->generation, (unsigned long long)g->ident.seq, n);
	gw_set_last_close(g, "a message that is no gateway payload");
	gw_feed(g, SEV_BROKEN);
}

static void
on_message(void *arg, struct span message)
{
	struct gateway	*g = arg;
	struct envelope	 e;

	COUNT(gateway_frames);
	count_add(COUNT_gateway_bytes, message.n);
	if (envelope_scan(message, &e) == -1) {
		on_bad_message(g, message.n);
		return;
	}
	if (e.op == 0) {
		on_dispatch(g, message, &e);
		return;
	}
	/* Cuts off what may stand behind d; those messages are few and short. */
	if (envelope_ids(&e) == -1) {
		on_bad_message(g, message.n);
		return;
	}
	switch (e.op) {
	case 1:
		gw_feed(g, SEV_RX_BEAT);
		break;
	case 7:
		gw_feed(g, SEV_RX_RECONNECT);
		break;
	case 9:
		gw_feed(g, span_is(e.d, "true") ? SEV_RX_INVALID_KEEP : SEV_RX_INVALID_LOST);
		break;
	case 10:
		on_hello(g, e.d);
		break;
	case 11:
		g->ack_at = gw_now(g);
		if (!mono_is_never(g->beat_written)) {
			g->st.latency_us = g->ack_at.us > g->beat_written.us ?
			    g->ack_at.us - g->beat_written.us : 0;
			measure_add(MEASURE_gateway_latency, NULL, g->st.latency_us);
		}
		gw_feed(g, SEV_RX_ACK);
		break;
	default:
		log_debug("%s.%u unknown op=%d", g->tag, g->generation, e.op);
		break;
	}
}

/* ---- the wire ---- */

static void
on_oversized(void *arg, uint64_t n)
{
	struct gateway	*g = arg;

	COUNT(gateway_bad_frames);
	log_warnx("%s.%u message of %llu bytes set aside: above the cap of %u after seq=%llu",
	    g->tag, g->generation, (unsigned long long)n, WIRE_MESSAGE_MAX_BYTES,
	    (unsigned long long)g->ident.seq);
}

static void
on_broken(void *arg, const char *why)
{
	struct gateway	*g = arg;

	COUNT(gateway_bad_frames);
	log_warnx("%s.%u compressed stream is broken: %s", g->tag, g->generation, why);
	gw_set_last_close(g, "compressed stream: %s", why);
	gw_feed(g, SEV_BROKEN);
}

static bool
on_frame(void *arg)
{
	struct gateway	*g = arg;

	if (g->generation != g->sess.generation || g->sess.state == SESS_STOPPING)
		return false;
	sess_frame(&g->sess, gw_now(g));
	if (!intake_is_holding(&g->intake))
		return true;
	/* Not seen with lws 4.1.6, which keeps what it has read when it is paused. */
	log_warnx("%s.%u a frame came while reading was paused, dropping the connection", g->tag,
	    g->generation);
	gw_set_last_close(g, "a frame while reading was paused");
	gw_feed(g, SEV_BROKEN);
	return false;
}

static void
on_sent(void *arg, uint64_t cookie, struct mono when)
{
	struct gateway	*g = arg;
	uint64_t	 late;

	if (g->unsent > 0)
		g->unsent--;
	if (cookie == COOKIE_NOT_A_BEAT)
		return;
	g->beat_written = when;
	if (cookie == COOKIE_ASKED)
		return;
	late = when.us > cookie ? when.us - cookie : 0;
	g->st.beats++;
	g->st.beat_jitter_last_us = late;
	if (late > g->st.beat_jitter_max_us)
		g->st.beat_jitter_max_us = late;
}

static void
on_open(void *arg)
{
	struct gateway	*g = arg;

	g->unsent = 0;
	g->st.connects++;
	COUNT(gateway_connects);
	(void)sess_conn_event(&g->sess, g->generation, gw_now(g), SEV_OPEN);
}

static void
on_gone(void *arg, unsigned code, const char *why)
{
	struct gateway	*g = arg;
	const char	*sentence;
	enum sess_event	 ev = sess_close_event(code, &sentence);

	if (code != 0)
		gw_set_last_close(g, "%u %s%s%s", code, sentence, why[0] == '\0' ? "" : ": ", why);
	else
		gw_set_last_close(g, "%s", why);
	log_info("%s.%u gone: %s", g->tag, g->generation, g->st.last_close);
	snprintf(g->fatal, sizeof(g->fatal), "%s (close code %u)", sentence, code);
	(void)sess_conn_event(&g->sess, g->generation, gw_now(g), ev);
}

static void
on_trouble(void *arg, const char *sentence)
{
	gw_set_last_close(arg, "%s", sentence);
}

static void
on_failed(void *arg)
{
	struct gateway	*g = arg;

	(void)sess_conn_event(&g->sess, g->generation, gw_now(g), SEV_DIAL_FAILED);
}

const struct wire_ops	 gw_wire_ops = {
	.on_open = on_open, .on_frame = on_frame, .on_message = on_message,
	.on_oversized = on_oversized, .on_broken = on_broken, .on_sent = on_sent,
	.on_gone = on_gone, .on_trouble = on_trouble, .on_failed = on_failed,
};
