/*
 * statsd - the counters once in ten seconds to a statsd, over UDP: best effort.
 *
 * What was not sent is counted (statsd_failures) and is in the next push; nothing waits.
 */
#ifndef WORKER_WEB_STATSD_H
#define WORKER_WEB_STATSD_H

#include "common/address.h"
#include "common/clock.h"
#include "worker/web/snap.h"

#define STATSD_MS		10000
#define STATSD_PACKET_MAX	1400	/* below any MTU */

struct statsd;

/*
 * whole: nobody has pushed anything of this supervisor before, so all it counted is news.
 */
struct statsd	*statsd_new(const struct address *, bool whole);
void		 statsd_free(struct statsd **);
/* Pushes when it is time. */
void		 statsd_snap(struct statsd *, const struct snap *, struct mono now);

#endif
