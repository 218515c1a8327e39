/*
 * curlloop - see curlloop.h.
 */
#include <sys/queue.h>

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/runtime/curlloop.h"

struct curl_job {
	TAILQ_ENTRY(curl_job)	 entry;
	struct curlloop		*owner;
	CURL			*easy;
	struct curl_slist	*headers, *resolve;
	void			(*fn)(const struct curl_answer *, void *);
	void			*arg;
	bool			(*on_data)(void *, unsigned, struct span, struct span);
	void			(*on_sent)(void *);
	struct buf		 head, body;
	unsigned		 sendings;	/* times that curl was about to write the request */
	bool			 resent;	/* it wanted to do so again */
	bool			 too_big;
	char			 error[CURL_ERROR_SIZE];
};

struct curlloop {
	struct loop		*loop;
	CURLM			*multi;
	struct timer		*timer;
	TAILQ_HEAD(, curl_job)	 jobs;
};

/* ---- the loop's side ---- */

static void	 reap(struct curlloop *);

static void
act(struct curlloop *cl, curl_socket_t fd, int what)
{
	int	 running;

	curl_multi_socket_action(cl->multi, fd, what, &running);
	reap(cl);
}

static void
on_socket(int fd, int what, void *arg)
{
	act(arg, fd, ((what & LOOP_READ) ? CURL_CSELECT_IN : 0) |
	    ((what & LOOP_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void
on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *per_socket)
{
	struct curlloop	*cl = arg;
	struct watch	*w = per_socket;
	int		 interest = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		watch_free(&w);
		curl_multi_assign(cl->multi, fd, NULL);
		return 0;
	}
	if (w == NULL) {
		w = watch_new(cl->loop, fd, on_socket, cl);
		curl_multi_assign(cl->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		interest |= LOOP_READ;
	if (what & CURL_POLL_OUT)
		interest |= LOOP_WRITE;
	watch_set(w, interest);
	return 0;
}

/* Curl forbids calling it back from here, even for 0 ms. */
static int
want_timer(CURLM *multi, long ms, void *arg)
{
	struct curlloop	*cl = arg;

	(void)multi;
	if (ms < 0)
		timer_stop(cl->timer);
	else
		timer_arm_ms(cl->timer, (uint64_t)ms);
	return 0;
}

struct curlloop *
curlloop_new(struct loop *loop, const char **why_r)
{
	struct curlloop	*cl;
	CURLM		*multi;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (multi = curl_multi_init()) == NULL) {
		*why_r = "libcurl could not be initialised";
		return NULL;
	}
	cl = mem_alloc(sizeof(*cl));
	cl->loop = loop;
	cl->multi = multi;
	cl->timer = timer_new(loop, on_timer, cl);
	TAILQ_INIT(&cl->jobs);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, cl);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, cl);
	curlloop_connections(cl, CURLLOOP_CONNECTIONS);
	return cl;
}

void
curlloop_connections(struct curlloop *cl, unsigned n)
{
	curl_multi_setopt(cl->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)n);
	curl_multi_setopt(cl->multi, CURLMOPT_MAXCONNECTS, (long)n);
}

void
curlloop_free(struct curlloop **clp)
{
	struct curlloop	*cl = *clp;

	if (cl == NULL)
		return;
	assert(TAILQ_EMPTY(&cl->jobs));
	curl_multi_cleanup(cl->multi);
	timer_free(&cl->timer);
	curl_global_cleanup();
	free(cl);
	*clp = NULL;
}

/* ---- curl's side of a job ---- */

static size_t
take_head(char *p, size_t size, size_t n, void *arg)
{
	struct curl_job	*j = arg;

	n *= size;
	/* a new answer: what came before was a 1xx */
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
		buf_reset(&j->head);
	if (j->head.n + n > CURLLOOP_HEAD_MAX) {
		j->too_big = true;
		return 0;
	}
	buf_add(&j->head, p, n);
	return n;
}

static size_t
take_body(char *p, size_t size, size_t n, void *arg)
{
	struct curl_job	*j = arg;
	long		 status = 0;

	n *= size;
	if (j->on_data != NULL) {
		curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
		return j->on_data(j->arg, (unsigned)status, buf_span(&j->head),
		    span_make(p, n)) ? n : 0;
	}
	if (j->body.n + n > CURLLOOP_BODY_MAX) {
		j->too_big = true;
		return 0;
	}
	buf_add(&j->body, p, n);
	return n;
}

static int
about_to_send(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct curl_job	*j = arg;

	(void)peer;
	(void)local;
	(void)peer_port;
	(void)local_port;
	if (j->sendings++ == 0) {
		if (j->on_sent != NULL)
			j->on_sent(j->arg);
		return CURL_PREREQFUNC_OK;
	}
	j->resent = true;
	return CURL_PREREQFUNC_ABORT;
}

static void
set_method(CURL *e, const struct curl_request *rq)
{
	bool	 uploads = rq->body.n > 0 || strcmp(rq->method, "POST") == 0 ||
	    strcmp(rq->method, "PUT") == 0 || strcmp(rq->method, "PATCH") == 0;

	if (strcmp(rq->method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else if (uploads) {
		/* Also without a body: the front end wants Content-Length: 0, else 411. */
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, rq->body.n > 0 ? rq->body.p : "");
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, rq->method);
	} else if (strcmp(rq->method, "GET") != 0)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, rq->method);
}

