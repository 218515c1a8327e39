/*
 * fetchgap - see fetchgap.h.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "supervisor/control/calls.h"
#include "supervisor/delivery/backfill.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/moments.h"
#include "supervisor/reasons.h"

#define SHOWN_MS	(60 * 60 * 1000ull)
#define ROOM_MS		50	/* a page that the journal has no room for is offered again */

/* One request under way, or its page while the journal has no room for it. */
struct ask {
	struct fetchgap		*fg;
	size_t			 row;
	bool			 open;		/* no answer yet */
	struct buf		 page;		/* kept when it could not all be taken */
	bool			 kept;
	uint64_t		 taken;		/* newest id that was */
};

/* A gap as it is shown. */
struct past {
	uint64_t		 from_ms, lost_ms, live_ms, done_ms;
	struct gap_counts	 counts;
};

struct fetchgap {
	struct loop		*loop;
	const struct cfg	*cfg;
	struct journal		*journal;
	struct queue		*queue;
	struct calls		*calls;
	struct timer		*patience;	/* backfill_wait */
	struct timer		*room;		/* while a page is kept */
	struct journal_gap	 gap;		/* as in the journal; the newest */
	bool			 any;		/* there is one */
	bool			 live, stopped;
	struct ask		 asks[BACKFILL_AT_ONCE];
	struct buf		 body;
	struct past		 past[GAPS_KEPT];	/* done ones, newest first */
	size_t			 past_n;
};

static void	 go_on(struct fetchgap *);

static struct backfill_limits
limits(const struct fetchgap *fg)
{
	return (struct backfill_limits){ .requests = fg->cfg->backfill ?
		fg->cfg->backfill_requests : 0, .age_ms = fg->cfg->backfill_age_ms,
		.rows = journal_gap_rows(fg->journal) };
}

static uint64_t
asks_open(const struct fetchgap *fg)
{
	uint64_t	 n = 0;

	for (size_t i = 0; i < BACKFILL_AT_ONCE; i++)
		n += fg->asks[i].open || fg->asks[i].kept;
	return n;
}

static bool
is_open(const struct journal_gap_row *r)
{
	return r->state == BACKFILL_DUE || r->state == BACKFILL_ASKED;
}

static void
set_gates(struct fetchgap *fg, bool shut)
{
	const struct journal_gap	*g = &fg->gap;

	for (size_t i = 0; i < g->rows_n; i++)
		queue_gate(fg->queue, g->rows[i].channel,
		    shut && is_open(&g->rows[i]) ? g->order + JOURNAL_GAP_ORDERS : 0);
}

static void
let_go(struct ask *a)
{
	if (a->open)
		calls_forget(a->fg->calls, a);
	a->open = a->kept = false;
	buf_fini(&a->page);
	memset(&a->page, 0, sizeof(a->page));
}

static void
forget_asks(struct fetchgap *fg)
{
	for (size_t i = 0; i < BACKFILL_AT_ONCE; i++)
		let_go(&fg->asks[i]);
	backfill_again(&fg->gap);
}

static void
remember(struct fetchgap *fg)
{
	const struct journal_gap	*g = &fg->gap;

	if (fg->past_n < GAPS_KEPT)
		fg->past_n++;
	memmove(&fg->past[1], &fg->past[0], (fg->past_n - 1) * sizeof(fg->past[0]));
	fg->past[0] = (struct past){ g->from_ms, g->lost_ms, g->live_ms, g->done_ms, g->counts };
}

