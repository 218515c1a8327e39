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

/* ---- tables ---- */

/* A column: its title, a leading + is one of numbers; and what draws its cells from `path`. */
struct column {
	const char	*title;
	void		(*cell)(struct buf *, const json_t *row, const char *path);
	const char	*path;
};

static void
cell(struct buf *b, const json_t *row, const char *path)
{
	buf_printf(b, "<td>");
	text(b, snap_str(row, path));
	buf_printf(b, "</td>");
}

static void
cell_n(struct buf *b, const json_t *row, const char *path)
{
	buf_printf(b, "<td class=n>%" PRIu64 "</td>", snap_u64(row, path));
}

/* Something is wrong when it is not 0. */
static void
cell_bad(struct buf *b, const json_t *row, const char *path)
{
	uint64_t	 v = snap_u64(row, path);

	buf_printf(b, "<td class=\"n%s\">%" PRIu64 "</td>", v == 0 ? "" : " bad", v);
}

static void
cell_ms(struct buf *b, const json_t *row, const char *path)
{
	char	 human[24];

	buf_printf(b, "<td>%s</td>", clock_human_ms(snap_u64(row, path), human, sizeof(human)));
}

/* Of microseconds. */
static void
cell_exact_ms(struct buf *b, const json_t *row, const char *path)
{
	buf_printf(b, "<td>%.1f ms</td>", (double)snap_u64(row, path) / 1000);
}

static void
cell_bytes(struct buf *b, const json_t *row, const char *path)
{
	buf_printf(b, "<td class=n>%.1f MiB</td>", (double)snap_u64(row, path) / (1 << 20));
}

static void
cell_kib(struct buf *b, const json_t *row, const char *path)
{
	buf_printf(b, "<td class=n>%.1f MiB</td>", (double)snap_u64(row, path) / (1 << 10));
}

static void
cell_state(struct buf *b, const char *state, bool good)
{
	buf_printf(b, "<td class=%s>", good ? "good" : "bad");
	text(b, state);
	buf_printf(b, "</td>");
}

static void
table(struct buf *b, const char *title, const struct column *columns, size_t columns_n)
{
	buf_printf(b, "<h2>%s</h2>\n<div class=wide><table><tr>", title);
	for (size_t i = 0; i < columns_n; i++) {
		bool	 number = columns[i].title[0] == '+';

		buf_printf(b, "<th%s>%s</th>", number ? " class=n" : "", columns[i].title + number);
	}
	buf_printf(b, "</tr>\n");
}

static void
cells(struct buf *b, const json_t *row, const struct column *columns, size_t columns_n)
{
	for (size_t i = 0; i < columns_n; i++)
		columns[i].cell(b, row, columns[i].path);
}

/* rows of all are shown. */
static void
table_end(struct buf *b, size_t rows, size_t all, const char *none)
{
	buf_printf(b, "</table></div>\n");
	if (all == 0)
		buf_printf(b, "<p class=dim>%s</p>\n", none);
	else if (all > rows)
		buf_printf(b, "<p class=dim>and %zu more: bulkheadctl shows them</p>\n", all - rows);
}

#define COLUMNS(c)	c, sizeof(c) / sizeof(c[0])

/*
 * A table of the elements that have the member `with`, of one object, or of nothing.
 *	more	elements that the snapshot has not
 */
static void
list(struct buf *b, const char *title, const struct column *columns, size_t columns_n,
    const json_t *rows, const char *with, size_t more, const char *none)
{
	size_t	 n = json_is_array(rows) ? json_array_size(rows) : json_is_object(rows), all = 0;

	table(b, title, columns, columns_n);
	for (size_t i = 0; i < n; i++) {
		const json_t	*row = json_is_array(rows) ? json_array_get(rows, i) : rows;

		if (!snap_has(row, with) || all++ >= ROWS_MAX)
			continue;
		buf_printf(b, "<tr>");
		cells(b, row, columns, columns_n);
		buf_printf(b, "</tr>\n");
	}
	table_end(b, all < ROWS_MAX ? all : ROWS_MAX, all + more, none);
}

/* ---- sections ---- */

/* There is one. */
static void
cell_shard(struct buf *b, const json_t *row, const char *path)
{
	(void)row;
	(void)path;
	buf_printf(b, "<td class=n>0</td>");
}

static void
cell_gateway(struct buf *b, const json_t *g, const char *path)
{
	cell_state(b, snap_str(g, path), snap_true(g, "live"));
}

static void
shards(struct buf *b, const json_t *st)
{
	static const struct column	 columns[] = {
		{ "+shard", cell_shard, "" },
		{ "state", cell_gateway, "state" },
		{ "for", cell_ms, "state_ms" },
		{ "ACK latency", cell_exact_ms, "latency_us" },
		{ "+heartbeats", cell_n, "beats" },
		{ "most late", cell_exact_ms, "beat_jitter_max_us" },
		{ "+sequence", cell_n, "seq" },
		{ "last close", cell, "last_close" },
	};

	list(b, "Shards", COLUMNS(columns), snap_at(st, "gateway"), "", 0,
	    "no connection to the gateway is wanted (--no-gateway)");
}

static void
cell_places(struct buf *b, const json_t *p, const char *path)
{
	uint64_t	 ready = snap_u64(p, path), wanted = snap_u64(p, "workers");
	char		 of[48];

	snprintf(of, sizeof(of), "%" PRIu64 " of %" PRIu64, ready, wanted);
	cell_state(b, of, ready >= wanted);
}

