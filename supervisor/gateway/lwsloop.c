/*
 * lwsloop - libwebsockets 4.1 lives on a libuv loop, and that loop in ours.
 *
 * libwebsockets has no libevent backend in Debian, so its libuv plugin runs on a uv_loop that we
 * watch: uv_backend_fd() is readable when libuv has something to do, uv_backend_timeout() says
 * when it wants to run without that, uv_run(UV_RUN_NOWAIT) does it.  Rules that keep it alive:
 *	- after every call into lws the timeout is asked again (job `rearm`): a changed interest
 *	  reaches epoll only in the next uv_run;
 *	- uv_update_time before uv_backend_timeout, or it answers with yesterday's clock;
 *	- uv_run is never entered twice: what must not happen below it is left to a timer;
 *	- lws's own timers start late when its sockets are silent: every bound is a timer of ours.
 * No name is resolved by lws (it would block) and no proxy is used (it obeys http_proxy silently).
 */
#include <sys/queue.h>

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <libwebsockets.h>
#include <limits.h>
#include <link.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/log.h"
#include "common/mem.h"
#include "supervisor/gateway/lwsloop.h"

#define RX_BYTES	(64u << 10)	/* read at once at most; TLS gives 16 KiB */
#define CLOSE_MS	1000u		/* then the socket is cut without the answer */
#define LWS_SECS	600		/* lws's own bounds, behind all of ours */
#define FDS_MAX		64u		/* connections that are closing, one that is open, a pipe */
#define DRAIN_TURNS	1000
#define TICK_SLACK_MS	5u
#define SYSTEM_BUNDLE	"/etc/ssl/certs/ca-certificates.crt"

enum phase { PHASE_TCP, PHASE_TLS, PHASE_UPGRADE, PHASE_OPEN, PHASE_CLOSING, PHASE_GONE };

static const char *const phase_late[] = {
	[PHASE_TCP] = "TCP connection timed out",
	[PHASE_TLS] = "TLS handshake timed out",
	[PHASE_UPGRADE] = "WebSocket upgrade timed out",
};

static const char *const phase_failed[] = {
	[PHASE_TCP] = "TCP connection failed",
	[PHASE_TLS] = "TLS handshake failed",
	[PHASE_UPGRADE] = "connection lost before the upgrade was answered",
	[PHASE_OPEN] = "connection lost without a close frame",
	[PHASE_CLOSING] = "closed by us",
	[PHASE_GONE] = "",
};

/* One queued text; the bytes follow LWS_PRE bytes that lws writes its header into. */
struct text {
	TAILQ_ENTRY(text) link;
	uint64_t	 cookie;
	size_t		 n;
	unsigned char	 room[];
};

struct lwsconn {
	LIST_ENTRY(lwsconn) link;
	struct lwsloop		*ll;
	struct lws		*wsi;		/* NULL: not yet, or not any more */
	const struct lwsconn_ops *ops;
	void			*arg;
	enum phase		 phase;
	bool			 dropped;	/* nobody holds it; freed with its wsi */
	bool			 dialing;	/* inside lws_client_connect_via_info */
	bool			 was_open;
	bool			 paused;
	bool			 close_sent;
	unsigned		 close_code;	/* ours */
	unsigned		 peer_code;
	unsigned		 http_status;	/* of an upgrade that was refused; 0 none */
	char			 why[128];
	char			*user_agent;
	uint64_t		 phase_ms;
	bool			 tls;
	struct timer		*timer;		/* bound of the phase,
	    or what must not run below uv_run */
	TAILQ_HEAD(, text)	 out;
};

struct lwsloop {
	struct loop		*loop;
	struct lws_context	*ctx;
	uv_loop_t		 uv;
	struct watch		*watch;		/* uv_backend_fd */
	struct timer		*tick;		/* uv_backend_timeout */
	struct mono		 tick_at;
	struct loop_job		 rearm, again;
	bool			 running;	/* below uv_run */
	bool			 ending;
	uint64_t		 ran_in;	/* turn of the last uv_run */
	const char		*ca_file;
	SSL_CTX			*ssl;
	bool			 trusts;	/* the certificates are loaded */
	const char		*why;
	LIST_HEAD(, lwsconn)	 conns;
};