static void
finish(struct fetchgap *fg)
{
	struct journal_gap	*g = &fg->gap;
	const struct gap_counts	*n = &g->counts;
	char			 from[32], to[32];

	set_gates(fg, false);
	timer_stop(fg->patience);
	g->due = false;
	g->done_ms = clock_wall_ms();
	backfill_leave_missing(g);
	journal_gap_put(fg->journal, g);
	remember(fg);
	count_add(COUNT_gap_filled, n->filled);
	count_add(COUNT_gap_refused, n->refused);
	count_add(COUNT_gap_failed, n->failed);
	count_add(COUNT_gap_skipped, n->skipped);
	log_notice("gap %s: from=%s to=%s channels=%" PRIu64 " filled=%" PRIu64 " refused=%" PRIu64
		   " failed=%" PRIu64 " skipped=%" PRIu64 " requests=%" PRIu64
		   " recovered=%" PRIu64 " known=%" PRIu64 " unasked_ms=%" PRIu64 " took_ms=%" PRIu64,
	    backfill_whole(g) ? "filled" : "not filled", clock_iso(g->from_ms, from, sizeof(from)),
	    clock_iso(g->live_ms, to, sizeof(to)), n->channels, n->filled, n->refused, n->failed,
	    n->skipped, n->requests, n->recovered, n->known, n->unasked_ms,
	    g->done_ms > g->live_ms ? g->done_ms - g->live_ms : 0);
	moment_say(MOMENT_GAP, "", "%s: %" PRIu64 " of %" PRIu64 " channels, %" PRIu64
	    " messages recovered", backfill_whole(g) ? "filled" : "not whole", n->filled, n->channels,
	    n->recovered);
}

/* ---- a page ---- */

/*
 * A row is settled, or due for its next page; what was taken so far is written down, so that a
 * successor does not ask for it again.
 */
static void
settled(struct fetchgap *fg, size_t row)
{
	const struct journal_gap_row	*r = &fg->gap.rows[row];

	if (!is_open(r))
		queue_gate(fg->queue, r->channel, 0);
	journal_gap_put(fg->journal, &fg->gap);
}

enum taken { TAKEN, NO_ROOM, CAME_LIVE };

/*
 * One message becomes deliveries.  One that came live already ends the row: so does all that was
 * said after it, in its order.
 */
static enum taken
take(struct fetchgap *fg, struct ask *a, const struct backfill_message *m)
{
	struct journal_gap_row	*r = &fg->gap.rows[a->row];
	struct envelope		 e;
	unsigned		 fresh;
	uint64_t		 order;
	int			 rc;

	backfill_body(m->text, r->guild, &fg->body);
	memset(&e, 0, sizeof(e));
	e.t = SPAN("MESSAGE_CREATE");
	e.d = buf_span(&fg->body);
	rc = queue_backfill(fg->queue, &e, 0, journal_gap_order(fg->journal), &fresh,
	    &order);
	if (rc == 1)
		return NO_ROOM;
	if (rc == 0 && fresh == 0 && order >= fg->gap.order + JOURNAL_GAP_ORDERS)
		return CAME_LIVE;
	if (fresh > 0) {
		fg->gap.counts.recovered++;
		r->recovered++;
		COUNT(gap_recovered);
		if (fault_hits(FAULT_SUP_CRASH_BACKFILL, m->text))
			raise(SIGKILL);
	} else if (rc == 0)
		fg->gap.counts.known++;
	a->taken = m->id;
	return TAKEN;
}

/* As much of the page as there is room for.  True: it is done with. */
static bool
take_page(struct fetchgap *fg, struct ask *a, struct span page)
{
	struct backfill_message	 v[BACKFILL_PAGE];
	int			 n = backfill_page(page, v);

	if (n < 0) {
		backfill_not_answered(&fg->gap, a->row, 0);
		settled(fg, a->row);
		return true;
	}
	for (int i = 0; i < n; i++) {
		enum taken	 t = v[i].id > a->taken ? take(fg, a, &v[i]) : TAKEN;

		if (t == NO_ROOM)
			return false;
		if (t == CAME_LIVE)
			n = i;
	}
	(void)backfill_page_taken(&fg->gap, a->row, (size_t)n, n > 0 ? v[n - 1].id : 0);
	settled(fg, a->row);
	return true;
}

