/*
 * web - see web.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/address.h"
#include "common/log.h"
#include "worker/web/checks.h"
#include "worker/web/metrics.h"
#include "worker/web/page.h"
#include "worker/web/server.h"
#include "worker/web/statsd.h"
#include "worker/web/web.h"

static const struct server_bounds	 bounds = {
	.conns = 32, .ask_ms = 5000, .answer_ms = 10000, .linger_ms = 1000,
};

struct web {
	struct loop	*loop;
	struct server	*server;
	struct statsd	*statsd;
	json_t		*doc;		/* the last snapshot */
	struct mono	 came;
};

static struct snap
snap_now(const struct web *w)
{
	return (struct snap){
		.doc = w->doc,
		.age_ms = w->doc == NULL ? 0 : mono_ms_between(w->came, clock_mono()),
	};
}

static void
answer_metrics(const struct snap *s, struct server_reply *r)
{
	r->type = METRICS_TYPE;
	if (snap_fresh(s)) {
		metrics_text(s, &r->body);
		return;
	}
	/* Figures that do not move look alive: a scrape that fails does not. */
	r->status = 503;
	buf_printf(&r->body, "# the supervisor does not answer\n");
}

static void
answer_page(const struct snap *s, struct server_reply *r)
{
	r->type = "text/html; charset=utf-8";
	page_html(s, &r->body);
}

static void
answer(void *arg, struct span path, struct server_reply *r)
{
	struct snap	 s = snap_now(arg);

	if (span_is(path, "/"))
		answer_page(&s, r);
	else if (span_is(path, "/metrics"))
		answer_metrics(&s, r);
	else if (span_is(path, "/healthz"))
		r->status = checks_health(&s, &r->body);
	else if (span_is(path, "/readyz"))
		r->status = checks_ready(&s, &r->body);
	else {
		r->status = 404;
		buf_printf(&r->body, "there are /, /metrics, /healthz and /readyz\n");
	}
}

static int
listen_on(struct web *w, const char *text, const char **why_r)
{
	static char	 why[160];
	struct address	 at;
	const char	*reason = "it is no address and port";

	if (address_parse(text, &at))
		w->server = server_new(w->loop, &at, &bounds, answer, w, &reason);
	if (w->server == NULL) {
		snprintf(why, sizeof(why), "cannot listen on %s (option web): %s", text, reason);
		*why_r = why;
		return -1;
	}
	log_notice("http://%s/ shows status, /metrics, /healthz, /readyz", text);
	if (!at.loopback)
		log_warnx("%s is reached from beyond this machine: whoever reaches it reads the status,"
		    " without a password (option web)", text);
	return 0;
}

struct web *
web_new(struct loop *loop, const struct web_config *cf, const char **why_r)
{
	struct web	*w = mem_alloc(sizeof(*w));
	struct address	 to;

	w->loop = loop;
	if (cf->listen != NULL && listen_on(w, cf->listen, why_r) == -1) {
		web_free(&w);
		return NULL;
	}
	if (cf->statsd != NULL && address_parse(cf->statsd, &to))
		w->statsd = statsd_new(&to, cf->first);
	return w;
}

void
web_free(struct web **wp)
{
	struct web	*w = *wp;

	if (w == NULL)
		return;
	server_free(&w->server);
	statsd_free(&w->statsd);
	json_decref(w->doc);
	free(w);
	*wp = NULL;
}

void
web_snapshot(struct web *w, struct span json)
{
	json_t		*doc = json_loadb(json.p, json.n, 0, NULL);
	struct snap	 s;

	if (doc == NULL) {
		log_warnx("a snapshot is not JSON bytes=%zu", json.n);
		return;
	}
	json_decref(w->doc);
	w->doc = doc;
	w->came = clock_mono();
	s = snap_now(w);
	if (w->statsd != NULL)
		statsd_snap(w->statsd, &s, w->came);
}