static const lws_retry_bo_t	 no_keepalive;	/* the gateway has heartbeats of its own */

static void
emit_log(int level, const char *line)
{
	(void)level;
	log_warnx("lws: %.*s", (int)strcspn(line, "\n"), line);
}

static void
touched(struct lwsloop *ll)
{
	loop_job_queue(ll->loop, &ll->rearm);
}

static void
close_leaked(uv_handle_t *h)
{
	free(h);
}

/*
 * lws loses the poll handle of a connection attempt that failed: the socket is closed, the handle
 * stays in the loop.  Nobody else has an idle one while no connection exists.
 */
static void
find_leaked(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (h->type == UV_POLL && !uv_is_active(h) && !uv_is_closing(h))
		uv_close(h, close_leaked);
}

static void
pass(struct lwsloop *ll)
{
	assert(!ll->running);
	ll->running = true;
	(void)uv_run(&ll->uv, UV_RUN_NOWAIT);
	ll->running = false;
}

static int
timeout_ms(struct lwsloop *ll)
{
	uv_update_time(&ll->uv);
	return uv_backend_timeout(&ll->uv);
}

static void
rearm(void *arg)
{
	struct lwsloop	*ll = arg;
	struct mono	 when;
	int		 ms;

	if (LIST_EMPTY(&ll->conns))
		uv_walk(&ll->uv, find_leaked, NULL);
	/*
	 * lws asks for one more pass after each that had something to do, to sort its timers: it
	 * is not worth a turn of its own.
	 */
	if ((ms = timeout_ms(ll)) == 0) {
		pass(ll);
		ms = timeout_ms(ll);
	}
	if (ms == 0) {
		loop_job_queue(ll->loop, &ll->again);
	} else if (ms < 0) {
		timer_stop(ll->tick);
	} else {
		/* A little early does no harm, and a timer that stays costs no system call. */
		when = mono_add_ms(loop_now(ll->loop), (uint64_t)ms);
		if (!timer_armed(ll->tick) || mono_before(when, ll->tick_at) ||
		    mono_before(mono_add_ms(ll->tick_at, TICK_SLACK_MS), when)) {
			ll->tick_at = when;
			timer_arm_at(ll->tick, when);
		}
	}
}

static void
run(struct lwsloop *ll)
{
	touched(ll);
	/* Descriptor and timer may both fire: still two buffers per turn at most, one is rearm's. */
	if (ll->ran_in == loop_turns(ll->loop))
		return;
	ll->ran_in = loop_turns(ll->loop);
	pass(ll);
}

static void
on_readable(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	run(arg);
}

static void
on_tick(void *arg)
{
	run(arg);
}

/* IDENTIFY and RESUME hold the token. */
static void
text_free(struct text *t)
{
	explicit_bzero(t->room, LWS_PRE + t->n);
	free(t);
}

static void
conn_free(struct lwsconn *c)
{
	struct text	*t;

	assert(c->wsi == NULL);
	LIST_REMOVE(c, link);
	while ((t = TAILQ_FIRST(&c->out)) != NULL) {
		TAILQ_REMOVE(&c->out, t, link);
		text_free(t);
	}
	timer_free(&c->timer);
	free(c->user_agent);
	free(c);
}

/* The door out: the owner is told once. */
static void
gone(struct lwsconn *c, const char *why)
{
	if (c->phase == PHASE_GONE)
		return;
	c->phase = PHASE_GONE;
	timer_stop(c->timer);
	if (c->why[0] == '\0')
		(void)span_copy(span_of(why), c->why, sizeof(c->why));
	if (!c->dropped)
		c->ops->on_gone(c->arg, c->was_open, c->was_open ? c->peer_code : c->http_status,
		    c->why);
}

/* Not below uv_run: the connection ends now, or says its close frame first. */
static void
cut(struct lwsconn *c)
{
	if (c->wsi != NULL)
		lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
	touched(c->ll);
}

