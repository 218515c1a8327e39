/*
 * model - see model.h.
 */
#include <sys/queue.h>

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/url.h"
#include "worker/chat/arrival.h"
#include "worker/chat/lineage.h"
#include "worker/chat/model.h"

/* Of a local server that says 503; the time for the first byte bounds them too. */
#define LOADING_RETRIES_MAX	60
#define BYTES_PER_TOKEN		4
#define SHRUNK_TOKENS_MIN	2000	/* shorter ones say nothing about a window */

enum stage { CONNECTING, FIRST_BYTE, IDLE, TAIL, LINGER, RETRYING };

struct model_ask {
	TAILQ_ENTRY(model_ask)	 entry;
	struct model		*model;
	struct generation	*gen;
	const struct chat_request *given;
	struct model_ops	 ops;
	void			*arg;
	uint64_t		 number;
	unsigned		 busy;		/* callbacks on the stack */
	bool			 over;		/* free it when the stack is clear */

	unsigned		 attempts, retries;
	bool			 fresh, text_seen;
	struct body_cut		 cut;
	struct mono		 began;
	struct timer		*total, *wait;
	enum stage		 stage;

	/* this attempt */
	struct http_call	*call;
	struct buf		 body;
	struct loop_job		 job;
	struct arrival		 in;		/* its failure is found by us, too */
	char			 id[ARRIVAL_ID_BYTES];
};

struct model {
	struct loop			*loop;
	struct resolve			*resolve;
	struct model_config		 cf;
	char				*base_url, *path, *name, *api_key, *headers;
	char				*user_agent, *ca_file;
	const struct provider		*provider;
	struct body_learned		 learned;
	bool				 thinks;	/* declared, or seen to */
	struct lineage			*lineage;
	uint64_t			 asked_n;
	TAILQ_HEAD(, model_ask)		 asks;
};

static void	 attempt(struct model_ask *);

/* ---- life of an ask ---- */

static void
attempt_fini(struct model_ask *k)
{
	http_cancel(&k->call);
	loop_job_cancel(k->model->loop, &k->job);
	timer_stop(k->wait);
	arrival_fini(&k->in);
	buf_fini(&k->body);
}

static void
ask_free(struct model_ask *k)
{
	attempt_fini(k);
	lineage_dismiss(k->model->lineage, &k->gen);
	timer_free(&k->wait);
	timer_free(&k->total);
	TAILQ_REMOVE(&k->model->asks, k, entry);
	free(k);
}

static void
leave(struct model_ask *k)
{
	if (--k->busy == 0 && k->over)
		ask_free(k);
}

void
model_stop(struct model_ask **kp)
{
	struct model_ask	*k = *kp;

	if (k == NULL)
		return;
	*kp = NULL;
	COUNT(model_stopped);
	k->over = true;
	if (k->busy == 0)		/* else at the end of the callback that we are in */
		ask_free(k);
}

/* ---- the codec's side ---- */

static void
on_text(void *arg, struct span s)
{
	struct model_ask	*k = arg;

	k->text_seen = true;
	if (!k->over && k->ops.text != NULL)
		k->ops.text(k->arg, s);
}

static void
on_retract(void *arg)
{
	struct model_ask	*k = arg;

	if (!k->over && k->ops.retract != NULL)
		k->ops.retract(k->arg);
}

static void
on_reasoning(void *arg, struct span s)
{
	struct model_ask	*k = arg;

	if (!k->over && k->ops.reasoning != NULL)
		k->ops.reasoning(k->arg, s);
}

static const struct codec_ops	 codec_ops = {
	.text = on_text, .retract = on_retract, .reasoning = on_reasoning
};

/* ---- bytes ---- */

/* Inside curl: only taken, looked at in the loop's tail. */
static bool
on_data(void *arg, unsigned status, struct span head, struct span data)
{
	struct model_ask	*k = arg;

	arrival_head(&k->in, status, head);
	if (!arrival_take(&k->in, data))
		return false;
	loop_job_queue(k->model->loop, &k->job);
	return true;
}

