/*
 * childstate - struct child, and what the files about it share.  Private to the three.
 *
 *	child.c		a process: how it comes, is told to go, and is buried
 *	childlink.c	what it says on its link, and is told there
 *	childlook.c	what is seen of it: scoreboard, /proc, limits
 */
#ifndef SUPERVISOR_CHILDSTATE_H
#define SUPERVISOR_CHILDSTATE_H

#include <sys/resource.h>

#include "common/chan.h"
#include "proto/contract.h"
#include "supervisor/pool/child.h"
#include "supervisor/pool/voice.h"

#define LOOK_USE_MS		1000	/* between two looks at memory and descriptors */
#define LINK_GRACE_MS		1000	/* from the end of the link to that of the process */
#define SESSIONS_MAX		4

struct child {
	struct loop		*loop;
	struct child_ops	 ops;
	void			*arg, *peer;
	char			 tag[64], pool[40];
	char			*program;
	uint32_t		 slot;
	uint64_t		 generation;
	bool			 rest, web, fenced, own_user;
	uid_t			 uid;
	uint64_t		 hang_ms, stopped_ms, start_deadline_ms;
	struct limits		 limits;
	struct cgroups		*cgroups;
	struct cgroup		 group;
	char			 group_why[256];	/* why there is none; empty */

	pid_t			 pid;
	int			 pidfd;
	struct watch		*pid_watch;
	struct chan		*chan;
	msgpack_zone		 zone;
	const struct board	*board;			/* mapped for reading */
	struct timer		*timer;			/* LINK_GRACE_MS */

	struct mono		 born, up_at, down_at;
	bool			 up, asked, link_gone, reaped, buried, deaf;
	enum death		 blame;
	bool			 blamed;
	char			 blame_text[192];

	/* what was seen of its progress, and of its use */
	struct pulse		 pulse;
	uint64_t		 beats;			/* BEAT and PONG */
	uint64_t		 beat_delivery;		/* what the last BEAT named */
	struct mono		 beat_since;		/* the first that named it */
	uint64_t		 since_use_ms;
	uint64_t		 fork_rss_kib;		/* ours, when it was forked */
	uint64_t		 rss_kib, hwm_kib, fds;	/* 0: not looked yet */
	struct child_confined	 confined;

	/* what it said */
	struct voice		 voice;
	struct buf		 events, verbs;	/* of READY */
	struct session_view	 sessions[SESSIONS_MAX];
	size_t			 sessions_n;

	int			 status;
	struct rusage		 usage;
};

/* child.c: both are over, the process and its link. */
void	 child_bury(struct child *);
/* Has it a control group that bounds its processes? */
bool	 child_counted_in_group(const struct child *);

/* childlink.c */
void	 child_link(struct child *, int fd, const struct child_spec *);	/* fd becomes the link's */
/* It did what the protocol forbids: nothing more is heard of it. */
void	 child_broke(struct child *, const char *why);

#endif
