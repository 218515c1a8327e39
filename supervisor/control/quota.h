/*
 * quota - what Discord allows and what is left of it: `show shards`, `show buckets`.
 */
#ifndef SUPERVISOR_QUOTA_H
#define SUPERVISOR_QUOTA_H

#include "supervisor/control/client.h"

/* Each connection to Discord's gateway, and the budget of IDENTIFYs. */
void	 quota_shards(struct sup *, struct buf *out);
/* Asks the active rest worker; its own words are the answer. */
void	 quota_buckets(struct client *, const struct ask *);

#endif
