/*
 * model: the transport of the model client against scripted bytes.  The server is in this process
 * and on the same loop; it answers the n-th request with the n-th script.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/log.h"
#include "common/loop.h"
#include "worker/chat/model.h"

#define PEERS_MAX	128
#define REQUESTS_MAX	128
#define PATIENCE_MS	10000

#define OK200		"HTTP/1.1 200 OK\r\n"
#define AS_JSON		"Content-Type: application/json\r\n"
#define SSE_HEAD	OK200 "Content-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define DELTA(s) \
	"data: {\"id\":\"c-9\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" s "\"}}]}\n\n"
#define FINISH(s) \
	"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" s "\"}]}\n\n"
#define DONE		"data: [DONE]\n\n"
#define WHOLE(headers) \
	OK200 AS_JSON headers "Content-Length: 68\r\n\r\n" \
	"{\"choices\":[{\"message\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}"
#define GOOD		SSE_HEAD DELTA("Hel") DELTA("lo") FINISH("stop") DONE
#define JSON(status, headers, body) \
	"HTTP/1.1 " status "\r\n" AS_JSON headers "Connection: close\r\n\r\n" body

enum after { CLOSE, KEEP, RESET, DRIP };

struct script {
	const char	*bytes;		/* NULL: nothing is sent */
	enum after	 after;
	const char	*drip;		/* every 10 ms */
};

struct peer {
	int		 fd;		/* -1 free */
	struct watch	*watch;
	struct timer	*timer;
	struct buf	 in;
	const char	*drip;
	unsigned	 served_n;
};

static struct loop	*loop;
static struct resolve	*names;
static struct model	*model;
static struct timer	*patience;
static struct watch	*listening;
static int		 listen_fd;
static unsigned		 port;
static struct peer	 peers[PEERS_MAX];
static unsigned		 accepted_n, closed_n, requests_n;
static char		*requests[REQUESTS_MAX];
static bool		 reused[REQUESTS_MAX];	/* it came over a kept connection */
static const struct script *scripts;
static bool		 one_script;	/* the first one answers all */

static struct model_ask	*ask;
static struct buf	 text;
static struct model_result result;
static char		 id[80];
static unsigned		 done_n, again_n, states_n;
static enum failure_class again_class;
static size_t		 stop_after;	/* bytes of text; 0 never */
static bool		 text_stops_loop;

/* ---- the server ---- */

static void
peer_close(struct peer *p)
{
	watch_free(&p->watch);
	timer_free(&p->timer);
	close(p->fd);
	p->fd = -1;
	buf_fini(&p->in);
}

static void
send_all(int fd, const char *s)
{
	size_t	 n = strlen(s), sent = 0;

	while (sent < n) {
		ssize_t	 r = send(fd, s + sent, n - sent, MSG_NOSIGNAL);

		if (r <= 0)
			return;
		sent += (size_t)r;
	}
}

static void
on_drip(void *arg)
{
	struct peer	*p = arg;

	send_all(p->fd, p->drip);
	timer_arm_ms(p->timer, 10);
}

/* Length of a whole request at the front, 0 when it is not yet there. */
static size_t
whole_request(struct span in)
{
	const char	*end = in.n == 0 ? NULL : memmem(in.p, in.n, "\r\n\r\n", 4), *length;
	size_t		 body = 0;

	if (end == NULL)
		return 0;
	length = memmem(in.p, (size_t)(end - in.p), "Content-Length: ", 16);
	if (length != NULL)
		body = strtoul(length + 16, NULL, 10);
	body += (size_t)(end - in.p) + 4;
	return in.n >= body ? body : 0;
}

static void
answer(struct peer *p, const struct script *s)
{
	struct linger	 hard = { .l_onoff = 1 };

	if (s->bytes != NULL)
		send_all(p->fd, s->bytes);
	if (s->after == DRIP) {
		p->drip = s->drip;
		p->timer = timer_new(loop, on_drip, p);
		timer_arm_ms(p->timer, 10);
	} else if (s->after != KEEP) {
		if (s->after == RESET)
			setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		peer_close(p);
	}
}

