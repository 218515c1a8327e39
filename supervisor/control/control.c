/*
 * control - see control.h.
 *
 * One client asks one thing at a time; what has to wait (restart, call) is a struct pending that
 * outlives its client when it must, so that a callback never finds a client that is gone.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/count.h"
#include "common/fault.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/control.h"
#include "supervisor/control/status.h"

#define CLIENTS_MAX	16
#define OUT_MAX		(1u << 20)
#define ANSWER_MAX	(OUT_MAX - (64u << 10))	/* of one document; the rest is framing and END */
#define SAY_MAX		(512u << 10)		/* messages.def: SAY.json */
#define IDLE_MS		30000
#define WORDS_MAX	64
#define GROUPS_MAX	1024
#define ACCEPTS_PER_TURN 8
#define ACCEPT_AGAIN_MS	1000	/* after accept failed for want of descriptors or memory */

enum privilege { READ, CHANGE };

struct client;

/*
 * Something that ends later.  Owned by whoever will call it back; the list is for the stop order.
 */
struct pending {
	struct control		*control;	/* NULL: it was freed */
	struct client		*client;	/* NULL: gone, or told already */
	bool			 is_call;	/* calls_forget can take it back */
	char			 name[64];
	TAILQ_ENTRY(pending)	 next;
};

struct client {
	struct control		*control;
	struct chan		*chan;
	struct timer		*idle;
	struct pending		*pending;
	char			 tag[64];
	bool			 may_change;
	bool			 stays;		/* asked for the stop: kept until we are gone */
	TAILQ_ENTRY(client)	 next;
};

struct control {
	struct sup		*sup;
	char			*path;
	int			 fd;
	struct watch		*watch;
	struct timer		*again;
	msgpack_zone		*zone;
	struct buf		 doc;		/* the answer being made */
	TAILQ_HEAD(, client)	 clients;
	TAILQ_HEAD(, pending)	 pendings;
	size_t			 clients_n;
	uint64_t		 made;		/* clients so far, for tags */
	bool			 stopping;
};

struct ask {
	struct span	 words[WORDS_MAX];	/* without the verb */
	size_t		 words_n;
	struct span	 body;
	bool		 wait;
};

/* ---- answers ---- */

static void
client_end(struct client *cl, unsigned status, const char *why)
{
	struct msg_END	 end = { .status = status, .why = span_of(why) };

	if (end.why.n > 512)
		end.why.n = 512;
	if (status == CTL_EXIT_DENIED)
		COUNT(control_refused);
	(void)chan_send(cl->chan, MSG_END, &end);
	if (!cl->stays)
		timer_arm_ms(cl->idle, IDLE_MS);
}

static void __attribute__((format(printf, 3, 4)))
client_endf(struct client *cl, unsigned status, const char *fmt, ...)
{
	char	 why[513];
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	client_end(cl, status, why);
}

/* Send what is in control->doc and end. */
static void
client_answer(struct client *cl, unsigned status, const char *why)
{
	struct span	 all = buf_span(&cl->control->doc);
	struct msg_SAY	 say;

	if (all.n > ANSWER_MAX) {
		client_endf(cl, CTL_EXIT_FAILED,
		    "the answer has %zu bytes, more than the control socket"
		    " carries (%u)", all.n, ANSWER_MAX);
		return;
	}
	for (size_t off = 0; off < all.n; off += say.json.n) {
		say.json = span_make(all.p + off, all.n - off > SAY_MAX ? SAY_MAX : all.n - off);
		(void)chan_send(cl->chan, MSG_SAY, &say);
	}
	client_end(cl, status, why);
}

static struct buf *
doc_begin(struct client *cl)
{
	buf_reset(&cl->control->doc);
	buf_shrink(&cl->control->doc, SAY_MAX);
	return &cl->control->doc;
}

/* ---- pending ---- */

static struct pending *
pending_new(struct client *cl, struct span name, bool is_call)
{
	struct pending	*p = mem_alloc(sizeof(*p));

	p->control = cl->control;
	p->client = cl;
	p->is_call = is_call;
	span_copy(name, p->name, sizeof(p->name));
	cl->pending = p;
	TAILQ_INSERT_TAIL(&cl->control->pendings, p, next);
	timer_stop(cl->idle);
	return p;
}

