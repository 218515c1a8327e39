/*
 * testlink - see testlink.h.
 */
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/request.h"
#include "proto/contract.h"
#include "supervisor/ctl/testlink.h"

#define BOARD_BYTES	4096
#define KILLED_MS	5000	/* for the kernel to end what got SIGKILL */
#define USER_ID		"1000000000000000001"

/* ---- the process ---- */

static _Noreturn void
exec_program(const struct tl_spec *sp, char **env, int link, int board, int err)
{
	sigset_t	 none;
	int		 null;

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Out of the way of the numbers that they will have. */
	link = fcntl(link, F_DUPFD, 10);
	board = fcntl(board, F_DUPFD, 10);
	err = fcntl(err, F_DUPFD, 10);
	null = open("/dev/null", O_RDONLY);
	if (link == -1 || board == -1 || err == -1 || null == -1 || dup2(null, 0) == -1 ||
	    dup2(err, 1) == -1 || dup2(err, 2) == -1 || dup2(link, CONTRACT_FD) == -1 ||
	    dup2(board, CONTRACT_BOARD_FD) == -1)
		_exit(126);
	closefrom(CONTRACT_BOARD_FD + 1);
	execvpe(sp->argv[0], sp->argv, env);
	dprintf(2, "%s: %s\n", sp->argv[0], strerror(errno));
	_exit(127);
}

/* The environment that bulkheadd gives. */
static char **
environment(const struct tl_spec *sp)
{
	char	**env = mem_array(sp->env_n + 4, sizeof(*env));
	size_t	  n = 0;

	for (; n < sp->env_n; n++)
		env[n] = mem_strdup(sp->env[n]);
	env[n++] = mem_strdup("PATH=/usr/local/bin:/usr/bin:/bin");
	env[n++] = mem_strdup("LANG=C.UTF-8");
	if (getenv("TZ") != NULL)
		env[n++] = mem_printf("TZ=%s", getenv("TZ"));
	return env;
}

int
tl_start(struct tl *t, const struct tl_spec *sp)
{
	int	 link[2] = { -1, -1 }, board;
	char	**env;

	memset(t, 0, sizeof(*t));
	t->pid = t->pidfd = t->fd = t->err_fd = -1;
	board = memfd_create("board", MFD_CLOEXEC);
	t->err_fd = memfd_create("stderr", MFD_CLOEXEC);
	if (board == -1 || t->err_fd == -1 || ftruncate(board, BOARD_BYTES) == -1 ||
	    fcntl(t->err_fd, F_SETFL, O_APPEND) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) == -1)
		return -1;
	if (!msgpack_zone_init(&t->zone, 8192))
		abort();
	t->born = clock_mono();
	env = environment(sp);
	t->pid = fork();
	if (t->pid == 0)
		exec_program(sp, env, link[1], board, t->err_fd);
	for (size_t i = 0; env[i] != NULL; i++)
		mem_wipe_free(&env[i]);
	free(env);
	close(board);
	close(link[1]);
	t->fd = link[0];
	if (t->pid == -1)
		return -1;
	(void)setpgid(t->pid, t->pid);
	t->pidfd = pidfd_open(t->pid, 0);
	return t->pidfd == -1 ? -1 : 0;
}

const char *
tl_death(const struct tl *t, char *dst, size_t dst_bytes)
{
	if (!t->dead)
		snprintf(dst, dst_bytes, "runs");
	else if (WIFSIGNALED(t->status))
		snprintf(dst, dst_bytes, "was killed by signal %d (%s)", WTERMSIG(t->status),
		    strsignal(WTERMSIG(t->status)));
	else
		snprintf(dst, dst_bytes, "exited with status %d", WEXITSTATUS(t->status));
	return dst;
}

void
tl_close(struct tl *t)
{
	if (t->fd != -1)
		close(t->fd);
	t->fd = -1;
	t->gone = true;
}

static void
reap(struct tl *t)
{
	if (t->dead || waitpid(t->pid, &t->status, WNOHANG) != t->pid)
		return;
	t->dead = true;
}

