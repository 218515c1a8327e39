/*
 * fetch - see fetch.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/url.h"
#include "worker/chat/fetch.h"
#include "worker/runtime/session.h"

struct server {
	char		*base;		/* "https://host:port" */
	struct http	*http;
	struct http_ref	 ref;
};

struct fetch {
	struct loop	*loop;
	struct resolve	*resolve;
	char		*user_agent, *ca_file;
	uint64_t	 connect_ms;
	struct server	 servers[FETCH_SERVERS];
	size_t		 servers_n;
};

struct fetch_job {
	struct server	 *server;
	struct http_call *call;
	uint64_t	  max_bytes;
	void		(*fn)(void *, struct span);
	void		 *arg;
};

struct fetch *
fetch_new(struct loop *loop, struct resolve *resolve, const char *user_agent, const char *ca_file,
    uint64_t connect_ms)
{
	struct fetch	*f = mem_alloc(sizeof(*f));

	f->loop = loop;
	f->resolve = resolve;
	f->user_agent = mem_strdup(user_agent);
	f->ca_file = mem_strdup(ca_file);
	f->connect_ms = connect_ms;
	return f;
}

void
fetch_free(struct fetch **fp)
{
	struct fetch	*f = *fp;

	if (f == NULL)
		return;
	for (size_t i = 0; i < f->servers_n; i++) {
		http_free(&f->servers[i].http);
		free(f->servers[i].base);
	}
	free(f->user_agent);
	free(f->ca_file);
	free(f);
	*fp = NULL;
}

static void
on_state(void *arg, const char *tag, enum http_state state, const char *why)
{
	(void)arg;
	log_debug("%s files state=%d: %s", tag, (int)state, why);
}

/* The session for base, which is the front of a URL. */
static struct server *
server_of(struct fetch *f, struct span base)
{
	struct http_config	 cf = {
		.user_agent = f->user_agent, .ca_file = f->ca_file, .connect_ms = f->connect_ms,
		.on_state = on_state
	};
	struct server		*s;
	const char		*why = "";

	for (size_t i = 0; i < f->servers_n; i++)
		if (span_is(base, f->servers[i].base))
			return &f->servers[i];
	if (f->servers_n == FETCH_SERVERS)
		return NULL;
	s = &f->servers[f->servers_n];
	s->base = mem_spandup(base);
	cf.base_url = s->base;
	s->http = http_new(f->loop, f->resolve, &cf, &why);
	if (s->http == NULL) {
		log_warnx("no files from %s: %s", s->base, why);
		free(s->base);
		return NULL;
	}
	s->ref = http_open(s->http);
	f->servers_n++;
	return s;
}

static void
on_answer(const struct curl_answer *a, void *arg)
{
	struct fetch_job	*j = arg;
	void			(*fn)(void *, struct span) = j->fn;
	void			*fn_arg = j->arg;
	bool			 good;

	good = a->answered && a->status == 200 && a->body.n <= j->max_bytes;
	http_dismiss(j->server->http, j->server->ref);
	free(j);
	fn(fn_arg, good ? a->body : SPAN_NONE);
}

struct fetch_job *
fetch_start(struct fetch *f, const char *url, uint64_t max_bytes, void (*fn)(void *, struct span),
    void *arg)
{
	struct http_request	 rq = { .method = "GET", .total_ms = FETCH_MS };
	struct fetch_job	*j;
	struct server		*s;
	struct url		 u;

	if (url_parse(url, URL_HTTP, &u) != NULL || (!u.tls && !url_is_loopback(u.host)))
		return NULL;
	s = server_of(f, span_make(url, (size_t)(u.rest - url)));
	if (s == NULL || http_admit(s->http, s->ref) != ERR_OK)
		return NULL;
	j = mem_alloc(sizeof(*j));
	*j = (struct fetch_job){ s, NULL, max_bytes, fn, arg };
	rq.path = u.rest;
	if (http_start(s->http, s->ref, &rq, on_answer, j, &j->call) == ERR_OK)
		return j;
	http_dismiss(s->http, s->ref);
	free(j);
	return NULL;
}

void
fetch_cancel(struct fetch_job **jp)
{
	struct fetch_job	*j = *jp;

	(void)http_cancel(&j->call);
	http_dismiss(j->server->http, j->server->ref);
	free(j);
	*jp = NULL;
}