static void
set_stage(struct model_ask *k, enum stage stage, uint64_t ms)
{
	k->stage = stage;
	timer_arm_ms(k->wait, ms);
}

static void
on_sent(void *arg)
{
	struct model_ask	*k = arg;

	set_stage(k, FIRST_BYTE, k->model->cf.first_byte_ms);
}

/* Before its first event a local server may send comments for as long as it loads. */
static uint64_t
idle_ms(const struct model_ask *k)
{
	const struct model_config	*cf = &k->model->cf;

	if (k->model->provider->port != 0 && k->in.sse.events_n == 0 &&
	    cf->first_byte_ms > cf->idle_ms)
		return cf->first_byte_ms;
	return cf->idle_ms;
}

static void
rearm(struct model_ask *k, bool progress)
{
	uint64_t	 tail_ms = k->model->cf.idle_ms;

	if (codec_saw_done(k->in.codec)) {
		if (k->stage != LINGER)
			set_stage(k, LINGER, MODEL_LINGER_MS);
	} else if (codec_saw_finish(k->in.codec)) {
		if (k->stage != TAIL)
			set_stage(k, TAIL, tail_ms < MODEL_TAIL_MS ? tail_ms : MODEL_TAIL_MS);
	} else if (progress || k->stage != IDLE)
		set_stage(k, IDLE, idle_ms(k));
}

/* What has come is understood.  True: it is something that ends the attempt. */
static bool
digest(struct model_ask *k)
{
	bool	 progress;

	if (k->in.in.n == 0)
		return false;
	progress = arrival_digest(&k->in);
	if (k->over)
		return false;
	rearm(k, progress);
	return arrival_failed(&k->in);
}

/* ---- the end of an attempt ---- */

/* Calls of tools that were never offered are nothing, too. */
static bool
is_empty(const struct model_ask *k)
{
	return !codec_saw_text(k->in.codec) &&
	    (codec_calls_n(k->in.codec) == 0 || k->given->params.tools == NULL);
}

/* What one answer shows about the next ones. */
static void
learn_thinking(struct model_ask *k, const struct codec_judgement *j)
{
	if (codec_lone_closing(k->in.codec))
		k->model->thinks = true;
	else if (j->complete && codec_saw_text(k->in.codec))
		k->model->thinks = k->model->cf.thinks;
}

static void
fail_if_none(struct model_ask *k, enum failure_class class, const char *message)
{
	if (k->in.failure.class == FAILURE_NONE)
		failure_set(&k->in.failure, class, message);
}

/* An answer that came to its end: what a person should know about it. */
static void
judge_answer(struct model_ask *k, const struct codec_judgement *j)
{
	const struct failure	*f = codec_failure(k->in.codec);

	if (j->verdict == CODEC_FAILED && k->in.failure.class == FAILURE_NONE)
		k->in.failure = *f;
	else if (j->verdict == CODEC_TRUNCATED)
		fail_if_none(k, FAILURE_TRUNCATED, j->note);
	else if (j->verdict == CODEC_TIMEOUT)
		fail_if_none(k, FAILURE_TIMEOUT, j->note);
	else if (codec_finish(k->in.codec) == CODEC_FILTER || codec_refused(k->in.codec))
		fail_if_none(k, FAILURE_FILTERED, "content filter");
	else if (codec_finish(k->in.codec) == CODEC_LENGTH)
		fail_if_none(k, FAILURE_LENGTH, "length limit");
	else if (is_empty(k))
		fail_if_none(k, FAILURE_EMPTY, "no text and no tool call");
}

/* The last bytes, then the verdict. */
static const struct codec_judgement *
judge(struct model_ask *k, enum codec_ending ending)
{
	const struct codec_judgement	*j;

	arrival_end(&k->in, ending == CODEC_AT_EOF);
	j = codec_judge(codec_saw_finish(k->in.codec), arrival_failed(&k->in),
	    codec_saw_done(k->in.codec), ending);
	judge_answer(k, j);
	learn_thinking(k, j);
	return j;
}