/* The callback came, or never will.  The client that still waits for it, or NULL. */
static struct client *
pending_free(struct pending *p)
{
	struct client	*cl = p->client;

	if (cl != NULL)
		cl->pending = NULL;
	if (p->control != NULL)
		TAILQ_REMOVE(&p->control->pendings, p, next);
	free(p);
	return cl;
}

/* The client is gone or was told. */
static void
pending_detach(struct pending *p)
{
	if (p->client != NULL)
		p->client->pending = NULL;
	p->client = NULL;
	if (p->is_call) {
		calls_forget(p->control->sup->calls, p);
		(void)pending_free(p);
	}
}

/* ---- commands ---- */

static void
cmd_status(struct client *cl, const struct ask *ask)
{
	(void)ask;
	status_json(cl->control->sup, doc_begin(cl));
	client_answer(cl, CTL_EXIT_OK, "");
}

static void
names_add(void *arg, const struct worker_view *v)
{
	struct buf	*b = arg;

	if (b->n < 300)
		buf_printf(b, " %s", v->name);
}

static void
end_no_worker(struct client *cl, struct span name, const char *what)
{
	struct buf	 names = { 0 };

	if (cl->control->sup->pools != NULL)
		pools_each(cl->control->sup->pools, NULL, names_add, &names);
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
	if (status_worker(cl->control->sup, name, doc_begin(cl)))
		client_answer(cl, CTL_EXIT_OK, "");
	else
		end_no_worker(cl, ask->words[1], "worker");
}

static void
show_config(struct sup *sup, struct buf *out)
{
	cfg_json(sup->cfg, out);
}

static void
cmd_show(struct client *cl, const struct ask *ask)
{
	static const char *const topics[] = {
		"workers", "worker", "deliveries", "sessions", "counters", "config"
	};
	static void (*const lists[])(struct sup *, struct buf *) = {
		status_workers, NULL, status_deliveries, status_sessions, status_counters,
		    show_config
	};
	const size_t	 n = sizeof(topics) / sizeof(*topics);
	struct span	 topic = ask->words[0];
	const char	*near;
	size_t		 i;

	for (i = 0; i < n && !span_is(topic, topics[i]); i++)
		;
	if (i == n) {
		near = span_nearest(topic, topics, n);
		client_endf(cl, CTL_EXIT_USAGE, "nothing is called '%.*s'; %s%s%s",
		    (int)(topic.n > 64 ? 64 : topic.n), topic.p,
		    near == NULL ? "" : "did you mean '",
		    near == NULL ? "see 'bulkheadctl help show'" : near, near == NULL ? "" : "'?");
	} else if (lists[i] == NULL) {
		show_worker(cl, ask);
	} else if (ask->words_n > 1) {
		client_endf(cl, CTL_EXIT_USAGE, "usage: bulkheadctl show %s", topics[i]);
	} else {
		lists[i](cl->control->sup, doc_begin(cl));
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
		json_out_init(&o, doc_begin(cl));
		json_obj(&o);
		json_kv_id(&o, "object", id);
		json_key(&o, "deliveries");
		json_raw(&o, buf_span(&paths));
		json_obj_end(&o);
		client_answer(cl, CTL_EXIT_OK, "");
	}
	buf_fini(&paths);
}

static void
on_restarted(void *arg, const char *why)
{
	struct pending	*p = arg;
	struct client	*cl = p->client;

	if (cl != NULL) {
		if (why == NULL)
			client_endf(cl, CTL_EXIT_OK, "%s restarted", p->name);
		else
			client_endf(cl, CTL_EXIT_FAILED, "%s: %s", p->name, why);
	}
	(void)pending_free(p);
}

