/*
 * route - see route.h.
 */
#include <stdio.h>

#include "worker/rest/route.h"

#define SEGMENTS_MAX	32

static const struct row {
	const char	*method, *template;
	enum lane	 lane;
	enum settle	 settle;
	unsigned	 code;
} rows[] = {
#define ROUTE(method, template, lane, settle, nonce) { #method, template, LANE_##lane, SETTLE_##settle, nonce },
#include "proto/routes.def"
#undef ROUTE
};

static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };

/* The next segment of *rest, without its slash. */
static bool
segment(struct span *rest, struct span *seg_r)
{
	const char	*end;

	if (rest->n == 0 || rest->p[0] != '/')
		return false;
	rest->p++;
	rest->n--;
	end = memchr(rest->p, '/', rest->n);
	seg_r->p = rest->p;
	seg_r->n = end == NULL ? rest->n : (size_t)(end - rest->p);
	rest->p += seg_r->n;
	rest->n -= seg_r->n;
	return true;
}

static struct span
without_query(struct span path)
{
	const char	*q = memchr(path.p, '?', path.n);

	return q == NULL ? path : span_make(path.p, (size_t)(q - path.p));
}

static bool
is_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

static bool
is_dots(struct span s)
{
	return span_is(s, ".") || span_is(s, "..");
}

const char *
route_check(struct span method, struct span path)
{
	struct span	 rest, seg;
	size_t		 n = 0;
	bool		 known = false;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		known = known || span_is(method, methods[i]);
	if (!known)
		return "no such method: GET, HEAD, POST, PUT, PATCH or DELETE";
	if (path.n == 0 || path.p[0] != '/')
		return "the path does not begin with a slash";
	if (path.n > ROUTE_PATH_MAX)
		return "the path is too long";
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] <= ' ' || path.p[i] > '~' || path.p[i] == '#' || path.p[i] == '\\')
			return "the path holds a byte that must be percent-encoded";
	for (rest = without_query(path); segment(&rest, &seg);) {
		if (is_dots(seg))
			return "the path holds a dot segment";
		if (++n > SEGMENTS_MAX)
			return "the path has too many segments";
	}
	return NULL;
}

/* Is segment i of a path a parameter, given the first segment and the one before? */
static bool
is_parameter(size_t i, struct span first, struct span before, struct span seg)
{
	if (is_digits(seg))
		return true;
	if (i == 2 && (span_is(first, "webhooks") || span_is(first, "interactions")))
		return true;				/* a token */
	return span_is(before, "reactions") || span_is(before, "invites") || span_is(before, "templates");
}

static bool
matches(struct span path, const char *template)
{
	struct span	 want = span_of(template), w, have;

	while (segment(&want, &w))
		if (!segment(&path, &have) || !(span_is(w, "{}") || span_eq(w, have)))
			return false;
	return path.n == 0;
}

static void
by_rule(struct span method, struct route *r)
{
	r->settle = r->ordered ? SETTLE_DOUBT : SETTLE_REPEAT;
	r->lane = r->reads ? LANE_BULK : span_is(method, "PATCH") ? LANE_EDIT : LANE_CREATE;
}

void
route_of(struct span method, struct span path, struct route *r)
{
	struct span	 bare = without_query(path), rest = bare, first = SPAN_NONE, before = SPAN_NONE, seg;
	uint64_t	 h = span_hash_add(SPAN_HASH_SEED, method), major = SPAN_HASH_SEED;
	size_t		 majors = 0, majors_max;

	memset(r, 0, sizeof(*r));
	for (size_t i = 0; segment(&rest, &seg); i++) {
		bool	 parameter = is_parameter(i, first, before, seg);

		if (i == 0)
			first = seg;
		majors_max = span_is(first, "webhooks") || span_is(first, "interactions") ? 2 :
		    span_is(first, "channels") || span_is(first, "guilds") ? 1 : 0;
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
	r->reads = span_is(method, "GET") || span_is(method, "HEAD");
	r->ordered = span_is(method, "POST");
	by_rule(method, r);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_is(method, rows[i].method) && matches(bare, rows[i].template)) {
			r->lane = rows[i].lane;
			r->settle = rows[i].settle;
			r->code = rows[i].code;
			break;
		}
}

void
route_shown(struct span method, struct span path, char dst[ROUTE_SHOWN_MAX])
{
	struct span	 rest = without_query(path), first = SPAN_NONE, seg;
	int		 n, used;

	used = snprintf(dst, ROUTE_SHOWN_MAX, "%.*s ", (int)(method.n > 8 ? 8 : method.n), method.p);
	for (size_t i = 0; segment(&rest, &seg) && used < ROUTE_SHOWN_MAX - 1; i++) {
		if (i == 0)
			first = seg;
		if (i == 2 && (span_is(first, "webhooks") || span_is(first, "interactions")))
			seg = SPAN("***");
		n = snprintf(dst + used, (size_t)(ROUTE_SHOWN_MAX - used), "/%.*s", (int)seg.n, seg.p);
		used += n < ROUTE_SHOWN_MAX - used ? n : ROUTE_SHOWN_MAX - used - 1;
	}
}
