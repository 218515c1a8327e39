/*
 * field - see field.h.
 */
#include <string.h>

#include "worker/chat/field.h"

struct span
field_span(json_t *j)
{
	if (!json_is_string(j))
		return SPAN_NONE;
	return span_make(json_string_value(j), json_string_length(j));
}

const char *
field_text(json_t *object, const char *key)
{
	const char	*s = json_string_value(json_object_get(object, key));

	return s == NULL ? "" : s;
}

uint64_t
field_id(json_t *object, const char *key)
{
	uint64_t	 id;

	return span_u64(span_of(field_text(object, key)), &id) ? id : 0;
}

size_t
field_blanks(struct span s)
{
	size_t	 n = 0;

	while (n < s.n && strchr(" \n\r\t", s.p[n]) != NULL && s.p[n] != '\0')
		n++;
	return n;
}
