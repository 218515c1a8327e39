/*
 * link - see link.h.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/msg.h"
#include "proto/contract.h"
#include "supervisor/ctl/link.h"

/* 1 ready, 0 the deadline passed. */
int
link_wait(struct ctl *ctl, int fd, short events)
{
	struct pollfd	 p = { .fd = fd, .events = events };
	uint64_t	 left;
	int		 n;

	for (;;) {
		left = mono_ms_until(clock_mono(), ctl->deadline);
		n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (n > 0)
			return 1;
		if (n == 0 && left <= INT_MAX)
			return 0;
		if (n == -1 && errno != EINTR)
			err(CTL_EXIT_FAILED, "poll");
	}
}

void
link_timed_out(const struct ctl *ctl)
{
	if (ctl->endless)
		exit(CTL_EXIT_OK);
	if (ctl->reads)
		errx(CTL_EXIT_TIMEOUT, "%s: no answer within %llu s: the supervisor is stopped or"
		    " very busy", ctl->path, (unsigned long long)ctl->timeout_ms / 1000);
	errx(CTL_EXIT_TIMEOUT, "not finished within %llu s; it may still be",
	    (unsigned long long)ctl->timeout_ms / 1000);
}

static void __attribute__((noreturn))
unreachable(const struct ctl *ctl, int error)
{
	if (error == EACCES || error == EPERM)
		errx(CTL_EXIT_DENIED, "%s: %s: only root, the user of the supervisor and its group"
		    " may ask", ctl->path, strerror(error));
	errx(CTL_EXIT_UNREACHABLE, "no supervisor answers on %s: %s", ctl->path, strerror(error));
}

