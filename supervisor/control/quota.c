/*
 * quota - see quota.h.
 */
#include <string.h>

#include "common/json.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/quota.h"

#define BUCKETS_MS	5000	/* for an answer from memory that is long; above it a loop is busy */

/* Unknown and never are null. */
static void
kv_or_null(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	if (v == UINT64_MAX)
		json_nil(o);
	else
		json_u64(o, v);
}

static void
put_shard(struct gateway *gw, struct json_out *o)
{
	const struct gw_identity	*id = gw_identity(gw);
	struct gw_status		 g;

	gw_status(gw, &g);
	json_obj(o);
	json_kv_u64(o, "shard", id->shard);
	json_kv_u64(o, "shards", id->shards);
	json_kv_cstr(o, "state", g.state);
	json_kv_bool(o, "live", g.live);
	json_kv_u64(o, "state_ms", g.state_ms);
	json_kv_u64(o, "seq", g.seq);
	kv_or_null(o, "latency_us", g.latency_us == 0 ? UINT64_MAX : g.latency_us);
	kv_or_null(o, "ack_age_ms", g.ack_age_ms);
	kv_or_null(o, "dispatch_age_ms", g.dispatch_age_ms);
	json_kv_u64(o, "connects", g.connects);
	json_kv_u64(o, "resumes", g.resumes);
	json_kv_u64(o, "identifies", g.identifies);
	json_kv_u64(o, "zombies", g.zombies);
	json_kv_u64(o, "deafs", g.deafs);
	json_kv_u64(o, "retry_in_ms", g.retry_in_ms);
	json_kv_cstr(o, "last_close", g.last_close);
	json_obj_end(o);
}

void
quota_shards(struct sup *sup, struct buf *out)
{
	struct gw_status	 g;
	struct json_out		 o;

	json_out_init(&o, out);
	json_obj(&o);
	json_key(&o, "shards");
	json_arr(&o);
	if (sup->gw != NULL)
		put_shard(sup->gw, &o);
	json_arr_end(&o);
	json_key(&o, "identify");
	if (sup->gw == NULL) {
		json_nil(&o);
	} else {
		gw_status(sup->gw, &g);
		json_obj(&o);
		kv_or_null(&o, "left", g.identifies_left);
		json_kv_u64(&o, "next_in_ms", g.identify_in_ms);
		json_obj_end(&o);
	}
	json_obj_end(&o);
}

static void
on_limits(void *arg, const struct msg_RESULT *res)
{
	struct client	*cl = pending_free(arg);

	if (cl == NULL)
		return;
	if (res->error != ERR_OK || res->body.n == 0) {
		client_endf(cl, CTL_EXIT_FAILED, "no rest worker says what it knows of the limits: %s",
		    error_text((enum error)res->error));
		return;
	}
	buf_add_span(client_doc(cl), res->body);
	client_answer(cl, CTL_EXIT_OK, "");
}

void
quota_buckets(struct client *cl, const struct ask *ask)
{
	struct sup	*sup = cl->control->sup;

	(void)ask;
	if (sup->cfg->token == NULL || sup->calls == NULL || calls_service(sup->calls) == NULL)
		client_end(cl, CTL_EXIT_FAILED, sup->cfg->token == NULL ?
		    "without a token there is no rest worker, and no limit" :
		    "no rest worker is ready");
	else
		calls_limits(sup->calls, BUCKETS_MS, on_limits,
		    pending_new(cl, SPAN("show buckets"), true));
}
