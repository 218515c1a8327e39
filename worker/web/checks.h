/*
 * checks - /healthz and /readyz: the verdict of a snapshot as a status and a few lines.
 *
 * Pure.  A snapshot that is not fresh is no ground for a good word.
 */
#ifndef WORKER_WEB_CHECKS_H
#define WORKER_WEB_CHECKS_H

#include "worker/web/snap.h"

/* "ok", or the reasons, one a line.  200 or 503. */
unsigned	 checks_health(const struct snap *, struct buf *out);
/*
 * One line for each condition, "ok" or "NOT" ahead of it: the snapshot is fresh, the gateway live, a
 * rest worker active, each pool has a worker that is READY, the journal is not damaged.  200 when
 * all are.
 */
unsigned	 checks_ready(const struct snap *, struct buf *out);

#endif
