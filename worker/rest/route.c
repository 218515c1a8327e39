/*
 * route - see route.h.
 */
#include <stdio.h>

#include "worker/rest/route.h"

static bool
is_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* Is segment i of a path a parameter, given the first segment and the one before? */
static bool
is_parameter(size_t i, struct span first, struct span before, struct span seg)
{
	if (is_digits(seg))
		return true;
	if (i == 2 && (span_is(first, "webhooks") || span_is(first, "interactions")))
		return true;				/* a token */
	return span_is(before, "reactions") || span_is(before, "invites") ||
	    span_is(before, "templates");
}

/* How many segments behind the first one are the top-level resource. */
static size_t
majors_of(struct span first)
{
	if (span_is(first, "webhooks") || span_is(first, "interactions"))
		return 2;
	return span_is(first, "channels") || span_is(first, "guilds") ? 1 : 0;
}

void
route_of(struct span method, struct span path, struct route *r)
{
	struct span	 rest = request_bare(path), first = SPAN_NONE, before = SPAN_NONE, seg;
	uint64_t	 h = span_hash_add(SPAN_HASH_SEED, method), major = SPAN_HASH_SEED;
	size_t		 majors = 0, majors_max;

	memset(r, 0, sizeof(*r));
	for (size_t i = 0; request_segment(&rest, &seg); i++) {
		bool	 parameter = is_parameter(i, first, before, seg);

		if (i == 0)
			first = seg;
		majors_max = majors_of(first);
		if (parameter && i == majors + 1 && majors < majors_max) {
			major = span_hash_add(major, seg);
			majors++;
		}
		h = span_hash_add(h, parameter ? SPAN("{}") : seg);
		before = seg;
	}
	r->route = span_hash_end(h);
	r->major = majors == 0 ? 0 : span_hash_end(major);
	r->interaction = majors == 2;
	r->changes = request_changes(method);
	r->ordered = span_is(method, "POST");
	r->rule = request_rule(method, path);
}

static void
show(struct span method, struct span path, bool as_template, char dst[ROUTE_SHOWN_MAX])
{
	struct span	 rest = request_bare(path), first = SPAN_NONE, before = SPAN_NONE, seg, shown;
	int		 n, used;

	used = snprintf(dst, ROUTE_SHOWN_MAX, "%.*s ", (int)(method.n > 8 ? 8 : method.n),
	    method.p);
	for (size_t i = 0; request_segment(&rest, &seg) && used < ROUTE_SHOWN_MAX - 1; i++) {
		if (i == 0)
			first = seg;
		shown = seg;
		if (i == 2 && (span_is(first, "webhooks") || span_is(first, "interactions")))
			shown = SPAN("***");
		else if (as_template && !(i == 1 && majors_of(first) > 0) &&
		    is_parameter(i, first, before, seg))
			shown = SPAN("{}");
		n = snprintf(dst + used, (size_t)(ROUTE_SHOWN_MAX - used), "/%.*s", (int)shown.n,
		    shown.p);
		used += n < ROUTE_SHOWN_MAX - used ? n : ROUTE_SHOWN_MAX - used - 1;
		before = seg;
	}
}

void
route_shown(struct span method, struct span path, char dst[ROUTE_SHOWN_MAX])
{
	show(method, path, false, dst);
}

void
route_named(struct span method, struct span path, char dst[ROUTE_SHOWN_MAX])
{
	show(method, path, true, dst);
}