/*
 * The documented way, to return -1 from a callback, does not work here: Debian's build closes a
 * libuv connection twice ("repeat test" in lws_service_fd_tsi), and the second time cuts the socket
 * before the close frame is out.  Asked from outside lws closes once, and politely.
 */
static void
send_close(struct lwsconn *c)
{
	c->close_sent = true;
	timer_arm_ms(c->timer, CLOSE_MS);
	lws_close_reason(c->wsi, (enum lws_close_status)c->close_code, NULL, 0);
	cut(c);
}

static void
on_timer(void *arg)
{
	struct lwsconn	*c = arg;

	switch (c->phase) {
	case PHASE_TCP:
	case PHASE_TLS:
	case PHASE_UPGRADE:
		if (c->dialing || c->wsi == NULL)
			gone(c, c->why);
		else
			gone(c, phase_late[c->phase]);
		break;
	case PHASE_CLOSING:
		if (c->was_open && !c->close_sent && c->wsi != NULL) {
			send_close(c);
			return;
		}
		gone(c, c->was_open ? "the close frame was not answered" :
		    "closed before it was open");
		break;
	case PHASE_OPEN:
	case PHASE_GONE:
		break;
	}
	if (c->wsi != NULL) {
		cut(c);
		/* lws may want to flush first: then the second time. */
		timer_arm_ms(c->timer, CLOSE_MS);
	} else if (c->dropped) {
		conn_free(c);
	}
}

static void
enter(struct lwsconn *c, enum phase to)
{
	if (c->phase == PHASE_GONE || c->phase == PHASE_CLOSING)
		return;
	c->phase = to;
	if (to == PHASE_OPEN)
		timer_stop(c->timer);
	else
		timer_arm_ms(c->timer, c->phase_ms);
}

static void
note_certificate(struct lwsconn *c, long error)
{
	if (error != X509_V_OK && c->why[0] == '\0')
		snprintf(c->why, sizeof(c->why), "certificate refused: %s",
		    X509_verify_cert_error_string(error));
}

/*
 * Before the upgrade request leaves, so before anything secret could: lws itself accepts a
 * certificate from the future ("probably our clock").
 */
static bool
certificate_ok(struct lwsconn *c)
{
	long	 rv;

	if (!c->tls)
		return true;
	rv = SSL_get_verify_result(lws_get_ssl(c->wsi));
	note_certificate(c, rv);
	return rv == X509_V_OK;
}

/*
 * text: what lws says, which is vague when it was TLS; the verdict on the certificate is in
 * c->why by then.
 */
static void
note_failure(struct lwsconn *c, const char *text, size_t n)
{
	unsigned	 status = c->phase == PHASE_UPGRADE && c->wsi != NULL ?
	    lws_http_client_http_response(c->wsi) : 0;

	if (status != 101)
		c->http_status = status;
	if (c->why[0] != '\0')
		return;
	if (status != 0 && status != 101)
		snprintf(c->why, sizeof(c->why), "HTTP %u instead of an upgrade", status);
	else if (text != NULL && n > 0)
		snprintf(c->why, sizeof(c->why), "%s (%.*s)", phase_failed[c->phase],
		    (int)strnlen(text, n), text);
}

/* One text per call, as lws wants it.  0, or -1: close. */
static int
write_one(struct lwsconn *c)
{
	struct text	*t = TAILQ_FIRST(&c->out);
	bool		 ok;
	int		 rv;

	if (t == NULL)
		return 0;
	TAILQ_REMOVE(&c->out, t, link);
	rv = lws_write(c->wsi, t->room + LWS_PRE, t->n, LWS_WRITE_TEXT);
	if (rv >= (int)t->n && c->ops->on_sent != NULL && !c->dropped)
		c->ops->on_sent(c->arg, t->cookie, clock_mono());
	ok = rv >= (int)t->n;
	text_free(t);
	if (!ok)
		return -1;
	if (!TAILQ_EMPTY(&c->out))
		(void)lws_callback_on_writable(c->wsi);
	return 0;
}

/*
 * From nothing but what is named: lws would add a directory relative to where we were started.
 */
