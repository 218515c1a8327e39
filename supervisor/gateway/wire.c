/*
 * wire - the way to a gateway: its name, its addresses in turn, one WebSocket, whole messages.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/url.h"
#include "supervisor/gateway/frames.h"
#include "supervisor/gateway/lwsloop.h"
#include "supervisor/gateway/session.h"
#include "supervisor/gateway/wire.h"

#define PATH_MAX_BYTES	512
#define ZSTD_FAILURES_MAX	2	/* then zlib, for the life of the process */

static const struct codec {
	const char		*name;		/* as the option says it */
	const char		*query;
	enum inflate_codec	 inflate;
} codecs[] = {
	{ "zlib", "&compress=zlib-stream", INFLATE_ZLIB },
	{ "zstd", "&compress=zstd-stream", INFLATE_ZSTD },
	{ "none", "", INFLATE_NONE },
};

struct wire {
	struct loop		*loop;
	struct resolve		*resolve;
	const struct cfg	*cfg;
	const struct wire_ops	*ops;
	void			*arg;
	char			 user_agent[320];
	const struct codec	*codec;		/* of the next connection */
	unsigned		 zstd_failures;
	struct lwsloop		*ll;		/* made at the first dial */

	/* The attempt, then the connection. */
	char			 tag[WIRE_TAG_MAX];
	struct url		 to;
	char			 path[PATH_MAX_BYTES];
	struct resolve_query	*query;
	struct resolve_answer	 addrs;
	size_t			 addr_at;
	struct loop_job		 no_dial;	/* an attempt that failed at once says so later */
	struct lwsconn		*conn;
	bool			 open;
	struct frames		 frames;
};

static void	 dial_next(struct wire *);

