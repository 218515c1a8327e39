/*
 * notify - see notify.h.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/span.h"
#include "supervisor/control/notify.h"

#define TICK_MS		2000	/* between two looks at the status line */
#define STARTING_MS	30000	/* further time that a start asks for at each tick */
#define SLACK_MS	5000	/* beyond the bound of a stop */

struct notify {
	struct loop		*loop;
	struct sockaddr_un	 to;
	socklen_t		 to_bytes;
	int			 fd;		/* -1: no socket is named */
	int			 ready_fd;	/* -1: none, or told */
	bool			 ready, stopping, watched;
	uint64_t		 tick_ms;
	struct timer		*tick;
	char			 said[256];	/* the last status line */
	const struct notify_ops	*ops;
	void			*arg;
};

/* Never waits; what a manager does not read is lost, and the next one says it again. */
static void
say(struct notify *n, const char *text)
{
	if (n->fd == -1)
		return;
	if (sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
	    (const struct sockaddr *)&n->to, n->to_bytes) == -1)
		log_debug("notify: %s", strerror(errno));
}

static void
say_status(struct notify *n)
{
	char	 line[sizeof(n->said)], text[sizeof(n->said) + 16];

	n->ops->status(n->arg, line, sizeof(line));
	if (strcmp(line, n->said) == 0)
		return;
	strlcpy(n->said, line, sizeof(n->said));
	snprintf(text, sizeof(text), "STATUS=%s", line);
	say(n, text);
}

static void
tell_ready(struct notify *n)
{
	n->ready = true;
	say(n, "READY=1");
	if (n->ready_fd == -1)
		return;
	if (write(n->ready_fd, "\n", 1) != 1)
		log_warn("the descriptor for readiness");
	(void)close(n->ready_fd);
	n->ready_fd = -1;
}

static void
extend(struct notify *n, uint64_t ms)
{
	char	 text[64];

	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRIu64, ms * 1000);
	say(n, text);
}

static void
tick(void *arg)
{
	struct notify	*n = arg;

	timer_arm_ms(n->tick, n->tick_ms);
	if (n->watched)
		say(n, "WATCHDOG=1");
	notify_look(n);
	/* How long a start waits is start_patience's business, and Discord's identify budget. */
	if (!n->ready && !n->stopping)
		extend(n, n->tick_ms + STARTING_MS);
}

/* A path, or a name of the abstract namespace behind '@'.  sd_notify(3) */
static int
address(struct notify *n, const char *socket)
{
	size_t	 len = strlen(socket);

	if ((socket[0] != '/' && socket[0] != '@') || len < 2 || len >= sizeof(n->to.sun_path))
		return -1;
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, socket, len);
	if (socket[0] == '@')
		n->to.sun_path[0] = '\0';
	n->to_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 0;
}

/* Half of what the manager asks for, and never seldomer than the status line. */
static void
read_watchdog(struct notify *n, const struct notify_env *env)
{
	uint64_t	 usec, pid;

	if (env->usec == NULL || !span_u64(span_of(env->usec), &usec) || usec == 0)
		return;
	if (env->pid != NULL &&
	    (!span_u64(span_of(env->pid), &pid) || pid != (uint64_t)getpid()))
		return;
	n->watched = true;
	if (usec / 2000 < n->tick_ms)
		n->tick_ms = usec / 2000 == 0 ? 1 : usec / 2000;
}

struct notify *
notify_new(struct loop *l, const struct notify_env *env, const struct notify_ops *ops, void *arg)
{
	struct notify	*n;

	if (env->socket == NULL && env->ready_fd == -1)
		return NULL;
	n = mem_alloc(sizeof(*n));
	n->loop = l;
	n->fd = -1;
	n->ready_fd = env->ready_fd;
	n->tick_ms = TICK_MS;
	n->ops = ops;
	n->arg = arg;
	if (env->socket != NULL && address(n, env->socket) == -1)
		log_warnx("NOTIFY_SOCKET is neither a path nor a name behind '@': not used");
	else if (env->socket != NULL &&
	    (n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		log_warn("NOTIFY_SOCKET");
	if (n->fd != -1)
		read_watchdog(n, env);
	n->tick = timer_new(l, tick, n);
	timer_arm_ms(n->tick, 0);
	return n;
}

void
notify_free(struct notify **np)
{
	struct notify	*n = *np;

	if (n == NULL)
		return;
	*np = NULL;
	timer_free(&n->tick);
	if (n->fd != -1)
		(void)close(n->fd);
	if (n->ready_fd != -1)
		(void)close(n->ready_fd);
	free(n);
}

void
notify_look(struct notify *n)
{
	if (n == NULL)
		return;
	if (!n->ready && !n->stopping && n->ops->is_ready(n->arg))
		tell_ready(n);
	say_status(n);
}

void
notify_reloading(struct notify *n)
{
	char	 text[64];

	if (n == NULL)
		return;
	/* Type=notify-reload wants to know when. */
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	    clock_mono().us);
	say(n, text);
}

void
notify_reloaded(struct notify *n)
{
	if (n != NULL && n->ready)
		say(n, "READY=1");
}

void
notify_stopping(struct notify *n, uint64_t bound_ms)
{
	if (n == NULL || n->stopping)
		return;
	n->stopping = true;
	say(n, "STOPPING=1");
	extend(n, bound_ms + SLACK_MS);
	say_status(n);
}
