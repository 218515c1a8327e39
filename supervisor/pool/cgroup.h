/*
 * cgroup - a control group of its own for each worker with a limit of memory or processes, so that
 * the kernel enforces it.
 *
 * Only where one was delegated: made over to us by whoever manages the tree (systemd's Delegate=yes
 * marks it; a directory of our own user; or the option cgroup names it).  That it can be written is
 * no sign: root can write everywhere.  Without one the limit is kept by looking (child.c).
 *
 * Below the delegated directory: bulkhead-PID-TAG for each worker and, in version 2, where a group
 * with processes can hand nothing down, bulkhead-supervisor for ourselves.  Nothing here waits for a
 * disk; a missing or unwilling file is a sentence and never an end.
 *
 * Source: the kernel's admin-guide/cgroup-v2 and cgroup-v1/memory; systemd.exec, Delegate=.
 */
#ifndef SUPERVISOR_CGROUP_H
#define SUPERVISOR_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/span.h"

#define CGROUP_PATH_BYTES	1024
#define CGROUP_SELF		"bulkhead-supervisor"

enum cgroup_version { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

struct cgroups {
	enum cgroup_version	 version;	/* NONE: why says why */
	char			 path[CGROUP_PATH_BYTES];	/* of the delegated directory */
	bool			 moved;		/* we went into CGROUP_SELF */
	bool			 pids;		/* it bounds processes too */
	char			 why[256];
};

/*
 * Where is the group of this process that accounts for memory?  Pure.
 *	self	/proc/self/cgroup
 *	mounts	/proc/self/mountinfo
 * True: version and path are set, path without a trailing CGROUP_SELF; false: why is.
 */
bool		 cgroup_find(struct span self, struct span mounts, struct cgroups *);

/* option: auto, none, or a directory.  Also sweeps. */
void		 cgroups_init(struct cgroups *, const char *option);
/* The second half of it: the directory at path, whatever delegated it, is made ready. */
void		 cgroups_take(struct cgroups *, const char *path);
void		 cgroups_fini(struct cgroups *);
/*
 * Groups of dead supervisors are removed, those without a process.  ours: of this process too, which
 * must not be starting a worker just now.
 */
void		 cgroups_sweep(const struct cgroups *, bool ours);

/* The group of one worker. */
struct cgroup {
	char		 path[CGROUP_PATH_BYTES];	/* empty: none */
	int		 procs_fd;	/* a child writes "0" to it before it execs; -1: closed */
};
/*
 * memory_bytes, processes: 0 none; the latter where the groups have pids.  0; -1 with a sentence:
 * nothing was made.
 */
int		 cgroup_make(const struct cgroups *, const char *tag, uint64_t memory_bytes,
		    uint64_t processes, struct cgroup *, const char **why_r);
/* How often the kernel has killed in it for want of memory. */
uint64_t	 cgroup_oom_kills(const struct cgroups *, const struct cgroup *);
/* Its processes are gone, or are killed. */
void		 cgroup_remove(const struct cgroups *, struct cgroup *);

const char	*cgroup_version_name(enum cgroup_version);	/* "cgroup v2" */

#endif
