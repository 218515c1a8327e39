/*
 * backfill - see backfill.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "supervisor/delivery/backfill.h"

static const struct journal_gap_row *
row_of(const struct journal_gap *g, uint64_t channel)
{
	for (size_t i = 0; i < g->rows_n; i++)
		if (g->rows[i].channel == channel)
			return &g->rows[i];
	return NULL;
}

static bool
is_open(const struct journal_gap_row *r)
{
	return r->state == BACKFILL_DUE || r->state == BACKFILL_ASKED;
}

/* One more channel: a row when there is room, to be asked when there are requests for it. */
static void
add(struct journal_gap *g, const struct backfill_limits *lim, uint64_t channel, uint64_t guild,
    uint64_t after)
{
	bool	 asked = g->rows_n < lim->rows && g->rows_n < lim->requests;

	g->counts.channels++;
	if (!asked)
		g->counts.skipped++;
	if (g->rows_n < lim->rows)
		g->rows[g->rows_n++] = (struct journal_gap_row){ .channel = channel,
			.guild = guild, .after = after,
			.state = asked ? BACKFILL_DUE : BACKFILL_SKIPPED };
}

void
backfill_leave_missing(struct journal_gap *g)
{
	size_t	 n = 0;

	for (size_t i = 0; i < g->rows_n; i++)
		if (g->rows[i].state != BACKFILL_FILLED)
			g->rows[n++] = g->rows[i];
	g->rows_n = n;
}

void
backfill_plan(struct journal_gap *g, const struct journal_channel *known, size_t n,
    const struct journal_gap *old, const struct backfill_limits *lim, uint64_t from_ms,
    uint64_t now_ms)
{
	const struct journal_gap_row	*r;

	memset(g, 0, sizeof(*g));
	g->from_ms = old != NULL && old->from_ms < from_ms ? old->from_ms : from_ms;
	g->lost_ms = now_ms;
	g->due = true;
	if (old != NULL) {
		g->counts.requests = old->counts.requests;
		g->counts.recovered = old->counts.recovered;
		g->counts.known = old->counts.known;
	}
	for (size_t i = 0; i < n; i++) {
		const struct journal_channel	*c = &known[i];
		uint64_t			 after = c->last;

		if (c->guild != 0 && now_ms > c->last_ms &&
		    now_ms - c->last_ms > BACKFILL_ACTIVE_MS)
			continue;
		if (old != NULL && (r = row_of(old, c->id)) != NULL && is_open(r) &&
		    r->after < after)
			after = r->after;
		add(g, lim, c->id, c->guild, after);
	}
	/* Forgotten meanwhile, and still owed. */
	for (size_t i = 0; old != NULL && i < old->rows_n; i++) {
		bool	 found = false;

		r = &old->rows[i];
		for (size_t k = 0; k < n && !found; k++)
			found = known[k].id == r->channel;
		if (!found && is_open(r))
			add(g, lim, r->channel, r->guild, r->after);
	}
}

void
backfill_live(struct journal_gap *g, const struct backfill_limits *lim, uint64_t now_ms)
{
	uint64_t	 oldest = now_ms > lim->age_ms ? now_ms - lim->age_ms : 0;

	g->live_ms = now_ms;
	g->counts.unasked_ms = oldest > g->from_ms ? oldest - g->from_ms : 0;
}

void
backfill_again(struct journal_gap *g)
{
	for (size_t i = 0; i < g->rows_n; i++)
		if (g->rows[i].state == BACKFILL_ASKED)
			g->rows[i].state = BACKFILL_DUE;
}

/* The least id of that time; 0 before Discord's epoch. */
static uint64_t
id_at(uint64_t wall_ms)
{
	uint64_t	 epoch = clock_snowflake_ms(0);

	return wall_ms > epoch ? (wall_ms - epoch) << 22 : 0;
}