static void
cmd_restart(struct client *cl, const struct ask *ask)
{
	struct pools	*pools = cl->control->sup->pools;
	struct pending	*p;

	if (pools == NULL) {
		client_end(cl, CTL_EXIT_FAILED, "still starting");
		return;
	}
	p = pending_new(cl, ask->words[0], false);
	if (!ask->wait) {
		p->client = NULL;
		cl->pending = NULL;
	}
	/* From here p may be gone: the callback frees it. */
	if (pools_restart(pools, p->name, on_restarted, p) == -1) {
		(void)pending_free(p);
		end_no_worker(cl, ask->words[0], "pool or worker");
		return;
	}
	log_notice("%s asked for a restart of %.*s", cl->tag, (int)ask->words[0].n,
	    ask->words[0].p);
	if (!ask->wait)
		client_end(cl, CTL_EXIT_OK, "under way");
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

static const char *
error_name(uint64_t error)
{
	switch (error) {
#define ERR(name, number, text) case number: return #name;
#include "proto/errors.def"
#undef ERR
	}
	return "?";
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

static void
on_called(void *arg, const struct msg_RESULT *res)
{
	struct pending	*p = arg;
	struct client	*cl = pending_free(p);
	struct json_out	 o;
	char		 why[513];

	if (cl == NULL)
		return;
	json_out_init(&o, doc_begin(cl));
	json_obj(&o);
	json_kv_cstr(&o, "error", error_name(res->error));
	json_kv_u64(&o, "status", res->status);
	json_kv_id(&o, "id", res->id);
	json_kv_str(&o, "why", res->why);
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
	char		 method[16], path[2048 + 1];

	if (ask->words[0].n >= sizeof(method) || ask->words[1].n >= sizeof(path)) {
		client_end(cl, CTL_EXIT_USAGE, "no such method, or a path above 2048 bytes");
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
	char	 name[16];
	int	 level;

	span_copy(ask->words[0], name, sizeof(name));
	if ((level = log_level_of(name)) == -1) {
		client_end(cl, CTL_EXIT_USAGE, "a level is one of: debug info notice warning err");
		return;
	}
	log_level(level);
	log_notice("%s set the log level to %s", cl->tag, log_level_name(level));
	client_endf(cl, CTL_EXIT_OK, "the supervisor logs from %s on; workers keep the level they"
	    " started with", log_level_name(level));
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

static void
cmd_stop(struct client *cl, const struct ask *ask)
{
	char	 why[96];

	cl->stays = ask->wait;
	if (cl->stays)
		timer_stop(cl->idle);
	snprintf(why, sizeof(why), "bulkheadctl stop (%s)", cl->tag);
	client_end(cl, CTL_EXIT_OK, "stopping");
	sup_stop(cl->control->sup, why);
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

static void
run_command(struct client *cl, struct span verb, const struct ask *ask)
{
	const struct command	*cmd = NULL;

	for (size_t i = 0; i < COMMANDS_N; i++)
		if (span_is(verb, commands[i].name))
			cmd = &commands[i];
	if (cmd == NULL)
		unknown_command(cl, verb);
	else if (ask->words_n < cmd->min || ask->words_n > cmd->max)
		client_endf(cl, CTL_EXIT_USAGE, "usage: bulkheadctl %s%s%s", cmd->name,
		    cmd->args[0] == '\0' ? "" : " ", cmd->args);
	else if (cmd->privilege == CHANGE && !cl->may_change)
		client_endf(cl, CTL_EXIT_DENIED,
		    "'%s' changes something: only root and the user of the"
		    " supervisor may", cmd->name);
	else if (cmd->privilege == CHANGE && cl->control->stopping && cmd->run != cmd_stop)
		client_end(cl, CTL_EXIT_FAILED, "the supervisor is stopping");
	else
		cmd->run(cl, ask);
}

/* ---- clients ---- */

static void
client_drop(struct client *cl, const char *why)
{
	log_debug("%s gone: %s", cl->tag, why);
	if (cl->pending != NULL)
		pending_detach(cl->pending);
	TAILQ_REMOVE(&cl->control->clients, cl, next);
	cl->control->clients_n--;
	timer_free(&cl->idle);
	chan_free(&cl->chan);
	free(cl);
}

static void
on_ask(struct client *cl, const struct msg_ASK *msg)
{
	struct msg_list_iter	 it = { msg->words.raw, 0 };
	struct ask		 ask = { .body = msg->body, .wait = msg->wait == 1 };
	struct span		 verb, word;

	if (msg->version != PROTO_VERSION) {
		client_endf(cl, CTL_EXIT_FAILED,
		    "bulkheadctl speaks version %" PRIu64 " of the protocol,"
		    " the supervisor %d: they are of different releases", msg->version,
		    PROTO_VERSION);
		return;
	}
	if (!msg_list_next_str(&it, &verb)) {
		client_end(cl, CTL_EXIT_USAGE, "no command; see 'bulkheadctl help'");
		return;
	}
	while (ask.words_n < WORDS_MAX && msg_list_more(&it)) {
		if (!msg_list_next_str(&it, &word)) {
			client_end(cl, CTL_EXIT_USAGE, "a word that is no text");
			return;
		}
		ask.words[ask.words_n++] = word;
	}
	run_command(cl, verb, &ask);
}

static void
on_frame(struct chan *chan, struct span frame, void *arg)
{
	struct client	*cl = arg;
	struct msg_in	 in;
	const char	*why = NULL;

	(void)chan;
	if (msg_unpack(frame, cl->control->zone, &in) == -1)
		why = in.why;
	else if (in.type != MSG_ASK)
		why = "a message that a client does not send";
	else if (cl->pending != NULL)
		why = "a command while another one is waiting";
	if (why != NULL) {
		COUNT(control_refused);
		client_drop(cl, why);
	} else {
		on_ask(cl, &in.ASK);
	}
}

static void
on_gone(struct chan *chan, const char *why, void *arg)
{
	struct client	*cl = arg;

	(void)chan;
	if (strncmp(why, "does not read", strlen("does not read")) == 0) {
		COUNT(control_slow);
		log_notice("%s %s", cl->tag, why);
	}
	client_drop(cl, why);
}

static void
on_idle(void *arg)
{
	struct client	*cl = arg;

	/* An answer that was not taken in all this time: its reader has stopped. */
	if (chan_queued_bytes(cl->chan) > 0)
		COUNT(control_slow);
	client_drop(cl, "no command for 30 s");
}

/* Does the peer belong to our group, by its own or a supplementary one? */
static bool
in_our_group(int fd, const struct ucred *cred)
{
	gid_t		 groups[GROUPS_MAX];
	socklen_t	 bytes = sizeof(groups);

	if (cred->gid == getegid())
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) == -1)
		return false;
	for (size_t i = 0; i < bytes / sizeof(*groups); i++)
		if (groups[i] == getegid())
			return true;
	return false;
}

/* NULL, or why this peer is not served. */
static const char *
peer_refused(struct control *ct, int fd, struct ucred *cred)
{
	socklen_t	 bytes = sizeof(*cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &bytes) == -1)
		return "the peer has no credentials";
	if (cred->uid != 0 && cred->uid != geteuid() && !in_our_group(fd, cred))
		return "only root, the user of the supervisor and its group may ask";
	if (cred->pid != 0 && ct->sup->pools != NULL && pools_owns_pid(ct->sup->pools, cred->pid))
		return "a worker may not control its supervisor";
	if (ct->clients_n >= CLIENTS_MAX)
		return "too many control clients at once";
	return NULL;
}

/* One frame into an empty socket buffer: it fits, or the peer is told nothing. */
static void
refuse_peer(int fd, const struct ucred *cred, const char *why, unsigned status)
{
	struct msg_END	 end = { .status = status, .why = span_of(why) };
	struct buf	 out = { 0 };
	uint32_t	 n;

	COUNT(control_refused);
	log_notice("control client refused: %s uid=%u pid=%d", why, (unsigned)cred->uid,
	    (int)cred->pid);
	buf_add(&out, "\0\0\0\0", 4);
	if (msg_pack(&out, MSG_END, &end, NULL) == 0) {
		n = (uint32_t)out.n - 4;
		for (int i = 0; i < 4; i++)
			out.p[out.off + (size_t)i] = (char)(n >> (24 - 8 * i) & 0xff);
		(void)send(fd, buf_span(&out).p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	buf_fini(&out);
	close(fd);
}

static void
client_new(struct control *ct, int fd, const struct ucred *cred)
{
	static const struct chan_ops	 ops = { on_frame, on_gone };
	struct client			*cl = mem_alloc(sizeof(*cl));

	COUNT(control_clients);
	cl->control = ct;
	cl->may_change = cred->uid == 0 || cred->uid == geteuid();
	snprintf(cl->tag, sizeof(cl->tag), "ctl#%" PRIu64 " uid=%u pid=%d", ++ct->made,
	    (unsigned)cred->uid, (int)cred->pid);
	cl->chan = chan_new(ct->sup->loop, fd, cl->tag, PROTO_CTL_FRAME_MAX, &ops, cl);
	chan_out_max(cl->chan, OUT_MAX);
	cl->idle = timer_new(ct->sup->loop, on_idle, cl);
	timer_arm_ms(cl->idle, IDLE_MS);
	TAILQ_INSERT_TAIL(&ct->clients, cl, next);
	ct->clients_n++;
}

static void
on_accept(int lfd, int what, void *arg)
{
	struct control	*ct = arg;
	struct ucred	 cred = { .pid = 0, .uid = (uid_t)-1 };
	const char	*why;
	int		 fd;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		if ((fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) == -1) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
				log_warn("control socket: accept");
				watch_set(ct->watch, 0);
				timer_arm_ms(ct->again, ACCEPT_AGAIN_MS);
			}
			return;
		}
		if ((why = peer_refused(ct, fd, &cred)) != NULL)
			refuse_peer(fd, &cred, why, ct->clients_n >= CLIENTS_MAX ? CTL_EXIT_FAILED :
			    CTL_EXIT_DENIED);
		else
			client_new(ct, fd, &cred);
	}
}

static void
on_accept_again(void *arg)
{
	struct control	*ct = arg;

	watch_set(ct->watch, LOOP_READ);
}

/* ---- the socket ---- */

static int
listen_at(const char *path, const char **why_r)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };
	mode_t			 old;
	int			 fd, rc;

	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >= sizeof(sun.sun_path)) {
		*why_r = "the path of the control socket is too long";
		return -1;
	}
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1) {
		*why_r = strerror(errno);
		return -1;
	}
	/* The lock of runtime_dir is ours, so that whatever lies there is a dead predecessor's. */
	(void)unlink(path);
	old = umask(0117);
	rc = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	(void)umask(old);
	if (rc == -1 || listen(fd, CLIENTS_MAX) == -1) {
		*why_r = strerror(errno);
		close(fd);
		return -1;
	}
	return fd;
}