void
tl_kill(struct tl *t)
{
	struct pollfd	 p = { .fd = t->pidfd, .events = POLLIN };

	tl_close(t);
	if (t->pid <= 0 || t->dead)
		return;
	(void)kill(-t->pid, SIGKILL);
	(void)poll(&p, 1, KILLED_MS);
	reap(t);
}

void
tl_end(struct tl *t)
{
	tl_kill(t);
	if (t->pidfd != -1)
		close(t->pidfd);
	if (t->err_fd != -1)
		close(t->err_fd);
	if (t->pid != -1)
		msgpack_zone_destroy(&t->zone);
	buf_fini(&t->in);
	buf_fini(&t->events);
	buf_fini(&t->verbs);
	for (size_t i = 0; i < t->calls_n; i++)
		free(t->calls[i].route);
	t->calls_n = 0;
}

/* ---- what it is told ---- */

void
tl_raw(struct tl *t, const void *bytes, size_t n)
{
	const char	*p = bytes;
	ssize_t		 done;

	while (n > 0 && t->fd != -1) {
		done = send(t->fd, p, n, MSG_NOSIGNAL);
		if (done == -1 && errno == EINTR)
			continue;
		if (done <= 0)
			return;		/* it is gone, and reading will say so */
		p += done;
		n -= (size_t)done;
	}
}

static void
pack(struct buf *b, enum msg_type type, const void *src)
{
	const char	*why = "?";
	uint32_t	 n;

	buf_add(b, "\0\0\0\0", 4);
	if (msg_pack(b, type, src, &why) == -1)
		abort();
	n = (uint32_t)b->n - 4;
	for (int i = 0; i < 4; i++)
		b->p[b->off + (size_t)i] = (char)(n >> (24 - 8 * i) & 0xff);
}

void
tl_send(struct tl *t, enum msg_type type, const void *src)
{
	struct buf	 b = { 0 };

	pack(&b, type, src);
	tl_raw(t, buf_span(&b).p, b.n);
	buf_fini(&b);
}

void
tl_send_slowly(struct tl *t, enum msg_type type, const void *src)
{
	struct buf	 b = { 0 };

	pack(&b, type, src);
	for (size_t i = 0; i < b.n; i++) {
		tl_raw(t, buf_span(&b).p + i, 1);
		if (i < 32)
			(void)poll(NULL, 0, 2);
	}
	buf_fini(&b);
}

void
tl_hello(struct tl *t, const struct tl_spec *sp)
{
	struct msg_HELLO	 m = {
		.version = PROTO_VERSION, .role = span_of(sp->role), .pool = SPAN(TL_POOL),
		.generation = 1, .credit = TL_CREDIT, .hang_ms = 10000, .drain_ms = TL_FINISH_MS,
		.last_word_ms = TL_LAST_WORD_MS, .options = sp->options,
	};

	t->hello = true;
	t->greeted = clock_mono();
	tl_send(t, MSG_HELLO, &m);
}

/* ---- what it says ---- */

