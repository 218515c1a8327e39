/*
 * lastwords - what a worker wrote to stderr before its end: the last lines, and apart from them the
 * backtrace.
 *
 * Pure.  A backtrace is what follows CONTRACT_CRASH (proto/contract.h), what Python's faulthandler
 * prints, or an AddressSanitizer report; a later one replaces an earlier one.
 */
#ifndef SUPERVISOR_LASTWORDS_H
#define SUPERVISOR_LASTWORDS_H

#include "common/span.h"
#include "supervisor/pool/obituary.h"

/* One line, without its end. */
void		 last_words_add(struct last_words *, struct span line);
/* The kept lines, oldest first: i from 0; NULL past the end. */
const char	*last_words_line(const struct last_words *, size_t i);

#endif
