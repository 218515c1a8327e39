/*
 * notify - what a process manager is told: ready, how it goes, alive, stopping.
 *
 * systemd's datagrams (sd_notify(3): READY=1, STATUS=, WATCHDOG=1, RELOADING=1, STOPPING=1,
 * EXTEND_TIMEOUT_USEC=), and the newline on a descriptor that s6 waits for.  The watchdog is fed by
 * the loop itself: a loop that hangs feeds nothing.  Sixty lines instead of libsystemd, whose
 * sd_notify waits when the manager does not read: nothing here waits.
 *
 * Owner: struct sup.  Every function takes NULL: nobody listens.
 */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/loop.h"

struct notify;

struct notify_env {
	const char	*socket;	/* NOTIFY_SOCKET, or NULL */
	const char	*usec;		/* WATCHDOG_USEC, or NULL */
	const char	*pid;		/* WATCHDOG_PID: for this process when absent or equal */
	int		 ready_fd;	/* -1, or gets "\n" when ready and is closed then */
};

struct notify_ops {			/* both are asked every 2 s, and by notify_look */
	bool	(*is_ready)(void *arg);	/* no more once it said so */
	void	(*status)(void *arg, char *dst, size_t bytes);	/* one line */
};

/* NULL when nobody is named in env. */
struct notify	*notify_new(struct loop *, const struct notify_env *, const struct notify_ops *,
		    void *arg);
void		 notify_free(struct notify **);

/* Something changed that readiness hangs on. */
void		 notify_look(struct notify *);
void		 notify_reloading(struct notify *);
void		 notify_reloaded(struct notify *);
/* bound_ms: how long the stop may take. */
void		 notify_stopping(struct notify *, uint64_t bound_ms);

#endif
