/*
 * control - see control.h.  What a client may ask is in verbs.c.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/secret.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/client.h"
#include "supervisor/control/control.h"
#include "supervisor/control/gwservice.h"
#include "supervisor/control/monitor.h"
#include "supervisor/control/poolcalls.h"
#include "supervisor/moments.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77	/* Linux 6.5 */
#endif

#define CLIENTS_MAX	16
#define OUT_MAX		(1u << 20)
#define ANSWER_MAX	(OUT_MAX - (64u << 10))	/* of one document; the rest is framing and END */
#define SAY_MAX		(512u << 10)		/* messages.def: SAY.json */
#define IDLE_MS		30000
#define GROUPS_MAX	1024
#define ACCEPTS_PER_TURN 8
#define ACCEPT_AGAIN_MS	1000	/* after accept failed for want of descriptors or memory */
#define ACCEPT_SAY_MS	60000	/* while that lasts it is said so often */

/* ---- answers ---- */

void
client_end(struct client *cl, unsigned status, const char *why)
{
	struct msg_END	 end = { .status = status, .why = span_of(why) };

	if (end.why.n > 512)
		end.why.n = 512;
	if (status == CTL_EXIT_DENIED)
		COUNT(control_refused);
	(void)chan_send(cl->chan, MSG_END, &end);
	cl->follows = false;
	if (!cl->stays)
		timer_arm_ms(cl->idle, IDLE_MS);
}

void
client_endf(struct client *cl, unsigned status, const char *fmt, ...)
{
	char	 why[513];
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	(void)secret_mask(why, strlen(why));
	client_end(cl, status, why);
}

void
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
	(void)secret_mask(cl->control->doc.p + cl->control->doc.off, all.n);
	for (size_t off = 0; off < all.n; off += say.json.n) {
		say.json = span_make(all.p + off, all.n - off > SAY_MAX ? SAY_MAX : all.n - off);
		(void)chan_send(cl->chan, MSG_SAY, &say);
	}
	client_end(cl, status, why);
}

struct buf *
client_doc(struct client *cl)
{
	buf_reset(&cl->control->doc);
	buf_shrink(&cl->control->doc, SAY_MAX);
	return &cl->control->doc;
}

/* ---- pending ---- */

struct pending *
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

struct client *
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
	} else if (p->is_poolcall) {
		poolcalls_forget(p->control->sup->poolcalls, p);
		(void)pending_free(p);
	} else if (p->till_live)
		(void)pending_free(p);
}

/* ---- clients ---- */

void
client_drop(struct client *cl, const char *why)
{
	struct control	*ct = cl->control;
	bool		 followed = cl->follows;

	log_debug("%s gone: %s", cl->tag, why);
	if (cl->pending != NULL)
		pending_detach(cl->pending);
	TAILQ_REMOVE(&ct->clients, cl, next);
	ct->clients_n--;
	timer_free(&cl->idle);
	chan_free(&cl->chan);
	free(cl);
	if (followed)
		monitor_left(ct);
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
	verbs_run(cl, verb, &ask);
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
	else if (cl->pending != NULL || cl->follows)
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

/*
 * A worker's child could connect, leave the connection to the worker and end: with it goes what says
 * whose child it was, and its number may be another's by now.  Kernels before 6.5 give no pidfd of a
 * peer: there the number has to do.
 */
static bool
has_ended(int fd, pid_t pid)
{
	int		 pidfd = -1;
	socklen_t	 bytes = sizeof(pidfd);
	struct pollfd	 p = { .events = POLLIN };

	if (pid == 0)
		return false;		/* of a name space that encloses ours */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &bytes) == -1)
		return errno != ENOPROTOOPT || (kill(pid, 0) == -1 && errno == ESRCH);
	p.fd = pidfd;
	(void)poll(&p, 1, 0);
	close(pidfd);
	return p.revents != 0;
}

