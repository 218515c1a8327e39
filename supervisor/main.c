/*
 * bulkheadd - options, the configuration child, the start order, the loop, the stop order.
 *
 * Everything else lives in the rooms beside this file; the callbacks here only connect them.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libwebsockets.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "common/fault.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/control.h"
#include "supervisor/control/poolcalls.h"
#include "supervisor/control/streams.h"
#include "supervisor/supervisor.h"
#include "supervisor/xdoc.h"

#define CONF_DEFAULT	"/etc/bulkhead/bulkhead.conf"
#define TELL_AGAIN_MS	10000
#define FDS_BASE	128	/* ourselves, control clients, the rest pool, a reconnect */
#define FDS_PER_WORKER	8	/* link, board, stderr, pidfd; twice while one replaces another */

/* What only this file needs to know of a running supervisor. */
struct run {
	struct sup	 sup;
	char		 worker[PATH_MAX];
	int		 lock_fd;
	int		 status;		/* exit status */
	struct timer	*patience;		/* start_patience: an API that was never reached */
	struct timer	*bound;			/* the stop is bounded, whatever hangs */
	struct sigwatch	*signals[4];
	char		 last_api[160];		/* why GET /gateway/bot failed last */
	unsigned	 waiting;		/* parts of the stop order that have not ended */
	bool		 paused;		/* the journal is tight */
	struct mono	 told_at;		/* when the log said so last */
};

static void	 run_exit_when_done(struct run *);

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: bulkheadd [-c FILE] [-T CLASS,...] [--no-gateway] [--faults]\n"
	    "       bulkheadd -n [-c FILE]          check the configuration and exit\n"
	    "       bulkheadd -x proto|options|counters|commands|errors|events|faults\n"
	    "\n"
	    "  -c, --config FILE   configuration, default " CONF_DEFAULT "\n"
	    "  -n, --check         read the configuration, say what is wrong with it, exit 0 or %d\n"
	    "  -T, --trace LIST    trace classes: gateway, chan, rest, route, or all\n"
	    "      --no-gateway    start everything but the connection to Discord's gateway\n"
	    "      --faults        let `bulkheadctl fault` arm fault points\n"
	    "  -x, --explain WHAT  print a table of proto/ as markdown\n"
	    "  -V, --version       print versions\n"
	    "  -h, --help          this\n",
	    BULKHEADD_EXIT_CONFIG);
}

static void
versions(char *dst, size_t bytes)
{
	snprintf(dst, bytes, "bulkheadd %s protocol=%d libevent=%s libwebsockets=%s zlib=%s msgpack=%s",
	    BULKHEAD_VERSION, PROTO_VERSION, event_get_version(), lws_get_library_version(),
	    zlibVersion(), msgpack_version());
}

/* ---- gateway -> journal and queue ---- */

/*
 * Reading pauses at once, not at the end of the turn: what was read already may be more than there
 * is room for.
 */
static void
mind_the_room(struct run *run)
{
	bool		 tight = journal_tight(run->sup.journal);
	struct mono	 now;

	if (run->sup.gw == NULL || tight == run->paused)
		return;
	run->paused = tight;
	gw_pause(run->sup.gw, tight);
	/* Under load this comes and goes with every answer. */
	now = clock_mono();
	if (tight && (mono_is_never(run->told_at) ||
	    mono_ms_between(run->told_at, now) >= TELL_AGAIN_MS)) {
		run->told_at = now;
		log_warnx("journal nearly full: reading from Discord pauses whenever it has no room;"
		    " handlers are too slow, or it is too small (option journal)");
	}
}

static int
gw_on_dispatch(void *arg, const struct envelope *ev, const char *session_id, bool replayed)
{
	struct run	*run = arg;
	unsigned	 wanted = 0;
	int		 rc;

	if ((rc = queue_dispatch(run->sup.queue, ev, session_id, 0, replayed, &wanted)) != 0)
		return rc;
	journal_seq(run->sup.journal, 0, ev->s);
	if (wanted > 0 && !run->paused)
		mind_the_room(run);
	if (wanted > 0 && fault_hits(FAULT_SUP_CRASH_JOURNALED, ev->t))
		raise(SIGKILL);
	return 0;
}

