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

/* The row, NULL when there is none of that name in that scope. */
const struct cfg_option	*cfgrow_find(struct span name, enum cfg_scope);
/* The rows of a scope, one after the other; begins after NULL, ends with NULL. */
const struct cfg_option	*cfgrow_next(const struct cfg_option *, enum cfg_scope);
/* "pool", "model", "chat", "global"; a section has a title when it may stand more than once. */
const char	*cfgrow_scope_name(enum cfg_scope);
bool		 cfgrow_scope_titled(enum cfg_scope);
/* False: no section is called so. */
bool		 cfgrow_scope_of(struct span name, enum cfg_scope *scope_r);
/* A built-in role that a pool may have: not rest, which the supervisor makes. */
const struct role_row	*cfgrow_handler(const char *name);
/* What stands behind "exec:", NULL when the handler is another. */
const char	*cfgrow_command(const char *handler);
/* The option `env` of a pool, whose values are secrets; and the name in NAME=value. */
bool		 cfgrow_is_env(const struct cfg_option *);
struct span	 cfgrow_env_name(const char *text);
/* "", " in pool \"x\"" or " in chat", for sentences. */
const char	*cfgrow_where(enum cfg_scope, struct span title, char *dst, size_t dst_bytes);
/* What is wrong with the title of a section, after "a name"; NULL when nothing is. */
const char	*cfgrow_bad_title(enum cfg_scope, struct span name);

/*
 * One value, for a list one of its words.
 *	where	from cfgrow_where, for the sentence
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
