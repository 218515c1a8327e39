/*
 * lineage - see lineage.h.
 */
#include <sys/queue.h>

#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/chat/lineage.h"

/* Freed when it has admitted none and is not current. */
struct generation {
	TAILQ_ENTRY(generation)	 entry;
	struct http		*http;
	struct http_ref		 ref;
	size_t			 admitted_n;
};

TAILQ_HEAD(generations, generation);

struct lineage {
	struct loop		*loop;
	struct resolve		*resolve;
	struct http_config	 cf;
	const char		*name;
	unsigned		 failures_n, failures_max;
	struct generation	*current;	/* NULL only while it is made */
	struct generations	 generations;
	struct loop_job		 sweep;		/* replaces and frees sessions */
	bool			 renew;
};

static const char *
generation_new(struct lineage *l)
{
	struct generation	*g = mem_alloc(sizeof(*g));
	const char		*why;

	g->http = http_new(l->loop, l->resolve, &l->cf, &why);
	if (g->http == NULL) {
		free(g);
		return why;
	}
	g->ref = http_open(g->http);
	TAILQ_INSERT_TAIL(&l->generations, g, entry);
	l->current = g;
	return NULL;
}

static void
generation_free(struct lineage *l, struct generation *g)
{
	TAILQ_REMOVE(&l->generations, g, entry);
	http_free(&g->http);
	free(g);
}

/* Not where it was found necessary: that may be inside a callback of the session. */
static void
sweep(void *arg)
{
	struct lineage		*l = arg;
	struct generation	*g, *next, *old = l->current;
	const char		*why;

	if (l->renew) {
		if ((why = generation_new(l)) != NULL)
			log_warnx("model %s keeps its session: %s", l->name, why);
		else
			http_drain(old->http, "too many transport failures in a row");
	}
	l->renew = false;
	for (g = TAILQ_FIRST(&l->generations); g != NULL; g = next) {
		next = TAILQ_NEXT(g, entry);
		if (g != l->current && g->admitted_n == 0)
			generation_free(l, g);
	}
}

enum error
lineage_admit(struct lineage *l, struct generation **gp)
{
	enum error	 e = ERR_OK;

	if (*gp == l->current)
		return ERR_OK;
	lineage_dismiss(l, gp);
	e = http_admit(l->current->http, l->current->ref);
	if (e == ERR_OK) {
		*gp = l->current;
		(*gp)->admitted_n++;
	}
	return e;
}

void
lineage_dismiss(struct lineage *l, struct generation **gp)
{
	struct generation	*g = *gp;

	if (g == NULL)
		return;
	*gp = NULL;
	g->admitted_n--;
	http_dismiss(g->http, g->ref);
	if (g != l->current)
		loop_job_queue(l->loop, &l->sweep);
}

enum error
generation_start(struct generation *g, const struct http_request *rq,
    void (*fn)(const struct curl_answer *, void *), void *arg, struct http_call **call_r)
{
	return http_start(g->http, g->ref, rq, fn, arg, call_r);
}

void
lineage_count(struct lineage *l, bool ok, const char *why)
{
	if (ok) {
		l->failures_n = 0;
		return;
	}
	if (++l->failures_n < l->failures_max)
		return;
	log_notice("model %s: %u transport failures in a row, the last one: %s", l->name,
	    l->failures_n, why);
	l->failures_n = 0;
	l->renew = true;
	loop_job_queue(l->loop, &l->sweep);
}

struct lineage *
lineage_new(struct loop *loop, struct resolve *resolve, const struct http_config *cf,
    const char *name, unsigned failures_max, const char **why_r)
{
	struct lineage	*l = mem_alloc(sizeof(*l));

	l->loop = loop;
	l->resolve = resolve;
	l->cf = *cf;
	l->name = name;
	l->failures_max = failures_max;
	l->sweep.fn = sweep;
	l->sweep.arg = l;
	TAILQ_INIT(&l->generations);
	*why_r = generation_new(l);
	if (*why_r != NULL)
		lineage_free(&l);
	return l;
}

void
lineage_free(struct lineage **lp)
{
	struct lineage		*l = *lp;
	struct generation	*g;

	if (l == NULL)
		return;
	loop_job_cancel(l->loop, &l->sweep);
	while ((g = TAILQ_FIRST(&l->generations)) != NULL)
		generation_free(l, g);
	free(l);
	*lp = NULL;
}