static void
gw_on_seq(void *arg, uint64_t seq)
{
	struct run	*run = arg;

	journal_seq(run->sup.journal, 0, seq);
}

static void
gw_on_identity(void *arg, const struct gw_identity *id)
{
	struct run	*run = arg;

	if (id->session_id[0] == '\0')
		run->sup.lost_wall_ms = clock_wall_ms();
	journal_identity(run->sup.journal, id);
}

static void
gw_on_live(void *arg, bool resumed)
{
	struct run			*run = arg;
	const struct gw_identity	*id = gw_identity(run->sup.gw);

	timer_stop(run->patience);
	if (run->sup.phase == SUP_STARTING)
		run->sup.phase = SUP_RUNNING;
	pools_self(run->sup.pools, id->user_id, id->application_id, id->shards);
	log_notice("sess#%u live user=%llu resumed=%d", id->shard, (unsigned long long)id->user_id,
	    resumed);
}

static void
gw_on_identify(void *arg, const struct gw_budget *budget)
{
	struct run	*run = arg;

	journal_budget(run->sup.journal, budget);
}

static void
on_gateway_bot(void *arg, const struct msg_RESULT *res)
{
	struct run	*run = arg;

	if (res->status == 200)
		timer_stop(run->patience);
	else if (res->status != 0)
		snprintf(run->last_api, sizeof(run->last_api),
		    "GET /gateway/bot was answered with HTTP status %u; is api_url right?",
		    (unsigned)res->status);
	else
		snprintf(run->last_api, sizeof(run->last_api), "%.*s", (int)res->why.n, res->why.p);
	gw_bot_answer(run->sup.gw, (unsigned)res->status, res->body);
}

static void
gw_want_gateway_bot(void *arg)
{
	struct run	*run = arg;

	const struct cfg	*cfg = run->sup.cfg;
	uint64_t		 half_ms = cfg->start_patience_ms / 2;

	/* At least one answer, or the reason for none, before the patience ends. */
	calls_ask(run->sup.calls, "GET", "/gateway/bot", SPAN_NONE,
	    half_ms < cfg->call_timeout_ms ? half_ms : cfg->call_timeout_ms, on_gateway_bot, run);
}

static void
gw_on_fatal(void *arg, enum gw_fatal kind, const char *sentence)
{
	static const struct {
		int		 status;
		const char	*advice;
	} kinds[] = {
		[GW_FATAL_TOKEN] = { BULKHEADD_EXIT_TOKEN,
		    "copy a new one from Discord's developer portal (Bot, Reset Token) into token or token_file" },
		[GW_FATAL_INTENTS] = { BULKHEADD_EXIT_INTENTS,
		    "switch them on in the portal (Bot, Privileged Gateway Intents), or set content = false" },
		[GW_FATAL_GATEWAY] = { BULKHEADD_EXIT_GATEWAY, "a retry would end the same way" },
	};
	struct run	*run = arg;

	run->status = kinds[kind].status;
	log_err("%s; %s", sentence, kinds[kind].advice);
	sup_stop(&run->sup, "Discord ended the session for good");
}

static void
gw_on_stopped(void *arg)
{
	struct run	*run = arg;

	run->waiting--;
	run_exit_when_done(run);
}

static const struct gw_ops gw_ops = {
	.on_dispatch = gw_on_dispatch,
	.on_seq = gw_on_seq,
	.on_identity = gw_on_identity,
	.on_live = gw_on_live,
	.on_identify = gw_on_identify,
	.want_gateway_bot = gw_want_gateway_bot,
	.on_fatal = gw_on_fatal,
	.on_stopped = gw_on_stopped,
};

/* ---- pools -> queue and calls ---- */

/* Streams go where calls go. */
static void
follow_active(struct run *run)
{
	streams_active(run->sup.streams, calls_service(run->sup.calls));
}

static void
pool_on_up(void *arg, struct child *child)
{
	struct run	*run = arg;

	if (child_is_rest(child)) {
		calls_service_up(run->sup.calls, child);
		follow_active(run);
	} else
		child_peer_set(child, queue_worker_up(queue_pool(run->sup.queue, child_pool(child)),
		    child_slot(child), child_tag(child), child));
	if (run->sup.phase == SUP_STARTING && run->sup.no_gateway)
		run->sup.phase = SUP_RUNNING;
}

