/*
 * workerout - `show worker`: what one runs, holds, uses and may do, and each of its deaths.
 */
#ifndef SUPERVISOR_CTL_WORKEROUT_H
#define SUPERVISOR_CTL_WORKEROUT_H

#include <jansson.h>
#include <stdio.h>

void	 workerout_show(FILE *, const json_t *doc);

#endif
