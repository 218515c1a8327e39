/*
 * cfgrow - the rows of options.def, and one value against its row.
 *
 * Pure, and private to the configuration: cfgscan, cfgcheck and cfg.  Every value is checked here
 * twice, by the child that has the file with its lines, and by the parent that gets the value.
 * Sentences hold no secret.
 */
#ifndef COMMON_CFGROW_H
#define COMMON_CFGROW_H

#include "common/cfg.h"
#include "common/tables.h"

#define CFGROW_WHY_BYTES	512

/* The row, NULL when there is none of that name in a pool, or outside of the pools. */
const struct cfg_option	*cfgrow_find(struct span name, bool in_pool);
/* The rows of a pool, or those outside, one after the other; begins after NULL, ends with NULL. */
const struct cfg_option	*cfgrow_next(const struct cfg_option *, bool in_pool);
/* A built-in role that a pool may have: not rest, which the supervisor makes. */
const struct role_row	*cfgrow_handler(const char *name);
/* What is wrong with the name of a pool, after "a name"; NULL when nothing is. */
const char	*cfgrow_bad_pool_name(struct span name);

/*
 * One value, for a list one of its words.
 *	where	"" or " in pool \"x\"", for the sentence
 *	v_r	out; of types that are numbers
 *	why	CFGROW_WHY_BYTES; the sentence after -1
 */
int		 cfgrow_check(const struct cfg_option *, const char *where, const char *text,
		    uint64_t *v_r, char *why);

/* Text of the file <-> number, in the unit of struct cfg.  False: not of that form. */
bool		 cfgrow_number(enum cfg_type, const char *text, uint64_t *v_r);
const char	*cfgrow_number_text(enum cfg_type, uint64_t v, char *dst, size_t dst_bytes);

/* "; did you mean ...", or nothing when no name is near. */
void		 cfgrow_suggest(const char *word, const char *const *names, size_t names_n,
		    char *dst, size_t dst_bytes);
/* Text of the file as part of a sentence: cut, and on one line. */
const char	*cfgrow_quoted(const char *text, char *dst, size_t dst_bytes);

#endif