/* NULL, or why this peer is not served. */
static const char *
peer_refused(struct control *ct, int fd, struct ucred *cred)
{
	socklen_t	 bytes = sizeof(*cred);
	bool		 ours = false, hidden = false;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &bytes) == -1)
		return "the peer has no credentials";
	if (cred->uid != 0 && cred->uid != geteuid() && !in_our_group(fd, cred))
		return "only root, the user of the supervisor and its group may ask";
	/* A worker's child can hide there; of another user than the workers it cannot be: no_new_privs. */
	if (cred->pid != 0 && ct->sup->pools != NULL) {
		ours = pools_owns_pid(ct->sup->pools, cred->pid, false);
		hidden = pools_run_as(ct->sup->pools, cred->uid) &&
		    pools_owns_pid(ct->sup->pools, cred->pid, true);
	}
	/* Asked last: while it lives, what was just read is about it and not about its successor. */
	if (has_ended(fd, cred->pid))
		return "who connected has ended: whose child it was cannot be told";
	if (ours)
		return "a worker may not control its supervisor";
	if (hidden)
		return "/proc does not show whose child it is (hidepid): ask as root, or as"
		    " another member of the group";
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

/* It is tried again every second; that is no reason to say so every second. */
static void
accept_failed(struct control *ct)
{
	struct mono	 now = loop_now(ct->sup->loop);
	int		 err = errno;

	watch_set(ct->watch, 0);
	timer_arm_ms(ct->again, ACCEPT_AGAIN_MS);
	if (!mono_is_never(ct->complained) &&
	    mono_ms_between(ct->complained, now) < ACCEPT_SAY_MS) {
		ct->unsaid++;
		return;
	}
	errno = err;
	log_warn("control socket: accept failed_since=%" PRIu64, ct->unsaid);
	ct->complained = now;
	ct->unsaid = 0;
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
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				accept_failed(ct);
			return;
		}
		ct->complained = MONO_NEVER;
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

/* Does it listen at this path?  What a predecessor says of a descriptor is believed no further. */
static bool
listens_at(int fd, const char *path)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNSPEC };
	socklen_t		 bytes = sizeof(sun), n = sizeof(int);
	struct stat		 st;
	int			 listening = 0;

	return getsockname(fd, (struct sockaddr *)&sun, &bytes) == 0 && sun.sun_family == AF_UNIX &&
	    strncmp(sun.sun_path, path, sizeof(sun.sun_path)) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening != 0 &&
	    stat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

struct control *
control_new(struct sup *sup, const char *path, int fd, const char **why_r)
{
	struct control	*ct;

	if (fd != -1 && !listens_at(fd, path)) {
		close(fd);
		fd = -1;
	}
	if (fd == -1 && (fd = listen_at(path, why_r)) == -1)
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
control_stopping(struct control *ct, const char *why)
{
	ct->stopping = why;
	/* What is under way may be half done: nobody asks for it again unseen. */
	pendings_tell(ct, strcmp(why, CTL_UPGRADING) == 0 ? "an upgrade came first; look, and ask"
	    " again if it is still wanted" : why);
}

void
control_live(struct control *ct)
{
	struct pending	*p, *next;
	struct client	*cl;

	TAILQ_FOREACH_SAFE(p, &ct->pendings, next, next) {
		if (!p->till_live)
			continue;
		if ((cl = pending_free(p)) != NULL)
			gwservice_identified(cl);
	}
}

void
control_stopped(struct control *ct, struct span doc)
{
	struct client	*cl;

	TAILQ_FOREACH(cl, &ct->clients, next) {
		if (!cl->stays)
			continue;
		buf_add_span(client_doc(cl), doc);
		client_answer(cl, CTL_EXIT_OK, "stopped");
	}
}

int
control_keep(struct control *ct)
{
	int	 fd = ct->fd;

	watch_free(&ct->watch);
	ct->fd = -1;
	(void)fcntl(fd, F_SETFD, 0);
	return fd;
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
	/* Who follows comes again by itself when another one goes on. */
	if (ct->fd != -1)
		monitor_end(ct);
	moments_follow(NULL, NULL);
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
	timer_free(&ct->again);
	if (ct->fd != -1) {
		watch_free(&ct->watch);
		close(ct->fd);
		(void)unlink(ct->path);
	}
	msgpack_zone_free(ct->zone);
	buf_fini(&ct->doc);
	free(ct->path);
	free(ct);
	*ctp = NULL;
}