static void
on_peer(int fd, int what, void *arg)
{
	struct peer	*p = arg;
	ssize_t		 n = read(fd, buf_room(&p->in, 1 << 16), 1 << 16);
	size_t		 whole;

	(void)what;
	if (n <= 0) {
		closed_n++;
		peer_close(p);
		return;
	}
	buf_added(&p->in, (size_t)n);
	if ((whole = whole_request(buf_span(&p->in))) == 0)
		return;
	assert_true(requests_n < REQUESTS_MAX);
	requests[requests_n] = mem_spandup(span_make(buf_span(&p->in).p, whole));
	buf_drop(&p->in, whole);
	reused[requests_n++] = p->served_n++ > 0;
	answer(p, &scripts[one_script ? 0 : requests_n - 1]);
}

static void
on_accept(int fd, int what, void *arg)
{
	int	 one = accept(fd, NULL, NULL);

	(void)what;
	(void)arg;
	for (size_t i = 0; one >= 0 && i < PEERS_MAX; i++) {
		if (peers[i].fd >= 0)
			continue;
		accepted_n++;
		peers[i] = (struct peer){ .fd = one };
		peers[i].watch = watch_new(loop, one, on_peer, &peers[i]);
		watch_set(peers[i].watch, LOOP_READ);
		return;
	}
	fail();
}

static void
server_start(void)
{
	struct sockaddr_in	 sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t		 n = sizeof(sin);

	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(listen_fd, PEERS_MAX), 0);
	assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&sin, &n), 0);
	port = ntohs(sin.sin_port);
	for (size_t i = 0; i < PEERS_MAX; i++)
		peers[i].fd = -1;
	listening = watch_new(loop, listen_fd, on_accept, NULL);
	watch_set(listening, LOOP_READ);
}

static void
server_stop(void)
{
	watch_free(&listening);
	if (listen_fd >= 0)
		close(listen_fd);
	listen_fd = -1;
}

static void
forget_requests(void)
{
	while (requests_n > 0)
		free(requests[--requests_n]);
}

/* ---- the asker ---- */

