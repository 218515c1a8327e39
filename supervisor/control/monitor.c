/*
 * monitor - see monitor.h.
 */
#include <sys/socket.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/control/monitor.h"
#include "supervisor/control/status.h"
#include "supervisor/moments.h"

static void
put_moment(struct buf *out, enum moment m, const char *who, const char *text)
{
	struct json_out	 o;
	char		 iso[32];

	json_out_init(&o, out);
	json_obj(&o);
	json_kv_cstr(&o, "at", clock_iso(clock_wall_ms(), iso, sizeof(iso)));
	json_kv_cstr(&o, "event", moment_name(m));
	json_kv_cstr(&o, "who", who);
	json_kv_cstr(&o, "text", text);
	json_obj_end(&o);
}

static void
on_moment(void *arg, enum moment m, const char *who, const char *text)
{
	struct control	*ct = arg;
	struct client	*cl, *next;
	struct buf	 line = { 0 };	/* not the control room's: an answer may be under way in it */
	struct msg_SAY	 say;

	put_moment(&line, m, who, text);
	say.json = buf_span(&line);
	TAILQ_FOREACH_SAFE(cl, &ct->clients, next, next) {
		if (!cl->follows)
			continue;
		if (chan_queued_bytes(cl->chan) > MONITOR_UNREAD_MAX) {
			COUNT(control_slow);
			log_notice("%s does not read what it follows", cl->tag);
			client_drop(cl, "does not read what it follows");
			continue;
		}
		(void)chan_send(cl->chan, MSG_SAY, &say);
	}
	buf_fini(&line);
}

static size_t
followers_n(const struct control *ct)
{
	const struct client	*cl;
	size_t			 n = 0;

	TAILQ_FOREACH(cl, &ct->clients, next)
		n += cl->follows;
	return n;
}

void
cmd_monitor(struct client *cl, const struct ask *ask)
{
	struct control	*ct = cl->control;
	struct buf	 line = { 0 };
	struct msg_SAY	 say;
	char		 text[256];

	(void)ask;
	if (followers_n(ct) >= MONITORS_MAX) {
		client_endf(cl, CTL_EXIT_FAILED, "%d clients follow already", MONITORS_MAX);
		return;
	}
	status_line(ct->sup, text, sizeof(text));
	put_moment(&line, MOMENT_FOLLOWS, "", text);
	say.json = buf_span(&line);
	(void)chan_send(cl->chan, MSG_SAY, &say);
	buf_fini(&line);
	/* What the kernel keeps for a reader that stopped counts too. */
	(void)setsockopt(chan_fd(cl->chan), SOL_SOCKET, SO_SNDBUF, &(int){ MONITOR_UNREAD_MAX },
	    sizeof(int));
	cl->follows = true;
	timer_stop(cl->idle);
	moments_follow(on_moment, ct);
}

void
monitor_left(struct control *ct)
{
	if (followers_n(ct) == 0)
		moments_follow(NULL, NULL);
}

void
monitor_end(struct control *ct)
{
	struct client	*cl;

	TAILQ_FOREACH(cl, &ct->clients, next)
		if (cl->follows)
			client_end(cl, CTL_EXIT_OK, "the supervisor ends");
}
