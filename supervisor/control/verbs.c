/*
 * verbs - what bulkheadctl may ask: a row of ctlcmds.def is cmd_NAME here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/log.h"
#include "common/request.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/client.h"
#include "supervisor/control/dead.h"
#include "supervisor/control/gwservice.h"
#include "supervisor/control/life.h"
#include "supervisor/control/monitor.h"
#include "supervisor/control/poolcalls.h"
#include "supervisor/control/quota.h"
#include "supervisor/control/status.h"

enum privilege { READ, CHANGE };

static void
cmd_status(struct client *cl, const struct ask *ask)
{
	(void)ask;
	status_json(cl->control->sup, client_doc(cl));
	client_answer(cl, CTL_EXIT_OK, "");
}

#define NAMES_BYTES	300	/* of names in one sentence */

static void
worker_add(void *arg, const struct worker_view *v)
{
	struct buf	*b = arg;

	if (b->n < NAMES_BYTES)
		buf_printf(b, " %s", v->name);
}

static void
pool_add(void *arg, const struct pool_view *v)
{
	struct buf	*b = arg;

	if (b->n < NAMES_BYTES)
		buf_printf(b, " %s", v->name);
}

enum { NAMES_POOLS = 1, NAMES_WORKERS = 2, NAMES_ALL = NAMES_POOLS | NAMES_WORKERS };

/* Nobody is called so; which names are there is said with it. */
static void
end_no_name(struct client *cl, struct span name, unsigned which, const char *what)
{
	struct pools	*pools = cl->control->sup->pools;
	struct buf	 names = { 0 };

	if (pools != NULL && (which & NAMES_POOLS) != 0)
		pools_each_pool(pools, pool_add, &names);
	if (pools != NULL && (which & NAMES_WORKERS) != 0)
		pools_each(pools, NULL, worker_add, &names);
	client_endf(cl, CTL_EXIT_NOTFOUND, "no %s is named '%.*s'; there %s%.*s", what,
	    (int)(name.n > 64 ? 64 : name.n), name.p, names.n == 0 ? "are none yet" : "are:",
	    (int)names.n, buf_span(&names).p == NULL ? "" : buf_span(&names).p);
	buf_fini(&names);
}

static void
show_worker(struct client *cl, const struct ask *ask)
{
	char	 name[64];

	if (ask->words_n < 2) {
		client_end(cl, CTL_EXIT_USAGE, "usage: bulkheadctl show worker NAME");
		return;
	}
	span_copy(ask->words[1], name, sizeof(name));
	if (status_worker(cl->control->sup, name, client_doc(cl)))
		client_answer(cl, CTL_EXIT_OK, "");
	else
		end_no_name(cl, ask->words[1], NAMES_WORKERS, "worker");
}

static void
show_config(struct sup *sup, struct buf *out)
{
	cfg_json(sup->cfg, sup->conf, out);
}

static void
cmd_show(struct client *cl, const struct ask *ask)
{
	static const struct {
		const char	*name;
		void		(*put)(struct sup *, struct buf *);	/* the whole answer, or */
		void		(*run)(struct client *, const struct ask *);
	} topics[] = {
		{ "shards", quota_shards, NULL },
		{ "pools", status_pools, NULL },
		{ "workers", status_workers, NULL },
		{ "worker", NULL, show_worker },		/* takes a name */
		{ "deliveries", status_deliveries, NULL },
		{ "dead", dead_list, NULL },
		{ "sessions", status_sessions, NULL },
		{ "buckets", NULL, quota_buckets },		/* the rest worker knows */
		{ "counters", status_counters, NULL },
		{ "gaps", status_gaps, NULL },
		{ "config", show_config, NULL },
	};
	const char	*names[sizeof(topics) / sizeof(*topics)];
	const size_t	 n = sizeof(topics) / sizeof(*topics);
	struct span	 topic = ask->words[0];
	const char	*near;
	size_t		 i;

	for (i = 0; i < n && !span_is(topic, topics[i].name); i++)
		names[i] = topics[i].name;
	if (i == n) {
		near = span_nearest(topic, names, n);
		client_endf(cl, CTL_EXIT_USAGE, "nothing is called '%.*s'; %s%s%s",
		    (int)(topic.n > 64 ? 64 : topic.n), topic.p,
		    near == NULL ? "" : "did you mean '",
		    near == NULL ? "see 'bulkheadctl help show'" : near, near == NULL ? "" : "'?");
	} else if (ask->words_n > 1 && topics[i].run != show_worker) {
		client_endf(cl, CTL_EXIT_USAGE, "usage: bulkheadctl show %s", topics[i].name);
	} else if (topics[i].run != NULL) {
		topics[i].run(cl, ask);
	} else {
		topics[i].put(cl->control->sup, client_doc(cl));
		client_answer(cl, CTL_EXIT_OK, "");
	}
}