static void
wish(const struct model_ask *k, struct failure_wish *w)
{
	memset(w, 0, sizeof(*w));
	if (k->in.shape != ARRIVAL_REFUSAL)
		return;
	w->retry_after_ms = arrival_header(&k->in, "retry-after-ms");
	w->retry_after = arrival_header(&k->in, "retry-after");
	w->should_retry = arrival_header(&k->in, "x-should-retry");
	if (k->in.status != 429)
		return;
	w->rates[0].remaining = arrival_header(&k->in, "x-ratelimit-remaining-requests");
	w->rates[0].reset = arrival_header(&k->in, "x-ratelimit-reset-requests");
	w->rates[1].remaining = arrival_header(&k->in, "x-ratelimit-remaining-tokens");
	w->rates[1].reset = arrival_header(&k->in, "x-ratelimit-reset-tokens");
}

static unsigned
retries_max(const struct model_ask *k)
{
	bool	 loading = k->in.failure.class == FAILURE_OVERLOADED && k->model->provider->local &&
		    mono_ms_between(k->began, clock_mono()) < k->model->cf.first_byte_ms;

	return loading ? LOADING_RETRIES_MAX : FAILURE_RETRIES_MAX;
}

static bool
cut_more(struct model_ask *k)
{
	struct body_cut	*c = &k->cut;

	switch (failure_remedy(k->in.failure.class)) {
	case FAILURE_TRIM:
		if (c->oldest_n == 0)
			return (c->oldest_n = body_oldest_third(k->given)) > 0;
		return false;
	case FAILURE_RENAME:
		return body_learn(&k->model->learned, k->model->provider, &k->in.failure);
	case FAILURE_PLAIN:
		return !c->images && (c->images = body_has_images(k->given));
	case FAILURE_BARE:
		return !c->bare && (c->bare = true);
	case FAILURE_NO:
	case FAILURE_AGAIN:
		break;
	}
	return false;
}

/* Whether another attempt follows, and when. */
static bool
goes_on(struct model_ask *k, uint64_t *wait_ms_r)
{
	struct failure_wish	 w;
	uint64_t		 spent = mono_ms_between(k->began, clock_mono());

	*wait_ms_r = 0;
	if (k->in.failure.class == FAILURE_NONE || k->text_seen || k->over)
		return false;
	if (cut_more(k))
		return true;
	wish(k, &w);
	if (!failure_retry(&k->in.failure, &w, k->retries, retries_max(k), clock_wall_ms(),
	    (uint32_t)clock_random(UINT32_MAX), wait_ms_r))
		return false;
	k->retries++;
	return spent + *wait_ms_r < k->model->cf.total_ms;
}

static bool
seems_shrunk(const struct model_ask *k)
{
	const struct codec_usage	*u = codec_usage(k->in.codec);
	uint64_t			 bytes = 0, tokens;

	for (size_t i = 0; i < k->given->messages_n; i++)
		bytes += k->given->messages[i].text.n;
	tokens = bytes / BYTES_PER_TOKEN;
	/* Ollama drops what its window does not hold, and says nothing. */
	return k->model->provider->local && u->known && u->prompt > 0 && k->cut.oldest_n == 0 &&
	    tokens >= SHRUNK_TOKENS_MIN && u->prompt * 10 < tokens * 6;
}

