/*
 * metrics - see metrics.h.
 */
#include <inttypes.h>

#include "worker/web/metrics.h"

static void
escaped(struct buf *b, const char *text, bool quoted)
{
	for (; *text != '\0'; text++)
		if (*text == '\\')
			buf_printf(b, "\\\\");
		else if (*text == '\n')
			buf_printf(b, "\\n");
		else if (*text == '"' && quoted)
			buf_printf(b, "\\\"");
		else
			buf_add(b, text, 1);
}

static void
head(struct buf *b, const char *name, const char *suffix, const char *type, const char *help)
{
	buf_printf(b, "# HELP bulkhead_%s%s ", name, suffix);
	escaped(b, help, false);
	buf_printf(b, "\n# TYPE bulkhead_%s%s %s\n", name, suffix, type);
}

static void
label(struct buf *b, char before, const char *name, const char *value)
{
	buf_printf(b, "%c%s=\"", before, name);
	escaped(b, value, true);
	buf_printf(b, "\"");
}

static void
gauge_help(struct buf *b, const char *name, const char *help)
{
	head(b, name, "", "gauge", help);
}

static void
gauge(struct buf *b, const char *name, const char *help, uint64_t v)
{
	gauge_help(b, name, help);
	buf_printf(b, "bulkhead_%s %" PRIu64 "\n", name, v);
}

static void
gauge_seconds(struct buf *b, const char *name, const char *help, uint64_t us)
{
	gauge_help(b, name, help);
	buf_printf(b, "bulkhead_%s %" PRIu64 ".%06" PRIu64 "\n", name, us / 1000000, us % 1000000);
}

/* ---- counters and histograms ---- */

static void
counters(struct buf *b, const json_t *doc)
{
	const json_t	*row;
	size_t		 i;

	json_array_foreach(snap_at(doc, "counters"), i, row) {
		head(b, snap_str(row, "name"), "_total", "counter", snap_str(row, "help"));
		buf_printf(b, "bulkhead_%s_total %" PRIu64 "\n", snap_str(row, "name"),
		    snap_u64(row, "value"));
	}
}

static void
histogram_row(struct buf *b, const char *name, const json_t *row, const json_t *les)
{
	const char	*pool = snap_str(row, "pool");
	uint64_t	 n = 0;
	const json_t	*step;
	size_t		 i;

	json_array_foreach(snap_at(row, "steps"), i, step) {
		n += snap_u64(step, "");
		buf_printf(b, "bulkhead_%s_seconds_bucket", name);
		label(b, '{', "le", snap_str(json_array_get(les, i), ""));
		if (*pool != '\0')
			label(b, ',', "pool", pool);
		buf_printf(b, "} %" PRIu64 "\n", n);
	}
	for (int k = 0; k < 2; k++) {
		buf_printf(b, "bulkhead_%s_seconds_%s", name, k == 0 ? "sum" : "count");
		if (*pool != '\0') {
			label(b, '{', "pool", pool);
			buf_printf(b, "}");
		}
		if (k == 0)
			buf_printf(b, " %" PRIu64 ".%06" PRIu64 "\n", snap_u64(row, "sum_us") / 1000000,
			    snap_u64(row, "sum_us") % 1000000);
		else
			buf_printf(b, " %" PRIu64 "\n", n);
	}
}

static void
histograms(struct buf *b, const json_t *doc)
{
	const json_t	*m, *row;
	size_t		 i, k;

	json_array_foreach(snap_at(doc, "measures"), i, m) {
		head(b, snap_str(m, "name"), "_seconds", "histogram", snap_str(m, "help"));
		json_array_foreach(snap_at(m, "rows"), k, row)
			histogram_row(b, snap_str(m, "name"), row, snap_at(doc, "steps"));
	}
}

/* ---- gauges ---- */

static void
one_of(struct buf *b, const char *name, const char *help, const char *key, const char *is,
    const char *const *all)
{
	bool	 known = false;

	gauge_help(b, name, help);
	for (; *all != NULL; all++) {
		known = known || strcmp(*all, is) == 0;
		buf_printf(b, "bulkhead_%s", name);
		label(b, '{', key, *all);
		buf_printf(b, "} %d\n", strcmp(*all, is) == 0);
	}
	if (known)
		return;
	buf_printf(b, "bulkhead_%s", name);
	label(b, '{', key, is);
	buf_printf(b, "} 1\n");
}

static void
supervisor(struct buf *b, const struct snap *s, const json_t *st)
{
	static const char *const	 healths[] = { "ok", "degraded", "down", NULL };

	gauge_help(b, "build_info", "version that runs");
	buf_printf(b, "bulkhead_build_info");
	label(b, '{', "version", snap_str(st, "version"));
	buf_printf(b, "} 1\n");
	one_of(b, "health", "what `bulkheadctl status` says: 1 for the state it is in", "state",
	    snap_str(st, "health"), healths);
	gauge_seconds(b, "uptime_seconds", "since the supervisor started",
	    snap_u64(st, "uptime_ms") * 1000);
	gauge_seconds(b, "snapshot_age_seconds", "since the supervisor told these figures",
	    s->age_ms * 1000);
	gauge(b, "calls_open", "CALLs without a RESULT", snap_u64(st, "calls_open"));
	gauge(b, "streams_open", "growing replies that are open", snap_u64(st, "streams_open"));
	gauge_seconds(b, "timer_lateness_max_seconds", "most that a timer of the supervisor was late",
	    snap_u64(st, "timers.late_max_us"));
}

