/*
 * health - is all well, and if not, why: lines of proto/reasons.def.
 */
#ifndef SUPERVISOR_HEALTH_H
#define SUPERVISOR_HEALTH_H

#include "supervisor/supervisor.h"

#define WHYS_MAX	16

struct health {
	struct sup	*sup;
	bool		 down;			/* nothing can be answered */
	size_t		 whys_n;		/* 0: all is well */
	char		 whys[WHYS_MAX][160];	/* the gravest first */
};

void		 health_judge(struct sup *, struct health *);
/* "ok", "degraded", "down" */
const char	*health_name(const struct health *);

#endif
