/*
 * doc - members of what the supervisor says.  Private to ctl/.
 *
 * It may be older or newer: what is missing, or of another type, is nothing to fall over.
 */
#ifndef SUPERVISOR_CTL_DOC_H
#define SUPERVISOR_CTL_DOC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* "-" when there is none or it is empty; valid as long as the document. */
const char	*get_str(const json_t *, const char *key);
bool		 has_str(const json_t *, const char *key);
/* Ids are text.  0 when there is none. */
uint64_t	 get_u64(const json_t *, const char *key);
bool		 get_bool(const json_t *, const char *key);

#endif
