/*
 * bulkhead-worker - one isolated child of bulkheadd.
 *
 * Starts with the link on descriptor 3, learns from HELLO who it is, builds everything that its
 * role needs, says READY.  One loop, no threads, no forks.  The supervisor decides when it ends:
 * DRAIN, or the end of the link.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/measure.h"
#include "common/mem.h"
#include "common/request.h"
#include "common/secret.h"
#include "worker/chat/chat.h"
#include "worker/echo/echo.h"
#include "worker/rest/growing.h"
#include "worker/rest/rest.h"
#include "worker/runtime/crash.h"
#include "worker/runtime/link.h"
#include "worker/runtime/option.h"
#include "worker/runtime/sandbox.h"
#include "worker/runtime/task.h"
#include "worker/web/web.h"

#define BEAT_MS		1000	/* tick when idle, and COUNT */
#define FLUSH_MS	1000	/* for the last words on the link */

static const struct handler	*const handlers[] = { &echo_handler, &chat_handler };

static const char	 usage[] =
    "usage: bulkhead-worker [--help | --version]\n"
    "\n"
    "One worker process of bulkheadd, which starts it with a socket on descriptor 3 and tells it\n"
    "over that socket which role to play (proto/README.md).  It has no other options.\n";

/* ---- the process ---- */