static void
on_answer(void *arg, const struct msg_RESULT *res)
{
	struct ask	*a = arg;
	struct fetchgap	*fg = a->fg;

	a->open = false;
	if (res->error != ERR_OK || res->status != 200) {
		log_notice("gap channel=%" PRIu64 " not filled: %s status=%" PRIu64,
		    fg->gap.rows[a->row].channel, error_name(res->error), res->status);
		backfill_not_answered(&fg->gap, a->row, res->status);
		settled(fg, a->row);
	} else if (!take_page(fg, a, res->body)) {
		buf_add_span(&a->page, res->body);
		a->kept = true;
		timer_arm_ms(fg->room, ROOM_MS);
	}
	go_on(fg);
}

/* Ask for what may be asked for now; the end when nothing is left. */
static void
go_on(struct fetchgap *fg)
{
	struct backfill_limits	 lim = limits(fg);
	uint64_t		 now_ms = clock_wall_ms();
	char			 path[BACKFILL_PATH_BYTES];
	struct ask		*a;
	int			 row;

	if (!fg->gap.due || !fg->live || fg->stopped)
		return;
	while (asks_open(fg) < BACKFILL_AT_ONCE &&
	    (row = backfill_next(&fg->gap, &lim, now_ms, path)) != -1) {
		for (a = fg->asks; a->open || a->kept; a++)
			;
		a->fg = fg;
		a->row = (size_t)row;
		a->taken = 0;
		a->open = true;
		COUNT(gap_requests);
		calls_ask(fg->calls, "GET", path, SPAN_NONE, fg->cfg->backfill_wait_ms, on_answer,
		    a);
	}
	if (fg->gap.due && asks_open(fg) == 0 && backfill_done(&fg->gap))
		finish(fg);
}

/* There may be room again. */
static void
on_room(void *arg)
{
	struct fetchgap	*fg = arg;
	bool		 kept = false;

	for (size_t i = 0; i < BACKFILL_AT_ONCE; i++) {
		struct ask	*a = &fg->asks[i];

		if (a->kept && take_page(fg, a, buf_span(&a->page)))
			let_go(a);
		kept = kept || a->kept;
	}
	if (kept)
		timer_arm_ms(fg->room, ROOM_MS);
	go_on(fg);
}

/*
 * The wait is over: what waits behind a gate goes on.  Before the session is live nothing has
 * failed yet; the gates are shut again for what it brings.
 */
static void
on_patience(void *arg)
{
	struct fetchgap	*fg = arg;

	if (!fg->gap.due)
		return;
	if (!fg->live) {
		set_gates(fg, false);
		return;
	}
	forget_asks(fg);
	backfill_give_up(&fg->gap);
	finish(fg);
}

static void
begin(struct fetchgap *fg, uint64_t from_ms)
{
	struct backfill_limits	 lim = limits(fg);
	struct journal_channel	*known = mem_array(JOURNAL_CHANNELS_MAX, sizeof(*known));
	struct journal_gap	*old = NULL;
	const struct gap_counts	*p = &fg->gap.counts;
	uint64_t		 now_ms = clock_wall_ms();
	char			 from[32];
	size_t			 n = 0;

	if (queue_wants(fg->queue, "MESSAGE_CREATE"))
		n = journal_channels(fg->journal, known, JOURNAL_CHANNELS_MAX);
	if (fg->gap.due) {
		forget_asks(fg);
		set_gates(fg, false);
		old = mem_alloc(sizeof(*old));
		*old = fg->gap;
	}
	if (from_ms == 0 || from_ms > now_ms)
		from_ms = n > 0 ? known[0].last_ms : now_ms;
	backfill_plan(&fg->gap, known, n, old, &lim, from_ms, now_ms);
	free(old);
	free(known);
	fg->any = true;
	fg->live = false;
	journal_gap_open(fg->journal, &fg->gap);
	set_gates(fg, true);
	timer_arm_ms(fg->patience, fg->cfg->backfill_wait_ms);
	COUNT(gaps);
	log_notice("gap begins: from=%s channels=%" PRIu64 " of them to ask=%" PRIu64 "%s",
	    clock_iso(from_ms, from, sizeof(from)), p->channels, p->channels - p->skipped,
	    fg->cfg->backfill ? "" : " (backfill = false)");
	moment_say(MOMENT_GAP, "", "from %s: %" PRIu64 " of %" PRIu64 " channels are asked", from,
	    p->channels - p->skipped, p->channels);
}

