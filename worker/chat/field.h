/*
 * field - values of JSON as this room needs them, from documents of others.
 *
 * Pure.  What is not of the kind that is asked for counts as absent; spans and strings are borrowed
 * from the document.
 */
#ifndef WORKER_CHAT_FIELD_H
#define WORKER_CHAT_FIELD_H

#include <jansson.h>

#include "common/span.h"

/* SPAN_NONE: no string; one with a NUL inside is whole. */
struct span	 field_span(json_t *);
/* "": no string. */
const char	*field_text(json_t *object, const char *key);
/* A snowflake, which Discord writes as a string; 0: none. */
uint64_t	 field_id(json_t *object, const char *key);
/* Bytes of white space, as JSON has it, that it begins with. */
size_t		 field_blanks(struct span);

#endif