static void
cmd_explain(struct client *cl, const struct ask *ask)
{
	struct json_out	 o;
	struct buf	 paths = { 0 };
	uint64_t	 id;

	if (!span_u64(ask->words[0], &id)) {
		client_end(cl, CTL_EXIT_USAGE, "a message id has decimal digits only");
		return;
	}
	if (journal_explain(cl->control->sup->journal, id, &paths) == 0) {
		client_endf(cl, CTL_EXIT_NOTFOUND,
		    "nothing is known of %" PRIu64 ": it did not arrive, no pool"
		    " wanted it, or it was finished too long ago", id);
	} else {
		json_out_init(&o, client_doc(cl));
		json_obj(&o);
		json_kv_id(&o, "object", id);
		json_key(&o, "deliveries");
		json_raw(&o, buf_span(&paths));
		json_obj_end(&o);
		client_answer(cl, CTL_EXIT_OK, "");
	}
	buf_fini(&paths);
}

/* ---- what is asked of pools and workers ---- */

static void
on_changed(void *arg, const char *why)
{
	struct pending	*p = arg;
	struct client	*cl = p->client;

	if (cl != NULL) {
		if (why == NULL)
			client_endf(cl, CTL_EXIT_OK, "%s %s", p->name, p->done);
		else
			client_endf(cl, CTL_EXIT_FAILED, "%s: %s", p->name, why);
	}
	(void)pending_free(p);
}

/* NULL: still starting, and the client knows. */
static struct pending *
change_new(struct client *cl, const struct ask *ask, const char *done)
{
	struct pending	*p;

	if (cl->control->sup->pools == NULL) {
		client_end(cl, CTL_EXIT_FAILED, "still starting");
		return NULL;
	}
	p = pending_new(cl, ask->words[0], false);
	(void)strlcpy(p->done, done, sizeof(p->done));
	if (!ask->wait) {
		p->client = NULL;
		cl->pending = NULL;
	}
	return p;
}

/* rc: what pools_* returned; its callback comes in a later turn, so p is still there. */
static void
change_asked(struct client *cl, const struct ask *ask, const char *verb, unsigned which,
    struct pending *p, int rc)
{
	if (rc == -1) {
		(void)pending_free(p);
		end_no_name(cl, ask->words[0], which, which == NAMES_POOLS ? "pool" :
		    "pool or worker");
		return;
	}
	log_notice("%s asked for %s of %.*s", cl->tag, verb, (int)ask->words[0].n, ask->words[0].p);
	if (!ask->wait)
		client_end(cl, CTL_EXIT_OK, "under way");
}

static void
cmd_restart(struct client *cl, const struct ask *ask)
{
	static const struct {
		const char		*flag, *verb;
		enum restart_how	 how;
	} ways[] = {
		{ "", "a restart", RESTART_PLAIN },
		{ "--rolling", "a rolling restart", RESTART_ROLLING },
		{ "--now", "a restart now", RESTART_NOW },
	};
	struct span	 flag = ask->words_n > 1 ? ask->words[1] : SPAN("");
	struct pending	*p;
	size_t		 i, n = sizeof(ways) / sizeof(*ways);

	for (i = 0; i < n && !span_is(flag, ways[i].flag); i++)
		;
	if (i == n)
		client_end(cl, CTL_EXIT_USAGE,
		    "usage: bulkheadctl restart POOL|WORKER [--rolling|--now]");
	else if ((p = change_new(cl, ask, "restarted")) != NULL)
		change_asked(cl, ask, ways[i].verb, NAMES_ALL, p,
		    pools_restart(cl->control->sup->pools, p->name, ways[i].how, on_changed, p));
}

static void
cmd_drain(struct client *cl, const struct ask *ask)
{
	struct pending	*p = change_new(cl, ask, "drained; 'resume' or another start of bulkheadd"
	    " starts it again");

	if (p != NULL)
		change_asked(cl, ask, "a drain", NAMES_ALL, p, pools_drain(cl->control->sup->pools,
		    p->name, on_changed, p));
}

static void
cmd_resume(struct client *cl, const struct ask *ask)
{
	struct pending	*p = change_new(cl, ask, "runs");

	if (p != NULL)
		change_asked(cl, ask, "a resume", NAMES_ALL, p,
		    pools_resume(cl->control->sup->pools, p->name, on_changed, p));
}

