/*
 * doc - see doc.h.
 */
#include <stdlib.h>

#include "supervisor/ctl/doc.h"

const char *
get_str(const json_t *o, const char *key)
{
	const char	*s = json_string_value(json_object_get(o, key));

	return s == NULL || *s == '\0' ? "-" : s;
}

bool
has_str(const json_t *o, const char *key)
{
	return json_string_length(json_object_get(o, key)) > 0;
}

uint64_t
get_u64(const json_t *o, const char *key)
{
	const json_t	*v = json_object_get(o, key);

	if (json_is_string(v))
		return strtoull(json_string_value(v), NULL, 10);
	return (uint64_t)json_integer_value(v);
}

bool
get_bool(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}
