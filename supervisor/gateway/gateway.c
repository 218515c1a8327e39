/*
 * gateway - transport, inflate, envelope, session and identify put together.
 *
 * A message is read where it lies: the spans of its envelope point into the inflate buffer (or
 * into lws's, when it came in one piece uncompressed) and nothing is allocated for it.  What a
 * message causes may hang up while it is still being looked at, so those buffers live until the
 * next dial.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "common/measure.h"
#include "common/url.h"
#include "supervisor/gateway/deaf.h"
#include "supervisor/gateway/gateway.h"
#include "supervisor/gateway/identify.h"
#include "supervisor/gateway/inflate.h"
#include "supervisor/gateway/lwsloop.h"
#include "supervisor/gateway/payload.h"
#include "supervisor/gateway/session.h"
#include "supervisor/moments.h"

#define MESSAGE_MAX_BYTES	(64u << 20)
#define GATHER_KEEP_BYTES	(1u << 20)
#define UNSENT_MAX		16u	/* asked beats that a peer may make us queue */
#define INTERVAL_MIN_MS		50u
#define INTERVAL_MAX_MS		3600000u
#define PHASES			3u	/* TCP, TLS, upgrade */
#define GUILDS_KEPT		8u
#define COOKIE_NOT_A_BEAT	0u
#define COOKIE_ASKED		1u	/* any other cookie is when a periodic beat was due */

struct gw_timer {
	struct gateway	*gw;
	struct timer	*timer;
	enum sess_event	 ev;
};

struct gateway {
	struct loop		*loop;
	struct resolve		*resolve;
	const struct cfg	*cfg;
	const struct gw_ops	*ops;
	void			*arg;

	struct gw_identity	 ident;		/* seq: newest that counts */
	struct identify		 identify;
	struct session		 sess;
	struct gw_timer		 timers[SESS__TIMERS];
	char			 tag[16];
	char			 user_agent[320];
	char			 url[GW_URL_MAX];	/* general, from GET /gateway/bot */

	/* The connection, or the attempt. */
	struct lwsloop		*ll;		/* made at the first dial */
	struct lwsconn		*conn;
	bool			 open;
	uint32_t		 generation;	/* of the attempt */
	struct resolve_query	*query;
	struct resolve_answer	 addrs;
	size_t			 addr_at;
	struct url		 to;
	char			 path[GW_URL_MAX];
	struct loop_job		 no_dial;	/* an attempt that failed at once says so later */
	bool			 compressed;
	struct inflate		*inflate;
	struct buf		 gather;	/* an uncompressed message in parts */
	bool			 gather_over;
	unsigned		 unsent;
	bool			 paused;	/* the owner asked for it */
	/* a dispatch that the journal had no room for; nothing is read meanwhile */
	struct buf		 held;
	bool			 held_replayed;

	/* What was refused at this seq; the second time it is passed over. */
	bool			 refused, bad;
	uint64_t		 refused_seq, bad_seq;

	struct buf		 payload;	/* what we send */
	struct mono		 beat_written, ack_at, dispatch_at;
	struct deaf		 deaf;
	uint64_t		 guilds[GUILDS_KEPT];	/* that may be asked for a sign */
	size_t			 guilds_n;
	struct gw_status	 st;		/* counters and what else survives a connection */
	char			 fatal[512];
};

static void	 dial_next(struct gateway *);

/* ---- small things ---- */

static bool
is_usable(const char *url)
{
	struct url	 u;

	return url_parse(url, URL_WS, &u) == NULL;
}

static struct mono
now(struct gateway *g)
{
	return loop_now(g->loop);
}

static void
feed(struct gateway *g, enum sess_event ev)
{
	(void)sess_event(&g->sess, now(g), ev);
}