static void
gateway(struct buf *b, const json_t *st)
{
	static const char *const	 none[] = { NULL };
	const json_t			*g = snap_at(st, "gateway");

	gauge(b, "gateway_live", "1: events come in", snap_true(g, "live"));
	if (!json_is_object(g))
		return;
	one_of(b, "gateway_state", "1 for the state that the session is in", "state",
	    snap_str(g, "state"), none);
	gauge_seconds(b, "gateway_ack_latency_seconds", "of the last heartbeat",
	    snap_u64(g, "latency_us"));
	gauge_seconds(b, "gateway_beat_jitter_max_seconds", "most that a heartbeat was late",
	    snap_u64(g, "beat_jitter_max_us"));
	if (snap_has(g, "ack_age_ms"))
		gauge_seconds(b, "gateway_ack_age_seconds", "since the last ACK of a heartbeat",
		    snap_u64(g, "ack_age_ms") * 1000);
	if (snap_has(g, "identifies_left"))
		gauge(b, "gateway_identifies_left", "new sessions that Discord still allows today",
		    snap_u64(g, "identifies_left"));
}

static void
deliveries(struct buf *b, const json_t *st)
{
	static const char *const	 states[] = { "waiting", "given", "aside" };
	const json_t			*d = snap_at(st, "deliveries"), *gap = snap_at(st, "gap");

	gauge_help(b, "deliveries", "by state: waiting for a worker, given to one, set aside");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		buf_printf(b, "bulkhead_deliveries");
		label(b, '{', "state", states[i]);
		buf_printf(b, "} %" PRIu64 "\n", snap_u64(d, states[i]));
	}
	gauge(b, "dead_letters", "deliveries that were set aside and wait for a person",
	    snap_u64(d, "aside"));
	gauge(b, "journal_bytes", "size of the journal", snap_u64(st, "journal.bytes"));
	gauge(b, "journal_live_bytes", "of it in use", snap_u64(st, "journal.live_bytes"));
	gauge(b, "journal_damaged", "1: damage was found at the start",
	    snap_true(st, "journal.damaged"));
	gauge(b, "gap_filling", "1: what was said before the session is being fetched",
	    snap_true(gap, "filling"));
}

/* One gauge with a line for each pool. */
static void
per_pool(struct buf *b, const json_t *pools, const char *name, const char *help, const char *key,
    bool ms)
{
	const json_t	*p;
	size_t		 i;
	uint64_t	 v;

	gauge_help(b, name, help);
	json_array_foreach(pools, i, p) {
		v = snap_u64(p, key);
		buf_printf(b, "bulkhead_%s", name);
		label(b, '{', "pool", snap_str(p, "name"));
		if (ms)
			buf_printf(b, "} %" PRIu64 ".%03" PRIu64 "\n", v / 1000, v % 1000);
		else
			buf_printf(b, "} %" PRIu64 "\n", v);
	}
}

/* How many of a pool are in each state; READY is there even when nobody is. */
static void
states_of_pool(struct buf *b, const json_t *workers, const char *pool)
{
	json_t		*n = json_pack("{s:i}", "ready", 0), *v;
	const json_t	*w;
	const char	*state;
	size_t		 i;

	json_array_foreach(workers, i, w) {
		if (strcmp(snap_str(w, "pool"), pool) != 0)
			continue;
		state = snap_str(w, "state");
		json_object_set_new(n, state, json_integer(1 + (json_int_t)snap_u64(
		    json_object_get(n, state), "")));
	}
	json_object_foreach(n, state, v) {
		buf_printf(b, "bulkhead_workers");
		label(b, '{', "pool", pool);
		label(b, ',', "state", state);
		buf_printf(b, "} %" PRIu64 "\n", snap_u64(v, ""));
	}
	json_decref(n);
}

static void
per_worker(struct buf *b, const json_t *workers, const char *name, const char *type,
    const char *help, const char *key, uint64_t factor)
{
	const json_t	*w;
	size_t		 i;

	head(b, name, "", type, help);
	json_array_foreach(workers, i, w) {
		buf_printf(b, "bulkhead_%s", name);
		label(b, '{', "pool", snap_str(w, "pool"));
		label(b, ',', "worker", snap_str(w, "name"));
		buf_printf(b, "} %" PRIu64 "\n", snap_u64(w, key) * factor);
	}
}

static void
workers(struct buf *b, const json_t *st)
{
	const json_t	*pools = snap_at(st, "pools"), *all = snap_at(st, "workers"), *p;
	size_t		 i;

	gauge_help(b, "workers", "places of a pool by the state of their process");
	json_array_foreach(pools, i, p)
		states_of_pool(b, all, snap_str(p, "name"));
	per_pool(b, pools, "pool_workers", "places that a pool is to have now", "workers", false);
	per_pool(b, pools, "pool_waiting", "deliveries that wait for the pool", "waiting", false);
	per_pool(b, pools, "pool_waiting_bytes", "bytes of their bodies", "waiting_bytes", false);
	per_pool(b, pools, "pool_given", "deliveries that its workers hold", "given", false);
	per_pool(b, pools, "pool_oldest_seconds", "age of its oldest delivery that waits",
	    "oldest_ms", true);
	per_worker(b, all, "worker_rss_bytes", "gauge", "memory of a worker", "rss_kib", 1024);
	per_worker(b, all, "worker_scopes", "gauge", "scopes that are open in a worker", "scopes", 1);
	per_worker(b, all, "worker_restarts_total", "counter",
	    "processes that filled this place after the first", "restarts", 1);
}

void
metrics_text(const struct snap *s, struct buf *out)
{
	const json_t	*st = snap_at(s->doc, "status");

	supervisor(out, s, st);
	gateway(out, st);
	deliveries(out, st);
	workers(out, st);
	counters(out, s->doc);
	histograms(out, s->doc);
}
