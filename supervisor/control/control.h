/*
 * control - the control socket: bulkheadctl's other end.  Owner: struct sup.
 *
 * Unix stream socket runtime_dir/control.sock, mode 0660, frames of messages.def (ASK in; SAY*, END
 * out).  Who may read and who may change is decided by SO_PEERCRED: root and our own user may
 * change, members of our group may read.  Peers from our own process tree are refused.  Answers are
 * JSON; bulkheadctl makes text of it.  Bounds: 16 clients, 1 MiB unread output per client (then
 * closed), 30 s without a command.
 */
#ifndef SUPERVISOR_CONTROL_H
#define SUPERVISOR_CONTROL_H

#include "supervisor/supervisor.h"

struct control;

/*
 * NULL with why_r.
 *	fd	a socket that listens at path already, as control_keep gave it, or -1; taken, and
 *		closed when it is none
 */
struct control	*control_new(struct sup *, const char *path, int fd, const char **why_r);
/* The socket stays when control is freed, and survives an exec: its descriptor. */
int		 control_keep(struct control *);
void		 control_free(struct control **);	/* unlinks the socket */
/* Stop accepting commands that change something (stop order); those that wait are told why. */
void		 control_stopping(struct control *, const char *why);
/* The gateway is live: those that wait for it are told. */
void		 control_live(struct control *);
/* The stop is over: the report, a JSON object, for those who asked for the stop and wait. */
void		 control_stopped(struct control *, struct span doc);

#endif