static void __attribute__((format(printf, 2, 3)))
violation(struct tl *t, const char *fmt, ...)
{
	va_list	 ap;

	if (t->bad[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(t->bad, sizeof(t->bad), fmt, ap);
	va_end(ap);
}

struct tl_delivery *
tl_delivery(struct tl *t, uint64_t id)
{
	for (size_t i = 0; i < t->deliveries_n; i++)
		if (t->deliveries[i].id == id)
			return &t->deliveries[i];
	return NULL;
}

static struct tl_call *
call_find(struct tl *t, uint64_t number, bool stream)
{
	for (size_t i = 0; i < t->calls_n; i++)
		if (t->calls[i].stream == stream && t->calls[i].number == number)
			return &t->calls[i];
	return NULL;
}

static const struct tl_call *
done_find(const struct tl_call *calls, size_t n, uint64_t delivery, uint64_t ordinal)
{
	for (size_t i = 0; i < n; i++)
		if (calls[i].delivery == delivery && calls[i].ordinal == ordinal)
			return &calls[i];
	return NULL;
}

static void
delivery_ends(struct tl *t, const char *what, uint64_t id, uint64_t reason)
{
	struct tl_delivery	*d = tl_delivery(t, id);

	t->happened++;
	if (d == NULL) {
		violation(t, "%s of a delivery that it was not given", what);
		return;
	}
	if (d->ended) {
		violation(t, "%s of a delivery that it had %s already", what,
		    d->acked ? "acked" : "handed back");
		return;
	}
	d->ended = true;
	d->acked = reason == 0;
	d->reason = reason;
	for (size_t i = 0; d->acked && i < t->calls_n; i++)
		if (t->calls[i].delivery == id && !t->calls[i].answered)
			violation(t, "ACK while a %s of that delivery was open (%s)",
			    t->calls[i].stream ? "stream" : "call", t->calls[i].route);
}

/* Like a Discord where everything succeeds. */
static void
answer_call(struct tl *t, struct tl_call *c, uint64_t error)
{
	struct msg_RESULT	 r = { .call = c->number, .error = error };
	char			 body[160];

	c->answered = true;
	if (error == 17) {		/* EHTTP */
		r.status = 403;
		r.why = SPAN("403 Forbidden");
		r.body = SPAN("{\"message\": \"Missing Access\", \"code\": 50001}");
	} else if (error != 0) {
		r.why = SPAN("as the test wants it");
	} else if (strncmp(c->route, "GET ", 4) == 0 || strncmp(c->route, "HEAD ", 5) == 0) {
		r.status = 200;
		r.body = strstr(c->route, "/messages") != NULL ? SPAN("[]") : SPAN("{}");
	} else if (strncmp(c->route, "PUT ", 4) == 0 || strncmp(c->route, "DELETE ", 7) == 0 ||
	    strstr(c->route, "/callback") != NULL) {
		r.status = 204;
	} else {
		r.status = 200;
		r.id = c->id;
		snprintf(body, sizeof(body), "{\"id\": \"%" PRIu64 "\", \"content\": \"\","
		    " \"author\": {\"id\": \"" USER_ID "\", \"bot\": true}}", c->id);
		r.body = span_of(body);
	}
	tl_send(t, MSG_RESULT, &r);
}

static void
answer_stream(struct tl *t, struct tl_call *c, uint64_t error)
{
	struct msg_STREAM_STATE	 m = { .stream = c->number, .state = 1 };

	if (error != 0) {
		c->answered = true;
		m.state = 7;
		m.error = error;
		m.why = SPAN("as the test wants it");
	} else if (c->complete) {
		c->answered = true;
		m.state = 5;
		m.message = c->id;
		m.shown = c->text_bytes;
	}
	tl_send(t, MSG_STREAM_STATE, &m);
}

static void
answer(struct tl *t, struct tl_call *c, uint64_t error)
{
	if (c->stream)
		answer_stream(t, c, error);
	else
		answer_call(t, c, error);
}

static bool
is_held(const struct tl *t, const struct tl_call *c)
{
	return t->answers == TL_HOLD && (t->hold_for == 0 || t->hold_for == c->delivery);
}

/* A call or a stream begins: whose, and is its ordinal used as it should be? */
static struct tl_call *
call_new(struct tl *t, uint64_t number, uint64_t delivery, uint64_t ordinal, char *route,
    bool stream)
{
	struct tl_delivery	*d = delivery == 0 ? NULL : tl_delivery(t, delivery);
	const struct tl_call	*before;
	struct tl_call		*c;

	t->happened++;
	if (call_find(t, number, stream) != NULL)
		violation(t, "number %" PRIu64 " used twice (%s)", number, route);
	if (delivery != 0 && d == NULL)
		violation(t, "%s for a delivery that it was not given", route);
	else if (d != NULL && d->ended)
		violation(t, "%s for a delivery that it had %s already", route,
		    d->acked ? "acked" : "handed back");
	if (d != NULL && d->begun == 0)
		d->begun = t->happened;
	before = ordinal == 0 ? NULL : done_find(t->calls, t->calls_n, delivery, ordinal);
	if (before == NULL && ordinal != 0)
		before = done_find(t->done, t->done_n, delivery, ordinal);
	if (before != NULL && strcmp(before->route, route) != 0)
		violation(t, "ordinal %" PRIu64 " was %s, is now %s", ordinal, before->route, route);
	if (before == NULL && ordinal != 0 && t->done_n > 0)
		violation(t, "%s with ordinal %" PRIu64 ": the first attempt had no such call, so"
		    " it would be done a second time", route, ordinal);
	if (t->calls_n == TL_CALLS_MAX) {
		violation(t, "more than %d calls", TL_CALLS_MAX);
		free(route);
		return NULL;
	}
	c = &t->calls[t->calls_n++];
	*c = (struct tl_call){
		.number = number, .delivery = delivery, .ordinal = ordinal, .route = route,
		.stream = stream,
		.id = before != NULL ? before->id : ((clock_wall_ms() - 1420070400000ull) << 22) +
		    t->calls_n,
	};
	return c;
}

static void
on_call(struct tl *t, const struct msg_CALL *m)
{
	const char	*bad;
	char		*route = mem_printf("%.*s %.*s", (int)m->verb.n, m->verb.p,
			    (int)m->path.n, m->path.p);
	struct tl_call	*c;
	bool		 discord = span_is(m->service, "discord");

	if (discord && (bad = request_check(m->verb, m->path)) != NULL)
		violation(t, "CALL of %s: %s", route, bad);
	else if (discord && request_changes(m->verb) && m->ordinal == 0 && m->delivery != 0)
		violation(t, "%s changes something and has ordinal 0", route);
	else if (discord && !request_changes(m->verb) && m->ordinal != 0)
		violation(t, "%s only reads and has ordinal %" PRIu64, route, m->ordinal);
	c = call_new(t, m->call, m->delivery, m->ordinal, route, false);
	if (c == NULL)
		return;
	if (!discord)
		answer_call(t, c, 11);		/* ESERVICE: there is none */
	else if (t->answers == TL_REFUSE)
		answer_call(t, c, 17);		/* EHTTP */
	else if (!is_held(t, c))
		answer_call(t, c, 0);
}

static void
on_stream(struct tl *t, const struct msg_in *in)
{
	struct tl_call	*c;

	switch (in->type) {
	case MSG_STREAM_OPEN:
		c = call_new(t, in->STREAM_OPEN.stream, in->STREAM_OPEN.delivery,
		    in->STREAM_OPEN.ordinal, mem_strdup("stream"), true);
		if (c != NULL && !is_held(t, c))
			answer_stream(t, c, t->answers == TL_REFUSE ? 17 : 0);
		return;
	case MSG_STREAM_TEXT:
		c = call_find(t, in->STREAM_TEXT.stream, true);
		if (c == NULL)
			violation(t, "STREAM_TEXT of a stream that was not opened");
		else if (in->STREAM_TEXT.offset > c->text_bytes)
			violation(t, "STREAM_TEXT leaves a gap at byte %zu", c->text_bytes);
		else if (in->STREAM_TEXT.offset + in->STREAM_TEXT.text.n > c->text_bytes)
			c->text_bytes = in->STREAM_TEXT.offset + in->STREAM_TEXT.text.n;
		return;
	default:
		c = call_find(t, in->STREAM_END.stream, true);
		if (c == NULL) {
			violation(t, "STREAM_END of a stream that was not opened");
			return;
		}
		c->complete = true;
		if (!c->answered && !is_held(t, c))
			answer_stream(t, c, 0);
	}
}

static void
on_ready(struct tl *t, const struct msg_READY *m)
{
	if (t->ready)
		violation(t, "READY twice");
	else if (m->version != PROTO_VERSION)
		violation(t, "READY with version %" PRIu64 ", this program speaks %d", m->version,
		    PROTO_VERSION);
	t->ready = true;
	t->ready_ms = mono_ms_between(t->greeted, clock_mono());
	buf_add_span(&t->events, m->events.raw);
	buf_add_span(&t->verbs, m->verbs.raw);
}

static void
on_msg(struct tl *t, const struct msg_in *in)
{
	const struct msg_def	*def = msg_def(in->type);

	if (!t->hello) {
		violation(t, "%s before HELLO: the supervisor speaks first", def->name);
		return;
	}
	if (def->sender != MSG_FROM_WORKER && def->sender != MSG_FROM_EITHER) {
		violation(t, "%s is not for a worker to send", def->name);
		return;
	}
	switch (in->type) {
	case MSG_READY:
		on_ready(t, &in->READY);
		return;
	case MSG_LOG:
	case MSG_COUNT:
	case MSG_SESSION:
		return;
	case MSG_PING:
		tl_send(t, MSG_PONG, &(struct msg_PONG){ .cookie = in->PING.cookie });
		return;
	default:
		break;
	}
	if (!t->ready) {
		violation(t, "%s before READY", def->name);
		return;
	}
	switch (in->type) {
	case MSG_ACK:
		delivery_ends(t, "ACK", in->ACK.delivery, 0);
		return;
	case MSG_NACK:
		delivery_ends(t, "NACK", in->NACK.delivery, in->NACK.reason);
		return;
	case MSG_CALL:
		on_call(t, &in->CALL);
		return;
	case MSG_STREAM_OPEN:
	case MSG_STREAM_TEXT:
	case MSG_STREAM_END:
		on_stream(t, in);
		return;
	case MSG_PONG:
		t->pongs = in->PONG.cookie;
		return;
	case MSG_BEAT:
		return;
	case MSG_RESULT:
		if (t->asked == 0 || in->RESULT.call != t->asked || t->told)
			violation(t, "RESULT of a call that it was not asked");
		t->told = true;
		t->told_error = in->RESULT.error;
		return;
	default:
		violation(t, "%s, which a handler does not send", def->name);
	}
}

static void
take_frames(struct tl *t)
{
	struct span	 all;
	struct msg_in	 in;
	uint32_t	 n;

	while (t->bad[0] == '\0' && (all = buf_span(&t->in)).n >= 4) {
		n = 0;
		for (int i = 0; i < 4; i++)
			n = n << 8 | (unsigned char)all.p[i];
		if (n > PROTO_FRAME_MAX || n == 0) {
			violation(t, "a frame of %" PRIu32 " bytes: is that a length?", n);
			return;
		}
		if (all.n - 4 < n)
			return;
		if (msg_unpack(span_make(all.p + 4, n), &t->zone, &in) == -1)
			violation(t, "a frame that is no message: %s", in.why);
		else
			on_msg(t, &in);
		msgpack_zone_clear(&t->zone);
		buf_drop(&t->in, 4 + n);
	}
}

static void
read_link(struct tl *t)
{
	ssize_t	 n = recv(t->fd, buf_room(&t->in, 65536), 65536, MSG_DONTWAIT);

	if (n > 0)
		buf_added(&t->in, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->gone = true;
	take_frames(t);
}

bool
tl_until(struct tl *t, bool (*cond)(const struct tl *), uint64_t ms)
{
	struct mono	 end = mono_add_ms(clock_mono(), ms);
	struct pollfd	 p[2];
	uint64_t	 left;

	while (!cond(t)) {
		left = mono_ms_until(clock_mono(), end);
		if (t->bad[0] != '\0' || t->dead || left == 0)
			return false;
		p[0] = (struct pollfd){ .fd = t->gone ? -1 : t->fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = t->pidfd, .events = POLLIN };
		if (poll(p, 2, left > 60000 ? 60000 : (int)left) == -1 && errno != EINTR)
			return false;
		/* What it said before its end counts. */
		if (p[0].revents != 0)
			read_link(t);
		else if (p[1].revents != 0)
			reap(t);
	}
	return true;
}

void
tl_release(struct tl *t, uint64_t error)
{
	size_t	 n = t->calls_n;

	t->answers = TL_SUCCEED;
	for (size_t i = 0; i < n; i++)
		if (!t->calls[i].answered)
			answer(t, &t->calls[i], error);
}
