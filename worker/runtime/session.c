/*
 * session - see session.h.
 */
#include <sys/queue.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/url.h"
#include "worker/runtime/session.h"

struct http_call {
	TAILQ_ENTRY(http_call)	 entry;
	struct http		*http;
	struct curl_job		*job;		/* NULL: waits for the name */
	char			*method, *path, *authorization, *headers;
	struct span		 body;
	bool			 fresh;
	struct mono		 deadline;
	void			(*fn)(const struct curl_answer *, void *);
	bool			(*on_data)(void *, unsigned, struct span, struct span);
	void			(*on_sent)(void *);
	void			*arg;
};

TAILQ_HEAD(http_calls, http_call);

struct http {
	struct loop		*loop;
	struct resolve		*resolve;
	struct curlloop		*curl;
	struct resolve_query	*query;
	void			(*on_state)(void *, const char *, enum http_state, const char *);
	void			*arg;
	enum http_state		 state;
	uint64_t		 generation;
	uint64_t		 admitted;
	char			 tag[32];
	char			*base_url, *user_agent, *ca_file;
	char			*host;
	unsigned		 port;
	bool			 numeric;
	uint64_t		 connect_ms;
	char			*addresses;	/* "host:port:addr,addr" for curl, NULL unknown */
	struct mono		 resolved;
	struct http_calls	 waiting;	/* for the name */
	struct http_calls	 started;
};

static const char *const state_names[] = { "opening", "open", "draining", "closed" };

/* Generations of all sessions that this process has had. */
static uint64_t	 generations;

static void
enter(struct http *h, enum http_state to, const char *why)
{
	assert(to > h->state);
	log_info("%s %s -> %s: %s", h->tag, state_names[h->state], state_names[to], why);
	h->state = to;
	h->on_state(h->arg, h->tag, to, why);
}

/* ---- addresses ---- */

static const char *
read_url(struct http *h, const char *text)
{
	struct url	 u;

	if (url_parse(text, URL_HTTP, &u) != NULL)
		return "api_url is no usable URL of http or https";
	h->host = mem_strdup(u.host);
	h->port = u.port;
	h->numeric = u.numeric;
	return NULL;
}

static void
keep_addresses(struct http *h, const struct resolve_answer *a)
{
	struct buf	 b = { 0 };

	buf_printf(&b, "%s:%u:", h->host, h->port);
	for (size_t i = 0; i < a->addrs_n; i++)
		buf_printf(&b, strchr(a->addr[i], ':') != NULL ? "%s[%s]" : "%s%s",
		    i == 0 ? "" : ",", a->addr[i]);
	free(h->addresses);
	h->addresses = mem_spandup(buf_span(&b));
	buf_fini(&b);
	h->resolved = clock_mono();
}

/* ---- calls ---- */

static void
call_free(struct http_call *c)
{
	free(c->method);
	free(c->path);
	mem_wipe_free(&c->authorization);
	mem_wipe_free(&c->headers);
	free(c);
}

static void
call_end(struct http_call *c, const struct curl_answer *a)
{
	struct http	*h = c->http;
	void		(*fn)(const struct curl_answer *, void *) = c->fn;
	void		*arg = c->arg;

	TAILQ_REMOVE(c->job == NULL ? &h->waiting : &h->started, c, entry);
	call_free(c);
	fn(a, arg);
}

static void
on_answer(const struct curl_answer *a, void *arg)
{
	struct http_call	*c = arg;

	if (!a->answered && !a->sent)
		c->http->resolved = MONO_NEVER;		/* perhaps the addresses have changed */
	call_end(c, a);
}

static bool
on_data(void *arg, unsigned status, struct span head, struct span data)
{
	struct http_call	*c = arg;

	return c->on_data(c->arg, status, head, data);
}

static void
on_sent(void *arg)
{
	struct http_call	*c = arg;

	c->on_sent(c->arg);
}

/* c is in waiting, the addresses are known. */
static void
call_send(struct http_call *c)
{
	struct http		*h = c->http;
	uint64_t		 left = mono_ms_until(clock_mono(), c->deadline);
	char			*url = mem_printf("%s%s", h->base_url, c->path);
	struct curl_request	 rq = {
		.method = c->method, .url = url, .resolve = h->addresses, .ca_file = h->ca_file,
		.authorization = c->authorization, .user_agent = h->user_agent,
		.body = c->body, .fresh = c->fresh,
		.connect_ms = h->connect_ms, .total_ms = left == 0 ? 1 : left,
		.headers = c->headers, .on_data = c->on_data == NULL ? NULL : on_data,
		.on_sent = c->on_sent == NULL ? NULL : on_sent,
	};

	if (mono_is_never(c->deadline))
		rq.total_ms = 0;

	TAILQ_REMOVE(&h->waiting, c, entry);
	TAILQ_INSERT_TAIL(&h->started, c, entry);
	c->job = curlloop_start(h->curl, &rq, on_answer, c);
	mem_wipe_free(&c->authorization);
	mem_wipe_free(&c->headers);
	free(url);
}

static void
on_name(const struct resolve_answer *a, void *arg)
{
	struct http		*h = arg;
	struct http_call	*c;
	struct curl_answer	 failed = { .why = a->why };
	size_t			 n = 0;

	h->query = NULL;
	if (a->addrs_n > 0)
		keep_addresses(h, a);
	else
		log_warnx("%s cannot resolve %s: %s", h->tag, h->host, a->why);
	TAILQ_FOREACH(c, &h->waiting, entry)
		n++;
	/* Those that are told may start new calls, which wait for the next query. */
	while (n-- > 0 && (c = TAILQ_FIRST(&h->waiting)) != NULL) {
		if (h->addresses != NULL)		/* old ones are something to try, too */
			call_send(c);
		else
			call_end(c, &failed);
	}
}

