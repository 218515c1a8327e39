/*
 * fence - what a program of a pool's own ("exec:") may not do, beside what its user may not.
 *
 * It is any program: what stands here are files and calls that no handler needs, no more.
 *	files	of the supervisor's are shut: runtime_dir, the configuration, token and key files, systemd's
 *		credentials.  Landlock opens, it cannot shut: each directory on the way to one of them is gone
 *		through entry by entry, so that in these very directories nothing can be made, moved or
 *		removed, and what others make there later stays shut to a running handler
 *	control groups can be read only: who writes there ends whom it wants (cgroup.kill), the supervisor
 *		too, and lifts its own limits
 *	processes outside are out of reach: memory, environment, limits, ptrace; signals too with Landlock
 *		6; the supervisor, whose number does not change, with any kernel
 *	calls	see fence.c: tracing, mounting, keys, kernel modules, typing into a terminal
 * What the kernel does not have is left out, and shown.
 *
 * Private to pool/.
 */
#ifndef SUPERVISOR_POOL_FENCE_H
#define SUPERVISOR_POOL_FENCE_H

#include <stdint.h>

#include "common/cfg.h"

#define FENCE_PATHS_MAX	66

struct fence;

/*
 * conf: the configuration file, NULL none.  Both are read again before each start.
 * groups: borrowed, where the control groups of workers are, when not below /sys/fs/cgroup; NULL none
 */
struct fence	*fence_new(const struct cfg *, const char *conf, const char *groups);
void		 fence_free(struct fence **);
/* In the parent, before fork: which files there are now. */
void		 fence_prepare(struct fence *);
/*
 * In the child, before exec and with no_new_privs; makes system calls only.  0, or -1 with errno.
 * A descriptor that it opens is closed again.
 */
int		 fence_enter(const struct fence *);
/* The version of Landlock that it uses; 0: this kernel has none, or an older one than 2. */
uint64_t	 fence_landlock(void);

#endif