static void
set_signals(void)
{
	static const int	 ignored[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP };

	crash_init();
	/*
	 * A terminal's Ctrl-C reaches the whole group: when a worker ends is for the supervisor to
	 * say.
	 */
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

static bool
is_stream_socket(int fd)
{
	int		 type;
	socklen_t	 n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

/* A supervisor without a scoreboard gets a worker that writes one for itself. */
static struct board *
map_board(void)
{
	struct stat	 st;
	struct board	*b = MAP_FAILED;

	if (fstat(CONTRACT_BOARD_FD, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size >= (off_t)sizeof(*b))
		b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED, CONTRACT_BOARD_FD,
		    0);
	if (b == MAP_FAILED)
		b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	return b == MAP_FAILED ? NULL : b;
}

/* ---- the end ---- */

static void
end(struct wrk *w, int status)
{
	if (w->ending)
		return;
	w->ending = true;
	w->status = status;
	loop_stop(w->loop);
}

static void
end_done(void *arg)
{
	end(arg, CONTRACT_EXIT_OK);
}

/* ---- beats ---- */

static void
send_counts(struct wrk *w)
{
	struct buf		 b = { 0 };
	struct msg_COUNT	 m;
	uint64_t		 delta;

	for (int c = 0; c < COUNT__N; c++) {
		delta = count_take_delta((enum counter)c);
		if (delta == 0)
			continue;
		msg_list_str(&b, span_of(count_name((enum counter)c)));
		msg_list_u64(&b, delta);
	}
	m.deltas = msg_list_of(&b);
	if (b.n > 0)
		link_send(w->link, MSG_COUNT, &m);
	buf_fini(&b);
}

static void
send_measures(struct wrk *w)
{
	struct buf		 b = { 0 };
	struct measured		 d;
	struct msg_MEASURE	 m;

	for (int i = 0; i < MEASURE__N; i++) {
		if (measure_of_pools((enum measure)i) || !measure_take((enum measure)i, &d))
			continue;
		buf_reset(&b);
		for (size_t step = 0; step < MEASURE_STEPS; step++) {
			if (d.steps[step] == 0)
				continue;
			msg_list_u64(&b, step);
			msg_list_u64(&b, d.steps[step]);
		}
		m = (struct msg_MEASURE){
			.name = span_of(measure_name((enum measure)i)), .sum_us = d.sum_us,
			.steps = msg_list_of(&b),
		};
		link_send(w->link, MSG_MEASURE, &m);
	}
	buf_fini(&b);
}

static void
tick(void *arg)
{
	struct wrk	*w = arg;

	atomic_fetch_add(&w->board->tick, 1);
}

static void
note_late(struct board *b, const struct histo *late)
{
	atomic_store_explicit(&b->late_p50_us, histo_quantile(late, 500), memory_order_relaxed);
	atomic_store_explicit(&b->late_p99_us, histo_quantile(late, 990), memory_order_relaxed);
	atomic_store_explicit(&b->late_max_us, late->max, memory_order_relaxed);
	atomic_store_explicit(&b->timers, late->n, memory_order_relaxed);
}

/* The turn that this timer makes is the tick. */
static void
on_beat(void *arg)
{
	struct wrk	*w = arg;

	send_counts(w);
	send_measures(w);
	note_late(w->board, loop_late(w->loop));
	timer_arm_ms(w->beat, w->beat_ms);
}

/* ---- what tasks and rest ask of the world ---- */

static void
world_send(void *arg, enum msg_type type, const void *src)
{
	struct wrk	*w = arg;

	link_send(w->link, type, src);
}

static struct mono
world_now(void *arg)
{
	(void)arg;
	return clock_mono();
}

static void
world_wake_at(void *arg, struct mono at)
{
	struct wrk	*w = arg;

	if (mono_is_never(at))
		timer_stop(w->task_timer);
	else
		timer_arm_at(w->task_timer, at);
}

static void
on_task_timer(void *arg)
{
	struct wrk	*w = arg;

	tasks_tick(w->tasks);
}

static const struct tasks_ops	 tasks_ops = { world_send, world_now, world_wake_at, end_done };
static const struct rest_ops	 rest_ops = { world_send, end_done };
static const struct chat_ops	 chat_ops = { world_send };

/* ---- HELLO ---- */

static void
follow_log(const char *name, const char *trace)
{
	int	 level = log_level_of(name);

	if (level >= 0)
		log_level(level);
	if (log_trace_classes(trace) == -1)
		log_warnx("option trace names a class that is not known here: %s", trace);
}

static void
set_log(const struct msg_HELLO *h)
{
	char	*name = option_text(h, "log_level"), *trace = option_text(h, "trace");

	follow_log(name == NULL ? "" : name, trace == NULL ? "" : trace);
	free(name);
	free(trace);
}

static void
on_logging(const struct msg_LOGGING *m)
{
	char	*name = mem_spandup(m->level), *trace = mem_spandup(m->trace);

	follow_log(name, trace);
	free(name);
	free(trace);
}

static int
build_rest(struct wrk *w, const struct msg_HELLO *h, const char **why_r)
{
	char			*token = option_text(h, "token"), *api = option_text(h, "api_url");
	char			*agent = option_text(h, "user_agent_url"), *ca = option_text(h, "ca_file");
	char			*names = option_text(h, "resolv_conf");
	struct rest_config	 cf = {
		.token = token, .api_url = api, .ca_file = ca,
		.user_agent_url = agent != NULL ? agent : "https://bulkhead.invalid",
		.resolv_conf = names != NULL ? names : "/etc/resolv.conf",
		.connect_ms = option_u64(h, "connect_timeout", 10000),
		.call_ms = option_u64(h, "call_timeout", 30000),
		.per_second = (uint32_t)option_u64(h, "rest_per_second", 50),
	};

	w->rest_grace_ms = option_u64(h, "rest_grace", 5000);
	if (token == NULL || api == NULL || cf.per_second == 0)
		*why_r = "HELLO lacks token, api_url or rest_per_second";
	else
		w->rest = rest_new(w->loop, &cf, &rest_ops, w, why_r);
	if (w->rest != NULL)
		w->growing = growing_new(w->loop, w->rest, world_send, w);
	secret_add(token);
	mem_wipe_free(&token);
	free(api);
	free(agent);
	free(ca);
	free(names);
	return w->rest == NULL ? -1 : 0;
}

/* The keys of models, when there are some, are not for the log. */
static void
name_keys(const struct msg_HELLO *h)
{
	static const char *const	 names[] = { "model.api_key", "fallback.api_key" };
	char				*key;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		key = option_text(h, names[i]);
		secret_add(key);
		mem_wipe_free(&key);
	}
}

static int
build_web(struct wrk *w, const struct msg_HELLO *h, const char **why_r)
{
	char			*at = option_text(h, "web"), *statsd = option_text(h, "statsd");
	struct web_config	 cf = {
		.listen = at, .statsd = statsd, .first = h->generation == 1,
	};

	w->web = web_new(w->loop, &cf, why_r);
	free(at);
	free(statsd);
	return w->web == NULL ? -1 : 0;
}

static int
build_handler(struct wrk *w, const struct msg_HELLO *h, const char **why_r)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (span_is(h->role, handlers[i]->role)) {
			name_keys(h);
			if (handlers[i] == &chat_handler &&
			    (w->chat = chat_new(w->loop, h, &chat_ops, w, why_r)) == NULL)
				return -1;
			w->task_timer = timer_new(w->loop, on_task_timer, w);
			w->tasks = tasks_new(handlers[i], w->board, h->last_word_ms, &tasks_ops, w);
			tasks_role(w->tasks, w->chat);
			return 0;
		}
	*why_r = "this program has no such role";
	return -1;
}

