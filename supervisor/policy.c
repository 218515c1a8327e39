/*
 * policy - see policy.h.
 */
#include <inttypes.h>
#include <string.h>

#include "common/tables.h"
#include "supervisor/policy.h"
#include "supervisor/pool/lacks.h"

static bool
takes(const struct cfg_pool *p, const struct event_row *ev)
{
	return cfg_pool_wants(p, ev->name) || cfg_pool_states(p, ev->name);
}

static void
put_seconds(struct buf *out, uint64_t ms)
{
	if (ms % 1000 == 0)
		buf_printf(out, "%" PRIu64 " s", ms / 1000);
	else
		buf_printf(out, "%g s", (double)ms / 1000);
}

static void
put_pool(const struct cfg_pool *p, struct buf *out)
{
	const struct event_row	*events;
	size_t			 n, i, shown = 0;

	events = table_events(&n);
	buf_printf(out, "pool %s: %s, %" PRIu64 " worker%s, %" PRIu64 " deliveries open in each;", p->name,
	    p->handler, p->workers, p->workers == 1 ? "" : "s", cfg_pool_credit(p));
	for (i = 0; i < n; i++) {
		if (!takes(p, &events[i]))
			continue;
		buf_printf(out, "%s %s%s", shown++ == 0 ? " gets" : ",", events[i].name,
		    cfg_pool_wants(p, events[i].name) ? "" : " (as news)");
	}
	buf_printf(out, shown == 0 ? " gets no events\n" : "%s\n",
	    p->events.set ? "" : " (of its role)");
}

/* Why auto asks for it: the pools that get an event of it. */
static bool
put_needed_by(const struct cfg *cfg, const struct intent_row *intent, struct buf *out)
{
	const struct event_row	*events;
	size_t			 n, i, j, shown = 0;

	events = table_events(&n);
	for (i = 0; i < cfg->pools_n; i++)
		for (j = 0; j < n; j++)
			if ((events[j].intents & intent->bits) != 0 && takes(&cfg->pools[i], &events[j])) {
				buf_printf(out, "%s pool %s (%s)", shown++ == 0 ? " for" : ",",
				    cfg->pools[i].name, events[j].name);
				break;
			}
	return shown > 0;
}

/* An event that carries what was written. */
static const struct cfg_pool *
reader_of(const struct cfg *cfg)
{
	for (size_t i = 0; i < cfg->pools_n; i++)
		if (cfg_pool_wants(&cfg->pools[i], "MESSAGE_CREATE") ||
		    cfg_pool_wants(&cfg->pools[i], "MESSAGE_UPDATE"))
			return &cfg->pools[i];
	return NULL;
}

static size_t
put_intents(const struct cfg *cfg, struct buf *out)
{
	const struct intent_row	*intents;
	size_t			 n, i, unneeded = 0;
	bool			 content, needed;

	intents = table_intents(&n);
	for (i = 0; i < n; i++) {
		if ((cfg->intents_bits & intents[i].bits) == 0)
			continue;
		content = strcmp(intents[i].name, "MESSAGE_CONTENT") == 0;
		buf_printf(out, "intent %s:%s", intents[i].name,
		    cfg->intents.set ? " written in intents," : "");
		needed = content && reader_of(cfg) != NULL;
		if (needed)
			buf_printf(out, " for what is written to pool %s", reader_of(cfg)->name);
		else
			needed = put_needed_by(cfg, &intents[i], out);
		buf_printf(out, "%s%s\n", needed ? "" : " for no pool",
		    intents[i].privileged ? "; to be switched on in the developer portal" : "");
		unneeded += !needed;
	}
	return unneeded;
}