static int
rest_said(struct run *run, struct child *child, const struct msg_in *in, const char **why_r)
{
	switch (in->type) {
	case MSG_RESULT:
		return calls_result(run->sup.calls, child, &in->RESULT, why_r);
	case MSG_STREAM_STATE:
		return streams_state(run->sup.streams, child, &in->STREAM_STATE, why_r);
	default:
		*why_r = "a message that its role does not send";
		return -1;
	}
}

static int
handler_said(struct run *run, struct child *child, const struct msg_in *in, const char **why_r)
{
	switch (in->type) {
	case MSG_ACK:
		*why_r = "ACK of a delivery that it does not hold";
		streams_delivery_over(run->sup.streams, child, in->ACK.delivery, true);
		return queue_ack(child_peer(child), in->ACK.delivery);
	case MSG_NACK:
		*why_r = "NACK of a delivery that it does not hold";
		streams_delivery_over(run->sup.streams, child, in->NACK.delivery, false);
		return queue_nack(child_peer(child), in->NACK.delivery, (unsigned)in->NACK.reason,
		    in->NACK.why);
	case MSG_RESULT:
		return poolcalls_result(run->sup.poolcalls, child, &in->RESULT, why_r);
	case MSG_CALL:
		return calls_from_worker(run->sup.calls, child, &in->CALL, why_r);
	case MSG_STREAM_OPEN:
		return streams_open(run->sup.streams, child, &in->STREAM_OPEN, why_r);
	case MSG_STREAM_TEXT:
		return streams_text(run->sup.streams, child, &in->STREAM_TEXT, why_r);
	case MSG_STREAM_END:
		return streams_end(run->sup.streams, child, &in->STREAM_END, why_r);
	default:
		*why_r = "a message that its role does not send";
		return -1;
	}
}

static int
pool_on_msg(void *arg, struct child *child, const struct msg_in *in, const char **why_r)
{
	return child_is_rest(child) ? rest_said(arg, child, in, why_r) :
	    handler_said(arg, child, in, why_r);
}

static void
pool_on_draining(void *arg, struct child *child)
{
	struct run	*run = arg;

	if (child_is_rest(child)) {
		calls_service_draining(run->sup.calls, child);
		follow_active(run);
	} else
		queue_worker_drain(child_peer(child));
}

static void
pool_on_down(void *arg, struct child *child, const struct obituary *ob)
{
	struct run	*run = arg;
	struct qworker	*qw;

	if (child_is_rest(child)) {
		calls_service_down(run->sup.calls, child, ob->cause == DEATH_ASKED);
		streams_service_down(run->sup.streams, child, ob->cause == DEATH_ASKED);
		follow_active(run);
		return;
	}
	calls_worker_down(run->sup.calls, child);
	streams_worker_down(run->sup.streams, child);
	poolcalls_worker_down(run->sup.poolcalls, child);
	qw = child_peer(child);
	queue_worker_down(&qw, ob->running, ob->cause != DEATH_ASKED, ob->text);
	child_peer_set(child, NULL);
}

static size_t
pool_open_n(void *arg, const struct child *child)
{
	(void)arg;
	return child_peer(child) == NULL ? 0 : queue_worker_open(child_peer(child));
}

static const struct pools_ops pools_ops = {
	.on_up = pool_on_up,
	.on_msg = pool_on_msg,
	.on_draining = pool_on_draining,
	.on_down = pool_on_down,
	.open_n = pool_open_n,
};

/* ---- queue -> pools ---- */

static void
queue_give(void *peer, const struct msg_EVENT *ev)
{
	log_trace("route", "dlv#%016llx key=%llu %.*s -> %s attempt=%llu flags=%llu",
	    (unsigned long long)ev->delivery, (unsigned long long)ev->key, (int)ev->name.n,
	    ev->name.p, child_tag(peer), (unsigned long long)ev->attempt,
	    (unsigned long long)ev->flags);
	child_send(peer, MSG_EVENT, ev);	/* a child that is gone returns it with its death */
}