static void
list_verb(struct buf *b, const char *verb, const char *help)
{
	msg_list_str(b, span_of(verb));
	msg_list_str(b, span_of(help));
}

static void
say_ready(struct wrk *w)
{
	struct msg_READY	 m = { .version = PROTO_VERSION };
	struct buf		 b = { 0 };
	const char *const	*verbs;
	size_t			 n;

	verbs = request_methods(&n);
	if (w->rest != NULL)
		for (size_t i = 0; i < n; i++)
			list_verb(&b, verbs[i], "one request to Discord's REST API");
#define VERB(name, help)	list_verb(&b, #name, help);
	if (w->chat != NULL) {
		CHAT_VERBS(VERB)
	}
#undef VERB
	m.verbs = msg_list_of(&b);
	link_send(w->link, MSG_READY, &m);
	buf_fini(&b);
}

static void
name_process(struct wrk *w, const struct msg_HELLO *h)
{
	const char	*why = NULL;
	char		*hash;

	snprintf(w->name, sizeof(w->name), "%.*s.%llu#%llu", (int)h->pool.n, h->pool.p,
	    (unsigned long long)h->slot, (unsigned long long)h->generation);
	setproctitle("%s", w->name);
	hash = strchr(w->name, '#');
	*hash = '\0';				/* faults name slots, not generations */
	if (fault_init(w->name, getenv("BULKHEAD_FAULTS"), &why) == -1)
		log_warnx("BULKHEAD_FAULTS: %s", why);
	*hash = '#';
}

static void
confine(struct wrk *w, const struct msg_HELLO *h)
{
	char			*names = option_text(h, "resolv_conf"), *ca = option_text(h, "ca_file");
	struct sandbox_files	 files = { .resolv_conf = names, .ca_file = ca };

	sandbox_enter(h->role, &files, w->board);
	free(names);
	free(ca);
}

static void
on_hello(struct wrk *w, const struct msg_HELLO *h)
{
	const char	*why = NULL;
	bool		 rest = span_is(h->role, "rest"), web = span_is(h->role, "web");
	int		 rc;

	w->greeted = true;
	link_log(w->link);
	if (h->version != PROTO_VERSION) {
		log_err("the supervisor speaks version %llu of the protocol, this worker %d",
		    (unsigned long long)h->version, PROTO_VERSION);
		end(w, CONTRACT_EXIT_PROTO);
		return;
	}
	/* Nobody may read its memory; without a secret the supervisor may count its descriptors. */
	if (!rest && !span_is(h->role, "chat"))
		prctl(PR_SET_DUMPABLE, 1);
	set_log(h);
	name_process(w, h);
	if (fault_hits(FAULT_WORKER_EXIT, SPAN_NONE)) {
		end(w, (int)fault_arg(FAULT_WORKER_EXIT, 1));
		return;
	}
	rc = rest ? build_rest(w, h, &why) : web ? build_web(w, h, &why) : build_handler(w, h, &why);
	if (rc == -1) {
		log_err("cannot play the role %.*s: %s", (int)h->role.n, h->role.p, why);
		end(w, rest || web ? CONTRACT_EXIT_INIT : CONTRACT_EXIT_HOLD);
		return;
	}
	confine(w, h);
	if (h->hang_ms / 4 < BEAT_MS)
		w->beat_ms = h->hang_ms < 4 ? 1 : h->hang_ms / 4;
	timer_arm_ms(w->beat, w->beat_ms);
	if (!fault_hits(FAULT_WORKER_NO_READY, SPAN_NONE))
		say_ready(w);
}

