/*
 * page - see page.h.
 *
 * Whatever comes from the snapshot goes through text(): names, reasons, reports of crashes are
 * others' words.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "worker/web/page.h"

#define ROWS_MAX	40	/* of each table */
#define TEXT_MAX	200	/* bytes of one cell, before escapes */
#define LIFE_MS		3600000	/* what a life line shows */
#define LIFE_WIDTH	120
#define LIFE_MARK	2	/* width of a death */
#define PLOT_STEP	7	/* width of a bar */
#define PLOT_HEIGHT	24

static const char	 style[] =
    ":root{color-scheme:light dark;--line:#8884;--dim:#777;--good:#2a7d3f;--bad:#b3261e;--bar:#4a78b5}\n"
    "@media(prefers-color-scheme:dark){:root{--dim:#999;--good:#6cc28a;--bad:#ff8a80;--bar:#7fa8dd}}\n"
    "body{font:15px/1.45 system-ui,sans-serif;max-width:75rem;margin:1.5rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .3rem}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
    "th,td{text-align:left;padding:.2rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}\n"
    "th{font-weight:600;color:var(--dim)}td.n,th.n{text-align:right}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}.dim{color:var(--dim)}\n"
    "svg{display:block}svg .bar{fill:var(--bar)}svg .up{fill:var(--good)}svg .gone{fill:var(--bad)}"
    "svg .base{fill:var(--line)}\n"
    ".wide{overflow-x:auto}\n";

/* ---- pieces ---- */