/* ---- outside ---- */

struct fetchgap *
fetchgap_new(struct loop *loop, const struct cfg *cfg, struct journal *journal,
    struct queue *queue, struct calls *calls)
{
	struct fetchgap	*fg = mem_alloc(sizeof(*fg));

	fg->loop = loop;
	fg->cfg = cfg;
	fg->journal = journal;
	fg->queue = queue;
	fg->calls = calls;
	fg->patience = timer_new(loop, on_patience, fg);
	fg->room = timer_new(loop, on_room, fg);
	for (size_t i = 0; i < BACKFILL_AT_ONCE; i++)
		fg->asks[i].fg = fg;
	return fg;
}

void
fetchgap_free(struct fetchgap **fgp)
{
	struct fetchgap	*fg = *fgp;

	if (fg == NULL)
		return;
	for (size_t i = 0; i < BACKFILL_AT_ONCE; i++)
		let_go(&fg->asks[i]);
	timer_free(&fg->patience);
	timer_free(&fg->room);
	buf_fini(&fg->body);
	free(fg);
	*fgp = NULL;
}

void
fetchgap_start(struct fetchgap *fg, bool session)
{
	struct journal_channel	 one;

	fg->any = journal_gap_get(fg->journal, &fg->gap);
	/* Without the session that was live while it was filled there is more to ask for. */
	if (fg->any && fg->gap.due && (session || fg->gap.live_ms == 0)) {
		backfill_again(&fg->gap);
		set_gates(fg, true);
		timer_arm_ms(fg->patience, fg->cfg->backfill_wait_ms);
		log_notice("gap of a former process goes on: channels=%" PRIu64
			   " requests=%" PRIu64, fg->gap.counts.channels, fg->gap.counts.requests);
		return;
	}
	if (fg->any && !fg->gap.due)
		remember(fg);
	if (!session && journal_channels(fg->journal, &one, 1) > 0)
		begin(fg, one.last_ms);
}

void
fetchgap_lost(struct fetchgap *fg, uint64_t from_ms)
{
	begin(fg, from_ms);
}

void
fetchgap_live(struct fetchgap *fg)
{
	struct backfill_limits	 lim = limits(fg);

	if (!fg->gap.due)
		return;
	fg->live = true;
	if (fg->gap.live_ms == 0) {
		backfill_live(&fg->gap, &lim, clock_wall_ms());
		journal_gap_put(fg->journal, &fg->gap);
	}
	set_gates(fg, true);
	timer_arm_ms(fg->patience, fg->cfg->backfill_wait_ms);
	go_on(fg);
}

void
fetchgap_stop(struct fetchgap *fg)
{
	fg->stopped = true;
	forget_asks(fg);
	timer_stop(fg->patience);
}

/* ---- what is shown ---- */

static void
kv_time(struct json_out *o, const char *key, uint64_t wall_ms)
{
	char	 iso[32];

	json_kv_cstr(o, key, wall_ms == 0 ? NULL : clock_iso(wall_ms, iso, sizeof(iso)));
}