static uint64_t
queue_now_ms(void *arg)
{
	(void)arg;
	return clock_wall_ms();
}

static void
queue_on_aside(void *arg, const struct delivery *d)
{
	(void)arg;
	log_err("dlv#%016llx set aside: %s pool=%s event=%s object=%llu charges=%u: %s",
	    (unsigned long long)d->id, dlv_aside_name(d->aside), d->pool, d->name,
	    (unsigned long long)d->object, d->charges, d->report == NULL ? "" : d->report);
}

static const struct queue_ops queue_ops = {
	.give = queue_give,
	.now_ms = queue_now_ms,
	.on_aside = queue_on_aside,
};

/* ---- the loop's tail ---- */

static void
run_tail(void *arg)
{
	struct run	*run = arg;

	queue_run(run->sup.queue);
	calls_run(run->sup.calls);
	mind_the_room(run);
	if (run->sup.gw != NULL && !run->paused)
		gw_take_up(run->sup.gw);
}

/* ---- start ---- */

/* bulkhead-worker lies beside bulkheadd, in the build tree as when installed. */
static int
find_worker(char *dst, size_t bytes)
{
	ssize_t	 n = readlink("/proc/self/exe", dst, bytes - 1);
	char	*slash;

	if (n <= 0)
		return -1;
	dst[n] = '\0';
	if ((slash = strrchr(dst, '/')) == NULL)
		return -1;
	strlcpy(slash + 1, "bulkhead-worker", bytes - (size_t)(slash + 1 - dst));
	return access(dst, X_OK);
}

/*
 * What this configuration may open at once; workers inherit the limit.  Without enough of them
 * nothing starts.
 */
static void
want_descriptors(const struct cfg *cfg)
{
	struct rlimit	 lim;
	rlim_t		 need = FDS_BASE;

	for (size_t i = 0; i < cfg->pools_n; i++)
		need += FDS_PER_WORKER * cfg->pools[i].workers;
	if (getrlimit(RLIMIT_NOFILE, &lim) == -1 || lim.rlim_cur >= need)
		return;
	lim.rlim_cur = lim.rlim_max < need ? lim.rlim_max : need;
	if (setrlimit(RLIMIT_NOFILE, &lim) == -1 || lim.rlim_cur < need)
		log_warnx("the limit of open files is %llu, this configuration may need %llu:"
		    " raise it (ulimit -n, LimitNOFILE=)", (unsigned long long)lim.rlim_cur,
		    (unsigned long long)need);
}

/* Make the directory and take the lock that keeps a second instance out.  0, or the exit status. */
static int
take_lock(struct run *run)
{
	const char	*dir = run->sup.cfg->runtime_dir;
	struct flock	 whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char		*path;

	if (mkdir(dir, 0750) == -1 && errno != EEXIST) {
		log_err("cannot make runtime_dir %s: %s; make it for this user, or set runtime_dir to"
		    " a place it may write", dir, strerror(errno));
		return BULKHEADD_EXIT_FAIL;
	}
	path = mem_printf("%s/lock", dir);
	run->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (run->lock_fd == -1) {
		log_err("cannot open %s: %s; runtime_dir must be a directory that this user may"
		    " write", path, strerror(errno));
		free(path);
		return BULKHEADD_EXIT_FAIL;
	}
	free(path);
	/* Not flock: a child between fork and exec would hold it on when we are killed. */
	if (fcntl(run->lock_fd, F_SETLK, &whole) == -1) {
		log_err("another bulkheadd is running on %s: stop it, or give this one its own"
		    " runtime_dir", dir);
		return BULKHEADD_EXIT_INSTANCE;
	}
	return 0;
}

static void
on_patience(void *arg)
{
	struct run	*run = arg;

	run->status = BULKHEADD_EXIT_API;
	log_err("Discord's API at %s could not be reached for %llu s: %s", run->sup.cfg->api_url,
	    (unsigned long long)run->sup.cfg->start_patience_ms / 1000,
	    run->last_api[0] == '\0' ? "no answer" : run->last_api);
	sup_stop(&run->sup, "Discord's API could not be reached");
}

