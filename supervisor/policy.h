/*
 * policy - what a configuration amounts to, for people: `bulkheadd -n`.
 *
 * Pure.  Which pool gets which events with how many workers, which intents are asked for and why,
 * how long a stop may take; and warnings of what is allowed but hardly meant.
 */
#ifndef SUPERVISOR_POLICY_H
#define SUPERVISOR_POLICY_H

#include "common/cfg.h"
#include "common/mem.h"

/*
 * Appends lines.  The number of warnings among them; each begins with "warning: ".
 *	stays_root	a start by who asks would run as root
 */
size_t	 policy_put(const struct cfg *, bool stays_root, struct buf *out);
/* The same of what does not keep exec: programs on a kernel with that Landlock. */
size_t	 policy_put_lacks(const struct cfg *, uint64_t landlock, struct buf *out);

#endif