static void
set_last_close(struct gateway *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
set_last_close(struct gateway *g, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(g->st.last_close, sizeof(g->st.last_close), fmt, ap);
	va_end(ap);
	/* It may hold what a peer wrote. */
	for (char *p = g->st.last_close; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

/* ---- sending ---- */

/* What stands in payload goes out; it may hold the token and is wiped. */
static void
send_payload(struct gateway *g, uint64_t cookie)
{
	struct span	 text = buf_span(&g->payload);

	if (text.n > PAYLOAD_MAX_BYTES) {
		log_warnx("%s.%u payload of %zu bytes not sent: Discord takes %u", g->tag,
		    g->generation, text.n, PAYLOAD_MAX_BYTES);
	} else if (g->conn != NULL && g->open) {
		g->unsent++;
		lwsconn_send(g->conn, text, cookie);
	}
	if (g->payload.p != NULL)
		explicit_bzero(g->payload.p, g->payload.cap);
	buf_reset(&g->payload);
}

static void
op_send_beat(void *arg, struct mono due)
{
	struct gateway	*g = arg;

	if (mono_is_never(due) && g->unsent >= UNSENT_MAX) {
		log_trace("gateway", "%s.%u asked beat shed: %u not written yet", g->tag,
		    g->generation, g->unsent);
		return;
	}
	payload_beat(&g->payload, g->ident.seq);
	send_payload(g, mono_is_never(due) ? COOKIE_ASKED : due.us);
}

static void
op_send_identify(void *arg)
{
	struct gateway	*g = arg;

	identify_count(&g->identify, clock_wall_ms());
	g->st.identifies++;
	COUNT(gateway_identifies);
	/* Journaled before it is sent: a process that dies now has counted it. */
	g->ops->on_identify(g->arg, &g->identify.budget);

	payload_identify(&g->payload, g->cfg->token, g->cfg->intents_bits, g->ident.shard,
	    g->ident.shards);
	send_payload(g, COOKIE_NOT_A_BEAT);
}

static void
op_send_resume(void *arg)
{
	struct gateway	*g = arg;

	g->st.resumes++;
	COUNT(gateway_resumes);
	payload_resume(&g->payload, g->cfg->token, g->ident.session_id, g->ident.seq);
	send_payload(g, COOKIE_NOT_A_BEAT);
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

/* ---- when nothing is read ---- */

static void
mind_reading(struct gateway *g)
{
	bool	 pause = g->paused || g->held.n > 0;

	if (g->sess.paused != pause)
		sess_pause(&g->sess, pause);
	if (g->conn != NULL && g->open && g->sess.state != SESS_HELLO &&
	    g->sess.state != SESS_STOPPING)
		lwsconn_pause(g->conn, pause);
}

static void
let_go(struct gateway *g)
{
	buf_reset(&g->held);
	buf_shrink(&g->held, GATHER_KEEP_BYTES);
	mind_reading(g);
}

static void
taken(struct gateway *g, uint64_t seq)
{
	g->ident.seq = seq;
	sess_progress(&g->sess);
}

/*
 * Its connection is kept and its seq does not count: should we lose the one, the other brings it
 * again.
 */
static void
hold(struct gateway *g, struct span message, bool replayed)
{
	buf_add_span(&g->held, message);
	g->held_replayed = replayed;
	mind_reading(g);
}

void
gw_take_up(struct gateway *g)
{
	struct envelope	 e;

	if (g->held.n == 0)
		return;
	(void)envelope_scan(buf_span(&g->held), &e);	/* it was good the first time */
	if (g->ops->on_dispatch(g->arg, &e, g->ident.session_id, g->held_replayed) == 1)
		return;
	taken(g, e.s);
	let_go(g);
}

/* The session that could bring it again is lost: now or never. */
static void
take_up_last(struct gateway *g)
{
	gw_take_up(g);
	if (g->held.n == 0)
		return;
	COUNT(events_dropped);
	log_warnx("%s journal full: event dropped with its session after seq=%llu bytes=%zu",
	    g->tag, (unsigned long long)g->ident.seq, g->held.n);
	let_go(g);
}

/* ---- what comes in ---- */

static void
on_hello(struct gateway *g, struct span d)
{
	uint64_t	 ms;

	if (!json_member_u64(d, "heartbeat_interval", &ms) || ms < INTERVAL_MIN_MS ||
	    ms > INTERVAL_MAX_MS) {
		log_warnx("%s.%u HELLO without a usable heartbeat_interval", g->tag, g->generation);
		feed(g, SEV_BROKEN);
		return;
	}
	sess_interval(&g->sess, ms);
	feed(g, SEV_RX_HELLO);
	/* Only now: HELLO itself has to be read whatever the journal says. */
	mind_reading(g);
}

static void
on_ready(struct gateway *g, const struct envelope *e)
{
	struct gw_identity	*id = &g->ident;
	uint64_t		 v;
	char			 session_id[GW_SESSION_ID_MAX], url[GW_URL_MAX];
	
	if (g->sess.state != SESS_IDENTIFYING) {
		feed(g, SEV_RX_READY);	/* no row: counted */
		return;
	}
	if (!payload_text(e->d, "session_id", session_id, sizeof(session_id))) {
		log_warnx("%s.%u READY without a session_id", g->tag, g->generation);
		feed(g, SEV_BROKEN);
		return;
	}
	(void)span_copy(span_of(session_id), id->session_id, sizeof(id->session_id));
	id->resume_url[0] = '\0';
	if (payload_text(e->d, "resume_gateway_url", url, sizeof(url)) && is_usable(url))
		(void)span_copy(span_of(url), id->resume_url, sizeof(id->resume_url));
	g->sess.has_resume_url = id->resume_url[0] != '\0';
	if ((v = payload_id(e->d, "user", "id")) != 0)
		id->user_id = v;
	if ((v = payload_id(e->d, "application", "id")) != 0)
		id->application_id = v;
	id->intents = g->cfg->intents_bits;
	id->seq = e->s;
	g->guilds_n = payload_ids(e->d, "guilds", g->guilds, GUILDS_KEPT);
	g->refused = g->bad = false;
	g->ops->on_identity(g->arg, id);
	g->ops->on_seq(g->arg, id->seq);
	feed(g, SEV_RX_READY);
}

static void
pass_over(struct gateway *g, const struct envelope *e)
{
	log_warnx("%s.%u passed over: twice not taken seq=%llu event=%.*s bytes=%zu", g->tag,
	    g->generation, (unsigned long long)e->s, e->t.n > 64 ? 64 : (int)e->t.n,
	    e->t.p == NULL ? "" : e->t.p, e->d.n);
	g->ident.seq = e->s;
	g->ops->on_seq(g->arg, e->s);
}

static void
on_dispatch(struct gateway *g, struct span message, struct envelope *e)
{
	bool		 replayed = g->sess.state == SESS_RESUMING;

	COUNT(gateway_dispatches);
	g->dispatch_at = now(g);
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
			feed(g, SEV_BROKEN);
		return;
	}
	if (g->sess.state != SESS_READY && !replayed) {
		feed(g, SEV_RX_RESUMED);	/* an event before READY has no row: counted */
		return;
	}
	/* Within a session s only rises: what is not above the newest was here. */
	if (e->s <= g->ident.seq) {
		log_trace("gateway", "%s.%u known seq=%llu", g->tag, g->generation,
		    (unsigned long long)e->s);
		return;
	}
	if (span_is(e->t, "RESUMED")) {
		g->ident.seq = e->s;
		g->ops->on_seq(g->arg, e->s);
		feed(g, SEV_RX_RESUMED);
		return;
	}
	switch (g->ops->on_dispatch(g->arg, e, g->ident.session_id, replayed)) {
	case 0:
		taken(g, e->s);
		return;
	case 1:
		hold(g, message, replayed);
		return;
	}
	if (g->refused && g->refused_seq == e->s) {
		pass_over(g, e);
		return;
	}
	g->refused = true;
	g->refused_seq = e->s;
	log_warnx("%s.%u event not taken, dropping the connection seq=%llu event=%.*s", g->tag,
	    g->generation, (unsigned long long)e->s, e->t.n > 64 ? 64 : (int)e->t.n, e->t.p);
	set_last_close(g, "an event was not taken");
	feed(g, SEV_BROKEN);
}

/*
 * The first time the connection is at fault, the second time at the same place it is the
 * message.
 */
static void
on_bad_message(struct gateway *g, size_t n)
{
	COUNT(gateway_bad_frames);
	if (g->bad && g->bad_seq == g->ident.seq) {
		log_warnx("%s.%u passed over: no gateway payload, again after seq=%llu bytes=%zu",
		    g->tag,
		    g->generation, (unsigned long long)g->ident.seq, n);
		return;
	}
	g->bad = true;
	g->bad_seq = g->ident.seq;
	log_warnx("%s.%u no gateway payload, dropping the connection seq=%llu bytes=%zu", g->tag,
	    g->generation, (unsigned long long)g->ident.seq, n);
	set_last_close(g, "a message that is no gateway payload");
	feed(g, SEV_BROKEN);
}

static void
on_message(struct gateway *g, struct span message)
{
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
		feed(g, SEV_RX_BEAT);
		break;
	case 7:
		feed(g, SEV_RX_RECONNECT);
		break;
	case 9:
		feed(g, span_is(e.d, "true") ? SEV_RX_INVALID_KEEP : SEV_RX_INVALID_LOST);
		break;
	case 10:
		on_hello(g, e.d);
		break;
	case 11:
		g->ack_at = now(g);
		if (!mono_is_never(g->beat_written)) {
			g->st.latency_us = g->ack_at.us > g->beat_written.us ?
			    g->ack_at.us - g->beat_written.us : 0;
			measure_add(MEASURE_gateway_latency, NULL, g->st.latency_us);
		}
		feed(g, SEV_RX_ACK);
		break;
	default:
		log_debug("%s.%u unknown op=%d", g->tag, g->generation, e.op);
		break;
	}
}

static void
on_oversized(struct gateway *g, uint64_t n)
{
	COUNT(gateway_bad_frames);
	log_warnx("%s.%u message of %llu bytes set aside: above the cap of %u after seq=%llu",
	    g->tag, g->generation,
	    (unsigned long long)n, MESSAGE_MAX_BYTES, (unsigned long long)g->ident.seq);
}

static void
on_packed(struct gateway *g, struct span part, bool last)
{
	struct span	 message;

	switch (inflate_feed(g->inflate, part, last, &message)) {
	case INFLATE_MORE:
		break;
	case INFLATE_MESSAGE:
		on_message(g, message);
		break;
	case INFLATE_OVERSIZED:
		on_oversized(g, inflate_message_bytes(g->inflate));
		break;
	case INFLATE_BROKEN:
		COUNT(gateway_bad_frames);
		log_warnx("%s.%u compressed stream is broken: %s", g->tag, g->generation,
		    inflate_why(g->inflate));
		set_last_close(g, "compressed stream: %s", inflate_why(g->inflate));
		feed(g, SEV_BROKEN);
		break;
	}
}

static void
on_plain(struct gateway *g, struct span part, bool last)
{
	bool	 over;
	size_t	 n;

	if (last && g->gather.n == 0 && !g->gather_over) {
		on_message(g, part);
		return;
	}
	if (part.n > MESSAGE_MAX_BYTES - g->gather.n)
		g->gather_over = true;
	if (!g->gather_over)
		buf_add_span(&g->gather, part);
	if (!last)
		return;
	over = g->gather_over;
	g->gather_over = false;
	n = g->gather.n;
	if (over)
		on_oversized(g, n + part.n);
	else
		on_message(g, buf_span(&g->gather));
	buf_reset(&g->gather);
	buf_shrink(&g->gather, GATHER_KEEP_BYTES);
}

static void
on_frame(void *arg, struct span part, bool last, bool binary)
{
	struct gateway	*g = arg;

	if (g->generation != g->sess.generation || g->sess.state == SESS_STOPPING)
		return;
	sess_frame(&g->sess, now(g));
	if (g->held.n > 0) {
		/* Not seen with lws 4.1.6, which keeps what it has read when it is paused. */
		log_warnx("%s.%u a frame came while reading was paused, dropping the connection",
		    g->tag, g->generation);
		set_last_close(g, "a frame while reading was paused");
		feed(g, SEV_BROKEN);
		return;
	}
	if (binary && g->inflate != NULL)
		on_packed(g, part, last);
	else
		on_plain(g, part, last);
}

/* ---- the connection ---- */

static void
on_open(void *arg)
{
	struct gateway	*g = arg;

	g->open = true;
	g->unsent = 0;
	g->st.connects++;
	COUNT(gateway_connects);
	log_info("%s.%u open host=%s addr=%s tls=%s", g->tag, g->generation, g->to.host,
	    g->addrs.addr[g->addr_at],
	    g->to.tls ? "yes" : "no");
	(void)sess_conn_event(&g->sess, g->generation, now(g), SEV_OPEN);
}

static void
on_gone(void *arg, bool was_open, unsigned code, const char *why)
{
	struct gateway	*g = arg;
	const char	*sentence;
	enum sess_event	 ev;

	g->open = false;
	if (!was_open) {
		log_warnx("%s.%u cannot connect: %s host=%s addr=%s port=%u", g->tag, g->generation,
		    why, g->to.host,
		    g->addrs.addr[g->addr_at], (unsigned)g->to.port);
		if (g->addr_at == 0)	/* the first address is the one that should work */
			set_last_close(g, "cannot connect: %s", why);
		lwsconn_drop(&g->conn, SESS_CLOSE_DROP);
		g->addr_at++;
		dial_next(g);
		return;
	}
	ev = sess_close_event(code, &sentence);
	if (code != 0)
		set_last_close(g, "%u %s%s%s", code, sentence, why[0] == '\0' ? "" : ": ", why);
	else
		set_last_close(g, "%s", why);
	log_info("%s.%u gone: %s", g->tag, g->generation, g->st.last_close);
	lwsconn_drop(&g->conn, SESS_CLOSE_DROP);
	snprintf(g->fatal, sizeof(g->fatal), "%s (close code %u)", sentence, code);
	(void)sess_conn_event(&g->sess, g->generation, now(g), ev);
}

static const struct lwsconn_ops	 conn_ops = {
	.on_open = on_open, .on_frame = on_frame, .on_sent = on_sent, .on_gone = on_gone,
};

/* In a later turn: the session asked for the dial and is not done with the event that made it. */
static void
dial_failed(void *arg)
{
	struct gateway	*g = arg;

	(void)sess_conn_event(&g->sess, g->generation, now(g), SEV_DIAL_FAILED);
}

static void
dial_next(struct gateway *g)
{
	struct lwsdial	 dial;
	const char	*why;

	if (g->addr_at >= g->addrs.addrs_n) {
		loop_job_queue(g->loop, &g->no_dial);
		return;
	}
	if (g->ll == NULL && (g->ll = lwsloop_new(g->loop, g->cfg->ca_file, &why)) == NULL) {
		log_warnx("%s.%u cannot connect: %s", g->tag, g->generation, why);
		set_last_close(g, "cannot connect: %s", why);
		loop_job_queue(g->loop, &g->no_dial);
		return;
	}
	dial = (struct lwsdial){
		.addr = g->addrs.addr[g->addr_at], .port = g->to.port, .tls = g->to.tls,
		.host = g->to.host, .path = g->path, .user_agent = g->user_agent,
		.phase_ms = g->cfg->connect_timeout_ms,
	};
	g->conn = lwsloop_dial(g->ll, &dial, &conn_ops, g);
}

static void
on_resolved(const struct resolve_answer *answer, void *arg)
{
	struct gateway	*g = arg;

	g->query = NULL;
	g->addrs = *answer;
	g->addr_at = 0;
	if (g->addrs.addrs_n == 0) {
		COUNT(resolve_failures);
		log_warnx("%s.%u cannot resolve host=%s: %s", g->tag, g->generation, g->to.host,
		    answer->why);
		set_last_close(g, "cannot resolve %s: %s", g->to.host, answer->why);
	}
	for (size_t i = 0; !g->to.tls && i < g->addrs.addrs_n; i++)
		if (!url_is_loopback(g->addrs.addr[i])) {
			log_warnx("%s.%u ws:// is for loopback addresses only: host=%s addr=%s",
			    g->tag, g->generation, g->to.host, g->addrs.addr[i]);
			set_last_close(g, "ws:// is for loopback addresses only");
			g->addrs.addrs_n = 0;
		}
	dial_next(g);
}

/* What is dialled next. */
static bool
aim(struct gateway *g, const char *url)
{
	size_t	 path_n;
	int	 n;

	if (url_parse(url, URL_WS, &g->to) != NULL)
		return false;
	path_n = *g->to.rest == '/' ? strcspn(g->to.rest, "?#") : 0;
	/*
	 * eris#1410: the very same query on every URL, or a resumed connection speaks another
	 * language.
	 */
	n = snprintf(g->path, sizeof(g->path), "%s%.*s?v=10&encoding=json%s",
	    path_n == 0 ? "/" : "", (int)path_n, g->to.rest,
	    g->compressed ? "&compress=zlib-stream" : "");
	return n > 0 && (size_t)n < sizeof(g->path);
}

static void
op_dial(void *arg, bool resume_url)
{
	struct gateway	*g = arg;
	const char	*url = resume_url ? g->ident.resume_url : g->url;

	assert(g->conn == NULL && g->query == NULL);
	g->generation = g->sess.generation;
	g->open = false;
	g->beat_written = MONO_NEVER;
	/* A new connection is a new stream: never reused, never reset. */
	inflate_free(&g->inflate);
	if (g->compressed)
		g->inflate = inflate_new(MESSAGE_MAX_BYTES);
	buf_reset(&g->gather);
	buf_shrink(&g->gather, GATHER_KEEP_BYTES);
	g->gather_over = false;
	let_go(g);	/* the replay brings it again */
	if (!aim(g, url)) {
		log_warnx("%s.%u gateway URL is not usable", g->tag, g->generation);
		set_last_close(g, "gateway URL is not usable");
		loop_job_queue(g->loop, &g->no_dial);
		return;
	}
	g->query = resolve_start(g->resolve, g->to.host, g->cfg->connect_timeout_ms, on_resolved,
	    g);
}

static void
op_hangup(void *arg, unsigned code)
{
	struct gateway	*g = arg;

	if (g->query != NULL)
		resolve_cancel(&g->query);
	loop_job_cancel(g->loop, &g->no_dial);
	if (g->conn == NULL)
		return;
	if (g->open && g->sess.state == SESS_STOPPING) {
		lwsconn_close(g->conn, code);	/* on_gone ends the stop */
		return;
	}
	g->open = false;
	lwsconn_drop(&g->conn, code);
}

/* ---- what the session asks, the rest ---- */

static void
op_moved(void *arg, enum sess_state from, enum sess_event why)
{
	struct gateway	*g = arg;

	log_info("%s.%u %s -> %s ev=%s seq=%llu", g->tag, g->sess.generation, sess_state_name(from),
	    sess_state_name(g->sess.state), sess_event_name(why), (unsigned long long)g->ident.seq);
	moment_say(MOMENT_GATEWAY, g->tag, "%s -> %s (%s)", sess_state_name(from),
	    sess_state_name(g->sess.state), sess_event_name(why));
}

static void
op_unexpected(void *arg, enum sess_event ev)
{
	struct gateway	*g = arg;

	COUNT(gateway_unexpected);
	log_notice("%s.%u unexpected ev=%s state=%s", g->tag, g->sess.generation,
	    sess_event_name(ev),
	    sess_state_name(g->sess.state));
}

static void
op_ask_bot(void *arg)
{
	struct gateway	*g = arg;

	g->ops->want_gateway_bot(g->arg);
}

static void
op_arm(void *arg, enum sess_timer t, struct mono when)
{
	struct gateway	*g = arg;

	timer_arm_at(g->timers[t].timer, when);
}

static void
op_stop(void *arg, enum sess_timer t)
{
	struct gateway	*g = arg;

	timer_stop(g->timers[t].timer);
}

/*
 * With each beat.  The session may be given up here, so nothing of it is touched afterwards.
 */
static void
mind_deafness(struct gateway *g)
{
	struct deaf_conf	 conf = { .silence_ms = g->cfg->probe_silence_ms,
		.every_ms = g->cfg->probe_every_ms, .answer_ms = g->cfg->probe_answer_ms };

	if (g->sess.state != SESS_READY || g->sess.paused || g->guilds_n == 0)
		return;
	switch (deaf_judge(&g->deaf, &conf, now(g))) {
	case DEAF_NO:
		break;
	case DEAF_ASK:
		g->st.probes++;
		COUNT(gateway_probes);
		log_debug("%s.%u no event for %llu ms: asking for one", g->tag, g->generation,
		    (unsigned long long)mono_ms_between(g->deaf.heard_at, now(g)));
		/* Another guild each time that one did not answer. */
		payload_member(&g->payload, g->guilds[g->deaf.unanswered % g->guilds_n],
		    g->ident.user_id);
		send_payload(g, COOKIE_NOT_A_BEAT);
		break;
	case DEAF_YES:
		g->st.deafs++;
		COUNT(gateway_deaf);
		set_last_close(g, "deaf: no event came, not even one that was asked for");
		log_warnx("%s.%u deaf: no event for %llu ms, not even one that was asked for;"
		    " dropping the connection", g->tag, g->generation,
		    (unsigned long long)mono_ms_between(g->deaf.heard_at, now(g)));
		feed(g, SEV_BROKEN);
		break;
	}
}

static void
on_timer(void *arg)
{
	struct gw_timer	*t = arg;

	feed(t->gw, t->ev);
	if (t->ev == SEV_T_BEAT)
		mind_deafness(t->gw);
}

static uint64_t
op_slot_ms(void *arg)
{
	struct gateway		*g = arg;
	enum identify_why	 why;
	uint64_t		 ms = identify_wait_ms(&g->identify, clock_wall_ms(), &why);

	if (why == IDENTIFY_SPENT)
		log_warnx("%s no IDENTIFY for %llu s: the day's budget is spent but for %u", g->tag,
		    (unsigned long long)(ms / 1000), IDENTIFY_RESERVE);
	return ms;
}

static void
op_lost(void *arg)
{
	struct gateway	*g = arg;

	take_up_last(g);
	COUNT(gateway_lost);
	log_warnx("%s session lost: what is said until the next one is live has to be asked for seq=%llu",
	    g->tag, (unsigned long long)g->ident.seq);
	moment_say(MOMENT_LOST, g->tag, "after seq %llu", (unsigned long long)g->ident.seq);
	g->ident.session_id[0] = g->ident.resume_url[0] = '\0';
	g->ident.seq = 0;
	g->refused = g->bad = false;
	g->ops->on_identity(g->arg, &g->ident);
}

static void
op_live(void *arg, bool resumed)
{
	struct gateway	*g = arg;

	g->st.ever_live = true;
	deaf_live(&g->deaf, now(g));
	g->ops->on_live(g->arg, resumed);
}

static void
op_zombie(void *arg)
{
	struct gateway	*g = arg;

	g->st.zombies++;
	COUNT(gateway_zombies);
	set_last_close(g, "no heartbeat ACK");
	log_warnx("%s.%u no heartbeat ACK for %llu ms", g->tag, g->generation,
	    (unsigned long long)mono_ms_between(g->sess.beat_sent, now(g)));
}

/* Which of the intents we asked for have to be switched on by a person. */
static void
name_privileged(uint64_t bits, struct buf *out)
{
	const struct intent_row	*intents;
	size_t			 n;

	intents = table_intents(&n);
	for (size_t i = 0; i < n; i++)
		if (intents[i].privileged && (bits & intents[i].bits) != 0)
			buf_printf(out, "%s%s", out->n == 0 ? "" : ", ", intents[i].name);
	if (out->n == 0)
		buf_printf(out, "none");
}

static void
op_fatal(void *arg, enum sess_fatal why)
{
	static const enum gw_fatal	 class[] = {
		[SESS_FATAL_TOKEN] = GW_FATAL_TOKEN, [SESS_FATAL_INTENTS] = GW_FATAL_INTENTS,
		[SESS_FATAL_OTHER] = GW_FATAL_GATEWAY,
	};
	struct gateway	*g = arg;
	struct buf	 names = { 0 };
	size_t		 n = strlen(g->fatal);

	op_hangup(g, SESS_CLOSE_DROP);
	if (why == SESS_FATAL_INTENTS) {
		name_privileged(g->cfg->intents_bits, &names);
		snprintf(g->fatal + n, sizeof(g->fatal) - n,
		    "; asked for intents %llu, of them privileged: %.*s",
		    (unsigned long long)g->cfg->intents_bits, (int)names.n, names.p + names.off);
		buf_fini(&names);
	}
	log_info("%s gave up: %s", g->tag, g->fatal);
	g->ops->on_fatal(g->arg, class[why], g->fatal);
}

static void
op_stopped(void *arg)
{
	struct gateway	*g = arg;

	op_hangup(g, SESS_CLOSE_DROP);
	g->open = false;
	lwsconn_drop(&g->conn, SESS_CLOSE_STOP);
	g->ops->on_stopped(g->arg);
}

static uint64_t
op_random(void *arg, uint64_t below)
{
	(void)arg;
	return below == 0 ? 0 : clock_random(below);
}

static const struct sess_ops	 sess_ops = {
	.moved = op_moved, .unexpected = op_unexpected, .ask_bot = op_ask_bot, .dial = op_dial,
	.hangup = op_hangup, .send_identify = op_send_identify, .send_resume = op_send_resume,
	.send_beat = op_send_beat, .arm = op_arm, .stop = op_stop, .slot_ms = op_slot_ms,
	    .lost = op_lost,
	.live = op_live, .zombie = op_zombie, .fatal = op_fatal, .stopped = op_stopped,
	    .random = op_random,
};

/* ---- outside ---- */

static struct sess_conf
conf_of(const struct cfg *cfg)
{
	return (struct sess_conf){
		.dial_ms = cfg->connect_timeout_ms * (1 + PHASES * RESOLVE_ADDRS_MAX) + 1000,
		.hello_ms = cfg->hello_timeout_ms,
		.backoff_max_ms = cfg->backoff_max_ms,
	};
}

struct gateway *
gw_new(struct loop *loop, struct resolve *resolve, const struct cfg *cfg,
    const struct gw_identity *ident,
    const struct gw_budget *budget, const struct gw_ops *ops, void *arg)
{
	static const enum sess_event	 timer_events[] = {
		[SESS_PHASE] = SEV_T_PHASE, [SESS_BEAT] = SEV_T_BEAT, [SESS_RETRY] = SEV_T_RETRY,
		[SESS_SLOTS] = SEV_T_SLOT, [SESS_STOPS] = SEV_T_STOP,
	};
	struct gateway			*g = mem_alloc(sizeof(*g));
	struct sess_conf		 conf;

	g->loop = loop;
	g->resolve = resolve;
	g->cfg = cfg;
	g->ops = ops;
	g->arg = arg;
	if (ident != NULL)
		g->ident = *ident;
	if (g->ident.shards == 0)
		g->ident.shards = 1;
	identify_init(&g->identify, budget);
	snprintf(g->tag, sizeof(g->tag), "sess#%u", g->ident.shard + 1);
	snprintf(g->user_agent, sizeof(g->user_agent), "DiscordBot (%s, %s)", cfg->user_agent_url,
	    BULKHEAD_VERSION);
	g->compressed = strcmp(cfg->compress, "none") != 0;
	g->no_dial = (struct loop_job){ .fn = dial_failed, .arg = g };
	for (int t = 0; t < SESS__TIMERS; t++) {
		g->timers[t] = (struct gw_timer){ .gw = g, .ev = timer_events[t] };
		g->timers[t].timer = timer_new(loop, on_timer, &g->timers[t]);
	}
	conf = conf_of(cfg);
	sess_init(&g->sess, &conf, &sess_ops, g);
	return g;
}

void
gw_reconfigure(struct gateway *g)
{
	g->sess.conf = conf_of(g->cfg);
}

void
gw_free(struct gateway **gp)
{
	struct gateway	*g = *gp;

	if (g == NULL)
		return;
	if (g->query != NULL)
		resolve_cancel(&g->query);
	loop_job_cancel(g->loop, &g->no_dial);
	lwsconn_drop(&g->conn, SESS_CLOSE_DROP);
	lwsloop_free(&g->ll);
	for (int t = 0; t < SESS__TIMERS; t++)
		timer_free(&g->timers[t].timer);
	inflate_free(&g->inflate);
	buf_fini(&g->gather);
	buf_fini(&g->held);
	buf_fini(&g->payload);
	free(g);
	*gp = NULL;
}

void
gw_start(struct gateway *g)
{
	const char	*why;

	/*
	 * A RESUME without seq or with other intents is none: discord.py#544; only IDENTIFY
	 * changes intents.
	 */
	if (g->ident.session_id[0] != '\0' && g->ident.seq > 0 &&
	    g->ident.intents == g->cfg->intents_bits) {
		g->sess.has_session = true;
		g->sess.has_resume_url = g->ident.resume_url[0] != '\0';
	} else if (g->ident.session_id[0] != '\0') {
		log_notice("%s the journaled session is not resumed: %s", g->tag,
		    g->ident.seq == 0 ? "it has no seq" : "the intents have changed");
		op_lost(g);
	}
	g->sess.has_url = g->url[0] != '\0';
	/* It takes a while, and meanwhile the workers start.  A failure is the first dial's to tell. */
	g->ll = lwsloop_new(g->loop, g->cfg->ca_file, &why);
	if (g->ll != NULL && strncmp(g->cfg->api_url, "https:", 6) == 0)
		lwsloop_prepare(g->ll);
	feed(g, SEV_START);
}

void
gw_bot_answer(struct gateway *g, unsigned status, struct span body)
{
	enum json_token	 type;
	struct span	 limit;
	uint64_t	 total, remaining, reset_after, shards;
	char		 url[GW_URL_MAX];
	bool		 ok = false;

	if (status == 200 && payload_text(body, "url", url, sizeof(url)) && is_usable(url)) {
		ok = true;
		(void)span_copy(span_of(url), g->url, sizeof(g->url));
		g->sess.has_url = true;
		if (json_member(body, "session_start_limit", &type, &limit) &&
		    type == JSON_TOK_OBJECT &&
		    json_member_u64(limit, "total", &total) && json_member_u64(limit, "remaining",
		    &remaining) &&
		    json_member_u64(limit, "reset_after", &reset_after))
			identify_told(&g->identify, clock_wall_ms(), total, remaining, reset_after);
		if (json_member_u64(body, "shards", &shards) && shards > g->ident.shards)
			log_notice("%s Discord recommends %llu shards, this is %u of %u", g->tag,
			    (unsigned long long)shards, g->ident.shard + 1, g->ident.shards);
	}
	if (g->sess.state != SESS_ASKING)
		return;
	if (ok) {
		feed(g, SEV_BOT_OK);
	} else if (status == 401) {
		(void)span_copy(SPAN("Discord refused the token (GET /gateway/bot: 401)"), g->fatal,
		    sizeof(g->fatal));
		feed(g, SEV_BOT_DENIED);
	} else {
		if (status == 200)
			set_last_close(g, "GET /gateway/bot: no usable answer");
		else if (status == 0)
			set_last_close(g, "GET /gateway/bot: no answer");
		else
			set_last_close(g, "GET /gateway/bot: %u", status);
		log_warnx("%s %s", g->tag, g->st.last_close);
		feed(g, SEV_BOT_FAILED);
	}
}

void
gw_know_guild(struct gateway *g, uint64_t guild)
{
	for (size_t i = 0; i < g->guilds_n; i++)
		if (g->guilds[i] == guild)
			return;
	if (guild != 0 && g->guilds_n < GUILDS_KEPT)
		g->guilds[g->guilds_n++] = guild;
}

void
gw_stop(struct gateway *g, bool final)
{
	feed(g, final ? SEV_STOP_FINAL : SEV_STOP);
}

void
gw_pause(struct gateway *g, bool pause)
{
	g->paused = pause;
	mind_reading(g);
}

void
gw_status(struct gateway *g, struct gw_status *st)
{
	struct mono	 t = now(g);

	*st = g->st;
	st->state = sess_state_name(g->sess.state);
	st->state_ms = mono_is_never(g->sess.since) ? 0 : mono_ms_between(g->sess.since, t);
	st->seq = g->ident.seq;
	st->identifies_left = identify_left(&g->identify, clock_wall_ms());
	st->identify_in_ms = identify_wait_ms(&g->identify, clock_wall_ms(), NULL);
	st->dispatch_age_ms = mono_is_never(g->dispatch_at) ? UINT64_MAX :
	    mono_ms_between(g->dispatch_at, t);
	st->ack_age_ms = mono_is_never(g->ack_at) ? UINT64_MAX : mono_ms_between(g->ack_at, t);
	st->session_id = g->ident.session_id;
	st->retry_in_ms = g->sess.state == SESS_BACKOFF ? mono_ms_until(t, g->sess.retry_at) : 0;
}

const struct gw_identity *
gw_identity(struct gateway *g)
{
	return &g->ident;
}