static void
ask_name(struct http *h)
{
	if (h->query == NULL)
		h->query = resolve_start(h->resolve, h->host, h->connect_ms, on_name, h);
}

enum error
http_start(struct http *h, struct http_ref ref, const struct http_request *rq,
    void (*fn)(const struct curl_answer *, void *), void *arg, struct http_call **call_r)
{
	struct http_call	*c;

	if (ref.generation != h->generation)
		return ERR_ESESSION_STALE;
	if (h->state == HTTP_CLOSED)
		return ERR_ESESSION_CLOSED;
	if (h->state == HTTP_OPENING || h->admitted == 0)
		return ERR_ESESSION_NOT_OPEN;
	c = mem_alloc(sizeof(*c));
	c->http = h;
	c->method = mem_strdup(rq->method);
	c->path = mem_strdup(rq->path);
	c->authorization = mem_strdup(rq->authorization);
	c->headers = mem_strdup(rq->headers);
	c->on_data = rq->on_data;
	c->on_sent = rq->on_sent;
	c->body = rq->body;
	c->fresh = rq->fresh;
	c->deadline = rq->total_ms == 0 ? MONO_NEVER : mono_add_ms(clock_mono(), rq->total_ms);
	c->fn = fn;
	c->arg = arg;
	TAILQ_INSERT_TAIL(&h->waiting, c, entry);
	*call_r = c;
	if (!h->numeric && (mono_is_never(h->resolved) ||
	    mono_ms_between(h->resolved, clock_mono()) >= HTTP_ADDRS_FRESH_MS))
		ask_name(h);
	if (h->numeric || h->addresses != NULL)
		call_send(c);
	return ERR_OK;
}

struct span
http_head(struct http_call *c, unsigned *status_r)
{
	*status_r = 0;
	return c->job == NULL ? SPAN_NONE : curlloop_head(c->job, status_r);
}

bool
http_cancel(struct http_call **cp)
{
	struct http_call	*c = *cp;
	bool			 sent = false;

	if (c == NULL)
		return false;
	*cp = NULL;
	TAILQ_REMOVE(c->job == NULL ? &c->http->waiting : &c->http->started, c, entry);
	if (c->job != NULL)
		sent = curlloop_cancel(&c->job);
	call_free(c);
	return sent;
}

/* ---- states ---- */

struct http *
http_new(struct loop *loop, struct resolve *resolve, const struct http_config *cf,
    const char **why_r)
{
	struct http	*h = mem_alloc(sizeof(*h));

	h->loop = loop;
	h->resolve = resolve;
	h->on_state = cf->on_state;
	h->arg = cf->arg;
	h->generation = ++generations;
	snprintf(h->tag, sizeof(h->tag), "sess#%llu", (unsigned long long)h->generation);
	h->base_url = mem_strdup(cf->base_url);
	h->user_agent = mem_strdup(cf->user_agent);
	h->ca_file = mem_strdup(cf->ca_file);
	h->connect_ms = cf->connect_ms;
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->started);
	*why_r = read_url(h, cf->base_url);
	if (*why_r == NULL)
		h->curl = curlloop_new(loop, why_r);
	if (*why_r == NULL && cf->connections > 0)
		curlloop_connections(h->curl, cf->connections);
	if (*why_r != NULL) {
		h->state = HTTP_CLOSED;
		http_free(&h);
		return NULL;
	}
	log_info("%s %s", h->tag, state_names[h->state]);
	h->on_state(h->arg, h->tag, h->state, "made");
	return h;
}

struct http_ref
http_open(struct http *h)
{
	enter(h, HTTP_OPEN, "ready");
	return (struct http_ref){ h->generation };
}

static void
close_if_idle(struct http *h)
{
	if (h->state == HTTP_DRAINING && h->admitted == 0)
		http_close(h, "drained");
}

void
http_drain(struct http *h, const char *why)
{
	if (h->state >= HTTP_DRAINING)
		return;
	enter(h, HTTP_DRAINING, why);
	close_if_idle(h);
}

void
http_close(struct http *h, const char *why)
{
	struct http_call	*c;

	if (h->state == HTTP_CLOSED)
		return;
	while ((c = TAILQ_FIRST(&h->waiting)) != NULL || (c = TAILQ_FIRST(&h->started)) != NULL)
		http_cancel(&c);
	enter(h, HTTP_CLOSED, why);
}

void
http_free(struct http **hp)
{
	struct http	*h = *hp;

	if (h == NULL)
		return;
	http_close(h, "end of the worker");
	if (h->query != NULL)
		resolve_cancel(&h->query);
	curlloop_free(&h->curl);
	free(h->base_url);
	free(h->user_agent);
	free(h->ca_file);
	free(h->host);
	free(h->addresses);
	free(h);
	*hp = NULL;
}

enum http_state
http_state(const struct http *h)
{
	return h->state;
}

enum error
http_admit(struct http *h, struct http_ref ref)
{
	if (ref.generation != h->generation)
		return ERR_ESESSION_STALE;
	switch (h->state) {
	case HTTP_OPENING:
		return ERR_ESESSION_NOT_OPEN;
	case HTTP_OPEN:
		h->admitted++;
		return ERR_OK;
	case HTTP_DRAINING:
		return ERR_ESESSION_DRAINING;
	case HTTP_CLOSED:
		break;
	}
	return ERR_ESESSION_CLOSED;
}

void
http_dismiss(struct http *h, struct http_ref ref)
{
	assert(ref.generation == h->generation && h->admitted > 0);
	h->admitted--;
	close_if_idle(h);
}