static void
cmd_scale(struct client *cl, const struct ask *ask)
{
	struct pending	*p;
	uint64_t	 n;
	char		 done[64];

	if (!span_u64(ask->words[1], &n)) {
		client_end(cl, CTL_EXIT_USAGE, "usage: bulkheadctl scale POOL N; N is a number");
		return;
	}
	snprintf(done, sizeof(done), "has %" PRIu64 " worker%s", n, n == 1 ? "" : "s");
	if ((p = change_new(cl, ask, done)) != NULL)
		change_asked(cl, ask, "another scale", NAMES_POOLS, p,
		    pools_scale(cl->control->sup->pools, p->name, n, on_changed, p));
}

static void
cmd_dead(struct client *cl, const struct ask *ask)
{
	struct sup		*sup = cl->control->sup;
	struct span		 what = ask->words[0], name = ask->words[1];
	struct span		 pool = ask->words_n > 2 ? ask->words[2] : SPAN_NONE;
	struct dead_result	 r;
	bool			 retry = span_is(what, "retry");

	if (span_is(what, "show") && ask->words_n == 2) {
		if (dead_show(sup, name, client_doc(cl)) > 0)
			client_answer(cl, CTL_EXIT_OK, "");
		else
			client_end(cl, CTL_EXIT_NOTFOUND, "no dead letter has this id;"
			    " 'bulkheadctl show dead' lists them");
		return;
	}
	if ((!retry && !span_is(what, "drop")) || (pool.n > 0 && !span_is(name, "all"))) {
		client_end(cl, CTL_EXIT_USAGE, "usage: bulkheadctl dead show ID,"
		    " dead retry ID|all [POOL], dead drop ID|all [POOL]");
		return;
	}
	r = retry ? dead_retry(sup, name, pool) : dead_drop(sup, name, pool);
	if (r.n == 0) {
		client_end(cl, CTL_EXIT_NOTFOUND, span_is(name, "all") ? "there is no dead letter" :
		    "no dead letter has this id; 'bulkheadctl show dead' lists them");
		return;
	}
	log_notice("%s %s n=%zu of=%zu", cl->tag, retry ? "puts dead letters back" :
	    "lets dead letters go", r.done, r.n);
	if (r.done < r.n)
		client_endf(cl, CTL_EXIT_FAILED, "%zu of %zu put back; of the others: %s", r.done,
		    r.n, r.why);
	else
		client_endf(cl, CTL_EXIT_OK, "%zu %s %s", r.n, r.n == 1 ? "delivery" : "deliveries",
		    retry ? "put back" : "let go");
}

/* Is this one whole JSON value? */
static bool
is_json(struct span s)
{
	struct json_scan	 scan;
	enum json_token		 t;

	if (s.n == 0)
		return false;
	json_scan_init(&scan, s);
	while ((t = json_next(&scan)) != JSON_TOK_BAD)
		if (t == JSON_TOK_END)
			return true;
	return false;
}

/* One sentence for people; Discord's own words and code when it gave some. */
static void
call_why(const struct msg_RESULT *res, char *dst, size_t dst_bytes)
{
	struct span	 said = res->why;
	enum json_token	 type;
	uint64_t	 code;

	if (res->error == 0 && res->status < 400)
		dst[0] = '\0';
	else if (res->status == 0)
		snprintf(dst, dst_bytes, "%s: %.*s", error_name(res->error), (int)said.n, said.p);
	else if (json_member(res->body, "message", &type, &said) && type == JSON_TOK_STRING &&
	    json_member_u64(res->body, "code", &code))
		snprintf(dst, dst_bytes, "HTTP status %" PRIu64 ": %.*s (code %" PRIu64 ")",
		    res->status, (int)(said.n > 400 ? 400 : said.n), said.p, code);
	else
		snprintf(dst, dst_bytes, "HTTP status %" PRIu64 ": %.*s", res->status,
		    (int)res->why.n, res->why.p);
}

/* A RESULT as the document of whoever waited for it, still open; NULL: nobody waits any more. */
static struct client *
result_begin(struct pending *p, const struct msg_RESULT *res, struct json_out *o)
{
	struct client	*cl = pending_free(p);

	if (cl == NULL)
		return NULL;
	json_out_init(o, client_doc(cl));
	json_obj(o);
	json_kv_cstr(o, "error", error_name(res->error));
	json_kv_str(o, "why", res->why);
	return cl;
}