static void
finish(struct model_ask *k, const struct codec_judgement *j)
{
	struct failure_wish	 w;
	struct model_result	 r = {
		.verdict = j->verdict,
		.complete = j->complete && k->in.failure.class != FAILURE_EMPTY,
		.trimmed = k->cut.oldest_n > 0, .images_dropped = k->cut.images,
		.shrunk = seems_shrunk(k), .spoke = k->text_seen,
		.finish = codec_finish(k->in.codec),
		.failure = k->in.failure, .usage = *codec_usage(k->in.codec),
		.codec = k->in.codec, .id = k->id, .attempts = k->attempts,
	};

	wish(k, &w);
	r.wait_ms = failure_told_ms(&w, clock_wall_ms());
	log_info("ask#%llu %s: model=%s failure=%s status=%u id=%s attempts=%u prompt=%llu "
	    "completion=%llu%s%s%s%s", (unsigned long long)k->number,
	    codec_verdict_name(r.verdict), k->model->name,
	    failure_name(r.failure.class), k->in.status, k->id, k->attempts,
	    (unsigned long long)r.usage.prompt, (unsigned long long)r.usage.completion,
	    j->note == NULL ? "" : " note=", j->note == NULL ? "" : j->note,
	    k->in.failure.message[0] == '\0' ? "" : " said=", k->in.failure.message);
	if (codec_odd_finish(k->in.codec) != NULL)
		log_warnx("ask#%llu has an unknown finish_reason, taken for stop: %s",
		    (unsigned long long)k->number, codec_odd_finish(k->in.codec));
	timer_stop(k->total);
	lineage_dismiss(k->model->lineage, &k->gen);
	count_add(failure_counter(r.failure.class), 1);
	if (!k->over)
		k->ops.done(k->arg, &r);
	k->over = true;
}

/* What is cut off after its head still has an id. */
static void
keep_head(struct model_ask *k)
{
	struct span	 head;
	unsigned	 status;

	if (k->call == NULL)
		return;
	head = http_head(k->call, &status);
	arrival_head(&k->in, status, head);
}

static void
end_attempt(struct model_ask *k, enum codec_ending ending, bool last)
{
	const struct codec_judgement	*j;
	uint64_t			 wait_ms;

	keep_head(k);
	http_cancel(&k->call);
	loop_job_cancel(k->model->loop, &k->job);
	timer_stop(k->wait);
	j = judge(k, ending);
	arrival_id(&k->in, k->id);
	if (last || !goes_on(k, &wait_ms)) {
		finish(k, j);
		return;
	}
	COUNT(model_retries);
	log_info("ask#%llu again in %llu ms: failure=%s status=%u id=%s said=%s",
	    (unsigned long long)k->number, (unsigned long long)wait_ms,
	    failure_name(k->in.failure.class), k->in.status, k->id, k->in.failure.message);
	if (k->ops.again != NULL)
		k->ops.again(k->arg, &k->in.failure, wait_ms);
	if (!k->over)
		set_stage(k, RETRYING, wait_ms);
}

/* ---- what happens ---- */

static void
on_job(void *arg)
{
	struct model_ask	*k = arg;

	k->busy++;
	if (digest(k) && !k->over)
		end_attempt(k, CODEC_AT_CUT, false);
	leave(k);
}

static void
on_answer(const struct curl_answer *a, void *arg)
{
	struct model_ask	*k = arg;

	k->busy++;
	k->call = NULL;
	if (a->status != 0)		/* without a body it is the first we see of it */
		arrival_head(&k->in, a->status, a->head);
	if (k->in.flooded)
		failure_set(&k->in.failure, FAILURE_PROTOCOL, sse_error_text(SSE_ETOTAL));
	(void)digest(k);
	if (!k->over) {
		k->fresh = !a->answered;
		lineage_count(k->model->lineage, a->answered || k->in.flooded, a->why);
		if (!a->answered && k->in.status == 0)
			fail_if_none(k, FAILURE_TRANSPORT, a->why);
		end_attempt(k, a->answered ? CODEC_AT_EOF : CODEC_AT_CUT, false);
	}
	leave(k);
}