static void
text(struct buf *b, const char *s)
{
	char	 cut[TEXT_MAX + 8];
	size_t	 n = strlen(s);

	if (n <= TEXT_MAX) {
		snap_html(b, s);
		return;
	}
	/* Not inside a character. */
	for (n = TEXT_MAX; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
		continue;
	snprintf(cut, sizeof(cut), "%.*s ...", (int)n, s);
	snap_html(b, cut);
}

static void
cell(struct buf *b, const char *s)
{
	buf_printf(b, "<td>");
	text(b, s);
	buf_printf(b, "</td>");
}

static void
cell_n(struct buf *b, uint64_t v)
{
	buf_printf(b, "<td class=n>%" PRIu64 "</td>", v);
}

/* A column in which something is wrong when it is not 0. */
static void
cell_bad(struct buf *b, uint64_t v)
{
	buf_printf(b, "<td class=\"n%s\">%" PRIu64 "</td>", v == 0 ? "" : " bad", v);
}

static void
cell_ms(struct buf *b, uint64_t ms)
{
	char	 human[24];

	buf_printf(b, "<td>%s</td>", clock_human_ms(ms, human, sizeof(human)));
}

static void
cell_bytes(struct buf *b, uint64_t bytes)
{
	buf_printf(b, "<td class=n>%.1f MiB</td>", (double)bytes / (1 << 20));
}

static void
cell_state(struct buf *b, const char *state, bool good)
{
	buf_printf(b, "<td class=%s>", good ? "good" : "bad");
	text(b, state);
	buf_printf(b, "</td>");
}

/* columns: names between bars, a leading + is one of numbers. */
static void
table(struct buf *b, const char *title, const char *columns)
{
	buf_printf(b, "<h2>%s</h2>\n<div class=wide><table><tr>", title);
	while (*columns != '\0') {
		size_t	 n = strcspn(columns, "|");
		bool	 number = *columns == '+';

		buf_printf(b, "<th%s>%.*s</th>", number ? " class=n" : "", (int)n - number,
		    columns + number);
		columns += n + (columns[n] == '|');
	}
	buf_printf(b, "</tr>\n");
}

static void
table_end(struct buf *b, size_t rows, size_t all, const char *none)
{
	buf_printf(b, "</table></div>\n");
	if (all == 0)
		buf_printf(b, "<p class=dim>%s</p>\n", none);
	else if (all > rows)
		buf_printf(b, "<p class=dim>and %zu more: bulkheadctl shows them</p>\n", all - rows);
}

/* ---- sections ---- */

static void
shards(struct buf *b, const json_t *st)
{
	const json_t	*g = snap_at(st, "gateway");

	table(b, "Shards", "+shard|state|for|ACK latency|+heartbeats|most late|+sequence|last close");
	if (json_is_object(g)) {
		buf_printf(b, "<tr><td class=n>0</td>");
		cell_state(b, snap_str(g, "state"), snap_true(g, "live"));
		cell_ms(b, snap_u64(g, "state_ms"));
		buf_printf(b, "<td>%.1f ms</td>", (double)snap_u64(g, "latency_us") / 1000);
		cell_n(b, snap_u64(g, "beats"));
		buf_printf(b, "<td>%.1f ms</td>", (double)snap_u64(g, "beat_jitter_max_us") / 1000);
		cell_n(b, snap_u64(g, "seq"));
		cell(b, snap_str(g, "last_close"));
		buf_printf(b, "</tr>\n");
	}
	table_end(b, 1, json_is_object(g), "no connection to the gateway is wanted (--no-gateway)");
}

static void
pools(struct buf *b, const json_t *st)
{
	const json_t	*all = snap_at(st, "pools"), *p;
	size_t		 i;

	table(b, "Pools and queues", "pool|role|ready|+waiting|oldest|+given|+keys|+restarts");
	json_array_foreach(all, i, p) {
		char	 of[48];
		bool	 good = snap_u64(p, "ready") >= snap_u64(p, "workers");

		if (i >= ROWS_MAX)
			break;
		buf_printf(b, "<tr>");
		cell(b, snap_str(p, "name"));
		cell(b, snap_str(p, "role"));
		snprintf(of, sizeof(of), "%" PRIu64 " of %" PRIu64, snap_u64(p, "ready"),
		    snap_u64(p, "workers"));
		cell_state(b, of, good);
		cell_n(b, snap_u64(p, "waiting"));
		cell_ms(b, snap_u64(p, "oldest_ms"));
		cell_n(b, snap_u64(p, "given"));
		cell_n(b, snap_u64(p, "keys"));
		cell_n(b, snap_u64(p, "restarts"));
		buf_printf(b, "</tr>\n");
	}
	table_end(b, ROWS_MAX, json_array_size(all), "no pool");
}

static unsigned
life_x(uint64_t ago_ms)
{
	/* What is new is seen too. */
	return ago_ms >= LIFE_MS ? 0 :
	    (unsigned)((LIFE_WIDTH - LIFE_MARK) - ago_ms * (LIFE_WIDTH - LIFE_MARK) / LIFE_MS);
}

/* The last hour: since when this process runs, and when the one before it died. */
static void
life_line(struct buf *b, const json_t *w)
{
	uint64_t	 up_ms = snap_u64(w, "uptime_ms");
	unsigned	 x = life_x(up_ms);

	buf_printf(b, "<td><svg width=%d height=10 aria-hidden=true>"
	    "<rect class=base y=4 width=%d height=2 />", LIFE_WIDTH, LIFE_WIDTH);
	if (snap_u64(w, "pid") != 0)
		buf_printf(b, "<rect class=up x=%u y=3 width=%u height=4 />", x, LIFE_WIDTH - x);
	if (snap_has(w, "last") && snap_u64(w, "last.ago_ms") < LIFE_MS) {
		x = life_x(snap_u64(w, "last.ago_ms"));
		buf_printf(b, "<rect class=gone x=%u width=%d height=10 />", x, LIFE_MARK);
	}
	buf_printf(b, "</svg></td>");
}

static void
workers(struct buf *b, const json_t *st)
{
	const json_t	*all = snap_at(st, "workers"), *w;
	const char	*state;
	size_t		 i;

	table(b, "Workers",
	    "worker|state|for|up|the last hour|+memory|+scopes|+streams|+restarts|timers late (p99)");
	json_array_foreach(all, i, w) {
		if (i >= ROWS_MAX)
			break;
		state = snap_str(w, "state");
		buf_printf(b, "<tr>");
		cell(b, snap_str(w, "tag"));
		cell_state(b, snap_true(w, "active") ? "ready, active" : state,
		    strcmp(state, "ready") == 0);
		cell_ms(b, snap_u64(w, "state_ms"));
		cell_ms(b, snap_u64(w, "uptime_ms"));
		life_line(b, w);
		cell_bytes(b, snap_u64(w, "rss_kib") << 10);
		cell_n(b, snap_u64(w, "scopes"));
		cell_n(b, snap_u64(w, "streams"));
		cell_n(b, snap_u64(w, "restarts"));
		buf_printf(b, "<td>%.1f ms</td></tr>\n",
		    (double)snap_u64(w, "timers.late_p99_us") / 1000);
	}
	table_end(b, ROWS_MAX, json_array_size(all), "no worker");
}

/* ---- latencies ---- */

/* The end of the step below which permille of all are; "" when there is none. */
static const char *
quantile(const json_t *row, const json_t *les, uint64_t n, unsigned permille)
{
	const json_t	*step;
	uint64_t	 seen = 0;
	size_t		 i;

	json_array_foreach(snap_at(row, "steps"), i, step) {
		seen += snap_u64(step, "");
		if (n > 0 && seen * 1000 >= n * permille)
			return snap_str(json_array_get(les, i), "");
	}
	return "";
}

static void
cell_quantile(struct buf *b, const json_t *row, const json_t *les, uint64_t n, unsigned permille)
{
	const char	*le = quantile(row, les, n, permille);

	if (*le == '\0')
		buf_printf(b, "<td class=n>-</td>");
	else if (strcmp(le, "+Inf") == 0)
		buf_printf(b, "<td class=\"n bad\">longer</td>");
	else {
		buf_printf(b, "<td class=n>");
		text(b, le);
		buf_printf(b, " s</td>");
	}
}

static void
plot(struct buf *b, const json_t *row)
{
	const json_t	*steps = snap_at(row, "steps"), *step;
	uint64_t	 most = 0, v;
	size_t		 i;
	unsigned	 h;

	json_array_foreach(steps, i, step)
		if ((v = snap_u64(step, "")) > most)
			most = v;
	buf_printf(b, "<td><svg width=%zu height=%d aria-hidden=true>",
	    json_array_size(steps) * PLOT_STEP, PLOT_HEIGHT);
	json_array_foreach(steps, i, step) {
		v = snap_u64(step, "");
		/* What happened at all is to be seen. */
		h = most == 0 || v == 0 ? 0 : 1 + (unsigned)(v * (PLOT_HEIGHT - 1) / most);
		buf_printf(b, "<rect class=%s x=%zu y=%u width=%d height=%u />",
		    h == 0 ? "base" : "bar", i * PLOT_STEP, PLOT_HEIGHT - (h == 0 ? 1 : h),
		    PLOT_STEP - 1, h == 0 ? 1 : h);
	}
	buf_printf(b, "</svg></td>");
}

static size_t
latency_rows(struct buf *b, const json_t *m, const json_t *les, size_t *all)
{
	const json_t	*row, *step;
	size_t		 i, k, shown = 0;
	uint64_t	 n;

	json_array_foreach(snap_at(m, "rows"), i, row) {
		if ((*all)++ >= ROWS_MAX)
			continue;
		n = 0;
		json_array_foreach(snap_at(row, "steps"), k, step)
			n += snap_u64(step, "");
		buf_printf(b, "<tr><td title=\"");
		text(b, snap_str(m, "help"));
		buf_printf(b, "\">");
		text(b, snap_str(m, "name"));
		buf_printf(b, "</td>");
		cell(b, snap_str(row, "pool"));
		plot(b, row);
		cell_quantile(b, row, les, n, 500);
		cell_quantile(b, row, les, n, 950);
		cell_quantile(b, row, les, n, 990);
		cell_n(b, n);
		buf_printf(b, "</tr>\n");
		shown++;
	}
	return shown;
}

static void
latencies(struct buf *b, const json_t *doc)
{
	const json_t	*les = snap_at(doc, "steps"), *m;
	size_t		 i, all = 0, shown = 0;

	table(b, "Latencies since the start", "what|pool|1 ms to 300 s and above|+half within"
	    "|+95 % within|+99 % within|+n");
	json_array_foreach(snap_at(doc, "measures"), i, m)
		shown += latency_rows(b, m, les, &all);
	table_end(b, shown, all, "nothing was measured yet");
}

/* ---- what went wrong ---- */

static void
deaths(struct buf *b, const json_t *st)
{
	const json_t	*w;
	size_t		 i, all = 0;

	table(b, "Recent deaths", "worker|when|cause|what is known");
	json_array_foreach(snap_at(st, "workers"), i, w) {
		if (!snap_has(w, "last") || all++ >= ROWS_MAX)
			continue;
		buf_printf(b, "<tr>");
		cell(b, snap_str(w, "last.tag"));
		cell_ms(b, snap_u64(w, "last.ago_ms"));
		cell(b, snap_str(w, "last.cause"));
		cell(b, snap_str(w, "last.text"));
		buf_printf(b, "</tr>\n");
	}
	table_end(b, ROWS_MAX, all, "nobody died");
}

static void
letters(struct buf *b, const json_t *doc)
{
	const json_t	*all = snap_at(doc, "letters"), *d;
	uint64_t	 n = snap_u64(doc, "status.deliveries.aside");
	size_t		 i;

	table(b, "Dead letters", "delivery|pool|event|age|+charges|kind|why");
	json_array_foreach(all, i, d) {
		if (i >= ROWS_MAX)
			break;
		buf_printf(b, "<tr>");
		cell(b, snap_str(d, "delivery"));
		cell(b, snap_str(d, "pool"));
		cell(b, snap_str(d, "event"));
		cell_ms(b, snap_u64(d, "age_ms"));
		cell_n(b, snap_u64(d, "charges"));
		cell(b, snap_str(d, "aside"));
		cell(b, snap_str(d, "report"));
		buf_printf(b, "</tr>\n");
	}
	table_end(b, json_array_size(all), n, "none");
}

static void
gaps(struct buf *b, const json_t *st)
{
	const json_t	*g = snap_at(st, "gap");
	bool		 any = json_is_object(g);

	table(b, "The last gap", "lost|live again|+channels|+filled|+refused|+failed|+skipped"
	    "|+messages recovered|state");
	if (any) {
		buf_printf(b, "<tr>");
		cell(b, snap_str(g, "lost"));
		cell(b, snap_str(g, "live"));
		cell_n(b, snap_u64(g, "channels"));
		cell_n(b, snap_u64(g, "filled"));
		cell_bad(b, snap_u64(g, "refused"));
		cell_bad(b, snap_u64(g, "failed"));
		cell_bad(b, snap_u64(g, "skipped"));
		cell_n(b, snap_u64(g, "recovered"));
		cell_state(b, snap_true(g, "filling") ? "being filled" : snap_true(g, "whole") ?
		    "whole" : "not whole", snap_true(g, "whole"));
		buf_printf(b, "</tr>\n");
	}
	table_end(b, 1, any, "no session was lost");
}

static void
sentences(struct buf *b, const json_t *list, const char *class)
{
	const json_t	*one;
	size_t		 i;

	if (json_array_size(list) == 0)
		return;
	buf_printf(b, "<ul>\n");
	json_array_foreach(list, i, one) {
		buf_printf(b, "<li class=%s>", class);
		text(b, snap_str(one, ""));
		buf_printf(b, "</li>\n");
	}
	buf_printf(b, "</ul>\n");
}

static void
summary(struct buf *b, const struct snap *s, const json_t *st)
{
	const char	*health = snap_str(st, "health");
	char		 human[24];

	buf_printf(b, "<h1>Bulkhead: <span class=%s>",
	    snap_fresh(s) && strcmp(health, "ok") == 0 ? "good" : "bad");
	text(b, !snap_fresh(s) ? "the supervisor does not answer" : health);
	buf_printf(b, "</span></h1>\n<p class=dim>version ");
	text(b, snap_str(st, "version"));
	buf_printf(b, ", ");
	text(b, snap_str(st, "phase"));
	buf_printf(b, ", up %s, pid %" PRIu64, clock_human_ms(snap_u64(st, "uptime_ms"), human,
	    sizeof(human)), snap_u64(st, "pid"));
	buf_printf(b, "; told %s ago</p>\n", clock_human_ms(s->age_ms, human, sizeof(human)));
	sentences(b, snap_at(st, "why"), "bad");
	sentences(b, snap_at(st, "notes"), "dim");
}

static void
figures(struct buf *b, const json_t *st)
{
	table(b, "Deliveries and journal", "+waiting|+given|+dead letters|+calls open|+streams open"
	    "|+journal|+in use|damage");
	buf_printf(b, "<tr>");
	cell_n(b, snap_u64(st, "deliveries.waiting"));
	cell_n(b, snap_u64(st, "deliveries.given"));
	cell_bad(b, snap_u64(st, "deliveries.aside"));
	cell_n(b, snap_u64(st, "calls_open"));
	cell_n(b, snap_u64(st, "streams_open"));
	cell_bytes(b, snap_u64(st, "journal.bytes"));
	cell_bytes(b, snap_u64(st, "journal.live_bytes"));
	cell_state(b, snap_true(st, "journal.damaged") ? snap_str(st, "journal.damage") : "none",
	    !snap_true(st, "journal.damaged"));
	buf_printf(b, "</tr></table></div>\n");
}

void
page_html(const struct snap *s, struct buf *out)
{
	const json_t	*st = snap_at(s->doc, "status");
	/* The most telling first: what does not fit is left out from the end, a whole section each. */
	static void	(*const sections[])(struct buf *, const json_t *) = {
		shards, pools, figures, workers, deaths, gaps
	};
	struct buf	 piece = { 0 };

	buf_printf(out, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
	    "<meta http-equiv=refresh content=%d>\n"
	    "<meta name=viewport content=\"width=device-width,initial-scale=1\">\n"
	    "<title>Bulkhead: ", PAGE_REFRESH_S);
	text(out, snap_fresh(s) ? snap_str(st, "health") : "no answer");
	buf_printf(out, "</title>\n<style>%s</style></head><body>\n", style);
	summary(out, s, st);
	for (size_t i = 0; s->doc != NULL && i < sizeof(sections) / sizeof(sections[0]) + 2; i++) {
		buf_reset(&piece);
		if (i < sizeof(sections) / sizeof(sections[0]))
			sections[i](&piece, st);
		else if (i == sizeof(sections) / sizeof(sections[0]))
			letters(&piece, s->doc);
		else
			latencies(&piece, s->doc);
		if (out->n + piece.n < PAGE_MAX - 256)
			buf_add_span(out, buf_span(&piece));
		else
			buf_printf(out, "<p class=dim>left out: bulkheadctl shows it</p>\n");
	}
	buf_fini(&piece);
	buf_printf(out, "</body></html>\n");
}
