/*
 * life - see life.h.
 */
#include <stdio.h>

#include "common/json.h"
#include "proto/contract.h"
#include "supervisor/control/life.h"
#include "supervisor/reload.h"
#include "supervisor/upgrade.h"

/* The client does not wait: what it asked for has no one to tell. */
static void
let_go(struct client *cl, struct pending *p, const struct ask *ask)
{
	if (ask->wait)
		return;
	p->client = NULL;
	cl->pending = NULL;
}

/* ---- reload ---- */

static void
on_reloaded(void *arg, enum reload_result result, const char *why, struct span doc)
{
	struct client	*cl = pending_free(arg);

	if (cl == NULL)
		return;
	buf_add_span(client_doc(cl), doc);
	client_answer(cl, result == RELOAD_SAME || result == RELOAD_DONE ? CTL_EXIT_OK :
	    CTL_EXIT_FAILED, why);
}

void
cmd_reload(struct client *cl, const struct ask *ask)
{
	struct pending	*p = pending_new(cl, SPAN("reload"), false);
	const char	*why;

	let_go(cl, p, ask);
	if (reload_begin(cl->control->sup->reload, cl->tag, on_reloaded, p, &why) == -1) {
		(void)pending_free(p);
		client_end(cl, CTL_EXIT_FAILED, why);
	} else if (!ask->wait)
		client_end(cl, CTL_EXIT_OK, "under way");
}

/* ---- upgrade ---- */

/*
 * This process is not there to tell the end.  The client is told what to look for in the status of
 * the next one: a higher number.
 */
static void
on_checked(void *arg, const char *why)
{
	struct pending	*p = arg;
	struct client	*cl = pending_free(p);
	struct json_out	 o;

	if (cl == NULL)
		return;
	if (why != NULL) {
		client_end(cl, CTL_EXIT_FAILED, why);
		return;
	}
	json_out_init(&o, client_doc(cl));
	json_obj(&o);
	json_kv_u64(&o, "number", upgrade_number(cl->control->sup->upgrade));
	json_obj_end(&o);
	client_answer(cl, CTL_EXIT_OK, "under way");
}

void
cmd_upgrade(struct client *cl, const struct ask *ask)
{
	struct pending	*p = pending_new(cl, SPAN("upgrade"), false);
	const char	*why;

	let_go(cl, p, ask);
	if (upgrade_begin(cl->control->sup->upgrade, ask->words_n > 0 ? ask->words[0] : SPAN_NONE,
	    cl->tag, on_checked, p, &why) == -1) {
		(void)pending_free(p);
		client_end(cl, CTL_EXIT_FAILED, why);
	} else if (!ask->wait)
		client_end(cl, CTL_EXIT_OK, "under way");
}

/* ---- stop ---- */

void
cmd_stop(struct client *cl, const struct ask *ask)
{
	char	 why[96];

	if (ask->words_n > 0 && !span_is(ask->words[0], "--final")) {
		client_end(cl, CTL_EXIT_USAGE, "usage: bulkheadctl stop [--final]");
		return;
	}
	cl->stays = ask->wait;
	if (cl->stays)
		timer_stop(cl->idle);
	else
		client_end(cl, CTL_EXIT_OK, "stopping");
	snprintf(why, sizeof(why), "bulkheadctl stop (%s)", cl->tag);
	sup_stop(cl->control->sup, why, ask->words_n > 0);
}
