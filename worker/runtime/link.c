/*
 * link - see link.h.
 */
#include <assert.h>
#include <poll.h>
#include <stdlib.h>

#include "common/chan.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/contract.h"
#include "worker/runtime/link.h"

struct link {
	struct chan		*chan;
	const struct link_ops	*ops;
	void			*arg;
	msgpack_zone		 zone;
	bool			 logging;	/* inside pass_log */
	bool			 bad;
};

void
link_send(struct link *k, enum msg_type type, const void *src)
{
	if (chan_gone(k->chan))
		return;
	if (chan_send(k->chan, type, src) == -1 && !chan_gone(k->chan))
		log_err("link: a %s of ours does not fit the table", msg_name(type));
}

static void
take(struct link *k, const struct msg_in *in)
{
	if (in->type == MSG_PING) {
		struct msg_PONG	 pong = { .cookie = in->PING.cookie };

		link_send(k, MSG_PONG, &pong);
	} else if (in->type != MSG_PONG)
		k->ops->on_msg(k->arg, in);
}

static void
on_frame(struct chan *c, struct span frame, void *arg)
{
	struct link		*k = arg;
	struct msg_in		 in;
	const struct msg_def	*def;
	const char		*why = NULL;

	(void)c;
	if (k->bad)
		return;
	if (msg_unpack(frame, &k->zone, &in) == -1)
		why = in.why;
	else {
		def = msg_def(in.type);
		if (def->sender != MSG_FROM_SUPERVISOR && def->sender != MSG_FROM_EITHER)
			why = "a message that a supervisor does not send";
		else
			take(k, &in);
		if (in.type == MSG_HELLO)
			explicit_bzero((void *)(uintptr_t)frame.p, frame.n);
	}
	msgpack_zone_clear(&k->zone);
	if (why != NULL) {
		k->bad = true;
		k->ops->on_bad(k->arg, why);
	}
}

static void
on_gone(struct chan *c, const char *why, void *arg)
{
	struct link	*k = arg;

	(void)c;
	k->ops->on_gone(k->arg, why);
}

struct link *
link_new(struct loop *loop, int fd, const struct link_ops *ops, void *arg)
{
	static const struct chan_ops	 chan_ops = { on_frame, on_gone };
	struct link			*k = mem_alloc(sizeof(*k));

	k->ops = ops;
	k->arg = arg;
	if (!msgpack_zone_init(&k->zone, MSGPACK_ZONE_CHUNK_SIZE)) {
		free(k);
		return NULL;
	}
	k->chan = chan_new(loop, fd, "link", PROTO_FRAME_MAX, &chan_ops, k);
	return k;
}

void
link_free(struct link **kp)
{
	struct link	*k = *kp;

	if (k == NULL)
		return;
	log_redirect(NULL, NULL);
	chan_free(&k->chan);
	msgpack_zone_destroy(&k->zone);
	free(k);
	*kp = NULL;
}

/* Runs inside the log: whatever goes wrong here must not be logged again. */
static void
pass_log(int level, const char *class, const char *line, void *arg)
{
	struct link	*k = arg;
	struct msg_LOG	 m = { .level = (uint64_t)level, .class = span_of(class),
	    .line = span_of(line) };

	if (k->logging || chan_gone(k->chan) || m.line.n == 0)
		return;
	if (chan_queued_bytes(k->chan) > LINK_LOG_QUEUE_MAX) {
		COUNT(log_dropped);
		return;
	}
	if (m.line.n > 1024)
		m.line.n = 1024;
	k->logging = true;
	(void)chan_send(k->chan, MSG_LOG, &m);
	k->logging = false;
}

void
link_log(struct link *k)
{
	log_redirect(pass_log, k);
}

void
link_flush(struct link *k, uint64_t ms)
{
	struct mono	 end = mono_add_ms(clock_mono(), ms);
	struct pollfd	 p = { .fd = chan_fd(k->chan), .events = POLLOUT };
	uint64_t	 left;

	chan_flush(k->chan);
	while (!chan_gone(k->chan) && chan_queued_bytes(k->chan) > 0 &&
	    (left = mono_ms_until(clock_mono(), end)) > 0) {
		if (poll(&p, 1, (int)left) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0)
			return;
		chan_flush(k->chan);
	}
}
