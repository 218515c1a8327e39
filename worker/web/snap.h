/*
 * snap - the snapshot that the supervisor sends, for those who write pages from it.
 *
 * Pure.  What is missing or of another kind reads as 0, "" or nothing: a page is never lost to one
 * field.
 */
#ifndef WORKER_WEB_SNAP_H
#define WORKER_WEB_SNAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

#define SNAP_FRESH_MS	5000	/* an older snapshot is no news */

/* One snapshot and how old it is.  Borrowed by the writers. */
struct snap {
	const json_t	*doc;		/* NULL: none came yet */
	uint64_t	 age_ms;
};

bool		 snap_fresh(const struct snap *);
/* The member at "status.gateway.state". */
const json_t	*snap_at(const json_t *, const char *path);
uint64_t	 snap_u64(const json_t *, const char *path);
const char	*snap_str(const json_t *, const char *path);
bool		 snap_true(const json_t *, const char *path);
bool		 snap_has(const json_t *, const char *path);	/* and it is not null */

/* Text that HTML takes as text, in an element or in quotes. */
void		 snap_html(struct buf *, const char *text);

#endif