static void
on_leftovers_gone(void *arg)
{
	struct run	*run = arg;

	calls_gate(run->sup.calls, true);
	follow_active(run);
}

static void
on_signal(int signo, void *arg)
{
	struct run	*run = arg;

	if (signo == SIGUSR1)
		log_info("alive: children=%zu calls=%zu waiting=%llu given=%llu turns=%llu",
		    pools_alive(run->sup.pools), calls_open(run->sup.calls),
		    (unsigned long long)journal_count(run->sup.journal, DLV_WAITING),
		    (unsigned long long)journal_count(run->sup.journal, DLV_GIVEN),
		    (unsigned long long)loop_turns(run->sup.loop));
	else if (signo == SIGHUP)
		log_notice("SIGHUP: this version reads its configuration at start only");
	else
		sup_stop(&run->sup, signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

static int
start_journal(struct run *run)
{
	struct sup	*sup = &run->sup;
	char		*path = mem_printf("%s/journal", sup->cfg->runtime_dir);
	const char	*why;

	sup->journal = journal_open(path, sup->cfg->journal_bytes, clock_wall_ms(), &sup->opened,
	    &why);
	if (sup->journal == NULL)
		log_err("cannot use %s: %s (journal = %llu bytes)", path, why,
		    (unsigned long long)sup->cfg->journal_bytes);
	else if (sup->opened.damaged)
		log_err("%s", sup->opened.text);
	else if (!sup->opened.created)
		log_notice("journal: unfinished=%llu finished=%llu aside=%llu",
		    (unsigned long long)sup->opened.unfinished_n,
		    (unsigned long long)sup->opened.finished_n,
		    (unsigned long long)sup->opened.aside_n);
	if (sup->journal != NULL && !sup->opened.tmpfs)
		log_warnx("runtime_dir %s is not on tmpfs: a slow disk can stall the heartbeat",
		    sup->cfg->runtime_dir);
	free(path);
	return sup->journal == NULL ? -1 : 0;
}

/*
 * The start order.  Each step needs those above it; run_free undoes them from the bottom up.
 * 0, or an exit status.
 */
static int
run_start(struct run *run)
{
	static const int	 signals[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP };
	struct sup		*sup = &run->sup;
	struct gw_identity	 id;
	struct gw_budget	 budget;
	bool			 have_id, have_budget;
	const char		*why;
	char			*path;
	int			 status;

	want_descriptors(sup->cfg);
	if ((status = take_lock(run)) != 0)
		return status;
	if ((sup->loop = loop_new()) == NULL) {
		log_err("cannot make the event loop: %s", strerror(errno));
		return BULKHEADD_EXIT_FAIL;
	}
	log_attach(sup->loop);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		run->signals[i] = sigwatch_new(sup->loop, signals[i], on_signal, run);
	run->patience = timer_new(sup->loop, on_patience, run);
	if (start_journal(run) == -1)
		return BULKHEADD_EXIT_FAIL;
	have_id = journal_identity_get(sup->journal, 0, &id);
	have_budget = journal_budget_get(sup->journal, &budget);
	sup->resolve = resolve_new(sup->loop, sup->cfg->resolv_conf);
	sup->queue = queue_new(sup->journal, &queue_ops, run, sup->cfg->poison);
	for (size_t i = 0; i < sup->cfg->pools_n; i++)
		queue_pool_add(sup->queue, &sup->cfg->pools[i]);
	queue_recover(sup->queue);
	loop_tail(sup->loop, run_tail, run);
	sup->calls = calls_new(sup->loop, sup->cfg, sup->journal);
	sup->streams = streams_new(sup->loop, sup->journal, sup->cfg->poison, STREAMS_ORPHAN_MS);
	sup->poolcalls = poolcalls_new(sup->loop);
	sup->pools = pools_new(sup->loop, sup->cfg, sup->journal, run->worker, &pools_ops, run);
	pools_leftovers(sup->pools, on_leftovers_gone, run);
	path = mem_printf("%s/control.sock", sup->cfg->runtime_dir);
	sup->control = control_new(sup, path, &why);
	free(path);
	if (sup->control == NULL) {
		log_err("cannot make the control socket: %s", why);
		return BULKHEADD_EXIT_FAIL;
	}
	if (have_id)
		pools_self(sup->pools, id.user_id, id.application_id, id.shards);
	pools_start(sup->pools);
	if (!sup->no_gateway) {
		sup->gw = gw_new(sup->loop, sup->resolve, sup->cfg, have_id ? &id : NULL,
		    have_budget ? &budget : NULL, &gw_ops, run);
		if (!have_id || id.session_id[0] == '\0')
			timer_arm_ms(run->patience, sup->cfg->start_patience_ms);
		gw_start(sup->gw);
	}
	return 0;
}

static void
run_free(struct run *run)
{
	struct sup	*sup = &run->sup;

	if (sup->control != NULL)
		control_free(&sup->control);
	if (sup->gw != NULL)
		gw_free(&sup->gw);
	if (sup->pools != NULL)
		pools_free(&sup->pools);
	poolcalls_free(&sup->poolcalls);
	streams_free(&sup->streams);
	if (sup->calls != NULL)
		calls_free(&sup->calls);
	if (sup->queue != NULL)
		queue_free(&sup->queue);
	if (sup->resolve != NULL)
		resolve_free(&sup->resolve);
	if (sup->journal != NULL)
		journal_close(&sup->journal);
	if (run->bound != NULL)
		timer_free(&run->bound);
	if (run->patience != NULL)
		timer_free(&run->patience);
	for (size_t i = 0; i < sizeof(run->signals) / sizeof(*run->signals); i++)
		if (run->signals[i] != NULL)
			sigwatch_free(&run->signals[i]);
	log_detach();
	if (sup->loop != NULL)
		loop_free(&sup->loop);
	if (run->lock_fd != -1)
		close(run->lock_fd);
	cfg_unload(&sup->cfg);
}

/* ---- the stop order: intake off, handlers, rest, out ---- */

static void
run_exit_when_done(struct run *run)
{
	if (run->waiting == 0)
		loop_stop(run->sup.loop);
}

static void
on_rest_stopped(void *arg)
{
	struct run	*run = arg;

	run->waiting--;
	run_exit_when_done(run);
}

static void
on_handlers_stopped(void *arg)
{
	struct run	*run = arg;

	pools_stop(run->sup.pools, true, run->sup.cfg->rest_grace_ms, 0, on_rest_stopped, run);
}

static void
on_bound(void *arg)
{
	struct run	*run = arg;

	log_err("the stop took longer than its bound: children=%zu", pools_alive(run->sup.pools));
	loop_stop(run->sup.loop);
}

void
sup_stop(struct sup *sup, const char *why)
{
	struct run	*run = (struct run *)sup;	/* its first member */

	if (sup->phase == SUP_STOPPING) {
		log_notice("stopping in a hurry: %s", why);
		pools_hurry(sup->pools);
		return;
	}
	sup->phase = SUP_STOPPING;
	strlcpy(sup->why_stopping, why, sizeof(sup->why_stopping));
	log_notice("stopping: %s", why);
	timer_stop(run->patience);
	run->bound = timer_new(sup->loop, on_bound, run);
	timer_arm_ms(run->bound,
	    sup->cfg->drain_ms + sup->cfg->last_word_ms + sup->cfg->rest_grace_ms + 2000);
	control_stopping(sup->control);
	queue_hold(sup->queue, true);
	if (sup->gw != NULL) {
		run->waiting++;
		gw_stop(sup->gw, false);
	}
	run->waiting++;
	pools_stop(sup->pools, false, sup->cfg->drain_ms, sup->cfg->last_word_ms,
	    on_handlers_stopped, run);
}

/* ---- main ---- */

/* `-x config`: the configuration child.  One frame payload on stdout. */
static int
config_child(const char *conf, bool need_token)
{
	struct buf	 out = { 0 };
	struct span	 s;
	int		 rc = cfg_check_file(conf, need_token, &out);

	for (s = buf_span(&out); s.n > 0;) {
		ssize_t	 n = write(STDOUT_FILENO, s.p, s.n);

		if (n <= 0)
			return BULKHEADD_EXIT_FAIL;
		s.p += n;
		s.n -= (size_t)n;
	}
	buf_fini(&out);
	return rc == 0 ? 0 : BULKHEADD_EXIT_CONFIG;
}

/* What was printed has to arrive: a full disk is a failure. */
static int
printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return BULKHEADD_EXIT_OK;
	warn("stdout");
	return BULKHEADD_EXIT_FAIL;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'n' },
		{ "trace", required_argument, NULL, 'T' },
		{ "explain", required_argument, NULL, 'x' },
		{ "no-gateway", no_argument, NULL, 'g' },
		{ "faults", no_argument, NULL, 'F' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct run	 run = { .sup.conf = CONF_DEFAULT, .lock_fd = -1, .told_at = MONO_NEVER };
	struct sup	*sup = &run.sup;
	const char	*explain = NULL, *trace = NULL, *why;
	char		*errors = NULL, text[256];
	bool		 check = false;
	sigset_t	 block;
	int		 ch;

	log_std_fds();
	while ((ch = getopt_long(argc, argv, "c:nT:x:Vh", options, NULL)) != -1) {
		switch (ch) {
		case 'c': sup->conf = optarg; break;
		case 'n': check = true; break;
		case 'T': trace = optarg; break;
		case 'x': explain = optarg; break;
		case 'g': sup->no_gateway = true; break;
		case 'F': sup->faults = true; break;
		case 'V':
			versions(text, sizeof(text));
			puts(text);
			return printed();
		case 'h':
			usage(stdout);
			return printed();
		default:
			usage(stderr);
			return BULKHEADD_EXIT_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return BULKHEADD_EXIT_USAGE;
	}
	if (explain != NULL && strcmp(explain, "config") == 0)
		return config_child(sup->conf, !sup->no_gateway);
	if (explain != NULL)
		return xdoc_main(explain);

	if (trace != NULL && log_trace_classes(trace) == -1) {
		warnx("-T %s: there are %s", trace, log_trace_class_names());
		return BULKHEADD_EXIT_USAGE;
	}

	/* A signal that comes while we start waits for the loop. */
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigprocmask(SIG_BLOCK, &block, NULL);
	signal(SIGPIPE, SIG_IGN);
	log_init("bulkheadd", STDERR_FILENO, LOG_INFO);
	if (access("/proc/self/exe", X_OK) == -1) {
		warnx("/proc is not mounted here: it is needed to start workers and to watch them");
		return BULKHEADD_EXIT_FAIL;
	}
	sup->cfg = cfg_load("/proc/self/exe", sup->conf, !sup->no_gateway, &errors);
	if (sup->cfg == NULL) {
		fprintf(stderr, "%s\n", errors);
		free(errors);
		return BULKHEADD_EXIT_CONFIG;
	}
	if (check) {
		printf("%s: ok\n", sup->conf);
		cfg_unload(&sup->cfg);
		return printed();
	}
	log_level(log_level_of(sup->cfg->log_level));
	if (fault_init("supervisor", getenv("BULKHEAD_FAULTS"), &why) == -1) {
		log_err("BULKHEAD_FAULTS: %s", why);
		cfg_unload(&sup->cfg);
		return BULKHEADD_EXIT_USAGE;
	}
	if (find_worker(run.worker, sizeof(run.worker)) == -1) {
		log_err("cannot run %s: %s; it must lie beside bulkheadd", run.worker,
		    strerror(errno));
		cfg_unload(&sup->cfg);
		return BULKHEADD_EXIT_FAIL;
	}
	sup->program = "/proc/self/exe";
	sup->started = clock_mono();
	sup->started_wall_ms = clock_wall_ms();
	versions(text, sizeof(text));
	log_notice("%s config=%016llx", text, (unsigned long long)sup->cfg->hash);

	prctl(PR_SET_DUMPABLE, 0);		/* the token is in memory */
	run.status = run_start(&run);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	if (run.status == 0)
		loop_run(sup->loop);
	log_notice("stopped status=%d", run.status);
	run_free(&run);
	prctl(PR_SET_DUMPABLE, 1);		/* nothing secret is left; leak checkers need it */
	return run.status;
}
