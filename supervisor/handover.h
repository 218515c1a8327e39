/*
 * handover - what one supervisor tells the next one across an exec, beside the journal.
 *
 * A sealed file in memory; the environment variable BULKHEAD_HANDOVER names its descriptor.  Text,
 * "key=value" and a NUL each: keys that a release does not know are passed over, so that releases may
 * differ.  The variables that the configuration took out of the environment are in it, which is why
 * it is neither in argv nor in the environment.
 */
#ifndef SUPERVISOR_HANDOVER_H
#define SUPERVISOR_HANDOVER_H

#include "common/cfg.h"
#include "common/clock.h"

#define HANDOVER_ENV	"BULKHEAD_HANDOVER"

struct handover {
	bool		 check;			/* only look whether you could take over */
	int		 lock_fd;		/* -1: none */
	int		 control_fd;		/* the control socket listens on it; -1: none */
	char		 from[32];		/* version of the giver */
	char		 runtime_dir[96];
	struct mono	 closed_at;		/* when it stopped to listen to Discord */
	uint64_t	 upgrades;		/* this one included */
	char		 failed[256];		/* the new program could not be run: why */
};

/* Appends.  vars may be NULL. */
void	 handover_pack(const struct handover *, const struct cfg_vars *, struct buf *out);
/*
 * False: that is none.  Variables go into the environment unless env is false.
 */
bool	 handover_unpack(struct span in, bool env, struct handover *out_r);

/* The descriptor for a program that this process becomes; survives exec.  -1 with errno. */
int	 handover_fd(struct span packed);
/* Take what HANDOVER_ENV names; it is closed and the variable is gone.  False: there is none. */
bool	 handover_take(struct handover *out_r);

#endif
