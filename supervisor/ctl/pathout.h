/*
 * pathout - what became of single deliveries: `explain`, and dead letters.
 */
#ifndef SUPERVISOR_CTL_PATHOUT_H
#define SUPERVISOR_CTL_PATHOUT_H

#include <jansson.h>
#include <stdio.h>

#include "supervisor/ctl/output.h"

/* Each path, its stamps in the order of time. */
void	 pathout_explain(FILE *, const json_t *doc);
/* `show dead`: the list. */
void	 pathout_dead(FILE *, const json_t *doc, const struct look *);
/* `dead show ID`: path and body in full. */
void	 pathout_letters(FILE *, const json_t *doc);

#endif
