/*
 * metrics - a snapshot as Prometheus reads it: text format 0.0.4.
 *
 * Pure.  Counters and histograms are those that the snapshot names, so those of counters.def and
 * histograms.def; nothing has a label for a guild, a channel or a user.
 */
#ifndef WORKER_WEB_METRICS_H
#define WORKER_WEB_METRICS_H

#include "worker/web/snap.h"

#define METRICS_TYPE	"text/plain; version=0.0.4; charset=utf-8"

void	 metrics_text(const struct snap *, struct buf *out);

#endif