static void
out_of_patience(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void
on_state(void *arg, const char *tag, enum http_state state, const char *why)
{
	(void)arg;
	(void)state;
	assert_true(strncmp(tag, "sess#", 5) == 0 && why[0] != '\0');
	states_n++;
}

static void
on_text(void *arg, struct span s)
{
	(void)arg;
	buf_add_span(&text, s);
	if (stop_after > 0 && text.n >= stop_after) {
		model_stop(&ask);
		loop_stop(loop);
	}
	if (text_stops_loop)
		loop_stop(loop);
}

static void
on_again(void *arg, const struct failure *f, uint64_t wait_ms)
{
	(void)arg;
	assert_true(wait_ms <= 8000);
	again_class = f->class;
	again_n++;
}

static void
on_done(void *arg, const struct model_result *r)
{
	assert_ptr_equal(arg, &result);
	result = *r;
	snprintf(id, sizeof(id), "%s", r->id);
	done_n++;
	ask = NULL;
	loop_stop(loop);
}

static const struct model_ops	 ops = { .text = on_text, .again = on_again, .done = on_done };

static void
quiet(int level, const char *class, const char *line, void *arg)
{
	(void)class;
	(void)line;
	(void)arg;
	assert_true(level > LOG_ERR);
}

static void
configure(struct model_config cf)
{
	const char	*why;
	char		 url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/", port);
	cf.base_url = url;
	cf.name = "test-model";
	cf.user_agent = "test";
	cf.on_state = on_state;
	if (cf.total_ms == 0)
		cf.total_ms = PATIENCE_MS;
	model = model_new(loop, names, &cf, &why);
	assert_non_null(model);
}

static int
setup(void **state)
{
	(void)state;
	log_redirect(quiet, NULL);
	loop = loop_new();
	names = resolve_new(loop, "/dev/null");
	patience = timer_new(loop, out_of_patience, NULL);
	accepted_n = closed_n = requests_n = done_n = again_n = states_n = 0;
	stop_after = 0;
	text_stops_loop = one_script = false;
	memset(&result, 0, sizeof(result));
	buf_reset(&text);
	server_start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	model_free(&model);
	server_stop();
	for (size_t i = 0; i < PEERS_MAX; i++)
		if (peers[i].fd >= 0)
			peer_close(&peers[i]);
	forget_requests();
	timer_free(&patience);
	resolve_free(&names);
	loop_free(&loop);
	buf_fini(&text);
	log_redirect(NULL, NULL);
	return 0;
}

static const struct chat_message	 talk[] = {
	{ .role = CHAT_SYSTEM, .text = { "sys", 3 } }, { .role = CHAT_USER,
	    .text = { "old question", 12 } },
	{ .role = CHAT_ASSISTANT, .text = { "old answer", 10 } }, { .role = CHAT_USER,
	    .text = { "question", 8 } },
};
static struct chat_request	 request = { .messages = talk, .messages_n = 4 };

static void
start(const struct script *s)
{
	scripts = s;
	chat_params_init(&request.params);
	request.params.max_tokens = 50;
	assert_int_equal(model_start(model, &request, &ops, &result, &ask), ERR_OK);
	assert_int_equal(done_n, 0);
}

static void
run(void)
{
	timer_arm_ms(patience, PATIENCE_MS);
	loop_run(loop);
	assert_true(timer_armed(patience));
	timer_stop(patience);
}

/* Turns until the server has seen n connections closed by the client. */
static void
run_until_closed(unsigned n)
{
	struct mono	 end = mono_add_ms(clock_mono(), PATIENCE_MS);

	while (closed_n < n && mono_before(clock_mono(), end))
		loop_turn(loop);
	assert_int_equal(closed_n, n);
}

static void
ask_once(const struct script *s)
{
	start(s);
	run();
	assert_int_equal(done_n, 1);
}

static void
expect(enum codec_verdict verdict, enum failure_class class, const char *want)
{
	assert_string_equal(codec_verdict_name(result.verdict), codec_verdict_name(verdict));
	assert_string_equal(failure_name(result.failure.class), failure_name(class));
	assert_true(span_is(buf_span(&text), want));
}

#define SCRIPT(...)	((const struct script[]){ __VA_ARGS__ })

/* ---- answers ---- */

static void
a_good_answer(void **state)
{
	const char	*rq;

	(void)state;
	configure((struct model_config){ .api_key = "k-1", .query = "api-version=1",
	    .headers = "X-Title: t\n" });
	ask_once(SCRIPT({ GOOD, CLOSE, NULL }));
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_true(result.complete);
	assert_int_equal(result.finish, CODEC_STOP);
	assert_int_equal(result.attempts, 1);
	assert_string_equal(id, "c-9");
	rq = requests[0];
	assert_int_equal(strncmp(rq, "POST /v1/chat/completions?api-version=1 HTTP/1.1\r\n", 50),
	    0);
	assert_non_null(strstr(rq, "\r\nAuthorization: Bearer k-1\r\n"));
	assert_non_null(strstr(rq, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(rq, "\r\nAccept: text/event-stream\r\n"));
	assert_non_null(strstr(rq, "\r\nX-Title: t\r\n"));
	assert_non_null(strstr(rq, "{\"model\":\"test-model\",\"messages\":["));
	assert_null(strcasestr(rq, "\r\nexpect:"));
	assert_null(strcasestr(rq, "\r\naccept-encoding:"));
}

static void
azure_has_a_header_of_its_own(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k-1", .provider = "azure" });
	ask_once(SCRIPT({ GOOD, CLOSE, NULL }));
	assert_non_null(strstr(requests[0], "\r\napi-key: k-1\r\n"));
	assert_null(strcasestr(requests[0], "authorization"));
}

/* curl adds Expect: 100-continue to bodies above 1 MiB; images make them. */
static void
large_bodies_expect_nothing(void **state)
{
	struct chat_message	 m = { .role = CHAT_USER };
	struct chat_request	 rq = { .messages = &m, .messages_n = 1 };
	char			*big = mem_alloc(1500000);

	(void)state;
	memset(big, 'x', 1500000);
	m.text = span_make(big, 1500000);
	configure((struct model_config){ .api_key = "" });
	chat_params_init(&rq.params);
	scripts = SCRIPT({ GOOD, CLOSE, NULL });
	assert_int_equal(model_start(model, &rq, &ops, &result, &ask), ERR_OK);
	run();
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_null(strcasestr(requests[0], "\r\nexpect:"));
	assert_null(strcasestr(requests[0], "authorization"));	/* no key, no header */
	free(big);
}

static void
whole_answers_keep_the_connection(void **state)
{
	const struct script	*s = SCRIPT({ WHOLE("X-Request-Id: r-1\r\n"), KEEP, NULL },
	    { WHOLE(""), KEEP, NULL });

	(void)state;
	configure((struct model_config){ .api_key = NULL });
	ask_once(s);
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_string_equal(id, "r-1");
	done_n = 0;
	ask_once(s);
	expect(CODEC_OK, FAILURE_NONE, "HelloHello");
	assert_int_equal(accepted_n, 1);
}

static void
endings(void **state)
{
	static const struct {
		struct script		 script;
		enum codec_verdict	 verdict;
		enum failure_class	 class;
		bool			 complete;
	} all[] = {
		{ { SSE_HEAD DELTA("x") FINISH("stop"), CLOSE, NULL }, CODEC_OK, FAILURE_NONE,
		    true },
		{ { SSE_HEAD DELTA("x") FINISH("stop") DONE, KEEP, NULL }, CODEC_OK, FAILURE_NONE,
		    true },
		{ { SSE_HEAD DELTA("x") FINISH("stop"), RESET, NULL }, CODEC_OK, FAILURE_NONE,
		    true },
		{ { SSE_HEAD DELTA("x") FINISH("stop"), KEEP, NULL }, CODEC_OK, FAILURE_NONE,
		    true },
		{ { SSE_HEAD DELTA("x") FINISH("length"), CLOSE, NULL }, CODEC_OK, FAILURE_LENGTH,
		    true },
		{ { SSE_HEAD DELTA("x") FINISH("content_filter"), CLOSE, NULL }, CODEC_OK,
		    FAILURE_FILTERED, true },
		{ { SSE_HEAD DELTA("x") DONE, CLOSE, NULL }, CODEC_SUSPECT, FAILURE_NONE, false },
		{ { SSE_HEAD DELTA("x"), CLOSE, NULL }, CODEC_TRUNCATED, FAILURE_TRUNCATED, false },
		{ { SSE_HEAD DELTA("x"), RESET, NULL }, CODEC_TRUNCATED, FAILURE_TRUNCATED, false },
		{ { SSE_HEAD DELTA("x"), KEEP, NULL }, CODEC_TIMEOUT, FAILURE_TIMEOUT, false },
		{ { SSE_HEAD DELTA("x"), DRIP, ":\n" }, CODEC_TIMEOUT, FAILURE_TIMEOUT, false },
		{ { SSE_HEAD DELTA("x") "data: {\"error\":{\"message\":\"m\","
		    "\"code\":500}}\n\n" DONE, KEEP, NULL },
		    CODEC_FAILED, FAILURE_TRANSIENT, false },
		{ { SSE_HEAD DELTA("x") "event: error\ndata: {\"m\":1}\n\n", KEEP, NULL },
		    CODEC_FAILED, FAILURE_TRANSIENT, false },
		{ { SSE_HEAD DELTA("x") "data: {\"choices\"\n\n", KEEP, NULL }, CODEC_FAILED,
		    FAILURE_PROTOCOL, false },
	};

	(void)state;
	configure((struct model_config){ .idle_ms = 150, .failures_max = 100 });
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		scripts = &all[i].script;
		done_n = again_n = 0;
		buf_reset(&text);
		forget_requests();
		ask_once(&all[i].script);
		expect(all[i].verdict, all[i].class, "x");
		assert_int_equal(result.complete, all[i].complete);
		assert_int_equal(again_n, 0);		/* text was seen */
	}
}

/* ---- asking again ---- */

static void
transient_failures_are_asked_again(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT({ JSON("500 Oops", "Retry-After-Ms: 1\r\n", "{}"), CLOSE, NULL },
	    { JSON("429 Busy", "Retry-After: 0.001\r\n", ""), CLOSE, NULL }, { GOOD, CLOSE,
	    NULL }));
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_int_equal(result.attempts, 3);
	assert_int_equal(again_n, 2);
}