static void
on_wait(void *arg)
{
	struct model_ask	*k = arg;

	k->busy++;
	if (k->in.in.n > 0)
		timer_arm_ms(k->wait, 1);	/* it came in this turn; the tail looks at it */
	else if (k->stage == RETRYING)
		attempt(k);
	else if (k->stage == LINGER)
		end_attempt(k, CODEC_AT_EOF, false);
	else {
		k->fresh = true;
		end_attempt(k, CODEC_AT_TIMEOUT, false);
	}
	leave(k);
}

static void
on_total(void *arg)
{
	struct model_ask	*k = arg;

	k->busy++;
	(void)digest(k);
	/* While it waits to ask again, the last failure says more than the time. */
	if (!k->over && k->stage == RETRYING) {
		fail_if_none(k, FAILURE_TIMEOUT, "no time was left to ask");
		finish(k, codec_judge(false, true, false, CODEC_AT_TIMEOUT));
	} else if (!k->over)
		end_attempt(k, CODEC_AT_TIMEOUT, true);
	leave(k);
}

/* ---- asking ---- */

static void
send_request(struct model_ask *k)
{
	struct model		*m = k->model;
	bool			 keyed = m->api_key != NULL;
	bool			 apikey = keyed && m->provider->auth == PROVIDER_APIKEY;
	char			*bearer = NULL, *headers;
	struct http_request	 rq = {
		.method = "POST", .path = m->path, .fresh = k->fresh, .on_data = on_data,
		.on_sent = on_sent,
	};
	struct chat_request	 named = *k->given;
	enum error		 e;

	COUNT(model_requests);
	named.model = m->name;
	body_build(&named, m->provider, &m->learned, &k->cut, &k->body);
	rq.body = buf_span(&k->body);
	headers = mem_printf("Accept: text/event-stream\n%s%s%s%s",
	    m->headers == NULL ? "" : m->headers, apikey ? "api-key: " : "",
	    apikey ? m->api_key : "", apikey ? "\n" : "");
	if (keyed && !apikey)
		bearer = mem_printf("Bearer %s", m->api_key);
	rq.headers = headers;
	rq.authorization = bearer;
	e = generation_start(k->gen, &rq, on_answer, k, &k->call);
	mem_wipe_free(&bearer);
	mem_wipe_free(&headers);
	if (e != ERR_OK) {
		failure_set(&k->in.failure, FAILURE_SESSION, error_text(e));
		end_attempt(k, CODEC_AT_CUT, true);
	}
}

/* k is admitted, perhaps to a session that has been replaced meanwhile. */
static void
attempt(struct model_ask *k)
{
	struct model	*m = k->model;

	attempt_fini(k);
	arrival_init(&k->in, &codec_ops, k, m->api_key);
	if (m->thinks)
		codec_expect_thoughts(k->in.codec);
	k->stage = CONNECTING;
	k->attempts++;
	if (lineage_admit(m->lineage, &k->gen) == ERR_OK) {
		send_request(k);
		return;
	}
	failure_set(&k->in.failure, FAILURE_SESSION, "the session takes nothing");
	end_attempt(k, CODEC_AT_CUT, true);
}

/* The first one leaves in the next turn, so that no callback comes from inside. */
enum error
model_start(struct model *m, const struct chat_request *rq, const struct model_ops *ops, void *arg,
    struct model_ask **ask_r)
{
	struct model_ask	*k = mem_alloc(sizeof(*k));
	enum error		 e;

	k->model = m;
	if ((e = lineage_admit(m->lineage, &k->gen)) != ERR_OK) {
		free(k);
		return e;
	}
	k->given = rq;
	k->ops = *ops;
	k->arg = arg;
	k->number = ++m->asked_n;
	k->began = clock_mono();
	k->job.fn = on_job;
	k->job.arg = k;
	k->total = timer_new(m->loop, on_total, k);
	k->wait = timer_new(m->loop, on_wait, k);
	arrival_init(&k->in, &codec_ops, k, m->api_key);
	TAILQ_INSERT_TAIL(&m->asks, k, entry);
	timer_arm_ms(k->total, m->cf.total_ms);
	set_stage(k, RETRYING, 0);
	*ask_r = k;
	return ERR_OK;
}