static void
on_called(void *arg, const struct msg_RESULT *res)
{
	struct json_out	 o;
	struct client	*cl = result_begin(arg, res, &o);
	char		 why[513];

	if (cl == NULL)
		return;
	json_kv_u64(&o, "status", res->status);
	json_kv_id(&o, "id", res->id);
	json_key(&o, "body");
	if (is_json(res->body))
		json_raw(&o, res->body);
	else
		json_str(&o, res->body);
	json_obj_end(&o);
	call_why(res, why, sizeof(why));
	client_answer(cl, why[0] == '\0' ? CTL_EXIT_OK : CTL_EXIT_FAILED, why);
}

static void
cmd_call(struct client *cl, const struct ask *ask)
{
	struct calls	*calls = cl->control->sup->calls;
	struct span	 body = ask->body;
	struct pending	*p;
	char		 method[REQUEST_METHOD_MAX + 1], path[REQUEST_PATH_MAX + 1];

	if (ask->words[0].n >= sizeof(method) || ask->words[1].n >= sizeof(path)) {
		client_endf(cl, CTL_EXIT_USAGE, "no such method, or a path above %u bytes",
		    REQUEST_PATH_MAX);
		return;
	}
	span_copy(ask->words[0], method, sizeof(method));
	span_copy(ask->words[1], path, sizeof(path));
	if (body.n == 0 && ask->words_n > 2)
		body = ask->words[2];
	p = pending_new(cl, SPAN("call"), true);
	if (!ask->wait) {
		p->client = NULL;
		cl->pending = NULL;
	}
	log_info("%s calls method=%s", cl->tag, method);
	calls_ask(calls, method, path, body, 0, on_called, p);
	if (!ask->wait)
		client_end(cl, CTL_EXIT_OK, "under way");
}

static void
cmd_log(struct client *cl, const struct ask *ask)
{
	struct pools	*pools = cl->control->sup->pools;
	char		 name[16];
	int		 level;

	if (ask->words_n == 0) {
		client_endf(cl, CTL_EXIT_OK, "logged: from %s on", log_level_name(log_level_now()));
		return;
	}
	span_copy(ask->words[0], name, sizeof(name));
	if ((level = log_level_of(name)) == -1) {
		client_end(cl, CTL_EXIT_USAGE, "a level is one of: debug info notice warning err");
		return;
	}
	log_level(level);
	log_notice("%s set the log level to %s", cl->tag, log_level_name(level));
	if (pools != NULL)
		pools_logging(pools);
	client_endf(cl, CTL_EXIT_OK, "logged from %s on, until the next start", log_level_name(level));
}

static void
cmd_trace(struct client *cl, const struct ask *ask)
{
	struct pools	*pools = cl->control->sup->pools;
	char		 classes[128];

	if (ask->words_n == 0) {
		client_endf(cl, CTL_EXIT_OK, "traced: %s; there are %s", *log_traced() == '\0' ?
		    "none" : log_traced(), log_trace_class_names());
		return;
	}
	span_copy(ask->words[0], classes, sizeof(classes));
	if (log_trace_classes(strcmp(classes, "none") == 0 ? "" : classes) == -1) {
		client_endf(cl, CTL_EXIT_USAGE, "a list of classes with commas, or none; there are %s",
		    log_trace_class_names());
		return;
	}
	log_notice("%s traces %s", cl->tag, classes);
	if (pools != NULL)
		pools_logging(pools);
	client_endf(cl, CTL_EXIT_OK, "traced: %s, until the next start", classes);
}

static void
cmd_fault(struct client *cl, const struct ask *ask)
{
	struct sup	*sup = cl->control->sup;
	struct span	 spec = ask->words_n > 1 ? ask->words[1] : SPAN("");
	const char	*why = "?";

	if (!sup->faults) {
		client_end(cl, CTL_EXIT_DENIED,
		    "faults can be armed only when bulkheadd runs under --faults");
		return;
	}
	if (spec.n > 256 || ask->words[0].n == 0 || ask->words[0].n > 64) {
		client_end(cl, CTL_EXIT_USAGE, "NAME has at most 64 bytes, SPEC at most 256");
		return;
	}
	if (fault_set(ask->words[0], spec, &why) == -1) {
		client_end(cl, CTL_EXIT_USAGE, why);
		return;
	}
	if (sup->pools != NULL)
		pools_fault(sup->pools, ask->words[0], spec);
	client_endf(cl, CTL_EXIT_OK, "%.*s %s", (int)ask->words[0].n, ask->words[0].p,
	    spec.n == 0 ? "disarmed" : "armed");
}

