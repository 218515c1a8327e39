/*
 * snap - see snap.h.
 */
#include "worker/web/snap.h"

bool
snap_fresh(const struct snap *s)
{
	return s->doc != NULL && s->age_ms <= SNAP_FRESH_MS;
}

const json_t *
snap_at(const json_t *j, const char *path)
{
	while (j != NULL && *path != '\0') {
		size_t	 n = strcspn(path, ".");

		j = json_object_getn(j, path, n);
		path += n + (path[n] == '.');
	}
	return j;
}

uint64_t
snap_u64(const json_t *j, const char *path)
{
	json_int_t	 v = json_integer_value(snap_at(j, path));

	return v < 0 ? 0 : (uint64_t)v;
}

const char *
snap_str(const json_t *j, const char *path)
{
	const char	*s = json_string_value(snap_at(j, path));

	return s == NULL ? "" : s;
}

bool
snap_true(const json_t *j, const char *path)
{
	return json_is_true(snap_at(j, path));
}

bool
snap_has(const json_t *j, const char *path)
{
	const json_t	*v = snap_at(j, path);

	return v != NULL && !json_is_null(v);
}

void
snap_html(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '&': buf_printf(b, "&amp;"); break;
		case '<': buf_printf(b, "&lt;"); break;
		case '>': buf_printf(b, "&gt;"); break;
		case '"': buf_printf(b, "&quot;"); break;
		case '\'': buf_printf(b, "&#39;"); break;
		default:
			buf_add(b, (unsigned char)*text < 0x20 || *text == 0x7f ? " " : text, 1);
		}
}