static void
pools(struct buf *b, const json_t *st)
{
	static const struct column	 columns[] = {
		{ "pool", cell, "name" },
		{ "role", cell, "role" },
		{ "ready", cell_places, "ready" },
		{ "+waiting", cell_n, "waiting" },
		{ "oldest", cell_ms, "oldest_ms" },
		{ "+given", cell_n, "given" },
		{ "+keys", cell_n, "keys" },
		{ "+restarts", cell_n, "restarts" },
	};

	list(b, "Pools and queues", COLUMNS(columns), snap_at(st, "pools"), "", 0, "no pool");
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
cell_life(struct buf *b, const json_t *w, const char *path)
{
	unsigned	 x = life_x(snap_u64(w, path));

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
cell_worker(struct buf *b, const json_t *w, const char *path)
{
	const char	*state = snap_str(w, path);

	cell_state(b, snap_true(w, "active") ? "ready, active" : state,
	    strcmp(state, "ready") == 0);
}

static void
workers(struct buf *b, const json_t *st)
{
	static const struct column	 columns[] = {
		{ "worker", cell, "tag" },
		{ "state", cell_worker, "state" },
		{ "for", cell_ms, "state_ms" },
		{ "up", cell_ms, "uptime_ms" },
		{ "the last hour", cell_life, "uptime_ms" },
		{ "+memory", cell_kib, "rss_kib" },
		{ "+scopes", cell_n, "scopes" },
		{ "+streams", cell_n, "streams" },
		{ "+restarts", cell_n, "restarts" },
		{ "timers late (p99)", cell_exact_ms, "timers.late_p99_us" },
	};

	list(b, "Workers", COLUMNS(columns), snap_at(st, "workers"), "", 0, "no worker");
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
		cell(b, row, "pool");
		plot(b, row);
		cell_quantile(b, row, les, n, 500);
		cell_quantile(b, row, les, n, 950);
		cell_quantile(b, row, les, n, 990);
		buf_printf(b, "<td class=n>%" PRIu64 "</td></tr>\n", n);
		shown++;
	}
	return shown;
}

/* Each row needs what its histogram says: its cells are drawn by latency_rows. */
static void
latencies(struct buf *b, const json_t *doc)
{
	static const struct column	 columns[] = {
		{ .title = "what" }, { .title = "pool" }, { .title = "1 ms to 300 s and above" },
		{ .title = "+half within" }, { .title = "+95 % within" },
		{ .title = "+99 % within" }, { .title = "+n" },
	};
	const json_t			*les = snap_at(doc, "steps"), *m;
	size_t				 i, all = 0, shown = 0;

	table(b, "Latencies since the start", COLUMNS(columns));
	json_array_foreach(snap_at(doc, "measures"), i, m)
		shown += latency_rows(b, m, les, &all);
	table_end(b, shown, all, "nothing was measured yet");
}

/* ---- what went wrong ---- */

static void
deaths(struct buf *b, const json_t *st)
{
	static const struct column	 columns[] = {
		{ "worker", cell, "last.tag" },
		{ "when", cell_ms, "last.ago_ms" },
		{ "cause", cell, "last.cause" },
		{ "what is known", cell, "last.text" },
	};

	list(b, "Recent deaths", COLUMNS(columns), snap_at(st, "workers"), "last", 0,
	    "nobody died");
}

static void
letters(struct buf *b, const json_t *doc)
{
	static const struct column	 columns[] = {
		{ "delivery", cell, "delivery" },
		{ "pool", cell, "pool" },
		{ "event", cell, "event" },
		{ "age", cell_ms, "age_ms" },
		{ "+charges", cell_n, "charges" },
		{ "kind", cell, "aside" },
		{ "why", cell, "report" },
	};
	const json_t			*here = snap_at(doc, "letters");
	size_t				 n = json_array_size(here);
	uint64_t			 all = snap_u64(doc, "status.deliveries.aside");

	list(b, "Dead letters", COLUMNS(columns), here, "", all > n ? (size_t)all - n : 0, "none");
}

static void
cell_gap(struct buf *b, const json_t *g, const char *path)
{
	bool	 whole = snap_true(g, path);

	cell_state(b, snap_true(g, "filling") ? "being filled" : whole ? "whole" : "not whole",
	    whole);
}

static void
gaps(struct buf *b, const json_t *st)
{
	static const struct column	 columns[] = {
		{ "lost", cell, "lost" },
		{ "live again", cell, "live" },
		{ "+channels", cell_n, "channels" },
		{ "+filled", cell_n, "filled" },
		{ "+refused", cell_bad, "refused" },
		{ "+failed", cell_bad, "failed" },
		{ "+skipped", cell_bad, "skipped" },
		{ "+messages recovered", cell_n, "recovered" },
		{ "state", cell_gap, "whole" },
	};

	list(b, "The last gap", COLUMNS(columns), snap_at(st, "gap"), "", 0, "no session was lost");
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
cell_damage(struct buf *b, const json_t *st, const char *path)
{
	bool	 damaged = snap_true(st, path);

	cell_state(b, damaged ? snap_str(st, "journal.damage") : "none", !damaged);
}

static void
figures(struct buf *b, const json_t *st)
{
	static const struct column	 columns[] = {
		{ "+waiting", cell_n, "deliveries.waiting" },
		{ "+given", cell_n, "deliveries.given" },
		{ "+dead letters", cell_bad, "deliveries.aside" },
		{ "+calls open", cell_n, "calls_open" },
		{ "+streams open", cell_n, "streams_open" },
		{ "+journal", cell_bytes, "journal.bytes" },
		{ "+in use", cell_bytes, "journal.live_bytes" },
		{ "damage", cell_damage, "journal.damaged" },
	};

	list(b, "Deliveries and journal", COLUMNS(columns), st, "", 0, "");
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