static void
twice_and_no_more(void **state)
{
	const struct script	 s = { JSON("502 Oops", "Retry-After-Ms: 1\r\n", "<html>"), CLOSE,
	    NULL };

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT(s, s, s, s));
	expect(CODEC_FAILED, FAILURE_TRANSIENT, "");
	assert_int_equal(result.attempts, 3);
	assert_int_equal(result.failure.status, 502);
}

static void
broken_before_the_first_word(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT({ NULL, RESET, NULL }, { SSE_HEAD, CLOSE, NULL }, { GOOD, CLOSE, NULL }));
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_int_equal(result.attempts, 3);
	assert_int_equal(accepted_n, 3);
	assert_int_equal(again_class, FAILURE_TRUNCATED);
}

/* The kept connection is closed just before it is used again. */
static void
stale_keep_alive(void **state)
{
	const struct script	*s = SCRIPT({ WHOLE(""), KEEP, NULL },
				    { NULL, RESET, NULL }, { GOOD, CLOSE, NULL });

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(s);
	done_n = 0;
	ask_once(s);
	expect(CODEC_OK, FAILURE_NONE, "HelloHello");
	assert_int_equal(requests_n, 3);	/* curl may connect, but not send again */
	assert_int_equal(again_class, FAILURE_TRANSPORT);
}

