/*
 * took - how long the steps of a delivery took, for the histograms of proto/histograms.def.
 *
 * By the stamps that the journal keeps, so in whole milliseconds of the wall clock; a clock that
 * jumped back counts as no time.
 */
#ifndef SUPERVISOR_TOOK_H
#define SUPERVISOR_TOOK_H

#include "supervisor/journal/journal.h"

/* Right after journal_given. */
void	 took_given(const struct delivery *);
void	 took_handled(const struct delivery *, uint64_t now_ms);
/* Right before the journal learns of an effect that Discord confirmed. */
void	 took_answered(const struct delivery *, uint64_t now_ms);

#endif
