/*
 * gateway - wire, intake, session and identify put together: see gateway.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "supervisor/gateway/payload.h"
#include "supervisor/gateway/state.h"
#include "supervisor/moments.h"

#define UNSENT_MAX		16u	/* asked beats that a peer may make us queue */

/* ---- small things ---- */

void
gw_feed(struct gateway *g, enum sess_event ev)
{
	(void)sess_event(&g->sess, gw_now(g), ev);
}

void
gw_set_last_close(struct gateway *g, const char *fmt, ...)
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
	} else if (wire_is_open(g->wire)) {
		g->unsent++;
		presence_said(&g->presence, gw_now(g));
		wire_send(g->wire, text, cookie);
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
	    g->ident.shards, presence_span(&g->presence));
	presence_identified(&g->presence);
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

/* When it is due and Discord takes it; else the timer comes back. */
static void
tell_presence(struct gateway *g)
{
	uint64_t	 ms;

	if (g->sess.state != SESS_READY || !presence_may(&g->presence, gw_now(g), &ms))
		return;
	if (ms > 0) {
		timer_arm_ms(g->tell, ms);
		return;
	}
	payload_presence(&g->payload, presence_span(&g->presence));
	send_payload(g, COOKIE_NOT_A_BEAT);
	presence_told(&g->presence, gw_now(g));
	COUNT(presence_told);
}

static void
on_tell(void *arg)
{
	tell_presence(arg);
}

bool
gw_presence(struct gateway *g, struct span made)
{
	if (presence_wish(&g->presence, made))
		COUNT(presence_shed);
	tell_presence(g);
	return !g->presence.due;
}

static void
op_dial(void *arg, bool resume_url)
{
	struct gateway	*g = arg;
	char		 tag[WIRE_TAG_MAX];

	g->generation = g->sess.generation;
	g->beat_written = MONO_NEVER;
	presence_connected(&g->presence);
	(void)intake_drop_held(&g->intake);	/* the replay brings it again */
	gw_mind_reading(g);
	snprintf(tag, sizeof(tag), "%s.%u", g->tag, g->generation);
	wire_dial(g->wire, resume_url ? g->ident.resume_url : g->url, tag);
}

static void
op_hangup(void *arg, unsigned code)
{
	struct gateway	*g = arg;

	if (wire_is_open(g->wire) && g->sess.state == SESS_STOPPING)
		wire_close(g->wire, code);	/* on_gone ends the stop */
	else
		wire_drop(g->wire, code);
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
	switch (deaf_judge(&g->deaf, &conf, gw_now(g))) {
	case DEAF_NO:
		break;
	case DEAF_ASK:
		g->st.probes++;
		COUNT(gateway_probes);
		log_debug("%s.%u no event for %llu ms: asking for one", g->tag, g->generation,
		    (unsigned long long)mono_ms_between(g->deaf.heard_at, gw_now(g)));
		/* Another guild each time that one did not answer. */
		payload_member(&g->payload, g->guilds[g->deaf.unanswered % g->guilds_n],
		    g->ident.user_id);
		send_payload(g, COOKIE_NOT_A_BEAT);
		break;
	case DEAF_YES:
		g->st.deafs++;
		COUNT(gateway_deaf);
		gw_set_last_close(g, "deaf: no event came, not even one that was asked for");
		log_warnx("%s.%u deaf: no event for %llu ms, not even one that was asked for;"
		    " dropping the connection", g->tag, g->generation,
		    (unsigned long long)mono_ms_between(g->deaf.heard_at, gw_now(g)));
		gw_feed(g, SEV_BROKEN);
		break;
	}
}