static void
header_add(struct curl_job *j, const char *line)
{
	struct curl_slist	*more = curl_slist_append(j->headers, line);

	if (more != NULL)
		j->headers = more;
}

static void
add_lines(struct curl_job *j, const char *lines)
{
	char	*copy = mem_strdup(lines), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			header_add(j, line);
	explicit_bzero(copy, strlen(lines));	/* one of them may be a key */
	free(copy);
}

static void
set_headers(struct curl_job *j, const struct curl_request *rq)
{
	if (rq->authorization != NULL) {
		char	*line = mem_printf("Authorization: %s", rq->authorization);

		header_add(j, line);
		mem_wipe_free(&line);
	}
	header_add(j, rq->body.n > 0 ? "Content-Type: application/json" : "Content-Type:");
	header_add(j, "Expect:");
	if (rq->headers != NULL)
		add_lines(j, rq->headers);
	curl_easy_setopt(j->easy, CURLOPT_HTTPHEADER, j->headers);
	curl_easy_setopt(j->easy, CURLOPT_USERAGENT, rq->user_agent);
}

static void
set_transport(struct curl_job *j, const struct curl_request *rq)
{
	CURL	*e = j->easy;

	curl_easy_setopt(e, CURLOPT_URL, rq->url);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)rq->connect_ms);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)rq->total_ms);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, rq->fresh ? 1L : 0L);
	if (rq->ca_file != NULL)
		curl_easy_setopt(e, CURLOPT_CAINFO, rq->ca_file);
	if (rq->resolve != NULL) {
		j->resolve = curl_slist_append(NULL, rq->resolve);
		curl_easy_setopt(e, CURLOPT_RESOLVE, j->resolve);
	}
}

static void
set_callbacks(struct curl_job *j)
{
	CURL	*e = j->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, j);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, j->error);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, j);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, j);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, about_to_send);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, j);
}

struct curl_job *
curlloop_start(struct curlloop *cl, const struct curl_request *rq,
    void (*fn)(const struct curl_answer *, void *), void *arg)
{
	struct curl_job	*j = mem_alloc(sizeof(*j));

	j->owner = cl;
	j->fn = fn;
	j->arg = arg;
	j->on_data = rq->on_data;
	j->on_sent = rq->on_sent;
	j->easy = curl_easy_init();
	assert(j->easy != NULL);		/* only without memory */
	set_transport(j, rq);
	set_method(j->easy, rq);
	set_headers(j, rq);
	set_callbacks(j);
	TAILQ_INSERT_TAIL(&cl->jobs, j, entry);
	/* arms the timer; nothing happens before it */
	curl_multi_add_handle(cl->multi, j->easy);
	return j;
}

static void
headers_free(struct curl_slist *l)
{
	for (struct curl_slist *h = l; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));	/* one of them is the token */
	curl_slist_free_all(l);
}

static void
job_free(struct curl_job *j)
{
	TAILQ_REMOVE(&j->owner->jobs, j, entry);
	curl_multi_remove_handle(j->owner->multi, j->easy);
	curl_easy_cleanup(j->easy);
	headers_free(j->headers);
	curl_slist_free_all(j->resolve);
	buf_fini(&j->head);
	buf_fini(&j->body);
	free(j);
}

struct span
curlloop_head(struct curl_job *j, unsigned *status_r)
{
	long	 status = 0;

	curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
	*status_r = (unsigned)status;
	return buf_span(&j->head);
}

bool
curlloop_cancel(struct curl_job **jp)
{
	struct curl_job	*j = *jp;
	bool		 sent;

	if (j == NULL)
		return false;
	sent = j->sendings > 0;
	*jp = NULL;
	job_free(j);
	return sent;
}

static const char *
why_failed(const struct curl_job *j, CURLcode code)
{
	if (j->too_big)
		return "the answer is larger than the cap";
	if (j->resent)
		return "the kept connection was closed when the request went out";
	return j->error[0] != '\0' ? j->error : curl_easy_strerror(code);
}

static void
job_done(struct curl_job *j, CURLcode code)
{
	struct curl_answer	 a = { .answered = code == CURLE_OK, .sent = j->sendings > 0 };
	long			 status = 0;

	curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
	a.status = (unsigned)status;
	a.too_big = j->too_big;
	a.timed_out = code == CURLE_OPERATION_TIMEDOUT;
	a.head = buf_span(&j->head);
	a.body = buf_span(&j->body);
	a.why = a.answered ? NULL : why_failed(j, code);
	j->fn(&a, j->arg);
	job_free(j);
}

static void
reap(struct curlloop *cl)
{
	CURLMsg		*m;
	struct curl_job	*j;
	CURLcode	 code;
	int		 left;

	while ((m = curl_multi_info_read(cl->multi, &left)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		code = m->data.result;		/* m is gone after the handle is removed */
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &j);
		job_done(j, code);
	}
}

/* ---- headers ---- */

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
		s.n--;
	return s;
}

bool
curl_header(struct span head, const char *name, struct span *value_r)
{
	size_t	 name_n = strlen(name);
	bool	 found = false;

	while (head.n > 0) {
		const char	*nl = memchr(head.p, '\n', head.n);
		size_t		 n = nl == NULL ? head.n : (size_t)(nl - head.p) + 1;

		if (n > name_n && head.p[name_n] == ':' && strncasecmp(head.p, name, name_n) == 0) {
			*value_r = trim(span_make(head.p + name_n + 1, n - name_n - 1));
			found = true;
		}
		head.p += n;
		head.n -= n;
	}
	return found;
}
