/*
 * cfgdiff - what is different between two configurations, and taking over what may change.
 *
 * Pure.  The last column of options.def decides: LIVE and ROLL are taken over, START is only named,
 * so that the running configuration stays what is running.  Sections that came or went are always
 * taken over.  Secrets are compared, never shown.
 */
#ifndef COMMON_CFGDIFF_H
#define COMMON_CFGDIFF_H

#include "common/cfg.h"

enum cfgdiff_kind {
	CFGDIFF_CHANGED,		/* an option has another value */
	CFGDIFF_ADDED,			/* a pool or a model is new */
	CFGDIFF_REMOVED,
};

struct cfgdiff_row {
	enum cfgdiff_kind	 kind;
	enum cfg_scope		 scope;
	char			*title;		/* of a pool or a model; NULL */
	const struct cfg_option	*option;	/* when CHANGED */
	/* as in the file, a long one cut; when CHANGED */
	char			*from, *to;
};

struct cfgdiff {
	struct cfgdiff_row	*rows;		/* global, pools, models, chat */
	size_t			 n;
	size_t			 start_n;	/* rows that need a start */
};

void	 cfgdiff_make(const struct cfg *now, const struct cfg *next, struct cfgdiff *out_r);
void	 cfgdiff_fini(struct cfgdiff *);

/*
 * What may change goes from next to now, and what it replaces goes to next, for cfg_unload.  now
 * keeps its address, and so do values that are not changed; sections may move.
 */
void	 cfgdiff_take(struct cfg *now, struct cfg *next);

#endif
