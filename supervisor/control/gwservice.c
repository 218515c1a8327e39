/*
 * gwservice - see gwservice.h.
 */
#include <inttypes.h>
#include <string.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/control/gwservice.h"
#include "supervisor/delivery/queue.h"
#include "supervisor/gateway/presence.h"

#define NO_GATEWAY	"there is no gateway (--no-gateway)"

/*
 * A wish, checked and kept.  NULL, or what is wrong with it; *told_r: Discord knows.  What is so
 * already costs neither a record nor one of the five: handlers may wish with every event.
 */
static const char *
wish(struct sup *sup, struct span body, bool *told_r)
{
	struct buf		 made = { 0 };
	struct gw_status	 st;
	const char		*why;

	if (sup->gw == NULL)
		return NO_GATEWAY;
	gw_status(sup->gw, &st);
	why = presence_make(body, &made);
	if (why == NULL && span_eq(buf_span(&made), st.presence)) {
		*told_r = !st.presence_due;
	} else if (why == NULL) {
		journal_presence(sup->journal, buf_span(&made));
		*told_r = gw_presence(sup->gw, buf_span(&made));
	}
	buf_fini(&made);
	return why;
}

/* ---- handlers ---- */

int
gwservice_call(struct sup *sup, struct child *child, const struct msg_CALL *m)
{
	struct msg_RESULT	 res = { .call = m->call };
	const char		*why = NULL;
	bool			 told = false;

	COUNT(calls);
	if (!span_is(m->verb, "PRESENCE") || sup->gw == NULL)
		res.error = ERR_ESERVICE;
	else if (m->ordinal != 0)
		res.error = ERR_EINVALID;
	else if (m->delivery != 0 && queue_held(child_peer(child), m->delivery) == NULL)
		res.error = ERR_EACKED;
	else if ((why = wish(sup, m->body, &told)) != NULL)
		res.error = ERR_EINVALID;
	else
		res.status = told ? 200 : 202;
	if (res.error != ERR_OK) {
		COUNT(calls_refused);
		res.why = span_of(why != NULL ? why : error_text(res.error));
	}
	(void)child_send(child, MSG_RESULT, &res);
	return 0;
}

/* ---- people ---- */

static void
answer_presence(struct client *cl)
{
	struct gw_status	 st;
	struct json_out		 o;

	gw_status(cl->control->sup->gw, &st);
	json_out_init(&o, client_doc(cl));
	json_obj(&o);
	json_key(&o, "presence");
	if (st.presence.n == 0)
		json_nil(&o);
	else
		json_raw(&o, st.presence);
	json_kv_bool(&o, "told", !st.presence_due);
	json_obj_end(&o);
	client_answer(cl, CTL_EXIT_OK, "");
}

/* As Discord numbers them; what is not said is type 4, whose text is in `state`. */
static const struct {
	const char	*word;
	uint64_t	 type;
} types[] = {
	{ "playing", 0 }, { "listening", 2 }, { "watching", 3 }, { "custom", 4 }, { "competing", 5 },
};
#define TYPE_CUSTOM	4

static void
make_wish(const struct ask *ask, struct buf *out)
{
	struct buf	 text = { 0 };
	struct json_out	 o;
	uint64_t	 type = TYPE_CUSTOM;
	size_t		 first = 1;

	for (size_t i = 0; ask->words_n > 2 && i < sizeof(types) / sizeof(*types); i++)
		if (span_is(ask->words[1], types[i].word)) {
			type = types[i].type;
			first = 2;
		}
	for (size_t i = first; i < ask->words_n; i++) {
		if (i > first)
			buf_add(&text, " ", 1);
		buf_add_span(&text, ask->words[i]);
	}
	json_out_init(&o, out);
	json_obj(&o);
	json_kv_str(&o, "status", ask->words[0]);
	json_key(&o, "activities");
	json_arr(&o);
	if (text.n > 0) {
		json_obj(&o);
		json_kv_u64(&o, "type", type);
		if (type == TYPE_CUSTOM)
			json_kv_cstr(&o, "name", "Custom Status");
		json_kv_str(&o, type == TYPE_CUSTOM ? "state" : "name", buf_span(&text));
		json_obj_end(&o);
	}
	json_arr_end(&o);
	json_obj_end(&o);
	buf_fini(&text);
}

void
cmd_presence(struct client *cl, const struct ask *ask)
{
	struct sup	*sup = cl->control->sup;
	struct buf	 body = { 0 };
	const char	*why = NULL;
	bool		 told;

	if (sup->gw == NULL)
		client_end(cl, CTL_EXIT_FAILED, NO_GATEWAY);
	else if (ask->words_n == 0)
		answer_presence(cl);
	else {
		make_wish(ask, &body);
		if ((why = wish(sup, buf_span(&body), &told)) != NULL)
			client_end(cl, CTL_EXIT_USAGE, why);
		else {
			log_notice("%s sets the presence status=%.*s", cl->tag,
			    (int)ask->words[0].n, ask->words[0].p);
			answer_presence(cl);
		}
		buf_fini(&body);
	}
}

void
cmd_identify(struct client *cl, const struct ask *ask)
{
	struct sup		*sup = cl->control->sup;
	struct gw_status	 st;
	struct pending		*p;
	const char		*why = NULL;

	if (sup->gw == NULL) {
		client_end(cl, CTL_EXIT_FAILED, NO_GATEWAY);
		return;
	}
	gw_status(sup->gw, &st);
	if (ask->words_n == 0) {
		client_end(cl, CTL_EXIT_USAGE, "this ends Discord's session: what is said until the"
		    " new one is live has to be asked for, and one of the day's IDENTIFYs is spent;"
		    " nothing else changes.  'identify --force' does it");
		return;
	}
	if (!span_is(ask->words[0], "--force")) {
		client_end(cl, CTL_EXIT_USAGE, "usage: bulkheadctl identify --force");
		return;
	}
	if (gw_identify_anew(sup->gw, &why) == -1) {
		client_end(cl, CTL_EXIT_FAILED, why);
		return;
	}
	log_notice("%s asked for a new session", cl->tag);
	if (!ask->wait) {
		client_end(cl, CTL_EXIT_OK, "under way");
		return;
	}
	p = pending_new(cl, SPAN("identify"), false);
	p->till_live = true;
}

void
gwservice_identified(struct client *cl)
{
	struct gw_status	 st;

	gw_status(cl->control->sup->gw, &st);
	if (st.identifies_left == UINT64_MAX)
		client_end(cl, CTL_EXIT_OK, "a new session is live");
	else
		client_endf(cl, CTL_EXIT_OK, "a new session is live; %" PRIu64
		    " IDENTIFYs are left today", st.identifies_left);
}
