/*
 * checks - see checks.h.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "worker/web/checks.h"

static void
say_age(const struct snap *s, struct buf *out)
{
	if (s->doc == NULL)
		buf_printf(out, "snapshot: the supervisor has told nothing yet\n");
	else
		buf_printf(out, "snapshot: %" PRIu64 ".%03" PRIu64 " s old%s\n", s->age_ms / 1000,
		    s->age_ms % 1000, snap_fresh(s) ? "" : ": the supervisor does not answer");
}

unsigned
checks_health(const struct snap *s, struct buf *out)
{
	const json_t	*why;
	size_t		 i;

	if (!snap_fresh(s)) {
		say_age(s, out);
		return 503;
	}
	if (strcmp(snap_str(s->doc, "status.health"), "down") != 0) {
		buf_printf(out, "ok\n");
		return 200;
	}
	json_array_foreach(snap_at(s->doc, "status.why"), i, why)
		buf_printf(out, "%s\n", snap_str(why, ""));
	return 503;
}

struct checks {
	struct buf	*out;
	unsigned	 status;
};

static void __attribute__((format(printf, 3, 4)))
check(struct checks *c, bool good, const char *fmt, ...)
{
	char	 text[256];
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(c->out, "%s %s\n", good ? "ok " : "NOT", text);
	if (!good)
		c->status = 503;
}

static void
check_gateway(struct checks *c, const json_t *st)
{
	const json_t	*g = snap_at(st, "gateway");

	if (json_is_null(g))
		check(c, true, "gateway: not wanted (--no-gateway)");
	else
		check(c, snap_true(g, "live"), "gateway: %s", snap_str(g, "state"));
}

static void
check_rest(struct checks *c, const json_t *st)
{
	const json_t	*w;
	size_t		 i, n = 0;

	json_array_foreach(snap_at(st, "workers"), i, w) {
		if (strcmp(snap_str(w, "role"), "rest") != 0)
			continue;
		n++;
		if (snap_true(w, "active")) {
			check(c, true, "rest: %s is active", snap_str(w, "name"));
			return;
		}
	}
	if (n == 0)
		check(c, true, "rest: not wanted (no token)");
	else
		check(c, false, "rest: none of %zu workers is active", n);
}

unsigned
checks_ready(const struct snap *s, struct buf *out)
{
	struct checks	 c = { .out = out, .status = 200 };
	const json_t	*st = snap_at(s->doc, "status"), *p;
	uint64_t	 ready, of;
	size_t		 i;

	buf_printf(out, snap_fresh(s) ? "ok  " : "NOT ");
	say_age(s, out);
	if (!snap_fresh(s))
		c.status = 503;
	if (s->doc == NULL)
		return c.status;
	check_gateway(&c, st);
	check_rest(&c, st);
	json_array_foreach(snap_at(st, "pools"), i, p) {
		ready = snap_u64(p, "ready");
		of = snap_u64(p, "workers");
		check(&c, ready > 0 || of == 0, "pool %s: %" PRIu64 " of %" PRIu64 " ready",
		    snap_str(p, "name"), ready, of);
	}
	if (snap_true(st, "journal.damaged"))
		check(&c, false, "journal: %s", snap_str(st, "journal.damage"));
	else
		check(&c, true, "journal: not damaged");
	return c.status;
}
