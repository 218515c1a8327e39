/*
 * health - see health.h.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/count.h"
#include "common/log.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/dead.h"
#include "supervisor/control/health.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/reasons.h"
#include "supervisor/reload.h"

#define DEAF_MS		60000	/* without a live gateway for so long: down */

static void __attribute__((format(printf, 2, 3)))
because(struct health *h, const char *fmt, ...)
{
	va_list	 ap;

	if (h->whys_n == WHYS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(h->whys[h->whys_n++], sizeof(h->whys[0]), fmt, ap);
	va_end(ap);
}

static void
judge_worker(void *arg, const struct worker_view *v)
{
	struct health	*h = arg;
	char		 text[24];

	if (strcasecmp(v->state, "ready") == 0)
		return;
	if (strcmp(v->state, "drained") == 0) {
		because(h, because_WORKER_DRAINED, v->name,
		    clock_human_ms(v->state_ms, text, sizeof(text)), v->name);
		return;
	}
	because(h, because_WORKER, v->name, v->state,
	    clock_human_ms(v->state_ms, text, sizeof(text)),
	    v->last == NULL ? "" : ": ", v->last == NULL ? "" : v->last->text);
}

static void
judge_pool(void *arg, const struct pool_view *v)
{
	struct health	*h = arg;
	char		 text[24];

	if (v->running != v->configured)
		because(h, because_POOL_SCALED, v->name, (unsigned long long)v->configured,
		    (unsigned long long)v->running);
	if (v->lost != NULL)
		because(h, because_ROLLED_BACK, v->lost,
		    clock_human_ms(clock_since_ms(v->lost_wall_ms, clock_wall_ms()), text, sizeof(text)),
		    v->lost_text);
}

static void
judge_gateway(struct health *h)
{
	struct gw_status	 g;
	uint64_t		 silent_ms;
	char			 text[24], gap[160];

	gw_status(h->sup->gw, &g);
	if (fetchgap_why(h->sup->fetchgap, gap, sizeof(gap)))
		because(h, "%s", gap);
	if (g.live) {
		if (gw_identity(h->sup->gw)->intents != h->sup->cfg->intents_bits)
			because(h, because_INTENTS);
		return;
	}
	/* The last sign of a live session: state_ms begins anew with each attempt. */
	silent_ms = g.ack_age_ms == UINT64_MAX ? mono_ms_between(h->sup->started, clock_mono()) : g.ack_age_ms;
	h->down = h->down || silent_ms >= DEAF_MS;
	because(h, because_GATEWAY, g.state,
	    clock_human_ms(silent_ms, text, sizeof(text)), g.last_close[0] == '\0' ? "" : ": ",
	    g.last_close);
}

static void
judge_queues(struct health *h)
{
	const struct cfg	*cfg = h->sup->cfg;
	struct queue_usage	 u;
	struct qpool		*p;

	for (size_t i = 0; i < cfg->pools_n; i++) {
		if ((p = queue_pool(h->sup->queue, cfg->pools[i].name)) == NULL)
			continue;
		queue_pool_usage(p, &u);
		if (u.full)
			because(h, because_POOL_FULL, cfg->pools[i].name,
			    (unsigned long long)u.waiting, (unsigned long long)u.waiting_bytes);
	}
}

void
health_judge(struct sup *sup, struct health *h)
{
	struct journal_usage	 u;
	uint64_t		 aside;
	char			 text[24];

	memset(h, 0, sizeof(*h));
	h->sup = sup;
	if (sup->phase == SUP_STOPPING)
		because(h, because_STOPPING, sup->why_stopping);
	if (reload_refused(sup->reload) != NULL)
		because(h, because_CONFIG_REFUSED, reload_refused(sup->reload));
	if (sup->gw != NULL)
		judge_gateway(h);
	if (sup->cfg->token != NULL && sup->calls != NULL && calls_active(sup->calls) == NULL) {
		h->down = true;
		because(h, because_NO_REST);
	}
	journal_usage(sup->journal, &u);
	if (sup->opened.damaged)
		because(h, because_JOURNAL_DAMAGED, sup->opened.text);
	if (!u.tmpfs)
		because(h, because_NOT_TMPFS);
	/* Of the journal, and what the gateway held for it when its session ended. */
	if (count_get(COUNT_events_dropped) > 0)
		because(h, because_DROPPED,
		    (unsigned long long)count_get(COUNT_events_dropped));
	if ((aside = journal_count(sup->journal, DLV_ASIDE)) > 0)
		because(h, because_ASIDE, (unsigned long long)aside,
		    aside == 1 ? "delivery is" : "deliveries are",
		    clock_human_ms(clock_since_ms(dead_oldest_ms(sup), clock_wall_ms()), text, sizeof(text)));
	if (sup->queue != NULL)
		judge_queues(h);
	if (log_dropped() > 0)
		because(h, because_LOG_DROPPED, (unsigned long long)log_dropped());
	if (sup->pools != NULL) {
		pools_each(sup->pools, NULL, judge_worker, h);
		pools_each_pool(sup->pools, judge_pool, h);
	}
}

const char *
health_name(const struct health *h)
{
	return h->down ? "down" : h->whys_n > 0 ? "degraded" : "ok";
}
