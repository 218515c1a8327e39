/*
 * lifeout - what reload, upgrade and stop have done, as text.
 */
#ifndef SUPERVISOR_CTL_LIFEOUT_H
#define SUPERVISOR_CTL_LIFEOUT_H

#include <jansson.h>
#include <stdio.h>

void	 lifeout_reload(FILE *, const json_t *doc);
void	 lifeout_upgrade(FILE *, const json_t *doc);
void	 lifeout_stop(FILE *, const json_t *doc);
/* Of a status: the lines about the file and the last upgrade; nothing when there is nothing to say. */
void	 lifeout_status(FILE *, const json_t *doc);

#endif