/*
 * There may be more stale ones in the pool.  Curl tries the second one by itself, and may not send;
 * the second attempt does not take the third.
 */
static void
after_a_failure_a_fresh_connection(void **state)
{
	const struct script	 whole = { WHOLE(""), KEEP, NULL };
	const struct script	*s = SCRIPT(whole, whole, whole, { NULL, RESET, NULL },
				    { GOOD, CLOSE, NULL });

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	for (int i = 0; i < 3; i++)
		start(s);
	while (done_n < 3)
		run();
	assert_int_equal(accepted_n, 3);
	done_n = 0;
	ask_once(s);
	expect(CODEC_OK, FAILURE_NONE, "HelloHelloHelloHello");
	assert_true(reused[3]);
	assert_false(reused[4]);
}

static void
a_long_wish_is_told_not_obeyed(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT({ JSON("429 Busy", "Retry-After: 3600\r\nX-Request-Id: r<5>\r\n", "{}"),
	    CLOSE, NULL }));
	expect(CODEC_FAILED, FAILURE_RATE, "");
	assert_int_equal(result.attempts, 1);
	assert_int_equal(result.wait_ms, 3600000);
	assert_string_equal(id, "r5");
}

static void
a_refused_key_is_not_shown(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "verysecret" });
	ask_once(SCRIPT({ JSON("401 No", "", "{\"error\":{\"message\":\"bad key verysecret\"}}"),
	    CLOSE, NULL }));
	expect(CODEC_FAILED, FAILURE_AUTH, "");
	assert_string_equal(result.failure.message, "bad key ***");
	assert_int_equal(result.attempts, 1);
}

static void
too_long_is_trimmed_once(void **state)
{
	static const struct script	 full = { JSON("400 No", "",
	    "{\"error\":{\"code\":\"context_length_exceeded\"}}"),
					    CLOSE, NULL };

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT(full, { GOOD, CLOSE, NULL }));
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_true(result.trimmed);
	assert_non_null(strstr(requests[0], "old question"));
	assert_null(strstr(requests[1], "old question"));
	assert_non_null(strstr(requests[1], "\"question\""));
	done_n = 0;
	buf_reset(&text);
	forget_requests();
	ask_once(SCRIPT(full, full, full));
	expect(CODEC_FAILED, FAILURE_CONTEXT, "");
	assert_int_equal(result.attempts, 2);
}