/* 0; -1 when nobody answers and that is no reason to end. */
int
link_dial(struct ctl *ctl)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };
	struct ucred		 cred;
	socklen_t		 bytes = sizeof(cred);
	int			 error;

	if (strlcpy(sun.sun_path, ctl->path, sizeof(sun.sun_path)) >= sizeof(sun.sun_path))
		errx(CTL_EXIT_USAGE, "%s: the path of a socket has at most %zu bytes", ctl->path,
		    sizeof(sun.sun_path) - 1);
	if ((ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		err(CTL_EXIT_FAILED, "socket");
	while (connect(ctl->fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		/* EAGAIN: its backlog is full; there is nothing to poll for. */
		error = errno == EAGAIN || errno == EINTR ? 0 : errno;
		if (error == 0 && mono_ms_until(clock_mono(), ctl->deadline) == 0)
			error = ETIMEDOUT;
		if (error != 0) {
			if (!ctl->soft)
				unreachable(ctl, error);
			close(ctl->fd);
			return -1;
		}
		(void)poll(NULL, 0, 20);
	}
	ctl->pidfd = -1;
	if (getsockopt(ctl->fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) == 0 && cred.pid > 0)
		ctl->pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	return 0;
}

void
link_ask(struct ctl *ctl, const struct msg_ASK *ask)
{
	struct buf	 out = { 0 };
	const char	*why = "?";
	uint32_t	 n;
	ssize_t		 done;

	ctl->unread = false;
	buf_add(&out, "\0\0\0\0", 4);
	if (msg_pack(&out, MSG_ASK, ask, &why) == -1)
		errx(CTL_EXIT_USAGE, "%s", why);
	n = (uint32_t)out.n - 4;
	for (int i = 0; i < 4; i++)
		out.p[out.off + (size_t)i] = (char)(n >> (24 - 8 * i) & 0xff);
	while (out.n > 0) {
		done = send(ctl->fd, buf_span(&out).p, out.n, MSG_NOSIGNAL);
		if (done > 0)
			buf_drop(&out, (size_t)done);
		else if (errno == EPIPE || errno == ECONNRESET) {
			ctl->unread = true;
			break;		/* refused: the reason is waiting to be read */
		} else if (errno != EAGAIN && errno != EINTR)
			unreachable(ctl, errno);
		else if (errno == EAGAIN && link_wait(ctl, ctl->fd, POLLOUT) == 0)
			link_timed_out(ctl);
	}
	buf_fini(&out);
}

/* 1 bytes were added, 0 the peer has closed. */
int
link_read(struct ctl *ctl, struct buf *in)
{
	ssize_t	 n;

	for (;;) {
		if (link_wait(ctl, ctl->fd, POLLIN) == 0) {
			if (ctl->soft)
				return 0;
			link_timed_out(ctl);
		}
		n = recv(ctl->fd, buf_room(in, 65536), 65536, 0);
		if (n > 0) {
			buf_added(in, (size_t)n);
			return 1;
		}
		/* So ends a socket whose peer closed it before it had read all that we wrote. */
		if (n == -1 && errno == ECONNRESET)
			ctl->unread = true;
		if (n == 0 || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			unreachable(ctl, errno);
	}
}

static uint32_t
frame_bytes(struct span in)
{
	uint32_t	 n = 0;

	for (int i = 0; i < 4; i++)
		n = n << 8 | (unsigned char)in.p[i];
	return n;
}

/* SAY* and END.  The status of END. */
int
link_answer(struct ctl *ctl)
{
	msgpack_zone	*zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
	struct buf	 in = { 0 };
	struct msg_in	 msg = { .why = "" };
	struct span	 all;
	uint32_t	 n;
	int		 status = -1;

	if (zone == NULL)
		errx(CTL_EXIT_FAILED, "out of memory");
	while (status == -1) {
		all = buf_span(&in);
		n = all.n < 4 ? 0 : frame_bytes(all);
		if (n > PROTO_CTL_FRAME_MAX)
			errx(CTL_EXIT_UNREACHABLE, "%s: what answers there is no supervisor",
			    ctl->path);
		if (all.n < 4 || all.n - 4 < n) {
			if (link_read(ctl, &in) == 1)
				continue;
			if (!ctl->soft && !ctl->again && !ctl->unread)
				errx(CTL_EXIT_UNREACHABLE,
				    "the supervisor closed the connection before it"
				    " had answered");
			status = LINK_LOST;
			break;
		}
		if (msg_unpack(span_make(all.p + 4, n), zone, &msg) == -1)
			errx(CTL_EXIT_UNREACHABLE, "%s: an answer that makes no sense: %s;"
			    " is the supervisor of another release?", ctl->path, msg.why);
		if (msg.type == MSG_SAY && ctl->on_say != NULL)
			ctl->on_say(ctl, msg.SAY.json);
		else if (msg.type == MSG_SAY)
			buf_add_span(&ctl->doc, msg.SAY.json);
		if (msg.type == MSG_END) {
			status = (int)msg.END.status;
			span_copy(msg.END.why, ctl->why, sizeof(ctl->why));
		}
		buf_drop(&in, 4 + n);
	}
	msgpack_zone_free(zone);
	buf_fini(&in);
	return status;
}

void
link_close(struct ctl *ctl)
{
	close(ctl->fd);
	if (ctl->pidfd != -1)
		close(ctl->pidfd);
	ctl->fd = ctl->pidfd = -1;
}

/* One status; NULL while nobody answers.  One that is lost in an upgrade is asked for again. */
json_t *
link_status(struct ctl *ctl)
{
	struct ctl	 one = *ctl;
	struct buf	 words = { 0 };
	json_t		*doc = NULL;
	int		 status = LINK_LOST;

	one.doc = (struct buf){ 0 };
	one.soft = true;
	msg_list_str(&words, SPAN("status"));
	for (int i = 0; i < 2 && status == LINK_LOST && link_dial(&one) == 0; i++) {
		buf_reset(&one.doc);
		link_ask(&one, &(struct msg_ASK){ .version = PROTO_VERSION, .wait = true,
		    .words = msg_list_of(&words) });
		if ((status = link_answer(&one)) == CTL_EXIT_OK)
			doc = json_loadb(buf_span(&one.doc).p, one.doc.n, 0, NULL);
		link_close(&one);
	}
	buf_fini(&words);
	buf_fini(&one.doc);
	return doc;
}

