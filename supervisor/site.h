/*
 * site - what this machine has for a configuration: warnings of `bulkheadd -n`.
 *
 * Looks at files and directories as they are now and as whoever asks may see them; changes nothing.
 * What policy.h says needs no machine.
 */
#ifndef SUPERVISOR_SITE_H
#define SUPERVISOR_SITE_H

#include "common/cfg.h"
#include "common/mem.h"

/*
 * Appends lines, each beginning with "warning: ": secrets in files that everybody may read, a
 * runtime_dir that cannot be made, is not on tmpfs or too small for the journal.  Their number.
 *	conf	path of the configuration
 */
size_t	 site_put(const struct cfg *, const char *conf, struct buf *out);

#endif