/* What is written in intents and needed by nobody, and the other way round. */
static size_t
warn_of_intents(const struct cfg *cfg, struct buf *out)
{
	const struct intent_row	*intents;
	const struct event_row	*events;
	size_t			 intents_n, events_n, warned = 0;
	struct buf		 nowhere = { 0 };

	intents = table_intents(&intents_n);
	events = table_events(&events_n);
	for (size_t i = 0; i < intents_n; i++) {
		if ((cfg->intents_bits & intents[i].bits) == 0 ||
		    strcmp(intents[i].name, "MESSAGE_CONTENT") == 0)
			continue;
		if (!put_needed_by(cfg, &intents[i], &nowhere)) {
			buf_printf(out, "warning: intent %s is asked for, but no pool gets an event of"
			    " it\n", intents[i].name);
			warned++;
		}
	}
	buf_fini(&nowhere);
	for (size_t i = 0; i < cfg->pools_n; i++)
		for (size_t j = 0; j < events_n; j++)
			if (takes(&cfg->pools[i], &events[j]) && events[j].intents != 0 &&
			    (events[j].intents & cfg->intents_bits) == 0) {
				buf_printf(out, "warning: pool %s wants %s, but intents name none that"
				    " brings it: it will never come\n", cfg->pools[i].name,
				    events[j].name);
				warned++;
			}
	return warned;
}

static size_t
warn_of_content(const struct cfg *cfg, struct buf *out)
{
	const struct intent_row	*intents;
	size_t			 n, i;

	intents = table_intents(&n);
	for (i = 0; i < n && strcmp(intents[i].name, "MESSAGE_CONTENT") != 0; i++)
		;
	if (i == n || reader_of(cfg) == NULL || (cfg->intents_bits & intents[i].bits) != 0)
		return 0;
	buf_printf(out, "warning: without MESSAGE_CONTENT pool %s sees what is written in direct messages"
	    " and where the bot is mentioned, nowhere else\n", reader_of(cfg)->name);
	return 1;
}

size_t
policy_put(const struct cfg *cfg, bool stays_root, struct buf *out)
{
	size_t	 warned;

	buf_printf(out, "pool rest: made by the supervisor, 2 workers, at most %" PRIu64
	    " requests a second to %s\n", cfg->rest_per_second, cfg->api_url);
	for (size_t i = 0; i < cfg->pools_n; i++)
		put_pool(&cfg->pools[i], out);
	for (size_t i = 0; i < cfg->models_n; i++)
		buf_printf(out, "model %s: %s at %s%s\n", cfg->models[i].title, cfg->models[i].name,
		    cfg->models[i].base_url,
		    &cfg->models[i] == cfg_chat_model(cfg) ? ", answers" : "");
	(void)put_intents(cfg, out);
	buf_printf(out, "journal: %" PRIu64 " KiB in %s\n", cfg->journal_bytes >> 10, cfg->runtime_dir);
	if (cfg->web != NULL)
		buf_printf(out, "web: status, /metrics, /healthz and /readyz on %s\n", cfg->web);
	buf_printf(out, "a stop takes at most ");
	put_seconds(out, cfg->drain_ms + cfg->last_word_ms + cfg->rest_grace_ms + 2000);
	buf_printf(out, "; a worker without progress is killed after ");
	put_seconds(out, cfg->hang_ms);
	buf_printf(out, "; %" PRIu64 " deaths set a delivery aside\n", cfg->poison);
	warned = warn_of_intents(cfg, out);
	warned += warn_of_content(cfg, out);
	if (stays_root) {
		buf_printf(out, "warning: started as root it stays root: the options user, rest_user and"
		    " handler_user give each part a user of its own\n");
		warned++;
	}
	return warned;
}

size_t
policy_put_lacks(const struct cfg *cfg, uint64_t landlock, struct buf *out)
{
	struct lacks_of	 of = {
		.landlock = landlock, .own_user = cfg->handler_user != NULL,
		/* Whether a group is delegated is seen when it runs. */
		.counted = cfg->handler_user != NULL || strcmp(cfg->cgroup, "none") != 0,
	};
	const char	*words[LACKS_MAX];
	size_t		 n = lacks(&of, words), warned = 0;

	for (size_t i = 0; i < cfg->pools_n; i++) {
		if (strncmp(cfg->pools[i].handler, "exec:", 5) != 0)
			continue;
		for (size_t k = 0; k < n; k++, warned++)
			buf_printf(out, "warning: pool %s, here: %s\n", cfg->pools[i].name, words[k]);
	}
	return warned;
}
