/*
 * chan - frames over a stream socket in the event loop.
 */
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/fault.h"
#include "common/log.h"

#define HEAD_BYTES	4
#define TURN_BYTES	(256u * 1024)	/* most that one peer is read in one turn */
#define READ_BYTES	(32u * 1024)	/* at a time, unless the frame is known to be longer */
#define KEEP_BYTES	TURN_BYTES	/* what an idle buffer keeps: a busy one is not made anew each turn */

struct chan {
	struct loop		*loop;
	struct watch		*watch;
	struct chan_ops		 ops;
	void			*arg;
	int			 fd;
	char			 tag[64];
	size_t			 frame_max;
	size_t			 out_max;	/* 0: no bound */
	struct buf		 in;
	struct buf		 out;
	size_t			 open_at;	/* where in out the open frame begins */
	struct loop_job		 job;		/* this turn's write; on_gone of a call */

	bool			 open;		/* between chan_begin and chan_end */
	bool			 blocked;	/* the socket is full; the watch waits */
	bool			 fresh;		/* frames that CHAN_SHORT_WRITE has not seen */
	bool			 held;		/* it struck: the rest waits a turn */
	bool			 judging;	/* inside fault_hits */
	bool			 mute;		/* writing failed; reading goes on */
	bool			 cast_off;	/* it does not read: gone without reading more */
	bool			 gone;		/* on_gone was called */
	bool			 freed;
	char			 why[160];	/* with mute or cast_off */
};

static void
be32_put(char *p, uint32_t v)
{
	for (int i = 0; i < HEAD_BYTES; i++)
		p[i] = (char)(v >> (24 - 8 * i) & 0xff);
}