/* The channels that are not filled, and why. */
static void
put_missing(struct json_out *o, const struct journal_gap *g)
{
	static const char *const	 states[] = {
		[BACKFILL_DUE] = "due",		[BACKFILL_ASKED] = "asked",
		[BACKFILL_FILLED] = "filled",	[BACKFILL_REFUSED] = "refused",
		[BACKFILL_FAILED] = "failed",	[BACKFILL_SKIPPED] = "skipped",
	};
	const struct journal_gap_row	*row;

	json_key(o, "missing");
	json_arr(o);
	for (row = g->rows; row < g->rows + g->rows_n; row++) {
		if (row->state == BACKFILL_FILLED || row->state > BACKFILL_SKIPPED)
			continue;
		json_obj(o);
		json_kv_id(o, "channel", row->channel);
		json_kv_cstr(o, "why", states[row->state]);
		json_obj_end(o);
	}
	json_arr_end(o);
}

/* g: the same gap with its channels, or NULL. */
static void
put(struct json_out *o, const struct past *p, bool due, const struct journal_gap *g)
{
	const struct gap_counts	*n = &p->counts;

	json_obj(o);
	if (g != NULL)
		put_missing(o, g);
	kv_time(o, "from", p->from_ms);
	kv_time(o, "lost", p->lost_ms);
	kv_time(o, "to", p->live_ms);
	kv_time(o, "done", p->done_ms);
	json_kv_bool(o, "filling", due);
	json_kv_bool(o, "whole", !due && n->failed + n->skipped + n->unasked_ms == 0);
	json_kv_u64(o, "channels", n->channels);
	json_kv_u64(o, "filled", n->filled);
	json_kv_u64(o, "refused", n->refused);
	json_kv_u64(o, "failed", n->failed);
	json_kv_u64(o, "skipped", n->skipped);
	json_kv_u64(o, "requests", n->requests);
	json_kv_u64(o, "recovered", n->recovered);
	json_kv_u64(o, "known", n->known);
	json_kv_u64(o, "unasked_ms", n->unasked_ms);
	json_obj_end(o);
}

static struct past
newest(const struct fetchgap *fg)
{
	const struct journal_gap	*g = &fg->gap;

	return (struct past){ g->from_ms, g->lost_ms, g->live_ms, g->done_ms, g->counts };
}

void
fetchgap_json(struct fetchgap *fg, struct json_out *o)
{
	struct past	 p;

	if (fg == NULL || !fg->any) {
		json_nil(o);
		return;
	}
	p = newest(fg);
	put(o, &p, fg->gap.due, NULL);
}

void
fetchgap_all_json(struct fetchgap *fg, struct json_out *o)
{
	struct past	 p;

	json_arr(o);
	if (fg != NULL && fg->gap.due) {
		p = newest(fg);
		put(o, &p, true, &fg->gap);
	}
	for (size_t i = 0; fg != NULL && i < fg->past_n; i++)
		put(o, &fg->past[i], false,
		    i == 0 && fg->any && !fg->gap.due ? &fg->gap : NULL);
	json_arr_end(o);
}

bool
fetchgap_why(struct fetchgap *fg, char *dst, size_t dst_bytes)
{
	const struct journal_gap	*g;
	const struct gap_counts		*n;
	uint64_t			 now_ms = clock_wall_ms(), ago_ms;
	unsigned long long		 done, left;
	char				 text[24];

	if (fg == NULL || !fg->any)
		return false;
	g = &fg->gap;
	n = &g->counts;
	left = n->failed + n->skipped;
	done = n->filled + n->refused + left;
	ago_ms = clock_since_ms(g->lost_ms, now_ms);
	clock_human_ms(ago_ms, text, sizeof(text));
	if (g->due)
		snprintf(dst, dst_bytes, because_GAP_DUE, text, done,
		    (unsigned long long)n->channels);
	else if (ago_ms < SHOWN_MS && !backfill_whole(g))
		snprintf(dst, dst_bytes, because_GAP_LEFT, text, left,
		    (unsigned long long)n->channels,
		    n->unasked_ms > 0 ? ", and what is too long ago in all" : "");
	else
		return false;
	return true;
}
