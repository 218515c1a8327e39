/*
 * codepoint - what a splitter of text has to know of Unicode.
 *
 * Pure.  Source: Unicode 14 (marks, jamo, emoji modifiers, flags); the WHATWG encoding standard for
 * what is no UTF-8; for white space what Discord trims.
 */
#ifndef WORKER_CODEPOINT_H
#define WORKER_CODEPOINT_H

#include "common/span.h"

#define CODEPOINT_REPLACEMENT	0xfffd
#define CODEPOINT_JOINER	0x200d

/*
 * The one at t.p[at], at < t.n; or the maximal part of one that is invalid, which is U+FFFD.
 *	end	nothing follows t
 * Its bytes; 0 when it is cut short by the end of a text that may grow.
 */
size_t		 codepoint_at(struct span t, size_t at, bool end, uint32_t *cp_r);
unsigned	 codepoint_utf16(uint32_t cp);		/* units */
/* Of a whole text; invalid parts count as U+FFFD. */
size_t		 codepoint_utf16_len(struct span);

/* Marks, jamo, joiners, emoji modifiers, tags: what stays with the code point before it. */
bool		 codepoint_extends(uint32_t cp);
bool		 codepoint_is_flag(uint32_t cp);	/* two of them are one */
/* What Discord trims; not the spaces that glue. */
bool		 codepoint_is_white(uint32_t cp);
bool		 codepoint_is_cjk_punctuation(uint32_t cp);
bool		 codepoint_ends_sentence(uint32_t cp);
/* May stand between the end of a sentence and the white space. */
bool		 codepoint_is_closer(uint32_t cp);

#endif
