/*
 * statsd - see statsd.h.
 */
#include <sys/socket.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/count.h"
#include "common/log.h"
#include "worker/web/statsd.h"

struct statsd {
	int		 fd;			/* -1: the machine has none for us */
	struct address	 to;
	bool		 based;			/* sent says where to count from */
	struct mono	 pushed;
	uint64_t	 sent[COUNT__N];	/* of each counter, what was pushed */
	/* the packet that is being filled, and the counters in it with their values */
	char		 packet[STATSD_PACKET_MAX];
	size_t		 packet_n;
	uint64_t	 value[COUNT__N];
	bool		 in_packet[COUNT__N];
};

struct statsd *
statsd_new(const struct address *to, bool whole)
{
	struct statsd	*sd = mem_alloc(sizeof(*sd));

	sd->to = *to;
	sd->based = whole;
	sd->pushed = MONO_NEVER;
	sd->fd = socket(to->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sd->fd == -1)
		log_warn("statsd: no socket");
	return sd;
}

void
statsd_free(struct statsd **sdp)
{
	struct statsd	*sd = *sdp;

	if (sd == NULL)
		return;
	if (sd->fd != -1)
		close(sd->fd);
	free(sd);
	*sdp = NULL;
}

static void
flush(struct statsd *sd)
{
	bool	 gone;

	if (sd->packet_n == 0)
		return;
	/* Without the newline behind the last one. */
	gone = sd->fd != -1 && sendto(sd->fd, sd->packet, sd->packet_n - 1, MSG_NOSIGNAL,
	    (const struct sockaddr *)&sd->to.sa, sd->to.n) != -1;
	if (!gone)
		COUNT(statsd_failures);
	for (size_t c = 0; c < COUNT__N; c++) {
		if (sd->in_packet[c] && gone)
			sd->sent[c] = sd->value[c];
		sd->in_packet[c] = false;
	}
	sd->packet_n = 0;
}

static void
add(struct statsd *sd, const char *line, size_t n)
{
	if (sd->packet_n + n > sizeof(sd->packet))
		flush(sd);
	memcpy(sd->packet + sd->packet_n, line, n);
	sd->packet_n += n;
}

static void
add_counter(struct statsd *sd, size_t c, uint64_t v)
{
	char	 line[128];
	int	 n;

	/* A supervisor that counts anew has another web worker: never less than before. */
	if (v <= sd->sent[c])
		return;
	n = snprintf(line, sizeof(line), "bulkhead.%s:%" PRIu64 "|c\n",
	    count_name((enum counter)c), v - sd->sent[c]);
	add(sd, line, (size_t)n);
	sd->value[c] = v;
	sd->in_packet[c] = true;
}

static void
add_gauge(struct statsd *sd, const char *name, uint64_t v)
{
	char	 line[128];
	int	 n = snprintf(line, sizeof(line), "bulkhead.%s:%" PRIu64 "|g\n", name, v);

	add(sd, line, (size_t)n);
}

static bool
counter_of(const json_t *row, size_t *c_r)
{
	const char	*name = snap_str(row, "name");

	for (size_t c = 0; c < COUNT__N; c++)
		if (strcmp(count_name((enum counter)c), name) == 0) {
			*c_r = c;
			return true;
		}
	return false;
}

void
statsd_snap(struct statsd *sd, const struct snap *s, struct mono now)
{
	const json_t	*row;
	size_t		 i, c;

	if (!mono_is_never(sd->pushed) && mono_ms_between(sd->pushed, now) < STATSD_MS)
		return;
	sd->pushed = now;
	json_array_foreach(snap_at(s->doc, "counters"), i, row) {
		if (!counter_of(row, &c))
			continue;
		if (sd->based)
			add_counter(sd, c, snap_u64(row, "value"));
		else
			sd->sent[c] = snap_u64(row, "value");
	}
	sd->based = true;
	add_gauge(sd, "deliveries.waiting", snap_u64(s->doc, "status.deliveries.waiting"));
	add_gauge(sd, "deliveries.given", snap_u64(s->doc, "status.deliveries.given"));
	add_gauge(sd, "deliveries.aside", snap_u64(s->doc, "status.deliveries.aside"));
	add_gauge(sd, "gateway.live", snap_true(s->doc, "status.gateway.live"));
	flush(sd);
}