static void
the_name_of_the_limit_is_learned(void **state)
{
	const struct script	*s = SCRIPT({ JSON("400 No", "",
	    "{\"error\":{\"message\":\"m\",\"param\":\"max_tokens\","
				    "\"code\":\"unsupported_parameter\"}}"), CLOSE, NULL }, { GOOD,
				    CLOSE, NULL },
				    { GOOD, CLOSE, NULL });

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(s);
	assert_non_null(strstr(requests[0], "\"max_tokens\":50"));
	assert_non_null(strstr(requests[1], "\"max_completion_tokens\":50"));
	done_n = 0;
	ask_once(s);
	assert_non_null(strstr(requests[2], "\"max_completion_tokens\":50"));
}

static void
nothing_is_asked_for_once_more(void **state)
{
	static const struct script	 empty = { SSE_HEAD FINISH("stop") DONE, CLOSE, NULL };

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT(empty, empty, empty));
	expect(CODEC_OK, FAILURE_EMPTY, "");
	assert_false(result.complete);
	assert_int_equal(result.attempts, 2);
}

static void
too_large_goes_without_images(void **state)
{
	struct chat_image	 pic = { .data = SPAN("123"), .type = "image/png" };
	struct chat_message	 m = { .role = CHAT_USER, .text = SPAN("look"), .images = &pic,
	    .images_n = 1 };
	struct chat_request	 rq = { .messages = &m, .messages_n = 1 };

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	scripts = SCRIPT({ JSON("413 Big", "", ""), CLOSE, NULL }, { GOOD, CLOSE, NULL });
	chat_params_init(&rq.params);
	rq.params.vision = true;
	assert_int_equal(model_start(model, &rq, &ops, &result, &ask), ERR_OK);
	run();
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_true(result.images_dropped);
	assert_non_null(strstr(requests[0], "data:image/png;base64,MTIz"));
	assert_null(strstr(requests[1], "image"));
}

/* A local server that loads its model says 503 for longer than two retries last. */
static void
loading_is_waited_for(void **state)
{
	static const struct script	 loading = { JSON("503 Wait", "Retry-After-Ms: 1\r\n",
	    "{\"error\":{\"code\":503,\"message\":\"Loading model\","
	    "\"type\":\"unavailable_error\"}}"), CLOSE, NULL };

	(void)state;
	configure((struct model_config){ .provider = "llamacpp" });
	ask_once(SCRIPT(loading, loading, loading, loading, { GOOD, CLOSE, NULL }));
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_int_equal(result.attempts, 5);
}

/* Ollama drops what its window does not hold, and answers all the same. */
static void
a_small_window_shows(void **state)
{
	struct chat_message	 m = { .role = CHAT_USER };
	struct chat_request	 rq = { .messages = &m, .messages_n = 1 };
	char			*big = mem_alloc(40000);

	(void)state;
	memset(big, 'x', 40000);
	m.text = span_make(big, 40000);
	configure((struct model_config){ .provider = "ollama" });
	chat_params_init(&rq.params);
	scripts = SCRIPT({ SSE_HEAD DELTA("Hello") FINISH("stop")
	    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4096}}\n\n" DONE, CLOSE, NULL });
	assert_int_equal(model_start(model, &rq, &ops, &result, &ask), ERR_OK);
	run();
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	assert_true(result.shrunk);
	assert_int_equal(result.usage.prompt, 4096);
	free(big);
}

/* ---- what is not accepted ---- */

static void
redirects_are_not_followed(void **state)
{
	char	 redirect[128];

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	snprintf(redirect, sizeof(redirect), "HTTP/1.1 307 Go\r\nLocation: "
	    "http://127.0.0.1:%u/x\r\nContent-Length: 0\r\n\r\n",
	    port);
	ask_once(SCRIPT({ redirect, CLOSE, NULL }));
	expect(CODEC_FAILED, FAILURE_PROTOCOL, "");
	assert_int_equal(requests_n, 1);
}

