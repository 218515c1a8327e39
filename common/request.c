/*
 * request - see request.h.
 */
#include "common/request.h"

#define SEGMENTS_MAX	32

static const struct row {
	const char		*method, *template;
	struct request_rule	 rule;
} rows[] = {
#define ROUTE(method, template, lane, settle, code)				\
	{ #method, template, { LANE_##lane, SETTLE_##settle, code } },
#include "proto/routes.def"
#undef ROUTE
};

static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };

const char *const *
request_methods(size_t *n_r)
{
	*n_r = sizeof(methods) / sizeof(methods[0]);
	return methods;
}

bool
request_segment(struct span *rest, struct span *seg_r)
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

struct span
request_bare(struct span path)
{
	const char	*q = path.n == 0 ? NULL : memchr(path.p, '?', path.n);

	return q == NULL ? path : span_make(path.p, (size_t)(q - path.p));
}

const char *
request_check(struct span method, struct span path)
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
	if (path.n > REQUEST_PATH_MAX)
		return "the path is too long";
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] <= ' ' || path.p[i] > '~' || path.p[i] == '#' || path.p[i] == '\\')
			return "the path holds a byte that must be percent-encoded";
	for (rest = request_bare(path); request_segment(&rest, &seg);) {
		if (span_is(seg, ".") || span_is(seg, ".."))
			return "the path holds a dot segment";
		if (++n > SEGMENTS_MAX)
			return "the path has too many segments";
	}
	return NULL;
}

/* {} stands for one segment that is not empty. */
static bool
fits(struct span path, const char *template)
{
	struct span	 left = span_of(template), want, have;

	while (request_segment(&left, &want))
		if (!request_segment(&path, &have) ||
		    !(span_is(want, "{}") ? have.n > 0 : span_eq(want, have)))
			return false;
	return path.n == 0;
}

bool
request_changes(struct span method)
{
	return !span_is(method, "GET") && !span_is(method, "HEAD");
}

struct request_rule
request_rule(struct span method, struct span path)
{
	struct span	 bare = request_bare(path);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_is(method, rows[i].method) && fits(bare, rows[i].template))
			return rows[i].rule;
	return (struct request_rule){
		.lane = !request_changes(method) ? LANE_BULK :
		    span_is(method, "PATCH") ? LANE_EDIT : LANE_CREATE,
		.settle = span_is(method, "POST") ? SETTLE_DOUBT : SETTLE_REPEAT,
	};
}