static uint32_t
be32_get(const char *p)
{
	uint32_t	 v = 0;

	for (int i = 0; i < HEAD_BYTES; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static bool
dead(const struct chan *c)
{
	return c->gone || c->freed;
}

static void
set_interest(struct chan *c)
{
	int	 what = 0;

	if (!dead(c)) {
		if (!c->cast_off)
			what |= LOOP_READ;
		if (c->blocked && !c->mute)
			what |= LOOP_WRITE;
	}
	watch_set(c->watch, what);
}

static void
say_gone(struct chan *c, const char *why)
{
	if (dead(c))
		return;
	log_trace("chan", "%s gone: %s", c->tag, why);
	c->gone = true;
	set_interest(c);
	loop_job_cancel(c->loop, &c->job);
	buf_fini(&c->out);
	c->open = false;
	c->ops.on_gone(c, why, c->arg);
}

/* Whole frames that were read go out until one of them frees or breaks the channel. */
static void
deliver(struct chan *c)
{
	while (!dead(c) && c->in.n >= HEAD_BYTES) {
		struct span	 all = buf_span(&c->in);
		uint32_t	 n = be32_get(all.p);

		if (n > c->frame_max) {
			char	 why[96];

			snprintf(why, sizeof(why), "frame of %u bytes above cap %zu",
			    (unsigned)n, c->frame_max);
			say_gone(c, why);
			return;
		}
		if (all.n - HEAD_BYTES < n)
			break;
		c->ops.on_frame(c, span_make(all.p + HEAD_BYTES, n), c->arg);
		buf_drop(&c->in, HEAD_BYTES + n);
	}
	/* A freed channel is still whole here: its memory goes in the tail. */
	buf_shrink(&c->in, KEEP_BYTES);
}

/* What a read has to hold: the rest of the frame that has begun, or a buffer of small ones. */
static size_t
read_want(const struct chan *c, size_t left)
{
	size_t	 want = READ_BYTES;

	if (c->in.n >= HEAD_BYTES) {
		size_t	 whole = HEAD_BYTES + be32_get(buf_span(&c->in).p);

		if (whole - c->in.n > want)
			want = whole - c->in.n;
	}
	return want < left ? want : left;
}

/* Reads at most one turn's share.  False when the socket is empty. */
static bool
read_some(struct chan *c)
{
	size_t	 left = TURN_BYTES;

	while (left > 0 && !dead(c)) {
		size_t	 want = read_want(c, left);
		ssize_t	 n = recv(c->fd, buf_room(&c->in, want), want, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		if (n <= 0) {
			char	 why[160];

			if (c->mute)
				snprintf(why, sizeof(why), "%s", c->why);
			else if (n < 0)
				snprintf(why, sizeof(why), "read: %s", strerror(errno));
			else
				snprintf(why, sizeof(why), "end of file%s",
				    c->in.n > 0 ? " inside a frame" : "");
			say_gone(c, why);
			return false;
		}
		buf_added(&c->in, (size_t)n);
		left -= (size_t)n;
		deliver(c);
		if ((size_t)n < want)
			return false;	/* the watch tells when more comes */
	}
	return true;
}

/*
 * Writes what the socket takes of the frames that are complete, at most max bytes.
 * A failure makes the channel mute and leaves the rest to the job: never a callback from here.
 */
static void
write_some(struct chan *c, size_t max)
{
	size_t	 n = c->open ? c->open_at : c->out.n;
	ssize_t	 done;

	if (dead(c) || c->mute || c->held)
		return;
	if (n > max)
		n = max;
	if (n > 0) {
		do
			done = send(c->fd, buf_span(&c->out).p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (done < 0 && errno == EINTR);
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			done = 0;
		if (done < 0) {
			snprintf(c->why, sizeof(c->why), "write: %s", strerror(errno));
			c->mute = true;
			set_interest(c);
			loop_job_queue(c->loop, &c->job);
			return;
		}
		buf_drop(&c->out, (size_t)done);
		if (c->open)
			c->open_at -= (size_t)done;
		n -= (size_t)done;
	}
	if (c->blocked != (n > 0)) {
		c->blocked = n > 0;
		set_interest(c);
	}
	buf_shrink(&c->out, KEEP_BYTES);
}

/* FAULT CHAN_SHORT_WRITE: arg bytes, or half of what waits, now; the rest in the next turn. */
static bool
short_write(struct chan *c)
{
	size_t	 n = c->out.n, piece;
	bool	 strikes;

	if (!c->fresh || n < 2)
		return false;
	c->fresh = false;
	/* The line that it logs may be a frame on this channel, which must not strike again. */
	c->judging = true;
	strikes = fault_hits(FAULT_CHAN_SHORT_WRITE, span_of(c->tag));
	c->judging = false;
	if (!strikes)
		return false;
	piece = fault_arg(FAULT_CHAN_SHORT_WRITE, n / 2);
	write_some(c, piece < 1 || piece >= n ? n / 2 : piece);
	if (c->mute)
		return true;
	c->held = true;
	loop_job_queue(c->loop, &c->job);
	return true;
}

static void
run_job(void *arg)
{
	struct chan	*c = arg;

	c->held = false;
	if (c->cast_off) {
		say_gone(c, c->why);
		return;
	}
	deliver(c);
	if (dead(c))
		return;
	if (!c->mute && !c->blocked && !short_write(c))
		write_some(c, SIZE_MAX);
	if (c->mute) {
		/* ACKs that a dying worker sent last are in the socket still. */
		bool	 more = read_some(c);

		if (dead(c))
			return;
		if (more)
			loop_job_queue(c->loop, &c->job);
		else
			say_gone(c, c->why);
	}
}

static void
ready(int fd, int what, void *arg)
{
	struct chan	*c = arg;

	(void)fd;
	if (what == LOOP_READ) {
		read_some(c);
	} else {
		c->blocked = false;
		write_some(c, SIZE_MAX);
		set_interest(c);
	}
}

struct chan *
chan_new(struct loop *l, int fd, const char *tag, size_t frame_max_bytes,
    const struct chan_ops *ops, void *arg)
{
	struct chan	*c = mem_alloc(sizeof(*c));
	int		 flags = fcntl(fd, F_GETFL);

	assert(flags != -1);
	(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	c->loop = l;
	c->fd = fd;
	c->frame_max = frame_max_bytes > UINT32_MAX ? UINT32_MAX : frame_max_bytes;
	c->ops = *ops;
	c->arg = arg;
	c->job = (struct loop_job){ .fn = run_job, .arg = c };
	snprintf(c->tag, sizeof(c->tag), "%s", tag);
	c->watch = watch_new(l, fd, ready, c);
	set_interest(c);
	return c;
}

static void
free_parked(void *arg)
{
	struct chan	*c = arg;

	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

void
chan_free(struct chan **cp)
{
	struct chan	*c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	assert(!c->freed);
	c->held = false;
	write_some(c, SIZE_MAX);
	c->freed = true;
	watch_free(&c->watch);
	loop_job_cancel(c->loop, &c->job);
	close(c->fd);
	c->fd = -1;
	loop_park(c->loop, c, free_parked);
}

struct buf *
chan_begin(struct chan *c)
{
	assert(!c->open && !c->freed);
	c->open = true;
	c->open_at = c->out.n;
	buf_add(&c->out, "\0\0\0\0", HEAD_BYTES);
	return &c->out;
}

/* The open frame was never begun. */
static void
take_back(struct chan *c)
{
	c->out.n = c->open_at;
	c->open = false;
	buf_shrink(&c->out, KEEP_BYTES);
}

int
chan_end(struct chan *c)
{
	size_t	 n;

	assert(c->open && !c->freed);
	n = c->out.n - c->open_at - HEAD_BYTES;
	if (chan_gone(c)) {
		take_back(c);
		return 0;
	}
	if (n > c->frame_max) {
		take_back(c);
		errno = EMSGSIZE;
		return -1;
	}
	be32_put(c->out.p + c->out.off + c->open_at, (uint32_t)n);
	c->open = false;
	if (!c->judging)
		c->fresh = true;
	if (c->out_max != 0 && c->out.n > c->out_max) {
		write_some(c, SIZE_MAX);	/* what came in this turn alone is not its fault */
		if (c->out.n > c->out_max && !c->mute) {
			snprintf(c->why, sizeof(c->why), "does not read: %zu bytes above cap %zu",
			    c->out.n, c->out_max);
			c->cast_off = true;
			buf_reset(&c->out);
			set_interest(c);
		}
	}
	loop_job_queue(c->loop, &c->job);
	return 0;
}

int
chan_send(struct chan *c, enum msg_type type, const void *src)
{
	const char	*why = "?";

	if (msg_pack(chan_begin(c), type, src, &why) == -1) {
		take_back(c);
		log_warnx("%s %s not sent: %s", c->tag, msg_name(type), why);
		errno = EINVAL;
		return -1;
	}
	return chan_end(c);
}

void
chan_flush(struct chan *c)
{
	write_some(c, SIZE_MAX);
}

size_t
chan_queued_bytes(const struct chan *c)
{
	return c->mute || c->cast_off ? 0 : c->out.n;
}

bool
chan_gone(const struct chan *c)
{
	return c->gone || c->mute || c->cast_off;
}

void
chan_out_max(struct chan *c, size_t max_bytes)
{
	c->out_max = max_bytes;
}

int
chan_fd(const struct chan *c)
{
	return c->fd;
}