struct control *
control_new(struct sup *sup, const char *path, const char **why_r)
{
	struct control	*ct;
	int		 fd;

	if ((fd = listen_at(path, why_r)) == -1)
		return NULL;
	ct = mem_alloc(sizeof(*ct));
	ct->sup = sup;
	ct->path = mem_strdup(path);
	ct->fd = fd;
	ct->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
	TAILQ_INIT(&ct->clients);
	TAILQ_INIT(&ct->pendings);
	ct->watch = watch_new(sup->loop, fd, on_accept, ct);
	watch_set(ct->watch, LOOP_READ);
	ct->again = timer_new(sup->loop, on_accept_again, ct);
	return ct;
}

/* Whoever waits is told, and hears nothing more of it. */
static void
pendings_tell(struct control *ct, const char *why)
{
	struct pending	*p, *next;
	struct client	*cl;

	TAILQ_FOREACH_SAFE(p, &ct->pendings, next, next) {
		cl = p->client;
		if (cl == NULL)
			continue;
		pending_detach(p);
		client_end(cl, CTL_EXIT_FAILED, why);
	}
}

void
control_stopping(struct control *ct)
{
	ct->stopping = true;
	pendings_tell(ct, "the supervisor is stopping");
}

void
control_free(struct control **ctp)
{
	struct control	*ct = *ctp;
	struct client	*cl;
	struct pending	*p;

	if (ct == NULL)
		return;
	pendings_tell(ct, "the supervisor is stopping");
	while ((cl = TAILQ_FIRST(&ct->clients)) != NULL)
		client_drop(cl, "the supervisor ends");
	/* Those that pools will call back once more belong to that callback. */
	while ((p = TAILQ_FIRST(&ct->pendings)) != NULL) {
		TAILQ_REMOVE(&ct->pendings, p, next);
		p->control = NULL;
		if (p->is_call) {
			calls_forget(ct->sup->calls, p);
			free(p);
		}
	}
	watch_free(&ct->watch);
	timer_free(&ct->again);
	close(ct->fd);
	(void)unlink(ct->path);
	msgpack_zone_free(ct->zone);
	buf_fini(&ct->doc);
	free(ct->path);
	free(ct);
	*ctp = NULL;
}