static int
trust(struct lwsloop *ll, SSL_CTX *ssl)
{
	X509_STORE	*store = X509_STORE_new();

	if (store == NULL) {
		ll->why = "out of memory";
		return -1;
	}
	SSL_CTX_set_cert_store(ssl, store);
	if (SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1) {
		ll->why = "TLS 1.2 is not available";
		return -1;
	}
	ll->ssl = ssl;
	return 0;
}

/*
 * Once, and only for wss://: the system's bundle takes some 40 ms and megabytes.  NULL or a
 * sentence.
 */
static const char *
load_certificates(struct lwsloop *ll)
{
	X509_STORE	*store;

	if (ll->trusts)
		return NULL;
	if (ll->ssl == NULL)
		return "this libwebsockets has no TLS";
	if (ll->ca_file != NULL) {
		if (SSL_CTX_load_verify_file(ll->ssl, ll->ca_file) != 1)
			return "ca_file holds no certificate that can be read";
	} else {
		if (SSL_CTX_set_default_verify_paths(ll->ssl) != 1)
			return "the system's certificates cannot be loaded";
		/*
		 * Where the default is a file it has been read.  Where it is only a directory the
		 * bundle is: not from disk in the middle of a handshake.
		 */
		store = SSL_CTX_get_cert_store(ll->ssl);
		if (sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) == 0 &&
		    SSL_CTX_load_verify_file(ll->ssl, SYSTEM_BUNDLE) != 1)
			ERR_clear_error();
	}
	ll->trusts = true;
	return NULL;
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
	struct lwsconn	*c = NULL;
	unsigned char	**p, *end;

	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS)
		return trust(lws_context_user(lws_get_context(wsi)), user);
	if (wsi != NULL)
		c = lws_get_opaque_user_data(wsi);
	if (c == NULL || c->ll->ending)
		return 0;
	/* Below rearm too: what this causes may wait for the tail of a turn. */
	touched(c->ll);

	switch (reason) {
	case LWS_CALLBACK_WSI_CREATE:
		c->wsi = wsi;
		enter(c, c->tls ? PHASE_TLS : PHASE_UPGRADE);
		return 0;
	case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
		note_certificate(c, X509_STORE_CTX_get_error(user));
		return 0;	/* the verdict stands */
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		c->wsi = wsi;
		if (!certificate_ok(c))
			return -1;
		enter(c, PHASE_UPGRADE);
		p = in;
		end = *p + n;
		return lws_add_http_header_by_name(wsi, (const unsigned char *)"User-Agent:",
		    (const unsigned char *)c->user_agent, (int)strlen(c->user_agent), p, end);
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		if (c->phase == PHASE_CLOSING || c->phase == PHASE_GONE)
			return -1;
		enter(c, PHASE_OPEN);
		c->was_open = true;
		c->ops->on_open(c->arg);
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		if (c->phase == PHASE_OPEN)
			c->ops->on_frame(c->arg, span_make(in, n),
			    lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0,
			    lws_frame_is_binary(wsi));
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		if (c->phase == PHASE_OPEN && write_one(c) == -1) {
			(void)span_copy(SPAN("write failed"), c->why, sizeof(c->why));
			return -1;
		}
		return 0;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		if (n >= 2) {
			const unsigned char	*code = in;

			c->peer_code = (unsigned)code[0] << 8 | code[1];
			snprintf(c->why, sizeof(c->why), "%.*s", (int)(n - 2),
			    (const char *)in + 2);
		}
		return 0;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		note_failure(c, in, n);
		if (!c->dialing)
			gone(c, phase_failed[c->phase]);
		return 0;
	case LWS_CALLBACK_CLIENT_CLOSED:
		gone(c, c->peer_code != 0 ? "" : phase_failed[c->phase]);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		c->wsi = NULL;
		if (c->dialing)
			return 0;
		gone(c, phase_failed[c->phase]);
		if (c->dropped)
			conn_free(c);
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols	 protocols[] = {
	{ "bulkhead", callback, 0, RX_BYTES, 0, NULL, 0 },
	{ NULL, NULL, 0, 0, 0, NULL, 0 },
};

static void
no_proxy(const char *name)
{
	if (getenv(name) == NULL)
		return;
	log_warnx("lws: %s is set and ignored: the gateway connection does not go through proxies",
	    name);
	(void)unsetenv(name);
}

static int
note_plugin(struct dl_phdr_info *lib, size_t n, void *arg)
{
	(void)n;
	if (strstr(lib->dlpi_name, "evlib_uv") == NULL)
		return 0;
	strlcpy(arg, lib->dlpi_name, PATH_MAX);
	return 1;
}

/*
 * lws unloads its plugin when the context goes, though handles whose callbacks lie in it may still
 * be closing (seen when a dial fails for want of descriptors): it stays mapped.
 */
static void
keep_plugin(void)
{
	char	 path[PATH_MAX] = "";

	if (dl_iterate_phdr(note_plugin, path) == 1)
		(void)dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

struct lwsloop *
lwsloop_new(struct loop *loop, const char *ca_file, const char **why_r)
{
	struct lwsloop				*ll = mem_alloc(sizeof(*ll));
	struct lws_context_creation_info	 info;
	void					*foreign[1];

	no_proxy("http_proxy");
	no_proxy("socks_proxy");
	ll->loop = loop;
	ll->ca_file = ca_file;
	ll->rearm = (struct loop_job){ .fn = rearm, .arg = ll };
	ll->again = (struct loop_job){ .fn = on_tick, .arg = ll };
	LIST_INIT(&ll->conns);
	if (uv_loop_init(&ll->uv) != 0) {
		*why_r = "libuv cannot start";
		free(ll);
		return NULL;
	}
	lws_set_log_level(LLL_ERR | LLL_WARN, emit_log);
	memset(&info, 0, sizeof(info));
	foreign[0] = &ll->uv;
	info.foreign_loops = foreign;
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.protocols = protocols;
	info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
	    LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;	/* see load_certificates */
	info.gid = (gid_t)-1;
	info.uid = (uid_t)-1;
	info.user = ll;
	info.pcontext = &ll->ctx;
	info.pt_serv_buf_size = RX_BYTES;
	info.fd_limit_per_thread = FDS_MAX;
	info.timeout_secs = LWS_SECS;
	info.connect_timeout_secs = LWS_SECS;
	ll->ctx = lws_create_context(&info);
	keep_plugin();
	if (ll->ctx == NULL || ll->why != NULL) {
		*why_r = ll->why != NULL ? ll->why :
		    "libwebsockets cannot start: is its libuv plugin installed?";
		lwsloop_free(&ll);
		return NULL;
	}
	ll->watch = watch_new(loop, uv_backend_fd(&ll->uv), on_readable, ll);
	watch_set(ll->watch, LOOP_READ);
	ll->tick = timer_new(loop, on_tick, ll);
	touched(ll);
	return ll;
}

static void
close_rest(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, h->type == UV_POLL ? close_leaked : NULL);
}

/*
 * Handles close in libuv's time; lws frees a context on a foreign loop only when asked a
 * second time.
 */
void
lwsloop_free(struct lwsloop **llp)
{
	struct lwsloop	*ll = *llp;
	struct lwsconn	*c;

	if (ll == NULL)
		return;
	assert(!ll->running);
	ll->ending = true;
	loop_job_cancel(ll->loop, &ll->rearm);
	loop_job_cancel(ll->loop, &ll->again);
	watch_free(&ll->watch);
	timer_free(&ll->tick);
	if (ll->ctx != NULL)
		lws_context_destroy(ll->ctx);
	for (int i = 0; i < DRAIN_TURNS && uv_loop_alive(&ll->uv); i++)
		(void)uv_run(&ll->uv, UV_RUN_NOWAIT);
	if (ll->ctx != NULL)
		lws_context_destroy(ll->ctx);
	uv_walk(&ll->uv, close_rest, NULL);
	for (int i = 0; i < DRAIN_TURNS && uv_loop_alive(&ll->uv); i++)
		(void)uv_run(&ll->uv, UV_RUN_NOWAIT);
	if (uv_loop_close(&ll->uv) != 0)
		log_warnx("lws: its loop did not close");
	while ((c = LIST_FIRST(&ll->conns)) != NULL) {
		c->wsi = NULL;
		conn_free(c);
	}
	free(ll);
	*llp = NULL;
}

void
lwsloop_prepare(struct lwsloop *ll)
{
	(void)load_certificates(ll);
}

struct lwsconn *
lwsloop_dial(struct lwsloop *ll, const struct lwsdial *dial, const struct lwsconn_ops *ops,
    void *arg)
{
	struct lws_client_connect_info	 info;
	struct lwsconn			*c = mem_alloc(sizeof(*c));
	struct lws			*wsi;
	const char			*why;
	char				 host[128];

	c->ll = ll;
	c->ops = ops;
	c->arg = arg;
	c->tls = dial->tls;
	c->phase = PHASE_TCP;
	c->phase_ms = dial->phase_ms;
	c->user_agent = mem_strdup(dial->user_agent);
	c->timer = timer_new(ll->loop, on_timer, c);
	TAILQ_INIT(&c->out);
	LIST_INSERT_HEAD(&ll->conns, c, link);

	if (dial->port == (dial->tls ? 443 : 80))
		snprintf(host, sizeof(host), "%s", dial->host);
	else
		snprintf(host, sizeof(host), "%s:%u", dial->host, (unsigned)dial->port);
	memset(&info, 0, sizeof(info));
	info.context = ll->ctx;
	info.address = dial->addr;
	info.port = dial->port;
	info.path = dial->path;
	info.host = host;
	info.alpn = "http/1.1";
	info.ssl_connection = (dial->tls ? LCCSCF_USE_SSL : 0) | LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
	info.local_protocol_name = protocols[0].name;
	info.opaque_user_data = c;
	info.retry_and_idle_policy = &no_keepalive;
	if (dial->tls && (why = load_certificates(ll)) != NULL)
		(void)span_copy(span_of(why), c->why, sizeof(c->why));
	c->dialing = true;
	wsi = c->why[0] != '\0' || strlen(dial->host) > 120 ? NULL :
	    lws_client_connect_via_info(&info);
	c->dialing = false;
	c->wsi = wsi;
	if (wsi == NULL) {
		if (c->why[0] == '\0')
			(void)span_copy(span_of(phase_failed[PHASE_TCP]), c->why, sizeof(c->why));
		timer_arm_ms(c->timer, 0);
	} else {
		timer_arm_ms(c->timer, c->phase_ms);
	}
	touched(ll);
	return c;
}

void
lwsconn_send(struct lwsconn *c, struct span text, uint64_t cookie)
{
	struct text	*t;

	if (c->phase != PHASE_OPEN)
		return;
	t = mem_alloc(sizeof(*t) + LWS_PRE + text.n);
	t->cookie = cookie;
	t->n = text.n;
	memcpy(t->room + LWS_PRE, text.p, text.n);
	TAILQ_INSERT_TAIL(&c->out, t, link);
	(void)lws_callback_on_writable(c->wsi);
	touched(c->ll);
}

void
lwsconn_pause(struct lwsconn *c, bool pause)
{
	if (c->phase != PHASE_OPEN || c->paused == pause)
		return;
	c->paused = pause;
	(void)lws_rx_flow_control(c->wsi, !pause);
	/* What lws holds already is only looked at after something happened on a socket. */
	if (!pause)
		(void)lws_callback_on_writable(c->wsi);
	touched(c->ll);
}

void
lwsconn_close(struct lwsconn *c, unsigned code)
{
	if (c->phase == PHASE_CLOSING || c->phase == PHASE_GONE)
		return;
	lwsconn_pause(c, false);
	c->phase = PHASE_CLOSING;
	c->close_code = code;
	timer_arm_ms(c->timer, 0);	/* this may be below uv_run */
}

void
lwsconn_drop(struct lwsconn **cp, unsigned code)
{
	struct lwsconn	*c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	c->dropped = true;
	if (c->wsi == NULL) {
		/* Its timer may be what is calling. */
		c->phase = PHASE_GONE;
		timer_arm_ms(c->timer, 0);
		return;
	}
	lwsconn_close(c, code);
}