static void
on_timer(void *arg)
{
	struct gw_timer	*t = arg;

	gw_feed(t->gw, t->ev);
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

/* The session that could bring it again is lost: now or never. */
static void
take_up_last(struct gateway *g)
{
	size_t	 n;

	gw_take_up(g);
	if ((n = intake_drop_held(&g->intake)) == 0)
		return;
	COUNT(events_dropped);
	log_warnx("%s journal full: event dropped with its session after seq=%llu bytes=%zu",
	    g->tag, (unsigned long long)g->ident.seq, n);
	gw_mind_reading(g);
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
	intake_forget(&g->intake);
	g->ops->on_identity(g->arg, &g->ident);
}

static void
op_live(void *arg, bool resumed)
{
	struct gateway	*g = arg;

	g->st.ever_live = true;
	deaf_live(&g->deaf, gw_now(g));
	if (resumed)
		presence_resumed(&g->presence);
	tell_presence(g);
	g->ops->on_live(g->arg, resumed);
}

static void
op_zombie(void *arg)
{
	struct gateway	*g = arg;

	g->st.zombies++;
	COUNT(gateway_zombies);
	gw_set_last_close(g, "no heartbeat ACK");
	log_warnx("%s.%u no heartbeat ACK for %llu ms", g->tag, g->generation,
	    (unsigned long long)mono_ms_between(g->sess.beat_sent, gw_now(g)));
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
	wire_drop(g->wire, SESS_CLOSE_STOP);
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
		.dial_ms = cfg->connect_timeout_ms * (1 + WIRE_PHASES * RESOLVE_ADDRS_MAX) + 1000,
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
	g->cfg = cfg;
	g->ops = ops;
	g->arg = arg;
	if (ident != NULL)
		g->ident = *ident;
	if (g->ident.shards == 0)
		g->ident.shards = 1;
	identify_init(&g->identify, budget);
	snprintf(g->tag, sizeof(g->tag), "sess#%u", g->ident.shard + 1);
	g->wire = wire_new(loop, resolve, cfg, &gw_wire_ops, g);
	intake_init(&g->intake, &g->ident, ops, arg);
	for (int t = 0; t < SESS__TIMERS; t++) {
		g->timers[t] = (struct gw_timer){ .gw = g, .ev = timer_events[t] };
		g->timers[t].timer = timer_new(loop, on_timer, &g->timers[t]);
	}
	g->tell = timer_new(loop, on_tell, g);
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
	wire_free(&g->wire);
	for (int t = 0; t < SESS__TIMERS; t++)
		timer_free(&g->timers[t].timer);
	timer_free(&g->tell);
	intake_fini(&g->intake);
	buf_fini(&g->payload);
	free(g);
	*gp = NULL;
}

void
gw_start(struct gateway *g)
{
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
	wire_prepare(g->wire);	/* it takes a while, and meanwhile the workers start */
	gw_feed(g, SEV_START);
}

void
gw_bot_answer(struct gateway *g, unsigned status, struct span body)
{
	enum json_token	 type;
	struct span	 limit;
	uint64_t	 total, remaining, reset_after, shards;
	char		 url[GW_URL_MAX];
	bool		 ok = false;

	if (status == 200 && payload_url(body, "url", url, sizeof(url))) {
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
		gw_feed(g, SEV_BOT_OK);
	} else if (status == 401) {
		(void)span_copy(SPAN("Discord refused the token (GET /gateway/bot: 401)"), g->fatal,
		    sizeof(g->fatal));
		gw_feed(g, SEV_BOT_DENIED);
	} else {
		if (status == 200)
			gw_set_last_close(g, "GET /gateway/bot: no usable answer");
		else if (status == 0)
			gw_set_last_close(g, "GET /gateway/bot: no answer");
		else
			gw_set_last_close(g, "GET /gateway/bot: %u", status);
		log_warnx("%s %s", g->tag, g->st.last_close);
		gw_feed(g, SEV_BOT_FAILED);
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
	gw_feed(g, final ? SEV_STOP_FINAL : SEV_STOP);
}

int
gw_identify_anew(struct gateway *g, const char **why_r)
{
	enum sess_state		 st = g->sess.state;
	enum identify_why	 spent;

	(void)identify_wait_ms(&g->identify, clock_wall_ms(), &spent);
	if (st == SESS_IDLE || st == SESS_STOPPING || st == SESS_FATAL)
		*why_r = "the gateway is not running";
	else if (!g->sess.has_session)
		*why_r = "there is no session to give up: it identifies as soon as it may";
	else if (spent == IDENTIFY_SPENT)
		*why_r = "the day's IDENTIFYs are spent but for a reserve; 'show shards' says when there"
		    " are more";
	else {
		log_notice("%s gives its session up: an operator asked for it", g->tag);
		gw_set_last_close(g, "given up: an operator asked for it");
		gw_feed(g, SEV_FORGET);
		return 0;
	}
	return -1;
}

void
gw_pause(struct gateway *g, bool pause)
{
	g->paused = pause;
	gw_mind_reading(g);
}

void
gw_status(struct gateway *g, struct gw_status *st)
{
	struct mono	 t = gw_now(g);

	*st = g->st;
	st->state = sess_state_name(g->sess.state);
	st->state_ms = mono_is_never(g->sess.since) ? 0 : mono_ms_between(g->sess.since, t);
	st->live = g->sess.state == SESS_READY;
	st->seq = g->ident.seq;
	st->identifies_left = identify_left(&g->identify, clock_wall_ms());
	st->identify_in_ms = identify_wait_ms(&g->identify, clock_wall_ms(), NULL);
	st->dispatch_age_ms = mono_is_never(g->dispatch_at) ? UINT64_MAX :
	    mono_ms_between(g->dispatch_at, t);
	st->ack_age_ms = mono_is_never(g->ack_at) ? UINT64_MAX : mono_ms_between(g->ack_at, t);
	st->session_id = g->ident.session_id;
	st->presence = presence_span(&g->presence);
	st->presence_due = g->presence.due;
	st->retry_in_ms = g->sess.state == SESS_BACKOFF ? mono_ms_until(t, g->sess.retry_at) : 0;
}

const struct gw_identity *
gw_identity(struct gateway *g)
{
	return &g->ident;
}