int
backfill_next(struct journal_gap *g, const struct backfill_limits *lim, uint64_t now_ms,
    char path[BACKFILL_PATH_BYTES])
{
	struct journal_gap_row	*r;
	uint64_t		 after, oldest;
	unsigned		 asked = 0;
	int			 next = -1;

	for (size_t i = 0; i < g->rows_n; i++) {
		asked += g->rows[i].state == BACKFILL_ASKED;
		if (next == -1 && g->rows[i].state == BACKFILL_DUE)
			next = (int)i;
	}
	if (next == -1 || asked >= BACKFILL_AT_ONCE)
		return -1;
	if (g->counts.requests >= lim->requests) {
		for (size_t i = 0; i < g->rows_n; i++)
			if (g->rows[i].state == BACKFILL_DUE) {
				g->rows[i].state = BACKFILL_SKIPPED;
				g->counts.skipped++;
			}
		return -1;
	}
	r = &g->rows[next];
	oldest = id_at(now_ms > lim->age_ms ? now_ms - lim->age_ms : 0);
	after = r->after > oldest ? r->after : oldest;
	snprintf(path, BACKFILL_PATH_BYTES,
	    "/channels/%" PRIu64 "/messages?after=%" PRIu64 "&limit=%d", r->channel, after,
	    BACKFILL_PAGE);
	r->state = BACKFILL_ASKED;
	g->counts.requests++;
	return next;
}

bool
backfill_page_taken(struct journal_gap *g, size_t row, size_t messages, uint64_t newest)
{
	struct journal_gap_row	*r = &g->rows[row];

	if (messages == BACKFILL_PAGE && newest > r->after) {
		r->after = newest;
		r->state = BACKFILL_DUE;
		return true;
	}
	r->state = BACKFILL_FILLED;
	g->counts.filled++;
	return false;
}

void
backfill_not_answered(struct journal_gap *g, size_t row, uint64_t status)
{
	bool	 refused = status == 403 || status == 404;

	g->rows[row].state = refused ? BACKFILL_REFUSED : BACKFILL_FAILED;
	if (refused)
		g->counts.refused++;
	else
		g->counts.failed++;
}

void
backfill_give_up(struct journal_gap *g)
{
	for (size_t i = 0; i < g->rows_n; i++)
		if (is_open(&g->rows[i])) {
			g->rows[i].state = BACKFILL_FAILED;
			g->counts.failed++;
		}
}

bool
backfill_done(const struct journal_gap *g)
{
	for (size_t i = 0; i < g->rows_n; i++)
		if (is_open(&g->rows[i]))
			return false;
	return true;
}

bool
backfill_whole(const struct journal_gap *g)
{
	return g->counts.failed + g->counts.skipped + g->counts.unasked_ms == 0;
}

static int
by_id(const void *va, const void *vb)
{
	const struct backfill_message	*a = va, *b = vb;

	return a->id < b->id ? -1 : a->id > b->id;
}

int
backfill_page(struct span page, struct backfill_message v[BACKFILL_PAGE])
{
	struct json_scan	 scan;
	enum json_token		 token;
	struct span		 rest;
	int			 n = 0;

	json_scan_init(&scan, page);
	if (json_next(&scan) != JSON_TOK_ARRAY)
		return -1;
	for (;;) {
		/* A look ahead, so that a whole object can be skipped. */
		struct json_scan	 ahead = scan;

		token = json_next(&ahead);
		if (token == JSON_TOK_ARRAY_END)
			break;
		if (token != JSON_TOK_OBJECT || n == BACKFILL_PAGE || !json_skip(&scan, &rest) ||
		    !json_member_u64(rest, "id", &v[n].id) || v[n].id == 0)
			return -1;
		v[n++].text = rest;
	}
	if (n > 1)
		qsort(v, (size_t)n, sizeof(v[0]), by_id);
	return n;
}

void
backfill_body(struct span message, uint64_t guild, struct buf *out)
{
	enum json_token	 type;
	struct span	 value;

	buf_reset(out);
	if (guild == 0 || message.n < 2 || message.p[0] != '{' ||
	    json_member(message, "guild_id", &type, &value)) {
		buf_add_span(out, message);
		return;
	}
	buf_printf(out, "{\"guild_id\":\"%" PRIu64 "\",", guild);
	buf_add(out, message.p + 1, message.n - 1);
}
