/*
 * cfgscan - the strict reading of a configuration file, before libConfuse reads its values.
 *
 * libConfuse stops at its first complaint, knows neither the lines of options nor repeated keys,
 * and takes in silence what a person did not mean: an unset variable, a comment that never ends.
 * The scan refuses these, finds every mistake of form and name in one pass, and remembers the line
 * of each option for what is found later.
 *
 * Pure but for getenv.  Owner: cfgcheck, which makes struct cfgscan from { .path, .text, .text_n }
 * and ends it with cfgscan_fini.
 */
#ifndef COMMON_CFGSCAN_H
#define COMMON_CFGSCAN_H

#include "common/cfgrow.h"

#define CFGSCAN_ERRORS_MAX	64	/* rows of CONFIG_BAD */

struct cfgscan_error {
	unsigned	 line;		/* 0: none */
	size_t		 nth;
	char		*text;		/* path, line and sentence */
};

struct cfgscan_set {			/* an option that the file sets */
	const struct cfg_option	*row;
	size_t		 section;	/* index in sections; SIZE_MAX outside */
	unsigned	 line;
};

struct cfgscan_section {
	enum cfg_scope	 scope;
	struct span	 title;		/* in text */
	unsigned	 line;
};

struct cfgscan {
	const char		*path;		/* borrowed, for the complaints */
	/* the file and a NUL; comments become blanks; wiped */
	char			*text;
	size_t			 text_n;
	size_t			 off;
	unsigned		 line;
	bool			 fatal;		/* the rest of the file cannot be understood */
	bool			 env_missing;	/* values would be judged without their text */
	struct cfgscan_set	*sets;
	size_t			 sets_n;
	struct cfgscan_section	*sections;	/* in the order of the file */
	size_t			 sections_n;
	char			**env;		/* names of variables that were used */
	size_t			 env_n;
	struct cfgscan_error	 errors[CFGSCAN_ERRORS_MAX];
	size_t			 errors_n;
	size_t			 more_n;	/* errors beyond these */
};

/*
 * text has no NUL but its last.  False when libConfuse need not be asked; complaints may have been
 * made either way.
 */
bool		 cfgscan_run(struct cfgscan *);
void		 cfgscan_fini(struct cfgscan *);

/* Line 0: of the whole file. */
void		 cfgscan_say(struct cfgscan *, unsigned line, const char *fmt, ...)
		    __attribute__((format(printf, 3, 4)));
/* Where the file sets it, NULL when it does not.  section: index, SIZE_MAX outside. */
struct cfgscan_set *cfgscan_find(const struct cfgscan *, const struct cfg_option *row,
		    size_t section);
/* As cfgrow_where. */
const char	*cfgscan_where(const struct cfgscan *, size_t section, char *dst, size_t dst_bytes);
/* How many sections of that scope the file has. */
size_t		 cfgscan_count(const struct cfgscan *, enum cfg_scope);

#endif