static void
compression_is_refused(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT({ "HTTP/1.1 200 OK\r\nContent-Type: "
	    "text/event-stream\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
	    KEEP, NULL }));
	expect(CODEC_FAILED, FAILURE_PROTOCOL, "");
	run_until_closed(1);
}

/* ---- times ---- */

static void
no_first_byte(void **state)
{
	(void)state;
	configure((struct model_config){ .first_byte_ms = 100, .idle_ms = 5000 });
	ask_once(SCRIPT({ NULL, KEEP, NULL }));
	expect(CODEC_TIMEOUT, FAILURE_TIMEOUT, "");
}

static void
comments_are_no_answer(void **state)
{
	struct mono	 began = clock_mono();

	(void)state;
	configure((struct model_config){ .idle_ms = 150 });
	ask_once(SCRIPT({ SSE_HEAD, DRIP, ": working\n\n" }));
	assert_int_equal(result.failure.class, FAILURE_TIMEOUT);
	assert_true(mono_ms_between(began, clock_mono()) < 3000);
	run_until_closed(1);
}

static void
the_total_ends_a_drip(void **state)
{
	(void)state;
	configure((struct model_config){ .total_ms = 300 });
	ask_once(SCRIPT({ SSE_HEAD, DRIP, DELTA("x") }));
	assert_int_equal(result.verdict, CODEC_TIMEOUT);
	assert_true(text.n > 3);
	run_until_closed(1);
}

static void
the_total_ends_a_wait(void **state)
{
	(void)state;
	configure((struct model_config){ .total_ms = 300 });
	ask_once(SCRIPT({ JSON("429 Busy", "Retry-After: 20\r\n", "{}"), CLOSE, NULL }));
	expect(CODEC_FAILED, FAILURE_RATE, "");
}

/* ---- the end ---- */

static void
stop_closes_at_once(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	text_stops_loop = true;
	start(SCRIPT({ SSE_HEAD DELTA("Hel"), KEEP, NULL }));
	run();
	model_stop(&ask);
	assert_null(ask);
	run_until_closed(1);
	assert_int_equal(done_n, 0);
}

static void
stop_from_a_callback(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	stop_after = 3;
	start(SCRIPT({ GOOD, KEEP, NULL }));
	run();
	assert_true(span_is(buf_span(&text), "Hel"));
	run_until_closed(1);
	assert_int_equal(done_n, 0);
}

static void
stop_before_it_began(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	start(SCRIPT({ GOOD, KEEP, NULL }));
	model_stop(&ask);
	model_stop(&ask);
	loop_turn(loop);
	assert_int_equal(requests_n, 0);
}

/* Discord's limit of connections to one host is none of a model's. */
static void
many_answers_at_once(void **state)
{
	static const struct script s = { SSE_HEAD DELTA("x"), KEEP, NULL };
	struct model_ask	*asks[100];

	(void)state;
	configure((struct model_config){ .api_key = "k" });
	one_script = true;
	for (size_t i = 0; i < 100; i++) {
		start(&s);
		asks[i] = ask;
	}
	text_stops_loop = true;
	while (text.n < 100)
		run();
	assert_int_equal(requests_n, 100);
	for (size_t i = 0; i < 50; i++)
		model_stop(&asks[i]);
	run_until_closed(50);
	model_free(&model);			/* ends the others */
	run_until_closed(100);
	assert_int_equal(done_n, 0);
}

static void
names_are_resolved(void **state)
{
	struct model_config	 cf = { .name = "m", .user_agent = "test", .on_state = on_state };
	const char		*why;
	char			 url[64];

	(void)state;
	snprintf(url, sizeof(url), "http://localhost:%u/v1", port);
	cf.base_url = url;
	model = model_new(loop, names, &cf, &why);
	ask_once(SCRIPT({ GOOD, CLOSE, NULL }));
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	model_free(&model);
	done_n = 0;
	cf.base_url = "http://nowhere.invalid/v1";
	cf.connect_ms = 50;
	model = model_new(loop, names, &cf, &why);
	ask_once(NULL);
	assert_int_equal(result.failure.class, FAILURE_TRANSPORT);
}

