/*
 * quotaout - show shards, show buckets, presence, as text.
 */
#ifndef SUPERVISOR_CTL_QUOTAOUT_H
#define SUPERVISOR_CTL_QUOTAOUT_H

#include "supervisor/ctl/output.h"

void	 quotaout_shards(FILE *, const json_t *doc, const struct look *);
void	 quotaout_buckets(FILE *, const json_t *doc, const struct look *);
void	 quotaout_presence(FILE *, const json_t *doc);

#endif