/* ---- POOL VERB ---- */

static void
on_pool_answered(void *arg, const struct msg_RESULT *res)
{
	struct json_out	 o;
	struct client	*cl = result_begin(arg, res, &o);
	char		 why[513];

	if (cl == NULL)
		return;
	json_kv_str(&o, "answer", res->body);
	json_obj_end(&o);
	span_copy(res->why, why, sizeof(why));
	client_answer(cl, res->error == ERR_OK ? CTL_EXIT_OK : CTL_EXIT_FAILED,
	    res->error == ERR_OK ? "" : why);
}

/* False: it is no pool. */
static bool
ask_pool(struct client *cl, struct span pool, const struct ask *ask)
{
	struct sup		*sup = cl->control->sup;
	struct span		 verb = ask->words_n > 0 ? ask->words[0] : SPAN_NONE;
	struct buf		 body = { 0 };
	struct pending		*p;
	struct child		*child;
	char			 name[64];
	bool			 up;

	if (sup->pools == NULL || !pools_answering(sup->pools, pool, verb, 0, &child, &up))
		return false;
	span_copy(pool, name, sizeof(name));
	if (!cl->may_change)
		client_endf(cl, CTL_EXIT_DENIED, "only root and the user of the supervisor may ask"
		    " pools");
	else if (child == NULL)
		client_endf(cl, up ? CTL_EXIT_USAGE : CTL_EXIT_FAILED, up ?
		    "the workers of pool %s do not answer '%.*s'" :
		    "no worker of pool %s is ready to answer '%.*s'", name,
		    (int)(verb.n > 64 ? 64 : verb.n), verb.p == NULL ? "" : verb.p);
	else {
		for (size_t i = 1; i < ask->words_n; i++) {
			if (i > 1)
				buf_add(&body, " ", 1);
			buf_add_span(&body, ask->words[i]);
		}
		p = pending_new(cl, pool, false);
		p->is_poolcall = true;
		log_info("%s asks pool %s", cl->tag, name);
		if (poolcalls_ask(sup->poolcalls, child, pool, verb, buf_span(&body),
		    on_pool_answered, p) != ERR_OK) {
			(void)pending_free(p);
			client_endf(cl, CTL_EXIT_FAILED, "pool %s has too much to answer", name);
		}
		buf_fini(&body);
	}
	return true;
}

static const struct command {
	const char	*name, *args;
	size_t		 min, max;
	enum privilege	 privilege;
	void		(*run)(struct client *, const struct ask *);
} commands[] = {
#define CMD(name, args, min, max, privilege, help) { #name, args, min, max, privilege, cmd_##name },
#include "proto/ctlcmds.def"
#undef CMD
};
#define COMMANDS_N	(sizeof(commands) / sizeof(*commands))

static void
unknown_command(struct client *cl, struct span verb)
{
	const char	*names[COMMANDS_N], *near;

	for (size_t i = 0; i < COMMANDS_N; i++)
		names[i] = commands[i].name;
	near = span_nearest(verb, names, COMMANDS_N);
	client_endf(cl, CTL_EXIT_USAGE, "no command is called '%.*s'; %s%s%s",
	    (int)(verb.n > 64 ? 64 : verb.n), verb.p, near == NULL ? "" : "did you mean '",
	    near == NULL ? "see 'bulkheadctl help'" : near, near == NULL ? "" : "'?");
}

void
verbs_run(struct client *cl, struct span verb, const struct ask *ask)
{
	const struct command	*cmd = NULL;

	for (size_t i = 0; i < COMMANDS_N; i++)
		if (span_is(verb, commands[i].name))
			cmd = &commands[i];
	if (cmd == NULL) {
		if (!ask_pool(cl, verb, ask))
			unknown_command(cl, verb);
	} else if (ask->words_n < cmd->min || ask->words_n > cmd->max)
		client_endf(cl, CTL_EXIT_USAGE, "usage: bulkheadctl %s%s%s", cmd->name,
		    cmd->args[0] == '\0' ? "" : " ", cmd->args);
	else if (cmd->privilege == CHANGE && !cl->may_change)
		client_endf(cl, CTL_EXIT_DENIED,
		    "'%s' changes something: only root and the user of the"
		    " supervisor may", cmd->name);
	else if (cmd->privilege == CHANGE && cl->control->stopping != NULL && cmd->run != cmd_stop)
		client_end(cl, CTL_EXIT_FAILED, cl->control->stopping);
	else
		cmd->run(cl, ask);
}