/* ---- the link ---- */

static void
on_bad(void *arg, const char *why)
{
	struct wrk	*w = arg;

	log_err("the supervisor broke the protocol: %s", why);
	end(w, CONTRACT_EXIT_PROTO);
}

static void
on_fault(const struct msg_FAULT *m)
{
	const char	*why = NULL;

	if (fault_set(m->name, m->spec, &why) == -1)
		log_warnx("fault: %s", why);
}

/* What both kinds of workers are told. */
static bool
on_common(struct wrk *w, const struct msg_in *in)
{
	switch (in->type) {
	case MSG_SELF:
		if (w->tasks != NULL)
			tasks_self(w->tasks, in->SELF.user);
		if (w->growing != NULL)
			growing_self(w->growing, in->SELF.user);
		return true;
	case MSG_FAULT:
		on_fault(&in->FAULT);
		return true;
	case MSG_LOGGING:
		on_logging(&in->LOGGING);
		return true;
	default:
		return false;
	}
}

static bool
on_handler_msg(struct tasks *t, struct chat *c, const struct msg_in *in)
{
	switch (in->type) {
	case MSG_CALL:
		if (c != NULL)
			chat_call(c, &in->CALL);
		return c != NULL;
	case MSG_EVENT:
		tasks_event(t, &in->EVENT);
		return true;
	case MSG_NEWS:
		tasks_news(t, &in->NEWS);
		return true;
	case MSG_RESULT:
		tasks_result(t, &in->RESULT);
		return true;
	case MSG_STREAM_STATE:
		tasks_stream_state(t, &in->STREAM_STATE);
		return true;
	case MSG_CANCEL:
		if (c == NULL || in->CANCEL.kind != 1 || !chat_cancel(c, in->CANCEL.id))
			tasks_cancel(t, &in->CANCEL);
		return true;
	case MSG_DRAIN:
		tasks_drain(t, in->DRAIN.finish_ms, in->DRAIN.last_word_ms);
		return true;
	default:
		return false;
	}
}

static bool
on_rest_msg(struct rest *r, struct growing *g, const struct msg_in *in)
{
	switch (in->type) {
	case MSG_CALL:
		rest_call(r, &in->CALL);
		return true;
	case MSG_CANCEL:
		if (in->CANCEL.kind == 1)
			rest_cancel(r, in->CANCEL.id);
		return true;
	case MSG_STREAM_OPEN:
		growing_open(g, &in->STREAM_OPEN);
		return true;
	case MSG_STREAM_TEXT:
		growing_text(g, &in->STREAM_TEXT);
		return true;
	case MSG_STREAM_END:
		growing_end(g, &in->STREAM_END);
		return true;
	case MSG_STREAM_STATE:
		growing_state(g, &in->STREAM_STATE);
		return true;
	case MSG_STATE:
		if (in->STATE.kind == STATE_LAST) {
			growing_hand_over(g);
			rest_hand_over(r);
		} else
			rest_hear(r, in->STATE.blob);
		return true;
	case MSG_DRAIN:
		growing_drain(g);
		rest_drain(r, in->DRAIN.finish_ms + in->DRAIN.last_word_ms);
		return true;
	default:
		return false;
	}
}