static void	 trouble(struct wire *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
trouble(struct wire *w, const char *fmt, ...)
{
	char	 sentence[256];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	w->ops->on_trouble(w->arg, sentence);
}

/* ---- what the connection says ---- */

static void
on_open(void *arg)
{
	struct wire	*w = arg;

	w->open = true;
	log_info("%s open host=%s addr=%s tls=%s compress=%s", w->tag, w->to.host,
	    w->addrs.addr[w->addr_at], w->to.tls ? "yes" : "no", w->codec->name);
	w->ops->on_open(w->arg);
}

/* The other end, or something between, may not speak zstd, or not as we do. */
static void
codec_failed(struct wire *w)
{
	if (w->codec->inflate != INFLATE_ZSTD || ++w->zstd_failures < ZSTD_FAILURES_MAX)
		return;
	w->codec = &codecs[0];
	log_warnx("%s zstd failed %u times: zlib from now on", w->tag, w->zstd_failures);
}

static void
on_frame(void *arg, struct span part, bool last, bool binary)
{
	struct wire	*w = arg;
	struct span	 message;

	if (!w->ops->on_frame(w->arg))
		return;
	switch (frames_feed(&w->frames, part, last, binary, &message)) {
	case INFLATE_MORE:
		break;
	case INFLATE_MESSAGE:
		w->ops->on_message(w->arg, message);
		break;
	case INFLATE_OVERSIZED:
		w->ops->on_oversized(w->arg, frames_message_bytes(&w->frames));
		break;
	case INFLATE_BROKEN:
		codec_failed(w);
		w->ops->on_broken(w->arg, frames_why(&w->frames));
		break;
	}
}

static void
on_sent(void *arg, uint64_t cookie, struct mono when)
{
	struct wire	*w = arg;

	w->ops->on_sent(w->arg, cookie, when);
}

static void
on_gone(void *arg, bool was_open, unsigned code, const char *why)
{
	struct wire	*w = arg;
	char		 text[256];

	w->open = false;
	if (was_open) {
		/* why is the connection's, which goes first: the callback may dial again. */
		(void)snprintf(text, sizeof(text), "%s", why);
		lwsconn_drop(&w->conn, SESS_CLOSE_DROP);
		w->ops->on_gone(w->arg, code, text);
		return;
	}
	log_warnx("%s cannot connect: %s host=%s addr=%s port=%u", w->tag, why, w->to.host,
	    w->addrs.addr[w->addr_at], (unsigned)w->to.port);
	if (w->addr_at == 0)	/* the first address is the one that should work */
		trouble(w, "cannot connect: %s", why);
	if (code >= 400 && code < 500 && code != 429)
		codec_failed(w);	/* the query is not to its liking */
	lwsconn_drop(&w->conn, SESS_CLOSE_DROP);
	w->addr_at++;
	dial_next(w);
}

static const struct lwsconn_ops	 conn_ops = {
	.on_open = on_open, .on_frame = on_frame, .on_sent = on_sent, .on_gone = on_gone,
};

/* ---- dialling ---- */

static void
no_dial(void *arg)
{
	struct wire	*w = arg;

	w->ops->on_failed(w->arg);
}

/* In a later turn: who asked for the dial is not done with the event that made it. */
static void
fail_later(struct wire *w)
{
	loop_job_queue(w->loop, &w->no_dial);
}

static void
dial_next(struct wire *w)
{
	struct lwsdial	 dial;
	const char	*why;

	if (w->addr_at >= w->addrs.addrs_n) {
		fail_later(w);
		return;
	}
	if (w->ll == NULL && (w->ll = lwsloop_new(w->loop, w->cfg->ca_file, &why)) == NULL) {
		log_warnx("%s cannot connect: %s", w->tag, why);
		trouble(w, "cannot connect: %s", why);
		fail_later(w);
		return;
	}
	dial = (struct lwsdial){
		.addr = w->addrs.addr[w->addr_at], .port = w->to.port, .tls = w->to.tls,
		.host = w->to.host, .path = w->path, .user_agent = w->user_agent,
		.phase_ms = w->cfg->connect_timeout_ms,
	};
	w->conn = lwsloop_dial(w->ll, &dial, &conn_ops, w);
}

static void
on_resolved(const struct resolve_answer *answer, void *arg)
{
	struct wire	*w = arg;

	w->query = NULL;
	w->addrs = *answer;
	w->addr_at = 0;
	if (w->addrs.addrs_n == 0) {
		COUNT(resolve_failures);
		log_warnx("%s cannot resolve host=%s: %s", w->tag, w->to.host, answer->why);
		trouble(w, "cannot resolve %s: %s", w->to.host, answer->why);
	}
	for (size_t i = 0; !w->to.tls && i < w->addrs.addrs_n; i++)
		if (!url_is_loopback(w->addrs.addr[i])) {
			log_warnx("%s ws:// is for loopback addresses only: host=%s addr=%s", w->tag,
			    w->to.host, w->addrs.addr[i]);
			trouble(w, "ws:// is for loopback addresses only");
			w->addrs.addrs_n = 0;
		}
	dial_next(w);
}

/* Where to, and with which query. */
static bool
aim(struct wire *w, const char *url)
{
	size_t	 path_n;
	int	 n;

	if (url_parse(url, URL_WS, &w->to) != NULL)
		return false;
	path_n = *w->to.rest == '/' ? strcspn(w->to.rest, "?#") : 0;
	/*
	 * eris#1410: the very same query on every URL, or a resumed connection speaks another
	 * language.
	 */
	n = snprintf(w->path, sizeof(w->path), "%s%.*s?v=10&encoding=json%s",
	    path_n == 0 ? "/" : "", (int)path_n, w->to.rest,
	    w->codec->query);
	return n > 0 && (size_t)n < sizeof(w->path);
}

void
wire_dial(struct wire *w, const char *url, const char *tag)
{
	assert(w->conn == NULL && w->query == NULL);
	(void)snprintf(w->tag, sizeof(w->tag), "%s", tag);
	w->open = false;
	frames_begin(&w->frames, w->codec->inflate);
	if (!aim(w, url)) {
		log_warnx("%s gateway URL is not usable", w->tag);
		trouble(w, "gateway URL is not usable");
		fail_later(w);
		return;
	}
	w->query = resolve_start(w->resolve, w->to.host, w->cfg->connect_timeout_ms, on_resolved,
	    w);
}

/* ---- the rest ---- */

bool
wire_is_open(const struct wire *w)
{
	return w->conn != NULL && w->open;
}

void
wire_send(struct wire *w, struct span text, uint64_t cookie)
{
	if (wire_is_open(w))
		lwsconn_send(w->conn, text, cookie);
}

void
wire_pause(struct wire *w, bool pause)
{
	if (wire_is_open(w))
		lwsconn_pause(w->conn, pause);
}

void
wire_close(struct wire *w, unsigned code)
{
	assert(wire_is_open(w));
	lwsconn_close(w->conn, code);
}

void
wire_drop(struct wire *w, unsigned code)
{
	if (w->query != NULL)
		resolve_cancel(&w->query);
	loop_job_cancel(w->loop, &w->no_dial);
	w->open = false;
	lwsconn_drop(&w->conn, code);
}

void
wire_prepare(struct wire *w)
{
	const char	*why;

	if (w->ll == NULL)
		w->ll = lwsloop_new(w->loop, w->cfg->ca_file, &why);
	if (w->ll != NULL && strncmp(w->cfg->api_url, "https:", 6) == 0)
		lwsloop_prepare(w->ll);
}

struct wire *
wire_new(struct loop *loop, struct resolve *resolve, const struct cfg *cfg,
    const struct wire_ops *ops, void *arg)
{
	struct wire	*w = mem_alloc(sizeof(*w));

	w->loop = loop;
	w->resolve = resolve;
	w->cfg = cfg;
	w->ops = ops;
	w->arg = arg;
	w->no_dial = (struct loop_job){ .fn = no_dial, .arg = w };
	w->codec = codecs;
	while (strcmp(w->codec->name, cfg->compress) != 0)
		w->codec++;
	(void)snprintf(w->user_agent, sizeof(w->user_agent), "DiscordBot (%s, %s)",
	    cfg->user_agent_url, BULKHEAD_VERSION);
	frames_init(&w->frames, WIRE_MESSAGE_MAX_BYTES);
	return w;
}

void
wire_free(struct wire **wp)
{
	struct wire	*w = *wp;

	if (w == NULL)
		return;
	wire_drop(w, SESS_CLOSE_DROP);
	lwsloop_free(&w->ll);
	frames_fini(&w->frames);
	free(w);
	*wp = NULL;
}
