/*
 * spawn - from nothing to a worker process that runs its program: fork, descriptors, limits, exec.
 *
 * What a worker inherits is proto/contract.h: link, scoreboard, stderr, and almost no environment.
 * Private to pool/; child.c owns what is made here.
 */
#ifndef SUPERVISOR_SPAWN_H
#define SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/contract.h"

struct fence;
struct privs_user;

#define SPAWN_EXIT_FAILED	127	/* and spawn_failed() says why */

struct spawned {
	pid_t			 pid;		/* to be reaped; leader of its own group */
	int			 pidfd;
	int			 link_fd;	/* our end; blocking */
	int			 err_fd;	/* its stdout and stderr; does not block */
	const struct board	*board;		/* for reading; spawn_board_free */
};

struct spawn_what {
	const char		*program;
	char *const		*argv;		/* NULL: the program alone */
	/* NAME=value, beside the few that every worker gets, and before them */
	char *const		*env;
	size_t			 env_n;
	const struct privs_user	*as;		/* NULL: as we are */
	struct fence		*fence;		/* NULL: it confines itself (worker/runtime/sandbox.h) */
	bool			 rest;		/* outlives us for a moment: no PDEATHSIG */
	bool			 refuse;	/* a fault: exec fails as if there were no program */
	uint64_t		 files, core_bytes;	/* as in limits.h */
	uint64_t		 processes;	/* of the user `as`, if it has one of its own; 0 no limit */
	int			 cgroup_fd;	/* cgroup.procs of its group; -1 none */
};

/* 0, or -1 with a sentence when there is no process; nothing is left behind then. */
int	 spawn_worker(const struct spawn_what *, struct spawned *, const char **why_r);
void	 spawn_board_free(const struct board **);
/* Did it end before its program began?  dst: why. */
bool	 spawn_failed_in_group(const struct board *);	/* it could not enter its group */
bool	 spawn_failed(const struct board *, const char *program, char *dst, size_t dst_bytes);

#endif