static bool
on_web_msg(struct wrk *w, const struct msg_in *in)
{
	switch (in->type) {
	case MSG_SNAPSHOT:
		web_snapshot(w->web, in->SNAPSHOT.json);
		return true;
	case MSG_DRAIN:
		end(w, CONTRACT_EXIT_OK);
		return true;
	default:
		return false;
	}
}

static bool
on_own_msg(struct wrk *w, const struct msg_in *in)
{
	if (w->rest != NULL)
		return on_rest_msg(w->rest, w->growing, in);
	return w->web != NULL ? on_web_msg(w, in) : on_handler_msg(w->tasks, w->chat, in);
}

static void
on_msg(void *arg, const struct msg_in *in)
{
	struct wrk	*w = arg;

	if (w->ending)
		return;
	if (!w->greeted && in->type == MSG_HELLO)
		on_hello(w, &in->HELLO);
	else if (!w->greeted)
		on_bad(w, "the first message is not HELLO");
	else if (!on_common(w, in) && !on_own_msg(w, in))
		on_bad(w, msg_name(in->type));
}

static void
on_gone(void *arg, const char *why)
{
	struct wrk	*w = arg;

	log_redirect(NULL, NULL);		/* to stderr, if someone still reads it */
	log_info("%s: the supervisor is gone: %s", w->name, why);
	if (w->rest != NULL && !w->ending) {
		growing_orphaned(w->growing);
		rest_orphaned(w->rest, w->rest_grace_ms);
	} else
		end(w, CONTRACT_EXIT_OK);
}

/* ---- main ---- */

static const struct link_ops	 link_ops = { on_msg, on_gone, on_bad };

static int
wrk_init(struct wrk *w)
{
	w->beat_ms = BEAT_MS;
	strlcpy(w->name, "worker", sizeof(w->name));
	w->board = map_board();
	w->loop = w->board == NULL ? NULL : loop_new();
	if (w->loop == NULL)
		return -1;
	log_attach(w->loop);
	loop_tail(w->loop, tick, w);
	w->beat = timer_new(w->loop, on_beat, w);
	w->link = link_new(w->loop, CONTRACT_FD, &link_ops, w);
	return w->link == NULL ? -1 : 0;
}

/* In reverse; what a failed wrk_init did not make is NULL. */
static void
wrk_fini(struct wrk *w)
{
	tasks_free(&w->tasks);
	chat_free(&w->chat);
	growing_free(&w->growing);
	if (w->rest != NULL)
		rest_tell(w->rest);
	rest_free(&w->rest);
	web_free(&w->web);
	if (w->link != NULL) {
		send_counts(w);
		send_measures(w);
		link_flush(w->link, FLUSH_MS);
	}
	link_free(&w->link);
	timer_free(&w->task_timer);
	timer_free(&w->beat);
	log_detach();
	if (w->loop != NULL)
		loop_free(&w->loop);
	if (w->board != NULL)
		munmap(w->board, sizeof(*w->board));
}

int
main(int argc, char **argv)
{
	struct wrk	 w = { 0 };

	log_std_fds();
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("bulkhead-worker %s, protocol %d\n", BULKHEAD_VERSION, PROTO_VERSION);
		return CONTRACT_EXIT_OK;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return CONTRACT_EXIT_OK;
	}
	if (argc > 1) {
		fputs(usage, stderr);
		return CONTRACT_EXIT_USAGE;
	}
	if (!is_stream_socket(CONTRACT_FD)) {
		fprintf(stderr, "bulkhead-worker: descriptor %d is no socket:"
		    " this program is started by bulkheadd\n",
		    CONTRACT_FD);
		return CONTRACT_EXIT_USAGE;
	}
	prctl(PR_SET_DUMPABLE, 0);		/* before anything secret comes; see on_hello */
	log_init("bulkhead-worker", STDERR_FILENO, LOG_INFO);
	set_signals();
	if (wrk_init(&w) == -1) {
		log_warn("cannot start");
		wrk_fini(&w);
		return CONTRACT_EXIT_INIT;
	}
	loop_run(w.loop);
	wrk_fini(&w);
	return w.status;
}