static void
a_dead_server_makes_a_new_generation(void **state)
{
	(void)state;
	configure((struct model_config){ .api_key = "k" });
	assert_int_equal(states_n, 2);			/* opening, open */
	server_stop();
	ask_once(NULL);
	expect(CODEC_FAILED, FAILURE_TRANSPORT, "");
	assert_int_equal(result.attempts, 3);
	loop_turn(loop);
	assert_int_equal(states_n, 6);			/* and two of each: old and new */
}

#define THOUGHTS \
	SSE_HEAD DELTA("Hm") DELTA("</think>\\nHel") DELTA("lo") FINISH("stop") DONE

/* What only a closing tag ends shows once; declared it never does. */
static void
thoughts_that_nothing_opens(void **state)
{
	(void)state;
	one_script = true;
	configure((struct model_config){ .api_key = "k" });
	ask_once(SCRIPT({ THOUGHTS, CLOSE, NULL }));
	expect(CODEC_OK, FAILURE_NONE, "HmHello");
	buf_reset(&text);
	done_n = 0;
	ask_once(SCRIPT({ THOUGHTS, CLOSE, NULL }));
	expect(CODEC_OK, FAILURE_NONE, "Hello");
	model_free(&model);
	configure((struct model_config){ .api_key = "k", .thinks = true });
	for (int i = 0; i < 3; i++) {
		buf_reset(&text);
		done_n = 0;
		ask_once(i == 1 ? SCRIPT({ GOOD, CLOSE, NULL }) : SCRIPT({ THOUGHTS, CLOSE, NULL }));
		expect(CODEC_OK, FAILURE_NONE, "Hello");
	}
}

static void
bad_configurations_are_sentences(void **state)
{
	struct model_config	 cf = { .base_url = "ftp://x", .name = "n", .on_state = on_state };
	const char		*why = NULL;

	(void)state;
	assert_null(model_new(loop, names, &cf, &why));
	assert_non_null(strstr(why, "base_url"));
	cf.base_url = "http://127.0.0.1/v1?x=1";
	assert_null(model_new(loop, names, &cf, &why));
	cf.base_url = "http://127.0.0.1/v1";
	cf.provider = "nobody";
	assert_null(model_new(loop, names, &cf, &why));
	assert_string_equal(why, "there is no such provider");
	cf.provider = NULL;
	cf.name = "";
	assert_null(model_new(loop, names, &cf, &why));
	assert_int_equal(states_n, 0);
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(a_good_answer),
		TEST(azure_has_a_header_of_its_own),
		TEST(large_bodies_expect_nothing),
		TEST(whole_answers_keep_the_connection),
		TEST(endings),
		TEST(transient_failures_are_asked_again),
		TEST(twice_and_no_more),
		TEST(broken_before_the_first_word),
		TEST(stale_keep_alive),
		TEST(after_a_failure_a_fresh_connection),
		TEST(a_long_wish_is_told_not_obeyed),
		TEST(a_refused_key_is_not_shown),
		TEST(too_long_is_trimmed_once),
		TEST(the_name_of_the_limit_is_learned),
		TEST(nothing_is_asked_for_once_more),
		TEST(too_large_goes_without_images),
		TEST(loading_is_waited_for),
		TEST(a_small_window_shows),
		TEST(redirects_are_not_followed),
		TEST(compression_is_refused),
		TEST(no_first_byte),
		TEST(comments_are_no_answer),
		TEST(the_total_ends_a_drip),
		TEST(the_total_ends_a_wait),
		TEST(stop_closes_at_once),
		TEST(stop_from_a_callback),
		TEST(stop_before_it_began),
		TEST(many_answers_at_once),
		TEST(names_are_resolved),
		TEST(a_dead_server_makes_a_new_generation),
		TEST(thoughts_that_nothing_opens),
		TEST(bad_configurations_are_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