/* ---- life of a model ---- */

static void
copy_url(struct model *m, const struct model_config *cf)
{
	size_t	 n = strlen(cf->base_url);

	while (n > 0 && cf->base_url[n - 1] == '/')
		n--;
	m->base_url = mem_spandup(span_make(cf->base_url, n));
	m->path = cf->query == NULL || cf->query[0] == '\0' ? mem_strdup("/chat/completions") :
	    mem_printf("/chat/completions?%s", cf->query);
}

static void
set_defaults(struct model *m)
{
	struct model_config	*cf = &m->cf;

	if (cf->connect_ms == 0)
		cf->connect_ms = MODEL_CONNECT_MS;
	if (cf->first_byte_ms == 0)
		cf->first_byte_ms = m->provider->local ? MODEL_FIRST_BYTE_LOCAL_MS :
		    MODEL_FIRST_BYTE_MS;
	if (cf->idle_ms == 0)
		cf->idle_ms = MODEL_IDLE_MS;
	if (cf->total_ms == 0)
		cf->total_ms = MODEL_TOTAL_MS;
	if (cf->failures_max == 0)
		cf->failures_max = MODEL_FAILURES_MAX;
}

static const char *
configure(struct model *m, const struct model_config *cf)
{
	struct http_config	 http;
	struct url		 u;
	const char		*why;

	if (cf->base_url == NULL || url_parse(cf->base_url, URL_HTTP, &u) != NULL)
		return "base_url is no usable URL of http or https";
	if (strpbrk(cf->base_url, "?#") != NULL)
		return "base_url has a query; it belongs into the option query";
	if (cf->name == NULL || cf->name[0] == '\0')
		return "the model has no name";
	m->provider = cf->provider == NULL ? provider_of(cf->base_url) :
	    provider_named(cf->provider);
	if (m->provider == NULL)
		return "there is no such provider";
	m->cf = *cf;
	m->thinks = cf->thinks;
	copy_url(m, cf);
	m->name = mem_strdup(cf->name);
	m->api_key = cf->api_key == NULL || cf->api_key[0] == '\0' ? NULL : mem_strdup(cf->api_key);
	m->headers = mem_strdup(cf->headers);
	m->user_agent = mem_strdup(cf->user_agent);
	m->ca_file = mem_strdup(cf->ca_file);
	set_defaults(m);
	http = (struct http_config){
		.base_url = m->base_url, .user_agent = m->user_agent, .ca_file = m->ca_file,
		.connect_ms = m->cf.connect_ms, .connections = MODEL_CONNECTIONS,
		.on_state = m->cf.on_state, .arg = m->cf.arg,
	};
	m->lineage = lineage_new(m->loop, m->resolve, &http, m->name, m->cf.failures_max, &why);
	return why;
}

struct model *
model_new(struct loop *loop, struct resolve *resolve, const struct model_config *cf,
    const char **why_r)
{
	struct model	*m = mem_alloc(sizeof(*m));

	m->loop = loop;
	m->resolve = resolve;
	TAILQ_INIT(&m->asks);
	*why_r = configure(m, cf);
	if (*why_r != NULL)
		model_free(&m);
	return m;
}

void
model_free(struct model **mp)
{
	struct model		*m = *mp;
	struct model_ask	*k;

	if (m == NULL)
		return;
	while ((k = TAILQ_FIRST(&m->asks)) != NULL)
		ask_free(k);
	lineage_free(&m->lineage);
	free(m->base_url);
	free(m->path);
	free(m->name);
	mem_wipe_free(&m->api_key);
	mem_wipe_free(&m->headers);
	free(m->user_agent);
	free(m->ca_file);
	free(m);
	*mp = NULL;
}

const struct provider *
model_provider(const struct model *m)
{
	return m->provider;
}

const char *
model_name(const struct model *m)
{
	return m->name;
}
